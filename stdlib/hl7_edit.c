/* hl7_edit.c - with(): a new message from an old one and a list of changes. Bytes that no change touches are copied as they are. */
#include "base64.h"
#include "hl7_int.h"

static hdw_status fail(hl7_draft *e, const hl7_path *p, hdw_status s, const char *what) {
  char name[4];
  hl7_name_text(p->seg, name);
  if (p->field == 0) return vm_fail(e->cx, s, "%s: %s", name, what);
  return vm_fail(e->cx, s, "%s-%u: %s", name, p->field, what);
}

hdw_status hl7_draft_add(hl7_draft *e, uint32_t at, hl7_edit_seg seg) {
  if (e->n >= HL7_MAX_SEGMENTS) return HDW_E_LIMIT;
  if (e->n == e->cap) {
    uint32_t cap = e->cap ? e->cap * 2 : 16;
    hl7_edit_seg *g = (hl7_edit_seg *)arena_grow(e->cx->a, e->segs, e->cap * sizeof *g, cap * sizeof *g);
    if (!g) return HDW_E_NOMEM;
    e->segs = g;
    e->cap = cap;
  }
  memmove(e->segs + at + 1, e->segs + at, (e->n - at) * sizeof *e->segs);
  e->segs[at] = seg;
  e->n++;
  e->last = at;
  return HDW_OK;
}

/* Takes out what was marked with the name 0. */
static void sweep(hl7_draft *e) {
  uint32_t o = 0;
  for (uint32_t i = 0; i < e->n; i++)
    if (e->segs[i].name) e->segs[o++] = e->segs[i];
  e->n = o;
}

/* ---- values to bytes. level: HL7_FIELD one repetition, HL7_COMP, HL7_SUB. */

static hdw_status put_text(hl7_draft *e, buf *b, const char *s, size_t n) { return hl7_encode(b, &e->d, e->cs, s, n, 0); }

/* The part of a node that fits a place: a composite where less is wanted gives its first part. */
static hdw_status put_node(hl7_draft *e, buf *b, const hl7_node *n, hl7_level level) {
  if (n->level < HL7_FIELD) return HDW_E_TYPE;
  const hl7_delims *from = &n->m->d;
  hl7_slice raw = hl7_node_raw(n);
  if (n->field <= 2 && hl7_is_header(n->m->segs[n->seg].name)) return put_text(e, b, raw.p, raw.len);
  if (level >= HL7_COMP && n->level == HL7_FIELD) raw = hl7_pick(from, raw, 0, 1, 0);
  if (level == HL7_SUB && n->level <= HL7_COMP) raw = hl7_pick(from, raw, 0, 1, 1);
  return hl7_translate(b, from, hl7_charset(n->m), &e->d, e->cs, raw);
}

/* A template: its literal parts may hold component separators where the place has room for them; its holes are values. */
static hdw_status put_literal(hl7_draft *e, buf *b, val lit, hl7_level level) {
  hdw_status s = HDW_OK;
  for (uint32_t i = 0, from = 0; i <= lit.len && !s; i++) {
    char c = i < lit.len ? lit.u.s[i] : 0, d = c == '^' && level == HL7_FIELD  ? e->d.comp
                                               : c == '&' && level <= HL7_COMP ? e->d.sub
                                                                               : e->d.field;
    if (i < lit.len && d == e->d.field) continue;
    s = hl7_encode(b, &e->d, e->cs, lit.u.s + from, i - from, HL7_ENC_KEEP_FORMAT);
    if (i < lit.len) buf_putc(b, d);
    from = i + 1;
  }
  return s;
}

