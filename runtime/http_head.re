/* http_head.re - the strict scanner of HTTP/1.1 request heads (re2c). See http.h.
 *
 * It runs over a complete head only: http_head_end() has found CRLF CRLF. No pattern goes over a CR except the one that ends its line,
 * so the scanner stops at the first empty line at the latest and needs no bounds checks. */
#include "http.h"
#include <string.h>
#include <strings.h>

/*!re2c
  re2c:define:YYCTYPE = "unsigned char";
  re2c:yyfill:enable = 0;
  re2c:flags:tags = 1;
  re2c:tags:expression = "@@";

  tchar   = [!#$%&'*+.^_`|~0-9A-Za-z-];
  method  = [A-Z] [A-Z-]{0,23};
  hex     = [0-9A-Fa-f];
  pct     = "%" hex hex;
  // RFC 3986 plus what FHIR clients send raw in queries ( | ^ { } and the like); never # \ quotes < > controls or 8 bit.
  pchar   = [A-Za-z0-9._~!$&'()*+,;=:@-] | pct;
  path    = "/" (pchar | "/")*;
  query   = (pchar | [/?|^{}] | "[" | "]")*;
  host    = [A-Za-z0-9._~%!$&'()*+,;=-]+ | "[" [0-9A-Fa-f:.]+ "]";
  auth    = host (":" [0-9]{0,5})?;
  ows     = [ \t]*;
  text    = [\x21-\x7e\x80-\xff];
  value   = text (text | [ \t])*;
  crlf    = "\r\n";
*/

static http_str str(const unsigned char *b, const unsigned char *e) { return (http_str){(const char *)b, (size_t)(e - b)}; }

/* method SP target SP HTTP/d.d CRLF. Moves *pp past it. */
static int request_line(http_head *h, const unsigned char **pp, const char **why) {
  const unsigned char *YYCURSOR = *pp, *YYMARKER;
  const unsigned char *m1, *m2, *a1 = NULL, *a2 = NULL, *p1, *p2, *q1 = NULL, *q2 = NULL, *ver;
  /*!stags:re2c:line format = "const unsigned char *@@;"; */
  /*!re2c:line
    @m1 method @m2 " " ('http' 's'? "://" @a1 auth @a2)? @p1 path @p2 ("?" @q1 query @q2)? " HTTP/" @ver [0-9] "." [0-9] crlf { goto found; }
    @m1 "OPTIONS" @m2 " " @p1 "*" @p2 " HTTP/" @ver [0-9] "." [0-9] crlf { a1 = q1 = NULL; goto found; }
    * { *why = "malformed request line"; return 400; }
  */
found:
  h->method = str(m1, m2);
  h->path = str(p1, p2);
  if (q1) h->query = str(q1, q2);
  if (a1) h->expect_host = str(a1, a2);
  if ((q1 ? q2 : p2) - m2 > HTTP_MAX_TARGET_BYTES) return *why = "target too long", 414;
  if (ver[0] != '1' || ver[2] > '1') return *why = "version not supported", 505;
  h->minor = (uint8_t)(ver[2] - '0');
  *pp = YYCURSOR;
  return 0;
}

/* Digits only, at most 2^63-1. */
static bool parse_length(http_str s, int64_t *out) {
  int64_t n = 0;
  if (!s.len) return false;
  for (size_t i = 0; i < s.len; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return false;
    if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, s.p[i] - '0', &n)) return false;
  }
  *out = n;
  return true;
}

static bool valid_host(http_str s) {
  char line[260];
  if (!s.len || s.len > 256) return false;
  memcpy(line, s.p, s.len);
  line[s.len] = '\r'; /* in no pattern: the sentinel */
  const unsigned char *YYCURSOR = (const unsigned char *)line, *YYMARKER;
  /*!re2c:host
    auth "\r" { return (const char *)YYCURSOR == line + s.len + 1; }
    * { return false; }
  */
}

/* Connection is a list of tokens; only close and keep-alive mean something here. Bit 0: close, bit 1: keep-alive. */
static unsigned connection_options(http_str s) {
  unsigned got = 0;
  for (size_t i = 0; i < s.len;) {
    size_t b = i;
    while (i < s.len && s.p[i] != ',') i++;
    size_t e = i++;
    while (b < e && (s.p[b] == ' ' || s.p[b] == '\t')) b++;
    while (e > b && (s.p[e - 1] == ' ' || s.p[e - 1] == '\t')) e--;
    http_str t = {s.p + b, e - b};
    if (http_str_is(t, "close")) got |= 1;
    else if (http_str_is(t, "keep-alive")) got |= 2;
  }
  return got;
}

