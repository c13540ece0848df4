/* dispatch_core.c - one attempt at an effect: mock or driver, its outcome; connections as the deployment binds them. */
#include <stdarg.h>
#include <stdio.h>
#include "engine_int.h"
#include "points.h"
#include "watch.h"

/* ---- attempts ------------------------------------------------------------------------------------------------------------------- */

uint8_t eng_class_of_status(int status) {
  if (status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501 && status != 505)) return FAIL_TRANSIENT;
  return FAIL_PERMANENT;
}

void eng_call_text(const eng_call *call, char out[ENG_TEXT]) { snprintf(out, ENG_TEXT, "%.39s: %.150s", call->code, call->message); }

void eng_call_fail(eng_call *call, uint8_t fail_class, int status, const char *code, const char *fmt, ...) {
  va_list ap;
  call->ok = false;
  call->status = status;
  call->fail_class = fail_class ? fail_class : eng_class_of_status(status);
  snprintf(call->code, sizeof call->code, "%.39s", code);
  va_start(ap, fmt);
  vsnprintf(call->message, sizeof call->message, fmt, ap);
  va_end(ap);
}

/* ---- places: attempts at once ---- */

uint32_t eng_conn_limit(const eng_conn *c) { return c->driver->in_order ? 1 : c->window ? c->window : (uint32_t)c->cfg->o.in_flight; }

uint32_t eng_conn_room(const eng_conn *c) {
  uint32_t n = c->first ? 0 : c->open ? 1 : eng_conn_limit(c);
  return n > c->places + c->marking ? n - c->places - c->marking : 0;
}

static void place(eng_call *call);

/* A place is free: who waited longest takes it; deliveries come behind. */
static void next_place(eng_conn *c) {
  while (c->first && c->places < eng_conn_limit(c)) {
    eng_call *call = c->first;
    c->first = call->next;
    if (!c->first) c->last = NULL;
    call->queued = false;
    place(call);
  }
  if (c->starved && eng_conn_room(c)) {
    c->starved = false;
    eng_out_new(c->e, c);
  }
}

static void leave(eng_call *call) {
  if (call->placed) call->c->places--;
  call->placed = false;
}

void eng_call_unkept(eng_call *call) {
  bool over = call->a->over_limit;
  eng_call_fail(call, over ? FAIL_PERMANENT : call->writes ? FAIL_AMBIGUOUS : FAIL_TRANSIENT, call->status, "HDW_E_NOMEM", "%s", over ? "the answer needs more memory than run_memory_bytes" : "the process had no memory for the answer");
}

/* A part of an answer would be taken for the whole: a search without memory found nothing. Of a delivery it is enough that it arrived. */
static bool in_part(const eng_call *call) {
  if (HDW_BROKEN("answer.in_part")) return false;
  if (call->ok) return call->a->failed && !call->delivery;
  return call->fail_class == FAIL_DATA && (call->a->failed || !strcmp(call->code, "HDW_E_NOMEM"));
}

void eng_call_done(eng_call *call) {
  eng_conn *c = call->c;
  call->active = false;
  HDW_POINT("call.answered");
  watch_call_done(call);
  io_timer_cancel(call->e->io, &call->soon);
  io_timer_cancel(call->e->io, &call->timer);
  if (c) {
    leave(call);
    if (!call->held) eng_conn_outcome(call);
  }
  if (!call->held && in_part(call)) eng_call_unkept(call);
  call->done(call, call->user);
  HDW_POINT("call.recorded");
  if (c) next_place(c);
}

static void on_soon(void *user) { eng_call_done((eng_call *)user); }

void eng_call_later(eng_call *call) {
  call->active = true;
  io_timer_set(call->e->io, &call->soon, 0, on_soon, call);
}

void eng_call_unsent(eng_call *call, uint8_t fail_class, const char *code, const char *text) {
  if (!call->a->failed && strcmp(code, "HDW_E_NOMEM") != 0) eng_call_fail(call, fail_class, 0, code, "%s", text);
  else if (call->a->over_limit) eng_call_fail(call, FAIL_PERMANENT, 0, "HDW_E_NOMEM", "the request needs more memory than run_memory_bytes");
  else eng_call_fail(call, FAIL_TRANSIENT, 0, "HDW_E_NOMEM", "the process is out of memory");
  call->driver = NULL;
  call->unasked = true;
  eng_call_later(call);
}

static void answer_after(eng_call *call, int64_t us) { io_timer_set(call->e->io, &call->soon, us > 0 ? us : 0, on_soon, call); }

