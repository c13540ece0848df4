/* test.c - hdwc test: test functions run on the machine; what they ask for is done here.
 *
 *   test function --vm_go--> AWAIT test.mock, test.when, test.expect ... --> rig (the engine on the simulated seam) --> vm_resume
 *
 * The program is compiled twice: with its tests for the machine that runs them, without for the engine. A case gets an engine of its own,
 * made when it is first needed, so that cases know nothing of each other. An expectation that fails does not end its case. */
#include <string.h>
#include "host.h"
#include "model.h"
#include "test_int.h"

enum { LABEL_MAX = 60 };
static const int64_t fuel = INT64_C(2000000000), default_wall_us = INT64_C(1767225600) * 1000000; /* 2026-01-01T00:00:00Z */

/* ---- the engine of a case ---------------------------------------------------------------------------------------------------- */

static bool compile_app(program *p) {
  arena *a = &p->h->a;
  if (p->app_tried) return p->app != NULL;
  p->app_tried = true;
  diag_list l;
  comp_result r;
  comp_options opt = {0};
  diag_init(&l, a);
  if (!hc_compile(p->s, &p->root, 1, opt, a, &l, &r)) return false;
  hc_diag_stderr(&l, false);
  if (l.errors || !r.bytes) return false;
  hc_module_seal(r.bytes, r.len_bytes);
  mod_error e = {0};
  if (mod_load(a, r.bytes, r.len_bytes, &p->app_m, &e)) return false;
  if (p->cover) p->app_hits = (uint32_t *)arena_zalloc(a, 2 * (size_t)p->app_m.ncode + 2, sizeof *p->app_hits);
  p->app = r.bytes;
  p->app_len = r.len_bytes;
  return true;
}

static void on_loss(void *user, const engine_loss *l) {
  const runner *x = (const runner *)user;
  test_loss_add(x->p->loss, l, x->c);
}

bool test_need_rig(runner *x) {
  if (x->open) return true;
  if (!compile_app(x->p)) {
    test_give_up(x, "the program does not compile");
    return false;
  }
  x->r.hits = x->p->app_hits;
  if (x->p->loss) x->r.on_loss = on_loss, x->r.loss_user = x, x->r.loss_json = x->p->loss->json;
  x->open = rig_open(&x->r, x->p->s->v[x->p->root].shown, x->p->app, x->p->app_len, x->wall_us);
  if (!x->open) test_give_up(x, "the engine could not be started");
  x->start_us = x->wall_us;
  if (!x->open) rig_init(&x->r, x->p->h);
  return x->open;
}

/* ---- one case ---------------------------------------------------------------------------------------------------------------------- */

static void place(runner *x) {
  mod_debug d;
  const vm_frame *f = x->vm.nframes ? &x->vm.frames[x->vm.nframes - 1] : NULL;
  if (!f || !f->pc || !mod_where(&x->p->m, f->pc - 1, &d)) return;
  uint32_t n;
  const char *name = mod_text(&x->p->m, d.file, &n);
  name = arena_dup(&x->a, name, n);
  x->file = name ? hc_source_shown(x->p->s, name) : NULL;
  x->line = d.line, x->col = d.col;
}

static void vm_trouble(runner *x, vm_state st) {
  static const char *const what[] = {[VM_OUT_OF_FUEL] = "the test takes too long", [VM_OUT_OF_MEMORY] = "the test takes too much memory"};
  if (st == VM_FAILED && x->cx.err.line) x->line = x->cx.err.line, x->col = x->cx.err.col;
  (void)test_fail(x, st == VM_FAILED ? hc_text(x->keep, "%s", x->cx.err.text) : what[st] ? what[st] : "the test stopped");
}

/* Runs a function of the module to its end. */
static bool drive(runner *x, uint32_t fn, const val *args, uint32_t n) {
  x->cx = (vm_cx){.a = &x->a, .fuel = fuel, .model = &hdw_model, .seed = 1, .now_us = x->wall_us, .hits = x->p->hits, .regexes = x->p->h->regexes};
  hdw_status s = vm_start(&x->vm, &x->p->m, host_get(), x->p->bound, &x->cx, fn, args, n);
  if (s) return test_give_up(x, hdw_status_text(s)), false;
  for (;;) {
    vm_state st = vm_go(&x->vm);
    if (st == VM_DONE) return true;
    if (st != VM_AWAIT) {
      vm_trouble(x, st);
      return false;
    }
    place(x);
    val v = test_ask(x, &x->vm.request);
    if (x->stop) return false;
    if (x->open) x->cx.now_us = io_wall_us(x->r.x);
    vm_resume(&x->vm, v);
  }
}

