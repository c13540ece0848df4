/* Normalisation of document slots, member access, builders and the packed forms of decimals, temporals and quantities. */
#include "value.h"
#include "value_int.h"

/* Packed temporal: u.i is usec, len holds the rest:  zone_min (16) | prec (4) | frac_digits (4) | has_zone (1) | zone_z (1) */
val val_from_time(val_tag tag, const tm_val *t) {
  uint32_t bits = (uint16_t)t->zone_min | (uint32_t)(t->prec & 15) << 16 | (uint32_t)(t->frac_digits & 15) << 20 |
                  (uint32_t)t->has_zone << 24 | (uint32_t)t->zone_z << 25;
  return (val){.tag = (uint8_t)tag, .len = bits, .u.i = t->usec};
}

tm_val val_get_time(val v) {
  return (tm_val){.usec = v.u.i,
                  .zone_min = (int16_t)(uint16_t)(v.len & 0xffff),
                  .prec = (uint8_t)(v.len >> 16 & 15),
                  .frac_digits = (uint8_t)(v.len >> 20 & 15),
                  .has_zone = (v.len >> 24 & 1) != 0,
                  .zone_z = (v.len >> 25 & 1) != 0};
}

hdw_status val_from_dec(arena *a, const dec *d, val *out) {
  if (d->coef >= INT64_MIN && d->coef <= INT64_MAX) {
    *out = (val){.tag = VAL_DEC, .len = (uint32_t)d->scale, .u.i = (int64_t)d->coef};
    return HDW_OK;
  }
  dec *p = (dec *)arena_alloc(a, sizeof *p);
  if (!p) return HDW_E_NOMEM;
  *p = *d;
  *out = (val){.tag = VAL_DEC, .flags = VALF_BIG, .u.p = p};
  return HDW_OK;
}

dec val_get_dec(val v) {
  if (v.tag == VAL_DEC && (v.flags & VALF_BIG)) return *(const dec *)v.u.p;
  return (dec){v.u.i, v.tag == VAL_DEC ? (int32_t)v.len : 0};
}

hdw_status val_from_qty(arena *a, const dec *value, const char *unit, size_t unit_len, bool calendar, val *out) {
  val_quantity *q = (val_quantity *)arena_alloc(a, sizeof *q);
  if (!q || unit_len > UINT32_MAX) return HDW_E_NOMEM;
  *q = (val_quantity){*value, unit, (uint32_t)unit_len};
  *out = (val){.tag = VAL_QTY, .flags = calendar ? VALF_CALENDAR : 0, .u.p = q};
  return HDW_OK;
}

/* Text of a JSON number. What fits neither 64 bits nor a decimal stays text. */
static hdw_status norm_number(arena *a, val slot, val *out) {
  const char *s = slot.u.s;
  uint32_t n = slot.len, i = 0;
  bool neg = n > 0 && s[0] == '-';
  uint64_t m = 0;
  bool whole = n > (uint32_t)neg;
  for (i = neg; i < n && whole; i++) {
    uint64_t d = (uint64_t)(unsigned char)s[i] - '0';
    if (d > 9 || __builtin_mul_overflow(m, 10, &m) || __builtin_add_overflow(m, d, &m)) whole = false;
  }
  if (whole && m <= (uint64_t)INT64_MAX + neg) {
    int64_t v = neg ? (int64_t)(0 - m) : (int64_t)m;
    *out = v >= INT32_MIN && v <= INT32_MAX ? val_int(v) : val_long(v);
    out->aux = slot.aux;
    return HDW_OK;
  }
  dec d;
  if (dec_parse(s, n, &d)) {
    *out = slot;
    return HDW_OK;
  }
  hdw_status st = val_from_dec(a, &d, out);
  out->aux = slot.aux;
  return st;
}

static hdw_status norm_into(arena *a, val_builder *b, val slot, int depth) {
  if (slot.tag != VAL_LIST) {
    val v;
    hdw_status s = val_norm(a, slot, &v);
    return s ? s : val_push(a, b, v);
  }
  if (depth > VAL_DEPTH_MAX) return HDW_E_LIMIT;
  for (uint32_t i = 0; i < slot.len; i++) {
    hdw_status s = norm_into(a, b, slot.u.v[i], depth + 1);
    if (s) return s;
  }
  return HDW_OK;
}

