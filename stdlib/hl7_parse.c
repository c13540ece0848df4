/* hl7_parse.c - bytes to a table of segments, and the index of fields. */
#include "hl7_int.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

const hl7_delims hl7_default_delims = {'|', '^', '~', '\\', '&', '|'};

static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_name(const char *p) {
  return is_upper(p[0]) && (is_upper(p[1]) || (p[1] >= '0' && p[1] <= '9')) && (is_upper(p[2]) || (p[2] >= '0' && p[2] <= '9'));
}

uint32_t hl7_name(const char *s, size_t len) { return len == 3 && is_name(s) ? HL7_NAME(s[0], s[1], s[2]) : 0; }

void hl7_name_text(uint32_t name, char out[4]) {
  out[0] = (char)(name >> 16);
  out[1] = (char)(name >> 8);
  out[2] = (char)name;
  out[3] = 0;
}

static hdw_status problem(hl7_problem *why, hdw_status s, uint16_t code, size_t offset, const char *seg, uint16_t field, const char *text) {
  if (why) {
    *why = (hl7_problem){
        .status = s, .code = code, .offset = (uint32_t)offset, .field = field, .seg_rep = seg[0] ? 1 : 0, .severity = 'E', .text = text};
    memcpy(why->seg, seg, strlen(seg));
  }
  return s;
}

/* A delimiter is a printable ASCII character that is neither letter, digit nor blank. */
static bool can_delimit(char c) {
  return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') && !is_upper(c) && !(c >= 'a' && c <= 'z') && c != '"';
}

hdw_status hl7_read_delims(const char *p, size_t len, hl7_delims *d, size_t *enc_len, hl7_problem *why) {
  if (len < 3 || !is_name(p) || !hl7_is_header(HL7_NAME(p[0], p[1], p[2])))
    return problem(why, HDW_E_SYNTAX, 100, 0, "", 0, "the message does not begin with MSH");
  char seg[4] = {p[0], p[1], p[2], 0};
  if (len < 4) return problem(why, HDW_E_SYNTAX, 101, 3, seg, 1, "the message ends before the field separator");
  char f = p[3];
  if (!can_delimit(f))
    return problem(why, HDW_E_SYNTAX, 102, 3, seg, 1, "the field separator is a letter, a digit, a blank or a control character");
  size_t n = 0;
  while (4 + n < len && p[4 + n] != f && p[4 + n] != '\r' && p[4 + n] != '\n') {
    if (n == 5) return problem(why, HDW_E_SYNTAX, 102, 9, seg, 2, "there are more than five encoding characters");
    char c = p[4 + n];
    if (!can_delimit(c))
      return problem(why, HDW_E_SYNTAX, 102, 4 + n, seg, 2, "an encoding character is a letter, a digit, a blank or a control character");
    if (memchr(p + 4, c, n)) return problem(why, HDW_E_SYNTAX, 102, 4 + n, seg, 2, "an encoding character is repeated");
    n++;
  }
  if (n == 0) return problem(why, HDW_E_SYNTAX, 101, 4, seg, 2, "there are no encoding characters");
  *d = (hl7_delims){f, f, f, f, f, f};
  d->comp = p[4];
  if (n > 1) d->rep = p[5];
  if (n > 2) d->esc = p[6];
  if (n > 3) d->sub = p[7];
  if (n > 4) d->trunc = p[8];
  *enc_len = n;
  return HDW_OK;
}

size_t hl7_trim(const char *p, size_t *len) {
  size_t n = *len, i = 0;
  if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) i = 3;
  while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n' || p[i] == 0x0B)) i++;
  if (n - i >= 3 && memcmp(p + i, "\xEF\xBB\xBF", 3) == 0) i += 3; /* a mark inside the frame */
  size_t end = n;
  while (n > i && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == 0x1C)) n--;
  const char *cr = end > n ? (const char *)memchr(p + n, '\r', end - n) : NULL; /* a LF before the last CR may be data */
  *len = (cr ? (size_t)(cr - p) : n) - i;
  return i;
}

/* State of one parse. Offsets are relative to p. */
typedef struct parser {
  arena *a;
  const char *p;
  uint32_t len, body; /* body: offset behind MSH-2 */
  char fs, esc;
  hl7_segment *segs;
  uint32_t nsegs, cap;
  uint32_t line; /* start of the current line */
  uint64_t nsep;
  bool high, escapes, end, slow;
  hdw_status s;
} parser;