static bool run_case(program *p, arena *keep, const comp_test *t, uint32_t row, test_case *c) {
  runner *x = (runner *)p->h->mem.m.get(&p->h->mem.m, sizeof *x);
  if (!x) return false;
  memset(x, 0, sizeof *x);
  x->p = p, x->keep = keep, x->c = c, x->wall_us = default_wall_us;
  x->file = c->file, x->line = c->line, x->col = 1;
  arena_init(&x->a, &p->h->mem.m, 0);
  rig_init(&x->r, p->h);
  int64_t start = hc_clock_ns();
  val args[VM_MAX_REGS] = {{0}};
  uint32_t n = p->m.funcs[t->func].params;
  bool ok = true;
  if (t->nrows) {
    ok = drive(x, t->func + 1 + row, NULL, 0);
    val cells = x->vm.result;
    buf label;
    buf_init(&label, &x->a, 1 << 16);
    for (uint32_t i = 0; ok && cells.tag == VAL_OBJ && i < n && i < cells.len; i++) {
      (void)val_norm(&x->a, cells.u.v[2 * i + 1], &args[i]);
      if (i) buf_puts(&label, ", ");
      if (args[i].tag == VAL_EMPTY) buf_puts(&label, "{}");
      else if (hc_write_text_json(&x->a, args[i], &label)) label.status = HDW_OK;
    }
    c->name = hc_text(keep, "%s [%u: %s]", t->name, row + 1, hc_cut(keep, label.p, label.len, LABEL_MAX));
  }
  if (ok) drive(x, t->func, args, n);
  if (x->open && c->first) test_story(x);
  c->took_ns = hc_clock_ns() - start;
  for (const rig_mock *m = p->cover ? x->r.mocks : NULL; m; m = m->next)
    if (!m->used && !m->shared) hc_list_add(keep, &p->cover->mocks, hc_text(keep, "mock %s   (%s)", m->target.text, m->where));
  rig_close(&x->r);
  arena_free(&x->a);
  p->h->mem.m.put(&p->h->mem.m, x, sizeof *x);
  return true;
}

static test_case *add_case(test_results *r, arena *keep) {
  test_case *c = (test_case *)arena_zalloc(keep, 1, sizeof *c);
  if (!c) return NULL;
  if (r->last) r->last->next = c;
  else r->first = c;
  r->last = c;
  return c;
}

/* ---- one program --------------------------------------------------------------------------------------------------------------------- */

static bool load(program *p, const comp_result *cr) {
  mod_error e = {0};
  hdw_status s = mod_load(&p->h->a, cr->bytes, cr->len_bytes, &p->m, &e);
  if (!s) s = mod_verify(&p->h->a, &p->m, &e);
  if (!s) s = vm_bind(&p->h->a, &p->m, host_get(), &p->bound, &e);
  if (s) hc_say("%s: %s", p->s->v[p->root].shown, e.text[0] ? e.text : hdw_status_text(s));
  return s == HDW_OK;
}

/* A file that several programs use is tested once: seen holds "file:line". */
static bool first_time(arena *a, hc_list *seen, const char *key) {
  for (uint32_t i = 0; i < seen->n; i++)
    if (strcmp(seen->v[i], key) == 0) return false;
  return hc_list_add(a, seen, key);
}

