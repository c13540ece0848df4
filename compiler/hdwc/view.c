/* view.c - `hdwc view`: a ViewDefinition of SQL on FHIR over lines of NDJSON.
 *
 *   line --json--> resource --adopt--> typed object --vm--> rows --> NDJSON or CSV
 *
 * The view is compiled once. One line is in memory at a time, with its rows; a line that cannot be used is named on standard error and the next one is read. */
#include <stdlib.h>
#include <string.h>
#include "fhir.h"
#include "hdwc.h"
#include "host.h"
#include "json.h"
#include "model.h"

enum { OUT_FLUSH = 1 << 16, OUT_MAX = 1 << 30, LINE_MAX_BYTES = 256 << 20, SAY_MAX = 20, MEMORY_MAX = 1 << 30 };
static const int64_t fuel = INT64_C(1) << 36; /* of one resource */

typedef enum form { FORM_NDJSON, FORM_CSV } form;

typedef struct viewer {
  hdwc *h;
  comp_view info;
  form form;
  const char *name;         /* of the input being read */
  uint64_t line;
  uint64_t bad;             /* lines that could not be used */
  module m;
  const vm_native *bound;
  vm_run *run;
  vm_cx cx;
  json_reader reader;
  arena work;               /* of one line */
  arena held;               /* of the output */
  buf out;
} viewer;

/* ---- compiling */

/* What only a strict reading forbids becomes a warning: a path to an element that FHIR R4 does not have is empty, as the specification wants it. */
static void demote(diag_list *l) {
  for (diag *d = l->first; d; d = d->next)
    if (d->severity == DIAG_ERROR) d->severity = DIAG_WARNING;
  l->warnings += l->errors;
  l->errors = 0;
}

static bool load(viewer *v, comp_result *r) {
  arena *a = &v->h->a;
  mod_error e = {0};
  hdw_status s = mod_load(a, r->bytes, r->len_bytes, &v->m, &e);
  if (!s) s = mod_verify(a, &v->m, &e);
  if (!s) s = vm_bind(a, &v->m, host_get(), &v->bound, &e);
  v->run = s ? NULL : (vm_run *)arena_zalloc(a, 1, sizeof *v->run);
  if (!v->run) hc_say("%s", e.text[0] ? e.text : hdw_status_text(s ? s : HDW_E_NOMEM));
  return v->run != NULL;
}

static bool compile(viewer *v, const char *path, bool strict, int *status) {
  arena *a = &v->h->a;
  const char *text;
  size_t len;
  val doc;
  *status = EXIT_USAGE;
  if (!hc_read_say(a, path, &text, &len) || !hc_json(a, &v->h->mem.m, path, text, len, &doc)) return false;
  diag_list l, again;
  comp_result r;
  diag_init(&l, a);
  hdw_status s = comp_view_definition(a, path, text, len, doc, true, &l, &r, &v->info);
  if (!s && l.errors && !strict) {
    comp_view info;
    diag_init(&again, a);
    s = comp_view_definition(a, path, text, len, doc, false, &again, &r, &info);
    v->info = info;
    if (!s && again.errors) l = again;
    else demote(&l);
  }
  if (s) {
    hc_say("%s: %s", path, hdw_status_text(s));
    return false;
  }
  if (l.errors || l.warnings) hc_diag_stderr(&l, true);
  *status = EXIT_FINDINGS;
  if (l.errors || !r.bytes) return false;
  return load(v, &r);
}

/* ---- rows */

static void flush(viewer *v, size_t above) {
  if (v->out.len < above) return;
  hc_print(&v->out);
  v->out.len = 0;
}

/* A primitive, possibly kept as an object because of its extensions. */
static bool scalar(val x) {
  if (x.tag != VAL_OBJ) return x.tag != VAL_LIST;
  return x.aux && x.aux <= fhir_type_count() && fhir_type_kind(x.aux) == FHIR_PRIMITIVE;
}

static hdw_status json_value(viewer *v, const comp_view_column *c, val x, buf *b) {
  if (!c->collection) {
    if (x.tag != VAL_EMPTY) return hc_write_json(&v->work, x, b);
    buf_puts(b, "null");
    return (hdw_status)b->status;
  }
  buf_putc(b, '[');
  hdw_status s = (hdw_status)b->status;
  for (uint32_t i = 0; i < val_count(x) && !s; i++) {
    if (i) buf_putc(b, ',');
    s = hc_write_json(&v->work, val_item(x, i), b);
  }
  buf_putc(b, ']');
  return s;
}

static void csv_text(buf *b, const char *s, size_t len) {
  bool quote = len && (s[0] == ' ' || s[len - 1] == ' ');
  for (size_t i = 0; i < len && !quote; i++) quote = s[i] == ',' || s[i] == '"' || s[i] == '\n' || s[i] == '\r';
  if (!quote) { buf_put(b, s, len); return; }
  buf_putc(b, '"');
  for (size_t i = 0; i < len; i++) {
    if (s[i] == '"') buf_putc(b, '"');
    buf_putc(b, s[i]);
  }
  buf_putc(b, '"');
}

