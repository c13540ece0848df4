/* hl7_path.c - reading by path: slices, texts without nodes, and collections of nodes. */
#include "hl7_int.h"

static hl7_slice part_at(hl7_slice s, char delim, char none, uint32_t n) {
  if (delim == none) return n == 0 ? s : (hl7_slice){s.p + s.len, 0};
  const char *p = s.p, *end = s.p + s.len, *start = p;
  for (; p < end; p++) {
    if (*p != delim) continue;
    if (n-- == 0) return hl7_cut(start, p);
    start = p + 1;
  }
  return n == 0 ? hl7_cut(start, end) : (hl7_slice){end, 0};
}

hl7_slice hl7_pick(const hl7_delims *d, hl7_slice f, uint32_t rep, uint32_t comp, uint32_t sub) {
  f = part_at(f, d->rep, d->field, rep);
  if (comp) f = part_at(f, d->comp, d->field, comp - 1);
  if (comp && sub) f = part_at(f, d->sub, d->field, sub - 1);
  return f;
}

uint32_t hl7_parts(hl7_slice s, char delim, char none) {
  uint32_t n = 1;
  if (delim != none)
    for (uint32_t i = 0; i < s.len; i++) n += s.p[i] == delim;
  return n;
}

/* MSH-1 and MSH-2 are not made of parts: they are the only repetition, component and sub-component of themselves. */
static bool is_delim_field(const hl7_msg *m, uint32_t seg, uint32_t field) { return field <= 2 && hl7_is_header(m->segs[seg].name); }

hl7_slice hl7_raw(const hl7_msg *m, uint32_t seg, uint32_t field, uint32_t rep, uint32_t comp, uint32_t sub) {
  hl7_slice f = hl7_field_raw(m, seg, field);
  if (seg < m->nsegs && is_delim_field(m, seg, field)) return rep == 0 && comp <= 1 && sub <= 1 ? f : (hl7_slice){f.p + f.len, 0};
  return hl7_pick(&m->d, f, rep, comp, sub);
}

hl7_slice hl7_node_raw(const hl7_node *n) {
  if (n->level == HL7_MSG) return (hl7_slice){n->m->bytes, n->m->len};
  if (n->level == HL7_GROUP) {
    if (n->seg_end <= n->seg) return (hl7_slice){n->m->bytes, 0};
    const hl7_segment *a = &n->m->segs[n->seg], *b = &n->m->segs[n->seg_end - 1];
    return (hl7_slice){n->m->bytes + a->off, b->off + b->len - a->off};
  }
  return (hl7_slice){n->m->bytes + n->off, n->len};
}

hdw_status hl7_node_new(arena *a, const hl7_node *n, val *out) {
  hl7_node *p = (hl7_node *)arena_alloc(a, sizeof *p);
  if (!p) return HDW_E_NOMEM;
  *p = *n;
  *out = (val){.tag = VAL_HL7, .u.p = p};
  return HDW_OK;
}

hdw_status hl7_value(arena *a, const hl7_msg *m, val *out) {
  return hl7_node_new(a, &(hl7_node){.m = m, .len = m->len, .seg_end = m->nsegs, .level = HL7_MSG}, out);
}

bool hl7_range(const hl7_node *n, uint32_t *from, uint32_t *to) {
  *from = n->level == HL7_MSG ? 0 : n->seg;
  *to = n->level == HL7_MSG ? n->m->nsegs : n->level == HL7_GROUP ? n->seg_end : n->seg + 1;
  return n->level <= HL7_SEG;
}

static bool collect_at(vm_cx *cx, val_builder *b, const hl7_node *n, hdw_status *s) {
  val v;
  *s = vm_charge(cx, 4);
  if (!*s) *s = hl7_node_new(cx->a, n, &v);
  if (!*s) *s = val_push(cx->a, b, v);
  return *s == HDW_OK;
}

static uint16_t cap16(uint32_t n) { return (uint16_t)(n > 65535 ? 65535 : n); }

hdw_status hl7_segments(vm_cx *cx, val base, uint32_t name, val *out) {
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < val_count(base); i++) {
    const hl7_node *n = hl7_of(val_item(base, i));
    uint32_t from, to;
    if (!n || !hl7_range(n, &from, &to)) continue;
    if ((s = vm_charge(cx, (to - from) / 4 + 1))) return s;
    for (uint32_t k = from; k < to; k++) {
      const hl7_segment *g = &n->m->segs[k];
      if (g->name == name &&
          !collect_at(cx, &b, &(hl7_node){.m = n->m, .off = g->off, .len = g->len, .seg = k, .seg_end = k + 1, .level = HL7_SEG}, &s))
        return s;
    }
  }
  *out = val_build(&b);
  return s;
}

