/* Text forms of decimals, dates, times and JSON strings: whatever parses prints as something that parses to the same. */
#include <stdlib.h>
#include <string.h>
#include "value.h"

typedef hdw_status parse_fn(const char *, size_t, tm_val *);
typedef size_t format_fn(const tm_val *, char *);

static void round_trip(const char *s, size_t n, parse_fn *parse, format_fn *format) {
  tm_val t, u;
  char text[TM_TEXT_MAX];
  if (parse(s, n, &t)) return;
  size_t k = format(&t, text);
  if (k > TM_TEXT_MAX || parse(text, k, &u)) abort();
  if (t.usec != u.usec || t.prec != u.prec || t.has_zone != u.has_zone || t.zone_min != u.zone_min) abort();
  bool known;
  if (tm_cmp(&t, &u, parse == tm_parse_time, &known) != 0 || !known) abort();
  val v = val_from_time(VAL_DATETIME, &t);
  u = val_get_time(v);
  if (t.usec != u.usec || t.prec != u.prec || t.has_zone != u.has_zone || t.zone_min != u.zone_min || t.frac_digits != u.frac_digits) abort();
}

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *s = (const char *)data;
  dec d, e;
  char text[DEC_TEXT_MAX];
  if (dec_parse(s, size, &d) == HDW_OK) {
    size_t n = dec_format(&d, text);
    if (n > DEC_TEXT_MAX || dec_parse(text, n, &e) || d.coef != e.coef || d.scale != e.scale) abort();
  }
  round_trip(s, size, tm_parse_date, tm_format_date);
  round_trip(s, size, tm_parse_datetime, tm_format_datetime);
  round_trip(s, size, tm_parse_time, tm_format_time);
  tm_val t;
  (void)tm_parse_hl7(s, size, &t);
  (void)tm_parse_hl7_time(s, size, &t);
  mem m = {get, put, NULL};
  arena a;
  arena_init(&a, &m, 0);
  val raw = {.tag = VAL_STR, .flags = VALF_ESC, .len = (uint32_t)size, .u.s = s}, v;
  if (val_norm(&a, raw, &v) || v.flags || val_hash(3, raw) != val_hash(3, v)) abort();
  val esc = raw, plain = val_key(v.u.s, v.len), kv[2] = {esc, val_int(1)};
  val obj = {.tag = VAL_OBJ, .len = 1, .u.v = kv};
  if (!val_obj_get(obj, plain)) abort();
  raw = (val){.tag = VAL_NUM, .len = (uint32_t)size, .u.s = s};
  if (val_norm(&a, raw, &v)) abort();
  arena_free(&a);
  return 0;
}
