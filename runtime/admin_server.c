/* admin_server.c - the socket, routing, actions. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "admin_int.h"
#include "json.h"

const char *admin_param(const admin_query *q, const char *name) {
  char *out = (char *)arena_alloc(q->a, 1024);
  long n = out && q->query.p ? http_query_get(q->query, name, out, 1023) : -1;
  if (n < 0) return NULL;
  out[n] = 0;
  return out;
}

bool admin_id(const char *s, uint64_t *out) {
  uint64_t n = 0;
  size_t k = 0;
  for (; s && s[k] >= '0' && s[k] <= '9' && k < 19; k++) n = n * 10 + (uint64_t)(s[k] - '0'); /* 19 digits fit */
  if (!k || s[k]) return false;
  *out = n;
  return true;
}

int admin_whole(admin_query *q, const char *name, uint64_t min, uint64_t max, uint64_t *out) {
  const char *s = admin_param(q, name);
  uint64_t n;
  if (!s) return 0;
  if (!admin_id(s, &n) || n < min || n > max) {
    if (max >= ADMIN_ANY) return admin_error(q, 400, "%s: a whole number%s is expected", name, min ? " above 0" : "");
    return admin_error(q, 400, "%s: a whole number from %llu to %llu is expected", name, (unsigned long long)min, (unsigned long long)max);
  }
  *out = n;
  return 0;
}

int admin_limit(admin_query *q, unsigned most, unsigned *out) {
  uint64_t n = *out;
  int bad = admin_whole(q, "limit", 1, ADMIN_MAX_LIMIT, &n);
  *out = n < most ? (unsigned)n : most;
  return bad;
}

int admin_error(admin_query *q, int status, const char *fmt, ...) {
  char text[300];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  q->b->len = 0;
  buf_puts(q->b, "{\"error\":");
  json_write_str(q->b, text, strlen(text));
  buf_puts(q->b, "}");
  return status;
}

bool admin_values(admin_query *q) {
  q->showed |= q->values;
  return q->values;
}

const char *admin_actor(const admin_query *q) {
  const char *says = admin_param(q, "who");
  char text[ADMIN_WHO + 50];
  int n = snprintf(text, sizeof text, says ? "%s (%.40s)" : "%s", q->who->name, says);
  const char *s = arena_dup(q->a, text, (size_t)n);
  return s ? s : q->who->name;
}

/* ---- answers that come later --------------------------------------------------------------------------------------------------- */

/* The call is kept as its record will name it. */
struct admin_later {
  admin_query q;
  admin_who who;
  arena a;
  buf b;
};

admin_later *admin_later_new(admin_query *q) {
  io *x = q->ad->io;
  admin_later *l = (admin_later *)x->mem->get(x->mem, sizeof *l);
  if (!l) return NULL;
  l->q = *q, l->who = *q->who;
  arena_init(&l->a, x->mem, 64 << 20);
  buf_init(&l->b, &l->a, 32 << 20);
  l->q.a = &l->a, l->q.b = &l->b, l->q.who = &l->who, l->q.body = NULL, l->q.body_len = 0;
  l->q.query.p = q->query.p ? arena_dup(&l->a, q->query.p, q->query.len) : NULL;
  l->q.path = arena_dup(&l->a, q->path, strlen(q->path));
  if (l->q.path && (!q->query.p || l->q.query.p)) return l;
  arena_free(&l->a);
  x->mem->put(x->mem, l, sizeof *l);
  return NULL;
}

static void later_free(admin_later *l) {
  io *x = l->q.ad->io;
  arena_free(&l->a);
  x->mem->put(x->mem, l, sizeof *l);
}

void admin_later_reply(admin_later *l, int status, const char *json, size_t len) {
  buf_put(&l->b, json, len);
  admin_finish(&l->q, l->b.status ? 503 : status);
  later_free(l);
}

void admin_later_drop(admin_later *l) { later_free(l); }

/* ---- requests ------------------------------------------------------------------------------------------------------------------ */

