/* http_curl.c - the HTTP client behind the seam: libcurl's multi_socket interface on libevent. See http_curl.h. */
#include "http_curl.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_PINS = 16, MAX_FIELDS = 256, DEFAULT_HEADER_BYTES = 64 << 10, DEFAULT_BODY_BYTES = 64 << 20, IDLE_HANDLES = 32, POOL_CONNS = 64 };
enum { READ_BYTES = 1024 /* at once. Each open request has a buffer of it, and most of them wait: curl's 16 KiB would be the greater part of what a run that waits costs */ };

typedef struct bytes {
  char *p;
  size_t len, cap;
} bytes;

typedef struct pool {
  http_curl *h;
  struct pool *next;
  const http_identity *who;  /* NULL: the default identity */
  CURLM *multi;
  struct event *timer;
  CURL *idle[IDLE_HANDLES];  /* they may hold TLS sessions: never used for another identity */
  unsigned nidle;
  bool answered;             /* a peer has answered under this identity */
} pool;

typedef struct pin {
  uint8_t family, ip[16];
} pin;

typedef struct request {
  http_curl *h;
  struct request *next, **at;
  pool *pool;
  uint64_t id;
  CURL *easy;
  struct curl_slist *lists;  /* what curl is pointed at: set_lists */
  size_t lists_bytes;
  pin pin[MAX_PINS];         /* of an io_addr what is needed: as many requests are open as runs wait */
  unsigned npin;
  uint16_t port;
  bytes out, head, in;       /* request body; "name\0value\0" of the answer's headers; its body */
  unsigned nfields;
  size_t max_head, max_body;
  bool head_done, body_begun, denied, over, nomem, again, https;
  bool begun, repeatable, repeated; /* curl sends a request again when a kept connection ends before an answer: only GET and HEAD may be, the rest is the caller's to decide */
  char why[CURL_ERROR_SIZE + 120]; /* curl's own words */
  io_http_cb cb;
  void *user;
} request;

struct http_curl {
  io *io;
  struct event_base *base;
  pool *pools;
  request *reqs;
};

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static bool add_bytes(mem *m, bytes *b, const void *p, size_t len) {
  if (b->cap - b->len < len) {
    size_t cap = b->cap ? b->cap * 2 : 4096;
    if (cap < b->len + len) cap = b->len + len;
    char *n = m->get(m, cap);
    if (!n) return false;
    if (b->len) memcpy(n, b->p, b->len);
    if (b->p) m->put(m, b->p, b->cap);
    b->p = n;
    b->cap = cap;
  }
  if (len) memcpy(b->p + b->len, p, len);
  b->len += len;
  return true;
}
static void free_bytes(mem *m, bytes *b) {
  if (b->p) m->put(m, b->p, b->cap);
  *b = (bytes){NULL, 0, 0};
}

/* ---- where a connection may go ---------------------------------------------------------------------------------- */

static bool pinned(const request *r, const io_addr *a) {
  for (unsigned i = 0; i < r->npin; i++)
    if (r->pin[i].family == a->family && r->port == a->port && !memcmp(r->pin[i].ip, a->ip, a->family == IO_ADDR_IP4 ? 4 : 16)) return true;
  return false;
}

static bool from_sockaddr(const struct sockaddr *s, io_addr *out) {
  memset(out, 0, sizeof *out);
  if (s->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)s;
    out->family = IO_ADDR_IP4;
    out->port = ntohs(v4->sin_port);
    memcpy(out->ip, &v4->sin_addr, 4);
    return true;
  }
  if (s->sa_family != AF_INET6) return false;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)s;
  out->family = IO_ADDR_IP6;
  out->port = ntohs(v6->sin6_port);
  memcpy(out->ip, &v6->sin6_addr, 16);
  return true;
}

