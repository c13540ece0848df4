/* pack.c - see pack.h. Both directions walk with an explicit stack. */
#include "pack.h"
#include <string.h>

enum { HEAD_FLAGS = 0x40, HEAD_AUX = 0x80, HEAD_TAG = 0x3f };
_Static_assert((int)VAL_TAG_COUNT <= (int)HEAD_TAG, "tags fit the head byte");

void pack_u64(buf *b, uint64_t v) {
  uint8_t t[10];
  unsigned n = 0;
  while (v >= 0x80) t[n++] = (uint8_t)(v | 0x80), v >>= 7;
  t[n++] = (uint8_t)v;
  buf_put(b, t, n);
}

void pack_i64(buf *b, int64_t v) { pack_u64(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63)); }

void pack_bytes(buf *b, const void *p, size_t len) {
  pack_u64(b, len);
  buf_put(b, p, len);
}

uint64_t pack_get_u64(pack_in *in) {
  uint64_t v = 0;
  for (unsigned shift = 0; in->ok && in->p < in->end && shift < 64; shift += 7) {
    uint8_t c = *in->p++;
    if (shift == 63 && c > 1) break;
    v |= (uint64_t)(c & 0x7f) << shift;
    if (c < 0x80) return v;
  }
  in->ok = false;
  return 0;
}

