/* dispatch_mllp.c - HL7 receivers over MLLP: message, send (builtins.def, kind mllp).
 *
 * One connection, one message in flight; the next waits for its acknowledgement (H-19, H-21). What that means: dispatch_ack.c. No MSA that is
 * ours: unknown, sent again with the same MSH-10 (H-20).
 *
 * What completes a message: its application acknowledgement (AA, AE, AR), unless the program says ack: 'accept' or the message itself asks for none
 * (MSH-15 is there and MSH-16 is empty or NE); ack: 'commit' is the block of MLLP 2. A refusal (CE, CR) always completes it. */
#include <stdio.h>
#include <stdlib.h>
#include "engine_int.h"

typedef struct eng_mllp {
  eng_conn *c;
  mllp_client *client;
  eng_call *current, *first, *last;  /* in work; waiting, linked through wait.next */
  uint64_t resolve;
  char id[256];                      /* our MSH-10 */
  size_t id_len;
  bool commit, accept;               /* by declaration */
  bool accept_now;                   /* for the current message an accept acknowledgement is enough */
  unsigned turn;                     /* which of the host's addresses is tried: the next one when a connection cannot be made */
} eng_mllp;

typedef struct wait {
  eng_call *next;
  const void *p;
  size_t len;
  eng_mllp *m;
} wait;

static wait *wait_of(eng_call *c) { return (wait *)c->driver; }

static hdw_status ack_mode(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  const char *ack = jv_text(&e->a, jv_get(c->args, "ack"));
  if (!ack || !strcmp(ack, "application")) return HDW_OK;
  c->clients->accept = !strcmp(ack, "accept");
  c->clients->commit = !strcmp(ack, "commit");
  if (c->clients->commit && c->cfg->o.mllp_version != 2) {
    snprintf(text, ENG_TEXT, "ack: 'commit' needs mllp_version 2");
    return HDW_E_INVALID;
  }
  if (c->clients->accept || c->clients->commit) return HDW_OK;
  snprintf(text, ENG_TEXT, "ack: 'application', 'accept' or 'commit' is expected, not '%.40s'", ack);
  return HDW_E_INVALID;
}

static hdw_status open_tls(eng_conn *c, char text[ENG_TEXT]) {
  char why[160] = "";
  tls_opts o = {.cert_pem = c->cfg->cert_pem, .key_pem = c->cfg->key_pem, .ca_pem = c->cfg->ca_pem};
  hdw_status s = tls_ctx_new(&o, &c->tls, why, sizeof why);
  if (s) snprintf(text, ENG_TEXT, "tls: %.150s", why[0] ? why : hdw_status_text(s));
  return s;
}

static hdw_status mllp_setup(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  int64_t port = 0;
  const char *addr = c->cfg->o.address;
  if (addr[0]) {
    const char *colon = strrchr(addr, ':');
    char *end = NULL;
    port = colon ? strtol(colon + 1, &end, 10) : 0;
    size_t n = colon ? (size_t)(colon - addr) : 0;
    bool six = n > 2 && addr[0] == '[' && addr[n - 1] == ']';
    c->host = arena_dup(&e->a, addr + six, n >= 2u * six ? n - 2u * six : 0);
    if (!n || *end) port = 0;
  } else {
    c->host = (char *)(uintptr_t)jv_text(&e->a, jv_get(c->args, "host"));
    (void)jv_int(jv_get(c->args, "port"), &port);
  }
  if (!c->host || port < 1 || port > 65535) {
    snprintf(text, ENG_TEXT, "address: HOST:PORT is missing or malformed");
    return HDW_E_INVALID;
  }
  c->port = (uint16_t)port;
  c->clients = (eng_mllp *)arena_zalloc(&e->a, 1, sizeof *c->clients);
  if (!c->clients) return HDW_E_NOMEM;
  c->clients->c = c;
  hdw_status s = ack_mode(e, c, text);
  return s || !c->cfg->has_tls ? s : open_tls(c, text);
}

static void next(eng_mllp *m);

static void finish(eng_mllp *m) {
  eng_call *call = m->current;
  m->current = NULL;
  call->driver = NULL;
  eng_call_done(call);
  if (!m->current) next(m);
}

