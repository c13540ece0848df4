#include "csv.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Fields of the row that is being read. */
typedef struct fields {
  val *v;
  uint32_t n, cap;
} fields;

static hdw_status fail(csv_rows *it, csv_error *err, hdw_status s, size_t offset, size_t field, const char *expected) {
  if (err) *err = (csv_error){offset, it->line, (uint32_t)field + 1, expected};
  return s;
}

/* First delimiter, quote, CR or LF at or after pos. */
static size_t plain_end(const csv_rows *it, size_t pos) {
  const char *s = it->text, d = it->opts.delimiter, q = it->opts.quote;
#ifdef __SSE2__
  for (; it->len - pos >= 16; pos += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s + pos));
    __m128i m = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(d)), _mm_cmpeq_epi8(v, _mm_set1_epi8(q))),
                             _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'))));
    int bits = _mm_movemask_epi8(m);
    if (bits) return pos + (size_t)__builtin_ctz((unsigned)bits);
  }
#endif
  while (pos < it->len && s[pos] != d && s[pos] != q && s[pos] != '\n' && s[pos] != '\r') pos++;
  return pos;
}

/* The quoted field whose opening quote is at *pos; *pos is then behind the closing one. */
static hdw_status quoted(csv_rows *it, arena *a, size_t *pos, uint32_t field, val *out, csv_error *err) {
  const char *s = it->text, q = it->opts.quote;
  size_t from = *pos + 1, at = from, doubled = 0;
  for (;;) {
    const char *e = (const char *)memchr(s + at, q, it->len - at);
    if (!e) {
      size_t open = *pos;
      *pos = it->len;
      return fail(it, err, HDW_E_SYNTAX, open, field, "the closing quote of a field");
    }
    at = (size_t)(e - s) + 1;
    if (at == it->len || s[at] != q) break;
    doubled++;
    at++;
  }
  size_t n = at - 1 - from;
  *pos = at;
  if (n > UINT32_MAX) return fail(it, err, HDW_E_LIMIT, from, field, "a shorter field");
  *out = val_str(s + from, n);
  if (!doubled) return HDW_OK;
  char *o = (char *)arena_alloc(a, n - doubled);
  if (!o) return fail(it, err, HDW_E_NOMEM, from, field, "memory");
  out->u.s = o;
  out->len = (uint32_t)(n - doubled);
  for (size_t i = from; i < at - 1; i++) {
    *o++ = s[i];
    if (s[i] == q) i++;
  }
  return HDW_OK;
}

static hdw_status add(csv_rows *it, arena *a, fields *f, val v, size_t offset, csv_error *err) {
  if (f->n == CSV_COLUMNS_MAX) return fail(it, err, HDW_E_LIMIT, offset, f->n, "fewer fields");
  if (f->n == f->cap) {
    uint32_t cap = f->cap ? f->cap * 2 : it->name_count ? it->name_count : 16;
    val *p = (val *)arena_grow(a, f->v, f->cap * sizeof(val), cap * sizeof(val));
    if (!p) return fail(it, err, HDW_E_NOMEM, offset, f->n, "memory");
    f->v = p;
    f->cap = cap;
  }
  f->v[f->n++] = v;
  return HDW_OK;
}

/* Steps over the line end at pos; false when there is none. */
static bool line_end(const csv_rows *it, size_t *pos) {
  size_t p = *pos;
  if (p < it->len && it->text[p] == '\r') p++;
  if (p < it->len && it->text[p] == '\n') p++;
  else if (p < it->len || p != *pos) return false;
  *pos = p;
  return true;
}

/* After an error at pos: to the next line. */
static void skip_line(csv_rows *it, size_t pos) {
  const char *e = pos < it->len ? (const char *)memchr(it->text + pos, '\n', it->len - pos) : NULL;
  it->pos = e ? (size_t)(e - it->text) + 1 : it->len;
}

/* Fields of one row from it->pos, which is moved behind its line end. */
static hdw_status row_fields(csv_rows *it, arena *a, fields *f, csv_error *err) {
  const char *s = it->text;
  size_t pos = it->pos;
  hdw_status st;
  for (;;) {
    val v = {.tag = VAL_NULL};
    size_t from = pos;
    if (!it->opts.no_quotes && pos < it->len && s[pos] == it->opts.quote) {
      st = quoted(it, a, &pos, f->n, &v, err);
      if (st != HDW_OK) break;
    } else {
      pos = plain_end(it, pos);
      if (pos - from > UINT32_MAX) {
        st = fail(it, err, HDW_E_LIMIT, from, f->n, "a shorter field");
        break;
      }
      if (pos > from) v = val_str(s + from, pos - from);
    }
    st = add(it, a, f, v, from, err);
    if (st != HDW_OK) break;
    if (pos < it->len && s[pos] == it->opts.delimiter) {
      pos++;
      continue;
    }
    if (pos == it->len || line_end(it, &pos)) {
      it->pos = pos;
      return HDW_OK;
    }
    st = fail(it, err, HDW_E_SYNTAX, pos, f->n - 1,
              s[pos] == '\r' ? "a line end (CR must be followed by LF)" : s[from] == it->opts.quote ? "a delimiter or line end after the closing quote" : "a quoted field (there is a quote in it)");
    break;
  }
  skip_line(it, pos);
  return st;
}