hdw_status val_norm(arena *a, val slot, val *out) {
  if (val_is_norm(slot)) {
    *out = slot;
    return HDW_OK;
  }
  switch (slot.tag) {
    case VAL_NULL: *out = VAL_NONE; return HDW_OK;
    case VAL_NUM: return norm_number(a, slot, out);
    case VAL_STR: return val_unescape(a, slot, out);
    case VAL_LIST: break;
    default: *out = slot; return HDW_OK;
  }
  if (slot.len == 0) {
    *out = VAL_NONE;
    return HDW_OK;
  }
  if (slot.len == 1 && slot.u.v[0].tag != VAL_LIST) return val_norm(a, slot.u.v[0], out);
  val_builder b = {0};
  hdw_status s = norm_into(a, &b, slot, 0);
  if (s) return s;
  *out = val_build(&b);
  return HDW_OK;
}

const val *val_obj_get(val obj, val key) {
  if (obj.tag != VAL_OBJ) return NULL;
  const val *kv = obj.u.v;
  key.tag = VAL_STR;
  key.flags = 0;
  uint64_t want, have;
  memcpy(&want, &key, sizeof want); /* tag, flags, hash and length in one compare */
  for (uint32_t i = 0; i < obj.len; i++, kv += 2) {
    memcpy(&have, kv, sizeof have);
    if (have == want) {
      if (val_bytes_equal(kv->u.s, key.u.s, key.len)) return kv + 1;
    } else if (kv->flags & VALF_ESC) {
      if (val_esc_equal(*kv, key.u.s, key.len)) return kv + 1;
    }
  }
  return NULL;
}

hdw_status val_member(arena *a, val coll, val key, val *out) {
  if (coll.tag == VAL_OBJ) {
    const val *slot = val_obj_get(coll, key);
    if (!slot) {
      *out = VAL_NONE;
      return HDW_OK;
    }
    return val_norm(a, *slot, out);
  }
  *out = VAL_NONE;
  if (coll.tag != VAL_LIST) return HDW_OK;
  val_builder b = {0};
  for (uint32_t i = 0; i < coll.len; i++) {
    const val *slot = val_obj_get(coll.u.v[i], key);
    if (!slot) continue;
    val v;
    hdw_status s = val_norm(a, *slot, &v);
    if (!s) s = val_push(a, &b, v);
    if (s) return s;
  }
  *out = val_build(&b);
  return HDW_OK;
}

static hdw_status builder_room(arena *a, val_builder *b, uint32_t more) {
  if (more > UINT32_MAX / 2 - b->len) return HDW_E_LIMIT;
  uint32_t need = b->len + more, cap = b->cap ? b->cap : 4;
  if (need <= b->cap) return HDW_OK;
  while (cap < need) cap *= 2;
  val *v = (val *)arena_grow(a, b->v, b->cap * sizeof *v, cap * sizeof *v);
  if (!v) return HDW_E_NOMEM;
  b->v = v;
  b->cap = cap;
  return HDW_OK;
}

hdw_status val_reserve(arena *a, val_builder *b, uint32_t more) {
  if (b->v || more == 0) return builder_room(a, b, more);
  b->v = (val *)arena_alloc(a, more * sizeof *b->v);
  b->cap = b->v ? more : 0;
  return b->v ? HDW_OK : HDW_E_NOMEM;
}

hdw_status val_push(arena *a, val_builder *b, val v) {
  if (v.tag == VAL_EMPTY) return HDW_OK;
  uint32_t n = v.tag == VAL_LIST ? v.len : 1;
  if (b->len + (uint64_t)n > b->cap) {
    hdw_status s = builder_room(a, b, n);
    if (s) return s;
  }
  if (v.tag != VAL_LIST) b->v[b->len++] = v;
  else if (n) {
    memcpy(b->v + b->len, v.u.v, n * sizeof *v.u.v);
    b->len += n;
  }
  return HDW_OK;
}

val val_build(val_builder *b) {
  if (b->len == 0) return VAL_NONE;
  if (b->len == 1) return b->v[0];
  return (val){.tag = VAL_LIST, .len = b->len, .u.v = b->v};
}