/* The last word on a new connection: the address that the kernel will see. */
static curl_socket_t open_socket(void *user, curlsocktype type, struct curl_sockaddr *a) {
  request *r = user;
  io_addr addr;
  if (type != CURLSOCKTYPE_IPCXN || !from_sockaddr(&a->addr, &addr) || !pinned(r, &addr)) {
    r->denied = true;
    return CURL_SOCKET_BAD;
  }
  return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

/* And on every connection, also a reused one, before anything is sent on it. */
static int before_request(void *user, char *peer, char *local, int peer_port, int local_port) {
  request *r = user;
  io_addr a = {0};
  (void)local, (void)local_port;
  a.port = (uint16_t)peer_port;
  if (inet_pton(AF_INET, peer, a.ip) == 1) a.family = IO_ADDR_IP4;
  else if (inet_pton(AF_INET6, peer, a.ip) == 1) a.family = IO_ADDR_IP6;
  if (a.family && pinned(r, &a)) {
    r->repeated = r->begun && !r->repeatable;
    r->begun = true;
    return r->repeated ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
  }
  r->denied = true;
  return CURL_PREREQFUNC_ABORT;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static size_t on_field(char *p, size_t size, size_t n, void *user) {
  request *r = user;
  mem *m = r->h->io->mem;
  size_t len = size * n, total = len;
  if (r->body_begun) return total; /* trailers are dropped */
  while (len && (p[len - 1] == '\r' || p[len - 1] == '\n')) len--;
  if (len >= 5 && !memcmp(p, "HTTP/", 5)) { /* what came before belongs to a 1xx answer */
    r->head.len = 0;
    r->nfields = 0;
    r->head_done = false;
    return total;
  }
  if (!len) r->head_done = true;
  const char *colon = memchr(p, ':', len);
  if (!len || !colon || colon == p || p[0] == ' ' || p[0] == '\t' || memchr(p, 0, len)) return total;
  size_t name = (size_t)(colon - p), at = name + 1;
  /* The body is given decoded: these two would describe what it was on the wire. */
  if ((name == 16 && !strncasecmp(p, "Content-Encoding", 16)) || (name == 14 && !strncasecmp(p, "Content-Length", 14))) return total;
  while (at < len && (p[at] == ' ' || p[at] == '\t')) at++;
  while (len > at && (p[len - 1] == ' ' || p[len - 1] == '\t')) len--;
  if (r->nfields == MAX_FIELDS || r->head.len + len > r->max_head) {
    r->over = true;
    return 0;
  }
  if (!add_bytes(m, &r->head, p, name) || !add_bytes(m, &r->head, "", 1) || !add_bytes(m, &r->head, p + at, len - at) || !add_bytes(m, &r->head, "", 1)) {
    r->nomem = true;
    return 0;
  }
  r->nfields++;
  return total;
}

static size_t on_body(char *p, size_t size, size_t n, void *user) {
  request *r = user;
  size_t len = size * n;
  r->body_begun = true;
  if (len > r->max_body - r->in.len) r->over = true;
  else if (!add_bytes(r->h->io->mem, &r->in, p, len)) r->nomem = true;
  else return len;
  return 0;
}

static hdw_status outcome(const request *r, CURLcode c) {
  if (r->nomem) return HDW_E_NOMEM;
  if (r->over) return HDW_E_LIMIT;
  if (r->denied && c != CURLE_OK) return HDW_E_DENIED;
  if (r->repeated) return HDW_E_CLOSED;
  switch (c) {
  case CURLE_OK: return HDW_OK;
  case CURLE_OPERATION_TIMEDOUT: return HDW_E_TIMEOUT;
  case CURLE_OUT_OF_MEMORY: return HDW_E_NOMEM;
  case CURLE_COULDNT_RESOLVE_HOST: return HDW_E_NOTFOUND;
  case CURLE_FILESIZE_EXCEEDED: return HDW_E_LIMIT;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_INVALIDCERTSTATUS: return HDW_E_DENIED;
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
  case CURLE_RECV_ERROR:
  case CURLE_SEND_ERROR: return HDW_E_CLOSED;
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_BAD_CONTENT_ENCODING: return HDW_E_SYNTAX;
  default: return HDW_E_IO;
  }
}

static void detach(request *r) {
  *r->at = r->next;
  if (r->next) r->next->at = r->at;
  if (!r->easy) return;
  curl_multi_remove_handle(r->pool->multi, r->easy);
  pool *p = r->pool;
  if (p->nidle < IDLE_HANDLES) {
    curl_easy_reset(r->easy);
    p->idle[p->nidle++] = r->easy;
  } else curl_easy_cleanup(r->easy);
  r->easy = NULL;
}

static void release(request *r) {
  mem *m = r->h->io->mem;
  if (r->lists) m->put(m, r->lists, r->lists_bytes);
  free_bytes(m, &r->out);
  free_bytes(m, &r->head);
  free_bytes(m, &r->in);
  m->put(m, r, sizeof *r);
}

/* Why it failed. What TLS says goes beyond the code's general text (which authority, which name, which alert), and holds nothing of a message. A peer that does not
 * like our certificate, or misses it, may just end the connection: under TLS 1.3 its alert comes after our handshake is done, if at all. */
static const char *reason(request *r, CURLcode c, long opened, long code) {
  if (r->denied) return "the address is not allowed";
  if (r->over) return "the answer is too long";
  bool ended = r->repeated || c == CURLE_SEND_ERROR || c == CURLE_RECV_ERROR || c == CURLE_GOT_NOTHING || c == CURLE_SSL_CONNECT_ERROR;
  bool tls = ended || c == CURLE_PEER_FAILED_VERIFICATION || c == CURLE_SSL_CERTPROBLEM || c == CURLE_SSL_CACERT_BADFILE || c == CURLE_SSL_ISSUER_ERROR || c == CURLE_SSL_CIPHER;
  const char *plain = r->repeated ? "the connection ended before an answer came" : curl_easy_strerror(c);
  if (!r->https || !tls) return plain;
  if (!r->why[0] || (ended && !strstr(r->why, "alert"))) snprintf(r->why, CURL_ERROR_SIZE, "%s", plain); /* else it speaks of sockets */
  r->why[120] = 0; /* what follows must find room in a record */
  size_t n = strlen(r->why);
  bool cert = r->pool->who && r->pool->who->cert_pem;
  if (ended && opened > 0 && !code && !(r->repeated && r->pool->answered)) snprintf(r->why + n, sizeof r->why - n, "; %s", cert ? "does the peer accept our certificate?" : "does the peer want a client certificate (tls.cert, tls.key)?");
  return r->why;
}

static void finish(request *r, CURLcode c) {
  io_http_res res = {0};
  io_http_header field[MAX_FIELDS];
  curl_off_t pre = 0;
  long code = 0, size = 0, opened = 0;
  curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &code);
  curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &size);
  curl_easy_getinfo(r->easy, CURLINFO_PRETRANSFER_TIME_T, &pre);
  curl_easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &opened);
  if (r->denied && c == CURLE_ABORTED_BY_CALLBACK && !opened && !r->again) {
    /* A kept connection to an address that is not allowed any more: once again on a new one. Nothing was sent. */
    r->again = true;
    r->denied = false;
    curl_multi_remove_handle(r->pool->multi, r->easy);
    curl_easy_setopt(r->easy, CURLOPT_FRESH_CONNECT, 1L);
    if (curl_multi_add_handle(r->pool->multi, r->easy) == CURLM_OK) return;
  }
  res.status = outcome(r, c);
  res.sent = size > 0 || r->repeated || (pre > 0 && !r->denied);
  res.error = res.status ? reason(r, c, opened, code) : "";
  if (!res.status && (code < 100 || code > 599)) {
    res.status = HDW_E_SYNTAX;
    res.error = "no status code";
  } else if (!res.status && !r->head_done) { /* curl takes a head that was cut off for an answer */
    res.status = HDW_E_CLOSED;
    res.error = "the answer was cut off";
  }
  if (!res.status) {
    r->pool->answered = true;
    res.code = (int)code;
    const char *p = r->head.p;
    for (unsigned i = 0; i < r->nfields; i++) {
      field[i].name = p;
      p += strlen(p) + 1;
      field[i].value = p;
      p += strlen(p) + 1;
    }
    res.headers = field;
    res.nheaders = r->nfields;
    res.body = r->in.len ? r->in.p : "";
    res.body_len = r->in.len;
  }
  io_http_cb cb = r->cb;
  void *user = r->user;
  detach(r);
  cb(&res, user); /* may start and cancel requests; r is not in the list any more */
  release(r);
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

