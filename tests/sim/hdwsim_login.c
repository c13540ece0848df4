/* hdwsim_login.c - the login servers of the CRM and of the FHIR server, and what their tokens are good for.
 *
 *   one at a time  for one identity one request for a token is under way, however many wait for it
 *   kept           a token that is good for a while yet is not asked for again: also by a later life of the daemon, which finds it sealed in its store
 *   over           a token is not used beyond the time that was said with it, nor once its 401 has arrived
 *   left alone     a login server is not asked again at once when it failed, nor before its Retry-After (hdwsim_polite.c)
 *   scopes         what a token was not granted is not asked for with it
 *
 * Tokens end by their own clock, which began when the answer left, and now and then a server forgets them all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "hdwsim.h"

enum { LOGINS = 2, TOKENS = 4096 };
#define SLACK (3 * SECOND / 10) /* what is on its way arrives */

typedef struct token {
  int64_t ends_us;           /* for the server */
  int64_t known_us, until_us, early_us; /* when the daemon has it, 0 = it may never; how long it may use it; so long it has no reason to ask for another */
  int64_t refused_us;        /* its 401 has arrived then; 0 = none has, for certain */
  uint64_t refused;          /* the request that got it */
  bool doubted;              /* there was a 401, whoever saw it */
  bool narrow;               /* it is not for all that was asked for */
  bool unkept;               /* the disk failed when it came: it may not outlive the process */
  uint8_t of;
} token;

typedef struct server {
  uint64_t asked;            /* the request under way, or the latest */
  uint32_t latest;           /* token, from 1; 0 = none */
  int64_t failed_us;         /* when the daemon hears that it cannot log in; 0 = it does not */
  int64_t life_s;            /* of tokens; 0 = it does not say, which is five minutes */
} server;

struct login_state {
  server of[LOGINS];
  token v[TOKENS];           /* from 1 */
  uint32_t n;
  io_timer forget;
};

static unsigned login_of(uint16_t port) { return port == PORT_EHR || port == PORT_EHR_LOGIN; }

static const char *header(const io_http_req *q, const char *name) {
  for (unsigned i = 0; i < q->nheaders; i++)
    if (!strcasecmp(q->headers[i].name, name)) return q->headers[i].value;
  return "";
}

static bool has(const io_http_req *q, const char *text) { return q->body_len && memmem(q->body, q->body_len, text, strlen(text)); }

static void answer(world *w, uint64_t id, int code, const char *body, int retry_after, int64_t delay_us) {
  char seconds[16];
  snprintf(seconds, sizeof seconds, "%d", retry_after);
  io_http_header h[2] = {{"Content-Type", "application/json"}, {"Retry-After", seconds}};
  io_http_res res = {.status = HDW_OK, .sent = true, .code = code, .headers = h, .nheaders = retry_after ? 2 : 1, .body = body, .body_len = strlen(body), .error = ""};
  io_sim_http_reply(w->io, id, &res, delay_us);
}

/* ---- a token is asked for ------------------------------------------------------------------------------------------------------------------ */

/* Whoever asks has no token, or one that is near its end. */
static void needed(world *w, const server *s, unsigned i) {
  const token *t = s->latest ? &w->logins->v[s->latest] : NULL;
  int64_t now = now_us(w);
  if (!t || !t->known_us || t->doubted || t->narrow || t->unkept || w->clock_set || weather_disk(w)) return;
  if (now > t->known_us + SLACK && now < t->early_us) broken(w, "login %u is asked for another token, and t%u came at %lld ms and is good until %lld ms", i, s->latest, (long long)t->known_us / 1000, (long long)t->until_us / 1000);
}

static void who_asks(world *w, const io_http_req *q, unsigned i) {
  bool form = !strcmp(header(q, "Content-Type"), "application/x-www-form-urlencoded") && has(q, "grant_type=client_credentials");
  bool known = i ? has(q, "client_assertion=ey") && has(q, "scope=system%2F") : !strcmp(header(q, "Authorization"), "Basic aHViOnRoZSUyRnNlY3JldA==");
  if (strcmp(q->method, "POST") != 0 || strcmp(q->target, "/token") != 0 || !form || !known) broken(w, "login %u is asked with %s %s %.*s", i, q->method, q->target, (int)q->body_len, q->body_len ? (const char *)q->body : "");
}

