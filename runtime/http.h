/* http.h - HTTP/1.1 as a server: the strict request head scanner, the body decoder, the response writer, the server.
 *
 * Strict on purpose (RFC 9112; request smuggling lives on tolerance): what two parsers could read in two ways is answered 400 and
 * the connection is closed. HTTP/1.0 is answered, other versions get 505. One request of a connection is in work at a time;
 * pipelined ones wait in the buffer, so answers leave in order.
 * The scanner, decoder and writer are pure; only the server part uses the I/O seam. */
#ifndef HDW_HTTP_H
#define HDW_HTTP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "net.h"

enum {
  HTTP_MAX_HEADERS = 100,          /* more: 431 */
  HTTP_MAX_HEAD_BYTES = 16 << 10,  /* request line and headers; more: 431. At most 65,535 */
  HTTP_MAX_TARGET_BYTES = 8 << 10, /* more: 414 */
  HTTP_MAX_BODY_BYTES = 16 << 20,  /* default limit of a body, decoded; more: 413 */
  HTTP_MAX_CHUNK_EXT_BYTES = 256,  /* of one chunk */
  HTTP_MAX_TRAILER_BYTES = 4096,   /* all trailers together; they are dropped */
  HTTP_MAX_INFLATE_RATIO = 100
};

typedef struct http_str {
  const char *p;
  size_t len;
} http_str;

/* ---- request head ----------------------------------------------------------------------------------------------- */

/* Offsets from the first byte of the head: 8 bytes a header, and the head may move with its buffer. */
typedef struct http_field {
  uint16_t name, name_len, value, value_len;
} http_field;

typedef struct http_head {
  const char *base;            /* first byte of the request line */
  http_str method, path, query;/* path as sent, begins with '/' (or is "*"); query without '?', p NULL when there is no '?' */
  http_str host;               /* empty when an HTTP/1.0 request has none */
  http_str expect_host;        /* authority of an absolute-form target, else empty; equals host without regard to case */
  int64_t content_length;      /* -1 when absent */
  uint8_t minor;               /* HTTP/1.minor: 0 or 1 */
  bool chunked, gzip, expect_continue, keep_alive;
  uint16_t n_fields;
  http_field field[HTTP_MAX_HEADERS];
} http_head;

/* Looks for the end of the head at the front of p[0..len). *seen: how much earlier calls have looked at; 0 at the start of a request.
 * > 0: bytes of the head with its empty line; 0: more is needed; < 0: refused, -(HTTP status). max_bytes 0 = HTTP_MAX_HEAD_BYTES. */
long http_head_end(const char *p, size_t len, size_t *seen, size_t max_bytes);
/* Scans a head of len bytes as http_head_end() measured it. 0, or the HTTP status to refuse with; *why then is a constant text for logs
 * (without anything the peer sent). h points into p. */
int http_head_parse(http_head *h, const char *p, size_t len, const char **why);
/* The value of the first header of that name (any case), without surrounding white space; p NULL when absent. */
http_str http_head_get(const http_head *h, const char *name);
static inline http_str http_field_name(const http_head *h, unsigned i) { return (http_str){h->base + h->field[i].name, h->field[i].name_len}; }
static inline http_str http_field_value(const http_head *h, unsigned i) { return (http_str){h->base + h->field[i].value, h->field[i].value_len}; }
/* Equal, ASCII letters without regard to case; b is NUL-terminated. */
bool http_str_is(http_str a, const char *b);
/* Percent-decodes src into dst (src.len bytes are enough; plus: '+' is a space). Bytes written, or -1: malformed escape or a NUL. */
long http_decode(char *dst, http_str src, bool plus);
/* Value of the first query parameter (or form field) of that name, decoded into dst. Bytes written; -1 absent; -2 malformed or longer than cap. */
long http_query_get(http_str query, const char *name, char *dst, size_t cap);

/* ---- request body ----------------------------------------------------------------------------------------------- */

/* Chunked transfer coding, strict, in pieces of any size. */
typedef struct http_chunked {
  uint8_t state, digits;
  uint64_t left;               /* of the chunk */
  uint32_t ext, trailer;       /* bytes of the extension and of all trailers so far */
} http_chunked;
void http_chunked_init(http_chunked *c);
/* Decodes in[0..len) to out (may be the same memory; len bytes are enough). *used: input taken, *made: body bytes written.
 * HDW_OK: the last chunk and the trailers have been read, what follows belongs to the next request. HDW_E_AGAIN: more is needed.
 * HDW_E_SYNTAX: malformed. HDW_E_LIMIT: extension or trailers too long. */
hdw_status http_chunked_decode(http_chunked *c, const char *in, size_t len, size_t *used, char *out, size_t *made);

/* Inflates a gzip body of one or more members into memory from m: *out of *out_cap bytes taken with m->get, *out_len used; the caller gives it
 * back with m->put(m, *out, *out_cap). HDW_E_LIMIT: over max_bytes or over 100:1 (with 64 KiB free). HDW_E_SYNTAX: damaged or cut. */
hdw_status http_gunzip(mem *m, const void *in, size_t in_len, size_t max_bytes, void **out, size_t *out_len, size_t *out_cap);

/* ---- response --------------------------------------------------------------------------------------------------- */

