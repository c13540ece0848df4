/* auth_rig.h - a program whose connection logs in, on the simulated seam: api.example.org is the API, every other host a login server. */
#ifndef HDW_AUTH_RIG_H
#define HDW_AUTH_RIG_H
#include "prog_rig.h"
#include "engine_int.h"
#include "auth_token.h"

enum { RIG_BODY = 6000, RIG_SEEN = 64 };

typedef struct auth_rig {
  prog *p;
  const char *text;          /* program; NULL = one call of a rest connection */
  config_secret secrets[4];
  unsigned nsecrets;
  /* the login server */
  int code;                  /* 0 = 200 */
  hdw_status gone;           /* no answer */
  const char *answer;        /* NULL = token tN, an hour */
  const char *retry_after;
  int life_s;
  int64_t delay_us;
  unsigned logins, discoveries;
  struct { char host[64], target[128], headers[900], body[RIG_BODY]; } seen[RIG_SEEN];
  /* the API */
  unsigned calls, unauthorised;
  const char *reply;         /* NULL = {"name":"x"} */
  char right[64];            /* the token that it takes; "" = any */
  char last[6000];           /* Authorization of the last call */
  char other[300];           /* all headers of it, other than that */
  char target[300];
} auth_rig;

static inline void auth_answer(io *x, uint64_t id, const io_http_req *q, void *user) {
  auth_rig *r = (auth_rig *)user;
  static char body[400];
  io_http_header h[2] = {{"Content-Type", "application/json"}, {"Retry-After", r->retry_after}};
  io_http_res res = {.sent = true, .code = 200, .headers = h, .nheaders = 1, .error = ""};
  if (!strcmp(q->host, "api.example.org") && !strstr(q->target, ".well-known")) {
    r->calls++;
    r->last[0] = r->other[0] = 0;
    snprintf(r->target, sizeof r->target, "%s", q->target);
    for (unsigned k = 0; k < q->nheaders; k++) {
      size_t at = strlen(r->other);
      if (!strcasecmp(q->headers[k].name, "Authorization")) snprintf(r->last, sizeof r->last, "%s", q->headers[k].value);
      else snprintf(r->other + at, sizeof r->other - at, "%s: %s\n", q->headers[k].name, q->headers[k].value);
    }
    bool ok = !r->right[0] || strstr(r->last, r->right);
    if (!ok) r->unauthorised++, res.code = 401;
    res.body = !ok ? "{}" : r->reply ? r->reply : "{\"name\":\"x\"}", res.body_len = strlen((const char *)res.body);
    io_sim_http_reply(x, id, &res, 1000);
    return;
  }
  if (strstr(q->target, ".well-known")) r->discoveries++;
  unsigned i = r->logins++;
  if (i < RIG_SEEN) {
    snprintf(r->seen[i].host, sizeof r->seen[i].host, "%s:%u", q->host, q->port);
    snprintf(r->seen[i].target, sizeof r->seen[i].target, "%s", q->target);
    r->seen[i].headers[0] = 0;
    for (unsigned k = 0; k < q->nheaders; k++) {
      size_t at = strlen(r->seen[i].headers);
      snprintf(r->seen[i].headers + at, sizeof r->seen[i].headers - at, "%s: %s\n", q->headers[k].name, q->headers[k].value);
    }
    snprintf(r->seen[i].body, RIG_BODY, "%.*s", (int)q->body_len, q->body_len ? (const char *)q->body : "");
  }
  if (strstr(q->target, ".well-known")) snprintf(body, sizeof body, "{\"token_endpoint\":\"https://login.example.org/found\"}");
  else if (r->answer) snprintf(body, sizeof body, "%s", r->answer);
  else snprintf(body, sizeof body, "{\"access_token\":\"t%u\",\"token_type\":\"Bearer\",\"expires_in\":%d}", i + 1, r->life_s ? r->life_s : 3600);
  if (!r->answer && r->right[0]) snprintf(r->right, sizeof r->right, "t%u", i + 1);
  res.body = body, res.body_len = strlen(body);
  if (r->code) res.code = r->code;
  if (r->retry_after) res.nheaders = 2;
  if (r->gone) res = (io_http_res){.status = r->gone, .error = "connection refused"};
  io_sim_http_reply(x, id, &res, r->delay_us ? r->delay_us : 50000);
}

/* With drivers in the place of mocks; "" or why it does not start. */
static inline const char *auth_try(auth_rig *r) { return prog_try_drivers(r->p); }

static inline void auth_restart(auth_rig *r) {
  engine_close(r->p->e);
  const char *why = auth_try(r);
  if (why[0]) fail_msg("%s", why);
}

static inline void auth_secret(auth_rig *r, const char *name, const char *value) {
  r->secrets[r->nsecrets++] = (config_secret){.name = name, .file = name, .value = value, .value_len = strlen(value)};
}

/* Ready for auth_try. */
static inline void auth_prepare(auth_rig *r, const char *auth, const char *call) {
  static char text[3000];
  snprintf(text, sizeof text, "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(base: 'https://api.example.org/v1', auth: %s)\n"
           "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step r = %s\n  return { name: r.name }\n}\n", auth, call ? call : "crm.get('/x')");
  r->p = prog_new(r->text ? r->text : text, NULL, NULL, 0);
  engine_close(r->p->e);
  io_sim_on_http(r->p->io, auth_answer, r);
  io_sim_on_resolve(r->p->io, prog_resolve, NULL);
  if (!r->nsecrets) auth_secret(r, "s", "the/secret+1");
  r->p->cfg.secrets = r->secrets, r->p->cfg.nsecrets = r->nsecrets;
}

static inline void auth_begin(auth_rig *r, const char *auth, const char *call) {
  auth_prepare(r, auth, call);
  const char *why = auth_try(r);
  if (why[0]) fail_msg("%s", why);
}

/* Refused at the start; the reason. */
static inline void auth_refused(const char *auth, const char *secret, const char *why) {
  auth_rig r = {.nsecrets = 0};
  if (secret) auth_secret(&r, "s", secret);
  auth_prepare(&r, auth, NULL);
  const char *text = auth_try(&r);
  if (!strstr(text, why)) fail_msg("%s: '%s' instead of '%s'", auth, text, why);
  if (secret && strlen(secret) > 8) assert_null(strstr(text, secret));
  prog_free(r.p);
}

static inline void auth_runs(auth_rig *r, unsigned n) {
  static unsigned id;
  char name[16];
  for (unsigned i = 0; i < n; i++) {
    snprintf(name, sizeof name, "M%u", ++id);
    prog_submit(r->p, name, "1", "");
  }
}
#endif