static bool push(parser *x, const char *name, uint32_t off, uint32_t end) {
  if (x->nsegs == x->cap) {
    if (x->nsegs >= HL7_MAX_SEGMENTS) return x->s = HDW_E_LIMIT, false;
    uint32_t cap = x->cap * 2;
    hl7_segment *g = (hl7_segment *)arena_grow(x->a, x->segs, x->cap * sizeof *g, cap * sizeof *g);
    if (!g) return x->s = HDW_E_NOMEM, false;
    x->segs = g;
    x->cap = cap;
  }
  x->segs[x->nsegs++] = (hl7_segment){HL7_NAME(name[0], name[1], name[2]), off, end - off, HL7_NO_SEGMENT, 0};
  return true;
}

static bool is_segment(const parser *x, const char *p, const char *end) {
  return end - p >= 3 && is_name(p) && (end - p == 3 || p[3] == x->fs);
}

static bool blank_rest(const char *p, const char *end) {
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n' || *p == 0x0B || *p == 0x1C)) p++;
  return p == end;
}

/* One line of the straight path: [x->line, end). False: stop (end of the message, slow path needed, or an error). */
static bool take_line(parser *x, uint32_t end, char term) {
  uint32_t off = x->line;
  x->line = end + 1;
  while (term == '\r' && x->line < x->len && x->p[x->line] == '\n') x->line++;
  if (end == off) return true;
  if (is_segment(x, x->p + off, x->p + end)) return push(x, x->p + off, off, end);
  if (blank_rest(x->p + off, x->p + x->len)) x->end = true;
  else x->slow = true;
  return false;
}

static inline void note_byte(parser *x, char c) {
  x->nsep += c == x->fs;
  x->high |= (c & 0x80) != 0;
  x->escapes |= c == x->esc;
}

/* The straight path: every line is a segment. Finds line ends, counts field separators and notes what kinds of bytes there are, 16 at a
 * time. */
static void scan(parser *x, char term) {
  uint32_t i = x->body;
#if defined(__SSE2__)
  const __m128i vterm = _mm_set1_epi8(term), vfs = _mm_set1_epi8(x->fs), vesc = _mm_set1_epi8(x->esc), zero = _mm_setzero_si128();
  __m128i high = zero, esc = zero, count = zero;
  while (x->len - i >= 16) {
    uint32_t stop = x->len - i > 16 * 255 ? i + 16 * 255 : x->len; /* the 8-bit counters hold 255 blocks */
    __m128i c8 = zero;
    for (; stop - i >= 16; i += 16) {
      __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(x->p + i));
      high = _mm_or_si128(high, v);
      esc = _mm_or_si128(esc, _mm_cmpeq_epi8(v, vesc));
      c8 = _mm_sub_epi8(c8, _mm_cmpeq_epi8(v, vfs));
      unsigned m = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, vterm));
      for (; m; m &= m - 1) {
        uint32_t at = i + (uint32_t)__builtin_ctz(m);
        if (!take_line(x, at, term)) return;
      }
    }
    count = _mm_add_epi64(count, _mm_sad_epu8(c8, zero));
  }
  x->nsep += (uint64_t)_mm_cvtsi128_si64(count) + (uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(count, 8));
  x->high |= _mm_movemask_epi8(high) != 0;
  x->escapes |= _mm_movemask_epi8(esc) != 0;
#endif
  for (; i < x->len; i++) {
    note_byte(x, x->p[i]);
    if (x->p[i] == term && i >= x->line && !take_line(x, i, term)) return;
  }
  if (x->line < x->len) take_line(x, x->len, term);
}

/* Line end at or after i: sets *next behind it. */
static uint32_t line_end(const parser *x, uint32_t i, hl7_eol eol, char term, uint32_t *next) {
  for (; i < x->len; i++) {
    char c = x->p[i];
    if (c == '\r' && (term == '\r' || eol == HL7_EOL_ANY)) {
      for (*next = i + 1; *next < x->len && x->p[*next] == '\n';) ++*next; /* LFs directly behind a CR are part of the line end */
      return i;
    }
    if (c == '\n' && (term == '\n' || (eol == HL7_EOL_ANY && is_segment(x, x->p + i + 1, x->p + x->len)))) {
      *next = i + 1;
      return i;
    }
  }
  *next = x->len;
  return x->len;
}

