/* url.c - URL checks through curl's URL API; see url.h. */
#include "url.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Printable ASCII without what RFC 3986 does not allow and parsers disagree about. '|' and braces are tolerated where people write them: in queries. */
static bool clean(const char *p, size_t len) {
  bool query = false;
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)p[i];
    if (c <= ' ' || c >= 0x7f || strchr("\\\"<>`#", c)) return false;
    if (c == '?') query = true;
    if (!query && strchr("|^{}", c)) return false;
    if (c == '%') {
      if (len - i < 3 || !strchr("0123456789abcdefABCDEF", p[i + 1]) || !strchr("0123456789abcdefABCDEF", p[i + 2])) return false;
      if (p[i + 1] == '0' && p[i + 2] == '0') return false; /* a NUL in a path is nobody's friend */
    }
  }
  return true;
}

/* The authority as written: curl would decode, split off a user name, accept a zone. None of that is wanted. */
static bool clean_authority(const char *p, size_t len) {
  if (!len) return false;
  for (size_t i = 0; i < len; i++) {
    char c = p[i];
    bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr(".-_:[]", c);
    if (!ok) return false;
  }
  return true;
}

static char *part(arena *a, CURLU *u, CURLUPart what, bool *ok) {
  char *p = NULL, *copy = NULL;
  CURLUcode c = curl_url_get(u, what, &p, 0);
  if (c == CURLUE_OK) copy = arena_dup(a, p, strlen(p));
  if (c == CURLUE_OUT_OF_MEMORY || (c == CURLUE_OK && !copy)) *ok = false;
  curl_free(p);
  return copy;
}

/* Brackets off, lower case, one trailing dot off; sets is_addr. */
static bool take_host(url *out, char *h) {
  size_t n = strlen(h);
  char text[80];
  for (size_t i = 0; i < n; i++)
    if (h[i] >= 'A' && h[i] <= 'Z') h[i] = (char)(h[i] | 0x20);
  if (h[0] == '[') {
    if (n < 4 || h[n - 1] != ']' || n > 60) return false;
    snprintf(text, sizeof text, "%s:%u", h, out->port);
    if (io_addr_parse(text, &out->addr)) return false;
    out->is_addr = true;
    h[n - 1] = 0;
    out->host = h + 1;
    return true;
  }
  if (n && h[n - 1] == '.') h[--n] = 0;
  if (!n || n > 253 || strchr(h, ':') || strchr(h, '[') || h[0] == '.' || strstr(h, "..")) return false;
  out->host = h;
  if (n <= 15) {
    snprintf(text, sizeof text, "%s:%u", h, out->port);
    out->is_addr = io_addr_parse(text, &out->addr) == HDW_OK;
  }
  /* A last label of digits (or 0x...) is an address or nothing: never a name (RFC 3986 and the URL standard agree). */
  const char *dot = strrchr(h, '.'), *last = dot ? dot + 1 : h;
  bool digits = last[strspn(last, "0123456789")] == 0, hex = last[0] == '0' && last[1] == 'x' && last[2 + strspn(last + 2, "0123456789abcdef")] == 0;
  return out->is_addr || !(digits || hex);
}

static hdw_status take(arena *a, CURLU *u, url *out) {
  bool ok = true;
  memset(out, 0, sizeof *out);
  char *scheme = part(a, u, CURLUPART_SCHEME, &ok), *host = part(a, u, CURLUPART_HOST, &ok), *port = part(a, u, CURLUPART_PORT, &ok);
  char *path = part(a, u, CURLUPART_PATH, &ok), *query = part(a, u, CURLUPART_QUERY, &ok);
  char *user = part(a, u, CURLUPART_USER, &ok), *pass = part(a, u, CURLUPART_PASSWORD, &ok), *frag = part(a, u, CURLUPART_FRAGMENT, &ok), *zone = part(a, u, CURLUPART_ZONEID, &ok);
  if (!ok) return HDW_E_NOMEM;
  if (!scheme || !host || user || pass || frag || zone) return HDW_E_SYNTAX;
  out->https = !strcasecmp(scheme, "https");
  if (!out->https && strcasecmp(scheme, "http")) return HDW_E_SYNTAX;
  unsigned n = out->https ? 443 : 80;
  if (port) {
    if (strlen(port) > 5 || port[strspn(port, "0123456789")]) return HDW_E_SYNTAX;
    for (n = 0; *port; port++) n = n * 10 + (unsigned)(*port - '0');
  }
  if (!n || n > 65535) return HDW_E_SYNTAX;
  out->port = (uint16_t)n;
  if (!take_host(out, host)) return HDW_E_SYNTAX;
  out->path = path && *path ? path : "/";
  out->query = query;
  if (out->path[0] != '/') return HDW_E_SYNTAX;
  size_t pl = strlen(out->path), ql = query ? strlen(query) : 0;
  char *t = arena_alloc(a, pl + ql + 2);
  if (!t) return HDW_E_NOMEM;
  memcpy(t, out->path, pl);
  if (query) {
    t[pl++] = '?';
    memcpy(t + pl, query, ql);
  }
  t[pl + ql] = 0;
  out->target = t;
  return HDW_OK;
}