/* Texts as they are, numbers and booleans as in JSON; lists and objects as JSON in one field. */
static hdw_status csv_value(viewer *v, const comp_view_column *c, val x, buf *b) {
  val plain = VAL_NONE;
  hdw_status s = HDW_OK;
  if (x.tag == VAL_EMPTY && !c->collection) {
    if (v->info.ncolumns == 1) buf_puts(b, "\"\""); /* an empty line would be no row */
    return HDW_OK;
  }
  if (!c->collection && scalar(x)) {
    s = fhir_model_system(&v->cx, x, &plain);
    if (!s && plain.tag == VAL_STR) {
      val t;
      if ((s = val_norm(&v->work, plain, &t))) return s;
      csv_text(b, t.u.s, t.len);
      return HDW_OK;
    }
  }
  if (s) return s;
  buf json;
  buf_init(&json, &v->work, OUT_MAX);
  s = json_value(v, c, x, &json);
  if (s) return s;
  bool text = json.len >= 2 && json.p[0] == '"' && json.p[json.len - 1] == '"'; /* dates and times: nothing in them is escaped */
  csv_text(b, json.p + text, json.len - (text ? 2u : 0u));
  return HDW_OK;
}

static hdw_status column(viewer *v, uint32_t i, val x) {
  const comp_view_column *c = &v->info.columns[i];
  buf *b = &v->out;
  if (val_count(x) > 1 && !c->collection)
    return vm_fail(&v->cx, HDW_E_CARD, "column '%s' has %u values: say which one is meant, or that it is a collection", c->name, val_count(x));
  for (uint32_t k = 0; k < val_count(x) && !c->type; k++)
    if (!scalar(val_item(x, k))) return vm_fail(&v->cx, HDW_E_TYPE, "column '%s' is no primitive value: declare its type, or name the element that is meant", c->name);
  if (i && v->form == FORM_CSV) buf_putc(b, ',');
  if (v->form == FORM_CSV) return csv_value(v, c, x, b);
  buf_putc(b, i ? ',' : '{');
  json_write_str(b, c->name, c->len_name);
  buf_putc(b, ':');
  return json_value(v, c, x, b);
}

/* Writes the columns of a row or part from number *i on. */
static hdw_status columns(viewer *v, val row, uint32_t *i) {
  hdw_status s = HDW_OK;
  for (uint32_t k = 0; k < row.len && !s; k++) {
    val key = row.u.v[2 * k], x = row.u.v[2 * k + 1];
    if (key.len && key.u.s[0] >= '0' && key.u.s[0] <= '9') s = columns(v, x, i);
    else if (*i < v->info.ncolumns) s = column(v, (*i)++, x.tag == VAL_NULL ? VAL_NONE : x);
  }
  return s;
}

static void header(viewer *v) {
  for (uint32_t i = 0; i < v->info.ncolumns && v->form == FORM_CSV; i++) {
    if (i) buf_putc(&v->out, ',');
    csv_text(&v->out, v->info.columns[i].name, v->info.columns[i].len_name);
  }
  if (v->form == FORM_CSV) buf_puts(&v->out, "\n");
}

/* ---- lines */

static void bad_line(viewer *v, uint32_t col, const char *what, const char *text) {
  if (v->bad++ >= SAY_MAX) return;
  fprintf(stderr, "%s:%llu:", v->name, (unsigned long long)v->line);
  if (col) fprintf(stderr, "%u:", col);
  fprintf(stderr, " %s%s\n", what, text ? text : "");
  if (v->bad == SAY_MAX) hc_say("further lines that cannot be used are counted only");
}

/* 1: a resource of the view's type, 0: another one, -1: none. */
static int wanted(viewer *v, val x) {
  const val *t = x.tag == VAL_OBJ ? val_obj_get(x, val_key("resourceType", 12)) : NULL;
  val s;
  if (!t || t->tag != VAL_STR || val_norm(&v->work, *t, &s)) return -1;
  return s.len == strlen(v->info.resource) && memcmp(s.u.s, v->info.resource, s.len) == 0;
}

static const char *fault(viewer *v, vm_state st, hdw_status s) {
  if (v->cx.err.text[0]) return v->cx.err.text;
  return hdw_status_text(st == VM_OUT_OF_MEMORY ? HDW_E_NOMEM : st == VM_OUT_OF_FUEL ? HDW_E_FUEL : s ? s : v->cx.err.status ? v->cx.err.status : HDW_E_UNSUPPORTED);
}

