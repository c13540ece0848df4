/* admin_views.c - status, sinks, limits; the table of all views. */
#include <stdio.h>
#include "admin_int.h"
#include "json.h"
#include "metrics.h"
#include "term.h"

/* ---- writing -------------------------------------------------------------------------------------------------------------------- */

void admin_key(buf *b, bool *first, const char *key) {
  if (!*first) buf_putc(b, ',');
  *first = false;
  json_write_str(b, key, strlen(key));
  buf_putc(b, ':');
}
void admin_text(buf *b, bool *first, const char *key, const char *s, size_t n) {
  admin_key(b, first, key);
  json_write_str(b, s, n);
}
void admin_number(buf *b, bool *first, const char *key, uint64_t n) {
  admin_key(b, first, key);
  buf_putf(b, "%llu", (unsigned long long)n);
}
void admin_time(buf *b, bool *first, const char *key, int64_t us) {
  if (us <= 0) return;
  tm_val t;
  char s[TM_TEXT_MAX];
  tm_from_unix_us(us - us % 1000, 0, &t);
  t.frac_digits = 3;
  admin_text(b, first, key, s, tm_format_datetime(&t, s));
}

static hdw_status node_text(void *user, val node, buf *out) {
  const hl7_node *n = hl7_of(node);
  hl7_slice s;
  (void)user;
  if (n->level != HL7_MSG) s = hl7_node_raw(n);
  else if (hl7_bytes(out->a, n->m, &s)) return HDW_E_NOMEM;
  json_write_str(out, s.p, s.len);
  return HDW_OK;
}
void admin_value(buf *b, bool *first, const char *key, val v) {
  json_wopts o = {.hl7 = node_text};
  size_t at = b->len;
  bool was = *first;
  admin_key(b, first, key);
  if (json_write(v, b, &o) && !b->status) b->len = at, *first = was; /* handles and the like: left out */
}

const char *admin_run_state(uint8_t s) {
  static const char *const n[] = {"", "queued", "running", "waiting", "parked", "done", "failed", "dead", "discarded"};
  return s <= RUN_DISCARDED ? n[s] : "";
}
const char *admin_input_state(uint8_t s) {
  static const char *const n[] = {"", "accepted", "unmatched", "rejected", "failed", "running"};
  return s <= INPUT_RUNNING ? n[s] : "";
}
const char *admin_delivery_state(uint8_t s) {
  static const char *const n[] = {"", "pending", "in flight", "delivered", "dead", "dead, holds its queue", "discarded"};
  return s <= DELIVERY_DISCARDED ? n[s] : "";
}
const char *admin_effect_state(uint8_t s) {
  static const char *const n[] = {"", "in flight", "done", "failed"};
  return s <= EFFECT_FAILED ? n[s] : "";
}
const char *admin_class(uint8_t c) {
  static const char *const n[] = {"", "transient", "permanent", "data", "ambiguous"};
  return c <= FAIL_AMBIGUOUS ? n[c] : "";
}

/* ---- status --------------------------------------------------------------------------------------------------------------------- */

static void listeners(admin_query *q) {
  buf *b = q->b;
  buf_puts(b, "[");
  for (uint32_t i = 0; i < q->ad->e->nlisteners; i++) {
    const eng_listener *l = &q->ad->e->listeners[i];
    bool f = true;
    buf_puts(b, i ? ",{" : "{");
    admin_text(b, &f, "name", l->name, strlen(l->name));
    admin_text(b, &f, "kind", l->kind, strlen(l->kind));
    admin_text(b, &f, "address", l->o->address, strlen(l->o->address));
    admin_number(b, &f, "port", engine_port(q->ad->e, l->name));
    if (l->mllp) {
      const mllp_stats *s = mllp_listener_stats(l->mllp);
      admin_number(b, &f, "open", s->open);
      admin_number(b, &f, "messages", s->frames);
      admin_number(b, &f, "junk_bytes", s->junk_bytes);
    } else if (l->http) {
      const http_stats *s = http_server_stats(l->http);
      admin_number(b, &f, "open", s->open);
      admin_number(b, &f, "messages", s->requests);
    }
    buf_puts(b, "}");
  }
  buf_puts(b, "]");
}

static void counts(buf *b, bool *f, const char *key, const uint64_t *n, unsigned len, const char *(*name)(uint8_t)) {
  bool first = true;
  admin_key(b, f, key);
  buf_puts(b, "{");
  for (unsigned i = 1; i < len; i++)
    if (name((uint8_t)i)[0] && n[i]) admin_number(b, &first, name((uint8_t)i), n[i]);
  buf_puts(b, "}");
}

