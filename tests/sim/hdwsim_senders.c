/* hdwsim_senders.c - systems that send: one for each lane, which sends its next message when the one before has its final answer, as senders that keep an order do;
 * what is not answered, or answered AE, is sent again, over a new connection when the old one is of no use. Now and then an old message is sent again, half a
 * frame, or rubbish. One of them sends batches: several messages in a frame, whose answers come in one frame. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hdwsim.h"

enum { MOST = 5 /* messages in a batch */ };

typedef struct sender {
  world *w;
  unsigned lane;
  kind kind;
  uint16_t port;
  io_sock *s;
  bool connected, waiting;   /* waiting: for an answer to m */
  message *m, *again;        /* the one to be answered; an old one that is sent again */
  message *also[MOST - 1];   /* behind m in one batch */
  unsigned nalso;
  bool batches, miscounted;  /* miscounted: the trailer of the batch under way is wrong */
  char out[4096], in[8192];
  size_t out_len, out_at, in_len;
  io_timer next, patience;
} sender;

struct sender_state {
  sender v[SIM_SENDERS];
  bool stopping;
};

static void on_event(io_sock *s, unsigned events, void *user);
static void begin(void *user);

static void hang_up(sender *c) {
  if (c->s) io_close(c->s);
  c->s = NULL;
  c->connected = c->waiting = false;
  c->in_len = c->out_len = c->out_at = 0;
  io_timer_cancel(c->w->io, &c->patience);
}

static void again_in(sender *c, int64_t us) { io_timer_set(c->w->io, &c->next, us, begin, c); }

/* The connection is of no use, or the answer takes too long. */
static void give_up(sender *c, const char *why) {
  say(c->w, "sender %u: %s", c->lane, why);
  hang_up(c);
  again_in(c, 100000 + (int64_t)draw(c->w, 3 * SECOND));
}

static void on_patience(void *user) { give_up((sender *)user, "no answer"); }

/* ---- what is sent --------------------------------------------------------------------------------------------------------------------------- */

static message *current(const sender *c) { return c->again ? c->again : c->m; }

/* ER7, as it is stored. PID-4.1 tells contents apart and stands in the paths of effects; PID-8 X is rejected; PID-18.1 is the second key, or the FHIR patient. */
static size_t put_er7(const sender *c, message *m, char *out, size_t cap) {
  static const char *const groups[SIM_GROUPS] = {"", "G1", "G2"};
  char second[16];
  if (m->kind == KIND_CHART) snprintf(second, sizeof second, "p%u", m->key);
  else snprintf(second, sizeof second, "%s", groups[m->group]);
  const char *type = m->kind == KIND_ORDER ? "ORM^O01" : m->kind == KIND_NOTE ? "ADT^A08" : m->kind == KIND_CHART ? "ADT^A31" : "ADT^A01";
  int n = snprintf(out, cap, "MSH|^~\\&|LAB%u|HOSP|HUB|HUB|20260101120000||%s|%s|P|2.5.1\rPID|1||%c%u^^^HOSP^MR|%s|SMITH^JOHN|||%s||||||||||%s\r", c->lane, type, m->id,
                   m->kind == KIND_NOTE ? 'K' : 'P', m->kind == KIND_NOTE ? m->key : m->lane, m->tag, m->kind == KIND_REJECTED ? "X" : "M", second);
  m->sent_hash = hash_of(out, (size_t)n);
  return (size_t)n;
}

static size_t put_batch(sender *c, char *out, size_t cap) {
  c->miscounted = !c->w->now.calm && chance(c->w, 40);
  size_t n = (size_t)snprintf(out, cap, "FHS|^~\\&|LAB%u|HOSP\rBHS|^~\\&|LAB%u|HOSP\r", c->lane, c->lane);
  n += put_er7(c, c->m, out + n, cap - n);
  for (unsigned i = 0; i < c->nalso; i++) n += put_er7(c, c->also[i], out + n, cap - n);
  return n + (size_t)snprintf(out + n, cap - n, "BTS|%u\rFTS|1\r", 1 + c->nalso + c->miscounted);
}

