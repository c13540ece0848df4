/* hdwsim_daemon.c - the runtime in the simulated world, started and ended as hdwvm does it, and what an operator does to it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "compiler.h"
#include "hdwsim.h"
#include "hl7_dict.h"
#include "host.h"
#include "model.h"

/* %1$d: the version. Effects have their numbers in their paths (hdwsim.h). */
static const char program[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "listener orm = mllp(port: 2576)\n"
    "listener web = http(port: 8080)\n"
    "connection crm = rest(base: 'http://127.0.0.1:9001', timeout: 5 seconds, retry: retry(2, from: 200 milliseconds, to: 2 seconds), breaker: breaker(failures: 5, cooldown: 8 seconds))\n"
    "connection emr = rest(base: 'http://127.0.0.1:9002', timeout: 5 seconds, rate: rate(50, per: 1 second))\n"
    "connection lab = rest(base: 'http://127.0.0.1:9003', timeout: 5 seconds)\n"
    "connection ward = mllp(host: '127.0.0.1', port: 2599, timeout: 5 seconds)\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.idNumber, msg.PID-18.idNumber {\n"
    "  let m = \"{msg.MSH-10}.{msg.PID-4.idNumber}\"\n"
    "  if msg.PID-8 = 'X' { reject('AR', 'not wanted here') }\n"
    "  step a = crm.post(\"/{m}/0\", body: { v: %1$d, u: uuid(), t: now() })\n"
    "  step seen = crm.get(\"/{m}/5\") on error where error.status = 404 use 'none'\n"
    "  step rows = parallel for x in [1, 2] limit 2 {\n"
    "    step b = crm.put(\"/{m}/{x}\", body: { v: %1$d, u: uuid(), a: a })\n"
    "    yield b\n"
    "  }\n"
    "%2$s"
    "  send emr.post(\"/{m}/3\", body: { v: %1$d, rows: rows })\n"
    "  send ward.message(msg.with(MSH-3: 'HUB%1$d'))\n"
    "  return rows\n"
    "}\n"
    "workflow order on msg = orm.message(types: ['ORM^O01']) ack after run within 10 seconds else AE {\n"
    "  step r = lab.post(\"/{msg.MSH-10}.{msg.PID-4.idNumber}/0\", body: { v: %1$d })\n"
    "  return r\n"
    "}\n"
    "workflow intake on r = web.post('/intake') order by r.body.lane {\n"
    "  step a = crm.post(\"/{r.body.id}/0\", body: { v: %1$d, n: r.body.n, u: uuid() })\n"
    "  send emr.post(\"/{r.body.id}/3\", body: { v: %1$d, a: a })\n"
    "  return a\n"
    "}\n";
static const char more[] = "  step c = crm.post(\"/{m}/6\", body: { v: 2, rows: rows })\n";

static const char settings[] =
    "{\"listeners\":{\"adt\":{\"port\":2575},\"orm\":{\"port\":2576},\"web\":{\"port\":8080}},"
    "\"connections\":{\"crm\":{\"private_networks\":true,\"in_flight\":%u},\"emr\":{\"private_networks\":true,\"on_dead\":\"hold\"},\"lab\":{\"private_networks\":true},\"ward\":{\"private_networks\":true}},"
    "\"active_runs\":%u,\"give_up_ms\":%u,\"min_free_bytes\":200000,\"log_segment_bytes\":65536,\"retain_inputs_bytes\":%u,\"retain_values_bytes\":%u,\"drain_ms\":3000,\"retain_every_ms\":20000}";

typedef struct bound {        /* a configuration, while an engine may look at it */
  struct bound *older;
  arena a;
  config cfg;
} bound;

struct daemon_state {
  arena a;
  uint8_t *mod[2];
  size_t len[2];
  char settings[2048];
  engine *e;
  bound *now;
  bool stopping, ended;
  bool had_state;            /* there is a store with something in it: no later life may find none */
  unsigned current;          /* index of the program that was deployed last, as far as we know */
  int64_t suspend_us;
};

/* ---- programs, files -------------------------------------------------------------------------------------------------------------------------- */

static void compile(world *w, unsigned i) {
  struct daemon_state *d = w->d;
  char *text = (char *)arena_alloc(&d->a, 8192);
  diag_list l;
  comp_result r;
  snprintf(text, 8192, program, (int)i + 1, i ? more : "");
  comp_source s = {"sim.hdw", text, strlen(text)};
  comp_options o = {0};
  diag_init(&l, &d->a);
  if (comp_program(&d->a, &s, 1, &o, &l, &r) || !r.bytes) {
    for (const diag *x = l.first; x; x = x->next) fprintf(stderr, "%s\n", x->text);
    broken(w, "the program does not compile");
  }
  cod_sha256(r.bytes + MOD_HEADER_BYTES, r.len_bytes - MOD_HEADER_BYTES, NULL, 0, r.bytes + 16);
  d->mod[i] = r.bytes, d->len[i] = r.len_bytes;
}

static bool copy_file(const char *from, const char *to) {
  int f = open(from, O_RDONLY), t = f < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
  struct stat st = {0};
  bool ok = t < 0 || !fstat(f, &st);
  void *p = t >= 0 && st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, f, 0) : NULL;
  if (p == MAP_FAILED) ok = false;
  else if (p) ok = write(t, p, (size_t)st.st_size) == st.st_size, (void)munmap(p, (size_t)st.st_size);
  if (t >= 0) close(t);
  if (f >= 0) close(f);
  return ok;
}

