/* dispatch_http.c - see dispatch_http.h. */
#include "dispatch_http.h"
#include "auth_token.h"
#include <stdio.h>
#include <stdlib.h>
#include "http_curl.h"
#include "points.h"
#include "trace.h"
#include "url.h"

/* ---- addresses ------------------------------------------------------------------------------------------------------------------ */

static hdw_status parse_base(engine *e, eng_conn *c, const char *base, char text[ENG_TEXT]) {
  url u;
  hdw_status s = url_parse(&e->a, base, strlen(base), &u);
  if (s == HDW_E_NOMEM) return s;
  if (s || u.query) {
    snprintf(text, ENG_TEXT, "base: '%.120s' is no URL of the form http(s)://host[:port][/path]", base);
    return HDW_E_INVALID;
  }
  c->https = u.https;
  c->port = u.port;
  c->host = arena_dup(&e->a, u.host, strlen(u.host));
  size_t n = strlen(u.path);
  while (n && u.path[n - 1] == '/') n--;
  c->prefix = arena_dup(&e->a, u.path, n);
  return c->host && c->prefix ? HDW_OK : HDW_E_NOMEM;
}

hdw_status eng_http_setup(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  if (c->cfg->has_tls) { /* never given back: the client's pools are known by its address */
    http_identity *who = (http_identity *)arena_zalloc(&e->a, 1, sizeof *who);
    if (!who) return HDW_E_NOMEM;
    *who = (http_identity){c->cfg->cert_pem, c->cfg->key_pem, c->cfg->ca_pem};
    c->identity = who;
  }
  const char *base = c->cfg->o.base[0] ? c->cfg->o.base : jv_text(&e->a, jv_get(c->args, "base"));
  if (!base) {
    snprintf(text, ENG_TEXT, "base: missing; neither hdw.json nor the program says where it is");
    return HDW_E_INVALID;
  }
  hdw_status s = parse_base(e, c, base, text);
  return s ? s : eng_auth_setup(e, c, text);
}

static bool unreserved(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
}

void eng_percent(buf *b, const char *s, size_t n, const char *keep) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (unreserved(c) || (c && strchr(keep, c))) buf_putc(b, (char)c);
    else {
      char t[3] = {'%', hex[c >> 4], hex[c & 15]};
      buf_put(b, t, 3);
    }
  }
}

bool eng_target_ok(const char *target) {
  for (const char *p = target; *p && *p != '?'; p++)
    if (*p == '/' && p[1] == '.' && (!p[2] || p[2] == '/' || p[2] == '?' || (p[2] == '.' && (!p[3] || p[3] == '/' || p[3] == '?')))) return false;
  for (const char *q = target; *q; q++)
    if ((unsigned char)*q <= ' ' || (unsigned char)*q >= 0x7f || *q == '#') return false;
  return true;
}

/* ---- headers -------------------------------------------------------------------------------------------------------------------- */

void eng_http_init(eng_http *x, eng_call *call, const char *method) {
  *x = (eng_http){.call = call, .method = method, .https = call->c->https, .host = call->c->host, .port = call->c->port};
}

static bool token(const char *s) {
  if (!s[0]) return false;
  for (; *s; s++)
    if (!unreserved((unsigned char)*s) && !strchr("!#$%&'*+^`|", *s)) return false;
  return true;
}

bool eng_http_header(eng_http *x, const char *name, const char *value) {
  if (x->nheaders == OUT_MAX_HEADERS || !token(name)) return false;
  for (const char *p = value; *p; p++)
    if ((unsigned char)*p < ' ' || *p == 0x7f) return false;
  if (HDW_BROKEN("patch.blind") && !strcmp(x->method, "PATCH") && !strcmp(name, "If-Match")) value = "*";
  x->headers[x->nheaders++] = (io_http_header){name, value};
  return true;
}

const char *eng_http_find(const eng_http *x, const char *name) {
  for (unsigned i = 0; i < x->nheaders; i++)
    if (!strcasecmp(x->headers[i].name, name)) return x->headers[i].value;
  return NULL;
}