/* Callbacks may free pools (io_http_curl_forget): the pool is looked up again before each look for finished requests. */
static bool alive(http_curl *h, const pool *p) {
  for (pool *q = h->pools; q; q = q->next)
    if (q == p) return true;
  return false;
}

static void collect(http_curl *h, pool *p) {
  while (alive(h, p)) {
    int left;
    CURLMsg *msg = curl_multi_info_read(p->multi, &left);
    if (!msg) return;
    if (msg->msg != CURLMSG_DONE) continue;
    request *r = NULL;
    CURLcode c = msg->data.result;
    curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &r);
    finish(r, c);
  }
}

static void on_socket(evutil_socket_t fd, short what, void *user) {
  pool *p = user;
  http_curl *h = p->h;
  h->io->ready++;
  int running, ev = ((what & EV_READ) ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0);
  curl_multi_socket_action(p->multi, fd, ev, &running);
  collect(h, p);
}

static void on_timer(evutil_socket_t fd, short what, void *user) {
  pool *p = user;
  http_curl *h = p->h;
  int running;
  (void)fd, (void)what;
  curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  collect(h, p);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *sockp) {
  pool *p = user;
  struct event *e = sockp;
  (void)easy;
  if (e) event_free(e);
  e = NULL;
  if (what != CURL_POLL_REMOVE) {
    short ev = (short)(EV_PERSIST | ((what & CURL_POLL_IN) ? EV_READ : 0) | ((what & CURL_POLL_OUT) ? EV_WRITE : 0));
    e = event_new(p->h->base, fd, ev, on_socket, p);
    if (!e || event_add(e, NULL)) {
      if (e) event_free(e);
      curl_multi_assign(p->multi, fd, NULL);
      return -1;
    }
  }
  curl_multi_assign(p->multi, fd, e);
  return 0;
}

