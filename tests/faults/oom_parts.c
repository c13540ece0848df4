/* oom_parts.c - scenarios of compiler, libraries, log, store and hdw.json for oom.c. */
#include "oom.h"
#include "csv.h"
#include "fmt.h"
#include "hl7.h"
#include "log.h"
#include "store.h"
#include <stdio.h>
#include <string.h>

#define WITH_ARENA(name, ...) \
  static void name(place *p) { \
    arena_init(&p->a, &p->h.m, 0); \
    __VA_ARGS__; \
    arena_free(&p->a); \
  }

/* ---- compiler ---- */

static void compile(place *p, const char *path) {
  size_t len;
  const char *text = oom_file(path, &len);
  diag_list l;
  comp_result r;
  comp_source s = {path, text, len};
  comp_options o = {.tests = true};
  diag_init(&l, &p->a);
  if (text) (void)comp_program(&p->a, &s, 1, &o, &l, &r);
}
WITH_ARENA(compile_adt_to_crm, compile(p, "examples/adt-to-crm/adt-to-crm.hdw"))
WITH_ARENA(compile_adt_router, compile(p, "examples/adt-router/adt-router.hdw"))
WITH_ARENA(compile_api_intake, compile(p, "examples/api-intake/api-intake.hdw"))
WITH_ARENA(compile_lab_router, compile(p, "examples/lab-router/lab-router.hdw"))
WITH_ARENA(compile_oru_pdf, compile(p, "examples/oru-pdf/oru-pdf.hdw"))
WITH_ARENA(compile_qbp_query, compile(p, "examples/qbp-query/qbp-query.hdw"))
WITH_ARENA(compile_errors, diag_list l; comp_result r; static const char text[] = "hdw 1\nworkflow x on m = nobody.message() { step a = b.c(1,) let z = q.where( }\nfn f(a: strin): integer = a +\n";
           comp_source s = {"bad.hdw", text, sizeof text - 1}; comp_options o = {0}; diag_init(&l, &p->a); (void)comp_program(&p->a, &s, 1, &o, &l, &r))

static void format(place *p) {
  size_t len;
  const char *text = oom_file("examples/adt-to-crm/adt-to-crm.hdw", &len);
  buf b;
  buf_init(&b, &p->a, 1 << 20);
  (void)fmt_source(&p->a, text, len, &b);
}
WITH_ARENA(formatting, format(p))

/* An expression: compiled, loaded, verified, run. */
static void evaluate(place *p) {
  static const char text[] = "name.where(use = 'official').given.first() & (1.50 + 2).toString() & $this.descendants().count().toString() & 'abc'.matches('a.c').toString()";
  static const char doc[] = "{\"resourceType\":\"Patient\",\"name\":[{\"use\":\"official\",\"given\":[\"Ann\",\"B\"]},{\"family\":\"X\"}],\"birthDate\":\"1970-01-01\"}";
  diag_list l;
  comp_result r;
  json_reader jr;
  val in = VAL_NONE;
  module m;
  mod_error e;
  const vm_native *bound;
  static vm_run run;
  diag_init(&l, &p->a);
  json_reader_init(&jr, &p->h.m);
  hdw_status s = json_read(&jr, &p->a, doc, sizeof doc - 1, NULL, &in, NULL);
  json_reader_free(&jr);
  if (s || comp_expr(&p->a, text, sizeof text - 1, COMP_JSON, NULL, false, &l, &r) || !r.bytes) return;
  if (mod_load(&p->a, r.bytes, r.len_bytes, &m, &e) || mod_verify(&p->a, &m, &e) || vm_bind(&p->a, &m, host_get(), &bound, &e)) return;
  vm_cx cx = {.a = &p->a, .fuel = 100000, .model = &hdw_model, .now_us = INT64_C(1700000000000000)};
  if (!vm_start(&run, &m, host_get(), bound, &cx, mod_find(&m, "main"), &in, 1)) (void)vm_go(&run);
}
WITH_ARENA(evaluation, evaluate(p))

static void view(place *p) {
  size_t len;
  const char *text = oom_file("examples/views/patients.view.json", &len);
  json_reader jr;
  val doc = VAL_NONE;
  diag_list l;
  comp_result r;
  comp_view info;
  diag_init(&l, &p->a);
  json_reader_init(&jr, &p->h.m);
  hdw_status s = json_read(&jr, &p->a, text, len, NULL, &doc, NULL);
  json_reader_free(&jr);
  if (!s) (void)comp_view_definition(&p->a, "patients.view.json", text, len, doc, false, &l, &r, &info);
}
WITH_ARENA(view_definition, view(p))

/* ---- data ---- */

static void json(place *p) {
  static const char doc[] = "{\"a\":[1,2.50,1e3,true,null,\"x\\u00e9\\n\"],\"b\":{\"c\":{\"d\":[[[[1]]]]}},\"long\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}";
  json_reader r;
  val v = VAL_NONE;
  buf b;
  buf_init(&b, &p->a, 1 << 20);
  json_reader_init(&r, &p->h.m);
  if (!json_read(&r, &p->a, doc, sizeof doc - 1, NULL, &v, NULL)) (void)json_write(v, &b, NULL);
  json_reader_free(&r);
}
WITH_ARENA(json_round, json(p))

static void csv(place *p) {
  static const char text[] = "id,name,born\n1,\"a, \"\"b\"\"\",2020-01-01\n2,c,\n3,d,2021-02-02\n";
  csv_rows it;
  csv_opts o = {.header = true, .delimiter = ','};
  val row;
  if (csv_init(&it, &p->a, text, sizeof text - 1, &o, NULL)) return;
  while (!csv_next(&it, &p->a, &row, NULL));
}
WITH_ARENA(csv_rows_read, csv(p))

