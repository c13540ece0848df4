/* auth_token.c - see auth_token.h. */
#include "auth_token.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include "codec.h"
#include "points.h"
#include "smart.h"

enum { SLOTS = 256, MOST = 10000, LAST_US = 5000000, SHORT_LIFE_US = 300000000, STALE_US = 60000000, SEALED_VERSION = 2 };
#define SECOND INT64_C(1000000)

struct eng_token {
  eng_token *next, *older, *newer; /* in its slot; by use */
  uint8_t key[TOKEN_KEY];
  char *value;               /* NULL = there is none */
  size_t alloc;              /* of value */
  char *scope;               /* behind the value: as granted; NULL = the login server does not say */
  int64_t got_us, early_us, until_us; /* monotonic: renewed from, not used from */
  bool looked;               /* in the store */
  bool telling;              /* its waiters are being called */
  eng_http *first, *last;    /* who waits for the flight */
  eng_flight *flight;
  /* of the last request, when it failed */
  unsigned failures;
  int64_t again_us;          /* monotonic; not asked before */
  uint8_t klass;
  char code[ENG_CODE], text[ENG_TEXT];
};

typedef struct eng_tokens {
  eng_token *slot[SLOTS], *oldest, *newest;
  uint32_t n;
  eng_seal seal;
} eng_tokens;

/* ---- the table ------------------------------------------------------------------------------------------------------------------ */

static unsigned slot_of(const uint8_t key[TOKEN_KEY]) { return key[0]; }

static void drop_value(engine *e, eng_token *t) {
  if (!t->value) return;
  OPENSSL_cleanse(t->value, t->alloc);
  eng_put(e, t->value, t->alloc);
  t->value = t->scope = NULL;
}

static void unlink_use(eng_tokens *ts, eng_token *t) {
  if (t->older) t->older->newer = t->newer;
  else ts->oldest = t->newer;
  if (t->newer) t->newer->older = t->older;
  else ts->newest = t->older;
  t->older = t->newer = NULL;
}

static void link_use(eng_tokens *ts, eng_token *t) {
  t->older = ts->newest;
  if (ts->newest) ts->newest->newer = t;
  else ts->oldest = t;
  ts->newest = t;
}

static eng_token *find(engine *e, const uint8_t key[TOKEN_KEY]) {
  for (eng_token *t = e->tokens ? e->tokens->slot[slot_of(key)] : NULL; t; t = t->next)
    if (!memcmp(t->key, key, TOKEN_KEY)) return t;
  return NULL;
}

static void forget(engine *e, eng_token *t) {
  eng_token **at = &e->tokens->slot[slot_of(t->key)];
  while (*at != t) at = &(*at)->next;
  *at = t->next;
  unlink_use(e->tokens, t);
  e->tokens->n--;
  drop_value(e, t);
  OPENSSL_cleanse(t, sizeof *t);
  eng_put(e, t, sizeof *t);
}

static void free_all(engine *e);
/* The one with this key, made when it is not there; the longest unused goes when there are too many. */
static eng_token *take(engine *e, const uint8_t key[TOKEN_KEY]) {
  if (!e->tokens) e->tokens = (eng_tokens *)eng_get(e, sizeof *e->tokens);
  if (!e->tokens) return NULL;
  e->tokens_free = free_all;
  eng_tokens *ts = e->tokens;
  eng_token *t = find(e, key);
  if (t) {
    unlink_use(ts, t);
    link_use(ts, t);
    return t;
  }
  for (eng_token *o = ts->oldest, *n; o && ts->n >= MOST; o = n) {
    n = o->newer;
    if (!o->flight && !o->first && !o->telling) forget(e, o);
  }
  t = (eng_token *)eng_get(e, sizeof *t);
  if (!t) return NULL;
  memcpy(t->key, key, TOKEN_KEY);
  t->next = ts->slot[slot_of(key)];
  ts->slot[slot_of(key)] = t;
  link_use(ts, t);
  ts->n++;
  return t;
}