static int watch_timer(CURLM *multi, long ms, void *user) {
  pool *p = user;
  (void)multi;
  if (ms < 0) return event_del(p->timer);
  struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
  return event_add(p->timer, &tv);
}

static pool *pool_of(http_curl *h, const http_identity *who) {
  mem *m = h->io->mem;
  for (pool *p = h->pools; p; p = p->next)
    if (p->who == who) return p;
  pool *p = m->get(m, sizeof *p);
  if (!p) return NULL;
  *p = (pool){.h = h, .next = h->pools, .who = who, .multi = curl_multi_init()};
  p->timer = event_new(h->base, -1, 0, on_timer, p);
  if (!p->multi || !p->timer) {
    if (p->multi) curl_multi_cleanup(p->multi);
    if (p->timer) event_free(p->timer);
    m->put(m, p, sizeof *p);
    return NULL;
  }
  curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
  curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
  curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, watch_timer);
  curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
  curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)POOL_CONNS);
  curl_multi_setopt(p->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  h->pools = p;
  return p;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static bool plain_host(const char *h) {
  size_t n = strlen(h);
  bool six = strchr(h, ':') != NULL;
  if (!n || n > 253) return false;
  for (size_t i = 0; i < n; i++) {
    char c = h[i];
    bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (six ? !(hex || c == ':' || c == '.') : !(hex || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '.' || c == '-' || c == '_')) return false;
  }
  return true;
}

static bool printable(const char *s, char from) {
  for (; *s; s++)
    if ((unsigned char)*s < (unsigned char)from || *s == 0x7f) return false;
  return true;
}

static bool is_one_of(const char *name, const char *const *list, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!strcasecmp(name, list[i])) return true;
  return false;
}