static const char oru[] = "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ORU^R01^ORU_R01|R1|P|2.5.1\rPID|1||7^^^HOSP^MR~8^^^X^PI||SMITH^JOHN^Q||19700101|M\rOBR|1|||24323-8^Panel^LN\r"
                          "OBX|1|NM|2345-7^Glucose^LN||5.40|mmol/L|||||F\rOBX|2|ST|1^x^L||a\\T\\b\\X0D\\c||||||F\rNTE|1||note\r";
static void hl7(place *p) {
  hl7_msg *m = NULL;
  hl7_problem why;
  hl7_slice out;
  val v = VAL_NONE;
  vm_cx cx = {.a = &p->a, .fuel = 1000000, .model = &hdw_model};
  hl7_opts o = {.schema = &hl7_dict_schema};
  if (hl7_parse(&p->a, oru, sizeof oru - 1, &o, &m, &why)) return;
  (void)hl7_bytes(&p->a, m, &out);
  if (!hl7_to_json(&cx, m, &v)) (void)hl7_from_json(&cx, v, &out);
  hl7_ack_opts ao = {.code = "AE", .text = "no", .control_id = "1"};
  (void)hl7_ack(&p->a, oru, sizeof oru - 1, &ao, &out);
  (void)hl7_value(&p->a, m, &v);
}
WITH_ARENA(hl7_message, hl7(p))

/* ---- module and configuration ---- */

static void loading(place *p) {
  module m;
  mod_error e;
  meta mt;
  const vm_native *bound;
  const uint8_t *bytes;
  size_t len;
  buf b;
  oom_program(PROG_WEB, &bytes, &len);
  buf_init(&b, &p->a, 1 << 20);
  if (!engine_check_module(&p->a, &p->h.m, host_get(), bytes, len, &m, &mt, &bound, &e)) mod_disasm(&m, &b);
}
WITH_ARENA(module_loading, loading(p))

static void configure(place *p) {
  size_t len;
  const char *text = oom_file("examples/api-intake/hdw.json", &len);
  const uint8_t *bytes;
  size_t n;
  module m;
  mod_error e;
  meta mt;
  const vm_native *bound;
  const meta *one[1] = {&mt};
  buf b;
  oom_program(PROG_WEB, &bytes, &n);
  buf_init(&b, &p->a, 1 << 20);
  config_init(&p->cfg, &p->a);
  if (config_read(&p->cfg, &p->h.m, "hdw.json", text, len)) return;
  if (engine_check_module(&p->a, &p->h.m, host_get(), bytes, n, &m, &mt, &bound, &e)) return;
  (void)config_bind(&p->cfg, one, 1, false);
  config_schema(&b, one, 1);
  config_limits(&p->cfg, &b);
}
WITH_ARENA(configuration, configure(p))

/* ---- log and store ---- */

static log_verdict thin(const log_rec *rec, bool *pinned, unsigned *klass, void *user) {
  (void)user, *pinned = false, *klass = 0;
  return rec->seq % 3 == 0 ? LOG_V_DROP : rec->seq % 3 == 1 ? LOG_V_BARE : LOG_V_KEEP;
}

static void with_log(place *p) {
  char dir[100];
  hlog *l = NULL;
  log_open_info li;
  log_iter *it;
  log_rec r;
  static uint8_t body[3000];
  snprintf(dir, sizeof dir, "%s/log", p->dir);
  log_opts o = {.dir = dir, .segment_bytes = 8192, .low_water_bytes = 1, .compress = true};
  if (log_open(p->io, &o, &li, &l)) return;
  for (int i = 0; i < 12; i++) {
    memset(body, 'a' + i, sizeof body);
    log_rec n = {.type = 1, .version = 1, .meta = (const uint8_t *)"m", .meta_len = 1, .body = body, .body_len = i % 2 ? 3000 : 100};
    (void)log_append(l, &n, NULL, NULL);
    io_sim_advance(p->io, 1000);
  }
  (void)log_barrier(l, NULL, NULL);
  io_sim_advance(p->io, 1000);
  (void)log_read(l, (log_pos){1, LOG_HEADER}, &p->a, &r);
  log_close(l);
  if (!log_iter_open(p->io, dir, 0, &it)) {
    while (!log_iter_next(it, &r));
    log_iter_close(it);
  }
  log_compaction *c = NULL;
  log_compact_info as = {.as_of = 12, .at_us = 1}, info;
  uint64_t size;
  bool done = false;
  if (log_compact_begin(p->io, dir, 1, &as, &c)) return;
  hdw_status s = HDW_OK;
  while (!s && !done) s = log_compact_step(c, thin, NULL, 4, &done);
  if (!s) (void)log_compact_commit(c, &info, &size);
  log_compact_end(c);
}
static void log_life(place *p) {
  io_sim_opts so = {.seed = 3, .root = p->dir, .orderly = true};
  arena_init(&p->a, &p->h.m, 0);
  if (!io_sim_new(&p->h.m, &so, &p->io)) with_log(p);
  if (p->io) io_sim_free(p->io);
  p->io = NULL;
  arena_free(&p->a);
}

const scenario oom_parts[] = {
#define X(n) {#n, n},
    X(compile_adt_to_crm) X(compile_adt_router) X(compile_api_intake) X(compile_lab_router) X(compile_oru_pdf) X(compile_qbp_query) X(compile_errors) X(formatting) X(evaluation) X(view_definition)
    X(json_round) X(csv_rows_read) X(hl7_message) X(module_loading) X(configuration) X(log_life)
#undef X
    {NULL, NULL}};