/* ---- at rest: version u8 | wall time of the answer i64 | life i64 | bytes of scope u16, 0xffff = not known | scope | token; sealed under its name ---- */

enum { SEALED_HEAD = 19, NO_SCOPE = 0xffff };

static void put_named(engine *e, const char *name, const void *p, size_t len) {
  rec_put put = {.space = cod_cstr("token"), .key = cod_cstr(name)};
  cod_w w = eng_writer(e);
  if (!rec_put_named(&w, &put)) (void)eng_append_rec(e, REC_PUT, &w, p, len, NULL, NULL, NULL);
}

static void keep(engine *e, eng_token *t, int64_t life_us) {
  char name[SEAL_NAME];
  size_t n = strlen(t->value), scope = t->scope ? strlen(t->scope) : 0, plain = SEALED_HEAD + scope + n;
  uint8_t *p = (uint8_t *)eng_get(e, 2 * plain + SEAL_OVERHEAD);
  if (!p) return;
  if (eng_seal_name(e, &e->tokens->seal, t->key, name)) {
    eng_put(e, p, 2 * plain + SEAL_OVERHEAD);
    return;
  }
  cod_w w = cod_writer(p, plain);
  cod_put_u8(&w, SEALED_VERSION);
  cod_put_u64(&w, (uint64_t)io_wall_us(e->io));
  cod_put_u64(&w, (uint64_t)life_us);
  cod_put_u16(&w, t->scope ? (uint16_t)scope : NO_SCOPE);
  cod_put_raw(&w, t->scope ? t->scope : "", scope);
  cod_put_raw(&w, t->value, n);
  if (!eng_seal_put(e, &e->tokens->seal, name, p, plain, p + plain)) put_named(e, name, p + plain, plain + SEAL_OVERHEAD);
  OPENSSL_cleanse(p, plain);
  eng_put(e, p, 2 * plain + SEAL_OVERHEAD);
}

/* scope: as granted, nscope bytes; NULL = not known. */
static bool set_value(engine *e, eng_token *t, const char *value, size_t n, const char *scope, size_t nscope, int64_t age_us, int64_t life_us) {
  size_t alloc = n + 1 + (scope ? nscope + 1 : 0);
  char *v = (char *)eng_get(e, alloc);
  if (!v) return false;
  memcpy(v, value, n);
  if (scope) memcpy(v + n + 1, scope, nscope);
  drop_value(e, t);
  t->value = v, t->alloc = alloc, t->scope = scope ? v + n + 1 : NULL;
  int64_t early = life_us / 10 > 30 * SECOND ? life_us / 10 : 30 * SECOND;
  if (early > life_us / 2) early = life_us / 2;
  early += (int64_t)(io_random_u64(e->io) % (uint64_t)(life_us / 20 + 1)); /* many daemons that began together do not renew together */
  t->got_us = io_mono_us(e->io);
  t->until_us = t->got_us - age_us + life_us;
  t->early_us = t->until_us - early;
  t->until_us -= LAST_US < life_us / 4 ? LAST_US : life_us / 4;
  t->failures = 0, t->again_us = 0;
  return true;
}

