/* hl7_ack.c - acknowledgements: what is owed, how it is written, how it is read (H-14 .. H-27). */
#include "hl7_int.h"

enum { ACK_MAX_BYTES = 1 << 20 };

static bool owed(hl7_slice cond, hl7_outcome o, bool empty_as_al) {
  if (cond.len == 0) return empty_as_al;
  if (hl7_slice_is(cond, "AL")) return true;
  if (hl7_slice_is(cond, "ER")) return o != HL7_OK;
  if (hl7_slice_is(cond, "SU")) return o == HL7_OK;
  if (hl7_slice_is(cond, "NE")) return false;
  return true; /* a condition that nobody knows: better one answer too many */
}

void hl7_plan_ack(const hl7_head *h, hl7_outcome o, bool lone_as_al, hl7_ack_plan *out) {
  static const char *const accept[] = {"CA", "CE", "CR"}, *const app[] = {"AA", "AE", "AR"};
  hl7_slice a = hl7_slice_null(h->accept_ack) ? (hl7_slice){h->accept_ack.p, 0} : h->accept_ack;
  hl7_slice b = hl7_slice_null(h->app_ack) ? (hl7_slice){h->app_ack.p, 0} : h->app_ack;
  *out = (hl7_ack_plan){0};
  if (a.len == 0 && b.len == 0) {
    out->app = app[o];
    return;
  }
  out->enhanced = true;
  out->lone = a.len == 0 || b.len == 0;
  if (owed(a, o, lone_as_al)) out->accept = accept[o];
  if (owed(b, o, lone_as_al)) out->app = app[o];
}

/* Compares dotted numbers as far as both have digits: "2.3.1" < "2.4"; letters after a digit are ignored ("2.2b"). -1 when s is no version.
 */
static int version_cmp(hl7_slice s, unsigned major, unsigned minor) {
  unsigned v[2] = {0, 0}, k = 0;
  bool any = false;
  for (uint32_t i = 0; i < s.len && k < 2; i++) {
    char c = s.p[i];
    if (c >= '0' && c <= '9') {
      if (v[k] > 10000) return 1;
      v[k] = v[k] * 10 + (unsigned)(c - '0');
      any = true;
    } else if (c == '.') k++;
    else break;
  }
  if (!any) return -1;
  if (v[0] != major) return v[0] < major ? -1 : 1;
  return v[1] < minor ? -1 : v[1] > minor;
}

static const char *code_text(uint16_t code) {
  switch (code) {
  case 100: return "Segment sequence error";
  case 101: return "Required field missing";
  case 102: return "Data type error";
  case 103: return "Table value not found";
  case 200: return "Unsupported message type";
  case 201: return "Unsupported event code";
  case 202: return "Unsupported processing id";
  case 203: return "Unsupported version id";
  case 204: return "Unknown key identifier";
  case 205: return "Duplicate key identifier";
  case 206: return "Application record locked";
  default: return "Application internal error";
  }
}

/* Everything that an acknowledgement needs while it is written. */
typedef struct writer {
  buf b;
  const hl7_head *h;
  const hl7_ack_opts *o;
  hl7_delims d; /* of the answer, all roles filled */
  bool before25;
} writer;

static void put_slice(writer *w, hl7_slice s) { buf_put(&w->b, s.p, s.len); }
static void put_fs(writer *w) { buf_putc(&w->b, w->d.field); }
static void put_text(writer *w, const char *t) {
  if (!t || w->b.status) return;
  hdw_status s = hl7_encode(&w->b, &w->d, CHARSET_ASCII, t, strlen(t), 0);
  if (s == HDW_E_DATA || s == HDW_E_CHARSET) s = HDW_OK; /* no escape character: the text is left out rather than written wrong */
  if (s) w->b.status = s;
}
static void put_num(writer *w, unsigned n) { buf_putf(&w->b, "%u", n); }

/* seg^seq^field and, where the layout has them, ^rep^comp^sub; trailing empty parts are left out. */
static void put_location(writer *w, const hl7_problem *e, bool full) {
  unsigned nums[] = {e->seg_rep, e->field, e->rep, e->comp, e->sub}, n = full ? 5 : 2;
  while (n && nums[n - 1] == 0) n--;
  if (!e->seg[0]) return;
  buf_puts(&w->b, e->seg);
  for (unsigned i = 0; i < n; i++) {
    buf_putc(&w->b, w->d.comp);
    if (nums[i]) put_num(w, nums[i]);
  }
}

static void put_code(writer *w, const hl7_problem *e, char sep) {
  put_num(w, e->code);
  buf_putc(&w->b, sep);
  put_text(w, code_text(e->code));
  buf_putc(&w->b, sep);
  buf_puts(&w->b, "HL70357");
}