static hdw_status put_scalar(hl7_draft *e, buf *b, val v) {
  char t[TM_TEXT_MAX], *w = t;
  val s;
  hdw_status st;
  tm_val tm;
  switch ((val_tag)v.tag) {
  case VAL_STR:
    if (v.flags & VALF_ESC) {
      if ((st = val_norm(e->cx->a, v, &v))) return st;
    }
    return put_text(e, b, v.u.s, v.len);
  case VAL_BOOL: buf_putc(b, v.u.i ? 'Y' : 'N'); return HDW_OK;
  case VAL_INT:
  case VAL_LONG:
  case VAL_DEC:
    if ((st = val_to_str(e->cx->a, v, &s))) return st;
    return put_text(e, b, s.u.s, s.len);
  case VAL_DATE:
  case VAL_DATETIME:
    tm = val_get_time(v);
    buf_put(b, t, tm_format_hl7(&tm, t));
    return HDW_OK;
  case VAL_TIME: {
    tm = val_get_time(v);
    size_t n = tm_format_time(&tm, t);
    for (size_t i = 0; i < n; i++)
      if (t[i] != ':') *w++ = t[i];
    buf_put(b, t, (size_t)(w - t));
    return HDW_OK;
  }
  case VAL_BIN: {
    size_t room = b64_encoded_max(v.len);
    if (buf_reserve(b, room)) return (hdw_status)b->status;
    b->len += b64_encode((const uint8_t *)v.u.p, v.len, b->p + b->len, false);
    return HDW_OK;
  }
  default: return HDW_E_TYPE;
  }
}

static hdw_status put_value(hl7_draft *e, buf *b, val v, hl7_level level) {
  if (v.tag == VAL_EMPTY || v.tag == VAL_NULL) return HDW_OK;
  if (v.tag == VAL_HL7) return put_node(e, b, hl7_of(v), level);
  if (v.tag != VAL_TPL) return put_scalar(e, b, v);
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < v.len && !s; i++) {
    val part = v.u.v[i];
    if (i % 2 == 0) s = part.tag == VAL_STR ? put_literal(e, b, part, level) : HDW_OK;
    else if (val_count(part) > 1) s = HDW_E_CARD;
    else s = put_value(e, b, part, HL7_SUB);
  }
  return s;
}

/* ---- one field */

static void pad(buf *b, char delim, uint32_t n) {
  while (n--) buf_putc(b, delim);
}

/* A value on its way to a place in a field. */
typedef struct change {
  hl7_draft *e;
  const hl7_path *p;
  val value;
  hdw_status s;
} change;

static void put_parts(change *c, buf *b, hl7_slice s, unsigned level);

/* s with its part number n (from 0) changed; missing parts before it become empty. */
static void put_split(change *c, buf *b, hl7_slice s, char delim, uint32_t n, unsigned level) {
  char none = c->e->d.field;
  uint32_t have = hl7_parts(s, delim, none);
  if (n >= have && c->value.tag == VAL_EMPTY) { /* clearing what is not there */
    buf_put(b, s.p, s.len);
    return;
  }
  if (n > 0 && delim == none) {
    c->s = fail(c->e, c->p, HDW_E_DATA, "the message has no separator for this place");
    return;
  }
  if (n >= have) {
    buf_put(b, s.p, s.len);
    pad(b, delim, n - have + 1);
    put_parts(c, b, (hl7_slice){"", 0}, level);
    return;
  }
  hl7_slice rest = s, part;
  for (uint32_t i = 0; hl7_next(&rest, delim, &part) && !c->s; i++) {
    if (i) buf_putc(b, delim);
    if (i == n) put_parts(c, b, part, level);
    else buf_put(b, part.p, part.len);
    if (delim == none) break;
  }
}

/* level: HL7_FIELD inside a field, HL7_COMP inside a repetition, HL7_SUB inside a component; one deeper than the path is the value itself.
 */
static void put_parts(change *c, buf *b, hl7_slice s, unsigned level) {
  const hl7_path *p = c->p;
  const hl7_delims *d = &c->e->d;
  if (level == HL7_FIELD) put_split(c, b, s, d->rep, p->rep > 0 ? (uint32_t)p->rep : 0, HL7_COMP);
  else if (level == HL7_COMP && p->comp) put_split(c, b, s, d->comp, p->comp - 1u, HL7_SUB);
  else if (level == HL7_SUB && p->comp && p->sub) put_split(c, b, s, d->sub, p->sub - 1u, HL7_SUB + 1);
  else if (!c->s) {
    hl7_level at = p->comp && p->sub ? HL7_SUB : p->comp ? HL7_COMP : HL7_FIELD;
    hdw_status st = put_value(c->e, b, c->value, at);
    if (st) c->s = fail(c->e, p, st, st == HDW_E_TYPE ? "a value of this type cannot stand here" : hdw_status_text(st));
  }
}