/* All rows of one resource, or none of them. False: memory ended for good. */
static bool resource(viewer *v, val x) {
  size_t before = v->out.len;
  v->cx = (vm_cx){.a = &v->work, .fuel = fuel, .model = &hdw_model, .seed = 1, .now_us = hc_now_us(), .regexes = v->h->regexes};
  x = fhir_adopt(x);
  hdw_status s = vm_start(v->run, &v->m, host_get(), v->bound, &v->cx, mod_find(&v->m, "main"), &x, 1);
  vm_state st = s ? VM_FAILED : vm_go(v->run);
  if (st != VM_DONE) {
    uint32_t n;
    const char *where = v->cx.err.line && v->cx.err.file != MOD_NO_INDEX ? mod_text(&v->m, v->cx.err.file, &n) : "";
    bad_line(v, 0, where[0] ? hc_text(&v->work, "%s: ", where) : "", fault(v, st, s));
    return true;
  }
  val rows = v->run->result;
  for (uint32_t i = 0; i < val_count(rows) && !s; i++) {
    uint32_t n = 0;
    s = columns(v, val_item(rows, i), &n);
    buf_puts(&v->out, v->form == FORM_CSV ? "\n" : "}\n");
  }
  if (v->out.status) {
    hc_say("%s", hdw_status_text((hdw_status)v->out.status));
    return false;
  }
  if (s) {
    v->out.len = before;
    bad_line(v, 0, "", fault(v, VM_FAILED, s));
  }
  flush(v, OUT_FLUSH);
  return true;
}

static bool line(viewer *v, const char *p, size_t len) {
  json_error e = {0};
  val x;
  v->line++;
  while (len && (p[len - 1] == '\n' || p[len - 1] == '\r' || p[len - 1] == ' ' || p[len - 1] == '\t')) len--;
  if (!len) return true;
  arena_reset(&v->work);
  if (len > LINE_MAX_BYTES) {
    bad_line(v, 0, "longer than 256 MB", NULL);
    return true;
  }
  hdw_status s = json_read(&v->reader, &v->work, p, len, NULL, &x, &e);
  if (s) {
    bad_line(v, e.column, "no valid JSON: ", e.expected ? e.expected : hdw_status_text(s));
    return true;
  }
  int w = wanted(v, x);
  if (w < 0) bad_line(v, 0, "no resource: it has no resourceType", NULL);
  return w > 0 ? resource(v, x) : true;
}

static bool lines(viewer *v, FILE *f, const char *name) {
  char *p = NULL;
  size_t cap = 0;
  ssize_t n;
  bool ok = true;
  v->name = name;
  v->line = 0;
  while (ok && (n = getline(&p, &cap, f)) >= 0) ok = line(v, p, (size_t)n);
  free(p);
  if (ok && ferror(f)) {
    hc_say("%s cannot be read", name);
    ok = false;
  }
  return ok;
}

static bool inputs(viewer *v, const hc_args *args) {
  if (args->n == 1) return lines(v, stdin, "standard input");
  for (int i = 1; i < args->n; i++) {
    FILE *f = fopen(args->v[i], "rb");
    bool dir = false;
    if (!f || (hc_exists(args->v[i], &dir) && dir)) {
      hc_say("%s cannot be read", args->v[i]);
      if (f) fclose(f);
      return false;
    }
    bool ok = lines(v, f, args->v[i]);
    fclose(f);
    if (!ok) return false;
  }
  return true;
}

int hc_view(hdwc *h, const hc_command *c, int argc, char **argv) {
  static const char *const forms[] = {"ndjson", "csv", NULL};
  viewer v = {.h = h};
  const char *format = "ndjson";
  bool strict = false, check = false;
  const hc_option options[] = {{"format", NULL, &format}, {"strict", &strict, NULL}, {"check", &check, NULL}};
  hc_args args;
  int status;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n < 1) return hc_usage(c, "which ViewDefinition?");
  int which = hc_choice(format, forms);
  if (which < 0) return hc_usage(c, "--format is ndjson or csv");
  if (!compile(&v, args.v[0], strict, &status)) return status;
  if (check) return EXIT_OK;
  v.form = which == 1 ? FORM_CSV : FORM_NDJSON;
  arena_init(&v.work, &h->mem.m, MEMORY_MAX);
  arena_init(&v.held, &h->mem.m, 0);
  buf_init(&v.out, &v.held, OUT_MAX);
  json_reader_init(&v.reader, &h->mem.m);
  header(&v);
  bool ok = inputs(&v, &args);
  flush(&v, 1);
  json_reader_free(&v.reader);
  arena_free(&v.held);
  arena_free(&v.work);
  if (v.bad) hc_say("%llu line%s could not be used", (unsigned long long)v.bad, v.bad == 1 ? "" : "s");
  return !ok ? EXIT_USAGE : v.bad ? EXIT_FINDINGS : EXIT_OK;
}