/* Up to 2.4: one ERR, errors as repetitions of ERR-1 (segment^sequence^field^code&text&table). */
static void put_err_old(writer *w, const hl7_problem *e, unsigned n) {
  buf_puts(&w->b, "ERR");
  for (unsigned i = 0; i < n; i++) {
    buf_putc(&w->b, i ? w->d.rep : w->d.field);
    put_location(w, &e[i], false);
    unsigned parts = !e[i].seg[0] ? 0 : e[i].field ? 2 : e[i].seg_rep ? 1 : 0;
    for (; parts < 3; parts++) buf_putc(&w->b, w->d.comp);
    put_code(w, &e[i], w->d.sub);
  }
  buf_putc(&w->b, '\r');
}

/* From 2.5: one ERR per error: ERR-2 location, ERR-3 code, ERR-4 severity, ERR-7 diagnostic, ERR-8 user message. */
static void put_err(writer *w, const hl7_problem *e) {
  buf_puts(&w->b, "ERR");
  put_fs(w);
  put_fs(w);
  put_location(w, e, true);
  put_fs(w);
  put_code(w, e, w->d.comp);
  put_fs(w);
  buf_putc(&w->b, e->severity == 'W' || e->severity == 'I' ? e->severity : 'E');
  if (e->text || w->o->text) {
    put_fs(w);
    put_fs(w);
    put_fs(w);
    put_text(w, e->text);
    if (w->o->text) {
      put_fs(w);
      put_text(w, w->o->text);
    }
  }
  buf_putc(&w->b, '\r');
}

static void put_msh(writer *w) {
  const hl7_head *h = w->h;
  buf_puts(&w->b, "MSH");
  put_fs(w);
  put_slice(w, h->encoding);
  const hl7_slice swapped[] = {h->to_app, h->to_facility, h->app, h->facility};
  bool wide = !charset_is_ascii(h->processing.p, h->processing.len) || !charset_is_ascii(h->version.p, h->version.len) ||
              !charset_is_ascii(h->control_id.p, h->control_id.len);
  for (unsigned i = 0; i < 4; i++) {
    put_fs(w);
    put_slice(w, swapped[i]);
    wide |= !charset_is_ascii(swapped[i].p, swapped[i].len);
  }
  char now[TM_TEXT_MAX];
  put_fs(w);
  buf_put(&w->b, now, tm_format_hl7(&w->o->now, now));
  put_fs(w);
  put_fs(w);
  buf_puts(&w->b, "ACK");
  bool event = w->o->structure == 2 || (w->o->structure == 0 && version_cmp(h->version, 2, 4) >= 0);
  if (event && h->event.len) {
    buf_putc(&w->b, w->d.comp);
    put_slice(w, h->event);
    buf_putc(&w->b, w->d.comp);
    buf_puts(&w->b, "ACK");
  }
  put_fs(w);
  put_text(w, w->o->control_id);
  put_fs(w);
  put_slice(w, h->processing);
  put_fs(w);
  put_slice(w, h->version);
  if (wide && h->charset.len) { /* bytes were copied: say in which set they are */
    for (unsigned i = 12; i < 18; i++) put_fs(w);
    put_slice(w, h->charset);
  }
  buf_putc(&w->b, '\r');
}

static void put_msa(writer *w, const char *code) {
  buf_puts(&w->b, "MSA");
  put_fs(w);
  buf_puts(&w->b, code);
  put_fs(w);
  put_slice(w, w->h->control_id);
  const char *text = w->o->text ? w->o->text : w->before25 && w->o->nerrors ? w->o->errors[0].text : NULL;
  if (text || w->o->expected_sequence) {
    put_fs(w);
    put_text(w, text);
  }
  if (w->o->expected_sequence) {
    put_fs(w);
    buf_putf(&w->b, "%lld", (long long)w->o->sequence);
  }
  buf_putc(&w->b, '\r');
}

/* Roles that a short MSH-2 leaves out get a character that nothing else uses: the reader then takes it for data, and no field is broken in
 * two. */
static void fill_roles(hl7_delims *d) {
  char *roles[] = {&d->rep, &d->sub};
  for (unsigned i = 0; i < 2; i++)
    for (const char *c = i ? "&*!" : "~*!"; *c && *roles[i] == d->field; c++)
      if (*c != d->field && *c != d->comp && *c != d->rep && *c != d->sub && *c != d->esc) *roles[i] = *c;
}