/* How long the attempt must wait for its turn: requests per time, with one time's worth at once. */
static int64_t rate_wait(eng_conn *c) {
  int64_t now = io_mono_us(c->e->io), burst = c->rate_gap_now_us > c->rate_gap_us ? 0 : c->rate_burst_us;
  if (!c->rate_gap_us) return 0;
  if (c->rate_next_us < now) c->rate_next_us = now;
  int64_t wait = c->rate_next_us - now - burst;
  c->rate_next_us += c->rate_gap_now_us;
  return wait > 0 ? wait : 0;
}

int64_t eng_conn_connect_us(const eng_conn *c) {
  int64_t us = c->cfg->o.connect_timeout_ms * 1000;
  return us > 0 && us < c->timeout_us ? us : c->timeout_us;
}

int64_t eng_conn_turn_us(eng_conn *c) { return rate_wait(c); }

static void go(eng_call *call);

bool eng_call_held(eng_call *call) {
  int64_t wait;
  eng_conn *c = call->c;
  if (call->probe) call->probe = c->probing = false; /* it does not hold itself */
  if (eng_conn_hold(c, call->writes, &wait) == HOLD_NONE) {
    if (c->open) call->probe = c->probing = true;
    return false;
  }
  call->held = true;
  eng_call_later(call);
  return true;
}

static void on_turn(void *user) {
  eng_call *call = (eng_call *)user;
  if (!eng_call_held(call)) go(call);
}

static void place(eng_call *call) {
  eng_conn *c = call->c;
  c->places++;
  call->placed = true;
  if (eng_call_held(call)) return;
  int64_t wait = rate_wait(c);
  if (wait) io_timer_set(call->e->io, &call->soon, wait, on_turn, call);
  else go(call);
}

void eng_call_start(eng_call *call) {
  eng_conn *c = call->c;
  call->active = true;
  call->ok = call->sent = call->held = call->judged = call->unasked = call->probe = call->placed = call->once = call->left = false;
  call->result = VAL_NONE;
  call->driver = NULL;
  call->a->failed = call->a->over_limit = false;
  if (HDW_BROKEN("key.changes") && call->attempt > 1) call->idem[0] = 'x';
  if (!c->first && (c->places < eng_conn_limit(c) || HDW_BROKEN("places.many"))) {
    place(call);
    return;
  }
  call->queued = true;
  call->next = NULL;
  if (c->last) c->last->next = call;
  else c->first = call;
  c->last = call;
}

static void go(eng_call *call) {
  engine *e = call->e;
  watch_call_start(call);
  if (e->o.mock) {
    char op[96];
    snprintf(op, sizeof op, "%.40s.%.47s", call->c->driver->kind, call->op);
    engine_effect f = {call->c->name, op, call->workflow ? call->workflow : "", call->path, call->run, call->delivery, call->attempt, call->idem, call->request, call->c->timeout_us};
    engine_mock_answer ans = {0};
    switch (e->o.mock(e->o.mock_user, &f, call->a, &ans)) {
    case MOCK_VALUE:
      call->ok = true;
      call->result = ans.value;
      answer_after(call, ans.delay_us);
      return;
    case MOCK_ERROR: {
      char code[16];
      snprintf(code, sizeof code, "%d", ans.status);
      eng_call_fail(call, ans.fail_class, ans.status, ans.code ? ans.code : code, "%s", ans.message ? ans.message : "the mock answers with this error");
      call->retry_after_us = ans.retry_after_us;
      answer_after(call, ans.delay_us);
      return;
    }
    case MOCK_PASS: break;
    }
  }
  if (e->o.mock_only) {
    eng_call_fail(call, FAIL_PERMANENT, 0, "no_mock", "there is no mock for %s.%s, and nothing outside can be reached from here", call->c->name, call->op);
    eng_call_later(call);
    return;
  }
  HDW_POINT("call.before_send");
  call->c->driver->start(call);
  HDW_POINT("call.sent");
}

void eng_call_cancel(eng_call *call) {
  io_timer_cancel(call->e->io, &call->soon);
  io_timer_cancel(call->e->io, &call->timer);
  eng_conn *c = call->c;
  if (call->queued) {
    for (eng_call **at = &c->first, *before = NULL; *at; before = *at, at = &(*at)->next) {
      if (*at != call) continue;
      *at = call->next;
      if (c->last == call) c->last = before;
      break;
    }
    call->queued = false;
  }
  if (call->active && call->driver && c->driver->cancel) c->driver->cancel(call);
  call->active = false;
  if (!c) return;
  leave(call);
  if (call->probe) { /* no outcome: another one is the probe */
    call->probe = c->probing = false;
    if (!c->e->closing) io_timer_set(c->e->io, &c->timer, 1000000, eng_conn_on_timer, c);
  }
  if (!c->e->closing) next_place(c);
}

/* ---- arguments -------------------------------------------------------------------------------------------------------------------- */

