/* diag_json.c - diagnostics as JSON; the schema is in diag.h. */
#include <string.h>
#include "diag.h"

/* Length of the well-formed UTF-8 character at s, 0 when there is none. */
static size_t utf8_length(const char *s, size_t len) {
  unsigned char c = (unsigned char)s[0];
  if (c < 0x80) return 1;
  size_t n = c >= 0xC2 && c < 0xE0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
  if (n == 0 || n > len) return 0;
  for (size_t i = 1; i < n; i++)
    if (((unsigned char)s[i] & 0xC0) != 0x80) return 0;
  unsigned char d = (unsigned char)s[1];
  if ((c == 0xE0 && d < 0xA0) || (c == 0xED && d > 0x9F) || (c == 0xF0 && d < 0x90) || (c == 0xF4 && d > 0x8F)) return 0;
  return n;
}

void diag_json_string(buf *b, const char *s, size_t len) {
  buf_putc(b, '"');
  for (size_t i = 0; i < len;) {
    unsigned char c = (unsigned char)s[i];
    size_t n = utf8_length(s + i, len - i);
    if (n == 0) {
      buf_puts(b, "\\ufffd");
      n = 1;
    } else if (c == '"' || c == '\\') {
      buf_putc(b, '\\');
      buf_putc(b, (char)c);
    } else if (c == '\n') {
      buf_puts(b, "\\n");
    } else if (c < 0x20 || c == 0x7F) {
      buf_putf(b, "\\u%04x", c);
    } else {
      buf_put(b, s + i, n);
    }
    i += n;
  }
  buf_putc(b, '"');
}

static void text(buf *b, const char *s) { diag_json_string(b, s, strlen(s)); }

static void place(buf *b, diag_list *l, uint32_t file, uint32_t off) {
  uint32_t line, col;
  diag_position(l, file, off, false, &line, &col);
  buf_putf(b, "{\"offset\":%u,\"line\":%u,\"column\":%u}", off, line, col);
}

static void file_and_span(buf *b, diag_list *l, uint32_t file, uint32_t off, uint32_t end) {
  buf_puts(b, "\"file\":");
  text(b, l->files[file].path);
  buf_puts(b, ",\"span\":{\"start\":");
  place(b, l, file, off);
  buf_puts(b, ",\"end\":");
  place(b, l, file, end);
  buf_putc(b, '}');
}

static void fixes(buf *b, diag_list *l, const diag *d) {
  buf_puts(b, ",\"fixes\":[");
  for (const diag_fix *f = d->fixes; f; f = f->next) {
    buf_puts(b, f == d->fixes ? "{\"title\":" : ",{\"title\":");
    text(b, f->title);
    buf_puts(b, ",\"edits\":[");
    for (const diag_edit *e = f->first; e; e = e->next) {
      buf_puts(b, e == f->first ? "{" : ",{");
      file_and_span(b, l, e->file, e->off, e->end);
      buf_puts(b, ",\"text\":");
      text(b, e->text);
      buf_putc(b, '}');
    }
    buf_puts(b, "]}");
  }
  buf_putc(b, ']');
}

static void one(buf *b, diag_list *l, const diag *d) {
  static const char *const severities[] = {"error", "warning", "info"};
  const diag_row *row = diag_row_of(d->code);
  buf_putf(b, "{\"code\":\"%s\",\"severity\":\"%s\",\"title\":", row->code, severities[d->severity]);
  text(b, row->title);
  buf_puts(b, ",\"message\":");
  text(b, d->text);
  buf_putc(b, ',');
  file_and_span(b, l, d->at.file, d->at.off, d->at.end);
  buf_puts(b, ",\"label\":");
  if (d->at.label) text(b, d->at.label);
  else buf_puts(b, "null");
  buf_puts(b, ",\"related\":[");
  for (const diag_span *s = d->also; s; s = s->next) {
    buf_puts(b, s == d->also ? "{" : ",{");
    file_and_span(b, l, s->file, s->off, s->end);
    buf_puts(b, ",\"label\":");
    text(b, s->label ? s->label : "");
    buf_putc(b, '}');
  }
  buf_puts(b, "],\"notes\":[");
  for (const diag_remark *r = d->notes; r; r = r->next) {
    if (r != d->notes) buf_putc(b, ',');
    text(b, r->text);
  }
  buf_putc(b, ']');
  fixes(b, l, d);
  buf_putf(b, ",\"explain\":\"hdwc explain %s\"}", row->code);
}

void diag_json(buf *b, diag_list *l) {
  buf_putf(b, "{\"version\":1,\"errors\":%u,\"warnings\":%u,\"dropped\":%u,\"diagnostics\":[", l->errors, l->warnings, l->dropped);
  for (const diag *d = l->first; d; d = d->next) {
    if (d != l->first) buf_putc(b, ',');
    one(b, l, d);
  }
  buf_puts(b, "]}\n");
}
