/* http_curl.h - what io_linux.c calls for HTTP: libcurl's multi interface on the same event loop.
 *
 * Fixed for every request: certificate and name are verified, TLS 1.2 at least, HTTP/1.1, no proxies from the environment, no redirects, no
 * cookies, no .netrc. A connection, new or reused, goes to one of the pinned addresses or the request fails HDW_E_DENIED with nothing sent. */
#ifndef HDW_HTTP_CURL_H
#define HDW_HTTP_CURL_H
#include "io.h"
struct event_base;
typedef struct http_curl http_curl;

/* What io_http_req.tls points at: who we are and whom we trust. It must stay unchanged and in place until io_http_curl_forget. Each identity has its own
 * connections, sessions and trust store: nothing is shared with another. Texts are PEM; NULL = none, or the system's roots. */
typedef struct http_identity {
  const char *cert_pem, *key_pem, *ca_pem;
} http_identity;

/* Initialises curl, OpenSSL and its random numbers; called once by the program before it accepts anything (a failure later could end the process), and
 * by io_http_curl_new. HDW_E_IO. */
hdw_status io_http_curl_start(void);
/* Called at the first request, on the loop thread. HDW_E_NOMEM, HDW_E_IO. */
hdw_status io_http_curl_new(io *x, struct event_base *base, http_curl **out);
/* Requests that are still open are forgotten. */
void io_http_curl_free(http_curl *h);
/* id is unique and given by the caller; the callback is made from the loop, never from inside this call. Contract of the parts: io.h. HDW_E_INVALID: a part that
 * must not be sent (a host with other characters than a name or an address, headers that frame the message, no pin). */
hdw_status io_http_curl_request(http_curl *h, uint64_t id, const io_http_req *req, io_http_cb cb, void *user);
/* False when the id is none of its requests. */
bool io_http_curl_cancel(http_curl *h, uint64_t id);
/* Closes the connections of an identity; its open requests are forgotten. */
void io_http_curl_forget(http_curl *h, const http_identity *who);
#endif
