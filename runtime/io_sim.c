#include "io_sim_int.h"
#include <string.h>

static sim *of(io *x) { return (sim *)x; }

/* ---- drawing, events ---- */

/* xoroshiro128+ (Blackman, Vigna), seeded by splitmix64. */
uint64_t sim_draw(sim *x) {
  uint64_t a = x->rng[0], b = x->rng[1], r = a + b;
  b ^= a;
  x->rng[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
  x->rng[1] = b << 37 | b >> 27;
  return r;
}

static uint64_t split_mix(uint64_t *s) {
  uint64_t z = (*s += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

uint64_t sim_below(sim *x, uint64_t n) { return x->opts.orderly || n == 0 ? 0 : (sim_draw(x) >> 16) % (n + 1); }

void sim_trace(sim *x, uint64_t v) { x->trace = (x->trace ^ v) * 0x100000001b3u + (x->trace >> 29); }

static void heap_set(sim *x, io_timer *t) {
  x->tie++;
  t->tie = x->opts.orderly ? x->tie : (sim_draw(x) >> 24 << 24 | (x->tie & 0xffffff));
  io_heap_add(&x->heap, t);
}

void sim_event(sim *x, io_timer *t, int64_t delay_us, void (*fn)(void *), void *user) {
  if (t->set) return;
  t->fn = fn, t->user = user;
  t->at_us = x->now_us + delay_us;
  heap_set(x, t);
}

static int64_t some_delay(sim *x) { return (int64_t)sim_below(x, (uint64_t)x->opts.max_delay_us); }

hdw_status sim_fail(sim *x, io_sim_op op) {
  uint64_t n = ++x->calls[op];
  const sim_fault *f = &x->faults[op];
  if (!f->at || n < f->at) return HDW_OK;
  return n == f->at || f->sticky ? f->status : HDW_OK;
}

void *sim_alloc(sim *x, size_t len) {
  void *p = x->base.mem->get(x->base.mem, len);
  if (p) memset(p, 0, len);
  return p;
}

void sim_put(sim *x, void *p, size_t len) {
  if (p) x->base.mem->put(x->base.mem, p, len);
}

/* Runs the first event when it is due by until. */
static bool step(sim *x, int64_t until) {
  io_timer *t = io_heap_first(&x->heap);
  if (!t || t->at_us > until || x->stop) return false;
  if (t->at_us > x->now_us) x->now_us = t->at_us;
  io_heap_remove(&x->heap, t);
  x->events++;
  sim_trace(x, (uint64_t)x->now_us);
  t->fn(t->user);
  return true;
}

static hdw_status sim_run(io *b) {
  sim *x = of(b);
  int64_t until = x->opts.limit_us ? x->opts.limit_us : INT64_MAX;
  x->stop = false;
  while (step(x, until)) {}
  return !x->stop && io_heap_first(&x->heap) ? HDW_E_TIMEOUT : HDW_OK;
}

unsigned io_sim_step(io *b, unsigned n) {
  unsigned k = 0;
  of(b)->stop = false;
  while (k < n && step(of(b), INT64_MAX)) k++;
  return k;
}

void io_sim_advance(io *b, int64_t us) {
  sim *x = of(b);
  int64_t until = x->now_us + us;
  x->stop = false;
  while (step(x, until)) {}
  if (!x->stop) x->now_us = until;
}

/* ---- clocks, timers, tasks ---- */

static int64_t sim_mono(io *b) { return of(b)->now_us; }
static int64_t sim_wall(io *b) { return of(b)->wall_us + of(b)->now_us; }

static void sim_random(io *b, void *p, size_t len) {
  uint8_t *s = (uint8_t *)p;
  while (len) {
    uint64_t v = sim_draw(of(b));
    size_t n = len < 8 ? len : 8;
    memcpy(s, &v, n);
    s += n, len -= n;
  }
}

static void sim_timer_set(io *b, io_timer *t) { heap_set(of(b), t); }
static void sim_timer_cancel(io *b, io_timer *t) { io_heap_remove(&of(b)->heap, t); }

static void pump(void *user) {
  sim *x = (sim *)user;
  io_task *t = x->post_head;
  if (!t) return;
  x->post_head = t->next;
  if (!x->post_head) x->post_tail = NULL;
  else sim_event(x, &x->pump, some_delay(x), pump, x);
  t->fn(t->user);
}

static void sim_post(io *b, io_task *t) {
  sim *x = of(b);
  t->next = NULL;
  if (x->post_tail) x->post_tail->next = t;
  else x->post_head = t;
  x->post_tail = t;
  sim_event(x, &x->pump, some_delay(x), pump, x);
}

static void sim_unpost(io *b, io_task *t) {
  sim *x = of(b);
  io_task *before = NULL;
  for (io_task *i = x->post_head; i; before = i, i = i->next) {
    if (i != t) continue;
    if (before) before->next = t->next;
    else x->post_head = t->next;
    if (x->post_tail == t) x->post_tail = before;
    return;
  }
}

static hdw_status sim_signal(io *b, int signo, void (*fn)(int, void *), void *user) {
  if (signo <= 0 || signo > 64) return HDW_E_INVALID;
  of(b)->signals[signo].fn = fn;
  of(b)->signals[signo].user = user;
  return HDW_OK;
}

void io_sim_raise(io *b, int signo) {
  if (signo > 0 && signo <= 64 && of(b)->signals[signo].fn) of(b)->signals[signo].fn(signo, of(b)->signals[signo].user);
}

static void sim_stop(io *b) { of(b)->stop = true; }

static void sim_exit(io *b, int code) {
  if (of(b)->exit_code < 0) of(b)->exit_code = code;
  of(b)->stop = true;
  if (of(b)->died) io_sim_crash(b, (sim_draw(of(b)) >> 40 & 1) != 0);
}

void io_sim_world(io *b, bool on) { of(b)->world = on; }
bool io_sim_dead(const io *b) { return ((const sim *)b)->dead; }
void io_sim_on_death(io *b, void (*died)(void *), void *user) { of(b)->died = died, of(b)->died_user = user; }
void io_sim_on_net(io *b, io_sim_net_fn fn, void *user) { of(b)->net_fn = fn, of(b)->net_user = user; }
void io_sim_set_clock(io *b, int64_t by_us) { of(b)->wall_us += by_us; }
void io_sim_note(io *b, uint64_t v) { sim_trace(of(b), v); }

void io_sim_crash(io *b, bool power) {
  sim *x = of(b);
  if (x->dead) return;
  x->dead = x->stop = true;
  sim_fs_image(x, power);
  if (x->died) x->died(x->died_user);
}

void io_sim_reboot(io *b) {
  sim *x = of(b);
  if (!x->dead) return;
  sim_fs_reboot(x);
  x->dead = false;
  x->exit_code = -1;
  x->nworkers = 0;
  memset(x->faults, 0, sizeof x->faults);
}

int io_sim_exit_code(const io *b) { return ((const sim *)b)->exit_code; }

uint64_t io_sim_trace(const io *b, uint64_t *events) {
  const sim *x = (const sim *)b;
  if (events) *events = x->events;
  return x->trace;
}

void io_sim_fault(io *b, io_sim_op op, uint64_t nth, hdw_status status, bool sticky) {
  sim *x = of(b);
  x->faults[op] = (sim_fault){status ? x->calls[op] + nth : 0, status, sticky};
}

uint64_t io_sim_calls(const io *b, io_sim_op op) { return ((const sim *)b)->calls[op]; }

/* ---- requests that answer later: names and HTTP ---- */

struct sim_req {
  sim_req *next;
  sim *x;
  size_t size;       /* of the block: the copy of the request lies behind the struct */
  uint64_t id;
  io_timer ev, deadline;
  io_http_cb http_cb;
  io_resolve_cb res_cb;
  void *user;
  io_http_req req;
  io_http_res res;
  char *answer;      /* block with the copied answer */
  size_t answer_size;
  uint16_t port;
};

static sim_req *req_find(sim *x, uint64_t id) {
  for (sim_req *r = x->reqs; r; r = r->next)
    if (r->id == id) return r;
  return NULL;
}

static void req_free(sim_req *r) {
  sim *x = r->x;
  for (sim_req **p = &x->reqs; *p; p = &(*p)->next)
    if (*p == r) {
      *p = r->next;
      break;
    }
  io_heap_remove(&x->heap, &r->ev);
  io_heap_remove(&x->heap, &r->deadline);
  sim_put(x, r->answer, r->answer_size);
  sim_put(x, r, r->size);
}

static sim_req *req_new(sim *x, size_t extra, void *user, uint64_t *id) {
  sim_req *r = (sim_req *)sim_alloc(x, sizeof *r + extra);
  if (!r) return NULL;
  r->x = x, r->size = sizeof *r + extra, r->user = user;
  r->id = ++x->next_id;
  r->next = x->reqs;
  x->reqs = r;
  if (id) *id = r->id;
  return r;
}

static void sim_cancel(io *b, uint64_t id) {
  sim_req *r = req_find(of(b), id);
  if (!r) return;
  req_free(r);
  if (of(b)->cancel_fn) of(b)->cancel_fn(id, of(b)->cancel_user);
}

bool io_sim_http_waits(io *b, uint64_t id) { return req_find(of(b), id) != NULL; }
void io_sim_on_cancel(io *b, void (*fn)(uint64_t, void *), void *user) { of(b)->cancel_fn = fn, of(b)->cancel_user = user; }

static void resolve_answer(void *user) {
  sim_req *r = (sim_req *)user;
  sim *x = r->x;
  const char *host = (const char *)(r + 1);
  io_addr list[16];
  unsigned n = 0;
  memset(list, 0, sizeof list);
  char text[300] = "";
  if (strlen(host) < 256) {
    memcpy(text, host, strlen(host) + 1);
    memcpy(text + strlen(text), ":0", 3);
  }
  if (io_addr_parse(text, &list[0]) == HDW_OK) n = 1;
  else if (x->name_fn) n = x->name_fn(host, list, 16, x->name_user);
  for (unsigned i = 0; i < n; i++) list[i].port = r->port;
  io_resolve_cb cb = r->res_cb;
  void *u = r->user;
  req_free(r);
  cb(n ? HDW_OK : HDW_E_NOTFOUND, list, n, u);
}

static void resolve_late(void *user) {
  sim_req *r = (sim_req *)user;
  io_resolve_cb cb = r->res_cb;
  void *u = r->user;
  req_free(r);
  cb(HDW_E_TIMEOUT, NULL, 0, u);
}

static hdw_status sim_resolve(io *b, const char *host, uint16_t port, int64_t timeout_us, io_resolve_cb cb, void *user, uint64_t *id) {
  sim *x = of(b);
  size_t n = strlen(host);
  if (n == 0 || n > 255) return HDW_E_INVALID;
  sim_req *r = req_new(x, n + 1, user, id);
  if (!r) return HDW_E_NOMEM;
  memcpy(r + 1, host, n + 1);
  r->res_cb = cb, r->port = port;
  sim_event(x, &r->ev, some_delay(x), resolve_answer, r);
  if (timeout_us > 0) sim_event(x, &r->deadline, timeout_us, resolve_late, r);
  return HDW_OK;
}

void io_sim_on_resolve(io *b, io_sim_name_fn fn, void *user) { of(b)->name_fn = fn, of(b)->name_user = user; }
void io_sim_on_http(io *b, io_sim_http_fn fn, void *user) { of(b)->http_fn = fn, of(b)->http_user = user; }

/* Copies strings and bytes into one block: first counts (p NULL), then copies. */
typedef struct copier {
  char *p;
  size_t used;
} copier;

static void *copy(copier *c, const void *s, size_t n) {
  size_t at = (c->used + 7) & ~(size_t)7;
  c->used = at + n;
  if (!c->p) return NULL;
  if (n) memcpy(c->p + at, s, n);
  return c->p + at;
}

static const char *copy_str(copier *c, const char *s) { return (const char *)copy(c, s ? s : "", s ? strlen(s) + 1 : 1); }

static const io_http_header *copy_headers(copier *c, const io_http_header *h, unsigned n) {
  io_http_header *out = (io_http_header *)copy(c, h, n * sizeof *h);
  for (unsigned i = 0; i < n; i++) {
    const char *name = copy_str(c, h[i].name), *value = copy_str(c, h[i].value);
    if (out) out[i] = (io_http_header){name, value};
  }
  return out;
}

static void copy_req(copier *c, const io_http_req *in, io_http_req *out) {
  io_http_req r = *in;
  r.method = copy_str(c, in->method);
  r.host = copy_str(c, in->host);
  r.target = copy_str(c, in->target);
  r.headers = copy_headers(c, in->headers, in->nheaders);
  r.body = copy(c, in->body, in->body_len);
  r.pin = (const io_addr *)copy(c, in->pin, in->npin * sizeof *in->pin);
  if (c->p) *out = r;
}

static void copy_res(copier *c, const io_http_res *in, io_http_res *out) {
  io_http_res r = *in;
  r.headers = copy_headers(c, in->headers, in->nheaders);
  r.body = copy(c, in->body, in->body_len);
  r.error = copy_str(c, in->error);
  if (c->p) *out = r;
}

static void http_finish(sim_req *r, const io_http_res *res) {
  io_http_cb cb = r->http_cb;
  void *u = r->user;
  char *answer = r->answer;
  size_t size = r->answer_size;
  sim *x = r->x;
  r->answer = NULL;
  req_free(r);
  cb(res, u);
  sim_put(x, answer, size);
}

static void http_failed(sim_req *r, hdw_status s, bool sent) {
  io_http_res res = {.status = s, .sent = sent, .error = hdw_status_text(s)};
  http_finish(r, &res);
}

static void http_late(void *user) { http_failed((sim_req *)user, HDW_E_TIMEOUT, true); }

static void http_answer(void *user) {
  sim_req *r = (sim_req *)user;
  io_http_res res = r->res;
  size_t head = 0;
  for (unsigned i = 0; i < res.nheaders; i++) head += strlen(res.headers[i].name) + strlen(res.headers[i].value) + 4;
  if ((r->req.max_body_bytes && res.body_len > r->req.max_body_bytes) || (r->req.max_header_bytes && head > r->req.max_header_bytes))
    http_failed(r, HDW_E_LIMIT, true);
  else http_finish(r, &res);
}

static void http_handle(void *user) {
  sim_req *r = (sim_req *)user;
  if (!r->x->http_fn) http_failed(r, HDW_E_UNSUPPORTED, false);
  else r->x->http_fn(&r->x->base, r->id, &r->req, r->x->http_user);
}

static hdw_status sim_http(io *b, const io_http_req *req, io_http_cb cb, void *user, uint64_t *id) {
  sim *x = of(b);
  if (req->timeout_us <= 0) return HDW_E_INVALID;
  copier c = {NULL, 0};
  copy_req(&c, req, NULL);
  sim_req *r = req_new(x, c.used + 16, user, id);
  if (!r) return HDW_E_NOMEM;
  c = (copier){(char *)(r + 1), 0};
  copy_req(&c, req, &r->req);
  r->http_cb = cb;
  sim_event(x, &r->ev, some_delay(x), http_handle, r);
  sim_event(x, &r->deadline, req->timeout_us, http_late, r);
  return HDW_OK;
}

void io_sim_http_reply(io *b, uint64_t id, const io_http_res *res, int64_t delay_us) {
  sim *x = of(b);
  sim_req *r = req_find(x, id);
  if (!r || r->answer) return;
  copier c = {NULL, 0};
  copy_res(&c, res, NULL);
  r->answer_size = c.used + 16;
  r->answer = (char *)sim_alloc(x, r->answer_size);
  if (r->answer) {
    c = (copier){r->answer, 0};
    copy_res(&c, res, &r->res);
  } else {
    r->answer_size = 0;
    r->res = (io_http_res){.status = HDW_E_NOMEM, .sent = true, .error = ""};
  }
  sim_event(x, &r->ev, (delay_us > 0 ? delay_us : 0) + some_delay(x), http_answer, r);
}

/* ---- workers: a step is an event ---- */

struct sim_worker {
  io_worker base;
  void (*step)(void *);
  void *user;
  bool slow;
  io_timer ev;
};

static void worker_step(void *user) {
  sim_worker *w = (sim_worker *)user;
  w->step(w->user);
}

static hdw_status sim_worker_start(io *b, void (*fn)(void *), void *user, io_worker **out) {
  sim_worker *w = (sim_worker *)sim_alloc(of(b), sizeof *w);
  *out = NULL;
  if (!w) return HDW_E_NOMEM;
  w->base.io = b;
  w->step = fn, w->user = user;
  w->slow = of(b)->nworkers++ > 0;
  *out = &w->base;
  return HDW_OK;
}

static void sim_worker_wake(io_worker *b) {
  sim_worker *w = (sim_worker *)b;
  sim *x = of(b->io);
  int64_t slow = w->slow ? (int64_t)sim_below(x, (uint64_t)x->opts.slow_worker_us) : 0;
  sim_event(x, &w->ev, some_delay(x) + slow, worker_step, b);
}

static void sim_worker_wait(io_worker *b) {
  sim_worker *w = (sim_worker *)b;
  if (!w->ev.set) return;
  io_heap_remove(&of(b->io)->heap, &w->ev);
  w->step(w->user);
}

static void sim_worker_stop(io_worker *b) {
  sim_worker *w = (sim_worker *)b;
  sim *x = of(b->io);
  io_heap_remove(&x->heap, &w->ev);
  w->step(w->user);
  sim_put(x, w, sizeof *w);
}

/* ---- making and freeing ---- */

static const io_ops sim_ops = {
    .mono_us = sim_mono, .wall_us = sim_wall, .random = sim_random, .timer_set = sim_timer_set, .timer_cancel = sim_timer_cancel,
    .post = sim_post, .unpost = sim_unpost, .signal = sim_signal, .run = sim_run, .stop = sim_stop, .exit = sim_exit,
    .listen = sim_listen, .listener_addr = sim_listener_addr, .listener_pause = sim_listener_pause, .listener_close = sim_listener_close,
    .connect = sim_connect, .sock_on = sim_sock_on, .read = sim_read, .write = sim_write, .shutdown = sim_shutdown, .close = sim_close,
    .peer = sim_peer, .cred = sim_cred,
    .open = sim_open, .fclose = sim_fclose, .pread = sim_pread, .pwritev = sim_pwritev, .append = sim_append, .sync = sim_sync,
    .alloc = sim_falloc, .truncate = sim_truncate, .stat = sim_stat, .rename = sim_rename, .unlink = sim_unlink, .mkdir = sim_mkdir,
    .list = sim_list, .sync_dir = sim_sync_dir, .space = sim_space,
    .resolve = sim_resolve, .http = sim_http, .cancel = sim_cancel,
    .worker_start = sim_worker_start, .worker_wake = sim_worker_wake, .worker_wait = sim_worker_wait, .worker_stop = sim_worker_stop,
};

hdw_status io_sim_new(mem *m, const io_sim_opts *opts, io **out) {
  *out = NULL;
  sim *x = (sim *)m->get(m, sizeof *x);
  if (!x) return HDW_E_NOMEM;
  memset(x, 0, sizeof *x);
  x->base = (io){.ops = &sim_ops, .mem = m, .sim = true};
  x->opts = *opts;
  if (!x->opts.max_delay_us) x->opts.max_delay_us = 200;
  x->wall_us = opts->wall_start_us ? opts->wall_start_us : (int64_t)1767225600 * 1000000;
  uint64_t seed = opts->seed;
  x->rng[0] = split_mix(&seed);
  x->rng[1] = split_mix(&seed);
  x->exit_code = -1;
  x->next_port = 40000;
  x->fs.free_bytes = (uint64_t)1 << 40;
  *out = &x->base;
  return HDW_OK;
}

void io_sim_free(io *b) {
  if (!b) return;
  sim *x = of(b);
  while (x->reqs) req_free(x->reqs);
  sim_socks_free(x);
  sim_fs_free(x);
  sim_put(x, x, sizeof *x);
}
