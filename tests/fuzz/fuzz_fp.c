/* Natives on hostile values: bytes become values (nested, malformed, huge), every native gets some. Only a status may come back, and a later
 * equal pair must hash alike. */
#include <stdlib.h>
#include "fp_int.h"

typedef struct input {
  const uint8_t *p, *end;
  arena *a;
} input;

static uint8_t byte(input *in) { return in->p < in->end ? *in->p++ : 0; }

static val text(input *in, val_tag tag) {
  size_t n = byte(in), left = (size_t)(in->end - in->p);
  if (n > left) n = left;
  val v = {.tag = (uint8_t)tag, .len = (uint32_t)n, .u.s = (const char *)in->p};
  in->p += n;
  return v;
}

static int64_t whole(input *in) {
  static const int64_t edge[] = {0, 1, -1, 7, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
  uint8_t b = byte(in);
  return b & 0x80 ? edge[b & 7] : (int64_t)(int8_t)(b << 1);
}

/* Cut to a precision, as every tm_ function keeps it. */
static void cut(tm_val *t, tm_prec p) {
  int f[8];
  tm_val r;
  tm_fields(t, &f[1], &f[2], &f[3], &f[4], &f[5], &f[6], &f[7]);
  if (tm_make(f[1], f[2], f[3], f[4], f[5], f[6], f[7], p, &r)) return;
  r.has_zone = t->has_zone;
  r.zone_min = t->zone_min;
  *t = r;
}

static val value(input *in, int depth) {
  val v = VAL_NONE;
  dec d = {whole(in), 0};
  tm_val t;
  uint8_t kind = byte(in) % 14;
  if (depth > 6 && kind > 9) kind = 1;
  switch (kind) {
    case 1: return val_bool(byte(in) & 1);
    case 2: return val_int((int32_t)whole(in));
    case 3: return val_long(whole(in));
    case 4:
    case 5:
      d.scale = byte(in) % (DEC_MAX_SCALE + 1);
      for (int k = byte(in) % 3; k > 0; k--) d.coef = d.coef % 1000000000000000000 * 1000000000000000000 + whole(in) % 1000000;
      if (kind == 4) val_from_dec(in->a, &d, &v);
      else v = text(in, VAL_STR), val_from_qty(in->a, &d, v.u.s, v.len, byte(in) & 1, &v);
      return v;
    case 6: return text(in, VAL_STR);
    case 7:
      v = text(in, VAL_STR);
      if (tm_parse_datetime(v.u.s, v.len, &t)) tm_from_unix_us(whole(in), (int16_t)(byte(in) * 3), &t);
      cut(&t, (tm_prec)(1 + byte(in) % 7));
      return val_from_time(VAL_DATETIME, &t);
    case 8:
      tm_from_unix_us(whole(in), 0, &t);
      t.usec %= INT64_C(86400000000);
      cut(&t, (tm_prec)(4 + byte(in) % 4));
      return val_from_time(VAL_TIME, &t);
    case 9:
      v = text(in, byte(in) & 1 ? VAL_STR : VAL_NUM);
      if (v.tag == VAL_STR) v.flags = VALF_ESC;
      if (val_norm(in->a, v, &v)) v = VAL_NONE;
      return v;
    case 10:
    case 11: {
      val_builder b = {0};
      for (int k = byte(in) % 20; k > 0; k--) {
        val item = value(in, depth + 1);
        if (val_push(in->a, &b, item)) break;
      }
      return val_build(&b);
    }
    case 12: {
      uint32_t n = byte(in) % 40;
      val *kv = (val *)arena_alloc(in->a, 2 * n * sizeof *kv);
      if (!kv) return v;
      for (uint32_t i = 0; i < n; i++) {
        val k = text(in, VAL_STR);
        char *name = (char *)arena_alloc(in->a, k.len + 1u); /* unique, as the JSON reader sees to */
        if (!name) return v;
        memcpy(name, k.u.s, k.len);
        name[k.len] = (char)i;
        kv[2 * i] = val_key(name, k.len + 1u);
        kv[2 * i + 1] = value(in, depth + 1);
      }
      return (val){.tag = VAL_OBJ, .len = n, .u.v = kv};
    }
    default: return VAL_NONE;
  }
}

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const vm_native natives[] = {
#define X(n) n,
      FP_NATIVES(X)
#undef X
  };
  mem m = {get, put, NULL};
  arena a;
  /* one input in eight meets a memory limit somewhere on its way */
  arena_init(&a, &m, size && data[0] % 8 == 7 ? 64u + data[0] * 32u : 64u << 20);
  vm_cx cx = {.a = &a, .fuel = 200000, .seed = 99, .now_us = 1709210096789000};
  input in = {data, data + size, &a};
  val args[4], out;
  for (int k = 0; k < 4; k++) args[k] = value(&in, 0);
  for (size_t i = 0; i < sizeof natives / sizeof *natives; i++) {
    arena_mark mark = arena_here(&a);
    cx.fuel = 200000;
    if (natives[i](&cx, args, 3, &out) == HDW_OK) {
      if (!val_is_norm(out) && out.tag != VAL_NUM) abort(); /* numbers beyond a decimal stay text */
      int eq;
      if (val_equal(&a, args[0], out, &eq) == HDW_OK && eq == 1 && val_hash(5, args[0]) != val_hash(5, out)) abort();
    }
    arena_release(&a, mark);
  }
  int eq;
  if (val_equal(&a, args[0], args[1], &eq) == HDW_OK && eq == 1 && val_hash(5, args[0]) != val_hash(5, args[1])) abort();
  arena_free(&a);
  return 0;
}
