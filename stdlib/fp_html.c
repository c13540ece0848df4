/* htmlChecks(): the narrative rule txt-1 of FHIR R4. The text must be one well-formed <div>, of the elements and attributes that the rule names. */
#include "fp_int.h"
#include <string.h>

enum { DEPTH_MAX = 200 };
static const char *const elements = " a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre q samp "
                                    "small span strong sub sup table tbody td tfoot th thead tr tt ul var ";
static const char *const attributes = " abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite class colspan "
                                      "compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev rowspan rules scope shape span "
                                      "src start style summary tabindex title type valign value vspace width xml:lang xmlns ";

typedef struct reader { const char *p, *end; } reader;

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '-' || c == '_' || c == '.'; }
static void blank(reader *r) { while (r->p < r->end && is_space(*r->p)) r->p++; }
static bool eat(reader *r, const char *s) {
  size_t n = strlen(s);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, s, n) != 0) return false;
  r->p += n;
  return true;
}

static size_t name(reader *r, const char **s) {
  *s = r->p;
  while (r->p < r->end && is_name(*r->p)) r->p++;
  return (size_t)(r->p - *s);
}

static bool listed(const char *list, const char *s, size_t n) {
  for (const char *p = list; *p; p++) {
    if (p[0] == ' ' && strncmp(p + 1, s, n) == 0 && p[1 + n] == ' ') return true;
  }
  return false;
}

/* &name; &#10; &#xA; */
static bool entity(reader *r) {
  const char *from = ++r->p;
  while (r->p < r->end && r->p - from < 12 && (is_name(*r->p) || *r->p == '#')) r->p++;
  return r->p > from && r->p < r->end && *r->p++ == ';';
}

/* Attributes of a tag up to its '>'; *closed when it ends in "/>". */
static bool attributes_ok(reader *r, bool *closed) {
  for (;;) {
    const char *s;
    const char *before = r->p;
    blank(r);
    if (eat(r, "/>")) return *closed = true;
    if (eat(r, ">")) return *closed = false, true;
    size_t n = name(r, &s);
    if (n == 0 || s == before || n > 20 || !listed(attributes, s, n)) return false;
    blank(r);
    if (!eat(r, "=")) return false;
    blank(r);
    if (r->p == r->end || (*r->p != '"' && *r->p != '\'')) return false;
    char quote = *r->p++;
    const char *v = r->p;
    while (r->p < r->end && *r->p != quote) {
      if (*r->p == '<') return false;
      if (*r->p == '&' ? !entity(r) : (r->p++, false)) return false;
    }
    if (r->p == r->end) return false;
    if (r->p - v > 10 && strncasecmp(v, "javascript:", 11) == 0) return false;
    r->p++;
  }
}

static bool html_ok(const char *s, size_t len) {
  reader r = {s, s + len};
  struct { const char *s; size_t n; } open[DEPTH_MAX];
  int depth = 0;
  bool begun = false;
  blank(&r);
  while (r.p < r.end) {
    if (*r.p == '&') { if (depth == 0 || !entity(&r)) return false; continue; }
    if (*r.p != '<') {
      if (depth == 0 && !is_space(*r.p)) return false;
      r.p++;
      continue;
    }
    if (eat(&r, "<!--")) {
      while (r.p < r.end && !eat(&r, "-->")) r.p++;
      if (memcmp(r.p - 3, "-->", 3) != 0) return false;
      continue;
    }
    const char *tag;
    if (eat(&r, "</")) {
      size_t n = name(&r, &tag);
      blank(&r);
      if (depth == 0 || open[depth - 1].n != n || memcmp(open[depth - 1].s, tag, n) != 0 || !eat(&r, ">")) return false;
      depth--;
      continue;
    }
    r.p++;
    size_t n = name(&r, &tag);
    bool closed, div = n == 3 && memcmp(tag, "div", 3) == 0;
    if (n == 0 || n > 12 || !listed(elements, tag, n) || (depth == 0 && (begun || !div)) || !attributes_ok(&r, &closed)) return false;
    begun = true;
    if (closed) continue;
    if (depth == DEPTH_MAX) return false;
    open[depth].s = tag;
    open[depth++].n = n;
  }
  return begun && depth == 0;
}

hdw_status fp_html_checks(vm_cx *cx, const val *args, unsigned n, val *out) {
  val text;
  (void)n;
  *out = VAL_NONE;
  hdw_status s = fp_text(cx, args[0], "htmlChecks()", &text);
  if (s || text.tag != VAL_STR) return s;
  *out = val_bool(html_ok(text.u.s, text.len));
  return vm_charge(cx, text.len / 4);
}
