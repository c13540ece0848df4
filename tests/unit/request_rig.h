/* request_rig.h - a request that was posted, as a listener hands it to the engine. */
#ifndef HDW_REQUEST_RIG_H
#define HDW_REQUEST_RIG_H
#include <string.h>
#include "engine.h"

/* At the listener web; key: Idempotency-Key, NULL = none. Everything is the caller's until the answer. */
static inline void post_request(engine *e, const char *type, const char *path, const char *body, const char *key, engine_reply_cb cb, void *user) {
  val h[2] = {val_key("content-type", 12), val_cstr(type)};
  engine_request q = {.src = {.listener = "web", .method = "POST", .path = path}, .headers = {.tag = VAL_OBJ, .len = 1, .u.v = h}, .body = body, .body_len = strlen(body), .idempotency_key = key};
  engine_submit_request(e, &q, cb, user);
}
#endif