static void put_field(change *c, buf *b, hl7_slice old) {
  const hl7_path *p = c->p;
  if (p->rep < 0 && p->comp == 0) {
    for (uint32_t i = 0; i < val_count(c->value) && !c->s; i++) {
      if (i && c->e->d.rep == c->e->d.field) c->s = fail(c->e, p, HDW_E_DATA, "the message has no repetition separator");
      if (i) buf_putc(b, c->e->d.rep);
      change one = {c->e, p, val_item(c->value, i), c->s};
      put_parts(&one, b, (hl7_slice){"", 0}, HL7_COMP);
      c->s = one.s;
    }
    return;
  }
  size_t from = b->len;
  put_parts(c, b, old, HL7_FIELD);
  if (c->value.tag == VAL_EMPTY && p->comp == 0) /* a cleared last repetition leaves no separator behind */
    while (b->len > from && c->e->d.rep != c->e->d.field && b->p[b->len - 1] == c->e->d.rep) b->len--;
}

/* Offset of field f in a segment's text, or the number of separators that are missing before it. */
static bool find_field(const hl7_draft *e, hl7_slice text, uint32_t name, uint32_t f, uint32_t *from, uint32_t *to, uint32_t *missing) {
  bool header = hl7_is_header(name);
  uint32_t seen = header ? 1 : 0, i = 3;
  if (header) { /* MSH-1 and MSH-2 are passed over as they stand */
    i = 4;
    seen = 2;
    while (i < text.len && text.p[i] != e->d.field) i++;
  }
  for (; i < text.len; i++) {
    if (text.p[i] != e->d.field) continue;
    if (seen == f) {
      *to = i;
      return true;
    }
    if (++seen == f) *from = i + 1;
  }
  *to = text.len;
  *missing = f - seen;
  return seen == f;
}

static hdw_status set_field(hl7_draft *e, uint32_t at, const hl7_path *p, val value) {
  hl7_edit_seg *g = &e->segs[at];
  uint32_t from = g->text.len, to = from, missing = 0;
  bool found = find_field(e, g->text, g->name, p->field, &from, &to, &missing);
  if (!found && value.tag == VAL_EMPTY) return HDW_OK;
  buf b;
  buf_init(&b, e->cx->a, HL7_EDIT_MAX_BYTES);
  buf_put(&b, g->text.p, from);
  if (!found) pad(&b, e->d.field, missing);
  change c = {e, p, value, HDW_OK};
  put_field(&c, &b, found ? (hl7_slice){g->text.p + from, to - from} : (hl7_slice){"", 0});
  if (c.s) return c.s;
  if (found) buf_put(&b, g->text.p + to, g->text.len - to);
  if (b.status) return (hdw_status)b.status;
  hdw_status s = vm_charge(e->cx, b.len / 16 + 4);
  g->text = (hl7_slice){b.p, (uint32_t)b.len};
  return s;
}

/* ---- segments */

/* The bytes of a segment node in the form of the draft. */
static hdw_status take_segment(hl7_draft *e, const hl7_node *n, hl7_edit_seg *out) {
  const hl7_msg *m = n->m;
  hl7_slice raw = hl7_node_raw(n);
  uint32_t name = m->segs[n->seg].name;
  *out = (hl7_edit_seg){name, m == e->base ? n->seg : HL7_NO_SEGMENT, raw};
  if (hl7_same_form(&m->d, hl7_charset(m), &e->d, e->cs, raw)) return HDW_OK;
  buf b;
  buf_init(&b, e->cx->a, HL7_EDIT_MAX_BYTES);
  size_t skip = 3;
  buf_put(&b, raw.p, 3);
  if (hl7_is_header(name) && raw.len > 3) {
    buf_putc(&b, e->d.field);
    buf_put(&b, e->enc.p, e->enc.len);
    hl7_slice enc = hl7_field_raw(m, n->seg, 2);
    skip = (size_t)(enc.p + enc.len - raw.p);
  }
  hdw_status s = hl7_translate(&b, &m->d, hl7_charset(m), &e->d, e->cs, (hl7_slice){raw.p + skip, (uint32_t)(raw.len - skip)});
  out->text = (hl7_slice){b.p, (uint32_t)b.len};
  return s ? s : (hdw_status)b.status;
}