typedef struct http_header {
  http_str name, value;
} http_header;

/* Reason phrase of a status code; "Status" when unknown. Never NULL. */
const char *http_reason(int status);
enum { HTTP_DATE_BYTES = 29 };
/* IMF-fixdate ("Sun, 06 Nov 1994 08:49:37 GMT") of Unix seconds; writes 29 bytes and a NUL. */
void http_date(char out[HTTP_DATE_BYTES + 1], int64_t unix_s);
/* Writes a response head: status line, Date, Content-Length (content_length >= 0) or Transfer-Encoding: chunked (-1) or neither (-2, for 1xx and 204),
 * Connection: close unless keep_alive (with minor 0: Connection: keep-alive when it is kept), then the headers. Bytes written; -1 when cap is too small;
 * -2 when a name is not a token or a value holds CR, LF, NUL or another control character: nothing of it must be sent. */
long http_write_head(char *dst, size_t cap, int status, unsigned minor, bool keep_alive, const char *date, int64_t content_length, const http_header *h, size_t n);

/* ---- server ----------------------------------------------------------------------------------------------------- */

typedef struct http_server http_server;
/* One request of one connection. Answered once; stale tokens are recognised. */
typedef struct http_token {
  uint32_t slot, generation;
  uint64_t seq;
} http_token;

/* Valid during the callback that gets it. */
typedef struct http_request {
  const http_head *head;
  const uint8_t *body;         /* whole, chunks and gzip undone */
  size_t body_len;
  io_addr peer;
  uint64_t conn;
  const char *san, *subject, *sans; /* of the client certificate, "" without; sans: see tls_peer_sans */
  bool has_cred;               /* the peer is on a unix socket */
  io_cred cred;
} http_request;

typedef struct http_stats {
  uint64_t accepted, refused, requests, body_bytes, replies, stale_replies;
  uint64_t bad_requests;       /* answered 4xx/5xx here, before anybody saw them */
  uint64_t head_timeouts, body_timeouts, idle_timeouts, write_timeouts, tls_failures;
  uint32_t open, active;       /* now; active: with a request in work */
} http_stats;

typedef struct http_server_opts {
  io_addr addr;
  size_t max_head_bytes;       /* 0 = 16 KiB */
  size_t max_body_bytes;       /* 0 = 16 MiB, also after gzip */
  int64_t head_timeout_us;     /* first to last byte of a head; 0 = 10 s */
  int64_t body_timeout_us;     /* of a whole body; 0 = 60 s */
  int64_t idle_timeout_us;     /* between requests; 0 = 60 s */
  int64_t write_timeout_us;    /* a response that makes no progress; 0 = 30 s */
  unsigned max_conns;          /* 0 = 1,024 */
  unsigned max_conns_per_peer; /* 0 = no limit */
  size_t max_waiting_bytes;    /* of a response or stream not yet taken by the peer; 0 = 32 MiB */
  tls_ctx *tls;
  const net_cidr *allow;
  unsigned n_allow;
  /* Looks at the head before a byte of the body is read: 0 goes on, else the status to refuse with (answered without body; *extra, one header, may be set, e.g.
   * WWW-Authenticate; its text must be constant). r->body is empty. *max_body_bytes may be lowered or raised for this request. NULL: everything goes on. */
  int (*head)(void *user, const http_request *r, size_t *max_body_bytes, http_header *extra);
  /* A whole request. Answer with http_reply or http_stream_begin, now or later. */
  void (*request)(void *user, http_token t, const http_request *r);
  /* The connection of an unanswered request or an open stream is gone; its token is stale from now on. May be NULL. */
  void (*gone)(void *user, http_token t);
  void *user;
} http_server_opts;

hdw_status http_server_new(io *x, const http_server_opts *o, http_server **out);
void http_server_addr(const http_server *s, io_addr *out);
/* A reload: limits, times, allow list and certificates for what comes from now on. The socket stays, open connections go on as they are; address and
 * max_conns stay as they were. */
void http_server_update(http_server *s, const http_server_opts *o);
/* Sends the whole response; everything is copied. Date, Content-Length and Connection are added; a body is left out for HEAD, 204 and 304.
 * HDW_E_CLOSED: stale token. HDW_E_INVALID: a header that must not be sent; a 500 was sent instead. */
hdw_status http_reply(http_server *s, http_token t, int status, const http_header *h, size_t n, const void *body, size_t len);
/* A response in pieces (server-sent events, exports): chunked, or ended by closing for HTTP/1.0. HDW_E_FULL from write: the reader is too slow;
 * wait and try again, or end it. HDW_E_CLOSED: gone. */
hdw_status http_stream_begin(http_server *s, http_token t, int status, const http_header *h, size_t n);
hdw_status http_stream_write(http_server *s, http_token t, const void *p, size_t len);
hdw_status http_stream_end(http_server *s, http_token t);
/* Stops accepting and reading new requests. */
void http_server_pause(http_server *s, bool pause);
const http_stats *http_server_stats(const http_server *s);
/* Stops accepting. graceful: connections close after their answer; idle ones now. */
void http_server_stop(http_server *s, bool graceful);
/* Not from inside one of its callbacks. */
void http_server_free(http_server *s);

#endif
