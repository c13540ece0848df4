/* eval.c - hdwc eval: one expression over one input, or a batch of them.
 *
 *   input file --once--> document (value, model, root type)
 *   expression --comp_expr--> module --vm--> collection --> JSON array
 *
 * A document stays for the whole batch; everything that belongs to one expression lives in an arena that is emptied before the next. */
#include <stdlib.h>
#include <string.h>
#include "dict.h"
#include "fhir.h"
#include "hdwc.h"
#include "hl7_dict.h"
#include "host.h"
#include "json.h"
#include "model.h"

enum { MEASURE_NS = 50 * 1000 * 1000, MEASURE_MAX = 1 << 24 };
static const int64_t fuel = INT64_C(1) << 40;

typedef struct document {
  const char *path;
  comp_model model;
  val value;
  const char *root;
  const char *error;        /* why it cannot be read; NULL when it could */
  struct document *next;
} document;

typedef struct evaluator {
  hdwc *h;
  document *docs;
  arena work;               /* of one expression */
  bool strict, typed, measure;
} evaluator;

typedef struct outcome {
  const char *code, *message; /* code NULL: fine */
  val value;
  int64_t ns;
} outcome;

/* ---- inputs */

static const char *hl7_root(arena *a, const hl7_msg *m) {
  vm_cx cx = {.a = a, .fuel = INT64_MAX};
  val t, e;
  hl7_path p = {.seg = HL7_NAME('M', 'S', 'H'), .rep = 0, .field = 9, .comp = 1};
  if (hl7_text(&cx, m, &p, &t) || t.tag != VAL_STR) return NULL;
  p.comp = 2;
  if (hl7_text(&cx, m, &p, &e) || e.tag != VAL_STR) e = val_cstr("");
  int s = dict_structure_for(t.u.s, t.len, e.u.s, e.len);
  return s >= 0 ? dict_structure_name(s) : NULL;
}

static void read_json(evaluator *v, document *d, const char *text, size_t len) {
  json_reader r;
  json_error e = {0};
  json_opts o = {.max_depth = 1000};
  json_reader_init(&r, &v->h->mem.m);
  hdw_status s = json_read(&r, &v->h->a, text, len, &o, &d->value, &e);
  json_reader_free(&r);
  if (s) {
    d->error = hc_text(&v->h->a, "%s:%u:%u: no valid JSON: %s", d->path, e.line, e.column, e.expected ? e.expected : hdw_status_text(s));
    return;
  }
  val norm;
  if (val_norm(&v->h->a, d->value, &norm)) d->error = hdw_status_text(HDW_E_NOMEM);
  d->value = norm;
  if (d->model != COMP_FHIR || d->error) return;
  if (fhir_adopt_all(&v->h->a, d->value, &d->value)) d->error = hdw_status_text(HDW_E_NOMEM);
  else if (d->value.tag == VAL_OBJ && d->value.aux) d->root = fhir_type_name(d->value.aux);
}

static document *document_of(evaluator *v, const char *path, comp_model model) {
  for (document *d = v->docs; d; d = d->next)
    if (d->model == model && strcmp(d->path, path) == 0) return d;
  arena *a = &v->h->a;
  document *d = (document *)arena_zalloc(a, 1, sizeof *d);
  const char *text;
  size_t len;
  if (!d) return NULL;
  d->path = arena_dup(a, path, strlen(path));
  d->model = model;
  d->next = v->docs;
  v->docs = d;
  hdw_status s = hc_read(a, path, &text, &len);
  if (s) {
    d->error = hc_text(a, "%s cannot be read: %s", path, s == HDW_E_INVALID ? "it is no file" : hdw_status_text(s));
    return d;
  }
  if (model != COMP_HL7) {
    read_json(v, d, text, len);
    return d;
  }
  hl7_opts o = {.schema = &hl7_dict_schema};
  hl7_problem why = {0};
  hl7_msg *m;
  s = hl7_parse(a, text, len, &o, &m, &why);
  if (!s) s = hl7_value(a, m, &d->value);
  if (s) d->error = hc_text(a, "%s: no HL7 message: %s", path, why.text ? why.text : hdw_status_text(s));
  else d->root = hl7_root(a, m);
  return d;
}

/* ---- evaluating */

typedef struct program {
  module m;
  const vm_native *bound;
  vm_run *run;
  vm_cx cx;
} program;

static const char *fault(program *p, hdw_status s, const char *text, outcome *o) {
  (void)p;
  o->code = hc_status_code(s);
  o->message = text && text[0] ? text : hdw_status_text(s);
  return o->code;
}