static void test_program(hdwc *h, hc_sources *s, uint32_t root, const char *filter, hc_list *seen, test_results *r) {
  program p = {.h = h, .s = s, .root = root, .cover = r->cover, .loss = r->loss};
  diag_list l;
  comp_result cr;
  comp_options opt = {.tests = true};
  diag_init(&l, &h->a);
  if (!hc_compile(s, &root, 1, opt, &h->a, &l, &cr)) {
    r->broken++;
    return;
  }
  hc_diag_stderr(&l, false);
  if (l.errors || !cr.bytes || !load(&p, &cr)) {
    r->broken++;
    return;
  }
  if (p.cover) p.hits = (uint32_t *)arena_zalloc(&h->a, 2 * (size_t)p.m.ncode + 2, sizeof *p.hits);
  for (uint32_t i = 0; i < cr.ntests; i++) {
    const comp_test *t = &cr.tests[i];
    const char *file = l.files[t->file].path;
    if ((filter && !strstr(t->name, filter)) || !first_time(&h->a, seen, hc_text(&h->a, "%s:%u", file, t->line))) continue;
    for (uint32_t row = 0; row < (t->nrows ? t->nrows : 1); row++) {
      test_case *c = add_case(r, &h->a);
      if (!c) return;
      c->name = t->nrows ? hc_text(&h->a, "%s [%u]", t->name, row + 1) : t->name;
      c->file = file;
      c->line = t->line;
      run_case(&p, &h->a, t, row, c);
      if (c->first) r->failed++;
      else r->passed++;
    }
  }
  if (p.hits) test_cover_add(p.cover, s, &p.m, p.hits);
  if (p.app_hits) test_cover_add(p.cover, s, &p.app_m, p.app_hits);
  if (p.hits && (p.app_hits || compile_app(&p))) test_cover_steps(p.cover, s, &p.app_m, p.app_hits);
}

static int print_results(hdwc *h, const test_results *r, int how, bool listing, const char *lcov, bool lossless) {
  buf b;
  buf_init(&b, &h->a, 256 << 20);
  if (how == 0) test_report_text(&b, r, h->color);
  else if (how == 1) test_report_json(&b, r);
  else test_report_junit(&b, r);
  if (r->cover && listing) test_cover_listing(&b, r->cover);
  if (r->cover && how == 0) test_cover_text(&b, r->cover);
  if (r->loss && how == 0) test_loss_text(&b, r->loss);
  hc_print(&b);
  if (lcov) {
    buf t;
    buf_init(&t, &h->a, 256 << 20);
    test_cover_lcov(&t, r->cover);
    if (t.status || !hc_write(&h->a, lcov, t.p ? t.p : "", t.len)) return EXIT_USAGE;
  }
  return r->failed || r->broken || (lossless && r->loss->n) ? EXIT_FINDINGS : EXIT_OK;
}

int hc_test(hdwc *h, const hc_command *c, int argc, char **argv) {
  static const char *const formats[] = {"text", "json", "junit", NULL};
  const char *format = "text", *filter = NULL, *lcov = NULL;
  bool coverage = false, listing = false, loss = false, loss_json = false, lossless = false;
  const hc_option options[] = {{"format", NULL, &format}, {"filter", NULL, &filter}, {"coverage", &coverage, NULL}, {"listing", &listing, NULL}, {"lcov", NULL, &lcov},
                               {"loss", &loss, NULL},     {"loss-json", &loss_json, NULL}, {"lossless", &lossless, NULL}};
  hc_args args;
  int status, how;
  hc_sources s;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n == 0) return hc_usage(c, "what is to be tested?");
  if ((how = hc_choice(format, formats)) < 0) return hc_usage(c, "there is no format '%s'", format);
  if (listing && how) return hc_usage(c, "--listing is text; with --format=%s use --coverage or --lcov FILE", format);
  if (!hc_sources_open(&s, &h->a, args.v, args.n)) return EXIT_USAGE;
  uint32_t n, *roots = hc_sources_roots(&s, &n);
  test_cover cover = {.a = &h->a};
  test_loss lost = {.a = &h->a, .json = loss_json};
  test_results r = {.cover = coverage || listing || lcov ? &cover : NULL, .loss = loss || loss_json || lossless ? &lost : NULL};
  hc_list seen = {0};
  for (uint32_t i = 0; roots && i < n; i++) test_program(h, &s, roots[i], filter, &seen, &r);
  if (!r.passed && !r.failed && !r.broken) hc_say(filter ? "no test has '%s' in its name" : "there are no tests", filter);
  return print_results(h, &r, how, listing, lcov, lossless);
}
