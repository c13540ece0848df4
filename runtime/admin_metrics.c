/* admin_metrics.c - /metrics, /livez, /healthz, /readyz (O-1 .. O-4). Gauges are read here, when somebody asks. */
#include <stdio.h>
#include "admin_int.h"
#include "trace.h"
#include "watch.h"

enum { OLDEST_LOOK = 2000 };

static void one(metrics_out *o, const char *name, const char *unit, const char *help, uint64_t value) {
  metrics_family(o, name, "gauge", unit, help);
  metrics_sample_u64(o, name, value, NULL, NULL);
}

static void by_state(metrics_out *o, const char *name, const char *help, const uint64_t *n, unsigned len, const char *(*text)(uint8_t)) {
  metrics_family(o, name, "gauge", NULL, help);
  for (unsigned i = 1; i < len; i++)
    if (text((uint8_t)i)[0]) metrics_sample_u64(o, name, n[i], "state", text((uint8_t)i));
}

static void process(admin *ad, metrics_out *o) {
  engine *e = ad->e;
  engine_status s;
  engine_get_status(e, &s);
  metrics_family(o, "hdw_build", "info", NULL, "Version of the daemon.");
  metrics_sample(o, "hdw_build_info", "1", "version", HDW_VERSION, NULL);
  metrics_family(o, "hdw_start_time_seconds", "gauge", "seconds", "When the daemon started.");
  metrics_sample_us(o, "hdw_start_time_seconds", s.started_us, NULL, NULL);
  if (e->o.kernel_holds) {
    metrics_family(o, "hdw_sandbox", "gauge", NULL, "1 when the kernel holds the daemon to files it named (landlock) and to system calls it needs (seccomp).");
    metrics_sample(o, "hdw_sandbox", *e->o.kernel_holds & 1 ? "1" : "0", "part", "files", NULL);
    metrics_sample(o, "hdw_sandbox", *e->o.kernel_holds & 2 ? "1" : "0", "part", "calls", NULL);
  }
  one(o, "hdw_accepting", NULL, "1 while inputs are taken in.", s.accepting);
  one(o, "hdw_active_runs", NULL, "Runs in memory.", s.active_runs);
  one(o, "hdw_ready_runs", NULL, "Runs that wait for a place in memory.", s.ready_runs);
  one(o, "hdw_steps_in_flight", NULL, "Steps under way.", s.steps_in_flight);
  one(o, "hdw_deliveries_in_flight", NULL, "Deliveries under way.", s.deliveries_in_flight);
  one(o, "hdw_answers_waiting", NULL, "Senders that wait for the end of a run.", s.waiting_answers);
  if (e->o.budget) {
    one(o, "hdw_memory_used_bytes", "bytes", "Memory taken from the process's budget.", e->o.budget->used_bytes);
    one(o, "hdw_memory_limit_bytes", "bytes", "The budget (process_memory_bytes).", e->o.budget->limit_bytes);
  }
}

/* Counters that the engine keeps anyway. */
static void totals(admin *ad, metrics_out *o) {
  engine_status s;
  engine_get_status(ad->e, &s);
  const struct { const char *name, *help; uint64_t n; } c[] = {
      {"hdw_inputs_refused", "Inputs answered without being stored.", s.refused},
      {"hdw_duplicates", "Resends answered from the record of the first.", s.duplicates},
      {"hdw_control_ids_reused", "Control ids that came before with other content.", s.conflicts},
      {"hdw_once_hits", "Runs that a once-key made needless.", s.once},
      {"hdw_admin_refusals", "Calls of the admin API that were refused.", ad->denied_total},
      {"hdw_metrics_dropped", "Series that were not made because there are too many.", metrics_dropped(ad->e->metrics)},
  };
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char name[80];
    snprintf(name, sizeof name, "%s_total", c[i].name);
    metrics_family(o, c[i].name, "counter", NULL, c[i].help);
    metrics_sample_u64(o, name, c[i].n, NULL, NULL);
  }
}

static void traces(admin *ad, metrics_out *o) {
  tracer_stats t;
  if (!ad->e->tracer) return;
  tracer_stats_get(ad->e->tracer, &t);
  one(o, "hdw_trace_spans_queued", NULL, "Spans that wait for the collector.", t.queued);
  const struct { const char *name, *help; uint64_t n; } c[] = {{"hdw_trace_spans_sent", "Spans that the collector took.", t.sent},
                                                            {"hdw_trace_spans_dropped", "Spans thrown away because too many waited.", t.dropped},
                                                            {"hdw_trace_spans_failed", "Spans that the collector refused, or that could not be sent.", t.failed}};
  for (size_t i = 0; i < 3; i++) {
    char name[80];
    snprintf(name, sizeof name, "%s_total", c[i].name);
    metrics_family(o, c[i].name, "counter", NULL, c[i].help);
    metrics_sample_u64(o, name, c[i].n, NULL, NULL);
  }
}