/* All segments of that name are replaced by the value's, which stand where the first of them stood; in time linear in both. */
static hdw_status set_segments(hl7_draft *e, const hl7_path *p, val value) {
  uint32_t at = 0, k = val_count(value), o = 0;
  while (at < e->n && e->segs[at].name != p->seg) at++;
  if (at == e->n) at = k ? hl7_draft_place(e, p->seg) : 0;
  if ((uint64_t)e->n + k > HL7_MAX_SEGMENTS) return fail(e, p, HDW_E_LIMIT, "there are too many segments");
  hl7_edit_seg *to = (hl7_edit_seg *)arena_alloc(e->cx->a, (e->n + k + 1) * sizeof *to);
  if (!to) return HDW_E_NOMEM;
  hdw_status s = vm_charge(e->cx, (e->n + k) / 4 + 1);
  for (uint32_t i = 0; i <= e->n && !s; i++) {
    for (uint32_t j = 0; i == at && j < k && !s; j++) {
      const hl7_node *n = hl7_of(val_item(value, j));
      if (!n || n->level != HL7_SEG || n->m->segs[n->seg].name != p->seg) return fail(e, p, HDW_E_TYPE, "segments of this name are wanted");
      s = take_segment(e, n, &to[o]);
      e->last = o++;
      if (s) return fail(e, p, s, hdw_status_text(s));
    }
    if (i < e->n && e->segs[i].name != p->seg) to[o++] = e->segs[i];
  }
  e->cap = e->n + k + 1;
  e->segs = to;
  e->n = o;
  return s;
}

/* The segment of the draft that a node stands for: itself, or (from an earlier version of the message) one with the same bytes. */
static uint32_t find_node(const hl7_draft *e, const hl7_node *n, uint32_t from) {
  hl7_slice raw = {n->m->bytes + n->m->segs[n->seg].off, n->m->segs[n->seg].len};
  for (uint32_t k = 0; k < e->n; k++) { /* nodes mostly come in order: the search goes on where the last one ended */
    uint32_t i = from + k < e->n ? from + k : from + k - e->n;
    const hl7_edit_seg *g = &e->segs[i];
    if (!g->name) continue;
    if (n->m == e->base ? g->orig == n->seg
                        : g->name == n->m->segs[n->seg].name && g->text.len == raw.len && memcmp(g->text.p, raw.p, raw.len) == 0)
      return i;
  }
  return HL7_NO_SEGMENT;
}

static hdw_status remove_node(hl7_draft *e, const hl7_node *n, uint32_t *hint) {
  uint32_t from, to;
  if (n->level == HL7_MSG) return HDW_E_TYPE;
  if (!hl7_range(n, &from, &to)) from = n->seg, to = n->seg + 1;
  hdw_status s = HDW_OK;
  for (uint32_t k = from; k < to && !s; k++) {
    hl7_node one = {.m = n->m, .seg = k, .level = HL7_SEG};
    uint32_t at = find_node(e, &one, *hint);
    s = vm_charge(e->cx, at == HL7_NO_SEGMENT ? e->n / 8 + 1 : at >= *hint ? (at - *hint) / 8 + 1 : e->n / 8 + 1);
    if (at == HL7_NO_SEGMENT || s) continue;
    *hint = at;
    hl7_path p = {.seg = e->segs[at].name, // NOLINT(clang-analyzer-core.NullDereference): find_node gives places in segs only
                  .rep = (int32_t)n->rep, .field = n->field, .comp = n->comp, .sub = n->sub};
    if (n->level <= HL7_SEG) e->segs[at].name = 0;
    else if (p.field <= 2 && hl7_is_header(p.seg)) s = HDW_E_INVALID;
    else s = set_field(e, at, &p, VAL_NONE);
  }
  return s;
}