/* LMDB's file is a real one: what is in it when the process dies is what the next one finds. */
static void died(void *user) {
  world *w = (world *)user;
  w->deaths++;
  w->d->had_state |= w->d->e && store_committed(engine_store(w->d->e)) > 0;
  (void)unlink("data/state.died");
  if (!copy_file("data/state.mdb", "data/state.died")) broken(w, "the store's file cannot be copied"); /* none yet: none then */
  model_died(w, now_us(w));
}

typedef struct ids { uint64_t id[256]; unsigned n; } ids;
static bool take_id(uint16_t part, uint64_t id, uint8_t state, void *user) {
  ids *x = (ids *)user;
  (void)part, (void)state;
  x->id[x->n++] = id;
  return x->n < 256;
}

static void describe_queue(world *w, const char *sink) {
  ids heads = {.n = 0};
  engine_sink k = {.state = ""};
  for (uint32_t i = 0; engine_sink_at(w->d->e, i, &k) && strcmp(k.name, sink) != 0; i++) {}
  (void)store_list_queue(engine_store(w->d->e), 0, cod_cstr(sink), NULL, 0, 256, take_id, &heads);
  say(w, "sink %s: %s, %u in flight, %u lanes", sink, k.state, k.in_flight, heads.n);
  for (unsigned i = 0; i < heads.n; i++) {
    arena a;
    store_delivery d;
    arena_init(&a, &w->mem.m, 0);
    if (!store_get_delivery(engine_store(w->d->e), 0, heads.id[i], &a, &d))
      say(w, "  delivery %llu: state %u, %u attempts, %u further lanes, changed %lld ms ago, next in %lld ms, '%.*s'", (unsigned long long)d.id, d.state, d.attempts, d.nmore,
          (long long)(io_wall_us(w->io) - d.changed_us) / 1000, d.next_us ? (long long)(d.next_us - io_wall_us(w->io)) / 1000 : 0LL, (int)d.error_text.len, d.error_text.p);
    arena_free(&a);
  }
}

/* Into the trace: every run that is not done, and the first ones of each queue. */
static void describe(world *w) {
  if (!w->trace || !w->d->e) return;
  describe_queue(w, "emr");
  describe_queue(w, "ward");
  for (uint8_t state = RUN_QUEUED; state <= RUN_DEAD; state++) {
    ids runs = {.n = 0};
    (void)store_list_runs(engine_store(w->d->e), 0, state, 0, 256, take_id, &runs);
    for (unsigned i = 0; i < runs.n; i++) {
      arena a;
      store_run r;
      arena_init(&a, &w->mem.m, 0);
      if (!store_get_run(engine_store(w->d->e), 0, runs.id[i], &a, &r)) {
        char lanes[20 * REC_MAX_LANES] = "";
        for (unsigned k = 0; k < r.nlanes; k++) { /* "*": it is the first in the lane */
          uint64_t head = 0;
          (void)store_lane_head(engine_store(w->d->e), 0, r.lanes[k], &head, NULL);
          snprintf(lanes + strlen(lanes), sizeof lanes - strlen(lanes), " %02x%02x%s", r.lanes[k][0], r.lanes[k][1], head == r.id ? "*" : "");
        }
        say(w, "run %llu of %.*s: state %u, lanes%s, %u times begun, changed %lld ms ago, wakes in %lld ms, held by '%.*s', path '%.*s', '%.*s'", (unsigned long long)r.id, (int)r.workflow.len, r.workflow.p, r.state,
            lanes, r.attempts, (long long)(io_wall_us(w->io) - r.changed_us) / 1000, r.wake_us ? (long long)(r.wake_us - io_wall_us(w->io)) / 1000 : 0LL, (int)r.held.len, r.held.p, (int)r.path.len, r.path.p,
            (int)r.reason.len, r.reason.p);
      }
      arena_free(&a);
    }
  }
}