static bool compile(evaluator *v, const document *d, const char *src, size_t len, program *p, outcome *o) {
  arena *a = &v->work;
  diag_list l;
  comp_result r;
  mod_error e = {0};
  diag_init(&l, a);
  hdw_status s = comp_expr(a, src, len, d ? d->model : COMP_JSON, d ? d->root : NULL, v->strict, &l, &r);
  if (s) return !fault(p, s, NULL, o);
  for (const diag *x = l.first; x; x = x->next)
    if (x->severity == DIAG_ERROR) {
      o->code = diag_row_of(x->code)->code;
      o->message = x->text;
      return false;
    }
  if (!r.bytes) return !fault(p, HDW_E_INVALID, "the expression could not be compiled", o);
  s = mod_load(a, r.bytes, r.len_bytes, &p->m, &e);
  if (!s) s = mod_verify(a, &p->m, &e);
  if (!s) s = vm_bind(a, &p->m, host_get(), &p->bound, &e);
  p->run = (vm_run *)arena_zalloc(a, 1, sizeof *p->run);
  if (!s && !p->run) s = HDW_E_NOMEM;
  return s ? !fault(p, s, hc_text(a, "%s", e.text), o) : true;
}

static bool evaluate(evaluator *v, const document *d, program *p, outcome *o) {
  val in = d ? d->value : VAL_NONE;
  p->cx = (vm_cx){.a = &v->work, .fuel = fuel, .model = &hdw_model, .seed = 1, .now_us = hc_now_us(), .strict = v->strict, .regexes = v->h->regexes};
  hdw_status s = vm_start(p->run, &p->m, host_get(), p->bound, &p->cx, mod_find(&p->m, "main"), &in, 1);
  if (s) return !fault(p, s, NULL, o);
  vm_state st = vm_go(p->run);
  o->value = p->run->result;
  if (st == VM_DONE) return true;
  if (st == VM_OUT_OF_MEMORY) return !fault(p, HDW_E_NOMEM, NULL, o);
  if (st == VM_OUT_OF_FUEL) return !fault(p, HDW_E_FUEL, NULL, o);
  if (st == VM_FAILED) return !fault(p, p->cx.err.status, hc_text(&v->work, "%s", p->cx.err.text), o);
  return !fault(p, HDW_E_UNSUPPORTED, "an expression cannot wait", o);
}

/* Doubles the number of rounds until they take long enough to be measured. */
static void measure(evaluator *v, const document *d, program *p, outcome *o) {
  for (int64_t rounds = 1; rounds <= MEASURE_MAX; rounds *= 2) {
    int64_t start = hc_clock_ns();
    for (int64_t i = 0; i < rounds; i++) {
      arena_mark here = arena_here(&v->work);
      outcome ignored = {0};
      evaluate(v, d, p, &ignored);
      arena_release(&v->work, here);
    }
    int64_t took = hc_clock_ns() - start;
    o->ns = took / rounds;
    if (took >= MEASURE_NS) return;
  }
}

static void expression(evaluator *v, const document *d, const char *src, size_t len, outcome *o) {
  program p = {0};
  *o = (outcome){0};
  if (d && d->error) {
    o->code = "E_INPUT";
    o->message = d->error;
    return;
  }
  if (!compile(v, d, src, len, &p, o) || !evaluate(v, d, &p, o)) return;
  if (v->measure) measure(v, d, &p, o);
}

/* ---- results */

static void write_result(evaluator *v, const outcome *o, buf *b) {
  buf_putc(b, '[');
  for (uint32_t i = 0; i < val_count(o->value); i++) {
    val x = val_item(o->value, i);
    if (i) buf_putc(b, ',');
    if (v->typed) buf_putf(b, "{\"type\":\"%s\",\"value\":", hc_type_name(&v->work, x));
    hdw_status s = hc_write_json(&v->work, x, b);
    if (s && !b->status) b->status = s;
    if (v->typed) buf_putc(b, '}');
  }
  buf_putc(b, ']');
}

static void write_error(const outcome *o, buf *b) {
  buf_putf(b, "{\"code\":\"%s\",\"message\":", o->code);
  json_write_str(b, o->message, strlen(o->message));
  buf_putc(b, '}');
}

static void write_line(evaluator *v, val id, outcome *o, buf *b) {
  buf_puts(b, "{\"id\":");
  json_write(id, b, NULL);
  size_t here = b->len;
  if (!o->code) {
    buf_puts(b, ",\"result\":");
    write_result(v, o, b);
    if (b->status && b->status != HDW_E_NOMEM) {
      fault(NULL, (hdw_status)b->status, "the result has no JSON form", o);
      b->status = HDW_OK;
      b->len = here;
    }
  }
  if (o->code) {
    buf_puts(b, ",\"error\":");
    write_error(o, b);
  }
  if (v->measure && !o->code) buf_putf(b, ",\"ns\":%lld", (long long)o->ns);
  buf_puts(b, "}\n");
}

/* ---- the batch */

