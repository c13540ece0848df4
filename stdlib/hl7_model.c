/* hl7_model.c - HL7 values in expressions: conversion by target type, members by name, types. */
#include "hl7_int.h"

typedef enum target { TO_STRING, TO_WHOLE, TO_DATE, TO_DATETIME, TO_TIME, TO_DECIMAL, TO_INT, TO_BOOL } target;

static const char *const not_a[] = {"",
                                    "",
                                    "a value is no date",
                                    "a value is no date and time",
                                    "a value is no time",
                                    "a value is no number",
                                    "a value is no whole number",
                                    "a value is no boolean"};

static void trim(const char **p, size_t *n) {
  while (*n && (**p == ' ' || **p == '\t')) (*p)++, (*n)--;
  while (*n && ((*p)[*n - 1] == ' ' || (*p)[*n - 1] == '\t')) (*n)--;
}

/* The offset of MSH-7 is the message's default (HL7 v2, 2.A.22). */
static bool head_zone(const hl7_node *n, int16_t *zone_min) {
  tm_val t;
  uint32_t msh = hl7_find(n->m, hl7_name("MSH", 3), 0);
  hl7_slice s = msh == HL7_NO_SEGMENT ? (hl7_slice){0} : hl7_raw(n->m, msh, 7, 0, 1, 1);
  if (tm_parse_hl7(s.p, s.len, &t) || !t.has_zone) return false;
  *zone_min = t.zone_min;
  return true;
}

/* A time without offset gets the one that the endpoint is configured with, else that of MSH-7, never UTC silently (H-41). */
static void add_zone(const hl7_node *n, tm_val *t) {
  if (!n || t->has_zone || t->prec < TM_HOUR) return;
  const hl7_hooks *h = n->m->hooks;
  if (h && h->zone && h->zone(h->user, t, &t->zone_min)) {
    t->has_zone = true;
  } else if (head_zone(n, &t->zone_min)) {
    t->has_zone = true;
  } else {
    hl7_warn_at(n, HL7_W_NO_ZONE, "a time has no offset and no zone is configured");
  }
}

static hdw_status to_tm(const hl7_node *n, target t, const char *p, size_t len, val *out) {
  tm_val v;
  hdw_status s = t == TO_TIME ? tm_parse_hl7_time(p, len, &v) : tm_parse_hl7(p, len, &v);
  if (s) return s;
  if (t == TO_DATE && v.prec > TM_DAY) { /* the date part of a time stamp */
    int y, mo, d, h, mi, sec, us;
    tm_fields(&v, &y, &mo, &d, &h, &mi, &sec, &us);
    if ((s = tm_make(y, mo, d, 0, 0, 0, 0, TM_DAY, &v))) return s;
  }
  if (t == TO_DATE) v.has_zone = false;
  if (t == TO_DATETIME) add_zone(n, &v);
  *out = val_from_time(t == TO_TIME ? VAL_TIME : t == TO_DATE ? VAL_DATE : VAL_DATETIME, &v);
  return HDW_OK;
}

static hdw_status to_number(vm_cx *cx, target t, const char *p, size_t len, val *out) {
  dec d;
  int64_t i;
  hdw_status s = len && memchr(p, 'e', len) == NULL && memchr(p, 'E', len) == NULL ? dec_parse(p, len, &d) : HDW_E_SYNTAX;
  if (s == HDW_E_SYNTAX && len > 1 && p[len - 1] == '.') s = dec_parse(p, len - 1, &d); /* NM allows "12." and ".5" */
  else if (s == HDW_E_SYNTAX && len > 1 && len < 40) {
    size_t sign = p[0] == '-' || p[0] == '+';
    char z[42];
    if (p[sign] == '.') {
      memcpy(z, p, sign);
      z[sign] = '0';
      memcpy(z + sign + 1, p + sign, len - sign);
      s = dec_parse(z, len + 1, &d);
    }
  }
  if (s) return s;
  if (t == TO_DECIMAL) return val_from_dec(cx->a, &d, out);
  if ((s = dec_to_i64(&d, &i))) return s;
  *out = i >= INT32_MIN && i <= INT32_MAX ? val_int(i) : val_long(i);
  return HDW_OK;
}

/* SN: comparator^number^separator^number converts when it is a bare number. */
static bool sn_number(const hl7_node *n, hl7_slice *num) {
  if (!n || n->level != HL7_FIELD) return false;
  hl7_slice raw = hl7_node_raw(n), cmp = hl7_pick(&n->m->d, raw, 0, 1, 0), sep = hl7_pick(&n->m->d, raw, 0, 3, 0);
  *num = hl7_pick(&n->m->d, raw, 0, 2, 1);
  return num->len && sep.len == 0 && (cmp.len == 0 || (cmp.len == 1 && *cmp.p == '='));
}

static hdw_status convert(vm_cx *cx, target t, const hl7_node *n, val text, val *out) {
  const char *p = text.u.s;
  size_t len = text.len;
  if (t <= TO_WHOLE) return *out = text, HDW_OK;
  trim(&p, &len);
  switch (t) {
  case TO_DATE:
  case TO_DATETIME:
  case TO_TIME: return to_tm(n, t, p, len, out);
  case TO_BOOL:
    if (len != 1 || (*p != 'Y' && *p != 'N')) return HDW_E_SYNTAX;
    *out = val_bool(*p == 'Y');
    return HDW_OK;
  default: return to_number(cx, t, p, len, out);
  }
}

