/* hl7_json.c - the JSON form, both ways without loss. */
#include "base64.h"
#include "hl7_int.h"

enum { JSON_MAX_BYTES = 1 << 30, JSON_FLAGS = HL7_ENC_KEEP_FORMAT | HL7_ENC_KEEP_LF };

/* ---- to JSON */

typedef struct out_cx {
  vm_cx *cx;
  const hl7_msg *m;
  hl7_delims d; /* truncation is left alone: a bare '#' is text */
  charset_id cs;
  hdw_status s;
} out_cx;

static val *cells(out_cx *x, size_t n) {
  val *v = (val *)arena_zalloc(x->cx->a, n ? n : 1, sizeof *v);
  if (!v) x->s = HDW_E_NOMEM;
  return v;
}

static val list_of(val *v, size_t n) { return (val){.tag = VAL_LIST, .flags = VALF_ARRAY | VALF_UNEVEN, .len = (uint32_t)n, .u.v = v}; }

static val object1(out_cx *x, const char *key, val v) {
  val *kv = cells(x, 2);
  if (!kv) return VAL_NONE;
  kv[0] = val_key(key, strlen(key));
  kv[1] = v;
  return (val){.tag = VAL_OBJ, .len = 1, .u.v = kv};
}

static val bytes_of(out_cx *x, hl7_slice raw) {
  char *t = (char *)arena_alloc(x->cx->a, b64_encoded_max(raw.len));
  if (!t) return x->s = HDW_E_NOMEM, VAL_NONE;
  return object1(x, "bytes", val_str(t, b64_encode((const uint8_t *)raw.p, raw.len, t, false)));
}

/* Text whose bytes come back unchanged; else the escapes as written; else the bytes. */
static val leaf_slow(out_cx *x, hl7_slice raw) {
  val text;
  size_t bad, n;
  const char *p;
  x->s = hl7_decode(x->cx->a, &x->d, x->cs, raw, &text, &bad);
  if (x->s) return VAL_NONE;
  if (!bad) {
    buf b;
    buf_init(&b, x->cx->a, (size_t)raw.len * 6 + 64);
    hdw_status s = hl7_encode(&b, &x->d, x->cs, text.u.s, text.len, JSON_FLAGS);
    if (s == HDW_E_NOMEM) return x->s = s, VAL_NONE;
    if (!s && b.len == raw.len && memcmp(b.p, raw.p, b.len) == 0) return text;
  }
  x->s = charset_to_utf8(x->cx->a, x->cs, raw.p, raw.len, &p, &n, &bad);
  if (x->s || bad) return x->s ? VAL_NONE : bytes_of(x, raw);
  const char *back;
  size_t bn;
  hdw_status s = charset_from_utf8(x->cx->a, x->cs, p, n, &back, &bn, NULL);
  if (s == HDW_E_NOMEM) return x->s = s, VAL_NONE;
  if (s || bn != raw.len || memcmp(back, raw.p, bn) != 0) return bytes_of(x, raw);
  return object1(x, "raw", val_str(p, n));
}

static val leaf(out_cx *x, hl7_slice raw) {
  if (raw.len == 0) return (val){.tag = VAL_NULL};
  bool plain = !memchr(raw.p, '\r', raw.len) && (x->m->no_escapes || !memchr(raw.p, x->d.esc, raw.len));
  if (plain && (x->m->ascii || charset_is_ascii(raw.p, raw.len))) return val_str(raw.p, raw.len);
  return leaf_slow(x, raw);
}

static val component(out_cx *x, hl7_slice raw) {
  uint32_t n = hl7_parts(raw, x->d.sub, x->d.field);
  if (n == 1) return leaf(x, raw);
  val *v = cells(x, n);
  hl7_slice rest = raw, part;
  for (uint32_t i = 0; v && i < n && !x->s && hl7_next(&rest, x->d.sub, &part); i++) v[i] = leaf(x, part);
  return list_of(v, n);
}

static val repetition(out_cx *x, hl7_slice raw) {
  uint32_t n = hl7_parts(raw, x->d.comp, x->d.field);
  val first = n == 1 ? component(x, raw) : VAL_NONE;
  if (n == 1 && first.tag != VAL_LIST) return first;
  val *v = cells(x, n);
  if (v && n == 1) v[0] = first; /* one component with sub-components */
  hl7_slice rest = raw, part;
  for (uint32_t i = 0; v && n > 1 && i < n && !x->s && hl7_next(&rest, x->d.comp, &part); i++) v[i] = component(x, part);
  return list_of(v, n);
}