static bool text_of(arena *a, val obj, const char *name, const char **p, size_t *len) {
  val x;
  if (val_member(a, obj, val_key(name, strlen(name)), &x) || x.tag != VAL_STR) return false;
  *p = arena_dup(a, x.u.s, x.len);
  *len = x.len;
  return *p != NULL;
}

static void batch_line(evaluator *v, json_reader *r, const char *line, size_t n, buf *b) {
  arena *a = &v->work;
  val x, id = (val){.tag = VAL_NULL};
  json_error e = {0};
  outcome o = {.code = "E_INPUT", .message = "the line needs \"expr\""};
  const char *expr, *path;
  size_t len, ignored;
  if (json_read(r, a, line, n, NULL, &x, &e) || x.tag != VAL_OBJ) {
    o.message = "the line is no JSON object";
  } else {
    const val *slot = val_obj_get(x, val_key("id", 2));
    if (slot) id = *slot;
    if (text_of(a, x, "expr", &expr, &len)) {
      document *d = NULL;
      if (text_of(a, x, "fhir", &path, &ignored)) d = document_of(v, path, COMP_FHIR);
      else if (text_of(a, x, "hl7", &path, &ignored)) d = document_of(v, path, COMP_HL7);
      else if (text_of(a, x, "json", &path, &ignored)) d = document_of(v, path, COMP_JSON);
      const val *strict = val_obj_get(x, val_key("strict", 6));
      bool all = v->strict;
      if (strict) v->strict = strict->tag == VAL_BOOL && strict->u.i;
      expression(v, d, expr, len, &o);
      v->strict = all;
    }
  }
  write_line(v, id, &o, b);
}

static int batch(evaluator *v) {
  char *line = NULL;
  size_t cap = 0;
  ssize_t n;
  json_reader r;
  int status = EXIT_OK;
  json_reader_init(&r, &v->h->mem.m);
  while ((n = getline(&line, &cap, stdin)) >= 0) {
    size_t len = (size_t)n;
    while (len && (line[len - 1] == '\n' || line[len - 1] == '\r' || line[len - 1] == ' ')) len--;
    if (!len) continue;
    buf b;
    arena_reset(&v->work);
    buf_init(&b, &v->work, 1 << 30);
    batch_line(v, &r, line, len, &b);
    if (b.status) {
      hc_say("%s", hdw_status_text((hdw_status)b.status));
      status = EXIT_USAGE;
      break;
    }
    hc_print(&b);
    fflush(stdout);
  }
  json_reader_free(&r);
  free(line);
  return status;
}

/* ---- one expression */

static int single(evaluator *v, const document *d, const char *src) {
  outcome o;
  buf b;
  expression(v, d, src, strlen(src), &o);
  buf_init(&b, &v->work, 1 << 30);
  if (!o.code) {
    write_result(v, &o, &b);
    if (b.status) fault(NULL, (hdw_status)b.status, "the result has no JSON form", &o);
  }
  if (!o.code) {
    buf_putc(&b, '\n');
    hc_print(&b);
    if (v->measure) fprintf(stderr, "%lld ns\n", (long long)o.ns);
    return EXIT_OK;
  }
  if (strcmp(o.code, "E_INPUT") == 0) {
    hc_say("%s", o.message);
    return EXIT_USAGE;
  }
  /* Compile errors are shown with their place: compiled once more for the list. */
  diag_list l;
  comp_result r;
  diag_init(&l, &v->work);
  if (!comp_expr(&v->work, src, strlen(src), d ? d->model : COMP_JSON, d ? d->root : NULL, v->strict, &l, &r) && l.errors) hc_diag_stderr(&l, false);
  else hc_say("%s: %s", o.code, o.message);
  return EXIT_FINDINGS;
}

int hc_eval(hdwc *h, const hc_command *c, int argc, char **argv) {
  evaluator v = {.h = h};
  bool batched = false;
  const char *hl7 = NULL, *fhir = NULL, *json = NULL;
  const hc_option options[] = {{"hl7", NULL, &hl7},          {"fhir", NULL, &fhir},       {"json", NULL, &json}, {"strict", &v.strict, NULL},
                               {"typed", &v.typed, NULL},    {"batch", &batched, NULL},   {"time", &v.measure, NULL}};
  hc_args args;
  int status;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n != (batched ? 0 : 1)) return hc_usage(c, batched ? "--batch takes no expression" : "one expression, please");
  if ((hl7 != NULL) + (fhir != NULL) + (json != NULL) > (batched ? 0 : 1))
    return hc_usage(c, batched ? "--batch reads its inputs from the lines" : "one input, please");
  arena_init(&v.work, &h->mem.m, 0);
  document *d = hl7 ? document_of(&v, hl7, COMP_HL7) : fhir ? document_of(&v, fhir, COMP_FHIR) : json ? document_of(&v, json, COMP_JSON) : NULL;
  status = batched ? batch(&v) : single(&v, d, args.v[0]);
  arena_free(&v.work);
  return status;
}