static void storage(admin *ad, metrics_out *o) {
  engine *e = ad->e;
  store_counts c;
  log_stats l;
  uint64_t used, map;
  io_space_info sp;
  store_get_counts(e->store, &c);
  log_get_stats(e->log, &l);
  store_get_size(e->store, &used, &map);
  by_state(o, "hdw_inputs_stored", "Inputs in the store.", c.inputs_by_state, 8, admin_input_state);
  by_state(o, "hdw_runs_stored", "Runs in the store.", c.runs_by_state, 12, admin_run_state);
  by_state(o, "hdw_deliveries_stored", "Deliveries in the store.", c.deliveries_by_state, 8, admin_delivery_state);
  metrics_family(o, "hdw_dead_letters", "gauge", NULL, "What a person must look at.");
  metrics_sample_u64(o, "hdw_dead_letters", c.runs_by_state[RUN_DEAD], "subject", "run");
  metrics_sample_u64(o, "hdw_dead_letters", c.deliveries_by_state[DELIVERY_DEAD] + c.deliveries_by_state[DELIVERY_PARKED], "subject", "delivery");
  one(o, "hdw_store_used_bytes", "bytes", "Used of the map of state.mdb.", used);
  one(o, "hdw_store_map_bytes", "bytes", "The map of state.mdb; it grows.", map);
  one(o, "hdw_log_unsynced_bytes", "bytes", "Appended and not yet durable.", l.unsynced_bytes);
  metrics_family(o, "hdw_log_appended_bytes", "counter", "bytes", "Bytes appended to the log.");
  metrics_sample_u64(o, "hdw_log_appended_bytes_total", l.appended_bytes, NULL, NULL);
  metrics_family(o, "hdw_log_syncs", "counter", NULL, "Syncs of the log.");
  metrics_sample_u64(o, "hdw_log_syncs_total", l.syncs, NULL, NULL);
  metrics_family(o, "hdw_log_sync_last_seconds", "gauge", "seconds", "Duration of the latest sync.");
  metrics_sample_us(o, "hdw_log_sync_last_seconds", l.sync_us_last, NULL, NULL);
  metrics_family(o, "hdw_log_sync_max_seconds", "gauge", "seconds", "Duration of the longest sync.");
  metrics_sample_us(o, "hdw_log_sync_max_seconds", l.sync_us_max, NULL, NULL);
  if (!io_space(ad->io, e->o.dir, &sp)) one(o, "hdw_disk_free_bytes", "bytes", "Free space of the data folder's file system.", sp.free_bytes);
}

static void connections(admin *ad, metrics_out *o) {
  engine *e = ad->e;
  int64_t now = io_wall_us(ad->io), mono = io_mono_us(ad->io);
  static const struct { const char *name, *help; } g[] = {{"hdw_queue_depth", "Deliveries that wait or are under way."}, {"hdw_queue_oldest_seconds", "Age of the oldest of them."},
                                                        {"hdw_breaker_open", "1 while the breaker keeps attempts back."}, {"hdw_connection_paused", "1 while an operator holds the connection."},
                                                        {"hdw_connection_holding", "1 while deliveries are held after a failure."}, {"hdw_connection_room", "Attempts at once, now: fewer after 429."},
                                                        {"hdw_connection_steps", "Steps under way, or waiting for a place."}, {"hdw_connection_busy", "1 while further runs wait on disk because so many steps are under way."},
                                                        {"hdw_connection_closed", "1 outside of its hours."}};
  for (unsigned k = 0; k < 9; k++) {
    if (e->nconns) metrics_family(o, g[k].name, "gauge", k == 1 ? "seconds" : NULL, g[k].help);
    for (uint32_t i = 0; i < e->nconns; i++) {
      const eng_conn *c = e->conns[i];
      cod_str name = cod_cstr(c->name);
      int64_t since = k == 1 ? store_oldest_us(e->store, ENG_PART, name, OLDEST_LOOK) : 0;
      if (k == 0) metrics_sample_u64(o, g[k].name, store_depth(e->store, ENG_PART, name), "connection", c->name);
      else if (k == 1) metrics_sample_us(o, g[k].name, since ? now - since : 0, "connection", c->name);
      else {
        bool open = c->open && (!c->came_through || c->open_until_us > mono); /* behind a probe's success nothing is kept back until the next one */
        const uint64_t v[] = {0, 0, open, c->paused, c->hold_until_us > mono, eng_conn_limit(c), c->steps, c->busy, c->hours && !hours_open(c->hours, now)};
        metrics_sample_u64(o, g[k].name, v[k], "connection", c->name);
      }
    }
  }
}

