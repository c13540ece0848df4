/* HTTP request heads, bodies and response heads: what is read, what is refused and how. */
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "http.h"

#define LIT(s) s, sizeof(s) - 1

/* Status of a whole head: what http_head_end refuses or what the scanner says; 0 = accepted; 1 = more needed. The head lies in its own
 * block, so that reading past it is seen. */
static int status_of(const char *p, size_t n, http_head *h) {
  char *copy = malloc(n ? n : 1);
  memcpy(copy, p, n);
  size_t seen = 0;
  const char *why = "";
  long len = http_head_end(copy, n, &seen, 0);
  int st = len == 0 ? 1 : len < 0 ? (int)-len : http_head_parse(h, copy, (size_t)len, &why);
  /* Byte by byte the end is found at the same place. */
  size_t seen1 = 0;
  long len1 = 0;
  for (size_t i = 0; i <= n && len1 == 0; i++) len1 = http_head_end(copy, i, &seen1, 0);
  assert_int_equal(len1, len);
  if (st) assert_true(st == 1 || len < 0 || *why);
  free(copy);
  return st;
}
static int status(const char *p, size_t n) {
  http_head h;
  return status_of(p, n, &h);
}
static bool str_eq(http_str s, const char *t) { return s.len == strlen(t) && !memcmp(s.p, t, s.len); }