/* A token of an earlier life of the process. A clock that was set back since tells nothing. */
static void wake(engine *e, eng_token *t, const char *connection) {
  arena a;
  cod_str v;
  char name[SEAL_NAME];
  t->looked = true;
  if (eng_seal_name(e, &e->tokens->seal, t->key, name)) return;
  arena_init(&a, e->mem, 1 << 20);
  if (!store_get_named(e->store, cod_cstr("token"), cod_cstr(name), &a, &v) && v.len > SEAL_OVERHEAD + SEALED_HEAD) {
    size_t plain = v.len - SEAL_OVERHEAD;
    uint8_t *p = (uint8_t *)arena_alloc(&a, plain + 1);
    if (p && !eng_seal_get(e, &e->tokens->seal, name, (const uint8_t *)v.p, v.len, p)) {
      cod_r r = cod_reader(p, plain);
      uint8_t version = cod_get_u8(&r);
      int64_t at = (int64_t)cod_get_u64(&r), life = (int64_t)cod_get_u64(&r), age = io_wall_us(e->io) - at;
      uint16_t scope = cod_get_u16(&r);
      size_t nscope = scope == NO_SCOPE ? 0 : scope, left = plain - SEALED_HEAD;
      p[plain] = 0;
      if (version == SEALED_VERSION && life > 0 && age > -60 * SECOND && age < life && nscope < left && token_ok((const char *)r.p + nscope)) {
        (void)set_value(e, t, (const char *)r.p + nscope, left - nscope, scope == NO_SCOPE ? NULL : (const char *)r.p, nscope, age > 0 ? age : 0, life);
        eng_say(e, ENGINE_INFO, "login_kept", "connection", connection, NULL);
      }
      OPENSSL_cleanse(p, plain);
    }
  }
  arena_free(&a);
}

/* ---- flights ---------------------------------------------------------------------------------------------------------------------- */

/* The header with the token; the text lives with the call. */
static bool give(eng_http *x, const eng_token *t) {
  const eng_login *l = (const eng_login *)x->call->c->login;
  size_t n = strlen(l->before) + strlen(t->value) + 1;
  char *v = (char *)arena_alloc(x->call->a, n);
  if (!v) return false;
  snprintf(v, n, "%s%s", l->before, t->value);
  x->credential = v + strlen(l->before);
  return eng_http_header(x, l->header, v);
}

/* Whether the token's scopes allow what x asks for; else why not. */
static bool may(const eng_http *x, const eng_token *t, char text[ENG_TEXT]) { return !x->may || !t->scope || x->may(x, t->scope, text); }

/* They may begin other exchanges, which find the token, or the failure, as it is now: nobody comes to this list meanwhile. */
static void tell(eng_token *t, uint8_t klass) {
  char text[ENG_TEXT];
  t->telling = true;
  while (t->first) {
    eng_http *x = t->first;
    t->first = x->waits_next;
    if (!t->first) t->last = NULL;
    x->waits = NULL, x->waits_next = NULL;
    if (klass) eng_http_unauthorised(x, klass, t->code, t->text, t->again_us - io_mono_us(x->call->e->io), false);
    else if (!may(x, t, text)) eng_http_unauthorised(x, FAIL_PERMANENT, "scope_not_granted", text, 0, false);
    else if (give(x, t)) eng_http_authorised(x);
    else eng_http_unauthorised(x, FAIL_PERMANENT, "login_failed", "there is no room for the token's header", 0, false);
  }
  t->telling = false;
}

static void land(eng_flight *f) {
  engine *e = f->e;
  f->t->flight = NULL;
  eng_http_cancel(&f->x);
  if (f->x.body_len) OPENSSL_cleanse((void *)(uintptr_t)f->x.body, f->x.body_len);
  arena_free(&f->a);
  eng_put(e, f, sizeof *f);
}

/* refused: by the login server, not by the way to it. after_us: what it asks for. */
static void failed(eng_flight *f, bool refused, const char *code, int64_t after_us) {
  engine *e = f->e;
  eng_token *t = f->t;
  unsigned n = t->failures < 10 ? t->failures : 10;
  int64_t from = refused ? 5 * SECOND : SECOND / 2, wait = from << n;
  if (wait > 60 * SECOND) wait = 60 * SECOND;
  wait = wait / 2 + (int64_t)(io_random_u64(e->io) % (uint64_t)(wait / 2 + 1));
  if (wait < after_us) wait = after_us;
  t->failures++;
  t->again_us = io_mono_us(e->io) + wait;
  /* It is somebody's to repair, and nothing was sent: what waits for it waits. But one identity that is refused says nothing about the next. */
  bool own = refused && f->l->per_call && f->code >= 400 && f->code < 500 && f->code != 401;
  t->klass = own ? FAIL_PERMANENT : FAIL_TRANSIENT;
  snprintf(t->code, sizeof t->code, "%s", code);
  snprintf(t->text, sizeof t->text, "login at %.60s: %.120s", f->l->to.host ? f->l->to.host : f->l->c->host, f->text);
  eng_say(e, ENGINE_WARN, "login_failed", "connection", f->l->c->name, "code", t->code, "error", t->text, NULL);
  f->l->c->login_failures++;
  land(f);
  if (!t->value || io_mono_us(e->io) >= t->until_us) tell(t, t->klass);
}