static void requests(admin *ad, metrics_out *o) {
  static const struct { const char *name, *total, *help; } g[] = {{"hdw_connection_requests", "hdw_connection_requests_total", "HTTP requests made."}, {"hdw_connection_throttled", "hdw_connection_throttled_total", "HTTP requests answered 429."},
                                                                          {"hdw_connection_retries_refused", "hdw_connection_retries_refused_total", "Retries beyond retry_percent."}};
  engine *e = ad->e;
  for (unsigned k = 0; k < 3 && e->nconns; k++) {
    metrics_family(o, g[k].name, "counter", NULL, g[k].help);
    for (uint32_t i = 0; i < e->nconns; i++) {
      const eng_conn *c = e->conns[i];
      metrics_sample_u64(o, g[k].total, k == 0 ? c->requests : k == 1 ? c->throttled : c->retries_refused, "connection", c->name);
    }
  }
}

static void logins(admin *ad, metrics_out *o) {
  static const struct { const char *name, *total, *help; } g[] = {{"hdw_connection_logins", "hdw_connection_logins_total", "Requests for tokens made to login servers."},
                                                                 {"hdw_connection_login_failures", "hdw_connection_login_failures_total", "Those that gave no token."}};
  engine *e = ad->e;
  for (unsigned k = 0; k < 2; k++) {
    bool any = false;
    for (uint32_t i = 0; i < e->nconns; i++) {
      engine_sink s;
      if (!engine_sink_at(e, i, &s) || !s.login_state) continue;
      if (!any) metrics_family(o, g[k].name, "counter", NULL, g[k].help);
      any = true;
      metrics_sample_u64(o, g[k].total, k ? s.login_failures : s.logins, "connection", s.name);
    }
  }
}

/* Only of connections that have such calls. */
static void cache(admin *ad, metrics_out *o) {
  engine *e = ad->e;
  engine_answers k;
  static const char *const how[] = {"kept", "asked", "joined", "stale"};
  metrics_family(o, "hdw_cache_calls", "counter", NULL, "Calls under cached(...): answered from what is kept, asked, answered by another run's asking, with an old answer because nobody could be asked.");
  for (uint32_t i = 0; i < e->nconns; i++) {
    const eng_conn *c = e->conns[i];
    const uint64_t n[] = {c->cache_hits, c->cache_asked, c->cache_joined, c->cache_stale};
    for (unsigned j = 0; j < 4 && (n[0] || n[1] || n[3]); j++) {
      char text[24];
      snprintf(text, sizeof text, "%llu", (unsigned long long)n[j]);
      metrics_sample(o, "hdw_cache_calls_total", text, "connection", c->name, "how", how[j], NULL);
    }
  }
  metrics_family(o, "hdw_cache_bytes", "gauge", "bytes", "Answers kept by cached(...).");
  for (uint32_t i = 0; i < e->nconns; i++)
    if (engine_cache_of(e, e->conns[i]->name, &k)) metrics_sample_u64(o, "hdw_cache_bytes", k.bytes, "connection", e->conns[i]->name);
}