static void write_message(sender *c) {
  message *m = current(c);
  char body[600];
  if (m->kind == KIND_WEB) {
    int n = snprintf(body, sizeof body, "{\"id\":\"%s.%s\",\"lane\":\"W%u\",\"n\":%u}", m->id, m->tag, m->lane, m->seq);
    n = snprintf(c->out, sizeof c->out, "POST /intake HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: %d\r\nIdempotency-Key: %s\r\n\r\n%s", n, m->id, body);
    c->out_len = (size_t)n;
  } else {
    c->out[0] = 0x0b;
    size_t n = 1 + (c->batches && !c->again ? put_batch(c, c->out + 1, sizeof c->out - 4) : put_er7(c, m, c->out + 1, sizeof c->out - 4));
    c->out[n] = 0x1c, c->out[n + 1] = '\r';
    c->out_len = n + 2;
  }
  c->out_at = 0;
}

static void flush(sender *c) {
  while (c->out_at < c->out_len) {
    size_t put = 0;
    hdw_status st = io_write(c->s, c->out + c->out_at, c->out_len - c->out_at, &put);
    if (st == HDW_E_AGAIN) break;
    if (st) {
      give_up(c, "cannot write");
      return;
    }
    c->out_at += put;
  }
  io_sock_on(c->s, c->out_at < c->out_len ? IO_READ | IO_WRITE : IO_READ, on_event, c);
}

static void goes_out(world *w, message *m) {
  if (!m->sent) m->sent_us = now_us(w);
  m->sent = true;
}