static hdw_status remove_edit(hl7_draft *e, const hl7_edit *x) {
  hdw_status s = HDW_OK;
  uint32_t hint = 0;
  for (uint32_t i = 0; i < val_count(x->value) && !s; i++) {
    const hl7_node *n = hl7_of(val_item(x->value, i));
    s = n ? remove_node(e, n, &hint) : HDW_E_TYPE;
  }
  sweep(e);
  return s ? vm_fail(e->cx, s, "remove: %s", s == HDW_E_TYPE ? "segments, groups or parts of the message are wanted" : hdw_status_text(s))
           : HDW_OK;
}

hdw_status hl7_draft_edit(hl7_draft *e, const hl7_edit *x) {
  hl7_path p = x->path;
  val value = x->op == HL7_REMOVE ? VAL_NONE : x->value;
  if (x->op == HL7_REMOVE && (x->value.tag != VAL_EMPTY || p.seg == 0)) return remove_edit(e, x);
  if (p.seg == 0) return vm_fail(e->cx, HDW_E_INVALID, "an edit names no segment");
  if (p.field > HL7_MAX_NUMBER || p.comp > HL7_MAX_NUMBER || p.sub > HL7_MAX_NUMBER || p.rep > HL7_MAX_NUMBER)
    return fail(e, &p, HDW_E_LIMIT, "a number in the path is too big");
  if (p.field == 0) {
    if (p.seg == HL7_NAME('M', 'S', 'H') && val_count(value) != 1) return fail(e, &p, HDW_E_CARD, "a message has exactly one");
    return set_segments(e, &p, value);
  }
  if (p.field <= 2 && hl7_is_header(p.seg)) return fail(e, &p, HDW_E_INVALID, "the delimiters of a message cannot be set");
  if ((p.comp || p.rep >= 0) && val_count(value) > 1) return fail(e, &p, HDW_E_CARD, "one item is wanted here");
  bool any = false;
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < e->n && !s; i++) {
    if (e->segs[i].name != p.seg) continue;
    any = true;
    s = set_field(e, i, &p, value);
  }
  if (any || s || value.tag == VAL_EMPTY) return s;
  char *name = (char *)arena_alloc(e->cx->a, 4);
  if (!name) return HDW_E_NOMEM;
  hl7_name_text(p.seg, name);
  uint32_t at = hl7_draft_place(e, p.seg);
  s = hl7_draft_add(e, at, (hl7_edit_seg){p.seg, HL7_NO_SEGMENT, {name, 3}});
  return s ? s : set_field(e, at, &p, value);
}

hdw_status hl7_draft_done(hl7_draft *e, bool fragment, hl7_msg **out) {
  size_t total = 0;
  for (uint32_t i = 0; i < e->n; i++) total += e->segs[i].text.len + 1;
  if (total > HL7_EDIT_MAX_BYTES) return vm_fail(e->cx, HDW_E_LIMIT, "the message would be longer than 64 MiB");
  char *p = (char *)arena_alloc(e->cx->a, total);
  if (!p) return HDW_E_NOMEM;
  size_t o = 0;
  for (uint32_t i = 0; i < e->n; i++) {
    memcpy(p + o, e->segs[i].text.p, e->segs[i].text.len);
    o += e->segs[i].text.len;
    if (!fragment) p[o++] = '\r';
  }
  hdw_status s = vm_charge(e->cx, o / 8);
  return s ? s : hl7_parse_own(e->cx->a, p, o, e->base, &e->d, e->cs, fragment, out);
}

/* MSH-18 := another set: everything is converted first, so that later edits are written in the new set. */
hdw_status hl7_draft_charset(hl7_draft *e, const hl7_edit *edits, unsigned n) {
  charset_id to = e->cs;
  for (unsigned i = 0; i < n; i++) {
    const hl7_path *p = &edits[i].path;
    val v = edits[i].value;
    if (edits[i].op != HL7_SET || p->seg != HL7_NAME('M', 'S', 'H') || p->field != 18 || p->rep > 0 || p->comp > 1 || p->sub > 1) continue;
    val first = val_count(v) ? val_item(v, 0) : v;
    if (first.tag == VAL_HL7) {
      hdw_status s = hl7_node_text(e->cx, hl7_of(first), &first);
      if (s) return s;
    }
    if (first.tag == VAL_STR) to = charset_find(first.u.s, first.len);
    if (to == CHARSET_NONE) to = CHARSET_UTF8;
    if (!charset_supported(to)) return fail(e, p, HDW_E_UNSUPPORTED, charset_refusal(to));
  }
  if (to == e->cs) return HDW_OK;
  for (uint32_t i = 0; i < e->n; i++) {
    const char *u, *t;
    size_t un, tn, bad;
    hdw_status s = charset_to_utf8(e->cx->a, e->cs, e->segs[i].text.p, e->segs[i].text.len, &u, &un, &bad);
    if (!s && bad) s = HDW_E_CHARSET;
    if (!s) s = charset_from_utf8(e->cx->a, to, u, un, &t, &tn, NULL);
    if (s) return vm_fail(e->cx, s, "MSH-18: the message cannot be converted to this character set");
    e->segs[i].text = (hl7_slice){t, (uint32_t)tn};
  }
  e->cs = to;
  return HDW_OK;
}