/* The row for a path; *other: it exists for another method. */
static const admin_view *find_view(http_str method, const char *path, bool *other) {
  *other = false;
  for (const admin_view *v = admin_views; v->path; v++) {
    size_t n = strlen(v->path);
    bool below = v->path[n - 1] == '/';
    if (below ? strncmp(path, v->path, n) != 0 || !path[n] : strcmp(path, v->path) != 0) continue;
    if (http_str_is(method, v->method)) return v;
    *other = true;
  }
  return NULL;
}

/* The one place where a call is let in. 0: yes. Without credentials every path is the same 401; with them an unknown path is 404, a lacking role 403. */
static int admit(const admin_door *d, const http_request *r, const admin_view *v, bool other, const admin_who *who) {
  if (d->kind == DOOR_OBSERVE) return v && v->roles & ADMIN_OPEN ? 0 : 404;
  if (who->locked) return 429;
  if (admin_foreign(d, r)) return 403;
  if (!who->known) return 401;
  if (!v) return other ? 405 : 404;
  return who->roles & v->roles & ADMIN_ALL ? 0 : 403;
}

static const admin_view *view_of(const http_request *r, char path[256], bool *other) {
  snprintf(path, 256, "%.*s", (int)(r->head->path.len > 255 ? 255 : r->head->path.len), r->head->path.p);
  return find_view(r->head->method, path, other);
}

/* Before the body is read. What is refused without a body gets its text and its record from on_request. */
static int on_head(void *user, const http_request *r, size_t *max_body_bytes, http_header *extra) {
  admin_door *d = (admin_door *)user;
  admin_who who;
  bool other, body = r->head->chunked || r->head->content_length > 0;
  char path[256];
  (void)extra;
  const admin_view *v = view_of(r, path, &other);
  admin_identify(d, r, body, &who);
  int status = admit(d, r, v, other, &who);
  *max_body_bytes = v && !status ? v->max_body_bytes : 0;
  return status && body ? status : 0;
}

static int refused(admin_query *q, int status) {
  char names[80];
  if (status == 401) return admin_error(q, 401, "who is calling is not known here");
  if (status == 429) return admin_error(q, 429, "too many wrong tokens came from this address; wait");
  if (status == 403 && q->who->known && q->view && !(q->who->roles & q->view->roles & ADMIN_ALL))
    return admin_error(q, 403, "%s has not the role for this; one of these is needed: %s", q->who->name, admin_role_names(q->view->roles, names));
  if (status == 403) return admin_error(q, 403, "calls of browsers and for other hosts are not answered here (admin_http.hosts)");
  return admin_error(q, status, status == 405 ? "another method is needed here" : "there is no such view or action");
}

static int call(admin_query *q, const http_request *r) {
  bool other;
  char path[256];
  q->view = view_of(r, path, &other);
  q->path = arena_dup(q->a, path, strlen(path));
  if (!q->path) return admin_error(q, 503, "out of memory");
  int status = admit(q->door, r, q->view, other, q->who);
  if (status) return refused(q, status);
  const char *reason = admin_param(q, "reason");
  q->rest = q->path + strlen(q->view->path);
  q->values = (q->who->roles & ADMIN_PHI) && (q->who->owner || (reason && reason[0]));
  status = q->view->fn(q);
  if (status && q->b->status) return admin_error(q, 500, "the answer is too large");
  if (status && status != 200 && !q->b->len) return admin_error(q, status, "%s", status == 404 ? "not found" : http_reason(status));
  return status;
}

static void on_request(void *user, http_token t, const http_request *r) {
  admin_door *d = (admin_door *)user;
  arena a;
  buf b;
  admin_who who;
  arena_init(&a, d->ad->io->mem, 128 << 20);
  buf_init(&b, &a, 64 << 20);
  admin_identify(d, r, !r->body_len, &who);
  admin_query q = {.ad = d->ad, .a = &a, .query = r->head->query, .b = &b, .who = &who, .body = r->body, .body_len = r->body_len, .path = "", .door = d, .token = t,
                   .accept = http_head_get(r->head, "accept")};
  int status = call(&q, r);
  if (status) admin_finish(&q, status);
  arena_free(&a);
}

/* ---- doors ------------------------------------------------------------------------------------------------------------------------------- */

