/* fhir.c - hdwc fhir check: resources against the R4 model, and those of a profile's type against the profile. A file holds one resource, or several one after the other (NDJSON). */
#include "fhir.h"
#include <string.h>
#include "fhir_profile.h"
#include "hdwc.h"
#include "json.h"
#include "model.h"

typedef struct fhir_session {
  hdwc *h;
  const char *path;
  bool json, values;
  uint32_t errors, warnings, resources;
  const fhir_profile *profile;   /* or NULL */
} fhir_session;

typedef struct fhir_place {
  uint32_t line, col;
} fhir_place;

/* Line and column of a byte; the search goes on from where the last one ended when it can. */
static fhir_place place(const char *text, const char *at) {
  fhir_place p = {1, 1};
  for (const char *s = text; s < at; s++) {
    if (*s == '\n') p = (fhir_place){p.line + 1, 1};
    else if (((unsigned char)*s & 0xc0) != 0x80) p.col++;
  }
  return p;
}

static void put_value(fhir_session *x, buf *b, const fhir_problem *p, const char *key) {
  if (!x->values || p->value.tag == VAL_EMPTY) return;
  buf_puts(b, key);
  if (json_write(p->value, b, NULL)) buf_puts(b, "null");
}

static void print_text(fhir_session *x, arena *a, const char *text, const fhir_problem *p) {
  buf b;
  buf_init(&b, a, 1 << 20);
  buf_putf(&b, "%s:", x->path);
  if (p->at) {
    fhir_place at = place(text, p->at);
    buf_putf(&b, "%u:%u:", at.line, at.col);
  }
  buf_putf(&b, " %s: %s: %s [%s]", p->warning ? "warning" : "error", p->path, p->text, fhir_rule_name(p->rule));
  put_value(x, &b, p, ": ");
  buf_putc(&b, '\n');
  hc_print(&b);
}

static void print_json(fhir_session *x, arena *a, const char *text, const fhir_problem *p) {
  buf b;
  buf_init(&b, a, 1 << 20);
  buf_puts(&b, "{\"file\":");
  json_write_str(&b, x->path, strlen(x->path));
  if (p->at) {
    fhir_place at = place(text, p->at);
    buf_putf(&b, ",\"line\":%u,\"column\":%u", at.line, at.col);
  }
  buf_putf(&b, ",\"severity\":\"%s\",\"rule\":\"%s\",\"path\":", p->warning ? "warning" : "error", fhir_rule_name(p->rule));
  json_write_str(&b, p->path, strlen(p->path));
  buf_puts(&b, ",\"text\":");
  json_write_str(&b, p->text, strlen(p->text));
  put_value(x, &b, p, ",\"value\":");
  buf_puts(&b, "}\n");
  hc_print(&b);
}

static void print_report(fhir_session *x, arena *a, const char *text, const fhir_report *r) {
  for (uint32_t i = 0; i < r->n; i++) (x->json ? print_json : print_text)(x, a, text, &r->v[i]);
  if (r->errors + r->warnings > r->n && !x->json) printf("%s: … and %u more\n", x->path, r->errors + r->warnings - r->n);
  x->errors += r->errors;
  x->warnings += r->warnings;
}

/* Resources of another type than the profile's are none of its business. */
static hdw_status check_profile(fhir_session *x, arena *a, const fhir_validate_opts *o, val doc) {
  vm_cx cx = {.a = a, .fuel = INT64_MAX, .model = &hdw_model};
  fhir_report r;
  if (!x->profile || !fhir_is_a(fhir_adopt(doc).aux, x->profile->type) || doc.tag != VAL_OBJ) return HDW_OK;
  hdw_status s = fhir_profile_check(&cx, x->profile, doc, o, &r);
  if (!s) print_report(x, a, o->text, &r);
  return s;
}

static bool check_one(fhir_session *x, arena *a, const char *text, size_t len, val doc) {
  fhir_validate_opts o = {.max = 1000, .text = text, .len = len};
  fhir_report r;
  hdw_status s = fhir_validate(a, doc, &o, &r);
  if (!s) print_report(x, a, text, &r);
  if (!s) s = check_profile(x, a, &o, doc);
  if (s) return hc_say("%s: %s", x->path, hdw_status_text(s)), false;
  x->resources++;
  return true;
}

