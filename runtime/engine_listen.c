/* engine_listen.c - sockets to inputs and back: MLLP, opening, certificates, what operators see. HTTP is in engine_http.c. */
#include <stdio.h>
#include "engine_int.h"

/* ---- MLLP ------------------------------------------------------------------------------------------------------------------------ */

void *eng_wait_new(eng_listener *l, size_t size) {
  eng_wait *w = (eng_wait *)eng_get(l->e, size);
  if (!w) return NULL;
  w->size = size, w->next = l->waits;
  if (w->next) w->next->prev = w;
  l->waits = w;
  return w;
}

void eng_wait_end(eng_listener *l, eng_wait *w) {
  if (w->next) w->next->prev = w->prev;
  *(w->prev ? &w->prev->next : &l->waits) = w->next;
  eng_put(l->e, w, w->size);
}

typedef struct mllp_wait {
  eng_wait wait;
  eng_listener *l;
  mllp_token t;
  bool committed, refused;   /* MLLP v2: the commit block was positive, negative */
} mllp_wait;

/* Release 2: a commit block goes before everything else; a negative one is all that is said, the sender keeps the message (H-9, H-10). */
static void commit(mllp_wait *w, bool ok) {
  if (w->l->o->mllp_version != 2 || w->committed || w->refused) return;
  *(ok ? &w->committed : &w->refused) = true;
  (void)mllp_commit(w->l->mllp, w->t, ok);
}

/* No answer, and nothing more of this connection: its sender comes again. In release 2 it is told that the message was not taken. */
static void give_up(mllp_listener *m, const eng_listener *l, mllp_token t) {
  if (l->o->mllp_version == 2) (void)mllp_commit(m, t, false);
  (void)mllp_reply(m, t, NULL, 0);
  mllp_hangup(m, t);
}

static void on_mllp_reply(void *user, const engine_reply *r) {
  mllp_wait *w = (mllp_wait *)user;
  mllp_listener *m = w->l->mllp;
  if (m && r->commit) commit(w, r->stored);
  else if (m && r->extra) {
    if (r->len) (void)mllp_send(m, w->t, r->p, r->len);
  } else if (m) {
    commit(w, false); /* nobody said that it is stored */
    hdw_status s = mllp_reply(m, w->t, r->p, w->refused ? 0 : r->len);
    if (s == HDW_E_DATA) (void)mllp_reply(m, w->t, NULL, 0);
    else if (s == HDW_E_NOMEM) give_up(m, w->l, w->t); /* or all behind it would wait for ever */
  }
  if (m && r->close) mllp_hangup(m, w->t);
  if (r->last) eng_wait_end(w->l, &w->wait);
}

static void on_frame(void *user, mllp_token t, const mllp_peer *peer, const uint8_t *p, size_t len) {
  eng_listener *l = (eng_listener *)user;
  char addr[IO_ADDR_TEXT], identity[REC_NAME_MAX + 1];
  if (!eng_auth_peer(l, peer->sans, identity)) {
    l->unauthorised++;
    give_up(l->mllp, l, t);
    return;
  }
  mllp_wait *w = (mllp_wait *)eng_wait_new(l, sizeof *w);
  if (!w) {
    give_up(l->mllp, l, t);
    return;
  }
  w->l = l, w->t = t;
  engine_source src = {.listener = l->name, .peer = io_addr_format(&peer->addr, addr), .identity = identity[0] ? identity : NULL, .commits = l->o->mllp_version == 2};
  engine_submit_hl7(l->e, &src, p, len, on_mllp_reply, w);
}