/* A line of three letters is a segment without fields, unless text follows that no segment name begins: then it is a word of that text.
 * Looks from offset i for the next line that decides; *known is where that line is, for the lines of three letters up to there have the
 * same answer. */
static bool name_alone(const parser *x, uint32_t i, hl7_eol eol, char term, uint32_t *known) {
  uint32_t next;
  for (; i < x->len; i = next) {
    uint32_t e = line_end(x, i, eol, term, &next);
    *known = i;
    if (e == i) continue;
    if (!is_segment(x, x->p + i, x->p + e)) return blank_rest(x->p + i, x->p + x->len);
    if (e - i > 3) return true;
  }
  *known = x->len;
  return true;
}

/* The general path: copies the message with CR as its only line end and joins lines without a segment name to what is before them (H-33).
 * An empty line is a line end when a segment follows it and data when such a line follows it. */
static hdw_status copy_lines(parser *x, hl7_eol eol, char term, bool strict, hl7_problem *why, uint32_t *continued) {
  char *out = (char *)arena_alloc(x->a, (size_t)x->len + 1);
  if (!out) return HDW_E_NOMEM;
  uint32_t o = 0, empty = 0, start = 0, next, known = 0;
  bool alone = true;
  x->nsegs = 0;
  x->nsep = 0;
  *continued = 0;
  for (uint32_t i = 0; i < x->len; i = next) {
    uint32_t e = line_end(x, i, eol, term, &next);
    const char *p = x->p + i, *pe = x->p + e;
    if (p == pe) {
      empty++;
      continue;
    }
    bool seg = is_segment(x, p, pe);
    if (seg && pe - p == 3 && o) {
      if (i >= known) alone = name_alone(x, next, eol, term, &known);
      seg = alone;
    }
    if (!seg && blank_rest(p, x->p + x->len)) break;
    if (!seg && strict) return problem(why, HDW_E_SYNTAX, 100, i, "", 0, "a line does not begin with a segment name");
    if (!seg) (*continued)++;
    if (seg && o) {
      if (!push(x, out + start, start, o)) return x->s;
      out[o++] = '\r';
    } else if (!seg) {
      for (empty++; empty; empty--) out[o++] = '\r';
    }
    if (seg) start = o;
    empty = 0;
    memcpy(out + o, p, (size_t)(pe - p));
    o += (uint32_t)(pe - p);
  }
  if (!push(x, out + start, start, o)) return x->s;
  x->p = out;
  x->len = o;
  x->high = x->escapes = false;
  for (uint32_t i = x->body; i < o; i++) note_byte(x, out[i]);
  return HDW_OK;
}

static hdw_status finish(parser *x, hl7_msg **out, const hl7_delims *d) {
  hl7_msg *m = (hl7_msg *)arena_zalloc(x->a, 1, sizeof *m + sizeof(hl7_index));
  uint64_t nsep = 0; /* counted on what is kept: the paths above count while they still decide where it ends */
  for (uint32_t i = 0; i < x->len; i++) nsep += x->p[i] == x->fs;
  uint64_t cap = nsep + x->nsegs + 1;
  if (!m || cap > UINT32_MAX / 4) return m ? HDW_E_LIMIT : HDW_E_NOMEM;
  hl7_index *ix = (hl7_index *)(void *)(m + 1);
  ix->segs = x->segs;
  ix->cap = (uint32_t)cap;
  ix->seps = (uint32_t *)arena_alloc(x->a, cap * sizeof *ix->seps);
  ix->places = (hl7_place *)arena_alloc(x->a, x->nsegs * sizeof *ix->places);
  if (!ix->seps || !ix->places) return HDW_E_NOMEM;
  m->bytes = x->p;
  m->len = x->len;
  m->nsegs = x->nsegs;
  m->segs = x->segs;
  m->index = ix;
  m->d = *d;
  m->ascii = !x->high;
  m->no_escapes = !x->escapes || d->esc == d->field;
  *out = m;
  return HDW_OK;
}

