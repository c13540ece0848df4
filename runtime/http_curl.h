/* http_curl.h - what io_linux.c calls for HTTP: libcurl's multi interface on the same event loop. */
#ifndef HDW_HTTP_CURL_H
#define HDW_HTTP_CURL_H
#include "io.h"
struct event_base;
typedef struct http_curl http_curl;

/* Called at the first request, on the loop thread. HDW_E_UNSUPPORTED when built without. */
hdw_status io_http_curl_new(io *x, struct event_base *base, http_curl **out);
void io_http_curl_free(http_curl *h);
/* id is unique and given by the caller; the callback is made from the loop, never from inside this call. Contract of the parts: io.h. */
hdw_status io_http_curl_request(http_curl *h, uint64_t id, const io_http_req *req, io_http_cb cb, void *user);
/* False when the id is none of its requests. */
bool io_http_curl_cancel(http_curl *h, uint64_t id);
#endif