static bool acceptable(const io_http_req *q) {
  static const char *const framing[] = {"Content-Length", "Transfer-Encoding", "Connection", "Expect", "Host", "TE", "Trailer", "Upgrade", "Accept-Encoding", "Content-Encoding"};
  if (!q->method || !*q->method || strlen(q->method) > 20 || strspn(q->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != strlen(q->method)) return false;
  if (!plain_host(q->host) || !q->port || !q->target || q->target[0] != '/' || !printable(q->target, '!')) return false;
  if (!q->npin || q->npin > MAX_PINS || q->timeout_us <= 0 || (q->body_len && !q->body)) return false;
  for (unsigned i = 0; i < q->nheaders; i++) {
    const char *n = q->headers[i].name;
    if (!*n || strpbrk(n, "\"(),/:;<=>?@[\\]{} \t\r\n") || !printable(n, '!') || is_one_of(n, framing, sizeof framing / sizeof *framing)) return false;
    for (const char *v = q->headers[i].value; *v; v++)
      if (((unsigned char)*v < ' ' && *v != '\t') || *v == 0x7f) return false;
  }
  return true;
}

/* The name goes to the pinned addresses; nothing is looked up. Bytes of the text in line, 0 when an address is none. */
static size_t pin_addresses(request *r, const io_http_req *q, char line[256 + MAX_PINS * 50]) {
  char ip[INET6_ADDRSTRLEN];
  int n = snprintf(line, 256, "%s:%u:", q->host, q->port);
  for (unsigned i = 0; i < q->npin; i++) {
    const io_addr *a = &q->pin[i];
    bool six = a->family == IO_ADDR_IP6;
    if ((a->family != IO_ADDR_IP4 && !six) || !inet_ntop(six ? AF_INET6 : AF_INET, a->ip, ip, sizeof ip)) return 0;
    r->pin[i].family = a->family;
    memcpy(r->pin[i].ip, a->ip, sizeof a->ip);
    n += snprintf(line + n, 50, "%s%s%s%s", i ? "," : "", six ? "[" : "", ip, six ? "]" : "");
  }
  r->npin = q->npin;
  r->port = q->port;
  return (size_t)n + 1;
}

static struct curl_slist *listed(struct curl_slist *to, struct curl_slist *before, const char *text) {
  *to = (struct curl_slist){.data = (char *)(uintptr_t)text};
  if (before) before->next = to;
  return to;
}

/* Headers and addresses. curl keeps pointers to such lists: one block holds their nodes and texts. Its own additions are taken out unless the caller gave the header. */
static bool set_lists(request *r, const io_http_req *q) {
  static const char *const own[] = {"Accept", "Content-Type", "User-Agent"}, *const off[] = {"Accept:", "Content-Type:", "User-Agent:"};
  char where[256 + MAX_PINS * 50];
  mem *m = r->h->io->mem;
  size_t where_len = pin_addresses(r, q, where), texts = where_len, nodes = 2 + sizeof own / sizeof *own + q->nheaders;
  for (unsigned i = 0; i < q->nheaders; i++) texts += strlen(q->headers[i].name) + strlen(q->headers[i].value) + 3;
  r->lists_bytes = nodes * sizeof(struct curl_slist) + texts;
  r->lists = where_len ? m->get(m, r->lists_bytes) : NULL;
  if (!r->lists) return false;
  struct curl_slist *n = r->lists, *fields = n + 1, *last = listed(fields, NULL, "Expect:");
  char *at = (char *)(n + nodes), *end = (char *)r->lists + r->lists_bytes;
  listed(n, NULL, memcpy(at, where, where_len));
  at += where_len;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    bool given = false;
    for (unsigned k = 0; k < q->nheaders; k++) given |= !strcasecmp(q->headers[k].name, own[i]);
    if (!given) last = listed(last + 1, last, off[i]);
  }
  for (unsigned i = 0; i < q->nheaders; i++) {
    const char *v = q->headers[i].value + strspn(q->headers[i].value, " \t");
    /* An empty value is written with a semicolon: curl's way to send it and not to take it out. */
    last = listed(last + 1, last, at);
    at += snprintf(at, (size_t)(end - at), "%s%s%s", q->headers[i].name, *v ? ": " : ";", v) + 1;
  }
  return curl_easy_setopt(r->easy, CURLOPT_RESOLVE, n) == CURLE_OK && curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, fields) == CURLE_OK;
}