static int status(admin_query *q) {
  buf *b = q->b;
  engine *e = q->ad->e;
  engine_status s;
  store_counts c;
  log_stats ls;
  term_info t;
  uint64_t used, map;
  bool f = true;
  engine_get_status(e, &s);
  store_get_counts(e->store, &c);
  log_get_stats(e->log, &ls);
  store_get_size(e->store, &used, &map);
  buf_puts(b, "{");
  admin_text(b, &f, "version", HDW_VERSION, strlen(HDW_VERSION));
  admin_text(b, &f, "state", s.draining ? "draining" : s.accepting ? "accepting" : "refusing", s.draining ? 8 : s.accepting ? 9 : 8);
  admin_time(b, &f, "started", s.started_us);
  admin_time(b, &f, "now", io_wall_us(e->io));
  if (e->o.kernel_holds) {
    static const char *const held[] = {"nothing", "files", "calls", "files, calls"};
    const char *text = held[*e->o.kernel_holds & 3];
    admin_text(b, &f, "sandbox", text, strlen(text));
  }
  admin_number(b, &f, "active_runs", s.active_runs);
  admin_number(b, &f, "ready_runs", s.ready_runs);
  admin_number(b, &f, "steps_in_flight", s.steps_in_flight);
  admin_number(b, &f, "deliveries_in_flight", s.deliveries_in_flight);
  admin_number(b, &f, "waiting_answers", s.waiting_answers);
  admin_number(b, &f, "held_lanes", s.held_lanes);
  counts(b, &f, "inputs", c.inputs_by_state, 8, admin_input_state);
  counts(b, &f, "runs", c.runs_by_state, 12, admin_run_state);
  counts(b, &f, "deliveries", c.deliveries_by_state, 8, admin_delivery_state);
  bool g = true;
  int64_t mono = io_mono_us(e->io);
  admin_key(b, &f, "recent");
  buf_puts(b, "{");
  admin_number(b, &g, "1m", metrics_inputs(e->metrics, mono, 60));
  admin_number(b, &g, "1h", metrics_inputs(e->metrics, mono, 3600));
  admin_number(b, &g, "24h", metrics_inputs(e->metrics, mono, 86400));
  buf_puts(b, "}");
  g = true;
  admin_key(b, &f, "since_start");
  buf_puts(b, "{");
  const struct { const char *k; uint64_t n; } n[] = {{"inputs", s.inputs}, {"duplicates", s.duplicates}, {"conflicts", s.conflicts}, {"refused", s.refused},
                                                   {"runs_done", s.runs_done}, {"runs_dead", s.runs_dead}, {"no_lane", s.no_lane}, {"steps", s.steps}, {"deliveries", s.deliveries}, {"echoes", s.echoes}, {"rescued", s.rescued}};
  for (size_t i = 0; i < sizeof n / sizeof *n; i++) admin_number(b, &g, n[i].k, n[i].n);
  buf_puts(b, "}");
  admin_number(b, &f, "term", term_get(e->store, q->a, &t) ? 0 : t.term);
  admin_number(b, &f, "log_sequence", ls.synced_seq);
  admin_number(b, &f, "log_sync_us_last", (uint64_t)ls.sync_us_last);
  admin_number(b, &f, "log_sync_us_max", (uint64_t)ls.sync_us_max);
  admin_number(b, &f, "store_bytes", used);
  admin_number(b, &f, "log_bytes", s.log_bytes);
  admin_number(b, &f, "pinned_bytes", s.pinned_bytes);
  admin_number(b, &f, "freed_bytes", s.retain_freed_bytes);
  admin_key(b, &f, "listeners");
  listeners(q);
  admin_key(b, &f, "modules");
  admin_modules_list(q);
  buf_puts(b, "}");
  return 200;
}

static int sinks(admin_query *q) {
  engine_sink s;
  int64_t now = io_mono_us(q->ad->io);
  buf_puts(q->b, "[");
  for (uint32_t i = 0; engine_sink_at(q->ad->e, i, &s); i++) {
    bool f = true;
    buf_puts(q->b, i ? ",{" : "{");
    admin_text(q->b, &f, "name", s.name, strlen(s.name));
    admin_text(q->b, &f, "kind", s.kind, strlen(s.kind));
    admin_text(q->b, &f, "state", s.state, strlen(s.state));
    cod_str name = cod_cstr(s.name);
    int64_t oldest = store_oldest_us(q->ad->e->store, ENG_PART, name, 2000);
    admin_number(q->b, &f, "queued", store_depth(q->ad->e->store, ENG_PART, name));
    if (oldest) admin_number(q->b, &f, "oldest_s", (uint64_t)((io_wall_us(q->ad->io) - oldest) / 1000000));
    admin_number(q->b, &f, "in_flight", s.in_flight);
    admin_number(q->b, &f, "steps", s.steps);
    admin_number(q->b, &f, "delivered", s.delivered);
    admin_number(q->b, &f, "failed", s.failed);
    admin_number(q->b, &f, "dead", s.dead);
    admin_number(q->b, &f, "room", s.room);
    if (s.requests) admin_number(q->b, &f, "requests", s.requests);
    if (s.requests) admin_number(q->b, &f, "throttled", s.throttled);
    if (s.retries_refused) admin_number(q->b, &f, "retries_refused", s.retries_refused);
    if (s.hold_until_us) admin_number(q->b, &f, "hold_ms", (uint64_t)(s.hold_until_us > now ? (s.hold_until_us - now) / 1000 : 0));
    if (s.last_error[0]) admin_text(q->b, &f, "last_error", s.last_error, strlen(s.last_error));
    if (s.login) {
      bool g = true;
      admin_key(q->b, &f, "login");
      buf_puts(q->b, "{");
      admin_text(q->b, &g, "kind", s.login, strlen(s.login));
      if (s.login_state) admin_text(q->b, &g, "state", s.login_state, strlen(s.login_state));
      if (s.login_until_us) admin_time(q->b, &g, "until", s.login_until_us);
      if (s.login_state) admin_number(q->b, &g, "asked", s.logins);
      if (s.login_failures) admin_number(q->b, &g, "failed", s.login_failures);
      if (s.login_error) admin_text(q->b, &g, "error", s.login_error, strlen(s.login_error));
      buf_puts(q->b, "}");
    }
    buf_puts(q->b, "}");
  }
  buf_puts(q->b, "]");
  return 200;
}