bool eng_http_headers_of(eng_http *x, val h) {
  arena *a = x->call->a;
  for (uint32_t i = 0; h.tag == VAL_OBJ && i < h.len; i++) {
    const char *name = jv_text(a, h.u.v[2 * i]), *value = eng_arg_text(a, h.u.v[2 * i + 1], NULL);
    if (!name || !value || !eng_http_header(x, name, value)) return false;
  }
  return true;
}

bool eng_http_trace(eng_http *x) {
  trace_ctx t;
  uint8_t span[TRACE_SPAN], parent[TRACE_SPAN];
  if (!x->call->c->cfg->o.trace) return true;
  char *text = (char *)arena_alloc(x->call->a, TRACE_TEXT);
  if (eng_http_find(x, "traceparent") || !text || !trace_of_call(x->call, &t, span, parent)) return true;
  trace_format(&t, span, text);
  return eng_http_header(x, "traceparent", text);
}

/* ---- answers -------------------------------------------------------------------------------------------------------------------- */

const char *eng_http_res_header(const io_http_res *res, const char *name) {
  for (unsigned i = 0; i < res->nheaders; i++)
    if (!strcasecmp(res->headers[i].name, name)) return res->headers[i].value;
  return NULL;
}

/* IMF-fixdate, RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT". */
static bool http_date_us(const char *v, int64_t *us) {
  static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char iso[32];
  tm_val t;
  unsigned m = 0;
  if (strlen(v) != HTTP_DATE_BYTES || v[3] != ',' || strcmp(v + 25, " GMT") != 0) return false;
  while (m < 12 && memcmp(v + 8, months[m], 3) != 0) m++;
  int n = snprintf(iso, sizeof iso, "%.4s-%02u-%.2sT%.8sZ", v + 12, m + 1, v + 5, v + 17);
  return m < 12 && !tm_parse_datetime(iso, (size_t)n, &t) && !tm_to_unix_us(&t, us);
}

int64_t eng_http_retry_after_us(eng_call *call, const io_http_res *res) {
  const char *v = eng_http_res_header(res, "Retry-After");
  char *end;
  int64_t us = 0, when;
  if (!v) return 0;
  if (v[0] >= '0' && v[0] <= '9') {
    unsigned long seconds = strtoul(v, &end, 10);
    us = *end ? 0 : seconds > 3600 ? ENG_ASKED_MAX_US : (int64_t)seconds * 1000000;
  } else if (http_date_us(v, &when)) us = when - io_wall_us(call->e->io);
  return us < 0 ? 0 : us > ENG_ASKED_MAX_US ? ENG_ASKED_MAX_US : us;
}

/* The number behind key in text, -1: there is none. */
static int64_t number_behind(const char *text, const char *key) {
  const char *p = strstr(text, key);
  if (!p || p[strlen(key)] < '0' || p[strlen(key)] > '9') return -1;
  unsigned long n = strtoul(p + strlen(key), NULL, 10);
  return n > UINT32_MAX ? UINT32_MAX : (int64_t)n;
}

/* Of one policy: how long until there is something again. */
static int64_t spent_us(int64_t remaining, int64_t reset_s) {
  return remaining != 0 || reset_s <= 0 ? 0 : (reset_s > 3600 ? 3600 : reset_s) * 1000000;
}

/* RateLimit ('"hour";r=0;t=30, "day";r=7;t=900', or as it was before: 'limit=10, remaining=0, reset=30'), RateLimit-Remaining and -Reset, and the same with X-,
 * whose reset some write as a time. */