/* Request line with everything else good. */
static int line(const char *l) {
  char t[20000];
  int n = snprintf(t, sizeof t, "%s\r\nHost: h\r\n\r\n", l);
  return status(t, (size_t)n);
}
/* One header more with everything else good. */
static int header(const char *hd) {
  char t[20000];
  int n = snprintf(t, sizeof t, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", hd);
  return status(t, (size_t)n);
}

static void test_ordinary_request(void **st) {
  (void)st;
  static const char in[] = "POST /in/adt?x=1&y=%20 HTTP/1.1\r\nHost: hub.example:8080\r\nContent-Type:application/hl7-v2; charset=\"utf-8\"\r\nEmpty:\r\n"
                           "Spaced: \t a b\t \r\nContent-Length: 12\r\nContent-Encoding: gzip\r\nExpect: 100-Continue\r\n\r\nMSH|^~\\&|xxx";
  http_head h;
  size_t seen = 0;
  const char *why;
  long n = http_head_end(in, sizeof in - 1, &seen, 0);
  assert_int_equal(n, sizeof in - 1 - 12);
  assert_int_equal(http_head_parse(&h, in, (size_t)n, &why), 0);
  assert_true(str_eq(h.method, "POST") && str_eq(h.path, "/in/adt") && str_eq(h.query, "x=1&y=%20") && str_eq(h.host, "hub.example:8080"));
  assert_int_equal(h.content_length, 12);
  assert_true(h.gzip && h.expect_continue && h.keep_alive && !h.chunked && h.minor == 1);
  assert_int_equal(h.n_fields, 7);
  assert_true(str_eq(http_head_get(&h, "content-TYPE"), "application/hl7-v2; charset=\"utf-8\""));
  assert_true(str_eq(http_head_get(&h, "empty"), "") && http_head_get(&h, "empty").p);
  assert_true(str_eq(http_head_get(&h, "spaced"), "a b"));
  assert_null(http_head_get(&h, "none").p);
  assert_true(str_eq(http_field_name(&h, 3), "Spaced"));
}

static void test_request_lines(void **st) {
  (void)st;
  static const char *const good[] = {"GET / HTTP/1.1", "GET /?a=b|c&d[]={x} HTTP/1.1", "OPTIONS * HTTP/1.1", "GET http://h/x HTTP/1.1", "PATCH /Patient/1 HTTP/1.1", "M-SEARCH /a HTTP/1.1",
                                     "GET /a%2Fb HTTP/1.1", "GET //a HTTP/1.1", "GET HTTPS://H/ HTTP/1.1"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (line(good[i])) fail_msg("refused: %s (%d)", good[i], line(good[i]));
  static const char *const bad[] = {
      "GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /  HTTP/1.1", "GET\t/ HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.1x", "GET / HTTP/11", "GET / HTTP/1", "GET / HTTP/1.1.1", "GET /",
      "GET", "get / HTTP/1.1", "G@T / HTTP/1.1", "GET: / HTTP/1.1", "GET a HTTP/1.1", "GET ../x HTTP/1.1", "GET /\\x HTTP/1.1", "GET /\"x HTTP/1.1", "GET /<x> HTTP/1.1", "GET /#f HTTP/1.1", "GET /?a#f HTTP/1.1",
      "GET /% HTTP/1.1", "GET /%2 HTTP/1.1", "GET /%zz HTTP/1.1", "GET /\xc3\xa4 HTTP/1.1", "GET /?\xff HTTP/1.1", "GET /\x7f HTTP/1.1", "GET /\x01 HTTP/1.1", "GET * HTTP/1.1", "CONNECT h:443 HTTP/1.1",
      "GET http://other/ HTTP/1.1", "GET http://h:81/ HTTP/1.1", "GET http://u@h/ HTTP/1.1", "GET http:///x HTTP/1.1", "GET ftp://h/ HTTP/1.1", "ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1", "\r\nGET / HTTP/1.1\r\nX", "16 03 01"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (line(bad[i]) != 400) fail_msg("not 400: %s (%d)", bad[i], line(bad[i]));
}

static void test_versions(void **st) {
  (void)st;
  assert_int_equal(line("GET / HTTP/1.0"), 0);
  static const char *const other[] = {"GET / HTTP/0.9", "GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/3.1", "PRI * HTTP/2.0"};
  for (size_t i = 0; i < 4; i++) assert_int_equal(line(other[i]), 505);
  http_head h;
  assert_int_equal(status_of(LIT("GET / HTTP/1.0\r\n\r\n"), &h), 0);
  assert_false(h.keep_alive);
  assert_int_equal(status_of(LIT("GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n"), &h), 0);
  assert_true(h.keep_alive);
  assert_int_equal(status_of(LIT("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive , close\r\n\r\n"), &h), 0);
  assert_false(h.keep_alive);
}

static void test_header_syntax(void **st) {
  (void)st;
  static const char *const bad[] = {"Host : x", "X : y", " X: y", "X\t: y", ": y", "X", "X y: z", "X: a\x01", "X: a\x7f", "X(: y", "X: a\r\n b", "X: a\r\n\tb", "X: a\rb", "\xc3\xa4: x", "X: a\0b"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (i + 1 < sizeof bad / sizeof *bad && header(bad[i]) != 400) fail_msg("not 400: %s (%d)", bad[i], header(bad[i]));
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n")), 400);
  static const char *const good[] = {"X: \xc3\xa4", "X:y", "X:", "X:  ", "X: a:b", "!#$%&'*+-.^_`|~09azAZ: y", "X: \"q\""};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (header(good[i])) fail_msg("refused: %s", good[i]);
}

static void test_bare_line_feeds(void **st) {
  (void)st;
  assert_int_equal(status(LIT("GET / HTTP/1.1\nHost: h\r\n\r\n")), 400);
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\nHost: h\n\r\n")), 400);
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\nHost: h\r\n\n")), 400);
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\nHost: h\n\n")), 400);
  assert_int_equal(status(LIT("GET / HTTP/1.1\n")), 400); /* at once, without waiting for the end */
  assert_int_equal(status(LIT("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")), 400);
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\nHost: h\r\nX: a\rY: b\r\n\r\n")), 400);
  assert_int_equal(status(LIT("\x16\x03\x01\x02")), 400);
  assert_int_equal(status(LIT("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")), 0); /* one empty line may come first */
  assert_int_equal(status(LIT("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")), 400);
  assert_int_equal(status(LIT("\rGET")), 400);
}

static void test_host(void **st) {
  (void)st;
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\n\r\n")), 400);
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\nX: y\r\n\r\n")), 400);
  assert_int_equal(header("Host: h"), 400);
  assert_int_equal(status(LIT("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n")), 400);
  static const char *const bad[] = {"", "a b", "a/b", "a@b", "a:x", "a:123456", "[::1", "a,b:1:2", "\xc3\xa4", "a#"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char t[100];
    int n = snprintf(t, sizeof t, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
    if (status(t, (size_t)n) != 400) fail_msg("not 400: %s", bad[i]);
  }
  assert_int_equal(status(LIT("GET / HTTP/1.1\r\nhost:[::1]:80\r\n\r\n")), 0);
}

static void test_message_length(void **st) {
  (void)st;
  static const char *const bad[] = {
      "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: +3", "Content-Length: -1", "Content-Length: 0x10", "Content-Length: 1 2", "Content-Length: 5, 5",
      "Content-Length:", "Content-Length: 3.", "Content-Length: 99999999999999999999", "Content-Length: 9223372036854775808", "Content-Length: 5\r\nTransfer-Encoding: chunked",
      "Transfer-Encoding: chunked\r\nContent-Length: 5", "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: xchunked",
      "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity", "Transfer-Encoding:", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"",
      "Content-Encoding: gzip\r\nContent-Encoding: gzip"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (header(bad[i]) != 400) fail_msg("not 400: %s (%d)", bad[i], header(bad[i]));
  assert_int_equal(status(LIT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")), 400);
  assert_int_equal(header("Content-Encoding: br"), 415);
  assert_int_equal(header("Expect: something"), 417);
  http_head h;
  assert_int_equal(status_of(LIT("POST / HTTP/1.1\r\nHost: h\r\nTRANSFER-encoding: Chunked\r\n\r\n"), &h), 0);
  assert_true(h.chunked && h.content_length == -1);
  assert_int_equal(status_of(LIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n"), &h), 0);
  assert_true(h.content_length == INT64_MAX);
}

static void test_limits(void **st) {
  (void)st;
  char *t = malloc(70000);
  size_t n = (size_t)sprintf(t, "GET / HTTP/1.1\r\nHost: h\r\n"), base = n;
  for (int i = 0; i < 99; i++) n += (size_t)sprintf(t + n, "X: y\r\n");
  memcpy(t + n, "\r\n", 2);
  assert_int_equal(status(t, n + 2), 0); /* 100 headers */
  memcpy(t + n, "X: y\r\n\r\n", 8);
  assert_int_equal(status(t, n + 8), 431);
  for (int extra = 0; extra <= 1; extra++) { /* exactly the limit, and one byte more */
    n = base + (size_t)sprintf(t + base, "X: ");
    size_t want = HTTP_MAX_HEAD_BYTES - 4 + (size_t)extra;
    memset(t + n, 'a', want - n);
    memcpy(t + want, "\r\n\r\n", 4);
    assert_int_equal(status(t, want + 4), extra ? 431 : 0);
  }
  memset(t, 'A', 70000); /* endless method */
  assert_int_equal(status(t, 70000), 431);
  assert_int_equal(status(t, 1000), 1);
  n = (size_t)sprintf(t, "GET /");
  memset(t + n, 'p', HTTP_MAX_TARGET_BYTES);
  n += HTTP_MAX_TARGET_BYTES;
  n += (size_t)sprintf(t + n, " HTTP/1.1\r\nHost: h\r\n\r\n");
  assert_int_equal(status(t, n), 414);
  free(t);
}

static void test_every_prefix_wants_more(void **st) {
  (void)st;
  static const char in[] = "\r\nPOST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
  for (size_t i = 0; i < sizeof in - 1; i++) assert_int_equal(status(in, i), 1);
  assert_int_equal(status(in, sizeof in - 1), 0);
}

static void test_decoding(void **st) {
  (void)st;
  char out[64];
  assert_int_equal(http_decode(out, (http_str){LIT("a%2Fb+%c3%A4")}, false), 6);
  assert_memory_equal(out, "a/b+\xc3\xa4", 6);
  assert_int_equal(http_decode(out, (http_str){LIT("a+b")}, true), 3);
  assert_memory_equal(out, "a b", 3);
  assert_int_equal(http_decode(out, (http_str){LIT("a%00")}, false), -1);
  assert_int_equal(http_decode(out, (http_str){"a\0b", 3}, false), -1);
  assert_int_equal(http_decode(out, (http_str){LIT("a%2")}, false), -1);
  http_str q = {LIT("a=1&b=x%20y&c&d=&e=%zz&na%6de=ok&a=2")};
  assert_int_equal(http_query_get(q, "a", out, 9), 1);
  assert_memory_equal(out, "1", 1);
  assert_int_equal(http_query_get(q, "b", out, 9), 3);
  assert_memory_equal(out, "x y", 3);
  assert_int_equal(http_query_get(q, "c", out, 9), 0);
  assert_int_equal(http_query_get(q, "d", out, 9), 0);
  assert_int_equal(http_query_get(q, "e", out, 9), -2);
  assert_int_equal(http_query_get(q, "name", out, 9), 2);
  assert_int_equal(http_query_get(q, "zz", out, 9), -1);
  assert_int_equal(http_query_get(q, "b", out, 2), -2);
  assert_int_equal(http_query_get((http_str){NULL, 0}, "b", out, 2), -1);
}

/* ---- chunked ---- */

typedef struct result {
  hdw_status s;
  size_t used, made;
  char out[5000];
} result;

static result chunked(const char *in, size_t n, size_t step) {
  http_chunked c;
  result r = {HDW_E_AGAIN, 0, 0, {0}};
  http_chunked_init(&c);
  for (size_t i = 0; i < n && r.s == HDW_E_AGAIN; i += step) {
    size_t len = n - i < step ? n - i : step, used, made;
    char *piece = malloc(len);
    memcpy(piece, in + i, len);
    r.s = http_chunked_decode(&c, piece, len, &used, piece, &made); /* in place */
    memcpy(r.out + r.made, piece, made);
    free(piece);
    r.used += used;
    r.made += made;
  }
  return r;
}

static void check_chunked(const char *in, size_t n, hdw_status s, size_t rest, const char *body) {
  for (size_t step = 1; step <= n; step++) {
    result r = chunked(in, n, step);
    assert_int_equal(r.s, s);
    if (s != HDW_OK && s != HDW_E_AGAIN) continue;
    assert_int_equal(r.made, strlen(body));
    assert_memory_equal(r.out, body, r.made);
    if (s == HDW_OK) assert_int_equal(n - r.used, rest);
  }
}

static void test_chunked_bodies(void **st) {
  (void)st;
  check_chunked(LIT("3\r\nabc\r\n0\r\n\r\n"), HDW_OK, 0, "abc");
  check_chunked(LIT("3\r\nabc\r\nA;x=\"y\";z\r\n0123456789\r\n0\r\nTrailer: x\r\nY:\r\n\r\nGET /"), HDW_OK, 5, "abc0123456789");
  check_chunked(LIT("0003\r\na\r\n\r\n000\r\n\r\n"), HDW_OK, 0, "a\r\n");
  check_chunked(LIT("3\r\nab"), HDW_E_AGAIN, 0, "ab");
  check_chunked(LIT("0\r\n\r"), HDW_E_AGAIN, 0, "");
  static const char *const bad[] = {"\r\n", "x\r\n", "3\nabc\r\n", "3\r\nabcd\r\n", "3\r\nabc\n0\r\n\r\n", "3 \r\nabc", " 3\r\nabc", "+3\r\nabc", "0x3\r\nabc", "-1\r\n", "3\r\rabc", "0\r\n\n",
                                    "0\r\nA: b\n\r\n", "0\r\n A: b\r\n\r\n", "0\r\nA\x01: b\r\n\r\n", "3;a\x01\r\nabc", "3;\n", "ffffffffffffffff\r\n", "0\r\n\rx", "1000000000000000\r\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_chunked(bad[i], strlen(bad[i]), HDW_E_SYNTAX, 0, "");
  char big[HTTP_MAX_TRAILER_BYTES + 100];
  memset(big, 'e', sizeof big);
  memcpy(big, "3;", 2);
  assert_int_equal(chunked(big, sizeof big, 100).s, HDW_E_LIMIT);
  memcpy(big, "0\r\n", 3);
  assert_int_equal(chunked(big, sizeof big, 100).s, HDW_E_LIMIT);
}

/* ---- gzip ---- */

static size_t gzip(const void *in, size_t n, void *out, size_t cap) {
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = (Bytef *)(uintptr_t)in;
  z.avail_in = (uInt)n;
  z.next_out = out;
  z.avail_out = (uInt)cap;
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  deflateEnd(&z);
  return cap - z.avail_out;
}

static hdw_status gunzip_limit(const void *in, size_t n, size_t max, size_t *len, char first[16]) {
  test_mem tm;
  test_mem_init(&tm);
  void *out;
  size_t cap;
  hdw_status s = http_gunzip(&tm.m, in, n, max, &out, len, &cap);
  if (!s && out) {
    memcpy(first, out, *len < 16 ? *len : 16);
    tm.m.put(&tm.m, out, cap);
  }
  assert_int_equal(tm.live_bytes, 0);
  return s;
}

static void test_H50_gzip_bodies(void **st) {
  (void)st;
  char z[100000], first[16];
  size_t len, n = gzip(LIT("MSH|^~\\&|A\r"), z, sizeof z);
  assert_int_equal(gunzip_limit(z, n, 1000, &len, first), HDW_OK);
  assert_int_equal(len, 11);
  assert_memory_equal(first, "MSH|^~\\&|A\r", 11);
  assert_int_equal(gunzip_limit(z, n, 11, &len, first), HDW_OK);
  assert_int_equal(gunzip_limit(z, n, 10, &len, first), HDW_E_LIMIT);
  for (size_t i = 0; i < n; i++) assert_int_equal(gunzip_limit(z, i, 1000, &len, first), HDW_E_SYNTAX);
  size_t m = gzip(LIT("more"), z + n, sizeof z - n);
  assert_int_equal(gunzip_limit(z, n + m, 1000, &len, first), HDW_OK); /* two members */
  assert_int_equal(len, 15);
  memcpy(z + n, "junk", 4);
  assert_int_equal(gunzip_limit(z, n + 4, 1000, &len, first), HDW_E_SYNTAX);
  z[n - 5] ^= 1; /* its checksum */
  assert_int_equal(gunzip_limit(z, n, 1000, &len, first), HDW_E_SYNTAX);
}

static void test_H50_gzip_bomb(void **st) {
  (void)st;
  size_t big = 8 << 20, len;
  char *zero = calloc(1, big), z[20000], first[16];
  size_t n = gzip(zero, big, z, sizeof z);
  assert_true(big / n > HTTP_MAX_INFLATE_RATIO);
  assert_int_equal(gunzip_limit(z, n, 64 << 20, &len, first), HDW_E_LIMIT);
  free(zero);
}

static void test_gzip_every_allocation_may_fail(void **st) {
  (void)st;
  char z[1000];
  size_t n = gzip(LIT("MSH"), z, sizeof z), len, cap;
  for (long at = 0; at < 10; at++) {
    test_mem tm;
    test_mem_init(&tm);
    tm.fail_after = at;
    void *out;
    hdw_status s = http_gunzip(&tm.m, z, n, 1000, &out, &len, &cap);
    if (at == 0) assert_int_equal(s, HDW_E_NOMEM);
    if (!s) tm.m.put(&tm.m, out, cap);
    else assert_int_equal(s, HDW_E_NOMEM);
    assert_int_equal(tm.live_bytes, 0);
  }
}

/* ---- responses ---- */

static void test_dates(void **st) {
  (void)st;
  char d[HTTP_DATE_BYTES + 1];
  http_date(d, 784111777);
  assert_string_equal(d, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110, 5.6.7 */
  http_date(d, 0);
  assert_string_equal(d, "Thu, 01 Jan 1970 00:00:00 GMT");
  http_date(d, 951782400);
  assert_string_equal(d, "Tue, 29 Feb 2000 00:00:00 GMT");
  http_date(d, 4107542399);
  assert_string_equal(d, "Sun, 28 Feb 2100 23:59:59 GMT");
}

static void test_response_heads(void **st) {
  (void)st;
  char out[512];
  const char *date = "Sun, 06 Nov 1994 08:49:37 GMT";
  http_header h[] = {{{LIT("Content-Type")}, {LIT("application/json")}}, {{LIT("X-A")}, {LIT("")}}};
  long n = http_write_head(out, sizeof out, 200, 1, true, date, 2, h, 2);
  assert_int_equal(n, strlen("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\nContent-Type: application/json\r\nX-A: \r\n\r\n"));
  assert_memory_equal(out, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\nContent-Type: application/json\r\nX-A: \r\n\r\n", (size_t)n);
  n = http_write_head(out, sizeof out, 503, 0, false, date, -1, NULL, 0);
  assert_memory_equal(out, "HTTP/1.1 503 Service Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", (size_t)n);
  for (size_t cap = 0; cap < 60; cap++) assert_int_equal(http_write_head(out, cap, 200, 1, true, date, 2, NULL, 0), -1);
  const http_header bad[] = {{{LIT("A")}, {LIT("x\r\nSet-Cookie: y")}}, {{LIT("A")}, {LIT("x\ny")}}, {{LIT("A")}, {LIT("x\0y")}}, {{LIT("A")}, {LIT("\x1b[31m")}}, {{LIT("A B")}, {LIT("x")}},
                             {{LIT("")}, {LIT("x")}}, {{LIT("A:")}, {LIT("x")}}, {{LIT("A\r\n")}, {LIT("x")}}, {{LIT("A\0")}, {LIT("x")}}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(http_write_head(out, sizeof out, 200, 1, true, date, 2, &bad[i], 1), -2);
}

int main(void) {
  const struct CMUnitTest t[] = {
      cmocka_unit_test(test_ordinary_request), cmocka_unit_test(test_request_lines), cmocka_unit_test(test_versions), cmocka_unit_test(test_header_syntax),
      cmocka_unit_test(test_bare_line_feeds), cmocka_unit_test(test_host), cmocka_unit_test(test_message_length), cmocka_unit_test(test_limits),
      cmocka_unit_test(test_every_prefix_wants_more), cmocka_unit_test(test_decoding), cmocka_unit_test(test_chunked_bodies), cmocka_unit_test(test_H50_gzip_bodies),
      cmocka_unit_test(test_H50_gzip_bomb), cmocka_unit_test(test_gzip_every_allocation_may_fail), cmocka_unit_test(test_dates), cmocka_unit_test(test_response_heads)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