/* Collects the (sub)component that p names in one repetition, if there is anything. */
static hdw_status collect_part(vm_cx *cx, val_builder *b, hl7_node n, hl7_slice s, const hl7_path *p, bool keep_empty, bool whole) {
  hdw_status st;
  if (whole) {
    if (p->comp > 1 || p->sub > 1) return HDW_OK;
  } else {
    if (p->comp) s = part_at(s, n.m->d.comp, n.m->d.field, p->comp - 1u);
    if (p->comp && p->sub) s = part_at(s, n.m->d.sub, n.m->d.field, p->sub - 1u);
  }
  if (s.len == 0 && !keep_empty) return HDW_OK;
  n.off = (uint32_t)(s.p - n.m->bytes);
  n.len = s.len;
  n.comp = p->comp;
  n.sub = p->comp ? p->sub : 0;
  n.level = (uint8_t)(n.sub ? HL7_SUB : n.comp ? HL7_COMP : HL7_FIELD);
  collect_at(cx, b, &n, &st);
  return st;
}

/* All that p names in one segment. */
static hdw_status collect_field(vm_cx *cx, val_builder *b, const hl7_msg *m, uint32_t seg, const hl7_path *p) {
  hl7_slice f = hl7_field_raw(m, seg, p->field), part;
  hdw_status s = vm_charge(cx, f.len / 16 + 1);
  if (s || f.len == 0) return s;
  hl7_node n = {.m = m, .seg = seg, .seg_end = seg + 1, .field = p->field};
  if (is_delim_field(m, seg, p->field)) return p->rep > 0 ? HDW_OK : collect_part(cx, b, n, f, p, false, true);
  while (m->d.rep != m->d.field && f.len && f.p[f.len - 1] == m->d.rep) f.len--; /* empty repetitions at the end are no items */
  if (f.len == 0) return HDW_OK;
  if (p->rep >= 0) {
    if ((uint32_t)p->rep >= hl7_parts(f, m->d.rep, m->d.field)) return HDW_OK;
    n.rep = (uint32_t)p->rep;
    return collect_part(cx, b, n, part_at(f, m->d.rep, m->d.field, (uint32_t)p->rep), p, p->comp == 0, false);
  }
  char delim = m->d.rep;
  for (hl7_slice rest = f; !s && hl7_next(&rest, delim, &part); n.rep++) s = collect_part(cx, b, n, part, p, p->comp == 0, false);
  return s;
}

hdw_status hl7_get(vm_cx *cx, val base, const hl7_path *p, val *out) {
  if (p->field == 0) return hl7_segments(cx, base, p->seg, out);
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < val_count(base); i++) {
    const hl7_node *n = hl7_of(val_item(base, i));
    uint32_t from, to;
    if (!n || !hl7_range(n, &from, &to)) continue;
    if ((s = vm_charge(cx, (to - from) / 4 + 1))) return s;
    for (uint32_t k = from; k < to; k++)
      if (n->m->segs[k].name == p->seg && (s = collect_field(cx, &b, n->m, k, p))) return s;
  }
  *out = val_build(&b);
  return s;
}

hdw_status hl7_child(vm_cx *cx, val base, unsigned num, val *out) {
  val_builder b = {0};
  hdw_status s = HDW_OK;
  uint16_t k = cap16(num);
  for (uint32_t i = 0; i < val_count(base) && !s; i++) {
    const hl7_node *n = hl7_of(val_item(base, i));
    if (!n || num == 0 || num > UINT16_MAX) continue;
    hl7_slice raw = {n->m->bytes + n->off, n->len};
    if (n->level == HL7_SEG) s = collect_field(cx, &b, n->m, n->seg, &(hl7_path){.rep = -1, .field = k});
    else if (n->level == HL7_FIELD || n->level == HL7_COMP) {
      hl7_path p = {.field = n->field, .comp = n->comp ? n->comp : k, .sub = n->comp ? k : 0};
      bool whole = is_delim_field(n->m, n->seg, n->field);
      hl7_node part = {.m = n->m, .seg = n->seg, .seg_end = n->seg_end, .field = n->field, .rep = n->rep};
      if (n->level == HL7_COMP) { /* the slice is the component: only the sub-component is left to find */
        raw = whole ? raw : part_at(raw, n->m->d.sub, n->m->d.field, k - 1u);
        if (whole && k > 1) continue;
        if (raw.len == 0) continue;
        part.off = (uint32_t)(raw.p - n->m->bytes);
        part.len = raw.len;
        part.comp = n->comp;
        part.sub = k;
        part.level = HL7_SUB;
        collect_at(cx, &b, &part, &s);
      } else s = collect_part(cx, &b, part, raw, &p, false, whole);
    } else if (n->level == HL7_SUB && k == 1) collect_at(cx, &b, n, &s); /* a primitive is its own first part */
  }
  *out = val_build(&b);
  return s;
}

