/* test_report.c - results as text, JSON and JUnit XML. */
#include <string.h>
#include "json.h"
#include "test.h"

/* ---- text ------------------------------------------------------------------------------------------------------------------ */

static void text_failure(buf *b, const test_failure *f) {
  buf_puts(b, "    ");
  if (f->file && f->line) buf_putf(b, "%s:%u:%u: ", f->file, f->line, f->col);
  if (f->expression) buf_putf(b, "expect %s\n        %s\n", f->expression, f->message);
  else buf_putf(b, "%s\n", f->message);
  bool parts = f->differences.n > 1 || (f->differences.n && strncmp(f->differences.v[0], "at ", 3) == 0);
  if (f->left_name) buf_putf(b, "        %s: %s\n", f->left_name, f->left);
  else if (f->left && (!parts || strlen(f->left) + strlen(f->right) < 400)) buf_putf(b, "        left:  %s\n        right: %s\n", f->left, f->right);
  for (uint32_t i = 0; parts && i < f->differences.n; i++) buf_putf(b, "        %s\n", f->differences.v[i]);
}

static void text_time(buf *b, int64_t ms) {
  char t[40] = "";
  if (ms >= 3600000) snprintf(t, sizeof t, "+%lldh%02lldm%02llds", (long long)(ms / 3600000), (long long)(ms / 60000 % 60), (long long)(ms / 1000 % 60));
  else if (ms >= 0) snprintf(t, sizeof t, "+%lld.%llds", (long long)(ms / 1000), (long long)(ms % 1000 / 100));
  buf_putf(b, "      %9s  ", t);
}

static void text_event(buf *b, const test_event *e) {
  bool effect = e->path != NULL, run = strcmp(e->kind, "run") == 0;
  text_time(b, e->after_ms);
  buf_putf(b, "%s%s%s%s", effect || e->after_ms < 0 ? "  " : "", e->kind, e->what[0] ? " " : "", e->what);
  if (effect && e->attempt > 1) buf_putf(b, ", attempt %u", e->attempt);
  if (run) buf_putf(b, ": %s", e->result);
  else if (!effect && e->result) buf_putf(b, " -> %s", e->result);
  if (run && e->error) buf_putf(b, ": %s", e->error);
  if (e->where && e->where[0]) buf_putf(b, "   (%s)", e->where);
  buf_putc(b, '\n');
  if (!effect) return;
  buf_putf(b, "                     %s\n                     -> %s%s", e->request, e->error ? "error: " : "", e->error ? e->error : e->result);
  if (e->delay_ms) buf_putf(b, " after %lld.%01llds", (long long)(e->delay_ms / 1000), (long long)(e->delay_ms % 1000 / 100));
  if (e->mock) buf_putf(b, "   [mock %s]", e->mock);
  else if (!e->error) buf_puts(b, "   [no mock]");
  buf_putc(b, '\n');
}

void test_report_text(buf *b, const test_results *r, bool color) {
  const char *red = color ? "\033[31m" : "", *green = color ? "\033[32m" : "", *off = color ? "\033[0m" : "";
  for (const test_case *c = r->first; c; c = c->next) {
    buf_putf(b, "%s%s%s  %s\n", c->first ? red : green, c->first ? "FAIL" : "ok  ", off, c->name);
    for (const test_failure *f = c->first; f; f = f->next) text_failure(b, f);
    if (c->events) buf_puts(b, "    what happened:\n");
    for (const test_event *e = c->events; e; e = e->next) text_event(b, e);
    if (c->cut) buf_puts(b, "            ... and more\n");
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

static void json_event(buf *b, const test_event *e) {
  bool effect = e->path != NULL;
  buf_putf(b, "{\"kind\":\"%s\"", e->kind);
  if (e->after_ms >= 0) buf_putf(b, ",\"after_ms\":%lld", (long long)e->after_ms);
  json_text(b, effect ? "operation" : "what", e->what);
  if (e->where && e->where[0]) json_text(b, "at", e->where);
  if (effect) {
    json_text(b, "workflow", e->workflow);
    json_text(b, "path", e->path);
    buf_putf(b, ",\"attempt\":%u", e->attempt);
    json_text(b, "request", e->request);
    json_text(b, "mock", e->mock);
    if (e->delay_ms) buf_putf(b, ",\"delay_ms\":%lld", (long long)e->delay_ms);
  }
  if (e->result) json_text(b, "result", e->result);
  if (e->error) json_text(b, "error", e->error);
  buf_putc(b, '}');
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
      if (f->left_name) json_text(b, "of", f->left_name);
      json_text(b, "left", f->left);
      json_text(b, "right", f->right);
      json_list(b, "differences", &f->differences);
      buf_putc(b, '}');
    }
    buf_puts(b, "],\"trace\":[");
    for (const test_event *e = c->events; e; e = e->next) {
      if (e != c->events) buf_putc(b, ',');
      json_event(b, e);
    }
    buf_puts(b, "]}");
  }
  buf_putc(b, ']');
  if (r->cover) {
    buf_puts(b, ",\"coverage\":");
    test_cover_json(b, r->cover);
  }
  if (r->loss) {
    buf_puts(b, ",\"unread\":");
    test_loss_json(b, r->loss);
  }
  buf_puts(b, "}\n");
}

/* ---- JUnit ------------------------------------------------------------------------------------------------------------------ */

/* XML 1.0 has no control characters but tab and line end. */
static void xml(buf *b, const char *s) { /* also fits into an attribute */
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
    buf_puts(b, "</failure>\n");
  }
  if (c->events) {
    buf text;
    buf_init(&text, b->a, 1 << 20);
    for (const test_event *e = c->events; e; e = e->next) text_event(&text, e);
    buf_putc(&text, 0);
    buf_puts(b, "    <system-out>\n");
    if (!text.status) xml(b, text.p);
    buf_puts(b, "</system-out>\n");
  }
  buf_puts(b, "  </testcase>\n");
}

void test_report_junit(buf *b, const test_results *r) {
  buf_puts(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
  buf_putf(b, " <testsuite name=\"hdwc test\" tests=\"%u\" failures=\"%u\" errors=\"%u\">\n", r->passed + r->failed, r->failed, r->broken);
  for (const test_case *c = r->first; c; c = c->next) junit_case(b, c);
  buf_puts(b, " </testsuite>\n</testsuites>\n");
}
