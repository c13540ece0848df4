/* test_report.c - results as text, JSON and JUnit XML; the difference of two values. */
#include <string.h>
#include "json.h"
#include "test.h"

enum { DEPTH = 40, SHOWN = 160 };

/* ---- differences -------------------------------------------------------------------------------------------------------- */

static const char *shown(arena *a, val v) {
  buf b;
  if (v.tag == VAL_EMPTY) return "{}";
  buf_init(&b, a, 1 << 20);
  if (hc_write_text_json(a, v, &b)) return "(a value without JSON form)";
  return hc_cut(a, b.p, b.len, SHOWN);
}

static void differ(arena *a, const char *path, val x, val y, hc_list *out, int depth);

static val member(arena *a, val obj, val key) {
  const val *slot = val_obj_get(obj, key);
  val v = VAL_NONE;
  if (slot) (void)val_norm(a, *slot, &v);
  return v;
}

static void differ_objects(arena *a, const char *path, val x, val y, hc_list *out, int depth) {
  for (uint32_t i = 0; i < x.len; i++) {
    val k = x.u.v[2 * i];
    const char *name = hc_text(a, "%s%s%.*s", path, path[0] ? "." : "", (int)k.len, k.u.s);
    differ(a, name, member(a, x, val_key(k.u.s, k.len)), member(a, y, val_key(k.u.s, k.len)), out, depth);
  }
  for (uint32_t i = 0; i < y.len; i++) {
    val k = val_key(y.u.v[2 * i].u.s, y.u.v[2 * i].len), v = member(a, y, k);
    if (!val_obj_get(x, k) && v.tag != VAL_EMPTY)
      differ(a, hc_text(a, "%s%s%.*s", path, path[0] ? "." : "", (int)k.len, k.u.s), VAL_NONE, v, out, depth);
  }
}

static void differ(arena *a, const char *path, val x, val y, hc_list *out, int depth) {
  int equal;
  if (out->n >= TEST_MAX_DIFFERENCES || depth > DEPTH) return;
  if (x.tag == VAL_EMPTY && y.tag == VAL_EMPTY) return;
  if (!val_equal(a, x, y, &equal) && equal == 1) return;
  if (x.tag == VAL_OBJ && y.tag == VAL_OBJ) {
    uint32_t before = out->n;
    differ_objects(a, path, x, y, out, depth + 1);
    if (out->n > before) return;
  }
  if (x.tag == VAL_LIST && y.tag == VAL_LIST) {
    uint32_t n = x.len > y.len ? x.len : y.len;
    for (uint32_t i = 0; i < n; i++)
      differ(a, hc_text(a, "%s[%u]", path, i), i < x.len ? x.u.v[i] : VAL_NONE, i < y.len ? y.u.v[i] : VAL_NONE, out, depth + 1);
    return;
  }
  const char *place = path[0] ? hc_text(a, "at %s: ", path) : "";
  if (x.tag == VAL_EMPTY) hc_list_add(a, out, hc_text(a, "%sonly the right side has %s", place, shown(a, y)));
  else if (y.tag == VAL_EMPTY) hc_list_add(a, out, hc_text(a, "%sonly the left side has %s", place, shown(a, x)));
  else if (strcmp(val_type_name(x), val_type_name(y)) != 0)
    hc_list_add(a, out, hc_text(a, "%s%s (%s) is not %s (%s)", place, shown(a, x), val_type_name(x), shown(a, y), val_type_name(y)));
  else hc_list_add(a, out, hc_text(a, "%s%s is not %s", place, shown(a, x), shown(a, y)));
}

void test_difference(arena *a, val left, val right, hc_list *out) { differ(a, "", left, right, out, 0); }

/* ---- text ------------------------------------------------------------------------------------------------------------------ */

static void text_failure(buf *b, const test_failure *f) {
  buf_puts(b, "    ");
  if (f->file && f->line) buf_putf(b, "%s:%u:%u: ", f->file, f->line, f->col);
  if (f->expression) buf_putf(b, "expect %s\n        %s\n", f->expression, f->message);
  else buf_putf(b, "%s\n", f->message);
  if (f->left) buf_putf(b, "        left:  %s\n        right: %s\n", f->left, f->right);
  for (uint32_t i = 0; f->differences.n > 1 || (i < f->differences.n && strncmp(f->differences.v[i], "at ", 3) == 0); i++) {
    if (i == f->differences.n) break;
    buf_putf(b, "        %s\n", f->differences.v[i]);
  }
}

