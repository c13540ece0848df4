/* hl7_batch.c - files and batches: [FHS] { [BHS] { message } [BTS] } [FTS] (H-43 .. H-45). */
#include "hl7_int.h"

typedef struct splitter {
  arena *a;
  const char *p;
  uint32_t len;
  bool cr; /* lines end with CR (or CRLF); else with LF */
  hl7_batch *out;
  uint32_t cap;
  uint32_t messages; /* since the last BHS or BTS */
  uint32_t batches;  /* since the last FHS or FTS */
} splitter;

static bool punct(char c) {
  return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && c != '"';
}

/* Kind of part that a line begins; HL7_PART_JUNK when none. */
static hl7_part_kind kind_of(const char *p, const char *end) {
  static const char names[][4] = {"MSH", "FHS", "BHS", "BTS", "FTS"};
  for (unsigned i = 0; i < 5; i++) {
    if (end - p < 3 || memcmp(p, names[i], 3) != 0) continue;
    if (i >= 3 && (end - p == 3 || p[3] == '\r' || p[3] == '\n')) return (hl7_part_kind)i;
    if (end - p > 3 && punct(p[3])) return (hl7_part_kind)i;
  }
  return HL7_PART_JUNK;
}

/* In a file whose segments end with CR a LF is data (H-32), but for an empty line before an MSH: some writers put one between messages. */
static const char *line_end(const splitter *x, const char *p) {
  const char *end = x->p + x->len, *e = p < end ? (const char *)memchr(p, x->cr ? '\r' : '\n', (size_t)(end - p)) : NULL;
  if (!e) e = end;
  for (const char *q = p; x->cr && q < e && (q = (const char *)memchr(q, '\n', (size_t)(e - q)));) {
    const char *first = q;
    while (q < e && *q == '\n') q++;
    if (q - first > 1 && kind_of(q, end) == HL7_PART_MESSAGE) return first;
  }
  return e;
}

/* Field n (n > 1 in headers) of the line at p. */
static hl7_slice line_field(const splitter *x, const char *p, unsigned n) {
  const char *e = line_end(x, p);
  hl7_slice f = {e, 0}, rest = hl7_cut(p, e);
  char sep = e - p > 3 ? p[3] : 0;
  for (unsigned k = 0; k <= n; k++)
    if (!sep || !hl7_next(&rest, sep, &f)) return (hl7_slice){e, 0};
  return f;
}

static bool count_of(hl7_slice s, uint32_t *out) {
  uint64_t v = 0;
  if (s.len == 0 || s.len > 9) return false;
  for (uint32_t i = 0; i < s.len; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return false;
    v = v * 10 + (uint64_t)(s.p[i] - '0');
  }
  *out = (uint32_t)v;
  return true;
}

static void check_count(splitter *x, const char *p, const char *seg, uint32_t have, const char *text) {
  hl7_slice f = line_field(x, p, 1);
  uint32_t want;
  if (!count_of(f, &want) || want == have || x->out->counts_wrong) return;
  x->out->counts_wrong = true;
  x->out->problem = (hl7_problem){
      .status = HDW_E_DATA, .code = 100, .offset = (uint32_t)(f.p - x->p), .seg_rep = 1, .field = 1, .severity = 'E', .text = text};
  memcpy(x->out->problem.seg, seg, 4);
}

static hdw_status add_part(splitter *x, hl7_part_kind kind, const char *p, uint32_t line) {
  hl7_batch *b = x->out;
  if (b->nparts == x->cap) {
    uint32_t cap = x->cap ? x->cap * 2 : 4;
    if (cap > HL7_MAX_SEGMENTS) return HDW_E_LIMIT;
    hl7_part *g = (hl7_part *)arena_grow(x->a, b->parts, x->cap * sizeof *g, cap * sizeof *g);
    if (!g) return HDW_E_NOMEM;
    b->parts = g;
    x->cap = cap;
  }
  if (kind == HL7_PART_MESSAGE) {
    b->nmessages++;
    x->messages++;
  } else if (kind != HL7_PART_JUNK) {
    b->has_envelope = true;
  }
  if (kind == HL7_PART_BHS) {
    b->nbatches++;
    x->batches++;
    x->messages = 0;
  }
  bool inside = b->nparts && b->parts[b->nparts - 1].batch == b->nbatches && b->parts[b->nparts - 1].kind != HL7_PART_BTS &&
                b->parts[b->nparts - 1].kind != HL7_PART_FTS;
  bool under = b->nbatches && (kind == HL7_PART_BHS || (inside && kind != HL7_PART_FHS && kind != HL7_PART_FTS));
  b->parts[b->nparts++] = (hl7_part){.kind = kind, .off = (uint32_t)(p - x->p), .line = line, .batch = under ? b->nbatches : 0};
  if (kind == HL7_PART_FHS) x->batches = 0;
  if (kind == HL7_PART_BTS) {
    check_count(x, p, "BTS", x->messages, "the number of messages is not the one that BTS-1 states");
    x->messages = 0;
  }
  if (kind == HL7_PART_FTS && x->batches) check_count(x, p, "FTS", x->batches, "the number of batches is not the one that FTS-1 states");
  if (kind == HL7_PART_FTS) x->batches = 0;
  return HDW_OK;
}