static val field(out_cx *x, uint32_t seg, uint32_t f) {
  hl7_slice raw = hl7_field_raw(x->m, seg, f);
  if (f <= 2 && hl7_is_header(x->m->segs[seg].name)) return charset_is_ascii(raw.p, raw.len) ? val_str(raw.p, raw.len) : bytes_of(x, raw);
  uint32_t n = hl7_parts(raw, x->d.rep, x->d.field);
  if (n == 1) return repetition(x, raw);
  val *v = cells(x, n);
  hl7_slice rest = raw, part;
  for (uint32_t i = 0; v && i < n && !x->s && hl7_next(&rest, x->d.rep, &part); i++) v[i] = repetition(x, part);
  return object1(x, "repeats", list_of(v, n));
}

static val segment(out_cx *x, uint32_t seg) {
  uint32_t n = hl7_field_count(x->m, seg);
  val *f = cells(x, n), *kv = cells(x, 4);
  char *name = (char *)arena_alloc(x->cx->a, 4);
  if (!f || !kv || !name) return x->s = HDW_E_NOMEM, VAL_NONE;
  hl7_name_text(x->m->segs[seg].name, name);
  for (uint32_t i = 0; i < n && !x->s; i++) f[i] = field(x, seg, i + 1);
  kv[0] = val_key("name", 4);
  kv[1] = val_str(name, 3);
  kv[2] = val_key("fields", 6);
  kv[3] = list_of(f, n);
  return (val){.tag = VAL_OBJ, .len = 2, .u.v = kv};
}

hdw_status hl7_to_json(vm_cx *cx, const hl7_msg *m, val *out) {
  out_cx x = {.cx = cx, .m = m, .d = m->d, .cs = hl7_charset(m)};
  x.d.trunc = x.d.field;
  *out = VAL_NONE;
  hdw_status s = vm_charge(cx, m->len / 4 + 8);
  if (s) return s;
  bool named = x.cs != CHARSET_UTF8 && x.cs != CHARSET_ASCII;
  val *segs = cells(&x, m->nsegs), *head = cells(&x, 4), *top = cells(&x, 4);
  if (x.s) return x.s;
  for (uint32_t i = 0; i < m->nsegs && !x.s; i++) segs[i] = segment(&x, i);
  char *delims = (char *)arena_alloc(cx->a, 6);
  if (!delims || x.s) return x.s ? x.s : HDW_E_NOMEM;
  const char roles[] = {m->d.field, m->d.comp, m->d.rep, m->d.esc, m->d.sub, m->d.trunc};
  size_t n = 1;
  delims[0] = roles[0];
  for (size_t i = 1; i < 6 && roles[i] != roles[0]; i++) delims[n++] = roles[i];
  head[0] = val_key("delimiters", 10);
  head[1] = val_str(delims, n);
  head[2] = val_key("charset", 7);
  head[3] = val_cstr(charset_name(x.cs));
  top[0] = val_key("hl7", 3);
  top[1] = (val){.tag = VAL_OBJ, .len = named ? 2 : 1, .u.v = head};
  top[2] = val_key("segments", 8);
  top[3] = list_of(segs, m->nsegs);
  *out = (val){.tag = VAL_OBJ, .len = 2, .u.v = top};
  return HDW_OK;
}

/* ---- from JSON */

typedef struct in_cx {
  vm_cx *cx;
  buf b;
  hl7_delims d;    /* without truncation, as in out_cx */
  const char *enc; /* MSH-2 */
  size_t enc_len;
  charset_id cs;
  uint32_t seg, field; /* for messages, from 0 */
  size_t name_end; /* where the output stood behind a CR and three letters: a field separator or a line end there would make a segment of
                      them */
} in_cx;

static hdw_status bad(in_cx *x, hdw_status s, const char *what) {
  return vm_fail(x->cx, s, "segments[%u].fields[%u]: %s", x->seg, x->field, what);
}

static const val *member(val obj, const char *key) { return val_obj_get(obj, val_key(key, strlen(key))); }

/* Text of a slot; escapes of JSON resolved. False when it is no text. */
static bool text_of(in_cx *x, val slot, val *out, hdw_status *s) {
  *s = HDW_OK;
  if (slot.tag == VAL_STR && (slot.flags & VALF_ESC)) {
    *s = val_norm(x->cx->a, slot, out);
    return *s == HDW_OK;
  }
  *out = slot;
  return slot.tag == VAL_STR || slot.tag == VAL_NUM;
}

/* Appends and notes whether the output now ends with what could be taken for the start of a segment. */
static void put_tail(in_cx *x, const char *p, size_t n) {
  buf_put(&x->b, p, n);
  if (n > 3 && p[n - 4] == '\r' && hl7_name(p + n - 3, 3)) x->name_end = x->b.len;
}