static hdw_status status_of(CURLUcode c) { return c == CURLUE_OK ? HDW_OK : c == CURLUE_OUT_OF_MEMORY ? HDW_E_NOMEM : HDW_E_SYNTAX; }

hdw_status url_parse(arena *a, const char *text, size_t len, url *out) {
  if (len > URL_MAX_BYTES) return HDW_E_LIMIT;
  if (!clean(text, len)) return HDW_E_SYNTAX;
  char *z = arena_dup(a, text, len);
  if (!z) return HDW_E_NOMEM;
  /* "http:/host" and "http:host" mean different things to different readers. */
  size_t skip = !strncasecmp(z, "https://", 8) ? 8 : !strncasecmp(z, "http://", 7) ? 7 : 0;
  if (!skip || !clean_authority(z + skip, strcspn(z + skip, "/?"))) return HDW_E_SYNTAX;
  CURLU *u = curl_url();
  if (!u) return HDW_E_NOMEM;
  hdw_status s = status_of(curl_url_set(u, CURLUPART_URL, z, CURLU_DISALLOW_USER));
  if (!s) s = take(a, u, out);
  curl_url_cleanup(u);
  return s;
}

hdw_status url_resolve(arena *a, const url *base, const char *ref, size_t len, url *out) {
  if (len > URL_MAX_BYTES) return HDW_E_LIMIT;
  if (!len || !clean(ref, len)) return HDW_E_SYNTAX;
  char *z = arena_dup(a, ref, len), *b = url_text(a, base), *full = NULL;
  if (!z || !b) return HDW_E_NOMEM;
  if (!strncmp(z, "//", 2) && !clean_authority(z + 2, strcspn(z + 2, "/?"))) return HDW_E_SYNTAX;
  /* A colon before the first slash is a scheme; only ours may come. */
  size_t colon = strcspn(z, ":/?");
  if (z[colon] == ':') return url_parse(a, ref, len, out);
  CURLU *u = curl_url();
  if (!u) return HDW_E_NOMEM;
  hdw_status s = status_of(curl_url_set(u, CURLUPART_URL, b, CURLU_DISALLOW_USER));
  if (!s) s = status_of(curl_url_set(u, CURLUPART_URL, z, CURLU_DISALLOW_USER));
  if (!s) s = status_of(curl_url_get(u, CURLUPART_URL, &full, 0));
  curl_url_cleanup(u);
  if (!s) s = url_parse(a, full, strlen(full), out);
  curl_free(full);
  return s;
}

bool url_same_origin(const url *a, const url *b) { return a->https == b->https && a->port == b->port && !strcmp(a->host, b->host); }

char *url_text(arena *a, const url *u) {
  buf b;
  buf_init(&b, a, 2 * URL_MAX_BYTES);
  bool six = strchr(u->host, ':') != NULL;
  buf_puts(&b, u->https ? "https://" : "http://");
  if (six) buf_putc(&b, '[');
  buf_puts(&b, u->host);
  if (six) buf_putc(&b, ']');
  if (u->port != (u->https ? 443 : 80)) buf_putf(&b, ":%u", u->port);
  buf_puts(&b, u->target);
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

void url_escape(buf *b, const char *p, size_t len) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)p[i];
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("-._~", c))) buf_putc(b, (char)c);
    else {
      buf_putc(b, '%');
      buf_putc(b, hex[c >> 4]);
      buf_putc(b, hex[c & 15]);
    }
  }
}

hdw_status url_build(arena *a, const url *base, const url_segment *seg, size_t nseg, const url_param *par, size_t npar, url *out) {
  buf b;
  size_t n = strlen(base->path);
  while (n && base->path[n - 1] == '/') n--;
  buf_init(&b, a, URL_MAX_BYTES);
  buf_put(&b, base->path, n);
  for (size_t i = 0; i < nseg; i++) {
    if (!seg[i].len || (seg[i].p[0] == '.' && (seg[i].len == 1 || (seg[i].len == 2 && seg[i].p[1] == '.'))) || memchr(seg[i].p, 0, seg[i].len)) return HDW_E_DATA;
    buf_putc(&b, '/');
    url_escape(&b, seg[i].p, seg[i].len);
  }
  if (!b.len && !b.status) buf_putc(&b, '/');
  size_t path = b.len;
  for (size_t i = 0; i < npar; i++) {
    buf_putc(&b, i ? '&' : '?');
    url_escape(&b, par[i].name, par[i].name_len);
    buf_putc(&b, '=');
    url_escape(&b, par[i].value, par[i].value_len);
  }
  buf_putc(&b, 0);
  if (b.status) return (hdw_status)b.status;
  *out = *base;
  out->target = b.p;
  out->query = npar ? b.p + path + 1 : NULL;
  out->path = npar ? arena_dup(a, b.p, path) : b.p;
  return out->path ? HDW_OK : HDW_E_NOMEM;
}