void login_asked(world *w, uint64_t id, const io_http_req *q) {
  unsigned i = login_of(q->port);
  server *s = &w->logins->of[i];
  say(w, "login %u is asked for a token", i);
  who_asks(w, q, i);
  if (s->asked && io_sim_http_waits(w->io, s->asked)) broken(w, "login %u is asked for a token while another request for one is under way", i);
  if (s->failed_us > w->died_us && now_us(w) > s->failed_us + SLACK / 3 && now_us(w) < s->failed_us + 2 * SLACK / 3) broken(w, "login %u is asked again %lld ms after it failed", i, (long long)(now_us(w) - s->failed_us) / 1000);
  needed(w, s, i);
  s->asked = id, s->failed_us = 0;
}

void login_failed(world *w, uint16_t port, int64_t at_us) {
  w->logins->of[login_of(port)].failed_us = at_us;
  fhir_trouble(w);
}

static void refuse(world *w, uint64_t id, const io_http_req *q, int64_t delay) {
  static const struct { int code; const char *body; bool after; } no[] = {
      {503, "", true}, {429, "{\"error\":\"slow_down\"}", true}, {500, "oops", false}, {401, "{\"error\":\"invalid_client\"}", false}, {400, "{\"error\":\"invalid_scope\"}", false}, {302, "", false}};
  unsigned k = (unsigned)draw(w, 6);
  int after = no[k].after && chance(w, 500) ? 1 + (int)draw(w, 20) : 0;
  bool in_time = delay < q->timeout_us - 100000;
  answer(w, id, no[k].code, no[k].body, after, delay);
  say(w, "login %u: refused with %d, Retry-After %d", login_of(q->port), no[k].code, after);
  if (in_time) login_failed(w, q->port, now_us(w) + delay);
  if (in_time && after) peers_leave_alone(w, q->port, id, now_us(w) + delay, after * SECOND);
}

/* A quarter of its life is the most that it is renewed early: a tenth, 30 seconds at least, half at most; and a twentieth for who began together. */
static void remember(token *t, int64_t life_us, int64_t known_us) {
  int64_t early = life_us / 10 > 30 * SECOND ? life_us / 10 : 30 * SECOND;
  if (early > life_us / 2) early = life_us / 2;
  t->known_us = known_us;
  t->until_us = known_us + life_us;
  t->early_us = t->until_us - early - life_us / 20 - SECOND;
}

static const char scopes[] = "system/Patient.cruds system/Basic.cruds system/Organization.cruds", fewer[] = "system/Patient.cruds system/Organization.cruds openid";

static void grant(world *w, uint64_t id, const io_http_req *q, bool spoil, int64_t delay) {
  struct login_state *l = w->logins;
  unsigned i = login_of(q->port);
  server *s = &l->of[i];
  char body[300];
  if (l->n + 1 == TOKENS) broken(w, "too many tokens");
  uint32_t n = ++l->n;
  token *t = &l->v[n];
  int64_t life = (s->life_s ? s->life_s : 300) * SECOND;
  *t = (token){.of = (uint8_t)i, .ends_us = now_us(w) + life, .unkept = weather_disk(w), .narrow = i && !w->now.calm && chance(w, 10)};
  int at = snprintf(body, sizeof body, "{\"access_token\":\"t%u\",\"token_type\":\"%s\"", n, chance(w, 500) ? "Bearer" : "bearer");
  if (s->life_s) at += snprintf(body + at, sizeof body - (size_t)at, chance(w, 800) ? ",\"expires_in\":%lld" : ",\"expires_in\":\"%lld\"", (long long)s->life_s);
  if (i && (t->narrow || chance(w, 700))) at += snprintf(body + at, sizeof body - (size_t)at, ",\"scope\":\"%s\"", t->narrow ? fewer : scopes);
  snprintf(body + at, sizeof body - (size_t)at, "}");
  say(w, "login %u: t%u%s%s, in %lld us", i, n, t->narrow ? ", not for all" : "", spoil ? ", and its answer is of no use" : "", (long long)delay);
  if (spoil) {
    if (chance(w, 400)) return;
    answer(w, id, 200, chance(w, 500) ? "<html>" : "{\"access_token\":\"\"}", 0, delay);
    if (delay < q->timeout_us - 100000) login_failed(w, q->port, now_us(w) + delay);
    return;
  }
  answer(w, id, 200, body, 0, delay);
  if (delay < q->timeout_us - 100000) remember(t, life, now_us(w) + delay), s->latest = n;
}