static void on_oversize(void *user, mllp_token t, const mllp_peer *peer, const uint8_t *p, size_t len) {
  eng_listener *l = (eng_listener *)user;
  mllp_wait *w = (mllp_wait *)eng_wait_new(l, sizeof *w);
  (void)peer;
  if (!w) {
    give_up(l->mllp, l, t);
    return;
  }
  w->l = l, w->t = t;
  eng_answer to = eng_answer_for(l->e, &(engine_source){.listener = l->name}, false, on_mllp_reply, w);
  eng_answer_refusal(l->e, &to, p, len, &(eng_refusal){"AR", 207, "The message is too long", 413});
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------------- */

static hdw_status allow_list(engine *e, eng_listener *l, char text[200]) {
  l->nallow = l->o->allow.n;
  l->allow = (net_cidr *)arena_zalloc(&e->a, l->nallow ? l->nallow : 1, sizeof *l->allow);
  if (!l->allow) return HDW_E_NOMEM;
  for (unsigned i = 0; i < l->nallow; i++)
    if (net_cidr_parse(l->o->allow.v[i], &l->allow[i])) {
      snprintf(text, 200, "listeners.%.60s.allow: '%.60s' is no network", l->name, l->o->allow.v[i]);
      return HDW_E_INVALID;
    }
  return HDW_OK;
}

static hdw_status open_tls(eng_listener *l, char text[200]) {
  char why[160] = "";
  tls_opts o = {.server = true, .cert_pem = l->cfg->cert_pem, .key_pem = l->cfg->key_pem, .ca_pem = l->cfg->client_ca_pem};
  hdw_status s = o.cert_pem && o.key_pem ? tls_ctx_new(&o, &l->tls, why, sizeof why) : HDW_E_INVALID;
  if (s) snprintf(text, 200, "listeners.%.60s.tls: %.120s", l->name, why[0] ? why : "certificate or key was not read");
  return s;
}

static mllp_listener_opts mllp_opts(eng_listener *l, const io_addr *a) {
  return (mllp_listener_opts){.addr = *a, .version = (uint8_t)l->o->mllp_version, .strict = l->o->strict, .max_frame_bytes = (size_t)l->o->max_frame_bytes, .frame_timeout_us = l->o->read_timeout_ms * 1000,
                              .idle_timeout_us = l->o->idle_timeout_ms * 1000, .max_conns = (unsigned)l->o->max_connections, .allow = l->allow, .n_allow = l->nallow,
                              .tls = l->tls, .frame = on_frame, .oversize = on_oversize, .user = l};
}

static http_server_opts http_opts(eng_listener *l, const io_addr *a) {
  return (http_server_opts){.addr = *a, .max_body_bytes = (size_t)l->o->max_frame_bytes, .body_timeout_us = l->o->read_timeout_ms * 1000, .idle_timeout_us = l->o->idle_timeout_ms * 1000,
                            .max_conns = (unsigned)l->o->max_connections, .allow = l->allow, .n_allow = l->nallow, .tls = l->tls, .head = eng_http_head, .request = eng_http_request, .user = l};
}

hdw_status eng_listener_open(engine *e, eng_listener *l, char text[200]) {
  char addr[200];
  io_addr a;
  bool six = strchr(l->o->address, ':') != NULL && l->o->address[0] != '[';
  snprintf(addr, sizeof addr, six ? "[%.150s]:%lld" : "%.150s:%lld", l->o->address, (long long)l->o->port);
  if (l->o->port < 0 || io_addr_parse(addr, &a)) {
    snprintf(text, 200, "listeners.%.60s: '%.100s' is no address", l->name, addr);
    return HDW_E_INVALID;
  }
  hdw_status s = allow_list(e, l, text);
  if (!s && l->cfg->has_tls) s = open_tls(l, text);
  if (s) return s;
  if (!strcmp(l->kind, "mllp")) {
    mllp_listener_opts o = mllp_opts(l, &a);
    s = mllp_listener_new(e->io, &o, &l->mllp);
  } else {
    http_server_opts o = http_opts(l, &a);
    s = http_server_new(e->io, &o, &l->http);
  }
  if (s) snprintf(text, 200, "listeners.%.60s: %.80s: %s", l->name, addr, s == HDW_E_EXISTS ? "the address is in use" : hdw_status_text(s));
  return s;
}

void eng_listener_close(eng_listener *l) {
  if (l->mllp) mllp_listener_free(l->mllp);
  if (l->http) http_server_free(l->http);
  if (l->tls) tls_ctx_free(l->tls);
  l->mllp = NULL, l->http = NULL, l->tls = NULL;
  while (l->e->closing && l->waits) eng_wait_end(l, l->waits); /* else the engine still answers them */
}

hdw_status eng_listener_prepare(engine *e, const eng_listener *l, const config_listener *c, eng_listener *next, char text[200]) {
  *next = (eng_listener){.e = e, .name = l->name, .kind = l->kind, .o = &c->o, .cfg = c};
  hdw_status s = allow_list(e, next, text);
  if (!s && c->has_tls) s = open_tls(next, text);
  return s;
}

void eng_listener_update(eng_listener *l, eng_listener *next) {
  io_addr none = {0};
  if (l->tls) tls_ctx_free(l->tls); /* open connections keep what they use of it */
  l->name = next->name, l->o = next->o, l->cfg = next->cfg, l->tls = next->tls, l->allow = next->allow, l->nallow = next->nallow;
  if (l->mllp) {
    mllp_listener_opts o = mllp_opts(l, &none);
    mllp_listener_update(l->mllp, &o);
  } else if (l->http) {
    http_server_opts o = http_opts(l, &none);
    http_server_update(l->http, &o);
  }
}

/* Every declared listener once, whichever modules name it. */
static hdw_status collect(engine *e, char text[200]) {
  e->listeners = (eng_listener *)arena_zalloc(&e->a, ENG_MAX_LISTENERS, sizeof *e->listeners);
  if (!e->listeners) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < e->napps; i++)
    for (uint32_t k = 0; k < e->apps[i]->meta.nlisteners && !e->apps[i]->retired; k++) {
      const meta_listener *m = &e->apps[i]->meta.listeners[k];
      eng_listener *l = eng_listener_find(e, m->name);
      const config_listener *c = config_find_listener(e->o.config, m->name);
      if (l && !strcmp(l->kind, m->kind)) continue;
      if (l || !c || e->nlisteners == ENG_MAX_LISTENERS) {
        snprintf(text, 200, "listeners.%.60s: %s", m->name, l ? "declared with two kinds" : !c ? "not bound" : "there are too many");
        return HDW_E_INVALID;
      }
      const char *name = arena_dup(&e->a, m->name, strlen(m->name)), *kind = arena_dup(&e->a, m->kind, strlen(m->kind)); /* they outlive the module */
      if (!name || !kind) return HDW_E_NOMEM;
      e->listeners[e->nlisteners++] = (eng_listener){.e = e, .name = name, .kind = kind, .o = &c->o, .cfg = c};
    }
  return HDW_OK;
}

