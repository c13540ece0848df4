/* diag.c - lists of diagnostics: adding, sorting, positions, fixes, explain pages. */
#include "diag.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1000 };

static const diag_row rows[DIAG_CODE_COUNT] = {
    {"", DIAG_INFO, "", "", NULL, NULL},
#define DIAG(code, severity, title, why, wrong, right) {#code, severity, title, why, wrong, right},
#include "diags.def"
#undef DIAG
};

const diag_row *diag_row_of(diag_code code) { return &rows[(unsigned)code < DIAG_CODE_COUNT ? code : DIAG_NONE]; }

static char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }

static diag_code find_code(const char *name, size_t len) {
  for (unsigned i = 1; i < DIAG_CODE_COUNT; i++) {
    size_t k = 0;
    while (k < len && rows[i].code[k] && upper(name[k]) == rows[i].code[k]) k++;
    if (k == len && rows[i].code[k] == 0) return (diag_code)i;
  }
  return DIAG_NONE;
}

const diag_row *diag_find(const char *name, size_t len) {
  diag_code code = find_code(name, len);
  return code == DIAG_NONE ? NULL : &rows[code];
}

void diag_init(diag_list *l, arena *a) {
  memset(l, 0, sizeof *l);
  l->a = a;
}

uint32_t diag_file_add(diag_list *l, const char *path, const char *src, size_t len) {
  if (l->n_files == DIAG_MAX_FILES || len > UINT32_MAX) return UINT32_MAX;
  if (l->n_files == l->cap_files) {
    uint32_t cap = l->cap_files ? l->cap_files * 2 : 8;
    diag_file *grown = (diag_file *)arena_grow(l->a, l->files, l->cap_files * sizeof *grown, cap * sizeof *grown);
    if (!grown) {
      l->nomem = true;
      return UINT32_MAX;
    }
    l->files = grown;
    l->cap_files = cap;
  }
  l->files[l->n_files] = (diag_file){.path = path, .src = src, .len = len};
  return l->n_files++;
}

/* ---- adding ---- */

static __attribute__((format(printf, 2, 0))) const char *format(diag_list *l, const char *fmt, va_list args) {
  char text[TEXT_MAX];
  int n = vsnprintf(text, sizeof text, fmt, args);
  if (n < 0) n = 0;
  if (n >= TEXT_MAX) {
    n = TEXT_MAX - 1;
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--; /* not within a character */
  }
  const char *copy = arena_dup(l->a, text, (size_t)n);
  if (!copy) l->nomem = true;
  return copy ? copy : "";
}

static const char *copy_text(diag_list *l, const char *s) {
  const char *copy = arena_dup(l->a, s, strlen(s));
  if (!copy) l->nomem = true;
  return copy ? copy : "";
}

static bool repeated(const diag_file *f, diag_code code, diag_severity severity, uint32_t off, uint32_t end) {
  for (const diag *d = f->first; d; d = d->next_in_file) {
    if (d->at.off != off || d->at.end != end) continue;
    if (d->code == code || (severity == DIAG_ERROR && d->severity == DIAG_ERROR)) return true;
  }
  return false;
}

static diag *spare(diag_list *l) {
  memset(&l->spare, 0, sizeof l->spare);
  return &l->spare;
}

/* Counts and says whether there is room for one more. */
static bool admit(diag_list *l, diag_file *f, diag_severity severity) {
  uint32_t *in_file = severity == DIAG_ERROR ? &f->errors : &f->warnings;
  if (severity == DIAG_ERROR) l->errors++;
  else if (severity == DIAG_WARNING) l->warnings++;
  if (++*in_file <= DIAG_MAX_PER_FILE) return true;
  l->dropped++;
  return false;
}

static __attribute__((format(printf, 6, 0))) diag *add(diag_list *l, diag_code code, uint32_t file, uint32_t off, uint32_t end, const char *fmt, va_list args) {
  diag_severity severity = diag_row_of(code)->severity;
  if (file >= l->n_files) { /* there was no room for the file itself */
    if (severity == DIAG_ERROR) l->errors++;
    l->dropped++;
    return spare(l);
  }
  diag_file *f = &l->files[file];
  if (off > f->len) off = (uint32_t)f->len;
  if (end > f->len) end = (uint32_t)f->len;
  if (end < off) end = off;
  if (repeated(f, code, severity, off, end) || !admit(l, f, severity)) return spare(l);
  diag *d = (diag *)arena_zalloc(l->a, 1, sizeof *d);
  if (!d) {
    l->nomem = true;
    return spare(l);
  }
  d->code = code;
  d->severity = severity;
  d->text = format(l, fmt, args);
  d->at = (diag_span){.file = file, .off = off, .end = end};
  d->next_in_file = f->first;
  f->first = d;
  if (l->last) l->last->next = d;
  else l->first = d;
  l->last = d;
  return d;
}