const char *eng_arg_bytes(arena *a, val v, eng_escape esc, size_t *len) {
  buf b;
  val s;
  buf_init(&b, a, 64 << 20);
  uint32_t n = v.tag == VAL_TPL ? v.len : 1;
  for (uint32_t i = 0; i < n; i++) {
    val part = v.tag == VAL_TPL ? v.u.v[i] : v;
    bool literal = v.tag == VAL_TPL && i % 2 == 0;
    if (part.tag == VAL_EMPTY) continue;
    if (val_to_str(a, part, &s) || s.tag != VAL_STR) return NULL;
    if (esc && !literal) esc(&b, s.u.s, s.len);
    else buf_put(&b, s.u.s, s.len);
  }
  *len = b.len;
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

const char *eng_arg_text(arena *a, val v, eng_escape esc) {
  size_t len = 0;
  const char *s = eng_arg_bytes(a, v, esc, &len);
  return s && memchr(s, 0, len) ? NULL : s; /* cut off at the NUL it would be another text */
}

const char *eng_secret(engine *e, val ref) {
  arena a;
  arena_init(&a, e->mem, 65536);
  const char *name = jv_text(&a, jv_get(ref, "$secret"));
  const config_secret *s = name ? config_find_secret(e->o.config, name) : NULL;
  const char *value = s ? s->value : NULL;
  arena_free(&a);
  return value;
}

/* ---- connections -------------------------------------------------------------------------------------------------------------------- */

/* Stands in for every kind when only mocks answer (hdwc). */
static const eng_driver mock_driver = {.kind = "mock"};

static const eng_driver *find_driver(const engine *e, const char *kind) {
  for (const eng_driver *const *d = e->o.drivers; d && *d; d++)
    if (!strcmp((*d)->kind, kind)) return *d;
  return NULL;
}

egress_policy eng_egress(const eng_conn *c) { return (egress_policy){c->grants, c->ngrants, c->private_ok}; }

bool eng_egress_ok(const eng_conn *c, const io_addr *a) {
  egress_policy p = eng_egress(c);
  return egress_allowed(&p, a);
}

static int64_t ms_of(val v, int64_t otherwise) {
  int64_t ms;
  return jv_int(jv_get(v, "$ms"), &ms) && ms >= 0 ? ms * 1000 : otherwise;
}

/* hours('Mon-Fri 08:00-18:00', zone: 'Europe/Berlin'); without a zone UTC. */
static hdw_status opening_hours(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  val args = jv_get(jv_get(c->args, "hours"), "args");
  const config_list *closed = &c->cfg->o.closed_on;
  if (args.tag != VAL_OBJ && !closed->n) return HDW_OK;
  const char *when = args.tag == VAL_OBJ ? jv_text(&e->a, jv_get(args, "when")) : "00:00-24:00", *name = jv_text(&e->a, jv_get(args, "zone"));
  zone *z = NULL;
  size_t at = 0;
  c->hours = (hours *)arena_zalloc(&e->a, 1, sizeof *c->hours);
  if (!c->hours) return HDW_E_NOMEM;
  if (!when || hours_parse(when, c->hours, &at)) {
    snprintf(text, ENG_TEXT, "hours: '%.60s' is not understood at character %zu; 'Mon-Fri 08:00-18:00, Sat 09:00-12:00' is the form", when ? when : "", at + 1);
    return HDW_E_INVALID;
  }
  if (name && zone_load(e->io, &e->a, name, &z)) {
    snprintf(text, ENG_TEXT, "hours: there is no time zone '%.60s'", name);
    return HDW_E_INVALID;
  }
  c->hours->z = z;
  for (unsigned i = 0; i < closed->n; i++)
    if (hours_close_on(c->hours, closed->v[i])) {
      snprintf(text, ENG_TEXT, "closed_on: '%.40s' is no day; 2026-12-25 is one, and 12-25 every year's", closed->v[i]);
      return HDW_E_INVALID;
    }
  return HDW_OK;
}

static void common_args(eng_conn *c) {
  val retry = jv_get(jv_get(c->args, "retry"), "args");
  int64_t times;
  c->timeout_us = c->cfg->has_timeout ? c->cfg->o.timeout_ms * 1000 : ms_of(jv_get(c->args, "timeout"), c->cfg->o.timeout_ms * 1000);
  c->retry_times = jv_int(jv_get(retry, "times"), &times) && times >= 0 && times <= 1000 ? (uint32_t)times : 0;
  c->retry_from_us = ms_of(jv_get(retry, "from"), 500000);
  c->retry_to_us = ms_of(jv_get(retry, "to"), 60000000);
  val rate = jv_get(jv_get(c->args, "rate"), "args"), breaker = jv_get(jv_get(c->args, "breaker"), "args");
  int64_t n, per = ms_of(jv_get(rate, "per"), 1000000);
  if (jv_int(jv_get(rate, "requests"), &n) && n > 0 && n <= 1000000 && per > 0) {
    c->rate_gap_us = per / n > 0 ? per / n : 1;
    c->rate_burst_us = per - c->rate_gap_us;
    c->rate_gap_now_us = c->rate_gap_us;
  }
  /* Every connection has one; failures: 0 declares none. */
  c->breaker_failures = 5;
  if (jv_int(jv_get(breaker, "failures"), &n) && n >= 0 && n <= 1000000) c->breaker_failures = (uint32_t)n;
  c->breaker_cooldown_us = ms_of(jv_get(breaker, "cooldown"), 30000000);
  c->breaker_quick_us = ms_of(jv_get(breaker, "cooldown"), 5000000);
}

static hdw_status grants(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  c->private_ok = c->cfg->o.private_networks;
  c->ngrants = c->cfg->networks.n;
  c->grants = (net_cidr *)arena_zalloc(&e->a, c->ngrants ? c->ngrants : 1, sizeof *c->grants);
  if (!c->grants) return HDW_E_NOMEM;
  for (unsigned i = 0; i < c->ngrants; i++)
    if (net_cidr_parse(c->cfg->networks.v[i], &c->grants[i])) {
      snprintf(text, ENG_TEXT, "grant.networks: '%.60s' is no network (10.0.0.0/8)", c->cfg->networks.v[i]);
      return HDW_E_INVALID;
    }
  return HDW_OK;
}

static bool add(engine *e, eng_conn *c) {
  eng_conn **p = (eng_conn **)arena_zalloc(&e->a, e->nconns + 1, sizeof *p);
  if (!p) return false;
  if (e->nconns) memcpy(p, e->conns, e->nconns * sizeof *p);
  p[e->nconns] = c;
  e->conns = p;
  e->nconns++;
  return true;
}

hdw_status eng_conn_setup(engine *e, eng_app *app, const meta_conn *mc, eng_conn **out, char text[ENG_TEXT]) {
  text[0] = 0;
  eng_conn *c = eng_conn_find(e, mc->name, strlen(mc->name));
  if (c) {
    *out = c;
    if (c->driver == &mock_driver || !strcmp(c->driver->kind, mc->kind)) return HDW_OK;
    snprintf(text, ENG_TEXT, "declared as %.40s in one module and as %.40s in another", c->driver->kind, mc->kind);
    return HDW_E_INVALID;
  }
  c = (eng_conn *)arena_zalloc(&e->a, 1, sizeof *c);
  if (!c) return HDW_E_NOMEM;
  *out = c;
  c->e = e, c->app = app, c->name = mc->name, c->was = mc->was;
  c->cfg = config_find_conn(e->o.config, mc->name);
  if (!c->cfg) {
    snprintf(text, ENG_TEXT, "not bound");
    return HDW_E_NOTFOUND;
  }
  if (config_resolve(e->o.config, &app->meta, mc->args, &c->args)) {
    if (!e->o.mock_only) {
      snprintf(text, ENG_TEXT, "a setting that it needs is not bound");
      return HDW_E_NOTFOUND;
    }
    c->args = mc->args;
  }
  hdw_status s = eng_conn_address(e, c, mc->kind);
  if (s) return s;
  common_args(c);
  s = opening_hours(e, c, text);
  if (s) return s;
  if (e->o.mock_only) {
    eng_driver *d = (eng_driver *)arena_zalloc(&e->a, 1, sizeof *d);
    if (!d) return HDW_E_NOMEM;
    *d = mock_driver;
    d->kind = mc->kind;
    d->in_order = !strcmp(mc->kind, "mllp");
    c->driver = d;
    c->hold_dead = c->cfg->o.on_dead[0] ? !strcmp(c->cfg->o.on_dead, "hold") : d->in_order;
    return add(e, c) ? HDW_OK : HDW_E_NOMEM;
  }
  c->driver = find_driver(e, mc->kind);
  if (!c->driver) {
    snprintf(text, ENG_TEXT, "connections of kind %.40s are not available in this version", mc->kind);
    return HDW_E_UNSUPPORTED;
  }
  c->hold_dead = c->cfg->o.on_dead[0] ? !strcmp(c->cfg->o.on_dead, "hold") : !strcmp(mc->kind, "mllp");
  s = grants(e, c, text);
  if (!s) s = c->driver->setup(e, c, text);
  if (s) {
    if (!text[0]) snprintf(text, ENG_TEXT, "%s", hdw_status_text(s));
    return s;
  }
  return add(e, c) ? HDW_OK : HDW_E_NOMEM;
}

void eng_conn_close(eng_conn *c) {
  io_timer_cancel(c->e->io, &c->timer);
  io_timer_cancel(c->e->io, &c->pump);
  io_timer_cancel(c->e->io, &c->wake);
  eng_out_close(c);
  if (c->driver->close) c->driver->close(c);
}