static bool is_ours(void *user, const uint8_t *p, size_t len) {
  const eng_mllp *m = (const eng_mllp *)user;
  char code[3];
  if (!mllp_ack_is_for(p, len, m->id, m->id_len)) return false;
  /* A commit of the receiver's store is not the application's word (H-19): that is still to come. */
  return !eng_ack_code(p, len, code) || strcmp(code, "CA") != 0 || m->accept_now;
}

/* What an operator can act upon. */
static const char *why(const eng_mllp *m, hdw_status s, bool sent, char text[ENG_TEXT]) {
  const eng_conn *c = m->c;
  /* A certificate that is over or not yet known here is somebody's to repair: what waits for it goes out then. Nothing was sent. */
  if (s == HDW_E_DENIED) return "the server's certificate is not accepted: its dates, its name or its authority (tls.ca)";
  if (s != HDW_E_CLOSED && s != HDW_E_TIMEOUT) return hdw_status_text(s);
  if (sent) snprintf(text, ENG_TEXT, "%s", s == HDW_E_CLOSED ? "the receiver ended the connection without an answer" : "the receiver did not answer in time (timeout)");
  else if (s == HDW_E_TIMEOUT) snprintf(text, ENG_TEXT, "no connection to %.80s:%u in time", c->host, c->port);
  else snprintf(text, ENG_TEXT, "no connection to %.80s:%u: nothing listens there, or it was ended at once%s", c->host, c->port, c->tls ? " (does the server want a certificate, tls.cert?)" : "");
  return text;
}

static void on_answer(void *user, hdw_status s, bool sent, const uint8_t *p, size_t len) {
  eng_mllp *m = (eng_mllp *)user;
  eng_call *call = m->current;
  if (!call) return;
  call->sent = sent;
  m->turn += s && !sent;
  char text[ENG_TEXT];
  if (s) eng_call_fail(call, sent ? FAIL_AMBIGUOUS : FAIL_TRANSIENT, 0, hdw_status_name(s), "%s", why(m, s, sent, text));
  else if (len) eng_ack_judge(call, p, len, m->id, m->id_len);
  else call->ok = true; /* the commit block */
  finish(m);
}

static void broken(eng_mllp *m, uint8_t klass, hdw_status s, const char *text) {
  eng_call_fail(m->current, klass, 0, hdw_status_name(s), "%s", text);
  finish(m);
}

static void on_broken(void *user) {
  eng_mllp *m = (eng_mllp *)user;
  if (m->current) finish(m);
}

/* Called with the address: connects when needed and sends. Errors come from the loop. */
static void transmit(eng_mllp *m, const io_addr *a) {
  eng_call *call = m->current;
  engine *e = m->c->e;
  const wait *w = wait_of(call);
  hdw_status s = HDW_OK;
  if (!m->client) {
    mllp_client_opts o = {.addr = *a, .host = m->c->cfg->tls.name && m->c->cfg->tls.name[0] ? m->c->cfg->tls.name : m->c->host, .tls = m->c->tls,
                          .version = (uint8_t)m->c->cfg->o.mllp_version, .commit_retries = (unsigned)m->c->cfg->o.commit_retries, .commit_only = m->commit,
                          .connect_timeout_us = eng_conn_connect_us(m->c), .reply_timeout_us = m->c->timeout_us,
                          .idle_close_us = 60000000, .max_frame_bytes = (size_t)m->c->cfg->o.max_response_bytes};
    s = mllp_client_new(e->io, &o, &m->client);
  } else mllp_client_set_addr(m->client, a);
  if (!s) eng_echo_sends(call, w->p, w->len);
  if (!s) s = mllp_client_send(m->client, w->p, w->len, is_ours, on_answer, m);
  if (!s) return;
  eng_call_fail(call, s == HDW_E_DATA ? FAIL_DATA : FAIL_TRANSIENT, 0, hdw_status_name(s), "%s", s == HDW_E_DATA ? "the message holds framing bytes" : hdw_status_text(s));
  io_timer_set(e->io, &call->timer, 0, on_broken, m);
}

static void on_resolved(hdw_status s, const io_addr *addrs, unsigned n, void *user) {
  eng_mllp *m = (eng_mllp *)user;
  m->resolve = 0;
  if (!m->current) return;
  io_addr good[16];
  egress_policy p = eng_egress(m->c);
  unsigned k = egress_pick(&p, addrs, n, good, 16, NULL);
  if (k) transmit(m, &good[m->turn % k]);
  else if (n) broken(m, FAIL_PERMANENT, HDW_E_DENIED, "the address is not allowed: see grant.networks of the connection");
  else broken(m, FAIL_TRANSIENT, s ? s : HDW_E_NOTFOUND, "the host's name cannot be resolved");
}