/* Bytes that go out unescaped: they must not begin a field, a part or a segment. */
static hdw_status put_raw(in_cx *x, const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char c = p[i];
    if (c == x->d.field || c == x->d.comp || c == x->d.rep || c == x->d.sub) return bad(x, HDW_E_DATA, "raw text contains a delimiter");
  }
  put_tail(x, p, n);
  return (hdw_status)x->b.status;
}

static hdw_status end_field(in_cx *x) {
  return x->name_end && x->name_end == x->b.len ? bad(x, HDW_E_DATA, "raw text would begin a segment") : HDW_OK;
}

static hdw_status put_marked(in_cx *x, val obj) {
  const val *raw = member(obj, "raw"), *bytes = member(obj, "bytes");
  val t;
  hdw_status s;
  if ((raw != NULL) == (bytes != NULL) || !text_of(x, raw ? *raw : *bytes, &t, &s))
    return bad(x, HDW_E_TYPE, "an object must be {\"raw\": text} or {\"bytes\": base64}");
  size_t n;
  if (raw) {
    const char *p;
    s = charset_from_utf8(x->cx->a, x->cs, t.u.s, t.len, &p, &n, NULL);
    return s ? bad(x, s, hdw_status_text(s)) : put_raw(x, p, n);
  }
  uint8_t *p = (uint8_t *)arena_alloc(x->cx->a, b64_decoded_max(t.len));
  if (!p) return HDW_E_NOMEM;
  if (b64_decode(t.u.s, t.len, p, &n, false)) return bad(x, HDW_E_DATA, "bytes are not base64");
  return put_raw(x, (const char *)p, n);
}

static hdw_status put_leaf(in_cx *x, val v) {
  val t;
  hdw_status s;
  if (v.tag == VAL_NULL || v.tag == VAL_EMPTY) return HDW_OK;
  if (v.tag == VAL_OBJ) return put_marked(x, v);
  if (!text_of(x, v, &t, &s)) return s ? s : bad(x, HDW_E_TYPE, "text, null or an array is wanted");
  s = hl7_encode(&x->b, &x->d, x->cs, t.u.s, t.len, JSON_FLAGS);
  return s == HDW_E_CHARSET || s == HDW_E_DATA ? bad(x, s, hdw_status_text(s)) : s;
}

static hdw_status put_component(in_cx *x, val v) {
  if (v.tag != VAL_LIST) return put_leaf(x, v);
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < v.len && !s; i++) {
    if (i && x->d.sub == x->d.field) return bad(x, HDW_E_DATA, "the message has no sub-component separator");
    if (i) buf_putc(&x->b, x->d.sub);
    s = put_leaf(x, v.u.v[i]);
  }
  return s;
}

static hdw_status put_repetition(in_cx *x, val v) {
  if (v.tag != VAL_LIST) return put_leaf(x, v);
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < v.len && !s; i++) {
    if (i) buf_putc(&x->b, x->d.comp);
    s = put_component(x, v.u.v[i]);
  }
  return s;
}

static hdw_status put_field(in_cx *x, val v) {
  const val *reps = v.tag == VAL_OBJ ? member(v, "repeats") : NULL;
  if (!reps) return put_repetition(x, v);
  if (reps->tag != VAL_LIST) return bad(x, HDW_E_TYPE, "repeats must be an array");
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < reps->len && !s; i++) {
    if (i && x->d.rep == x->d.field) return bad(x, HDW_E_DATA, "the message has no repetition separator");
    if (i) buf_putc(&x->b, x->d.rep);
    s = put_repetition(x, reps->u.v[i]);
  }
  return s;
}

/* MSH-1 and MSH-2 are written as they are and must be the delimiters of the document. A line without a name right behind them is part of
 * MSH-2 (H-33). Headers further down (BHS below FHS) may state what they like in their second field. */
static hdw_status put_delims(in_cx *x, val f, uint32_t i) {
  const char *w = i ? x->enc : &x->d.field;
  size_t n = i && x->seg ? 0 : i ? x->enc_len : 1, len = 0;
  val d;
  hdw_status s = HDW_OK;
  uint8_t *p = NULL;
  const val *bytes = f.tag == VAL_OBJ ? member(f, "bytes") : NULL;
  if (f.tag == VAL_NULL) n = i ? x->enc_len : 1;
  buf_put(&x->b, w, n);
  if (f.tag == VAL_NULL) return HDW_OK;
  if (!text_of(x, bytes ? *bytes : f, &d, &s)) return s ? s : bad(x, HDW_E_TYPE, "text is wanted");
  if (bytes) {
    if (!(p = (uint8_t *)arena_alloc(x->cx->a, b64_decoded_max(d.len)))) return HDW_E_NOMEM;
    if (b64_decode(d.u.s, d.len, p, &len, false)) return bad(x, HDW_E_DATA, "bytes are not base64");
    d = val_str((const char *)p, len);
  }
  if (d.len < n || memcmp(d.u.s, w, n) != 0 || (d.len > n && (i == 0 || (x->seg == 0 && d.u.s[n] != '\r' && d.u.s[n] != '\n'))))
    return bad(x, HDW_E_DATA, "not the delimiters that the document states");
  if (memchr(d.u.s + n, x->d.field, d.len - n)) return bad(x, HDW_E_DATA, "the text contains the field separator");
  put_tail(x, d.u.s + n, d.len - n);
  return (hdw_status)x->b.status;
}