static void on_log(void *user, engine_level level, const char *line, size_t len) {
  world *w = (world *)user;
  if (io_sim_dead(w->io)) return;
  io_sim_note(w->io, hash_of(line, len));
  if (w->trace) say(w, "log %d %.*s", (int)level, (int)len, line);
  /* What must never happen, whatever the world does. */
  if (memmem(line, len, "\"rescued\"", 9) && !w->clock_set) {
    describe(w);
    broken(w, "something stood still and was found by looking: %.*s", (int)len, line);
  }
  static const char *const never[] = {"record_unreadable", "HDW_E_DIVERGED", "store_rebuilt", NULL};
  for (unsigned i = 0; never[i]; i++)
    if (memmem(line, len, never[i], strlen(never[i])) && !memmem(line, len, hdw_status_text(HDW_E_IO), strlen(hdw_status_text(HDW_E_IO))) &&
        !memmem(line, len, hdw_status_text(HDW_E_FULL), strlen(hdw_status_text(HDW_E_FULL))) && (i < 2 || w->d->had_state)) broken(w, "the daemon says %.*s", (int)len, line);
}

static bound *bind(world *w, const meta *const *metas, uint32_t n) {
  struct daemon_state *d = w->d;
  bound *b = (bound *)calloc(1, sizeof *b);
  arena_init(&b->a, &w->mem.m, 0);
  config_init(&b->cfg, &b->a);
  if (config_read(&b->cfg, &w->mem.m, "hdw.json", d->settings, strlen(d->settings))) broken(w, "the settings cannot be read");
  if (metas && config_bind(&b->cfg, metas, n, false)) broken(w, "the settings cannot be bound");
  if (b->cfg.nproblems) broken(w, "the settings have a problem: %s", b->cfg.problems[0]);
  b->older = d->now;
  d->now = b;
  return b;
}

/* ---- start and end ------------------------------------------------------------------------------------------------------------------------------ */

void daemon_start(world *w) {
  struct daemon_state *d = w->d = (struct daemon_state *)calloc(1, sizeof *d);
  arena_init(&d->a, &w->mem.m, 0);
  for (unsigned i = 0; i < 2; i++) compile(w, i);
  bool little = chance(w, 300);
  snprintf(d->settings, sizeof d->settings, settings, chance(w, 300) ? 1 : 16, chance(w, 300) ? 2 + (unsigned)draw(w, 4) : 256, chance(w, 300) ? 60000u : 259200000u, little ? 100000u : 0u, little ? 200000u : 0u);
  d->suspend_us = chance(w, 500) ? 1000 : draw_time(w, 4 * SECOND);
  io_sim_on_death(w->io, died, w);
  if (mkdir("data", 0700)) broken(w, "no folder for the store");
}

static void close_engine(world *w) {
  struct daemon_state *d = w->d;
  if (!d->e) return;
  d->had_state |= !io_sim_dead(w->io);
  engine_close(d->e);
  d->e = NULL;
  d->stopping = d->ended = false;
  while (d->now) {
    bound *b = d->now;
    d->now = b->older;
    arena_free(&b->a);
    free(b);
  }
}

void daemon_bury(world *w) {
  close_engine(w);
  io_sim_reboot(w->io);
  io_sim_set_space(w->io, UINT64_C(1) << 40);
  (void)unlink("data/state.mdb-lock");
  (void)unlink("data/state.mdb");
  (void)rename("data/state.died", "data/state.mdb");
}

static void use(void *user, const meta *m) { config_use((config *)user, m); }