static void next(eng_mllp *m) {
  if (m->current || !m->first) return;
  eng_call *call = m->first;
  m->first = wait_of(call)->next;
  if (!m->first) m->last = NULL;
  m->current = call;
  hl7_head h;
  m->id_len = 0;
  if (!hl7_head_read((const char *)wait_of(call)->p, wait_of(call)->len, &h, NULL) && h.control_id.len < sizeof m->id) {
    memcpy(m->id, h.control_id.p, h.control_id.len);
    m->id_len = h.control_id.len;
    bool no_app = !h.app_ack.len || (h.app_ack.len == 2 && !memcmp(h.app_ack.p, "NE", 2));
    m->accept_now = m->accept || (h.accept_ack.len && no_app);
  }
  if (!m->id_len) { /* no answer could be told from another's */
    eng_call_fail(call, FAIL_DATA, 0, "no_control_id", "the message has no MSH-10, or one that is too long");
    io_timer_set(m->c->e->io, &call->timer, 0, on_broken, m);
    return;
  }
  io_addr a;
  if (egress_host(m->c->host, m->c->port, &a)) {
    egress_policy p = eng_egress(m->c);
    if (egress_pick(&p, &a, 1, &a, 1, NULL)) transmit(m, &a);
    else {
      eng_call_fail(call, FAIL_PERMANENT, 0, "HDW_E_DENIED", "the address is not allowed: see grant.networks of the connection");
      io_timer_set(m->c->e->io, &call->timer, 0, on_broken, m);
    }
    return;
  }
  hdw_status s = io_resolve(m->c->e->io, m->c->host, m->c->port, m->c->timeout_us, on_resolved, m, &m->resolve);
  if (!s) return;
  eng_call_fail(call, FAIL_TRANSIENT, 0, hdw_status_name(s), "the host's name cannot be resolved");
  io_timer_set(m->c->e->io, &call->timer, 0, on_broken, m);
}

static void mllp_start(eng_call *call) {
  eng_mllp *m = call->c->clients;
  wait *w = (wait *)arena_zalloc(call->a, 1, sizeof *w);
  val v = jv_get(call->request, "message");
  if (v.tag == VAL_EMPTY) v = jv_get(call->request, "0");
  hl7_slice s = {NULL, 0};
  const hl7_node *n = hl7_of(v);
  hdw_status st = w ? HDW_OK : HDW_E_NOMEM;
  if (!st && n && n->level == HL7_MSG) st = hl7_bytes(call->a, n->m, &s);
  else if (v.tag == VAL_STR) s = (hl7_slice){v.u.s, v.len};
  if (st || !s.len) {
    eng_call_unsent(call, FAIL_DATA, "HDW_E_TYPE", "the argument is no HL7 message");
    return;
  }
  *w = (wait){NULL, s.p, s.len, m};
  call->driver = w;
  if (m->last) wait_of(m->last)->next = call;
  else m->first = call;
  m->last = call;
  next(m);
}

static void mllp_cancel(eng_call *call) {
  eng_mllp *m = call->c->clients;
  if (m->current == call) {
    m->current = NULL;
    if (m->resolve) io_cancel(m->c->e->io, m->resolve);
    m->resolve = 0;
    if (m->client) mllp_client_cancel(m->client);
    if (!m->c->e->closing) next(m);
    return;
  }
  for (eng_call *c = m->first, *before = NULL; c; before = c, c = wait_of(c)->next) {
    if (c != call) continue;
    if (before) wait_of(before)->next = wait_of(c)->next;
    else m->first = wait_of(c)->next;
    if (m->last == c) m->last = before;
    return;
  }
}

static void mllp_close(eng_conn *c) {
  eng_mllp *m = c->clients;
  if (m->resolve) io_cancel(c->e->io, m->resolve);
  if (m->client) mllp_client_free(m->client);
  m->client = NULL;
  if (c->tls) tls_ctx_free(c->tls);
  c->tls = NULL;
}

const eng_driver eng_driver_mllp = {.kind = "mllp", .in_order = true, .setup = mllp_setup, .start = mllp_start, .cancel = mllp_cancel, .close = mllp_close};