static void sources(admin *ad, metrics_out *o) {
  engine *e = ad->e;
  int64_t now = io_mono_us(ad->io);
  if (e->nlisteners) metrics_family(o, "hdw_connections_open", "gauge", NULL, "Connections of senders.");
  for (uint32_t i = 0; i < e->nlisteners; i++) {
    const eng_listener *l = &e->listeners[i];
    metrics_sample_u64(o, "hdw_connections_open", l->mllp ? mllp_listener_stats(l->mllp)->open : l->http ? http_server_stats(l->http)->open : 0, "listener", l->name);
  }
  static const struct { const char *name, *unit, *help; size_t at; } events[] = {
      {"hdw_duplicates", NULL, "Resends that got the stored answer or joined.", offsetof(engine_source_info, duplicates)},
      {"hdw_control_ids_reused", NULL, "Control ids that came again with other content.", offsetof(engine_source_info, conflicts)},
      {"hdw_refused_inputs", NULL, "What was not stored.", offsetof(engine_source_info, refused)},
      {"hdw_unparseable_inputs", NULL, "Inputs without a usable MSH.", offsetof(engine_source_info, unparseable)},
      {"hdw_unauthorised_peers", NULL, "No or wrong credentials, certificates that are not mapped.", offsetof(engine_source_info, unauthorised)},
      {"hdw_mllp_junk_bytes", "bytes", "Bytes between frames.", offsetof(engine_source_info, junk_bytes)},
      {"hdw_mllp_partial_frames", NULL, "Frames that never ended.", offsetof(engine_source_info, partial_frames)},
      {"hdw_listener_timeouts", NULL, "Connections closed for silence.", offsetof(engine_source_info, timeouts)}};
  engine_source_info info;
  for (size_t k = 0; e->nlisteners && k < sizeof events / sizeof *events; k++) {
    char total[64];
    metrics_family(o, events[k].name, "counter", events[k].unit, events[k].help);
    snprintf(total, sizeof total, "%s_total", events[k].name);
    for (uint32_t i = 0; engine_listener_at(e, i, &info); i++) metrics_sample_u64(o, total, *(const uint64_t *)(const void *)((const char *)&info + events[k].at), "listener", info.name);
  }
  bool head = false;
  for (uint32_t i = 0; i < e->nlisteners; i++) {
    int64_t t = e->listeners[i].tls ? tls_ctx_expires(e->listeners[i].tls) : 0;
    if (!t) continue;
    if (!head) metrics_family(o, "hdw_certificate_expiry_timestamp_seconds", "gauge", "seconds", "Until when the certificate of a listener is good (Unix time).");
    head = true;
    metrics_sample_u64(o, "hdw_certificate_expiry_timestamp_seconds", (uint64_t)t, "listener", e->listeners[i].name);
  }
  metrics_family(o, "hdw_inputs_recent", "gauge", NULL, "Inputs of the last minute, hour and day, since the start at most.");
  metrics_sample_u64(o, "hdw_inputs_recent", metrics_inputs(e->metrics, now, 60), "window", "1m");
  metrics_sample_u64(o, "hdw_inputs_recent", metrics_inputs(e->metrics, now, 3600), "window", "1h");
  metrics_sample_u64(o, "hdw_inputs_recent", metrics_inputs(e->metrics, now, 86400), "window", "24h");
}

int admin_metrics(admin_query *q) {
  metrics_out o = {.b = q->b, .openmetrics = q->accept.p && memmem(q->accept.p, q->accept.len, "application/openmetrics-text", 28)};
  if (!q->ad->e->metrics) return admin_error(q, 503, "this daemon counts nothing");
  process(q->ad, &o);
  metrics_write(q->ad->e->metrics, &o);
  totals(q->ad, &o);
  traces(q->ad, &o);
  storage(q->ad, &o);
  connections(q->ad, &o);
  logins(q->ad, &o);
  cache(q->ad, &o);
  requests(q->ad, &o);
  sources(q->ad, &o);
  metrics_end(&o);
  q->type = o.openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
  return 200;
}

/* ---- health ------------------------------------------------------------------------------------------------------------------------- */

/* The loop answers: that is all that liveness says. */
int admin_livez(admin_query *q) {
  buf_puts(q->b, "{\"status\":\"alive\"}");
  return 200;
}

static void reason(admin_query *q, bool *first, bool *ready, bool ok, const char *what, const char *why) {
  *ready &= ok;
  if (q->door->kind == DOOR_OBSERVE) return; /* no detail without a name */
  buf_puts(q->b, *first ? "" : ",");
  bool f = true;
  *first = false;
  buf_puts(q->b, "{");
  admin_text(q->b, &f, "check", what, strlen(what));
  admin_key(q->b, &f, "ok");
  buf_puts(q->b, ok ? "true" : "false");
  if (!ok) admin_text(q->b, &f, "why", why, strlen(why));
  buf_puts(q->b, "}");
}

/* Whether inputs would be taken. What is wrong with systems elsewhere is none of its business. */
int admin_readyz(admin_query *q) {
  engine *e = q->ad->e;
  bool first = true, ready = true, bound = true;
  buf body = *q->b;
  log_stats l;
  log_get_stats(e->log, &l);
  for (uint32_t i = 0; i < e->nlisteners; i++) bound &= e->listeners[i].mllp || e->listeners[i].http;
  buf_init(q->b, q->a, 65536);
  reason(q, &first, &ready, !l.failed && !e->failed, "log", "the log or the store has failed");
  reason(q, &first, &ready, log_intake(e->log), "disk", "less space is free than min_free_bytes, or too much waits for the disk");
  reason(q, &first, &ready, bound, "listeners", "a listener is not bound");
  reason(q, &first, &ready, e->started && e->napps > 0, "modules", "no program is loaded");
  reason(q, &first, &ready, !e->draining, "state", "the daemon is stopping");
  reason(q, &first, &ready, e->accepting || e->draining, "intake", "intake is stopped (disk or memory)");
  buf list = *q->b;
  *q->b = body;
  buf_putf(q->b, "{\"status\":\"%s\"", ready ? "ready" : "not ready");
  if (list.len) {
    buf_puts(q->b, ",\"checks\":[");
    buf_put(q->b, list.p, list.len);
    buf_puts(q->b, "]");
  }
  buf_puts(q->b, "}");
  return ready ? 200 : 503;
}