void daemon_boot(world *w) {
  struct daemon_state *d = w->d;
  const meta *metas[8];
  char text[200] = "";
  mod_error err = {.text = ""};
  bool kept;
  bound *b = bind(w, NULL, 0);
  engine_opts o = {.dir = "data", .config = &b->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .drivers = engine_drivers(), .metrics = true, .daemon = true,
                   .suspend_us = d->suspend_us, .log = on_log, .log_user = w, .log_segment_bytes = 65536};
  w->boots++;
  hdw_status s = engine_open(w->io, &o, &d->e, text);
  if (s) d->e = NULL;
  if (!s) s = engine_load_file(d->e, "sim.hdwb", d->mod[0], d->len[0], &kept, &err);
  if (!s) s = engine_load_deployed(d->e, false, text);
  if (!s) {
    uint32_t n = engine_metas(d->e, metas, 8);
    if (config_bind(&b->cfg, metas, n, false) || b->cfg.nproblems) broken(w, "the settings have a problem: %s", b->cfg.nproblems ? b->cfg.problems[0] : "");
    engine_each_pinned(d->e, use, &b->cfg);
    s = engine_start(d->e, text);
  }
  if (!s) s = engine_listen(d->e, text);
  if (io_sim_dead(w->io)) return; /* on the way */
  if (s) {
    say(w, "it does not start: %s %s", text, err.text);
    if (weather_disk(w) && (s == HDW_E_IO || s == HDW_E_FULL)) { /* the service manager tries again */
      io_sim_crash(w->io, false);
      return;
    }
    broken(w, "it does not start: %s %s %s", hdw_status_name(s), text, err.text);
  }
  say(w, "life %u begins", w->boots);
  model_opened(w, false);
}

static void on_drained(void *user) {
  world *w = (world *)user;
  w->d->ended = true;
  io_stop(w->io);
}

void daemon_stop(world *w) {
  struct daemon_state *d = w->d;
  if (!d->e || d->stopping || io_sim_dead(w->io)) return;
  say(w, "is asked to end");
  d->stopping = true;
  engine_drain(d->e, 3 * SECOND, on_drained, w);
}

bool daemon_ended(world *w) {
  if (!w->d->ended || io_sim_dead(w->io)) return false;
  model_died(w, now_us(w)); /* what is under way is under way, here too */
  close_engine(w);
  return true;
}

/* ---- an operator ------------------------------------------------------------------------------------------------------------------------------------ */

static void redrive(world *w, unsigned per_mille) {
  engine *e = w->d->e;
  for (uint8_t subject = SUBJECT_RUN; subject <= SUBJECT_DELIVERY; subject++) {
    ids dead = {.n = 0};
    (void)store_list_dead(engine_store(e), 0, subject, 0, 256, take_id, &dead);
    for (unsigned i = 0; i < dead.n; i++)
      if (chance(w, per_mille)) (void)engine_redrive(e, subject, dead.id[i], "sim", NULL, NULL);
  }
}

static void deploy(world *w, bool back) {
  struct daemon_state *d = w->d;
  const meta *metas[8];
  engine_stage *st;
  char text[200] = "";
  mod_error err = {.text = ""};
  if (engine_stage_new(d->e, &st)) return;
  unsigned to = d->current ^ 1;
  hdw_status s = back ? engine_stage_back(st, "sim", NULL, text) : engine_stage_module(st, "sim.hdwb", d->mod[to], d->len[to], &err);
  if (!s) {
    uint32_t n = engine_stage_metas(st, metas, 8);
    bound *b = bind(w, metas, n);
    engine_stage_each_pinned(st, use, &b->cfg);
    s = engine_switch(st, &b->cfg, "sim", text);
  }
  say(w, "%s: %s %s%s", back ? "rollback" : "deploy", hdw_status_name(s), text, err.text);
  if (s) engine_stage_free(st);
  else d->current = to, w->deploys++;
}

