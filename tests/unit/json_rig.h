/* json_rig.h - what tests of JSON values share: memory that is counted, an arena and a reader. */
#ifndef HDW_JSON_RIG_H
#define HDW_JSON_RIG_H
#include "support.h"
#include "json.h"

typedef struct json_rig {
  test_mem mem;
  arena a;
  json_reader reader;
} json_rig;

static inline void json_rig_init(json_rig *r) {
  test_mem_init(&r->mem);
  arena_init(&r->a, &r->mem.m, 0);
  json_reader_init(&r->reader, &r->mem.m);
}

/* Everything was given back. */
static inline void json_rig_free(json_rig *r) {
  json_reader_free(&r->reader);
  arena_free(&r->a);
  assert_int_equal(r->mem.live_bytes, 0);
}

/* The value of a JSON text, which stays in use. */
static inline val json_rig_read(json_rig *r, const char *text, size_t len) {
  val v;
  assert_int_equal(json_read(&r->reader, &r->a, text, len, NULL, &v, NULL), HDW_OK);
  return v;
}

#endif