hdw_status hl7_with(vm_cx *cx, val base, const hl7_edit *edits, unsigned n, val *out) {
  const hl7_node *node = hl7_of(base);
  if (!node || (node->level != HL7_MSG && node->level != HL7_SEG)) return vm_fail(cx, HDW_E_TYPE, "with: a message or a segment is wanted");
  const hl7_msg *m = node->m;
  hl7_draft e = {.cx = cx, .base = m, .d = m->d, .cs = hl7_charset(m)};
  if (m->nsegs && hl7_is_header(m->segs[0].name)) e.enc = hl7_field_raw(m, 0, 2);
  uint32_t from, to;
  hdw_status s = hl7_range(node, &from, &to) ? HDW_OK : HDW_E_TYPE;
  for (uint32_t i = from; !s && i < to; i++)
    s = hl7_draft_add(&e, e.n, (hl7_edit_seg){m->segs[i].name, i, {m->bytes + m->segs[i].off, m->segs[i].len}});
  bool one = node->level == HL7_SEG;
  if (!s && !one) s = hl7_draft_charset(&e, edits, n);
  for (unsigned i = 0; i < n && !s; i++) {
    if (one && e.n && edits[i].path.seg && (edits[i].path.seg != e.segs[0].name || edits[i].path.field == 0))
      return fail(&e, &edits[i].path, HDW_E_INVALID, "not a field of this segment");
    s = hl7_draft_edit(&e, &edits[i]);
    if (!s && one && e.n != 1) return vm_fail(cx, HDW_E_INVALID, "with: a segment cannot lose itself");
  }
  if (!s && !one && (e.n == 0 || !hl7_is_header(e.segs[0].name)))
    return vm_fail(cx, HDW_E_INVALID, "with: a message cannot lose its header");
  hl7_msg *made = NULL;
  if (!s) s = hl7_draft_done(&e, one, &made);
  if (s) return s;
  if (!one) return hl7_value(cx->a, made, out);
  return hl7_node_new(cx->a, &(hl7_node){.m = made, .len = made->len, .seg_end = 1, .level = HL7_SEG}, out);
}

hdw_status hl7_cut_part(vm_cx *cx, val base, uint32_t name, uint32_t nth, val *out) {
  const hl7_node *node = hl7_of(base);
  *out = VAL_NONE;
  if (!node || node->level != HL7_MSG) return vm_fail(cx, HDW_E_TYPE, "part: a message is wanted");
  const hl7_msg *m = node->m;
  hl7_draft e = {.cx = cx, .base = m, .d = m->d, .cs = hl7_charset(m)};
  if (m->nsegs && hl7_is_header(m->segs[0].name)) e.enc = hl7_field_raw(m, 0, 2);
  hdw_status s = HDW_OK;
  uint32_t seen = 0; /* of that name */
  for (uint32_t i = 0; i < m->nsegs && !s; i++) {
    seen += m->segs[i].name == name;
    if (seen == 0 || seen == nth + 1) s = hl7_draft_add(&e, e.n, (hl7_edit_seg){m->segs[i].name, i, {m->bytes + m->segs[i].off, m->segs[i].len}});
  }
  if (s || seen <= nth) return s;
  hl7_msg *made = NULL;
  s = hl7_draft_done(&e, false, &made);
  return s ? s : hl7_value(cx->a, made, out);
}