void daemon_operate(world *w) {
  struct daemon_state *d = w->d;
  static const char *const sinks[] = {"crm", "emr", "ward", "lab"};
  if (!d->e || d->stopping || io_sim_dead(w->io)) return;
  switch (draw(w, 8)) {
  case 0:
  case 1:
    say(w, "operator: redrive");
    redrive(w, 600);
    return;
  case 2:
  case 3:
  case 4: {
    const char *sink = sinks[draw(w, 4)];
    bool stop = draw(w, 3) == 0;
    say(w, "operator: %s %s", stop ? "pause" : "resume", sink);
    (void)engine_pause(d->e, sink, stop, "sim", NULL, NULL);
    return;
  }
  case 5: {
    const char *workflow = draw(w, 2) ? "admit" : "intake";
    bool stop = draw(w, 2) != 0;
    say(w, "operator: %s %s", stop ? "pause" : "resume", workflow);
    (void)engine_pause_workflow(d->e, workflow, stop, "sim", NULL, NULL);
    return;
  }
  case 6: deploy(w, false); return;
  default: deploy(w, chance(w, 500)); return;
  }
}

void daemon_redrive(world *w) {
  static const char *const sinks[] = {"crm", "emr", "ward", "lab"};
  struct daemon_state *d = w->d;
  if (!d->e) return;
  for (unsigned i = 0; i < 4; i++) (void)engine_pause(d->e, sinks[i], false, "sim", NULL, NULL);
  (void)engine_pause_workflow(d->e, "admit", false, "sim", NULL, NULL);
  (void)engine_pause_workflow(d->e, "intake", false, "sim", NULL, NULL);
  redrive(w, 1000);
}

/* ---- looking in --------------------------------------------------------------------------------------------------------------------------------------- */

bool daemon_has(world *w, const message *m) {
  ids in = {.n = 0};
  unsigned want = 0;
  for (const message *x = model_first(w, m->id, strlen(m->id)); x; x = x == m ? NULL : model_next(w, x)) want += x->answer != NULL;
  (void)store_list_inputs(engine_store(w->d->e), 0, STORE_BY_CONTROL_ID, cod_cstr(m->id), 0, false, 255, take_id, &in);
  return in.n >= want;
}

static bool hold(const engine_lane *l, void *user) {
  (void)l;
  ++*(unsigned *)user;
  return true;
}

bool daemon_drained(world *w, char why[200]) {
  struct daemon_state *d = w->d;
  store_counts c;
  unsigned lanes = 0;
  snprintf(why, 200, "it does not live");
  if (!d->e) return false;
  store_get_counts(engine_store(d->e), &c);
  uint64_t runs = c.runs - c.runs_by_state[RUN_DONE] - c.runs_by_state[RUN_DISCARDED], deliveries = c.deliveries - c.deliveries_by_state[DELIVERY_DELIVERED] - c.deliveries_by_state[DELIVERY_DISCARDED];
  engine_lanes(d->e, 0, hold, &lanes);
  snprintf(why, 200, "%llu runs not done (%llu queued, %llu at work, %llu parked, %llu dead), %llu deliveries not delivered (%llu dead, %llu holding), %u lanes%s", (unsigned long long)runs,
           (unsigned long long)c.runs_by_state[RUN_QUEUED], (unsigned long long)c.runs_by_state[RUN_RUNNING], (unsigned long long)c.runs_by_state[RUN_PARKED],
           (unsigned long long)(c.runs_by_state[RUN_DEAD] + c.runs_by_state[RUN_FAILED]), (unsigned long long)deliveries, (unsigned long long)c.deliveries_by_state[DELIVERY_DEAD],
           (unsigned long long)c.deliveries_by_state[DELIVERY_PARKED], lanes, engine_idle(d->e) ? "" : ", not idle");
  if (w->trace) describe(w);
  if (c.orphans) broken(w, "%llu records are about something that is not there", (unsigned long long)c.orphans);
  return !runs && !deliveries && !lanes && engine_idle(d->e);
}

/* The state is what the log says: folded again from its beginning it is the same. */
void daemon_finish(world *w) {
  store *s = engine_store(w->d->e);
  uint8_t before[32], after[32];
  store_info info = {0};
  if (store_flush(s) || store_check(s) || store_hash(s, before)) broken(w, "the store cannot be read at the end");
  if (store_rebuild(s, &info) || store_hash(s, after)) broken(w, "the store cannot be rebuilt from the log");
  if (memcmp(before, after, sizeof before) != 0) broken(w, "the store that is folded again from the log is another one");
  io_sim_note(w->io, hash_of(after, sizeof after));
}

void daemon_free(world *w) {
  close_engine(w);
  arena_free(&w->d->a);
  free(w->d);
}