void login_request(world *w, uint64_t id, const io_http_req *q, bool lost) {
  const weather *now = &w->now;
  int64_t delay = chance(w, now->delay) ? draw_time(w, now->delay_us) : (int64_t)draw(w, 3000);
  unsigned what = (unsigned)draw(w, 1000);
  if (what < now->login || (what < now->busy + now->bad && chance(w, 200))) refuse(w, id, q, delay);
  else grant(w, id, q, lost || (what < now->busy + now->bad + now->silent + now->garbage && chance(w, 300)), delay);
}

/* ---- a token is used ------------------------------------------------------------------------------------------------------------------------- */

bool login_admits(world *w, uint64_t id, const io_http_req *q, int64_t delay_us) {
  struct login_state *l = w->logins;
  unsigned i = login_of(q->port);
  const char *said = header(q, "Authorization");
  int64_t now = now_us(w);
  char *end = NULL;
  unsigned long n = !strncmp(said, "Bearer t", 8) ? strtoul(said + 8, &end, 10) : 0;
  if (!n || *end || n > l->n || l->v[n].of != i) broken(w, "a request for %s at port %u with the credentials '%s'", q->target, q->port, said);
  token *t = &l->v[n];
  if (t->refused_us && now > t->refused_us + SLACK) broken(w, "a request for %s with t%lu, which was refused at %lld ms", q->target, n, (long long)t->refused_us / 1000);
  if (t->known_us && now > t->until_us + SLACK && !w->clock_set) broken(w, "a request for %s with t%lu, which was over at %lld ms", q->target, n, (long long)t->until_us / 1000);
  if (t->narrow && strstr(q->target, "/Basic")) broken(w, "a request for %s with t%lu, which was not granted for it", q->target, n);
  if (now < t->ends_us) return true;
  bool in_time = delay_us < q->timeout_us - 100000;
  /* A second refusal in a row is the call's failure, and says nothing about the token: it had just come. */
  if (in_time && !t->refused_us && t->known_us && now > t->known_us + SECOND) t->refused_us = now + delay_us, t->refused = id;
  t->doubted = true;
  say(w, "t%lu is not good any more: 401 for %s", n, q->target);
  answer(w, id, 401, "{\"error\":\"invalid_token\"}", 0, delay_us);
  peers_heard(w, q->port, id, delay_us, HEARD_OTHER);
  return false;
}

void login_cancelled(world *w, uint64_t id) {
  struct login_state *l = w->logins;
  for (uint32_t n = 1; n <= l->n; n++)
    if (l->v[n].refused == id && l->v[n].refused_us > now_us(w)) l->v[n].refused_us = 0;
  for (unsigned i = 0; i < LOGINS; i++)
    if (l->of[i].asked == id) {
      token *t = &l->v[l->of[i].latest];
      l->of[i].asked = 0, l->of[i].failed_us = 0;
      if (t->known_us > now_us(w)) t->known_us = 0;
    }
}

/* What was not written down yet when the daemon died, or could not write, is forgotten with it. */
void login_died(world *w, int64_t since_us) {
  struct login_state *l = w->logins;
  for (uint32_t n = 1; n <= l->n; n++) {
    token *t = &l->v[n];
    if (t->known_us > since_us - w->settled_us) t->known_us = 0;
    if (t->refused_us > since_us - w->settled_us) t->refused_us = 0;
  }
  for (unsigned i = 0; i < LOGINS; i++) l->of[i].asked = 0, l->of[i].failed_us = 0;
}

static void forget(void *user) {
  world *w = (world *)user;
  struct login_state *l = w->logins;
  io_timer_set(w->io, &l->forget, draw_time(w, 300 * SECOND), forget, w);
  if (w->now.calm || chance(w, 500)) return;
  unsigned i = (unsigned)draw(w, LOGINS);
  say(w, "login %u forgets its tokens", i);
  for (uint32_t n = 1; n <= l->n; n++)
    if (l->v[n].of == i) l->v[n].ends_us = 0;
}

void login_start(world *w) {
  static const int64_t lives[] = {20, 90, 300, 0, 1800};
  w->logins = (struct login_state *)calloc(1, sizeof *w->logins);
  for (unsigned i = 0; i < LOGINS; i++) w->logins->of[i].life_s = lives[draw(w, 5)];
  forget(w);
}

void login_free(world *w) {
  io_timer_cancel(w->io, &w->logins->forget);
  free(w->logins);
}