diag *diag_add(diag_list *l, diag_code code, uint32_t file, uint32_t off, uint32_t end, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  diag *d = add(l, code, file, off, end, fmt, args);
  va_end(args);
  return d;
}

diag *diag_at(diag_list *l, diag_code code, uint32_t file, const ast *n, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  diag *d = add(l, code, file, n->off, n->end, fmt, args);
  va_end(args);
  return d;
}

void diag_label(diag_list *l, diag *d, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  d->at.label = format(l, fmt, args);
  va_end(args);
}

void diag_also(diag_list *l, diag *d, uint32_t file, uint32_t off, uint32_t end, const char *fmt, ...) {
  if (d == &l->spare || file >= l->n_files) return;
  diag_span *s = (diag_span *)arena_zalloc(l->a, 1, sizeof *s);
  if (!s) {
    l->nomem = true;
    return;
  }
  va_list args;
  va_start(args, fmt);
  uint32_t len = (uint32_t)l->files[file].len;
  *s = (diag_span){.file = file, .off = off < len ? off : len, .end = end < len ? end : len, .label = format(l, fmt, args)};
  if (s->end < s->off) s->end = s->off;
  va_end(args);
  if (d->also_last) d->also_last->next = s;
  else d->also = s;
  d->also_last = s;
}

void diag_note(diag_list *l, diag *d, const char *fmt, ...) {
  if (d == &l->spare) return;
  diag_remark *r = (diag_remark *)arena_zalloc(l->a, 1, sizeof *r);
  if (!r) {
    l->nomem = true;
    return;
  }
  va_list args;
  va_start(args, fmt);
  r->text = format(l, fmt, args);
  va_end(args);
  if (d->notes_last) d->notes_last->next = r;
  else d->notes = r;
  d->notes_last = r;
}

diag_fix *diag_fix_begin(diag_list *l, diag *d, const char *fmt, ...) {
  diag_fix *f = (diag_fix *)arena_zalloc(l->a, 1, sizeof *f);
  if (!f) {
    l->nomem = true;
    return NULL;
  }
  va_list args;
  va_start(args, fmt);
  f->title = format(l, fmt, args);
  va_end(args);
  if (d == &l->spare) return f; /* nobody will see it */
  if (d->fixes_last) d->fixes_last->next = f;
  else d->fixes = f;
  d->fixes_last = f;
  return f;
}

void diag_fix_edit(diag_list *l, diag_fix *f, uint32_t file, uint32_t off, uint32_t end, const char *text) {
  if (!f) return;
  diag_edit *e = (diag_edit *)arena_zalloc(l->a, 1, sizeof *e);
  if (!e) {
    l->nomem = true;
    return;
  }
  *e = (diag_edit){.file = file, .off = off, .end = end, .text = copy_text(l, text)};
  diag_edit **at = &f->first; /* edits stay sorted by place */
  while (*at && ((*at)->file < file || ((*at)->file == file && (*at)->off <= off))) at = &(*at)->next;
  e->next = *at;
  *at = e;
  if (!e->next) f->last = e;
}

void diag_replace(diag_list *l, diag *d, uint32_t off, uint32_t end, const char *text, const char *title) {
  diag_fix *f = title ? diag_fix_begin(l, d, "%s", title) : diag_fix_begin(l, d, "write '%s'", text);
  diag_fix_edit(l, f, d->at.file, off, end, text);
}

/* ---- sorting ---- */

static bool before(const diag *x, const diag *y) {
  if (x->at.file != y->at.file) return x->at.file < y->at.file;
  if (x->at.off != y->at.off) return x->at.off < y->at.off;
  if (x->severity != y->severity) return x->severity < y->severity;
  return x->code < y->code;
}

/* Stable merge sort of n diagnostics; *rest is what follows them. */
static diag *sort(diag *first, uint32_t n, diag **rest) {
  if (n == 1) {
    *rest = first->next;
    first->next = NULL;
    return first;
  }
  diag *middle;
  diag *x = sort(first, n / 2, &middle);
  diag *y = sort(middle, n - n / 2, rest);
  diag *out = NULL, **end = &out;
  while (x || y) {
    diag **from = !y || (x && !before(y, x)) ? &x : &y;
    *end = *from;
    *from = (*from)->next;
    end = &(*end)->next;
  }
  *end = NULL;
  return out;
}

void diag_sort(diag_list *l) {
  uint32_t n = 0;
  for (diag *d = l->first; d; d = d->next) n++;
  if (n < 2) return;
  diag *rest;
  l->first = sort(l->first, n, &rest);
  for (l->last = l->first; l->last->next;) l->last = l->last->next;
}

/* ---- positions ---- */

static bool line_ends(const diag_file *f, size_t i) {
  return f->src[i] == '\n' || (f->src[i] == '\r' && !(i + 1 < f->len && f->src[i + 1] == '\n'));
}