static bool set_blob(CURL *e, CURLoption o, const char *pem) {
  struct curl_blob b = {(void *)(uintptr_t)pem, strlen(pem), CURL_BLOB_COPY};
  return curl_easy_setopt(e, o, &b) == CURLE_OK;
}

#define SET(opt, val) (curl_easy_setopt(e, opt, val) == CURLE_OK)

static bool set_tls(CURL *e, const http_identity *who) {
  bool ok = SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) && SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  ok = ok && SET(CURLOPT_CAPATH, NULL); /* one file: curl then loads the roots once for a pool, not once a connection */
  if (!who) return ok;
  if (who->ca_pem) ok = ok && set_blob(e, CURLOPT_CAINFO_BLOB, who->ca_pem);
  if (who->cert_pem) ok = ok && who->key_pem && set_blob(e, CURLOPT_SSLCERT_BLOB, who->cert_pem) && set_blob(e, CURLOPT_SSLKEY_BLOB, who->key_pem);
  return ok;
}

static bool set_method(request *r, const io_http_req *q) {
  CURL *e = r->easy;
  if (!strcmp(q->method, "HEAD")) return SET(CURLOPT_NOBODY, 1L);
  bool ok = true, body = q->body_len || !strcmp(q->method, "POST") || !strcmp(q->method, "PUT") || !strcmp(q->method, "PATCH");
  if (body) ok = SET(CURLOPT_POST, 1L) && SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->out.len) && SET(CURLOPT_POSTFIELDS, r->out.len ? r->out.p : "");
  return ok && SET(CURLOPT_CUSTOMREQUEST, q->method);
}

static long milliseconds(int64_t us) { return us / 1000 > INT32_MAX ? INT32_MAX : (long)((us + 999) / 1000); }

static bool set_all(request *r, const io_http_req *q) {
  CURL *e = r->easy;
  char url[320];
  bool six = strchr(q->host, ':') != NULL;
  int64_t connect_us = q->connect_timeout_us > 0 && q->connect_timeout_us < q->timeout_us ? q->connect_timeout_us : q->timeout_us;
  long ms = milliseconds(q->timeout_us);
  snprintf(url, sizeof url, "%s://%s%s%s:%u/", q->https ? "https" : "http", six ? "[" : "", q->host, six ? "]" : "", q->port);
  return SET(CURLOPT_PROTOCOLS_STR, q->https ? "https" : "http") && SET(CURLOPT_URL, url) && SET(CURLOPT_REQUEST_TARGET, q->target) && SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOPROXY, "*") &&
         SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_TIMEOUT_MS, ms) && SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(connect_us)) &&
         SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) && SET(CURLOPT_HTTP09_ALLOWED, 0L) && SET(CURLOPT_ACCEPT_ENCODING, "gzip") && SET(CURLOPT_TCP_KEEPALIVE, 1L) &&
         SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) && SET(CURLOPT_BUFFERSIZE, (long)READ_BYTES) && SET(CURLOPT_OPENSOCKETFUNCTION, open_socket) && SET(CURLOPT_OPENSOCKETDATA, r) && SET(CURLOPT_PREREQFUNCTION, before_request) &&
         SET(CURLOPT_PREREQDATA, r) && SET(CURLOPT_HEADERFUNCTION, on_field) && SET(CURLOPT_HEADERDATA, r) && SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, r) && SET(CURLOPT_PRIVATE, r) &&
         SET(CURLOPT_ERRORBUFFER, r->why) && set_method(r, q) && set_lists(r, q) && (!q->https || set_tls(e, r->pool->who));
}