static hdw_status put_segment(in_cx *x, val v) {
  const val *name = v.tag == VAL_OBJ ? member(v, "name") : NULL, *fields = v.tag == VAL_OBJ ? member(v, "fields") : NULL;
  val t;
  hdw_status s;
  x->field = 0;
  if (!name || !fields || fields->tag != VAL_LIST || !text_of(x, *name, &t, &s) || !hl7_name(t.u.s, t.len))
    return vm_fail(x->cx, HDW_E_TYPE, "segments[%u]: an object with name and fields is wanted", x->seg);
  buf_put(&x->b, t.u.s, 3);
  bool header = hl7_is_header(hl7_name(t.u.s, 3));
  for (uint32_t i = 0; i < fields->len; i++) {
    val f = fields->u.v[i];
    x->field = i;
    if (header && i < 2) {
      if ((s = put_delims(x, f, i))) return s;
      continue;
    }
    if ((s = end_field(x))) return s;
    buf_putc(&x->b, x->d.field);
    if ((s = put_field(x, f))) return s;
  }
  if ((s = end_field(x))) return s;
  buf_putc(&x->b, '\r');
  return (hdw_status)x->b.status;
}

/* The character set: as stated, else MSH-18 of the first segment, else UTF-8. */
static hdw_status read_charset(in_cx *x, val head, val segs) {
  const val *cs = member(head, "charset"), *f = segs.len && segs.u.v[0].tag == VAL_OBJ ? member(segs.u.v[0], "fields") : NULL;
  const val *reps = !cs && f && f->tag == VAL_LIST && f->len >= 18 && f->u.v[17].tag == VAL_OBJ ? member(f->u.v[17], "repeats") : NULL;
  val t;
  hdw_status s;
  if (!cs && reps && reps->tag == VAL_LIST && reps->len) cs = &reps->u.v[0];
  else if (!cs && f && f->tag == VAL_LIST && f->len >= 18 && f->u.v[17].tag == VAL_STR) cs = &f->u.v[17];
  if (cs && text_of(x, *cs, &t, &s)) x->cs = charset_find(t.u.s, t.len);
  if (!charset_supported(x->cs) || x->cs == CHARSET_ASCII) x->cs = CHARSET_UTF8;
  return HDW_OK;
}

hdw_status hl7_from_json(vm_cx *cx, val doc, hl7_slice *out) {
  in_cx x = {.cx = cx, .cs = CHARSET_UTF8};
  buf_init(&x.b, cx->a, JSON_MAX_BYTES);
  const val *head = doc.tag == VAL_OBJ ? member(doc, "hl7") : NULL, *segs = doc.tag == VAL_OBJ ? member(doc, "segments") : NULL;
  const val *delims = head && head->tag == VAL_OBJ ? member(*head, "delimiters") : NULL;
  val d;
  hdw_status s = HDW_OK;
  if (!segs || segs->tag != VAL_LIST || segs->len == 0 || !delims || !text_of(&x, *delims, &d, &s))
    return s ? s : vm_fail(cx, HDW_E_TYPE, "an object with hl7.delimiters and segments is wanted");
  char m[16] = "MSH";
  hl7_problem why;
  if (d.len > 6) return vm_fail(cx, HDW_E_DATA, "hl7.delimiters: at most six characters are wanted");
  memcpy(m + 3, d.u.s, d.len);
  if ((s = hl7_read_delims(m, 3 + d.len, &x.d, &x.enc_len, &why))) return vm_fail(cx, HDW_E_DATA, "hl7.delimiters: %s", why.text);
  x.d.trunc = x.d.field;
  x.enc = m + 4;
  if ((s = read_charset(&x, *head, *segs))) return s;
  for (; x.seg < segs->len; x.seg++) {
    size_t before = x.b.len;
    if ((s = put_segment(&x, segs->u.v[x.seg]))) return s;
    if ((s = vm_charge(cx, (x.b.len - before) / 8 + 1))) return s;
  }
  *out = (hl7_slice){x.b.p, (uint32_t)x.b.len};
  return HDW_OK;
}