/* Character set of the bytes from MSH-18, options and content (H-37). */
static hdw_status find_charset(hl7_msg *m, const hl7_opts *o, charset_id wide, hl7_problem *why) {
  hl7_slice f = hl7_pick(&m->d, hl7_field_raw(m, 0, 18), 0, 0, 0);
  charset_id cs = m->segs[0].name == HL7_NAME('M', 'S', 'H') ? charset_find(f.p, f.len) : CHARSET_NONE;
  if (wide != CHARSET_NONE || cs == CHARSET_UTF16 || cs == CHARSET_UTF32) cs = CHARSET_UTF8; /* without a mark the bytes are not UTF-16 */
  if (o && o->force_charset != CHARSET_NONE) cs = o->force_charset;
  if (cs == CHARSET_NONE) cs = o && o->charset != CHARSET_NONE ? o->charset : CHARSET_AUTO;
  if (cs == CHARSET_UNKNOWN && !m->ascii && !(o && o->strict)) {
    hl7_problem w = {.code = 103, .seg = "MSH", .seg_rep = 1, .field = 18, .severity = 'W', .text = charset_refusal(cs)};
    hl7_warn(m, HL7_W_CHARSET, &w);
    cs = o && o->charset != CHARSET_NONE ? o->charset : CHARSET_AUTO;
  }
  if (cs != CHARSET_AUTO && !charset_supported(cs)) {
    if (!m->ascii || memchr(m->bytes, 0x1B, m->len)) { /* the Japanese sets shift with ESC and look like ASCII */
      problem(why, HDW_E_UNSUPPORTED, 103, f.len ? (size_t)(f.p - m->bytes) : 0, "MSH", 18, charset_refusal(cs));
      return HDW_E_UNSUPPORTED;
    }
    cs = CHARSET_ASCII;
  }
  if (cs == CHARSET_AUTO && m->ascii) cs = CHARSET_UTF8;
  m->charset = (uint8_t)cs;
  m->index->charset = (uint8_t)cs;
  return HDW_OK;
}

/* H-39: in strict mode text that its character set does not allow is an error. */
static hdw_status check_bytes(const hl7_msg *m, hl7_problem *why) {
  if (m->ascii || (m->charset != CHARSET_UTF8 && m->charset != CHARSET_ASCII)) return HDW_OK;
  size_t ok = 0;
  if (m->charset == CHARSET_UTF8) ok = charset_utf8_prefix(m->bytes, m->len);
  else
    while (ok < m->len && !(m->bytes[ok] & 0x80)) ok++;
  if (ok == m->len) return HDW_OK;
  uint32_t k = 0;
  while (k + 1 < m->nsegs && m->segs[k + 1].off <= ok) k++;
  char seg[4];
  hl7_name_text(m->segs[k].name, seg);
  hdw_status s = problem(why, HDW_E_CHARSET, 102, ok, seg, 0, "bytes are invalid in the character set of the message");
  uint32_t rep = 0;
  for (uint32_t i = 0; i <= k; i++) rep += m->segs[i].name == m->segs[k].name;
  if (why) why->seg_rep = (uint16_t)(rep > 65535 ? 65535 : rep);
  if (why)
    for (uint32_t f = 1, n = hl7_field_count(m, k); f <= n; f++)
      if ((size_t)(hl7_field_raw(m, k, f).p - m->bytes) <= ok) why->field = (uint16_t)(f > 65535 ? 65535 : f);
  return s;
}

/* A LF before something like a segment, in a message that ends its segments with CR, is data by rule and yet worth a word. */
static void warn_both_ends(const parser *x, const hl7_msg *m) {
  const char *p = m->bytes, *end = p + m->len;
  while (p < end && (p = (const char *)memchr(p, '\n', (size_t)(end - p)))) {
    if (is_segment(x, ++p, end)) {
      hl7_problem w = {.code = 100,
                       .severity = 'W',
                       .offset = (uint32_t)(p - m->bytes),
                       .text = "a line feed in a message whose segments end with CR is data"};
      hl7_warn(m, HL7_W_BOTH_ENDS, &w);
      return;
    }
  }
}

/* H-32: CR when there is one, else LF. A CR at the very end only (`closed`) decides when no LF is followed by a segment: files exist whose
 * lines end with LF but for the last. */
static char find_term(const parser *x, bool closed) {
  const char *p = x->p, *end = p + x->len;
  if (memchr(p, '\r', x->len)) return '\r';
  if (!closed) return '\n';
  while (p < end && (p = (const char *)memchr(p, '\n', (size_t)(end - p))))
    if (is_segment(x, ++p, end)) return '\n';
  return '\r';
}

