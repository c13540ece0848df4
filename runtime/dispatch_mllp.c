/* dispatch_mllp.c - HL7 receivers over MLLP: message, send (builtins.def, kind mllp).
 *
 * One connection, one message in flight; the next waits for its acknowledgement (H-19, H-21). AA, CA: done. AE, CE: transient. AR, CR:
 * permanent. No MSA that is ours: unknown, sent again with the same MSH-10 (H-20). */
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
} eng_mllp;

typedef struct wait {
  eng_call *next;
  const void *p;
  size_t len;
  eng_mllp *m;
} wait;

static wait *wait_of(eng_call *c) { return (wait *)c->driver; }

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
  return HDW_OK;
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
  return mllp_ack_is_for(p, len, m->id, m->id_len);
}

static void read_ack(eng_call *call, const uint8_t *p, size_t len) {
  hl7_msg *msg;
  hl7_ack_info ack;
  const char *copy = arena_dup(call->a, p, len);
  hl7_opts o = {.schema = call->e->o.schema};
  hdw_status s = copy ? hl7_parse(call->a, copy, len, &o, &msg, NULL) : HDW_E_NOMEM;
  if (!s) s = hl7_ack_read(msg, &ack);
  if (s || !ack.code[0]) {
    eng_call_fail(call, FAIL_AMBIGUOUS, 0, "no_ack", "the answer is no acknowledgement");
    return;
  }
  char error[24] = "";
  if (ack.nerrors) snprintf(error, sizeof error, " error %.*s", (int)(ack.errors[0].code.len > 12 ? 12 : ack.errors[0].code.len), ack.errors[0].code.p);
  if (ack.code[1] == 'A') {
    call->ok = true;
    if (hl7_value(call->a, msg, &call->result)) call->result = VAL_NONE;
  } else eng_call_fail(call, ack.code[1] == 'E' ? FAIL_TRANSIENT : FAIL_PERMANENT, 0, ack.code, "the receiver answered %s%s", ack.code, error);
}

static void on_answer(void *user, hdw_status s, bool sent, const uint8_t *p, size_t len) {
  eng_mllp *m = (eng_mllp *)user;
  eng_call *call = m->current;
  if (!call) return;
  call->sent = sent;
  if (s) eng_call_fail(call, s == HDW_E_DENIED ? FAIL_PERMANENT : sent ? FAIL_AMBIGUOUS : FAIL_TRANSIENT, 0, hdw_status_name(s), "%s", hdw_status_text(s));
  else read_ack(call, p, len);
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
    mllp_client_opts o = {.addr = *a, .host = m->c->host, .version = 1, .connect_timeout_us = m->c->timeout_us, .reply_timeout_us = m->c->timeout_us,
                          .idle_close_us = 60000000, .max_frame_bytes = (size_t)m->c->cfg->o.max_response_bytes};
    s = mllp_client_new(e->io, &o, &m->client);
  } else mllp_client_set_addr(m->client, a);
  if (!s) s = mllp_client_send(m->client, w->p, w->len, m->id_len ? is_ours : NULL, on_answer, m);
  if (!s) return;
  eng_call_fail(call, s == HDW_E_DATA ? FAIL_DATA : FAIL_TRANSIENT, 0, hdw_status_name(s), "%s", s == HDW_E_DATA ? "the message holds framing bytes" : hdw_status_text(s));
  io_timer_set(e->io, &call->timer, 0, on_broken, m);
}

static void on_resolved(hdw_status s, const io_addr *addrs, unsigned n, void *user) {
  eng_mllp *m = (eng_mllp *)user;
  m->resolve = 0;
  if (!m->current) return;
  for (unsigned i = 0; i < n; i++)
    if (eng_egress_ok(m->c, &addrs[i])) {
      transmit(m, &addrs[i]);
      return;
    }
  if (n) broken(m, FAIL_PERMANENT, HDW_E_DENIED, "the address is not allowed: see grant.networks of the connection");
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
  }
  char text[300];
  io_addr a;
  snprintf(text, sizeof text, strchr(m->c->host, ':') ? "[%.250s]:%u" : "%.250s:%u", m->c->host, m->c->port);
  if (!io_addr_parse(text, &a)) {
    if (eng_egress_ok(m->c, &a)) transmit(m, &a);
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
    eng_call_fail(call, FAIL_DATA, 0, "HDW_E_TYPE", "the argument is no HL7 message");
    eng_call_later(call);
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
}

const eng_driver eng_driver_mllp = {.kind = "mllp", .in_order = true, .setup = mllp_setup, .start = mllp_start, .cancel = mllp_cancel, .close = mllp_close};