static int jwks(admin_query *q) {
  engine_jwks(q->ad->e, q->b);
  return 200;
}

static int limits(admin_query *q) {
  config_limits(q->ad->cfg, q->b);
  return 200;
}

enum { LOOK = ADMIN_VIEWER | ADMIN_OPERATOR | ADMIN_PHI | ADMIN_DEPLOYER };
const admin_view admin_views[] = {
    {"GET", "/status", LOOK | ADMIN_QUIET, status, 0},
    {"GET", "/messages", LOOK, admin_messages, 0},
    {"GET", "/messages/", LOOK, admin_message, 0},
    {"GET", "/runs", LOOK, admin_runs, 0},
    {"GET", "/runs/", LOOK, admin_run, 0},
    {"GET", "/trace/", LOOK, admin_trace, 0},
    {"GET", "/dead", LOOK, admin_dead, 0},
    {"GET", "/lanes", LOOK, admin_lanes, 0},
    {"GET", "/loss", LOOK | ADMIN_QUIET, admin_loss, 0},
    {"GET", "/sinks", LOOK | ADMIN_QUIET, sinks, 0},
    {"GET", "/jwks", LOOK | ADMIN_QUIET, jwks, 0},
    {"GET", "/cache", LOOK | ADMIN_QUIET, admin_cache, 0},
    {"POST", "/cache", ADMIN_OPERATOR, admin_cache_clear, 0},
    {"GET", "/limits", LOOK | ADMIN_QUIET, limits, 0},
    {"GET", "/modules", LOOK | ADMIN_QUIET, admin_modules, 0},
    {"GET", "/metrics", LOOK | ADMIN_QUIET | ADMIN_OPEN, admin_metrics, 0},
    {"GET", "/livez", LOOK | ADMIN_QUIET | ADMIN_OPEN, admin_livez, 0},
    {"GET", "/healthz", LOOK | ADMIN_QUIET | ADMIN_OPEN, admin_livez, 0},
    {"GET", "/readyz", LOOK | ADMIN_QUIET | ADMIN_OPEN, admin_readyz, 0},
    {"GET", "/audit", ADMIN_OPERATOR | ADMIN_PHI | ADMIN_DEPLOYER, admin_audit, 0},
    {"GET", "/log", ADMIN_PHI | ADMIN_QUIET, admin_log, 0},
    {"GET", "/log/segments", ADMIN_PHI | ADMIN_QUIET, admin_log_list, 0},
    {"GET", "/deployments", LOOK | ADMIN_QUIET, admin_deployments, 0},
    {"GET", "/sources", LOOK | ADMIN_QUIET, admin_sources, 0},
    {"POST", "/deploy", ADMIN_DEPLOYER, admin_deploy, MOD_MAX_BYTES},
    {"POST", "/rollback", ADMIN_DEPLOYER, admin_rollback, 0},
    {"POST", "/withdraw", ADMIN_DEPLOYER, admin_withdraw, 0},
    {"POST", "/fence", ADMIN_DEPLOYER, admin_fence, 0},
    {"POST", "/reload", ADMIN_DEPLOYER, admin_reload, 0},
    {"GET", "/forget", LOOK | ADMIN_QUIET, admin_kept, 0},
    {"POST", "/forget", ADMIN_DEPLOYER, admin_forget, 0},
    {"GET", "/select", LOOK, admin_select, 0},
    {"GET", "/reprocess", LOOK, admin_reprocess_plan, 0},
    {"POST", "/reprocess", ADMIN_OPERATOR, admin_reprocess, 0},
    {"POST", "/skip-lane", ADMIN_OPERATOR, admin_skip_lane, 0},
    {"POST", "/redrive", ADMIN_OPERATOR, admin_redrive, 0},
    {"POST", "/discard", ADMIN_OPERATOR, admin_discard, 0},
    {"POST", "/cancel", ADMIN_OPERATOR, admin_cancel, 0},
    {"POST", "/pause", ADMIN_OPERATOR, admin_pause, 0},
    {"POST", "/resume", ADMIN_OPERATOR, admin_resume, 0},
    {NULL, NULL, 0, NULL, 0},
};