static hdw_status parse_at(arena *a, const char *p, size_t len, bool closed, const hl7_opts *o, charset_id wide, hl7_msg **out,
                           hl7_problem *why) {
  hl7_delims d;
  size_t enc;
  hdw_status s = hl7_read_delims(p, len, &d, &enc, why);
  if (s) return s;
  if (len > INT32_MAX) return problem(why, HDW_E_LIMIT, 207, 0, "", 0, "the message is longer than 2 GiB");
  parser x = {.a = a, .p = p, .len = (uint32_t)len, .body = (uint32_t)(4 + enc), .fs = d.field, .esc = d.esc};
  x.cap = (uint32_t)(len / 64 + 8);
  x.segs = (hl7_segment *)arena_alloc(a, x.cap * sizeof *x.segs);
  if (!x.segs) return problem(why, HDW_E_NOMEM, 207, 0, "", 0, "the memory limit is reached");
  hl7_eol eol = o ? o->eol : HL7_EOL_AUTO;
  char term = eol != HL7_EOL_AUTO ? '\r' : find_term(&x, closed);
  uint32_t continued = 0;
  if (eol == HL7_EOL_ANY) x.slow = true;
  else scan(&x, term);
  if (!x.s && x.slow) s = copy_lines(&x, eol, term, o && o->strict, why, &continued);
  if (!s) s = x.s;
  if (!s) s = finish(&x, out, &d);
  if (s == HDW_E_SYNTAX) return s;
  if (s) return problem(why, s, 207, 0, "", 0, hdw_status_text(s));
  hl7_msg *m = *out;
  m->hooks = o ? o->hooks : NULL;
  m->schema = o ? o->schema : NULL;
  s = find_charset(m, o, wide, why);
  if (!s && o && o->strict) s = check_bytes(m, why);
  if (!s && term == '\r' && eol == HL7_EOL_AUTO && m->hooks && m->hooks->warn) warn_both_ends(&x, m);
  if (!s && continued) {
    hl7_problem w = {.code = 100, .severity = 'W', .text = "a line without a segment name was appended to the field before it"};
    for (; continued; continued--) hl7_warn(m, HL7_W_CONTINUATION, &w);
  }
  return s;
}

hdw_status hl7_parse(arena *a, const char *bytes, size_t len, const hl7_opts *opts, hl7_msg **out, hl7_problem *why) {
  *out = NULL;
  size_t mark, n = len, bad;
  charset_id bom = charset_bom(bytes, len, &mark);
  if (bom == CHARSET_UTF16 || bom == CHARSET_UTF32) {
    hdw_status s = charset_wide_to_utf8(a, bom, bytes, len, &bytes, &n, &bad);
    len = n;
    if (s) return problem(why, s, 207, 0, "", 0, hdw_status_text(s));
  } else {
    bom = CHARSET_NONE;
  }
  size_t lead = hl7_trim(bytes, &n);
  hl7_msg *m = NULL;
  hdw_status s = parse_at(a, bytes + lead, n, n + lead < len && bytes[n + lead] == '\r', opts, bom, &m, why);
  if (s) {
    if (why) why->offset += (uint32_t)lead;
    return s;
  }
  *out = m;
  return HDW_OK;
}

hdw_status hl7_parse_own(arena *a, const char *bytes, size_t len, const hl7_msg *like, const hl7_delims *d, charset_id cs, bool fragment,
                         hl7_msg **out) {
  if (len > INT32_MAX) return HDW_E_LIMIT;
  parser x = {.a = a, .p = bytes, .len = (uint32_t)len, .fs = d->field, .esc = d->esc};
  x.cap = (uint32_t)(len / 64 + 8);
  x.segs = (hl7_segment *)arena_alloc(a, x.cap * sizeof *x.segs);
  if (!x.segs) return HDW_E_NOMEM;
  hdw_status s = HDW_OK;
  uint32_t continued;
  if (fragment) {
    if (len < 3 || !push(&x, bytes, 0, (uint32_t)len)) return len < 3 ? HDW_E_INVALID : x.s;
    for (uint32_t i = 0; i < x.len; i++) note_byte(&x, bytes[i]);
  } else {
    for (x.body = x.len < 4 ? x.len : 4; x.body < x.len && bytes[x.body] != d->field && bytes[x.body] != '\r';)
      x.body++; /* MSH-2 is no escape sequence */
    scan(&x, '\r');
    if (x.slow && !x.s) s = copy_lines(&x, HL7_EOL_CR, '\r', false, NULL, &continued);
  }
  if (!s) s = x.s;
  if (!s) s = finish(&x, out, d);
  if (s) return s;
  hl7_msg *m = *out;
  m->hooks = like ? like->hooks : NULL;
  m->schema = like ? like->schema : NULL;
  m->fragment = fragment;
  m->charset = m->index->charset = (uint8_t)cs;
  if (like && !fragment) hl7_set_structure(m, like->index->root);
  return HDW_OK;
}

