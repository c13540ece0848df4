/* hdwsim_daemon.c - the runtime in the simulated world, started and ended as hdwvm does it, and what an operator does to it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hdwsim_daemon.h"
#include "hl7_dict.h"
#include "host.h"
#include "model.h"

/* ---- files -------------------------------------------------------------------------------------------------------------------------- */

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
  fhir_trouble(w);
}

static void on_log(void *user, engine_level level, const char *line, size_t len) {
  world *w = (world *)user;
  if (io_sim_dead(w->io)) return;
  io_sim_note(w->io, hash_of(line, len));
  polite_said(w, line, len);
  if (w->trace) say(w, "log %d %.*s", (int)level, (int)len, line);
  /* What must never happen, whatever the world does. */
  if (memmem(line, len, "\"rescued\"", 9) && !w->clock_set) {
    daemon_describe(w);
    broken(w, "something stood still and was found by looking: %.*s", (int)len, line);
  }
  static const char *const never[] = {"record_unreadable", "HDW_E_DIVERGED", "store_rebuilt", NULL};
  for (unsigned i = 0; never[i]; i++)
    if (memmem(line, len, never[i], strlen(never[i])) && !memmem(line, len, hdw_status_text(HDW_E_IO), strlen(hdw_status_text(HDW_E_IO))) &&
        !memmem(line, len, hdw_status_text(HDW_E_FULL), strlen(hdw_status_text(HDW_E_FULL))) && (i < 2 || w->d->had_state)) broken(w, "the daemon says %.*s", (int)len, line);
}

bound *daemon_bind(world *w, const meta *const *metas, uint32_t n) {
  struct daemon_state *d = w->d;
  bound *b = (bound *)calloc(1, sizeof *b);
  arena_init(&b->a, &w->mem.m, 0);
  config_init(&b->cfg, &b->a);
  if (config_read(&b->cfg, &w->mem.m, "hdw.json", d->settings, strlen(d->settings))) broken(w, "the settings cannot be read");
  program_secrets(&b->cfg);
  if (metas && config_bind(&b->cfg, metas, n, false)) broken(w, "the settings cannot be bound");
  if (b->cfg.nproblems) broken(w, "the settings have a problem: %s", b->cfg.problems[0]);
  b->older = d->now;
  d->now = b;
  return b;
}

/* ---- start and end ------------------------------------------------------------------------------------------------------------------------------ */

void daemon_start(world *w) {
  w->d = (struct daemon_state *)calloc(1, sizeof *w->d);
  arena_init(&w->d->a, &w->mem.m, 0);
  program_make(w);
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

void daemon_use(void *user, const meta *m) { config_use((config *)user, m); }

void daemon_boot(world *w) {
  struct daemon_state *d = w->d;
  const meta *metas[8];
  char text[200] = "";
  mod_error err = {.text = ""};
  bool kept;
  bound *b = daemon_bind(w, NULL, 0);
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
    engine_each_pinned(d->e, daemon_use, &b->cfg);
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
  fhir_trouble(w);
  close_engine(w);
  return true;
}

void daemon_free(world *w) {
  close_engine(w);
  arena_free(&w->d->a);
  free(w->d);
}
