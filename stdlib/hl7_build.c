/* hl7_build.c - new messages and segments: ADT_A08(PID-3: ...), OBX(OBX-3.1: ...). */
#include "hl7_int.h"

/* Number of a segment's first place in the structure, document order, from 1; *times how often it has one. Depth is bounded by
 * HL7_GROUP_DEPTH. */
static void visit(const hl7_struct_node *g, unsigned depth, uint32_t name, uint32_t *count, uint32_t *first, uint32_t *times) {
  for (unsigned i = 0; i < g->n; i++) {
    const hl7_struct_node *c = &g->children[i];
    ++*count;
    if (c->is_group) {
      if (depth < HL7_GROUP_DEPTH) visit(c, depth + 1, name, count, first, times);
    } else if (hl7_name(c->name, strlen(c->name)) == name) {
      if (!*first) *first = *count;
      ++*times;
    }
  }
}

/* 0 when the structure does not say: the segment is unknown to it, or stands in several places. */
static uint32_t rank(const hl7_struct_node *root, uint32_t name) {
  uint32_t count = 0, first = 0, times = 0;
  if (root) visit(root, 0, name, &count, &first, &times);
  return times == 1 ? first : 0;
}

uint32_t hl7_draft_place(const hl7_draft *e, uint32_t name) {
  if (!e->order) return e->n;
  uint32_t mine = rank(e->order, name);
  if (!mine) return e->n ? (e->last < e->n ? e->last + 1 : e->n) : 0;
  for (uint32_t i = 0; i < e->n; i++)
    if (rank(e->order, e->segs[i].name) > mine) return i;
  return e->n;
}

static void put_str(buf *b, hl7_slice s) { buf_put(b, s.p, s.len); }

/* Reads "ADT_A08" to type and event, and finds what belongs in MSH-9.3. */
static void message_type(const hl7_build_defaults *d, const char *name, size_t len, hl7_slice t[3], const hl7_struct_node **root) {
  const char *u = (const char *)memchr(name, '_', len);
  t[0] = (hl7_slice){name, (uint32_t)(u ? (size_t)(u - name) : len)};
  t[1] = u ? (hl7_slice){u + 1, (uint32_t)(len - t[0].len - 1)} : (hl7_slice){name + len, 0};
  t[2] = u ? (hl7_slice){name, (uint32_t)len} : (hl7_slice){name, 0};
  *root = d->structure;
  if (!d->schema || !d->schema->structure) return;
  hl7_slice id = {NULL, 0};
  const hl7_struct_node *found = d->schema->structure(d->schema->user, t[0], t[1], t[2], &id);
  if (found && id.len && u) t[2] = id;
}

/* MSH-1 to MSH-12 before edits. */
static hdw_status default_head(hl7_draft *e, const char *name, size_t len, const hl7_build_defaults *d) {
  hl7_slice t[3];
  char now[TM_TEXT_MAX];
  buf b;
  buf_init(&b, e->cx->a, 1 << 16);
  message_type(d, name, len, t, &e->order);
  buf_puts(&b, "MSH|^~\\&|||||");
  buf_put(&b, now, tm_format_hl7(&d->now, now));
  buf_puts(&b, "||");
  put_str(&b, t[0]);
  for (unsigned i = 1; i < 3 && t[i].len; i++) {
    buf_putc(&b, '^');
    put_str(&b, t[i]);
  }
  buf_putc(&b, '|');
  hdw_status s = hl7_encode(&b, &e->d, e->cs, d->control_id, strlen(d->control_id), 0);
  if (s) return s;
  buf_puts(&b, "|P|");
  buf_puts(&b, d->version ? d->version : "2.5.1");
  if (b.status) return (hdw_status)b.status;
  return hl7_draft_add(e, 0, (hl7_edit_seg){HL7_NAME('M', 'S', 'H'), HL7_NO_SEGMENT, {b.p, (uint32_t)b.len}});
}

static bool draft_ascii(const hl7_draft *e) {
  for (uint32_t i = 0; i < e->n; i++)
    if (!charset_is_ascii(e->segs[i].text.p, e->segs[i].text.len)) return false;
  return true;
}

hdw_status hl7_build_message(vm_cx *cx, const char *name, size_t len, const hl7_edit *edits, unsigned n, const hl7_build_defaults *d,
                             val *out) {
  if (len < 3 || len > 32) return vm_fail(cx, HDW_E_INVALID, "a message type is wanted");
  hl7_draft e = {.cx = cx, .d = hl7_default_delims, .enc = {"^~\\&", 4}, .cs = CHARSET_UTF8};
  hdw_status s = default_head(&e, name, len, d);
  const hl7_path msh18 = {HL7_NAME('M', 'S', 'H'), -1, 18, 0, 0};
  bool set = false;
  for (unsigned i = 0; i < n; i++) set |= edits[i].op == HL7_SET && edits[i].path.seg == msh18.seg && edits[i].path.field == 18;
  if (!s && set) s = hl7_draft_charset(&e, edits, n);
  for (unsigned i = 0; i < n && !s; i++) s = hl7_draft_edit(&e, &edits[i]);
  if (!s && !set && !draft_ascii(&e)) { /* what is not ASCII says which set it is in */
    hl7_edit ed = {HL7_SET, msh18, val_cstr("UNICODE UTF-8")};
    s = hl7_draft_edit(&e, &ed);
  }
  hl7_msg *m;
  if (!s) s = hl7_draft_done(&e, false, &m);
  if (s) return s;
  m->schema = d->schema;
  m->hooks = d->hooks;
  hl7_set_structure(m, d->structure);
  return hl7_value(cx->a, m, out);
}

hdw_status hl7_build_segment(vm_cx *cx, uint32_t name, const hl7_edit *edits, unsigned n, val *out) {
  if (!name || hl7_is_header(name)) return vm_fail(cx, HDW_E_INVALID, "a segment other than a header is wanted");
  char *text = (char *)arena_alloc(cx->a, 4);
  if (!text) return HDW_E_NOMEM;
  hl7_name_text(name, text);
  hl7_draft e = {.cx = cx, .d = hl7_default_delims, .enc = {"^~\\&", 4}, .cs = CHARSET_UTF8};
  hdw_status s = hl7_draft_add(&e, 0, (hl7_edit_seg){name, HL7_NO_SEGMENT, {text, 3}});
  for (unsigned i = 0; i < n && !s; i++) {
    if (edits[i].op != HL7_SET || edits[i].path.seg != name || edits[i].path.field == 0)
      return vm_fail(cx, HDW_E_INVALID, "%s: fields of this segment are wanted", text);
    s = hl7_draft_edit(&e, &edits[i]);
  }
  hl7_msg *m;
  if (!s) s = hl7_draft_done(&e, true, &m);
  if (s) return s;
  return hl7_node_new(cx->a, &(hl7_node){.m = m, .len = m->len, .seg_end = 1, .level = HL7_SEG}, out);
}