charset_id hl7_charset(const hl7_msg *m) {
  if (m->index->charset == CHARSET_AUTO) m->index->charset = charset_utf8_prefix(m->bytes, m->len) == m->len ? CHARSET_UTF8 : CHARSET_1252;
  return (charset_id)m->index->charset;
}

/* Fills the separators of one segment on first touch. */
static hl7_segment *touch(const hl7_msg *m, uint32_t k) {
  hl7_segment *s = &m->index->segs[k];
  if (s->sep_at != HL7_NO_SEGMENT) return s;
  hl7_index *ix = m->index;
  uint32_t *o = ix->seps + ix->used, *o0 = o, i = s->off + 3, end = s->off + s->len;
  char fs = m->d.field;
  if (hl7_is_header(s->name) && i < end) { /* MSH-1 counts as a field; MSH-2 may hold anything */
    *o++ = i++;
    while (i < end && m->bytes[i] != fs) i++;
  }
#if defined(__SSE2__)
  const __m128i vfs = _mm_set1_epi8(fs);
  for (; i < end && m->len - i >= 16; i += 16) { /* reads over the segment's end where the message goes on, and drops what it sees there */
    unsigned b = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(m->bytes + i)), vfs));
    if (end - i < 16) b &= (1u << (end - i)) - 1;
    for (; b; b &= b - 1) *o++ = i + (uint32_t)__builtin_ctz(b);
  }
#endif
  for (; i < end; i++)
    if (m->bytes[i] == fs) *o++ = i;
  s->sep_at = ix->used;
  s->nsep = (uint32_t)(o - o0);
  ix->used += s->nsep;
  return s;
}

uint32_t hl7_field_count(const hl7_msg *m, uint32_t seg) {
  if (seg >= m->nsegs) return 0;
  const hl7_segment *s = touch(m, seg);
  return s->nsep + (hl7_is_header(s->name) && s->nsep);
}

hl7_slice hl7_field_raw(const hl7_msg *m, uint32_t seg, uint32_t field) {
  if (seg >= m->nsegs || field == 0) return (hl7_slice){"", 0};
  const hl7_segment *s = touch(m, seg);
  if (hl7_is_header(s->name)) {
    if (field == 1) return (hl7_slice){m->bytes + s->off + 3, s->len > 3};
    field--;
  }
  if (field > s->nsep) return (hl7_slice){m->bytes + s->off + s->len, 0};
  const uint32_t *sep = m->index->seps + s->sep_at;
  uint32_t from = sep[field - 1] + 1, to = field < s->nsep ? sep[field] : s->off + s->len;
  return (hl7_slice){m->bytes + from, to - from};
}

uint32_t hl7_find(const hl7_msg *m, uint32_t name, uint32_t from) {
  for (uint32_t i = from; i < m->nsegs; i++)
    if (m->segs[i].name == name) return i;
  return HL7_NO_SEGMENT;
}

hdw_status hl7_bytes(arena *a, const hl7_msg *m, hl7_slice *out) {
  uint32_t total = 0;
  for (uint32_t i = 0; i < m->nsegs; i++) total += m->segs[i].len + 1;
  char *p = (char *)arena_alloc(a, total);
  if (!p) return HDW_E_NOMEM;
  uint32_t o = 0;
  for (uint32_t i = 0; i < m->nsegs; i++) {
    memcpy(p + o, m->bytes + m->segs[i].off, m->segs[i].len);
    o += m->segs[i].len;
    p[o++] = '\r';
  }
  *out = (hl7_slice){p, total};
  return HDW_OK;
}