typedef struct seen {
  bool te;
  unsigned connection;
} seen;

/* Headers that frame the message. Everything else is the owner's. */
static int known_field(http_head *h, seen *sn, http_str name, http_str value, const char **why) {
  switch (name.len) {
  case 4:
    if (!http_str_is(name, "host")) return 0;
    if (h->host.p) return *why = "two Host headers", 400;
    if (!valid_host(value)) return *why = "malformed Host", 400;
    h->host = value;
    return 0;
  case 6:
    if (!http_str_is(name, "expect")) return 0;
    if (!http_str_is(value, "100-continue")) return *why = "unknown expectation", 417;
    h->expect_continue = true;
    return 0;
  case 10:
    if (http_str_is(name, "connection")) sn->connection |= connection_options(value);
    return 0;
  case 14:
    if (!http_str_is(name, "content-length")) return 0;
    if (h->content_length >= 0) return *why = "two Content-Length headers", 400;
    if (!parse_length(value, &h->content_length)) return *why = "malformed Content-Length", 400;
    return 0;
  case 16:
    if (!http_str_is(name, "content-encoding")) return 0;
    if (h->gzip) return *why = "two Content-Encoding headers", 400;
    if (http_str_is(value, "gzip") || http_str_is(value, "x-gzip")) h->gzip = true;
    else if (!http_str_is(value, "identity")) return *why = "unknown content coding", 415;
    return 0;
  case 17:
    if (!http_str_is(name, "transfer-encoding")) return 0;
    if (sn->te) return *why = "two Transfer-Encoding headers", 400;
    sn->te = true;
    if (!http_str_is(value, "chunked")) return *why = "unknown transfer coding", 400;
    h->chunked = true;
    return 0;
  default: return 0;
  }
}

static int check_framing(http_head *h, const seen *sn, const char **why) {
  if (sn->te && h->content_length >= 0) return *why = "Transfer-Encoding and Content-Length", 400;
  if (sn->te && h->minor == 0) return *why = "Transfer-Encoding in HTTP/1.0", 400;
  if (h->minor == 1 && !h->host.p) return *why = "no Host", 400;
  if (h->expect_host.p && h->host.p &&
      (h->host.len != h->expect_host.len || strncasecmp(h->host.p, h->expect_host.p, h->host.len) != 0))
    return *why = "Host and target differ", 400;
  if (h->minor == 0) h->expect_continue = false;
  h->keep_alive = !(sn->connection & 1) && (h->minor == 1 || (sn->connection & 2));
  return 0;
}

int http_head_parse(http_head *h, const char *p, size_t len, const char **why) {
  const unsigned char *YYCURSOR = (const unsigned char *)p, *YYMARKER;
  seen sn = {false, 0};
  size_t whole = len;
  if (len > UINT16_MAX) return *why = "head too long", 431;
  /* All but the table of fields, which is written before it is read. */
  memset(h, 0, offsetof(http_head, field));
  h->content_length = -1;
  if (len >= 2 && p[0] == '\r' && p[1] == '\n') YYCURSOR += 2; /* one empty line before a request line (RFC 9112, 2.2) */
  h->base = (const char *)YYCURSOR;
  int status = request_line(h, &YYCURSOR, why);
  if (status) return status;
  const unsigned char *n1, *n2, *v1, *v2;
  const unsigned char *base = (const unsigned char *)h->base;
  for (;;) {
    /*!stags:re2c:field format = "const unsigned char *@@;"; */
    /*!re2c:field
      crlf { break; }
      @n1 tchar+ @n2 ":" ows @v1 value? @v2 crlf { goto field; }
      * { *why = "malformed header"; return 400; }
    */
  field:
    while (v2 > v1 && (v2[-1] == ' ' || v2[-1] == '\t')) v2--;
    if (h->n_fields == HTTP_MAX_HEADERS) return *why = "too many headers", 431;
    h->field[h->n_fields++] = (http_field){(uint16_t)(n1 - base), (uint16_t)(n2 - n1), (uint16_t)(v1 - base), (uint16_t)(v2 - v1)};
    status = known_field(h, &sn, str(n1, n2), str(v1, v2), why);
    if (status) return status;
  }
  if ((const char *)YYCURSOR != p + whole) return *why = "malformed head", 400;
  return check_framing(h, &sn, why);
}