static void transmit(sender *c) {
  world *w = c->w;
  message *m = current(c);
  if (!w->now.calm && chance(w, 15)) { /* half of it, then the connection is gone */
    size_t put;
    write_message(c);
    (void)io_write(c->s, c->out, 1 + (size_t)draw(w, c->out_len - 1), &put);
    give_up(c, "broke off");
    return;
  }
  if (!w->now.calm && c->kind != KIND_WEB && chance(w, 10)) {
    size_t put;
    (void)io_write(c->s, "rubbish\r\n", 9, &put);
  }
  w->resends += m->sent;
  goes_out(w, m);
  for (unsigned i = 0; !c->again && i < c->nalso; i++) goes_out(w, c->also[i]);
  write_message(c);
  c->waiting = true;
  say(w, "sender %u sends %s.%s", c->lane, m->id, m->tag);
  for (unsigned i = 0; !c->again && i < c->nalso; i++) say(w, "sender %u sends %s.%s with it", c->lane, c->also[i]->id, c->also[i]->tag);
  io_timer_set(w->io, &c->patience, (w->now.calm ? 40 : 3 + (int64_t)draw(w, 30)) * SECOND, on_patience, c);
  flush(c);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------------------------ */

static void next_one(sender *c) {
  world *w = c->w;
  bool burst = chance(w, 300);
  if (c->again) {
    c->again = NULL;
    again_in(c, 1000 + (int64_t)draw(w, SECOND));
    return;
  }
  c->m = NULL;
  c->nalso = 0;
  again_in(c, burst ? (int64_t)draw(w, 20000) : (int64_t)draw(w, (uint64_t)(2 * w->gap_us)));
}

static void answered(sender *c, const char *code, const char *p, size_t len) {
  world *w = c->w;
  message *m = current(c);
  c->waiting = false;
  io_timer_cancel(w->io, &c->patience);
  say(w, "sender %u: %s.%s is answered %s", c->lane, m->id, m->tag, code);
  if (model_answered(w, m, code, p, len)) {
    if (!w->now.calm && chance(w, 100)) hang_up(c);
    next_one(c);
  } else again_in(c, 200000 + (int64_t)draw(w, 2 * SECOND));
}

/* The acknowledgements of a batch: each is its message's, and it goes on when all are final. */
static void batch_answered(sender *c, char *p) {
  world *w = c->w;
  unsigned n = 0, final = 0;
  c->waiting = false;
  io_timer_cancel(w->io, &c->patience);
  for (char *at = strstr(p, "MSH|"), *next; at; at = next) {
    char code[3] = "", id[16] = "";
    next = strstr(at + 4, "\rMSH|");
    char *end = next ? next + 1 : strstr(at, "\rBTS|"), *msa = strstr(at, "\rMSA|");
    if (next) next++;
    else if (end) end++;
    if (!end || !msa || msa > end || sscanf(msa + 5, "%2[A-Z]|%15[^|\r]", code, id) != 2) broken(w, "the answer to a batch cannot be read: %s", p);
    message *m = n == 0 ? c->m : n <= c->nalso ? c->also[n - 1] : NULL;
    if (!m || strcmp(m->id, id) != 0) broken(w, "the answer to a batch is about %s, which is not its message number %u", id, n);
    say(w, "sender %u: %s.%s of a batch is answered %s", c->lane, m->id, m->tag, code);
    if (c->miscounted && !strcmp(code, "AA") && !m->answer) broken(w, "%s.%s is taken out of a batch whose count is wrong", m->id, m->tag);
    final += model_answered(w, m, code, at, (size_t)(end - at));
    n++;
  }
  if (n != 1 + c->nalso) broken(w, "a batch of %u messages has %u answers", 1 + c->nalso, n);
  if (final == n) next_one(c);
  else again_in(c, 200000 + (int64_t)draw(w, 2 * SECOND));
}

/* True: an answer was taken out of what came. */
static bool take_frame(sender *c) {
  char *end = (char *)memmem(c->in, c->in_len, "\x1c\r", 2), *start = end ? (char *)memchr(c->in, 0x0b, (size_t)(end - c->in)) : NULL;
  char code[3] = "", id[16] = "";
  if (!end) return false;
  size_t len = start ? (size_t)(end - start - 1) : 0, used = (size_t)(end + 2 - c->in);
  char *copy = (char *)malloc(len + 1);
  if (len) memcpy(copy, start + 1, len);
  copy[len] = 0;
  memmove(c->in, end + 2, c->in_len - used);
  c->in_len -= used;
  if (c->waiting && c->batches && !c->again && (!strncmp(copy, "BHS", 3) || !strncmp(copy, "FHS", 3))) {
    batch_answered(c, copy);
    free(copy);
    return true;
  }
  const char *msa = strstr(copy, "\rMSA|");
  if (msa) (void)sscanf(msa + 5, "%2[A-Z]|%15[^|\r]", code, id);
  bool mine = c->waiting && !strcmp(id, current(c)->id);
  if (mine) answered(c, code, copy, len);
  else say(c->w, "sender %u: an answer for %s that it does not wait for", c->lane, id);
  free(copy);
  return true;
}

static bool take_response(sender *c) {
  char *end = (char *)memmem(c->in, c->in_len, "\r\n\r\n", 4);
  if (!end) return false;
  char code[4] = "";
  c->in[c->in_len < sizeof c->in ? c->in_len : sizeof c->in - 1] = 0;
  memcpy(code, c->in_len > 12 ? c->in + 9 : "", c->in_len > 12 ? 3 : 0);
  const char *length = (const char *)memmem(c->in, (size_t)(end - c->in), "Content-Length: ", 16);
  bool close = memmem(c->in, (size_t)(end - c->in), "Connection: close", 17) != NULL;
  size_t head = (size_t)(end + 4 - c->in), body = length ? (size_t)strtoul(length + 16, NULL, 10) : 0;
  if (c->in_len < head + body) return false;
  char *copy = (char *)malloc(body + 1);
  memcpy(copy, c->in + head, body);
  memmove(c->in, c->in + head + body, c->in_len - head - body);
  c->in_len -= head + body;
  if (c->waiting) answered(c, code, copy, body);
  free(copy);
  if (close) hang_up(c);
  return !close;
}

static void on_event(io_sock *s, unsigned events, void *user) {
  sender *c = (sender *)user;
  size_t got = 0;
  (void)s;
  if (events & IO_FAILED) {
    give_up(c, "not connected");
    return;
  }
  if (events & IO_CONNECTED) {
    c->connected = true;
    io_timer_cancel(c->w->io, &c->patience);
    io_sock_on(c->s, IO_READ, on_event, c);
    if (current(c)) transmit(c);
    return;
  }
  if (events & IO_WRITE) flush(c);
  if (!c->s || !(events & IO_READ)) return;
  if (c->in_len >= sizeof c->in - 1) c->in_len = 0;
  hdw_status st = io_read(c->s, c->in + c->in_len, sizeof c->in - 1 - c->in_len, &got);
  if (st == HDW_E_AGAIN) return;
  if (st) {
    if (c->waiting) give_up(c, "the connection ended");
    else hang_up(c);
    return;
  }
  c->in_len += got;
  while (c->s && (c->kind == KIND_WEB ? take_response(c) : take_frame(c))) {}
}

/* ---- the next thing to do ------------------------------------------------------------------------------------------------------------------------- */

/* An old message of this lane, be there others under its control id since. */
static message *an_old_one(sender *c) {
  world *w = c->w;
  for (unsigned k = 0; k < 8 && w->nmsgs; k++) {
    message *m = &w->msgs[draw(w, w->nmsgs)];
    if (m->lane == c->lane && m->answer) return m;
  }
  return NULL;
}

static message *a_new_one(sender *c) { return model_new_message(c->w, c->kind == KIND_ADT && chance(c->w, 60) ? KIND_REJECTED : c->kind, c->lane); }

static void begin(void *user) {
  sender *c = (sender *)user;
  world *w = c->w;
  if (c->waiting) return;
  if (!current(c)) {
    if (chance(w, 80)) c->again = an_old_one(c);
    if (!c->again) {
      if (w->senders->stopping) return;
      c->m = a_new_one(c);
      for (unsigned n = c->batches ? 1 + (unsigned)draw(w, MOST - 1) : 0; n; n--) c->also[c->nalso++] = a_new_one(c);
    }
  }
  if (c->s && c->connected) {
    transmit(c);
    return;
  }
  hang_up(c);
  io_addr a = {.family = IO_ADDR_IP4, .port = c->port, .ip = {127, 0, 0, 1}};
  io_timer_set(w->io, &c->patience, 10 * SECOND, on_patience, c);
  if (io_connect(w->io, &a, on_event, c, &c->s)) give_up(c, "no socket");
}

static kind kind_of(unsigned i) {
  static const struct { unsigned n; kind kind; } of[] = {{SIM_LANES, KIND_ADT}, {SIM_ORDERS, KIND_ORDER}, {SIM_WEBS, KIND_WEB}, {SIM_NOTES, KIND_NOTE}, {SIM_CHARTS, KIND_CHART}, {SIM_BATCHERS, KIND_ADT}};
  unsigned k = 0;
  for (; i >= of[k].n; k++) i -= of[k].n;
  return of[k].kind;
}

void senders_start(world *w) {
  w->senders = (struct sender_state *)calloc(1, sizeof *w->senders);
  for (unsigned i = 0; i < SIM_SENDERS; i++) {
    sender *c = &w->senders->v[i];
    c->w = w, c->lane = i;
    c->kind = kind_of(i), c->batches = i >= SIM_SENDERS - SIM_BATCHERS;
    c->port = c->kind == KIND_ORDER ? PORT_ORM : c->kind == KIND_WEB ? PORT_WEB : PORT_ADT;
    again_in(c, (int64_t)draw(w, (uint64_t)w->gap_us));
  }
}

void senders_stop(world *w) { w->senders->stopping = true; }

bool senders_idle(const world *w) {
  for (unsigned i = 0; i < SIM_SENDERS; i++)
    if (w->senders->v[i].m || w->senders->v[i].again) return false;
  return true;
}

void senders_free(world *w) {
  for (unsigned i = 0; i < SIM_SENDERS; i++) {
    io_timer_cancel(w->io, &w->senders->v[i].next);
    hang_up(&w->senders->v[i]);
  }
  free(w->senders);
}
