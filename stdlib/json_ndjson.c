#include <string.h>
#include "json.h"
#include "json_scan.h"

void json_lines_init(json_lines *it, const char *text, size_t len) { *it = (json_lines){text, len, 0, 0}; }

hdw_status json_lines_next(json_lines *it, json_reader *r, arena *a, const json_opts *opts, val *out, json_error *err) {
  *out = VAL_NONE;
  while (it->pos < it->len) {
    size_t from = it->pos;
    const char *line = it->text + from;
    const char *nl = (const char *)memchr(line, '\n', it->len - from);
    size_t n = nl ? (size_t)(nl - line) : it->len - from;
    it->pos = from + n + (nl != NULL);
    it->line++;
    const uint8_t *p = (const uint8_t *)line, *end = p + n;
    if (from == 0 && n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
    p = js_blank_end(p, end);
    if (p == end) continue;
    size_t skipped = (size_t)((const char *)p - line);
    uint32_t line_no = it->line > UINT32_MAX ? UINT32_MAX : (uint32_t)it->line;
    if (*p == 0xef) { /* json_read would skip a byte order mark here, where it is none */
      if (err) *err = (json_error){from + skipped, line_no, (uint32_t)skipped + 1, "a value"};
      return HDW_E_SYNTAX;
    }
    hdw_status st = json_read(r, a, (const char *)p, n - skipped, opts, out, err);
    if (st != HDW_OK && err) {
      err->offset += from + skipped;
      err->line = line_no;
      err->column += (uint32_t)skipped;
    }
    return st;
  }
  if (err) *err = (json_error){it->len, it->line > UINT32_MAX ? UINT32_MAX : (uint32_t)it->line, 1, "a line"};
  return HDW_E_NOTFOUND;
}