int64_t eng_http_limit_us(eng_call *call, const io_http_res *res) {
  static const char *const names[][2] = {{"RateLimit-Remaining", "RateLimit-Reset"}, {"X-RateLimit-Remaining", "X-RateLimit-Reset"}, {"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"}};
  const char *all = eng_http_res_header(res, "RateLimit");
  int64_t most = all ? spent_us(number_behind(all, "remaining="), number_behind(all, "reset=")) : 0;
  for (const char *p = all; p && *p;) {
    char one[200];
    size_t n = strcspn(p, ",");
    snprintf(one, sizeof one, "%.*s", (int)(n < sizeof one ? n : sizeof one - 1), p);
    p += n + (p[n] == ',');
    int64_t us = spent_us(number_behind(one, ";r="), number_behind(one, ";t="));
    if (us > most) most = us;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *remaining = eng_http_res_header(res, names[i][0]), *reset = eng_http_res_header(res, names[i][1]);
    int64_t s = reset ? number_behind(reset, "") : -1, us;
    if (s > 1000000000) s -= io_wall_us(call->e->io) / 1000000;
    us = remaining ? spent_us(number_behind(remaining, ""), s) : 0;
    if (us > most) most = us;
  }
  return most;
}

void eng_http_failed(eng_http *x, const io_http_res *res) {
  eng_call *call = x->call;
  call->sent = res->sent;
  if (x->fail_class) { /* no credentials */
    eng_call_fail(call, x->fail_class, 0, x->fail_code, "%s", res->error);
    call->retry_after_us = x->fail_after_us;
    return;
  }
  /* Otherwise HDW_E_DENIED is a certificate that is over or not yet known here: somebody's to repair, so what waits for it waits. Nothing was sent. */
  uint8_t klass = x->forbidden || res->status == HDW_E_LIMIT ? FAIL_PERMANENT : res->sent ? FAIL_AMBIGUOUS : FAIL_TRANSIENT;
  eng_call_fail(call, klass, 0, hdw_status_name(res->status), "%s", res->error && res->error[0] ? res->error : hdw_status_text(res->status));
}

bool eng_http_refused(eng_call *call, const io_http_res *res) {
  char code[16];
  int n = snprintf(code, sizeof code, "%d", res->code);
  eng_reaction how = eng_reaction_of(call->c, code, (size_t)n);
  if (how == REACT_DONE) return true;
  uint8_t klass = how == REACT_RETRY ? FAIL_TRANSIENT : how == REACT_DEAD || res->code < 400 ? FAIL_PERMANENT : 0;
  eng_call_fail(call, klass, res->code, code, "HTTP %d %s", res->code, http_reason(res->code));
  call->judged = how == REACT_RETRY && res->code < 500;
  call->retry_after_us = eng_http_retry_after_us(call, res);
  return false;
}

/* ---- what the peer names -------------------------------------------------------------------------------------------------------- */

/* One of connections.NAME.origins: the same server under another name. */
static bool alias(const eng_conn *c, arena *a, const url *u) {
  for (unsigned i = 0; i < c->cfg->o.origins.n; i++) {
    url o;
    const char *t = c->cfg->o.origins.v[i];
    if (!url_parse(a, t, strlen(t), &o) && url_same_origin(&o, u)) return true;
  }
  return false;
}

const char *eng_http_local(eng_call *call, const char *from, const char *ref, const char **why) {
  const eng_conn *c = call->c;
  url here = {.https = c->https, .host = c->host, .port = c->port, .target = from ? from : "/", .path = from ? from : "/"}, to;
  if (strlen(ref) > URL_MAX_BYTES || url_resolve(call->a, &here, ref, strlen(ref), &to)) {
    *why = "it is no address";
    return NULL;
  }
  if (url_same_origin(&to, &here) || alias(c, call->a, &to)) return to.target;
  *why = "it is on another server; connections.NAME.origins names those that are the same";
  return NULL;
}

bool page_guard_step(page_guard *g, const char *target) { return page_guard_bytes(g, target, strlen(target)); }

bool page_guard_bytes(page_guard *g, const void *p, size_t len) {
  uint8_t h[REC_HASH];
  char hash[33];
  cod_sha256(p, len, NULL, 0, h);
  eng_hex(h, 16, hash);
  if (!strcmp(hash, g->mark)) return false;
  if (!g->power) g->power = 1;
  if (++g->at == g->power) {
    g->power *= 2;
    memcpy(g->mark, hash, sizeof g->mark);
  }
  return true;
}

/* ---- going out ------------------------------------------------------------------------------------------------------------------ */

