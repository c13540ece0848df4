/* rig_look.c - what became of inputs: runs, their results, deliveries. */
#include <string.h>
#include "rig.h"

const char *rig_run_state(uint8_t s) {
  static const char *const names[] = {"none", "queued", "running", "waiting", "parked", "done", "failed", "dead", "discarded"};
  return s < sizeof names / sizeof *names ? names[s] : "unknown";
}

const char *rig_outcome_name(vm_outcome o) {
  static const char *const names[] = {"return", "reject", "reply", "redirect", "skip", "fail", "retry", "unmatched"};
  return (size_t)o < sizeof names / sizeof *names ? names[o] : "unknown";
}

typedef struct find_run {
  rig *r;
  arena *a;
  const char *workflow;
  store_run found;
} find_run;

static bool on_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  find_run *f = (find_run *)user;
  store_run row;
  (void)state;
  if (store_get_run(engine_store(f->r->e), part, id, f->a, &row)) return true;
  if (!f->workflow || (row.workflow.len == strlen(f->workflow) && memcmp(row.workflow.p, f->workflow, row.workflow.len) == 0)) f->found = row;
  return true;
}

bool rig_outcome_of(rig *r, const store_run *run, arena *a, rig_outcome *out) {
  memset(out, 0, sizeof *out);
  out->run = *run;
  if (run->state == RUN_DONE) {
    val v;
    if (!engine_result(r->e, run, a, &out->how, &v)) out->value = v;
  }
  engine_where(r->e, run->module, run->file, run->line, run->column, out->where);
  return true;
}

bool rig_result(rig *r, const char *workflow, arena *a, rig_outcome *out) {
  find_run f = {.r = r, .a = a, .workflow = workflow};
  memset(out, 0, sizeof *out);
  if (!r->reply.input) return false;
  (void)store_list_runs_of_input(engine_store(r->e), 0, r->reply.input, on_run, &f);
  return f.found.id && rig_outcome_of(r, &f.found, a, out);
}

typedef struct list_runs {
  rig *r;
  arena *a;
  rig_run_fn fn;
  void *user;
} list_runs;

static bool each_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  list_runs *l = (list_runs *)user;
  store_run row;
  (void)state;
  if (!store_get_run(engine_store(l->r->e), part, id, l->a, &row)) l->fn(&row, l->user);
  return true;
}

static bool each_input(uint16_t part, uint64_t id, uint8_t state, void *user) {
  list_runs *l = (list_runs *)user;
  (void)state;
  (void)store_list_runs_of_input(engine_store(l->r->e), part, id, each_run, l);
  return true;
}

void rig_runs(rig *r, arena *a, rig_run_fn fn, void *user) {
  list_runs l = {r, a, fn, user};
  cod_str none = {0};
  (void)store_list_inputs(engine_store(r->e), 0, STORE_BY_TIME, none, 0, false, 100000, each_input, &l);
}

/* ---- deliveries ------------------------------------------------------------------------------------------------------------------------ */

typedef struct list_deliveries {
  rig *r;
  arena *a;
  rig_delivery_fn fn;
  void *user;
} list_deliveries;

static bool each_delivery(uint16_t part, uint64_t id, uint8_t state, void *user) {
  list_deliveries *l = (list_deliveries *)user;
  store_delivery d;
  log_rec rec;
  val v, kept = VAL_NONE;
  (void)state;
  if (store_get_delivery(engine_store(l->r->e), part, id, l->a, &d)) return true;
  if (!log_read(engine_log(l->r->e), d.pos, l->a, &rec) && !engine_unpack(l->r->e, l->a, rec.body, rec.body_len, &v)) kept = rig_request_text(l->a, v);
  l->fn(&d, kept, l->user);
  return true;
}

static void deliveries_of(const store_run *run, void *user) {
  list_deliveries *l = (list_deliveries *)user;
  (void)store_list_deliveries_of_run(engine_store(l->r->e), 0, run->id, each_delivery, l);
}

void rig_deliveries(rig *r, arena *a, rig_delivery_fn fn, void *user) {
  list_deliveries l = {r, a, fn, user};
  rig_runs(r, a, deliveries_of, &l);
}
