/* engine_log.c - log lines: one JSON object on one line, whatever is in the values (O-8, RELIABILITY 3.9).
 *
 *   {"ts":"2026-01-02T03:04:05.678Z","level":"warn","event":"run_dead","workflow":"admit","trace_id":"...","msg_ref":"17",...}
 *
 * event is a stable code, listed in docs/operations.md. Values are made safe for terminals and line readers: control characters, line and paragraph separators and
 * marks that turn the direction of text are escaped, bytes that are no UTF-8 become U+FFFD, long values are cut. */
#include <stdarg.h>
#include <stdio.h>
#include "engine_int.h"

enum { VALUE_MAX = 1500 };

/* One character: its code point and length; 0xfffd and 1 for what is no UTF-8. */
static uint32_t decode(const uint8_t *s, size_t n, size_t *len) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t k = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
  *len = 1;
  if (!k || k > n) return 0xfffd;
  uint32_t c = k == 1 ? s[0] : s[0] & (0xffu >> (k + 1));
  for (size_t i = 1; i < k; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0xfffd;
    c = c << 6 | (s[i] & 0x3f);
  }
  if (c < least[k] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0xfffd;
  *len = k;
  return c;
}

/* Steers a terminal, ends a line for somebody, or shows other text than is there. */
static bool steers(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
         (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c < 0xe0080);
}

void eng_log_text(buf *b, const char *s, size_t n) {
  const uint8_t *p = (const uint8_t *)s, *end = p + (n < VALUE_MAX ? n : VALUE_MAX);
  buf_putc(b, '"');
  while (p < end) {
    size_t k;
    uint32_t c = decode(p, (size_t)(end - p), &k);
    if (c == '"' || c == '\\') buf_putc(b, '\\'), buf_putc(b, (char)c);
    else if (c == 0xfffd && k == 1) buf_puts(b, "\\ufffd");
    else if (steers(c) && c > 0xffff) buf_putf(b, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
    else if (steers(c)) buf_putf(b, "\\u%04x", c);
    else buf_put(b, p, k);
    p += k;
  }
  if (n > VALUE_MAX) buf_puts(b, "...");
  buf_putc(b, '"');
}

void eng_say(engine *e, engine_level level, const char *event, ...) {
  static const char *const names[] = {"debug", "info", "warn", "error"};
  if (!e->o.log) return;
  arena a;
  buf b;
  arena_init(&a, e->mem, 65536);
  buf_init(&b, &a, 32768);
  char stamp[TM_TEXT_MAX + 1];
  int64_t us = io_wall_us(e->io);
  tm_val t;
  tm_from_unix_us(us - us % 1000, 0, &t);
  t.frac_digits = 3;
  size_t n = tm_format_datetime(&t, stamp);
  buf_puts(&b, "{\"ts\":");
  eng_log_text(&b, stamp, n);
  buf_putf(&b, ",\"level\":\"%s\",\"event\":\"%s\"", names[level], event);
  va_list ap;
  va_start(ap, event);
  for (const char *k; (k = va_arg(ap, const char *));) {
    const char *v = va_arg(ap, const char *);
    buf_putf(&b, ",\"%s\":", k);
    eng_log_text(&b, v ? v : "", v ? strlen(v) : 0);
  }
  va_end(ap);
  buf_puts(&b, "}");
  if (!b.status) e->o.log(e->o.log_user, level, b.p, b.len);
  arena_free(&a);
}