/* Sets it->line to where the next row starts, steps over empty lines, reads the row's fields and counts its lines. */
static hdw_status next_fields(csv_rows *it, arena *a, fields *f, csv_error *err) {
  size_t from = it->pos;
  while (it->pos < it->len && line_end(it, &it->pos)) {
    it->next_line++;
    from = it->pos;
  }
  it->line = it->next_line;
  if (it->pos == it->len) return fail(it, err, HDW_E_NOTFOUND, it->len, 0, "a row");
  hdw_status st = row_fields(it, a, f, err);
  for (const char *p = it->text + from, *end = it->text + it->pos; p < end && (p = (const char *)memchr(p, '\n', (size_t)(end - p))); p++) it->next_line++;
  return st;
}

static hdw_status header(csv_rows *it, arena *a, csv_error *err) {
  fields f = {0};
  hdw_status st = next_fields(it, a, &f, err);
  if (st != HDW_OK) return st;
  for (uint32_t i = 0; i < f.n; i++) {
    val v = f.v[i];
    if (v.len == 0) {
      buf b;
      buf_init(&b, a, 32);
      buf_putf(&b, "column%u", i + 1);
      if (b.status) return fail(it, err, HDW_E_NOMEM, it->pos, i, "memory");
      v = val_str(b.p, b.len);
    }
    f.v[i] = val_key(v.u.s, v.len);
    for (uint32_t k = 0; k < i; k++) /* at most CSV_COLUMNS_MAX, once a text */
      if (f.v[k].aux == f.v[i].aux && f.v[k].len == v.len && memcmp(f.v[k].u.s, v.u.s, v.len) == 0)
        return fail(it, err, HDW_E_EXISTS, it->pos, i, "each column name only once");
  }
  it->names = f.v;
  it->name_count = f.n;
  return HDW_OK;
}

hdw_status csv_init(csv_rows *it, arena *a, const char *text, size_t len, const csv_opts *opts, csv_error *err) {
  *it = (csv_rows){.text = text, .len = len, .line = 1, .next_line = 1};
  if (opts) it->opts = *opts;
  if (!it->opts.delimiter) it->opts.delimiter = ',';
  if (!it->opts.quote) it->opts.quote = '"';
  char d = it->opts.delimiter, q = it->opts.quote;
  if (d == '\n' || d == '\r' || q == '\n' || q == '\r' || (d == q && !it->opts.no_quotes)) return fail(it, err, HDW_E_INVALID, 0, 0, "another delimiter or quote");
  if (it->opts.no_quotes) it->opts.quote = d; /* then the scan stops at no quote */
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) it->pos = 3;
  return it->opts.header ? header(it, a, err) : HDW_OK;
}

hdw_status csv_next(csv_rows *it, arena *a, val *row, csv_error *err) {
  fields f = {0};
  *row = VAL_NONE;
  hdw_status st = next_fields(it, a, &f, err);
  if (st != HDW_OK) return st;
  if (!it->opts.header) {
    unsigned uneven = 0;
    for (uint32_t i = 0; i < f.n; i++) uneven |= f.v[i].tag == VAL_NULL;
    *row = (val){.tag = VAL_LIST, .flags = (uint8_t)(VALF_ARRAY | (uneven ? VALF_UNEVEN : 0)), .len = f.n, .u.v = f.v};
    return HDW_OK;
  }
  if (f.n > it->name_count || (f.n < it->name_count && !it->opts.short_rows))
    return fail(it, err, HDW_E_CARD, it->pos, f.n < it->name_count ? f.n : it->name_count, "as many fields as the header has names");
  val *pair = (val *)arena_alloc(a, (size_t)f.n * 2 * sizeof(val));
  if (!pair) return fail(it, err, HDW_E_NOMEM, it->pos, 0, "memory");
  unsigned under = 0;
  for (uint32_t i = 0; i < f.n; i++) {
    pair[2 * i] = it->names[i];
    pair[2 * i + 1] = f.v[i];
    if (it->names[i].u.s[0] == '_') under = VALF_UNDERSCORE;
  }
  *row = (val){.tag = VAL_OBJ, .flags = (uint8_t)under, .len = f.n, .u.v = pair};
  return HDW_OK;
}