/* Length of a part that ends before `end`: MLLP bytes and empty lines behind the last segment do not belong to it, one line end does. */
static void close_part(splitter *x, const char *end) {
  if (x->out->nparts == 0) return;
  hl7_part *t = &x->out->parts[x->out->nparts - 1];
  const char *p = x->p + t->off, *e = end;
  while (e > p && (e[-1] == '\r' || e[-1] == '\n' || e[-1] == 0x0B || e[-1] == 0x1C)) e--;
  const char *cr = x->cr && e < end ? (const char *)memchr(e, '\r', (size_t)(end - e)) : NULL; /* a LF before it is data */
  if (cr) e = cr;
  if (e < end && *e == (x->cr ? '\r' : '\n')) e++;
  if (x->cr && e < end && *e == '\n') e++;
  t->len = (uint32_t)(e - p);
}

/* H-45: MSH-14 or a DSC with a continuation pointer says that this is not all. */
static bool is_continued(const splitter *x, const char *msh, const char *last_dsc) {
  return line_field(x, msh, 13).len > 0 || (last_dsc && line_field(x, last_dsc, 1).len > 0);
}

hdw_status hl7_split(arena *a, const char *bytes, size_t len, hl7_batch **out, hl7_problem *why) {
  *out = NULL;
  if (len > INT32_MAX) return HDW_E_LIMIT;
  splitter x = {.a = a, .p = bytes, .len = (uint32_t)len};
  x.out = (hl7_batch *)arena_zalloc(a, 1, sizeof *x.out);
  if (!x.out) return HDW_E_NOMEM;
  x.out->bytes = bytes;
  size_t n = len, lead = hl7_trim(bytes, &n);
  x.cr = n && memchr(bytes + lead, '\r', n);
  const char *end = bytes + len, *p = bytes + lead, *dsc = NULL, *msh = NULL;
  uint32_t line = 1;
  for (const char *q = bytes; q < p; q++) line += *q == '\n' || (*q == '\r' && !(q + 1 < end && q[1] == '\n'));
  while (p < end) {
    hl7_part_kind kind = kind_of(p, end);
    if (kind != HL7_PART_JUNK || x.out->nparts == 0) {
      if (msh) x.out->parts[x.out->nparts - 1].continued = is_continued(&x, msh, dsc);
      close_part(&x, p);
      hdw_status s = add_part(&x, kind, p, line);
      if (s) return s;
      msh = kind == HL7_PART_MESSAGE ? p : NULL;
      dsc = NULL;
    } else if (end - p > 3 && memcmp(p, "DSC", 3) == 0 && punct(p[3])) {
      dsc = p;
    }
    p = line_end(&x, p);
    if (p < end) line++;
    if (p < end) p++;
    if (x.cr && p < end && *p == '\n') p++;
    while (p < end && (*p == '\r' || *p == '\n' || *p == 0x0B || *p == 0x1C)) { /* empty lines and frame bytes between messages */
      line += *p == '\n' || (*p == '\r' && !(p + 1 < end && p[1] == '\n'));
      p++;
    }
  }
  if (msh) x.out->parts[x.out->nparts - 1].continued = is_continued(&x, msh, dsc);
  close_part(&x, end);
  if (!x.out->nmessages && !x.out->has_envelope) {
    if (why)
      *why = (hl7_problem){.status = HDW_E_SYNTAX,
                           .code = 100,
                           .offset = (uint32_t)lead,
                           .severity = 'E',
                           .text = "there is neither MSH nor FHS nor BHS at the start of a line"};
    return HDW_E_SYNTAX;
  }
  *out = x.out;
  return HDW_OK;
}

hdw_status hl7_batch_ack(arena *a, const hl7_batch *b, uint32_t batch, const hl7_slice *acks, unsigned nacks, const char *control_id,
                         const tm_val *now, hl7_slice *out) {
  const hl7_part *h = NULL;
  for (uint32_t i = 0; i < b->nparts; i++)
    if (b->parts[i].kind == HL7_PART_BHS && b->parts[i].batch == batch) h = &b->parts[i];
  if (!h) return HDW_E_NOTFOUND;
  hl7_msg *m;
  hdw_status s = hl7_parse(a, b->bytes + h->off, h->len, NULL, &m, NULL);
  if (s) return s;
  size_t total = 4096 + h->len;
  for (unsigned i = 0; i < nacks; i++) total += acks[i].len;
  buf w;
  buf_init(&w, a, total);
  char t[TM_TEXT_MAX];
  static const uint8_t order[] = {2, 5, 6, 3, 4};
  buf_puts(&w, "BHS");
  for (unsigned i = 0; i < 5; i++) {
    hl7_slice f = hl7_field_raw(m, 0, order[i]);
    buf_putc(&w, m->d.field);
    buf_put(&w, f.p, f.len);
  }
  buf_putc(&w, m->d.field);
  buf_put(&w, t, tm_format_hl7(now, t));
  for (unsigned i = 0; i < 4; i++) buf_putc(&w, m->d.field);
  s = hl7_encode(&w, &m->d, CHARSET_ASCII, control_id, strlen(control_id), 0);
  if (s) return s;
  buf_putc(&w, m->d.field);
  hl7_slice ref = hl7_field_raw(m, 0, 11);
  buf_put(&w, ref.p, ref.len);
  buf_putc(&w, '\r');
  for (unsigned i = 0; i < nacks; i++) buf_put(&w, acks[i].p, acks[i].len);
  buf_putf(&w, "BTS%c%u\r", m->d.field, nacks);
  *out = (hl7_slice){w.p, (uint32_t)w.len};
  return (hdw_status)w.status;
}