/* ---- text */

void hl7_warn(const hl7_msg *m, hl7_warning_kind kind, const hl7_problem *where) {
  if (m->hooks && m->hooks->warn && m->index->warnings++ < HL7_MAX_WARNINGS) m->hooks->warn(m->hooks->user, kind, where);
}

static void where_is(const hl7_node *n, hl7_problem *w) {
  *w = (hl7_problem){.code = 102,
                     .severity = 'W',
                     .field = n->field,
                     .rep = n->field ? cap16(n->rep + 1) : 0,
                     .comp = n->comp,
                     .sub = n->sub,
                     .offset = n->off};
  if (n->level < HL7_SEG || n->seg >= n->m->nsegs) return;
  uint32_t name = n->m->segs[n->seg].name, rep = 1;
  for (uint32_t i = 0; i < n->seg; i++) rep += n->m->segs[i].name == name;
  hl7_name_text(name, w->seg);
  w->seg_rep = cap16(rep);
}

void hl7_warn_at(const hl7_node *n, hl7_warning_kind kind, const char *text) {
  hl7_problem w;
  if (!n->m->hooks || !n->m->hooks->warn || n->m->index->warnings >= HL7_MAX_WARNINGS) return;
  where_is(n, &w);
  w.text = text;
  hl7_warn(n->m, kind, &w);
}

static const char bad_bytes[] = "bytes are invalid in the character set of the message and were replaced";

/* The part of hl7_slice_text that has something to decode. The place is worked out only when there is a warning to give. */
static hdw_status text_slow(vm_cx *cx, const hl7_msg *m, hl7_slice raw, const hl7_node *where, val *out) {
  size_t bad;
  hdw_status s = hl7_decode(cx->a, &m->d, m->ascii && m->no_escapes ? CHARSET_UTF8 : hl7_charset(m), raw, out, &bad);
  if (!s && bad) hl7_warn_at(where, HL7_W_CHARSET, bad_bytes);
  return s;
}

/* True when the bytes are the text: no escape, nothing above ASCII. */
static inline bool is_plain(const hl7_msg *m, hl7_slice raw) {
  if (m->ascii && m->no_escapes) return true;
  return (m->no_escapes || !memchr(raw.p, m->d.esc, raw.len)) && (m->ascii || charset_is_ascii(raw.p, raw.len));
}

static hdw_status text_of(vm_cx *cx, const hl7_msg *m, hl7_slice raw, const hl7_node *where, val *out) {
  *out = VAL_NONE;
  if (raw.len == 0 || hl7_slice_null(raw)) return HDW_OK;
  hdw_status s = vm_charge(cx, raw.len / 16 + 1);
  if (s) return s;
  *out = val_str(raw.p, raw.len);
  return is_plain(m, raw) ? HDW_OK : text_slow(cx, m, raw, where, out);
}

hdw_status hl7_slice_text(vm_cx *cx, const hl7_msg *m, hl7_slice raw, const hl7_node *where, val *out) {
  return text_of(cx, m, raw, where, out);
}

/* MSH-1 and MSH-2 have no escapes; what a broken line appends to MSH-2 may be anything. */
static hdw_status delim_text(vm_cx *cx, const hl7_msg *m, hl7_slice raw, val *out) {
  const char *p;
  size_t n;
  hdw_status s = charset_to_utf8(cx->a, hl7_charset(m), raw.p, raw.len, &p, &n, NULL);
  *out = s || n == 0 ? VAL_NONE : val_str(p, n);
  return s;
}