hdw_status hl7_ack(arena *a, const char *in, size_t in_len, const hl7_ack_opts *o, hl7_slice *out) {
  static const hl7_problem no_id = {
      .status = HDW_E_DATA, .code = 101, .seg = "MSH", .seg_rep = 1, .field = 10, .severity = 'E', .text = "the message has no control id"};
  hl7_head h;
  hl7_problem why = {0};
  writer w = {.h = &h, .o = o};
  const char *code = o->code;
  if (o->head) h = *o->head;
  bool usable = o->head || hl7_head_read(in, in_len, &h, &why) == HDW_OK;
  if (!usable) { /* nothing of the request can be trusted: a minimal answer in the standard's own delimiters */
    memset(&h, 0, sizeof h);
    h.d = hl7_default_delims;
    h.encoding = (hl7_slice){"^~\\&", 4};
    h.processing = (hl7_slice){"P", 1};
    h.version = (hl7_slice){"2.5.1", 5};
    code = code[0] == 'C' ? "CR" : "AR";
  }
  bool lost = usable && (h.control_id.len == 0 || hl7_slice_null(h.control_id));
  if (lost) {
    h.control_id.len = 0;
    if (strcmp(code, "AA") == 0 || strcmp(code, "AE") == 0) code = "AR";
    if (strcmp(code, "CA") == 0 || strcmp(code, "CE") == 0) code = "CR";
  }
  w.d = h.d;
  w.before25 = version_cmp(h.version, 2, 5) < 0;
  fill_roles(&w.d);
  buf_init(&w.b, a, ACK_MAX_BYTES);
  put_msh(&w);
  put_msa(&w, code);
  hl7_problem unusable = why;
  const hl7_problem *errs = o->errors;
  unsigned n = o->nerrors;
  if (!usable && n == 0) errs = &unusable, n = 1;
  if (lost && n && errs[0].code == 101) n--, errs++; /* it says the same */
  if (w.before25 && (n || lost)) {
    if (lost) put_err_old(&w, &no_id, 1);
    if (n && !lost) put_err_old(&w, errs, n);
  } else {
    if (lost) put_err(&w, &no_id);
    for (unsigned i = 0; i < n; i++) put_err(&w, &errs[i]);
  }
  if (w.b.status) return (hdw_status)w.b.status;
  *out = (hl7_slice){w.b.p, (uint32_t)w.b.len};
  return HDW_OK;
}

static void read_error(const hl7_msg *m, uint32_t k, hl7_ack_info *out) {
  hl7_slice f2 = hl7_field_raw(m, k, 2), f3 = hl7_field_raw(m, k, 3), f1 = hl7_field_raw(m, k, 1), rep;
  hl7_ack_error e = {0};
  if (f2.len || f3.len) {
    e.location = hl7_pick(&m->d, f2, 0, 0, 0);
    e.code = hl7_pick(&m->d, f3, 0, 1, 1);
    e.text = hl7_pick(&m->d, f3, 0, 2, 1);
    e.severity = hl7_raw(m, k, 4, 0, 1, 1);
    if (e.text.len == 0) e.text = hl7_raw(m, k, 7, 0, 1, 1);
    if (e.text.len == 0) e.text = hl7_raw(m, k, 8, 0, 1, 1);
    if (out->nerrors < 8) out->errors[out->nerrors] = e;
    out->nerrors++;
    return;
  }
  if (f1.len == 0) return;
  for (hl7_slice rest = f1; hl7_next(&rest, m->d.rep, &rep);) {
    if (rep.len == 0) continue;
    hl7_slice c4 = hl7_pick(&m->d, rep, 0, 4, 0);
    e = (hl7_ack_error){.location = hl7_cut(rep.p, c4.len ? c4.p - 1 : rep.p + rep.len),
                        .code = hl7_pick(&m->d, rep, 0, 4, 1),
                        .text = hl7_pick(&m->d, rep, 0, 4, 2)};
    if (out->nerrors < 8) out->errors[out->nerrors] = e;
    out->nerrors++;
  }
}

hdw_status hl7_ack_read(const hl7_msg *m, hl7_ack_info *out) {
  static const char known[][3] = {"AA", "AE", "AR", "CA", "CE", "CR"};
  memset(out, 0, sizeof *out);
  out->own_id = hl7_field_raw(m, 0, 10);
  uint32_t k = hl7_find(m, HL7_NAME('M', 'S', 'A'), 0);
  if (k == HL7_NO_SEGMENT) return HDW_E_NOTFOUND;
  hl7_slice code = hl7_raw(m, k, 1, 0, 1, 1);
  for (unsigned i = 0; i < 6; i++)
    if (hl7_slice_is(code, known[i])) memcpy(out->code, known[i], 3);
  out->control_id = hl7_field_raw(m, k, 2);
  out->text = hl7_field_raw(m, k, 3);
  for (k = hl7_find(m, HL7_NAME('E', 'R', 'R'), 0); k != HL7_NO_SEGMENT; k = hl7_find(m, HL7_NAME('E', 'R', 'R'), k + 1))
    read_error(m, k, out);
  return HDW_OK;
}
