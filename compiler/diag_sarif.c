/* diag_sarif.c - diagnostics as SARIF 2.1.0 (OASIS), the form that code hosts and CI systems read. */
#include <string.h>
#include "diag.h"

static void text(buf *b, const char *s) { diag_json_string(b, s, strlen(s)); }

/* A path as a relative URI reference (RFC 3986): everything but unreserved characters and '/' is percent-encoded. */
static void uri(buf *b, const char *path) {
  buf_putc(b, '"');
  for (const char *p = path; *p; p++) {
    unsigned char c = (unsigned char)*p;
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~/", c) != NULL;
    if (plain) buf_putc(b, (char)c);
    else buf_putf(b, "%%%02X", c);
  }
  buf_putc(b, '"');
}

static void region(buf *b, diag_list *l, uint32_t file, uint32_t off, uint32_t end) {
  uint32_t line, col, end_line, end_col;
  diag_position(l, file, off, false, &line, &col);
  diag_position(l, file, end, false, &end_line, &end_col);
  buf_putf(b, "{\"startLine\":%u,\"startColumn\":%u,\"endLine\":%u,\"endColumn\":%u,\"byteOffset\":%u,\"byteLength\":%u}", line, col, end_line,
           end_col, off, end - off);
}

static void physical(buf *b, diag_list *l, const diag_span *s) {
  buf_puts(b, "\"physicalLocation\":{\"artifactLocation\":{\"uri\":");
  uri(b, l->files[s->file].path);
  buf_puts(b, "},\"region\":");
  region(b, l, s->file, s->off, s->end);
  buf_putc(b, '}');
}

static void message(buf *b, const diag *d) {
  buf_puts(b, "\"message\":{\"text\":");
  if (!d->notes) {
    text(b, d->text);
  } else { /* SARIF has no notes: they go behind the message */
    buf all;
    buf_init(&all, b->a, 1 << 16);
    buf_puts(&all, d->text);
    for (const diag_remark *r = d->notes; r; r = r->next) {
      buf_putc(&all, '\n');
      buf_puts(&all, r->text);
    }
    diag_json_string(b, all.p, all.len);
  }
  buf_putc(b, '}');
}

static void replacement(buf *b, diag_list *l, const diag_edit *e) {
  buf_puts(b, "{\"deletedRegion\":");
  region(b, l, e->file, e->off, e->end);
  buf_puts(b, ",\"insertedContent\":{\"text\":");
  text(b, e->text);
  buf_puts(b, "}}");
}

/* SARIF wants the edits of a fix grouped by file; they are sorted so. */
static void fix(buf *b, diag_list *l, const diag_fix *f) {
  buf_puts(b, "{\"description\":{\"text\":");
  text(b, f->title);
  buf_puts(b, "},\"artifactChanges\":[");
  for (const diag_edit *e = f->first; e;) {
    uint32_t file = e->file;
    buf_puts(b, e == f->first ? "{\"artifactLocation\":{\"uri\":" : ",{\"artifactLocation\":{\"uri\":");
    uri(b, l->files[file].path);
    buf_puts(b, "},\"replacements\":[");
    for (bool more = false; e && e->file == file; e = e->next, more = true) {
      if (more) buf_putc(b, ',');
      replacement(b, l, e);
    }
    buf_puts(b, "]}");
  }
  buf_puts(b, "]}");
}

static void result(buf *b, diag_list *l, const diag *d, uint32_t rule) {
  static const char *const levels[] = {"error", "warning", "note"};
  buf_putf(b, "{\"ruleId\":\"%s\",\"ruleIndex\":%u,\"level\":\"%s\",", diag_row_of(d->code)->code, rule, levels[d->severity]);
  message(b, d);
  buf_puts(b, ",\"locations\":[{");
  physical(b, l, &d->at);
  buf_puts(b, "}]");
  if (d->also) buf_puts(b, ",\"relatedLocations\":[");
  uint32_t id = 0;
  for (const diag_span *s = d->also; s; s = s->next) {
    buf_putf(b, "%s{\"id\":%u,", id ? "," : "", id);
    id++;
    physical(b, l, s);
    buf_puts(b, ",\"message\":{\"text\":");
    text(b, s->label ? s->label : "");
    buf_puts(b, "}}");
  }
  if (d->also) buf_putc(b, ']');
  if (d->fixes) buf_puts(b, ",\"fixes\":[");
  for (const diag_fix *f = d->fixes; f; f = f->next) {
    if (f != d->fixes) buf_putc(b, ',');
    fix(b, l, f);
  }
  if (d->fixes) buf_putc(b, ']');
  buf_putc(b, '}');
}

/* The rows that occur; index[code] becomes the row's number. */
static void rules(buf *b, diag_list *l, uint32_t *index) {
  bool used[DIAG_CODE_COUNT] = {false};
  for (const diag *d = l->first; d; d = d->next) used[d->code] = true;
  uint32_t n = 0;
  for (unsigned i = 1; i < DIAG_CODE_COUNT; i++) {
    if (!used[i]) continue;
    const diag_row *row = diag_row_of((diag_code)i);
    buf_putf(b, "%s{\"id\":\"%s\",\"shortDescription\":{\"text\":", n ? "," : "", row->code);
    text(b, row->title);
    buf_puts(b, "},\"fullDescription\":{\"text\":");
    text(b, row->why);
    buf_puts(b, "}}");
    index[i] = n++;
  }
}

void diag_sarif(buf *b, diag_list *l, const char *version) {
  uint32_t index[DIAG_CODE_COUNT] = {0};
  buf_puts(b, "{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{\"columnKind\":\"unicodeCodePoints\","
              "\"tool\":{\"driver\":{\"name\":\"hdwc\",\"version\":");
  text(b, version);
  buf_puts(b, ",\"rules\":[");
  rules(b, l, index);
  buf_puts(b, "]}},\"results\":[");
  for (const diag *d = l->first; d; d = d->next) {
    if (d != l->first) buf_putc(b, ',');
    result(b, l, d, index[d->code]);
  }
  buf_puts(b, "]}]}\n");
}