static void ends(eng_http *x, hdw_status s, const char *error) {
  io_http_res res = {.status = s, .error = error};
  x->id = 0;
  x->done(x, &res);
}

/* From inside of eng_http_go: the callback must not come before it has returned. */
static void on_soon(void *user) {
  eng_http *x = (eng_http *)user;
  ends(x, x->failing, x->why);
}
static void ends_soon(eng_http *x, hdw_status s, const char *why) {
  if (why != x->why) snprintf(x->why, sizeof x->why, "%s", why);
  x->failing = s;
  io_timer_set(x->call->e->io, &x->call->timer, 0, on_soon, x);
}

static bool redirected(eng_http *x, const io_http_res *res);
static void authorise(eng_http *x);

static void on_response(const io_http_res *res, void *user) {
  eng_http *x = (eng_http *)user;
  const eng_auth_kind *k = x->call->c->auth;
  x->id = 0;
  if (!res->status && !x->bare && !x->elsewhere && x->call->c->cfg->o.rate_headers) {
    int64_t wait = eng_http_limit_us(x->call, res);
    if (wait) eng_conn_asked(x->call->c, wait);
  }
  if (!res->status && !x->bare && redirected(x, res)) return;
  if (!res->status && res->code == 401 && k && k->refused && !x->bare && !x->anonymous && !x->elsewhere && k->refused(x)) {
    if (!x->renewed) x->refused_us = io_mono_us(x->call->e->io);
    x->renewed = true;
    x->nheaders = x->nplain;
    x->call->left = x->left; /* it was not looked at */
    authorise(x);
    return;
  }
  x->done(x, res);
}

static void send(eng_http *x, const io_addr *pin, unsigned npin) {
  eng_call *call = x->call;
  io_http_req q = {.method = x->method, .https = x->https, .host = x->host, .port = x->port, .target = x->target, .headers = x->headers,
                   .nheaders = x->nheaders, .body = x->body, .body_len = x->body_len, .pin = pin, .npin = npin, .timeout_us = call->c->timeout_us, .connect_timeout_us = eng_conn_connect_us(call->c),
                   .max_body_bytes = x->max_body ? x->max_body : (size_t)call->c->cfg->o.max_response_bytes, .max_header_bytes = 65536,
                   .tls = x->elsewhere ? NULL : call->c->identity};
  if (!x->bare) {
    call->c->requests++;
    x->left = call->left, call->left = true;
  }
  if (x->body_len && !x->bare) eng_echo_sends(call, x->body, x->body_len);
  hdw_status s = io_http_request(call->e->io, &q, on_response, x, &x->id);
  if (s) ends_soon(x, s, "the request cannot be made");
}

/* To those of the addresses that may be reached; false: one of them is forbidden, and why says which rule does it. */
static bool send_allowed(eng_http *x, const io_addr *addrs, unsigned n) {
  egress_policy p = eng_egress(x->call->c);
  const char *rule = "";
  io_addr pin[OUT_MAX_PIN];
  unsigned npin = egress_pick(&p, addrs, n, pin, OUT_MAX_PIN, &rule);
  x->forbidden = !npin;
  if (npin) send(x, pin, npin);
  else snprintf(x->why, sizeof x->why, "%s %s: connections.%.60s.grant.networks does not allow it", n > 1 ? "one of the host's addresses is" : "the address is", rule, x->call->c->name);
  return npin > 0;
}

static void on_resolved(hdw_status s, const io_addr *addrs, unsigned n, void *user) {
  eng_http *x = (eng_http *)user;
  x->id = 0;
  if (s || !n) ends(x, s ? s : HDW_E_NOTFOUND, "the host's name cannot be resolved");
  else if (!send_allowed(x, addrs, n)) ends(x, HDW_E_DENIED, x->why);
}

/* The address, resolved and judged; then the request. */
static void reach(eng_http *x) {
  io_addr lit;
  if (egress_host(x->host, x->port, &lit)) {
    if (!send_allowed(x, &lit, 1)) ends_soon(x, HDW_E_DENIED, x->why);
    return;
  }
  hdw_status s = io_resolve(x->call->e->io, x->host, x->port, x->call->c->timeout_us, on_resolved, x, &x->id);
  if (s) ends_soon(x, s, "the host's name cannot be resolved");
}