hdw_status engine_listen(engine *e, char text[200]) {
  text[0] = 0;
  hdw_status s = collect(e, text);
  for (uint32_t i = 0; i < e->nlisteners && !s; i++) s = eng_listener_open(e, &e->listeners[i], text);
  return s;
}

uint16_t engine_port(const engine *e, const char *listener) {
  io_addr a = {0};
  for (uint32_t i = 0; i < e->nlisteners; i++) {
    const eng_listener *l = &e->listeners[i];
    if (l->closing || strcmp(l->name, listener)) continue;
    if (l->mllp) mllp_listener_addr(l->mllp, &a);
    if (l->http) http_server_addr(l->http, &a);
  }
  return a.port;
}

bool engine_listener_at(const engine *e, uint32_t i, engine_source_info *out) {
  if (i >= e->nlisteners) return false;
  const eng_listener *l = &e->listeners[i];
  *out = (engine_source_info){.name = l->name, .kind = l->kind, .address = l->o->address, .port = engine_port(e, l->name), .open = l->mllp || l->http, .paused = !e->accepting,
                              .tls = l->tls != NULL, .cert_expires_us = l->tls ? tls_ctx_expires(l->tls) * 1000000 : 0, .messages = l->messages, .duplicates = l->duplicates, .conflicts = l->conflicts,
                              .refused = l->refused, .unparseable = l->unparseable, .lone_conditions = l->lone, .unauthorised = l->unauthorised};
  if (l->mllp) {
    const mllp_stats *s = mllp_listener_stats(l->mllp);
    out->connections = s->open, out->unanswered = s->unacked, out->accepted = s->accepted, out->refused_connections = s->refused;
    out->junk_bytes = s->junk_bytes, out->partial_frames = s->partials, out->oversize = s->oversize, out->violations = s->violations;
    out->timeouts = s->idle_timeouts + s->frame_timeouts, out->tls_failures = s->tls_failures;
  }
  if (l->http) {
    const http_stats *s = http_server_stats(l->http);
    out->connections = s->open, out->unanswered = s->active, out->accepted = s->accepted, out->refused_connections = s->refused;
    out->violations = s->bad_requests, out->timeouts = s->head_timeouts + s->body_timeouts + s->idle_timeouts + s->write_timeouts, out->tls_failures = s->tls_failures;
  }
  return true;
}
