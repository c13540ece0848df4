/* rest_call.h - parts of the rest driver: bodies that are neither JSON nor text, and lists that come in pages. */
#ifndef HDW_REST_CALL_H
#define HDW_REST_CALL_H
#include "dispatch_http.h"

/* ---- rest_body.c */
/* form: { }, ndjson: [ ] or multipart: { } of the request into b; *type is its Content-Type, NULL when there is none of them. */
hdw_status rest_other_body(eng_call *call, buf *b, const char **type);

/* ---- rest_page.c: how the connection's lists are paged (page: of its declaration)
 *
 *   next_link(path)                 the body says where the next page is
 *   link_header()                   the Link header does (RFC 8288)
 *   by_cursor(path, parameter)      the body has a value that goes back as a parameter
 *   by_offset(parameter, size)      how many items there were so far
 *   by_page(parameter, first)       the number of the page
 * Without one, next_link('next'). `items` is where in the body they are; a body that is a list is they. */
/* The target of the page behind `after`; NULL for the first one. */
const char *rest_page_target(eng_call *call);
/* The body in call->result becomes {items, body, number, more, after}; or the call fails: a link to another server, or in circles. */
void rest_page_result(eng_http *x, const io_http_res *res);
#endif