void test_report_text(buf *b, const test_results *r, bool color) {
  const char *red = color ? "\033[31m" : "", *green = color ? "\033[32m" : "", *off = color ? "\033[0m" : "";
  for (const test_case *c = r->first; c; c = c->next) {
    buf_putf(b, "%s%s%s  %s\n", c->first ? red : green, c->first ? "FAIL" : "ok  ", off, c->name);
    for (const test_failure *f = c->first; f; f = f->next) text_failure(b, f);
    if (c->first && c->trace.n) {
      buf_puts(b, "    what happened:\n");
      for (uint32_t i = 0; i < c->trace.n; i++) buf_putf(b, "        %s\n", c->trace.v[i]);
    }
  }
  if (r->broken) buf_putf(b, "%u program%s not compile\n", r->broken, r->broken == 1 ? " does" : "s do");
  buf_putf(b, "%u passed, %u failed\n", r->passed, r->failed);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------------ */

static void json_text(buf *b, const char *name, const char *s) {
  buf_putf(b, ",\"%s\":", name);
  if (s) json_write_str(b, s, strlen(s));
  else buf_puts(b, "null");
}

static void json_list(buf *b, const char *name, const hc_list *l) {
  buf_putf(b, ",\"%s\":[", name);
  for (uint32_t i = 0; i < l->n; i++) {
    if (i) buf_putc(b, ',');
    json_write_str(b, l->v[i], strlen(l->v[i]));
  }
  buf_putc(b, ']');
}

void test_report_json(buf *b, const test_results *r) {
  buf_putf(b, "{\"version\":1,\"passed\":%u,\"failed\":%u,\"broken\":%u,\"tests\":[", r->passed, r->failed, r->broken);
  for (const test_case *c = r->first; c; c = c->next) {
    buf_puts(b, c == r->first ? "{\"name\":" : ",{\"name\":");
    json_write_str(b, c->name, strlen(c->name));
    json_text(b, "file", c->file);
    buf_putf(b, ",\"line\":%u,\"status\":\"%s\",\"ms\":%.3f,\"failures\":[", c->line, c->first ? "failed" : "passed", (double)c->took_ns / 1e6);
    for (const test_failure *f = c->first; f; f = f->next) {
      buf_putf(b, "%s{\"line\":%u,\"column\":%u", f == c->first ? "" : ",", f->line, f->col);
      json_text(b, "file", f->file);
      json_text(b, "expression", f->expression);
      json_text(b, "message", f->message);
      json_text(b, "left", f->left);
      json_text(b, "right", f->right);
      json_list(b, "differences", &f->differences);
      buf_putc(b, '}');
    }
    buf_putc(b, ']');
    json_list(b, "trace", &c->trace);
    buf_putc(b, '}');
  }
  buf_puts(b, "]}\n");
}

/* ---- JUnit ------------------------------------------------------------------------------------------------------------------ */

/* XML 1.0 has no control characters but tab and line end. */
static void xml(buf *b, const char *s) {
  for (; *s; s++) {
    switch (*s) {
    case '&': buf_puts(b, "&amp;"); break;
    case '<': buf_puts(b, "&lt;"); break;
    case '>': buf_puts(b, "&gt;"); break;
    case '"': buf_puts(b, "&quot;"); break;
    case '\n': buf_puts(b, "&#10;"); break;
    default: buf_putc(b, (unsigned char)*s < 0x20 && *s != '\t' ? ' ' : *s);
    }
  }
}

static void junit_case(buf *b, const test_case *c) {
  buf_puts(b, "  <testcase classname=\"");
  xml(b, c->file);
  buf_puts(b, "\" name=\"");
  xml(b, c->name);
  buf_putf(b, "\" time=\"%.6f\"", (double)c->took_ns / 1e9);
  if (!c->first) {
    buf_puts(b, "/>\n");
    return;
  }
  buf_puts(b, ">\n");
  for (const test_failure *f = c->first; f; f = f->next) {
    buf_puts(b, "    <failure message=\"");
    xml(b, f->expression ? f->expression : f->message);
    buf_putf(b, "\">%s:%u:%u: ", f->file ? f->file : c->file, f->line, f->col);
    xml(b, f->message);
    for (uint32_t i = 0; i < f->differences.n; i++) {
      buf_putc(b, '\n');
      xml(b, f->differences.v[i]);
    }
    for (uint32_t i = 0; i < c->trace.n; i++) {
      buf_putc(b, '\n');
      xml(b, c->trace.v[i]);
    }
    buf_puts(b, "</failure>\n");
  }
  buf_puts(b, "  </testcase>\n");
}

void test_report_junit(buf *b, const test_results *r) {
  buf_puts(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
  buf_putf(b, " <testsuite name=\"hdwc test\" tests=\"%u\" failures=\"%u\" errors=\"%u\">\n", r->passed + r->failed, r->failed, r->broken);
  for (const test_case *c = r->first; c; c = c->next) junit_case(b, c);
  buf_puts(b, " </testsuite>\n</testsuites>\n");
}
