#include "http_curl.h"

hdw_status io_http_curl_new(io *x, struct event_base *base, http_curl **out) {
  (void)x, (void)base;
  *out = NULL;
  return HDW_E_UNSUPPORTED;
}

void io_http_curl_free(http_curl *h) { (void)h; }

hdw_status io_http_curl_request(http_curl *h, uint64_t id, const io_http_req *req, io_http_cb cb, void *user) {
  (void)h, (void)id, (void)req, (void)cb, (void)user;
  return HDW_E_UNSUPPORTED;
}

bool io_http_curl_cancel(http_curl *h, uint64_t id) {
  (void)h, (void)id;
  return false;
}
