/* http_text.c - finding the end of a head, looking headers and parameters up, the response head. Pure; see http.h. */
#include "http.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

long http_head_end(const char *p, size_t len, size_t *seen, size_t max_bytes) {
  if (!max_bytes || max_bytes > UINT16_MAX) max_bytes = HTTP_MAX_HEAD_BYTES;
  size_t limit = len < max_bytes ? len : max_bytes, first = 0;
  if (len && p[0] == '\r') first = len > 1 && p[1] == '\n' ? 2 : len > 1 ? 0 : 1; /* one empty line may come first */
  /* Something that cannot be a method (a TLS hello, binary noise) is not worth waiting for its end. */
  if (first < len && (p[first] < 'A' || p[first] > 'Z')) return -400;
  for (size_t at = *seen > first ? *seen : first; at < limit;) {
    const char *lf = memchr(p + at, '\n', limit - at);
    if (!lf) break;
    at = (size_t)(lf - p);
    if (at == 0 || p[at - 1] != '\r') return -400;
    *seen = ++at;
    if (at >= first + 4 && p[at - 3] == '\n') return (long)at; /* CRLF CRLF: the LF before was checked */
  }
  if (limit == max_bytes) return -431;
  *seen = limit;
  return 0;
}

bool http_str_is(http_str a, const char *b) { return strlen(b) == a.len && strncasecmp(a.p, b, a.len) == 0; }

http_str http_head_get(const http_head *h, const char *name) {
  size_t n = strlen(name);
  for (unsigned i = 0; i < h->n_fields; i++)
    if (h->field[i].name_len == n && strncasecmp(h->base + h->field[i].name, name, n) == 0) return http_field_value(h, i);
  return (http_str){NULL, 0};
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long http_decode(char *dst, http_str src, bool plus) {
  long n = 0;
  for (size_t i = 0; i < src.len; i++) {
    char c = src.p[i];
    if (c == '%') {
      if (src.len - i < 3) return -1;
      int hi = hex(src.p[i + 1]), lo = hex(src.p[i + 2]);
      if (hi < 0 || lo < 0) return -1;
      c = (char)(hi << 4 | lo);
      i += 2;
    } else if (c == '+' && plus) c = ' ';
    if (!c) return -1; /* written as %00 or as it is */
    dst[n++] = c;
  }
  return n;
}

long http_query_get(http_str query, const char *name, char *dst, size_t cap) {
  char key[128];
  size_t want = strlen(name);
  for (size_t i = 0; query.p && i <= query.len;) {
    const char *amp = i < query.len ? memchr(query.p + i, '&', query.len - i) : NULL;
    size_t end = amp ? (size_t)(amp - query.p) : query.len, eq = i;
    while (eq < end && query.p[eq] != '=') eq++;
    http_str k = {query.p + i, eq - i}, v = {query.p + eq + 1, eq < end ? end - eq - 1 : 0};
    long got = k.len <= sizeof key ? http_decode(key, k, true) : -1;
    if (got == (long)want && memcmp(key, name, want) == 0) {
      if (!v.len) return 0;
      if (v.len > cap) return -2;
      long n = http_decode(dst, v, true);
      return n < 0 ? -2 : n;
    }
    i = end + 1;
  }
  return -1;
}

const char *http_reason(int status) {
  static const struct { int code; const char *text; } t[] = {
      {100, "Continue"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {206, "Partial Content"}, {301, "Moved Permanently"},
      {302, "Found"}, {303, "See Other"}, {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"},
      {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"},
      {409, "Conflict"}, {410, "Gone"}, {411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
      {415, "Unsupported Media Type"}, {417, "Expectation Failed"}, {422, "Unprocessable Content"}, {425, "Too Early"}, {428, "Precondition Required"},
      {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"}, {501, "Not Implemented"},
      {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++)
    if (t[i].code == status) return t[i].text;
  return "Status";
}

void http_date(char out[HTTP_DATE_BYTES + 1], int64_t unix_s) {
  static const char wd[] = "ThuFriSatSunMonTueWed", mn[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (unix_s < 0) unix_s = 0;
  if (unix_s > 253402300799) unix_s = 253402300799; /* 9999-12-31T23:59:59Z: four digits of year */
  int64_t day = unix_s / 86400, sec = unix_s % 86400;
  /* Civil date from days (Hinnant): eras of 400 years that begin on 1 March. */
  int64_t z = day + 719468, era = z / 146097, doe = z - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  int64_t d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9, y = yoe + era * 400 + (m <= 2);
  char *o = out;
  memcpy(o, wd + day % 7 * 3, 3);
  memcpy(o + 3, ", 00 ", 5);
  memcpy(o + 8, mn + (m - 1) * 3, 3);
  memcpy(o + 11, " 0000 00:00:00 GMT", 19);
  const struct { int at; int64_t v; } two[] = {{5, d}, {12, y / 100}, {14, y % 100}, {17, sec / 3600}, {20, sec / 60 % 60}, {23, sec % 60}};
  for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
    o[two[i].at] = (char)('0' + two[i].v / 10);
    o[two[i].at + 1] = (char)('0' + two[i].v % 10);
  }
}

typedef struct out {
  char *p, *end;
  bool full;
} out;

static void put(out *o, const char *p, size_t n) {
  if ((size_t)(o->end - o->p) < n) {
    o->full = true;
    o->p = o->end;
    return;
  }
  if (n) memcpy(o->p, p, n);
  o->p += n;
}
#define PUT(o, lit) put(o, lit, sizeof(lit) - 1)

static void put_number(out *o, uint64_t v) {
  char t[20], *p = t + sizeof t;
  do *--p = (char)('0' + v % 10);
  while (v /= 10);
  put(o, p, (size_t)(t + sizeof t - p));
}

static bool is_token(http_str s) {
  if (!s.len) return false;
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
  }
  return true;
}

static bool is_value(http_str s) {
  for (size_t i = 0; i < s.len; i++)
    if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f) return false;
  return true;
}

long http_write_head(char *dst, size_t cap, int status, unsigned minor, bool keep_alive, const char *date, int64_t content_length, const http_header *h, size_t n) {
  out o = {dst, dst + cap, false};
  const char *reason = http_reason(status);
  if (status < 100 || status > 599) return -2;
  PUT(&o, "HTTP/1.1 ");
  put_number(&o, (uint64_t)status);
  PUT(&o, " ");
  put(&o, reason, strlen(reason));
  PUT(&o, "\r\nDate: ");
  put(&o, date, HTTP_DATE_BYTES);
  if (content_length >= 0) {
    PUT(&o, "\r\nContent-Length: ");
    put_number(&o, (uint64_t)content_length);
  } else if (content_length == -1) PUT(&o, "\r\nTransfer-Encoding: chunked");
  if (!keep_alive) PUT(&o, "\r\nConnection: close");
  else if (minor == 0) PUT(&o, "\r\nConnection: keep-alive");
  for (size_t i = 0; i < n; i++) {
    if (!is_token(h[i].name) || !is_value(h[i].value)) return -2;
    PUT(&o, "\r\n");
    put(&o, h[i].name.p, h[i].name.len);
    PUT(&o, ": ");
    put(&o, h[i].value.p, h[i].value.len);
  }
  PUT(&o, "\r\n\r\n");
  return o.full ? -1 : (long)(o.p - dst);
}