/* The scope at p stands in the list, or others in it give the same rights: system/Patient.read is system/Patient.rs. */
static bool in_list(const char *p, size_t n, const char *list) {
  smart_scope s;
  char type[65];
  bool any;
  for (const char *q = list; *q;) {
    size_t m = strcspn(q, " ");
    if (m == n && !memcmp(p, q, n)) return true;
    q += m + (q[m] == ' ');
  }
  if (smart_scope_read(p, n, &s) != SMART_IS || s.type_len >= sizeof type) return false;
  memcpy(type, s.type, s.type_len), type[s.type_len] = 0;
  return !smart_missing(list, type, s.rights, &any);
}

/* Scopes that were asked for and not given are told once for a token: calls that need them will fail. */
static void note_scope(eng_flight *f, const token_answer *a) {
  eng_conn *c = f->l->c;
  if (!a->scope || !f->l->scope[0] || !strcmp(a->scope, f->l->scope)) return;
  arena scratch;
  buf b;
  arena_init(&scratch, f->e->mem, 65536);
  buf_init(&b, &scratch, 16384);
  for (const char *p = f->l->scope; *p;) {
    size_t n = strcspn(p, " ");
    bool there = in_list(p, n, a->scope);
    if (!there && b.len) buf_putc(&b, ' ');
    if (!there) buf_put(&b, p, n);
    p += n + (p[n] == ' ');
  }
  buf_putc(&b, 0);
  if (!b.status && b.p[0]) eng_say(f->e, ENGINE_WARN, "login_scopes", "connection", c->name, "not_granted", b.p, NULL);
  arena_free(&scratch);
}

static void arrived(eng_flight *f, const token_answer *a) {
  engine *e = f->e;
  eng_token *t = f->t;
  int64_t life = a->life_us ? a->life_us : f->l->default_life_us;
  if (!set_value(e, t, a->value, strlen(a->value), a->scope, a->scope ? strlen(a->scope) : 0, 0, life)) {
    snprintf(f->text, sizeof f->text, "out of memory");
    failed(f, false, "login_failed", 0);
    return;
  }
  note_scope(f, a);
  t->klass = 0;
  if (f->l->durable && !HDW_BROKEN("login.forgets")) keep(e, t, life);
  eng_say(e, ENGINE_DEBUG, "login", "connection", f->l->c->name, NULL);
  land(f);
  tell(t, 0);
}

/* What the error codes of RFC 6749 5.2 mean for whoever has to repair it. */
static const char *advice(const char *code) {
  static const struct { const char *code, *text; } t[] = {
      {"invalid_client", "client id, secret or key is not what the login server knows"},
      {"unauthorized_client", "this client may not log in this way"},
      {"invalid_scope", "a scope is unknown there, or not allowed for this client"},
      {"invalid_grant", "the assertion was refused: key, client id, audience or clock"},
      {"unsupported_grant_type", "the login server does not know this kind of login"},
      {"invalid_request", "the login server does not understand the request"},
      {"invalid_target", "audience or resource is unknown there"},
      {"access_denied", "the login server denies it"}};
  for (size_t i = 0; i < sizeof t / sizeof *t; i++)
    if (!strcmp(t[i].code, code)) return t[i].text;
  return NULL;
}