hdw_status hl7_text_in(vm_cx *cx, const hl7_msg *m, uint32_t seg, const hl7_path *p, val *out) {
  *out = VAL_NONE;
  if (seg >= m->nsegs || p->field == 0) return HDW_OK;
  hl7_slice f = hl7_field_raw(m, seg, p->field);
  if (f.len == 0) return HDW_OK;
  uint32_t rep = p->rep > 0 ? (uint32_t)p->rep : 0, comp = p->comp ? p->comp : 1, sub = p->sub ? p->sub : 1;
  if (is_delim_field(m, seg, p->field)) { return rep == 0 && comp == 1 && sub == 1 ? delim_text(cx, m, f, out) : HDW_OK; }
  const hl7_delims *d = &m->d;
  const char *q = f.p, *e = f.p + f.len;
  while (rep && d->rep != d->field) {
    q = (const char *)memchr(q, d->rep, (size_t)(e - q));
    if (!q) return HDW_OK;
    q++;
    rep--;
  }
  if (rep) return HDW_OK;
  const char *start = q;
  char cs = d->comp, rs = d->rep, ss = d->sub;
  for (uint32_t c = 1; q < e && c < comp; q++) { /* to the component */
    if (*q == rs) return HDW_OK;
    if (*q == cs && ++c == comp) start = q + 1;
  }
  if (comp > 1 && (start == f.p || start[-1] != cs)) return HDW_OK;
  q = start;
  for (uint32_t c = 1; c < sub; q++) {
    if (q == e || *q == rs || *q == cs) return HDW_OK;
    if (*q == ss && ++c == sub) start = q + 1;
  }
  q = start;
  while (q < e && *q != rs && *q != cs && *q != ss) q++;
  hl7_slice raw = hl7_cut(start, q);
  if (raw.len && m->ascii && m->no_escapes && !hl7_slice_null(raw)) { /* the usual case makes no node for warnings */
    *out = val_str(raw.p, raw.len);
    return vm_charge(cx, raw.len / 16 + 1);
  }
  hl7_node n = {.m = m,
                .off = (uint32_t)(start - m->bytes),
                .seg = seg,
                .rep = p->rep > 0 ? (uint32_t)p->rep : 0,
                .field = p->field,
                .comp = p->comp,
                .sub = p->sub,
                .level = HL7_SUB};
  return text_of(cx, m, raw, &n, out);
}

hdw_status hl7_text(vm_cx *cx, const hl7_msg *m, const hl7_path *p, val *out) {
  uint32_t k = hl7_find(m, p->seg, 0);
  hdw_status s = vm_charge(cx, (k < m->nsegs ? k : m->nsegs) / 16);
  return s ? s : hl7_text_in(cx, m, k, p, out);
}

/* Texts of all repetitions of one field. */
static hdw_status text_reps(vm_cx *cx, val_builder *b, const hl7_msg *m, uint32_t seg, const hl7_path *p) {
  hl7_slice rest = hl7_field_raw(m, seg, p->field), rep;
  hl7_node at = {.m = m, .seg = seg, .field = p->field, .comp = p->comp, .sub = p->sub, .level = HL7_SUB};
  hdw_status s = HDW_OK;
  val v;
  for (; !s && hl7_next(&rest, m->d.rep, &rep); at.rep++) {
    hl7_slice part = hl7_pick(&m->d, rep, 0, p->comp ? p->comp : 1, p->sub ? p->sub : 1);
    at.off = (uint32_t)(part.p - m->bytes);
    s = text_of(cx, m, part, &at, &v);
    if (!s) s = val_push(cx->a, b, v);
  }
  return s;
}

hdw_status hl7_text_all(vm_cx *cx, const hl7_msg *m, const hl7_path *p, val *out) {
  val_builder b = {0};
  hdw_status s = vm_charge(cx, m->nsegs / 4 + 1);
  val v;
  for (uint32_t k = hl7_find(m, p->seg, 0); !s && k != HL7_NO_SEGMENT; k = hl7_find(m, p->seg, k + 1)) {
    if (p->rep < 0 && p->field && !is_delim_field(m, k, p->field)) s = text_reps(cx, &b, m, k, p);
    else if (!(s = hl7_text_in(cx, m, k, p, &v))) s = val_push(cx->a, &b, v);
  }
  if (!s) *out = val_build(&b);
  return s;
}