hdw_status io_http_curl_request(http_curl *h, uint64_t id, const io_http_req *q, io_http_cb cb, void *user) {
  mem *m = h->io->mem;
  if (!acceptable(q)) return HDW_E_INVALID;
  pool *p = pool_of(h, q->tls);
  request *r = p ? m->get(m, sizeof *r) : NULL;
  if (!r) return HDW_E_NOMEM;
  memset(r, 0, sizeof *r);
  r->h = h;
  r->pool = p;
  r->id = id;
  r->https = q->https;
  r->repeatable = !strcmp(q->method, "GET") || !strcmp(q->method, "HEAD");
  r->cb = cb;
  r->user = user;
  r->max_head = q->max_header_bytes ? q->max_header_bytes : DEFAULT_HEADER_BYTES;
  r->max_body = q->max_body_bytes ? q->max_body_bytes : DEFAULT_BODY_BYTES;
  r->easy = p->nidle ? p->idle[--p->nidle] : curl_easy_init();
  r->at = &h->reqs;
  r->next = h->reqs;
  if (r->next) r->next->at = &r->next;
  h->reqs = r;
  if (!r->easy || (q->body_len && !add_bytes(m, &r->out, q->body, q->body_len)) || !set_all(r, q) || curl_multi_add_handle(p->multi, r->easy) != CURLM_OK) {
    detach(r);
    release(r);
    return HDW_E_NOMEM;
  }
  return HDW_OK;
}

bool io_http_curl_cancel(http_curl *h, uint64_t id) {
  for (request *r = h->reqs; r; r = r->next)
    if (r->id == id) {
      detach(r);
      release(r);
      return true;
    }
  return false;
}

static void free_pool(http_curl *h, pool *p) {
  for (request *r = h->reqs, *n; r; r = n) {
    n = r->next;
    if (r->pool != p) continue;
    detach(r);
    release(r);
  }
  while (p->nidle) curl_easy_cleanup(p->idle[--p->nidle]);
  curl_multi_cleanup(p->multi);
  event_free(p->timer);
  h->io->mem->put(h->io->mem, p, sizeof *p);
}

void io_http_curl_forget(http_curl *h, const http_identity *who) {
  for (pool **at = &h->pools; *at; at = &(*at)->next)
    if ((*at)->who == who) {
      pool *p = *at;
      *at = p->next;
      free_pool(h, p);
      return;
    }
}

hdw_status io_http_curl_start(void) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || OPENSSL_init_ssl(0, NULL) != 1 || RAND_status() != 1) return HDW_E_IO;
  return HDW_OK;
}

hdw_status io_http_curl_new(io *x, struct event_base *base, http_curl **out) {
  *out = NULL;
  hdw_status s = io_http_curl_start();
  http_curl *h = s ? NULL : x->mem->get(x->mem, sizeof *h);
  if (!h) return s ? s : HDW_E_NOMEM;
  memset(h, 0, sizeof *h);
  h->io = x;
  h->base = base;
  *out = h;
  return HDW_OK;
}

void io_http_curl_free(http_curl *h) {
  if (!h) return;
  while (h->pools) {
    pool *p = h->pools;
    h->pools = p->next;
    free_pool(h, p);
  }
  h->io->mem->put(h->io->mem, h, sizeof *h);
  curl_global_cleanup();
}