static void on_answer(eng_http *x, const io_http_res *res) {
  eng_flight *f = (eng_flight *)x->user;
  token_answer a = {0};
  char code[ENG_CODE];
  f->code = res->status ? 0 : res->code;
  if (res->status) {
    snprintf(f->text, sizeof f->text, "%.120s", f->failing ? f->text : res->error && res->error[0] ? res->error : hdw_status_text(res->status));
    failed(f, false, "login_unreachable", 0);
    return;
  }
  if (res->code >= 200 && res->code < 300) {
    f->text[0] = 0;
    hdw_status s = f->l->kind->read(f, res, &a);
    if (s == HDW_E_AGAIN) {
      eng_http_go(&f->x);
      return;
    }
    if (!s) {
      arrived(f, &a);
      return;
    }
    if (!f->text[0]) snprintf(f->text, sizeof f->text, "%s", hdw_status_text(s));
    failed(f, true, "login_answer", 0);
    return;
  }
  token_error(f->e->mem, res->body, res->body_len, code);
  const char *what = advice(code);
  snprintf(f->text, sizeof f->text, "HTTP %d%s%s%s%s", res->code, code[0] ? " " : "", code, what ? ": " : res->code >= 300 && res->code < 400 ? ": it leads elsewhere, and logins do not follow" : "", what ? what : "");
  failed(f, res->code < 500 && res->code != 429 && res->code != 408, code[0] ? code : "login_refused", eng_http_retry_after_us(&f->call, res));
}

/* A request that could not be made ends like one that failed, but not from inside of the call that wanted it. */
static void on_grounded(void *user) {
  eng_flight *f = (eng_flight *)user;
  io_http_res res = {.status = f->failing};
  on_answer(&f->x, &res);
}

void eng_flight_begin(eng_flight *f, const char *method) {
  eng_http_init(&f->x, &f->call, method);
  f->x.bare = true, f->x.max_body = TOKEN_ANSWER_BYTES;
  f->x.done = on_answer, f->x.user = f;
}

static bool take_off(eng_token *t, eng_login *l, const eng_http *x) {
  engine *e = l->c->e;
  eng_flight *f = (eng_flight *)eng_get(e, sizeof *f);
  if (!f) return false;
  f->e = e, f->l = l, f->t = t;
  arena_init(&f->a, e->mem, 1 << 20);
  f->call = (eng_call){.e = e, .c = l->c, .a = &f->a};
  t->flight = f;
  l->c->logins++;
  f->again = t->failures > 0;
  eng_flight_begin(f, "POST");
  f->failing = l->kind->ask(f, x);
  if (!f->failing) eng_http_go(&f->x);
  else {
    if (!f->text[0]) snprintf(f->text, sizeof f->text, "%s", hdw_status_text(f->failing));
    io_timer_set(e->io, &f->call.timer, 0, on_grounded, f);
  }
  return true;
}

static void free_all(engine *e) {
  while (e->tokens->oldest) {
    if (e->tokens->oldest->flight) land(e->tokens->oldest->flight);
    forget(e, e->tokens->oldest);
  }
  OPENSSL_cleanse(e->tokens, sizeof *e->tokens);
  eng_put(e, e->tokens, sizeof *e->tokens);
  e->tokens = NULL;
}

/* ---- for kinds ---------------------------------------------------------------------------------------------------------------------- */