int64_t pack_get_i64(pack_in *in) {
  uint64_t v = pack_get_u64(in);
  return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

uint8_t pack_get_u8(pack_in *in) {
  if (in->ok && in->p < in->end) return *in->p++;
  in->ok = false;
  return 0;
}

const char *pack_get_bytes(pack_in *in, size_t *len) {
  uint64_t n = pack_get_u64(in);
  *len = 0;
  if (!in->ok || n > (uint64_t)(in->end - in->p)) {
    in->ok = false;
    return NULL;
  }
  const char *s = (const char *)in->p;
  in->p += n;
  *len = (size_t)n;
  return s;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void put_coef(buf *b, dec_coef c) {
  uint8_t t[16];
  unsigned __int128 u = (unsigned __int128)c;
  for (unsigned i = 0; i < 16; i++) t[i] = (uint8_t)(u >> (8 * i));
  buf_put(b, t, sizeof t);
}

static void put_time(buf *b, val v) {
  tm_val t = val_get_time(v);
  pack_i64(b, t.usec);
  pack_i64(b, t.zone_min);
  buf_putc(b, (char)t.prec);
  buf_putc(b, (char)t.frac_digits);
  buf_putc(b, (char)((t.has_zone ? 1 : 0) | (t.zone_z ? 2 : 0)));
}

static hdw_status put_hl7(buf *b, val v, const pack_hl7 *hl7) {
  if (!hl7 || !hl7->write) return HDW_E_TYPE;
  buf t;
  buf_init(&t, b->a, b->max);
  hdw_status s = hl7->write(hl7->user, v, &t);
  if (s) return s;
  if (t.status) return (hdw_status)t.status;
  pack_bytes(b, t.p, t.len);
  return HDW_OK;
}

/* Head and, for everything but containers, content. */
static hdw_status put_one(buf *b, val v, const pack_hl7 *hl7) {
  uint8_t flags = v.flags;
  buf_putc(b, (char)(v.tag | (flags ? HEAD_FLAGS : 0) | (v.aux ? HEAD_AUX : 0)));
  if (flags) buf_putc(b, (char)flags);
  if (v.aux) pack_u64(b, v.aux);
  switch ((val_tag)v.tag) {
  case VAL_EMPTY:
  case VAL_NULL: break;
  case VAL_BOOL:
  case VAL_INT:
  case VAL_LONG:
  case VAL_TYPE:
  case VAL_HANDLE: pack_i64(b, v.u.i); break;
  case VAL_DEC: {
    dec d = val_get_dec(v);
    pack_i64(b, d.scale);
    if (flags & VALF_BIG) put_coef(b, d.coef);
    else pack_i64(b, (int64_t)d.coef);
    break;
  }
  case VAL_STR:
  case VAL_NUM:
  case VAL_BIN: pack_bytes(b, v.u.s, v.len); break;
  case VAL_DATE:
  case VAL_DATETIME:
  case VAL_TIME: put_time(b, v); break;
  case VAL_QTY: {
    const val_quantity *q = (const val_quantity *)v.u.p;
    pack_i64(b, q->value.scale);
    put_coef(b, q->value.coef);
    pack_bytes(b, q->unit, q->unit_len);
    break;
  }
  case VAL_LIST:
  case VAL_TPL:
  case VAL_OBJ: pack_u64(b, v.len); break;
  case VAL_HL7: return put_hl7(b, v, hl7);
  case VAL_BUILDER:
  case VAL_TAG_COUNT:
  default: return HDW_E_TYPE;
  }
  return b->status ? (hdw_status)b->status : HDW_OK;
}

typedef struct out_frame {
  const val *v;
  uint32_t n;      /* values left; of an object twice its members */
  bool obj;
} out_frame;

static bool is_container(val v) { return v.tag == VAL_LIST || v.tag == VAL_TPL || v.tag == VAL_OBJ; }

hdw_status pack_val(buf *b, val v, const pack_hl7 *hl7) {
  out_frame *st = NULL;
  size_t cap = 0, n = 0;
  buf_putc(b, PACK_VERSION);
  for (;;) {
    hdw_status s = put_one(b, v, hl7);
    if (s) return s;
    if (is_container(v) && v.len) {
      if (n == PACK_MAX_DEPTH) return HDW_E_LIMIT;
      if (n == cap) {
        size_t more = cap ? cap * 2 : 16;
        out_frame *g = (out_frame *)arena_grow(b->a, st, cap * sizeof *st, more * sizeof *st);
        if (!g) return HDW_E_NOMEM;
        st = g, cap = more;
      }
      st[n++] = (out_frame){v.u.v, v.tag == VAL_OBJ ? v.len * 2 : v.len, v.tag == VAL_OBJ};
    }
    while (n && st[n - 1].n == 0) n--;
    if (!n) return b->status ? (hdw_status)b->status : HDW_OK;
    out_frame *f = &st[n - 1];
    if (f->obj) {
      pack_bytes(b, f->v->u.s, f->v->len);
      f->v++, f->n--;
    }
    v = *f->v;
    f->v++, f->n--;
  }
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static dec_coef get_coef(pack_in *in) {
  unsigned __int128 u = 0;
  if (in->end - in->p < 16) {
    in->ok = false;
    return 0;
  }
  for (unsigned i = 0; i < 16; i++) u |= (unsigned __int128)in->p[i] << (8 * i);
  in->p += 16;
  return (dec_coef)u;
}

static hdw_status get_time(pack_in *in, val_tag tag, val *v) {
  tm_val t = {0};
  t.usec = pack_get_i64(in);
  int64_t zone = pack_get_i64(in);
  t.prec = pack_get_u8(in);
  t.frac_digits = pack_get_u8(in);
  uint8_t bits = pack_get_u8(in);
  if (!in->ok || t.prec < TM_YEAR || t.prec > TM_FRACTION || t.frac_digits > 6 || zone < -1440 || zone > 1440 || bits > 3) return HDW_E_CORRUPT;
  if (t.usec < 0 || t.usec >= INT64_C(10000) * 366 * 86400 * 1000000) return HDW_E_CORRUPT;
  t.zone_min = (int16_t)zone;
  t.has_zone = bits & 1;
  t.zone_z = (bits & 2) != 0;
  *v = val_from_time(tag, &t);
  return HDW_OK;
}

static hdw_status get_dec(arena *a, pack_in *in, uint8_t flags, val *v) {
  int64_t scale = pack_get_i64(in);
  dec d = {0};
  d.coef = flags & VALF_BIG ? get_coef(in) : pack_get_i64(in);
  if (!in->ok || scale < 0 || scale > DEC_MAX_SCALE) return HDW_E_CORRUPT;
  d.scale = (int32_t)scale;
  if (!(flags & VALF_BIG)) {
    *v = (val){.tag = VAL_DEC, .len = (uint32_t)scale, .u.i = (int64_t)d.coef};
    return HDW_OK;
  }
  dec *keep = (dec *)arena_alloc(a, sizeof *keep);
  if (!keep) return HDW_E_NOMEM;
  *keep = d;
  *v = (val){.tag = VAL_DEC, .flags = VALF_BIG, .len = (uint32_t)scale, .u.p = keep};
  return HDW_OK;
}

static hdw_status get_qty(arena *a, pack_in *in, val *v) {
  int64_t scale = pack_get_i64(in);
  dec_coef coef = get_coef(in);
  size_t n;
  const char *unit = pack_get_bytes(in, &n);
  if (!in->ok || scale < 0 || scale > DEC_MAX_SCALE) return HDW_E_CORRUPT;
  val_quantity *q = (val_quantity *)arena_alloc(a, sizeof *q);
  if (!q) return HDW_E_NOMEM;
  *q = (val_quantity){{coef, (int32_t)scale}, unit, (uint32_t)n};
  *v = (val){.tag = VAL_QTY, .u.p = q};
  return HDW_OK;
}

/* One value without the items of a container; those are allocated, zeroed, in *slots. */
static hdw_status get_one(arena *a, pack_in *in, const pack_hl7 *hl7, val *out, val **slots) {
  uint8_t head = pack_get_u8(in);
  uint8_t flags = head & HEAD_FLAGS ? pack_get_u8(in) : 0;
  uint64_t aux = head & HEAD_AUX ? pack_get_u64(in) : 0;
  val_tag tag = (val_tag)(head & HEAD_TAG);
  if (!in->ok || aux > UINT16_MAX) return HDW_E_CORRUPT;
  val v = {.tag = (uint8_t)tag};
  hdw_status s = HDW_OK;
  *slots = NULL;
  switch (tag) {
  case VAL_EMPTY:
  case VAL_NULL: break;
  case VAL_BOOL:
  case VAL_INT:
  case VAL_LONG:
  case VAL_TYPE:
  case VAL_HANDLE:
    v.u.i = pack_get_i64(in);
    if (tag == VAL_BOOL && (v.u.i < 0 || v.u.i > 1)) return HDW_E_CORRUPT;
    break;
  case VAL_DEC: s = get_dec(a, in, flags, &v); break;
  case VAL_STR:
  case VAL_NUM:
  case VAL_BIN: {
    size_t n;
    v.u.s = pack_get_bytes(in, &n);
    if (n > UINT32_MAX) return HDW_E_CORRUPT;
    v.len = (uint32_t)n;
    break;
  }
  case VAL_DATE:
  case VAL_DATETIME:
  case VAL_TIME: s = get_time(in, tag, &v); break;
  case VAL_QTY: s = get_qty(a, in, &v); break;
  case VAL_LIST:
  case VAL_TPL:
  case VAL_OBJ: {
    uint64_t n = pack_get_u64(in), each = tag == VAL_OBJ ? 2 : 1;
    /* Every item takes at least a byte of input, every member two: a count that cannot be true takes no memory. */
    if (!in->ok || n > (uint64_t)(in->end - in->p) / each) return HDW_E_CORRUPT;
    v.len = (uint32_t)n;
    if (n) {
      *slots = (val *)arena_zalloc(a, (size_t)(n * each), sizeof(val));
      if (!*slots) return HDW_E_NOMEM;
    }
    v.u.v = *slots;
    break;
  }
  case VAL_HL7: {
    size_t n;
    const char *p = pack_get_bytes(in, &n);
    if (!in->ok) return HDW_E_CORRUPT;
    if (!hl7 || !hl7->read) return HDW_E_TYPE;
    s = hl7->read(hl7->user, a, p, n, &v);
    *out = v;
    return s;
  }
  case VAL_BUILDER:
  case VAL_TAG_COUNT:
  default: return HDW_E_CORRUPT;
  }
  if (s) return s;
  if (!in->ok) return HDW_E_CORRUPT;
  v.flags = (uint8_t)(tag == VAL_DEC ? v.flags | (flags & (uint8_t)~VALF_BIG) : flags);
  v.aux = (uint16_t)(v.aux | aux);
  *out = v;
  return HDW_OK;
}

typedef struct in_frame {
  val *at;
  uint32_t n;
  bool obj;
} in_frame;

hdw_status pack_read(arena *a, const void *p, size_t len, const pack_hl7 *hl7, val *out) {
  pack_in in = pack_from(p, len);
  in_frame *st = NULL;
  size_t cap = 0, n = 0;
  uint8_t version = pack_get_u8(&in);
  *out = VAL_NONE;
  if (!in.ok) return HDW_E_CORRUPT;
  if (version != PACK_VERSION) return HDW_E_VERSION;
  val root = VAL_NONE, *slot = &root;
  for (;;) {
    val *slots;
    hdw_status s = get_one(a, &in, hl7, slot, &slots);
    if (s) return s;
    if (slots) {
      if (n == PACK_MAX_DEPTH) return HDW_E_LIMIT;
      if (n == cap) {
        size_t more = cap ? cap * 2 : 16;
        in_frame *g = (in_frame *)arena_grow(a, st, cap * sizeof *st, more * sizeof *st);
        if (!g) return HDW_E_NOMEM;
        st = g, cap = more;
      }
      st[n++] = (in_frame){slots, slot->tag == VAL_OBJ ? slot->len * 2 : slot->len, slot->tag == VAL_OBJ};
    }
    while (n && st[n - 1].n == 0) n--;
    if (!n) break;
    in_frame *f = &st[n - 1];
    if (f->obj) {
      size_t k;
      const char *name = pack_get_bytes(&in, &k);
      if (!in.ok || k > UINT32_MAX) return HDW_E_CORRUPT;
      *f->at++ = val_key(name, k);
      f->n--;
    }
    slot = f->at++;
    f->n--;
  }
  if (in.p != in.end) return HDW_E_CORRUPT;
  *out = root;
  return HDW_OK;
}