hdw_status hl7_node_text(vm_cx *cx, const hl7_node *n, val *out) {
  *out = VAL_NONE;
  if (n->level < HL7_FIELD)
    return vm_fail(cx, HDW_E_TYPE, "a %s has no text of its own",
                   n->level == HL7_SEG     ? "segment"
                   : n->level == HL7_GROUP ? "group"
                                           : "message");
  hl7_slice raw = {n->m->bytes + n->off, n->len};
  if (is_delim_field(n->m, n->seg, n->field)) return delim_text(cx, n->m, raw, out);
  if (n->level == HL7_FIELD) raw = part_at(raw, n->m->d.comp, n->m->d.field, 0);
  if (n->level <= HL7_COMP) raw = part_at(raw, n->m->d.sub, n->m->d.field, 0);
  return text_of(cx, n->m, raw, n, out);
}

hdw_status hl7_node_whole(vm_cx *cx, const hl7_node *n, val *out) {
  *out = VAL_NONE;
  if (n->level < HL7_FIELD) return vm_fail(cx, HDW_E_TYPE, "a segment, group or message has no text of its own");
  hl7_slice raw = {n->m->bytes + n->off, n->len};
  if (raw.len == 0 || hl7_slice_null(raw)) return HDW_OK;
  if (is_delim_field(n->m, n->seg, n->field)) return delim_text(cx, n->m, raw, out);
  hdw_status s = vm_charge(cx, raw.len / 16 + 1);
  return s ? s : text_slow(cx, n->m, raw, n, out);
}

bool hl7_node_is_null(const hl7_node *n) { return n->level >= HL7_FIELD && hl7_slice_null((hl7_slice){n->m->bytes + n->off, n->len}); }

size_t hl7_node_place(const hl7_node *n, char *out, size_t size) {
  char t[48];
  size_t k = 0;
  if (n->level >= HL7_SEG && n->seg < n->m->nsegs) {
    hl7_name_text(n->m->segs[n->seg].name, t);
    k = 3;
    unsigned nums[] = {n->field, n->comp, n->sub};
    for (unsigned i = 0; i < 3 && nums[i]; i++) {
      char digits[12];
      unsigned dn = 0, v = nums[i];
      for (t[k++] = i ? '.' : '-'; v || !dn; v /= 10) digits[dn++] = (char)('0' + v % 10);
      while (dn) t[k++] = digits[--dn];
      if (i == 0 && n->rep) {
        for (t[k++] = '[', v = n->rep; v; v /= 10) digits[dn++] = (char)('0' + v % 10);
        while (dn) t[k++] = digits[--dn];
        t[k++] = ']';
      }
    }
  } else {
    memcpy(t, "message", k = 7);
  }
  if (size == 0) return 0;
  if (k >= size) k = size - 1;
  memcpy(out, t, k);
  out[k] = 0;
  return k;
}

/* Number at *i, 1 .. HL7_MAX_NUMBER (0 too when zero). False: none, or too big. */
static bool number(const char *s, size_t len, size_t *i, bool zero, uint32_t *out) {
  uint32_t v = 0;
  size_t from = *i;
  for (; *i < len && s[*i] >= '0' && s[*i] <= '9'; (*i)++) {
    v = v * 10 + (uint32_t)(s[*i] - '0');
    if (v > HL7_MAX_NUMBER) return false;
  }
  *out = v;
  return *i > from && (zero || v > 0);
}

hdw_status hl7_path_parse(const char *s, size_t len, hl7_path *out) {
  *out = (hl7_path){.rep = -1};
  if (len < 3 || !(out->seg = hl7_name(s, 3))) return HDW_E_SYNTAX;
  if (len == 3) return HDW_OK;
  size_t i = 4;
  uint32_t v;
  if (s[3] != '-' || !number(s, len, &i, false, &v)) return HDW_E_SYNTAX;
  out->field = (uint16_t)v;
  if (i < len && s[i] == '[') {
    i++;
    if (!number(s, len, &i, true, &v) || i >= len || s[i++] != ']') return HDW_E_SYNTAX;
    out->rep = (int32_t)v;
  }
  if (i < len && s[i] == '.') {
    i++;
    if (!number(s, len, &i, false, &v)) return HDW_E_SYNTAX;
    out->comp = (uint16_t)v;
  }
  if (out->comp && i < len && s[i] == '.') {
    i++;
    if (!number(s, len, &i, false, &v)) return HDW_E_SYNTAX;
    out->sub = (uint16_t)v;
  }
  return i == len ? HDW_OK : HDW_E_SYNTAX;
}