static bool check_file(fhir_session *x, arena *a, const char *text, size_t len) {
  json_reader r;
  json_opts o = {.max_depth = 1000};
  uint32_t errors = x->errors, warnings = x->warnings, n = x->resources;
  bool ok = true;
  json_reader_init(&r, &x->h->mem.m);
  for (size_t pos = 0; ok;) {
    arena_mark here = arena_here(a);
    json_error e = {0};
    size_t used;
    val doc;
    hdw_status s = json_read_one(&r, a, text + pos, len - pos, &o, &used, &doc, &e);
    if (s == HDW_E_NOTFOUND) break;
    if (s) {
      fhir_place at = place(text, text + pos + e.offset);
      hc_say("%s:%u:%u: no valid JSON: %s", x->path, at.line, at.col, e.expected ? e.expected : hdw_status_text(s));
      ok = false;
    } else {
      ok = check_one(x, a, text, len, doc);
    }
    pos += used;
    arena_release(a, here);
  }
  json_reader_free(&r);
  n = x->resources - n;
  errors = x->errors - errors;
  warnings = x->warnings - warnings;
  if (!x->json) printf("%s: %u resource%s, %u error%s, %u warning%s\n", x->path, n, n == 1 ? "" : "s", errors, errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
  if (!ok) x->errors++;
  return ok;
}

/* The profile in a file, as the checker wants it; NULL after a message. */
static const fhir_profile *read_profile(hdwc *h, const char *path) {
  json_reader r;
  json_error e = {0};
  const char *text, *why = NULL;
  size_t len;
  val doc;
  fhir_profile *p = (fhir_profile *)arena_zalloc(&h->a, 1, sizeof *p);
  if (!p || !hc_read_say(&h->a, path, &text, &len)) return NULL;
  json_reader_init(&r, &h->mem.m);
  hdw_status s = json_read(&r, &h->a, text, len, NULL, &doc, &e);
  json_reader_free(&r);
  if (s) {
    fhir_place at = place(text, text + e.offset);
    hc_say("%s:%u:%u: no valid JSON: %s", path, at.line, at.col, e.expected ? e.expected : hdw_status_text(s));
    return NULL;
  }
  s = fhir_profile_read(&h->a, doc, p, &why);
  if (!s && !(s = fhir_profile_trim(&h->a, doc, &doc))) s = fhir_profile_read(&h->a, doc, p, &why); /* what R4 says anyway is reported once */
  if (s) hc_say("%s: %s", path, why ? why : hdw_status_text(s));
  return s ? NULL : p;
}

int hc_fhir_command(hdwc *h, const hc_command *c, int argc, char **argv) {
  static const char *const formats[] = {"text", "json", NULL};
  const char *format = "text", *profile = NULL;
  bool strict = false, values = false;
  const hc_option options[] = {{"format", NULL, &format}, {"profile", NULL, &profile}, {"strict", &strict, NULL}, {"values", &values, NULL}};
  hc_args args;
  int status;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n < 1 || strcmp(args.v[0], "check") != 0) return hc_usage(c, "check?");
  if (args.n < 2) return hc_usage(c, "which file?");
  int f = hc_choice(format, formats);
  if (f < 0) return hc_usage(c, "'--format' is text or json");
  fhir_session x = {.h = h, .json = f == 1, .values = values, .profile = profile ? read_profile(h, profile) : NULL};
  if (profile && !x.profile) return EXIT_USAGE;
  for (int i = 1; i < args.n; i++) {
    arena a;
    const char *text;
    size_t len;
    arena_init(&a, &h->mem.m, 0);
    x.path = args.v[i];
    if (!hc_read_say(&a, args.v[i], &text, &len)) status = EXIT_USAGE;
    else check_file(&x, &a, text, len);
    arena_free(&a);
    if (status == EXIT_USAGE) return status;
  }
  return x.errors || (strict && x.warnings) ? EXIT_FINDINGS : EXIT_OK;
}