bool eng_token_apply(eng_http *x, const uint8_t key[TOKEN_KEY]) {
  eng_login *l = (eng_login *)x->call->c->login;
  engine *e = x->call->e;
  eng_token *t = take(e, key);
  int64_t now = io_mono_us(e->io);
  if (!t) {
    eng_http_unauthorised(x, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory", 0, true);
    return false;
  }
  memcpy(x->token, key, TOKEN_KEY);
  if (l->durable && !t->looked) wake(e, t, l->c->name);
  char text[ENG_TEXT];
  if (t->value && now < t->until_us && !may(x, t, text)) {
    if (now - t->got_us < STALE_US || x->renewed || t->flight) {
      eng_http_unauthorised(x, FAIL_PERMANENT, "scope_not_granted", text, 0, true);
      return false;
    }
    x->renewed = true; /* the operator may have got another scope meanwhile: asked once more, then it is told */
    drop_value(e, t);
  }
  if (t->value && now < t->until_us) {
    if (now >= t->early_us && now >= t->again_us && !t->flight) (void)take_off(t, l, x);
    if (give(x, t)) return true;
    eng_http_unauthorised(x, FAIL_PERMANENT, "login_failed", "there is no room for the token's header", 0, true);
    return false;
  }
  drop_value(e, t);
  if (!t->flight && now < t->again_us) {
    eng_http_unauthorised(x, t->klass, t->code, t->text, t->again_us - now, true);
    return false;
  }
  x->waits = t, x->waits_next = NULL;
  if (t->last) t->last->waits_next = x;
  else t->first = x;
  t->last = x;
  if ((t->flight && !HDW_BROKEN("login.crowd")) || take_off(t, l, x)) return false;
  eng_token_leave(x);
  eng_http_unauthorised(x, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory", 0, true);
  return false;
}

bool eng_token_apply_own(eng_http *x) { return eng_token_apply(x, ((const eng_login *)x->call->c->login)->id); }

/* Compare and drop: who comes second finds another token already and leaves that one alone. */
bool eng_token_refused(eng_http *x) {
  engine *e = x->call->e;
  eng_token *t = find(e, x->token);
  char name[SEAL_NAME];
  /* What was fetched after the first refusal is refused, too: nothing better can be had. What was there before that, fetched for others, ends like the first one. */
  if (x->renewed && (!t || !x->credential || !t->value || strcmp(t->value, x->credential) != 0 || t->got_us >= x->refused_us)) return false;
  if (!t || !x->credential || !t->value || strcmp(t->value, x->credential) != 0 || HDW_BROKEN("login.refused")) return true;
  drop_value(e, t);
  if (((const eng_login *)x->call->c->login)->durable && !eng_seal_name(e, &e->tokens->seal, t->key, name)) put_named(e, name, NULL, 0);
  eng_say(e, ENGINE_INFO, "login_refused", "connection", x->call->c->name, NULL);
  return true;
}

void eng_token_leave(eng_http *x) {
  eng_token *t = x->waits;
  eng_http *before = NULL;
  if (!t) return;
  for (eng_http **at = &t->first; *at; before = *at, at = &(*at)->waits_next) {
    if (*at != x) continue;
    *at = x->waits_next;
    if (t->last == x) t->last = before;
    break;
  }
  x->waits = NULL, x->waits_next = NULL;
}

static eng_token *flown_by(const eng_conn *c) {
  for (eng_token *t = c->e->tokens ? c->e->tokens->oldest : NULL; t; t = t->newer)
    if (t->flight && t->flight->l->c == c) return t;
  return NULL;
}

void eng_token_close(eng_conn *c) {
  engine *e = c->e;
  for (eng_token *t; (t = flown_by(c));) { /* from the start again: who is told may change the order */
    land(t->flight);
    eng_http *x = t->first;
    if (x && x->call->c != c && !e->closing && take_off(t, (eng_login *)x->call->c->login, x)) continue;
    if (!x) continue;
    snprintf(t->code, sizeof t->code, "login_failed"), snprintf(t->text, sizeof t->text, "the connection was taken away");
    if (!e->closing) tell(t, FAIL_TRANSIENT);
  }
}

void eng_login_look(const eng_conn *c, eng_login_state *out) {
  engine *e = c->e;
  const eng_login *l = (const eng_login *)c->login;
  *out = (eng_login_state){.kind = c->auth ? c->auth->kind : NULL, .asked = c->logins, .failed = c->login_failures};
  if (!c->auth || !c->auth->renews) return;
  const eng_token *t = find(e, l->id);
  int64_t now = io_mono_us(e->io);
  out->state = "no token yet";
  if (!t) return;
  if (t->value && now < t->until_us) out->state = "logged in", out->until_us = io_wall_us(e->io) + t->until_us - now;
  else if (t->flight) out->state = "logging in";
  else if (t->failures) out->state = "cannot log in";
  if (t->failures) out->error = t->text;
}