static hdw_status open_door(admin *ad, admin_door_kind kind, const char *addr, uint16_t mode) {
  admin_door *d = &ad->doors[kind];
  *d = (admin_door){.ad = ad, .kind = kind};
  http_server_opts o = {.max_conns = 64, .max_waiting_bytes = 128 << 20, .head = on_head, .request = on_request, .user = d, .tls = kind == DOOR_TCP ? ad->tls : NULL};
  hdw_status s = io_addr_parse(addr, &o.addr);
  o.addr.mode = mode;
  return s ? s : http_server_new(ad->io, &o, &d->http);
}

static hdw_status open_tcp(admin *ad, admin_door_kind kind, const char *what, const char *address, int64_t port, char text[200]) {
  char addr[140], why[160] = "";
  snprintf(addr, sizeof addr, strchr(address, ':') && address[0] != '[' ? "[%.100s]:%lld" : "%.100s:%lld", address, (long long)port);
  hdw_status s = HDW_OK;
  if (kind == DOOR_TCP && ad->cfg->admin_tls.has_tls) {
    const config_listener *l = &ad->cfg->admin_tls;
    tls_opts o = {.server = true, .cert_pem = l->cert_pem, .key_pem = l->key_pem, .ca_pem = l->client_ca_pem};
    s = o.cert_pem && o.key_pem ? tls_ctx_new(&o, &ad->tls, why, sizeof why) : HDW_E_INVALID;
    if (s) snprintf(text, 200, "%s.tls: %.120s", what, why[0] ? why : "certificate or key was not read");
  }
  if (s) return s;
  s = open_door(ad, kind, addr, 0);
  if (s) snprintf(text, 200, "%s: %.120s: %s", what, addr, s == HDW_E_EXISTS ? "the address is in use" : s == HDW_E_SYNTAX ? "this is no address" : hdw_status_text(s));
  return s;
}

/* The socket belongs to the daemon's user; to others only when hdw.json gives them roles. Who connects is asked of the kernel each time. */
static hdw_status open_socket(admin *ad, const char *path, char text[200]) {
  const config_roles *r = &ad->cfg->roles;
  bool others = r->viewer.n || r->operator.n || r->phi_viewer.n || r->deployer.n;
  io_stat_info st;
  snprintf(ad->path, sizeof ad->path, "unix:%.100s", path);
  hdw_status s = strlen(path) > 100 ? HDW_E_LIMIT : open_door(ad, DOOR_SOCKET, ad->path, others ? 0666 : 0600);
  if (s) snprintf(text, 200, "the admin socket %.120s: %s", path, s == HDW_E_LIMIT ? "the path is longer than 100 bytes; set \"admin\"" : hdw_status_text(s));
  if (!s && !io_stat(ad->io, path, &st)) ad->uid = st.uid; /* we made it */
  return s;
}

hdw_status admin_new(io *x, engine *e, const config *cfg, const char *path, admin **out, char text[200]) {
  admin *ad = (admin *)x->mem->get(x->mem, sizeof *ad);
  if (!ad) return HDW_E_NOMEM;
  memset(ad, 0, sizeof *ad);
  ad->io = x, ad->e = e, ad->cfg = cfg;
  hdw_status s = open_socket(ad, path, text);
  if (!s && cfg->has_admin_http) s = open_tcp(ad, DOOR_TCP, "admin_http", cfg->admin_http.address, cfg->admin_http.port, text);
  if (!s && cfg->has_observe) s = open_tcp(ad, DOOR_OBSERVE, "observe", cfg->observe.address, cfg->observe.port, text);
  if (s) {
    admin_free(ad);
    return s;
  }
  *out = ad;
  return HDW_OK;
}

uint16_t admin_port(const admin *ad, bool observe) {
  const admin_door *d = &ad->doors[observe ? DOOR_OBSERVE : DOOR_TCP];
  io_addr a = {0};
  if (d->http) http_server_addr(d->http, &a);
  return a.port;
}

void admin_free(admin *ad) {
  if (ad->doors[DOOR_SOCKET].http) (void)io_unlink(ad->io, ad->path + 5);
  for (unsigned i = 0; i < ADMIN_DOORS; i++) http_server_free(ad->doors[i].http);
  if (ad->tls) tls_ctx_free(ad->tls);
  ad->io->mem->put(ad->io->mem, ad, sizeof *ad);
}