static hdw_status one(vm_cx *cx, target t, val item, val *out) {
  const hl7_node *n = hl7_of(item);
  val text = item;
  hl7_slice num;
  hdw_status s = HDW_OK;
  *out = VAL_NONE;
  if (n && (t == TO_DECIMAL || t == TO_INT) && sn_number(n, &num)) s = hl7_slice_text(cx, n->m, num, n, &text);
  else if (n) s = t == TO_WHOLE ? hl7_node_whole(cx, n, &text) : hl7_node_text(cx, n, &text);
  if (s || text.tag == VAL_EMPTY) return s;
  if (text.tag != VAL_STR) {
    *out = item; /* a value that is no HL7 text has its type already */
    return HDW_OK;
  }
  s = convert(cx, t, n, text, out);
  if (s == HDW_OK || s == HDW_E_NOMEM || s == HDW_E_FUEL) return s;
  *out = VAL_NONE;
  if (n) hl7_warn_at(n, HL7_W_CONVERT, not_a[t]);
  return HDW_OK;
}

static hdw_status convert_all(vm_cx *cx, target t, const val *args, unsigned nargs, val *out) {
  val in = nargs ? args[0] : VAL_NONE, v; /* out may be where args is */
  *out = VAL_NONE;
  if (in.tag != VAL_LIST) return one(cx, t, in, out);
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < val_count(in) && !s; i++) {
    s = one(cx, t, val_item(in, i), &v);
    if (!s) s = val_push(cx->a, &b, v);
  }
  if (!s) *out = val_build(&b);
  return s;
}

hdw_status hl7_to_string(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_STRING, args, n, out); }
hdw_status hl7_to_whole(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_WHOLE, args, n, out); }
hdw_status hl7_to_date(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_DATE, args, n, out); }
hdw_status hl7_to_datetime(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_DATETIME, args, n, out); }
hdw_status hl7_to_time(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_TIME, args, n, out); }
hdw_status hl7_to_decimal(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_DECIMAL, args, n, out); }
hdw_status hl7_to_int(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_INT, args, n, out); }
hdw_status hl7_to_bool(vm_cx *cx, const val *args, unsigned n, val *out) { return convert_all(cx, TO_BOOL, args, n, out); }

hdw_status hl7_is_null(vm_cx *cx, const val *args, unsigned n, val *out) {
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; n && i < val_count(args[0]) && !s; i++) {
    const hl7_node *node = hl7_of(val_item(args[0], i));
    s = val_push(cx->a, &b, val_bool(node && hl7_node_is_null(node)));
  }
  *out = val_build(&b);
  return s;
}

hdw_status hl7_model_to_system(vm_cx *cx, val item, val *out) {
  const hl7_node *n = hl7_of(item);
  if (!n) return *out = item, HDW_OK;
  return hl7_node_text(cx, n, out);
}

hdw_status hl7_model_member(vm_cx *cx, val item, val key, val *out) {
  *out = VAL_NONE;
  const hl7_node *n = hl7_of(item);
  if (!n || key.tag != VAL_STR) return HDW_OK;
  const hl7_schema *sc = n->m->schema;
  unsigned pos = 0;
  switch ((hl7_level)n->level) {
  case HL7_MSG:
  case HL7_GROUP: {
    uint32_t name = hl7_name(key.u.s, key.len);
    if (name) return hl7_segments(cx, item, name, out);
    return hl7_group(cx, item, key.u.s, key.len, out);
  }
  case HL7_SEG:
    if (sc && sc->field && sc->field(sc->user, n->m->segs[n->seg].name, key.u.s, key.len, &pos)) return hl7_child(cx, item, pos, out);
    return HDW_OK;
  case HL7_FIELD:
  case HL7_COMP:
    if (sc && sc->component && sc->component(sc->user, n->m->segs[n->seg].name, n->field, n->comp, key.u.s, key.len, &pos))
      return hl7_child(cx, item, pos, out);
    return HDW_OK;
  case HL7_SUB: return HDW_OK;
  }
  return HDW_OK;
}

hdw_status hl7_model_is_type(vm_cx *cx, val item, const char *type, size_t len, bool *out) {
  (void)cx;
  *out = false;
  const hl7_node *n = hl7_of(item);
  if (!n) return HDW_E_NOTFOUND;
  if (len > 4 && memcmp(type, "HL7.", 4) == 0) type += 4, len -= 4;
  uint32_t name = hl7_name(type, len);
  if (name) {
    *out = n->level == HL7_SEG && n->m->segs[n->seg].name == name;
    return HDW_OK;
  }
  const hl7_struct_node *root = n->level == HL7_MSG ? hl7_root(n->m) : NULL;
  if (root && strlen(root->name) == len && memcmp(root->name, type, len) == 0) *out = true;
  return *out || memchr(type, '_', len) ? HDW_OK : HDW_E_NOTFOUND;
}