static void on_over(void *user) { reach((eng_http *)user); }

/* A login takes its time, and the connection may have been taken away meanwhile. A call of which nothing has left is no attempt then; one that has come further goes on, but not before the
 * peer wants to be asked again. */
static void depart(eng_http *x) {
  eng_call *call = x->call;
  if (!x->bare && !call->left && eng_call_held(call)) {
    call->driver = NULL; /* there is nothing to cancel */
    call->began_us = 0;  /* nor to be counted */
    return;
  }
  int64_t asked = x->bare || !call->left ? 0 : eng_conn_asked_us(call->c);
  if (!asked) reach(x);
  else if (asked <= call->c->timeout_us) io_timer_set(call->e->io, &call->timer, asked, on_over, x);
  else {
    call->judged = true;
    eng_http_unauthorised(x, FAIL_TRANSIENT, "asked_to_wait", "the server asked to be left alone before the login was there", asked, true);
  }
}

static void authorise(eng_http *x) {
  const eng_auth_kind *k = x->call->c->auth;
  if (!k || x->bare || x->anonymous || k->apply(x)) depart(x);
}

void eng_http_authorised(eng_http *x) { depart(x); }

void eng_http_unauthorised(eng_http *x, uint8_t klass, const char *code, const char *text, int64_t again_us, bool soon) {
  x->fail_class = klass;
  x->fail_after_us = again_us > 0 && klass == FAIL_TRANSIENT ? again_us : 0;
  snprintf(x->fail_code, sizeof x->fail_code, "%s", code);
  snprintf(x->why, sizeof x->why, "%s", text);
  if (soon) ends_soon(x, HDW_E_DENIED, x->why);
  else ends(x, HDW_E_DENIED, x->why);
}

void eng_http_close(eng_conn *c) {
  if (c->auth && c->auth->close) c->auth->close(c);
}

void eng_http_go(eng_http *x) {
  x->nplain = x->nheaders;
  x->hops = 0;
  x->renewed = x->elsewhere = false;
  x->fail_class = 0;
  authorise(x);
}

void eng_http_cancel(eng_http *x) {
  if (x->waits) eng_token_leave(x);
  io_timer_cancel(x->call->e->io, &x->call->timer);
  if (x->id) io_cancel(x->call->e->io, x->id);
  x->id = 0;
}

/* 301, 302, 303, 307, 308 to a GET, as often as the operator allows; https only, but for the connection's own origin. True: the exchange goes on. */
static bool redirected(eng_http *x, const io_http_res *res) {
  eng_call *call = x->call;
  const char *to = eng_http_res_header(res, "Location");
  bool is = res->code == 301 || res->code == 302 || res->code == 303 || res->code == 307 || res->code == 308;
  url from = {.https = x->https, .host = x->host, .port = x->port, .target = x->target, .path = x->target}, next, home;
  if (!is || !to || strcmp(x->method, "GET") != 0 || x->hops >= (unsigned)call->c->cfg->o.redirects) return false;
  if (strlen(to) > URL_MAX_BYTES || url_resolve(call->a, &from, to, strlen(to), &next)) return false;
  home = (url){.https = call->c->https, .host = call->c->host, .port = call->c->port};
  bool same = url_same_origin(&next, &home);
  if (!same && !next.https) return false;
  x->hops++;
  if (!same) { /* credentials stay with their origin, also when a later hop comes back */
    unsigned n = 0;
    for (unsigned i = 0; i < x->nheaders; i++) {
      const char *h = x->headers[i].name;
      if (strcasecmp(h, "Accept") != 0) continue;
      x->headers[n++] = x->headers[i];
    }
    x->nheaders = n;
    x->elsewhere = true;
  }
  x->https = next.https, x->host = next.host, x->port = next.port, x->target = next.target;
  reach(x);
  return true;
}