static bool index_lines(diag_list *l, diag_file *f) {
  if (f->lines) return true;
  uint32_t n = 1;
  for (size_t i = 0; i < f->len; i++) n += line_ends(f, i);
  uint32_t *lines = (uint32_t *)arena_alloc(l->a, n * sizeof *lines);
  if (!lines) {
    l->nomem = true;
    return false;
  }
  lines[0] = 0;
  uint32_t k = 1;
  for (size_t i = 0; i < f->len; i++)
    if (line_ends(f, i)) lines[k++] = (uint32_t)i + 1;
  f->lines = lines;
  f->n_lines = n;
  return true;
}

void diag_position(diag_list *l, uint32_t file, uint32_t off, bool utf16, uint32_t *line, uint32_t *col) {
  *line = *col = 1;
  if (file >= l->n_files || !index_lines(l, &l->files[file])) return;
  const diag_file *f = &l->files[file];
  uint32_t lo = 0, hi = f->n_lines;
  while (hi - lo > 1) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (f->lines[mid] <= off) lo = mid;
    else hi = mid;
  }
  *line = lo + 1;
  uint32_t start = f->lines[lo];
  if (start == 0 && f->len >= 3 && memcmp(f->src, "\xEF\xBB\xBF", 3) == 0) start = 3;
  for (uint32_t i = start; i < off && i < f->len; i++) {
    unsigned char c = (unsigned char)f->src[i];
    if ((c & 0xC0) != 0x80) ++*col;
    if (utf16 && c >= 0xF0) ++*col;
  }
}

char *diag_apply(arena *a, const diag_list *l, const diag_fix *fix, uint32_t file, size_t *len) {
  const diag_file *f = &l->files[file];
  size_t total = f->len + 1, at = 0;
  for (const diag_edit *e = fix->first; e; e = e->next) {
    if (e->file != file) continue;
    if (e->off < at || e->end < e->off || e->end > f->len) return NULL;
    total += strlen(e->text);
    at = e->end;
  }
  char *out = (char *)arena_alloc(a, total), *o = out;
  if (!out) return NULL;
  at = 0;
  for (const diag_edit *e = fix->first; e; e = e->next) {
    if (e->file != file) continue;
    memcpy(o, f->src + at, e->off - at);
    o += e->off - at;
    size_t n = strlen(e->text);
    memcpy(o, e->text, n);
    o += n;
    at = e->end;
  }
  memcpy(o, f->src + at, f->len - at);
  o += f->len - at;
  *o = 0;
  *len = (size_t)(o - out);
  return out;
}

/* ---- the parser's reports ---- */

static void from_parser(parse_sink *sink, const parse_report *r) {
  diag_parse_sink *s = (diag_parse_sink *)sink->user;
  diag_list *l = s->list;
  char name[16];
  int n = snprintf(name, sizeof name, "E%04d", (int)r->code);
  diag *d = diag_add(l, find_code(name, (size_t)n), s->file, r->off, r->end, "%s", r->text);
  if (r->label) diag_label(l, d, "%s", r->label);
  if (r->other_end) diag_also(l, d, s->file, r->other_off, r->other_end, "%s", r->other_label);
  if (r->n_edits == 0) return;
  diag_fix *f = diag_fix_begin(l, d, "%s", r->help);
  for (unsigned i = 0; i < r->n_edits; i++) diag_fix_edit(l, f, s->file, r->edits[i].off, r->edits[i].end, r->edits[i].text);
}

void diag_parse_sink_init(diag_parse_sink *s, diag_list *l, uint32_t file) {
  *s = (diag_parse_sink){.sink = {from_parser, s}, .list = l, .file = file};
}

/* ---- explain ---- */

static void indented(buf *b, const char *source) {
  for (const char *p = source; *p;) {
    const char *end = strchr(p, '\n');
    size_t n = end ? (size_t)(end - p) : strlen(p);
    buf_puts(b, "    ");
    buf_put(b, p, n);
    buf_putc(b, '\n');
    p += n + (end != NULL);
  }
}

/* Words of text in lines of at most 80 columns. */
static void wrapped(buf *b, const char *text) {
  size_t col = 0;
  while (*text) {
    size_t n = strcspn(text, " ");
    if (col && col + 1 + n > 80) {
      buf_putc(b, '\n');
      col = 0;
    } else if (col) {
      buf_putc(b, ' ');
      col++;
    }
    buf_put(b, text, n);
    col += n;
    text += n;
    while (*text == ' ') text++;
  }
  buf_putc(b, '\n');
}

void diag_explain(buf *b, const diag_row *row) {
  buf_putf(b, "%s: %s\n\n", row->code, row->title);
  wrapped(b, row->why);
  if (row->wrong) {
    buf_puts(b, "\nWrong:\n\n");
    indented(b, row->wrong);
  }
  if (row->right) {
    buf_puts(b, "\nRight:\n\n");
    indented(b, row->right);
  }
}
