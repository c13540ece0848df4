/* mllpload - MLLP senders in a closed loop: each connection sends its next message when the answer to the last one has come.
 *
 *   mllpload HOST PORT CONNECTIONS SECONDS MESSAGE_FILE [WARM_UP_SECONDS [MAX_MESSAGES]]
 *
 * The file holds one HL7 v2 message; segments end with CR or LF. MSH-10, and whatever else is the same text, is replaced by a fresh number for every message, and the answer is
 * checked: MSA-1 must be AA or CA, MSA-2 that number. One line is printed; latencies in microseconds. Exit 1 when an answer was wrong or missing. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 64 << 10, EVENTS = 256, MAX_SAMPLES = 1 << 24, MAX_MESSAGE = 1 << 20, DRAIN_S = 10, MAX_PIECES = 9 };

typedef struct conn {
  int fd;
  uint64_t id;
  double sent_at;
  char *out;
  size_t out_len, out_at, in_len;
  bool waiting, open, blocked;
  char in[IN_BYTES + 1];
} conn;

typedef struct load {
  char *text;                /* the message */
  struct piece {
    size_t at, len;
  } piece[MAX_PIECES];       /* what stands between the places where the number goes */
  unsigned pieces;
  uint64_t next_id, left;
  int ep;
  double from, to;           /* the measured time */
  uint32_t *sample;
  size_t samples;
  long acked, refused, errors, open;
} load;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what) {
  perror(what);
  exit(2);
}

static void read_message(load *l, const char *path) {
  FILE *f = fopen(path, "rb");
  char *m = malloc(MAX_MESSAGE + 1);
  if (!f || !m) die(path);
  size_t n = fread(m, 1, MAX_MESSAGE, f), at = 0, end;
  fclose(f);
  for (size_t i = 0; i < n; i++)
    if (m[i] == '\n') m[i] = '\r';
  while (n > 1 && m[n - 1] == '\r' && m[n - 2] == '\r') n--;
  m[n] = 0;
  for (int bars = 0; at < n && bars < 9; at++) bars += m[at] == '|'; /* the ninth bar stands before MSH-10 */
  for (end = at; end < n && m[end] != '|' && m[end] != '\r';) end++;
  l->text = m;
  for (size_t from = 0, len = end - at;; from = at + len) {
    char *next = from == 0 ? m + at : len ? memmem(m + from, n - from, m + l->piece[0].len, len) : NULL;
    bool last = !next || l->pieces == MAX_PIECES - 1;
    at = last ? n : (size_t)(next - m);
    l->piece[l->pieces++] = (struct piece){from, at - from};
    if (last) return;
  }
}

static void want(load *l, conn *c, uint32_t events) { epoll_ctl(l->ep, EPOLL_CTL_MOD, c->fd, &(struct epoll_event){events, {.ptr = c}}); }

static void hang_up(load *l, conn *c, bool error) {
  if (!c->open) return;
  close(c->fd);
  c->open = c->waiting = false;
  l->open--;
  l->errors += error;
}

static void push_out(load *l, conn *c) {
  while (c->out_at < c->out_len) {
    ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      if (!c->blocked) want(l, c, EPOLLIN | EPOLLOUT);
      c->blocked = true;
      return;
    }
    if (n < 0) {
      hang_up(l, c, true);
      return;
    }
    c->out_at += (size_t)n;
  }
  if (c->blocked) want(l, c, EPOLLIN);
  c->blocked = false;
}

static void send_next(load *l, conn *c) {
  if (!l->left) {
    hang_up(l, c, false);
    return;
  }
  l->left--;
  c->id = l->next_id++;
  char *p = c->out;
  *p++ = 0x0b;
  for (unsigned i = 0; i < l->pieces; i++) {
    if (i) p += sprintf(p, "%015llu", (unsigned long long)c->id);
    memcpy(p, l->text + l->piece[i].at, l->piece[i].len);
    p += l->piece[i].len;
  }
  *p++ = 0x1c;
  *p++ = 0x0d;
  c->out_len = (size_t)(p - c->out);
  c->out_at = 0;
  c->waiting = true;
  c->sent_at = now_s();
  push_out(l, c);
}

static bool positive(const conn *c) {
  char want_id[24];
  const char *msa = strstr(c->in, "MSA|");
  snprintf(want_id, sizeof want_id, "|%015llu", (unsigned long long)c->id);
  size_t n = strlen(want_id);
  return msa && (msa[4] == 'A' || msa[4] == 'C') && msa[5] == 'A' && !strncmp(msa + 6, want_id, n) && (unsigned char)msa[6 + n] <= '|' && (msa[6 + n] < '0' || msa[6 + n] > '9');
}

static void receive(load *l, conn *c, bool stop) {
  ssize_t n = recv(c->fd, c->in + c->in_len, IN_BYTES - c->in_len, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    hang_up(l, c, true);
    return;
  }
  c->in_len += (size_t)n;
  c->in[c->in_len] = 0;
  char *end = memchr(c->in, 0x1c, c->in_len);
  if (!end || end + 1 == c->in + c->in_len) return;
  double t = now_s();
  *end = 0;
  bool ok = positive(c);
  size_t used = (size_t)(end - c->in) + 2;
  memmove(c->in, c->in + used, c->in_len - used);
  c->in_len -= used;
  if (t >= l->from && t < l->to) {
    if (!ok) l->refused++;
    else {
      l->acked++;
      if (l->samples < MAX_SAMPLES) l->sample[l->samples++] = (uint32_t)((t - c->sent_at) * 1e6);
    }
  } else if (!ok) l->refused++;
  c->waiting = false;
  if (stop) hang_up(l, c, false);
  else send_next(l, c);
}

static void dial(load *l, conn *c, const char *host, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  if (inet_pton(AF_INET, host, &a.sin_addr) != 1) die(host);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a)) die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->out = malloc(l->piece[l->pieces - 1].at + l->piece[l->pieces - 1].len + MAX_PIECES * 24);
  if (!c->out) die("memory");
  c->open = true;
  epoll_ctl(l->ep, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){EPOLLIN, {.ptr = c}});
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
static unsigned quantile(const load *l, double q) { return l->samples ? l->sample[(size_t)((double)(l->samples - 1) * q)] : 0; }

int main(int argc, char **argv) {
  struct epoll_event ev[EVENTS];
  load l = {0};
  if (argc < 6) {
    fprintf(stderr, "usage: mllpload HOST PORT CONNECTIONS SECONDS MESSAGE_FILE [WARM_UP_SECONDS [MAX_MESSAGES]]\n");
    return 2;
  }
  int n = atoi(argv[3]);
  double seconds = atof(argv[4]), warm = argc > 6 ? atof(argv[6]) : 1;
  read_message(&l, argv[5]);
  l.left = argc > 7 ? strtoull(argv[7], NULL, 10) : UINT64_MAX;
  l.next_id = (uint64_t)time(NULL) % 10000000 * 10000000u + 1; /* fresh in each run */
  l.ep = epoll_create1(EPOLL_CLOEXEC);
  l.sample = malloc(MAX_SAMPLES * sizeof *l.sample);
  conn *conns = calloc((size_t)n, sizeof *conns);
  if (n < 1 || !l.sample || !conns) die("memory");
  for (int i = 0; i < n; i++) dial(&l, &conns[i], argv[1], atoi(argv[2]));
  l.open = n;
  double start = now_s();
  l.from = start + warm;
  l.to = l.from + seconds;
  for (int i = 0; i < n; i++) send_next(&l, &conns[i]);
  while (l.open > 0 && now_s() < l.to + DRAIN_S) {
    int k = epoll_wait(l.ep, ev, EVENTS, 100);
    bool stop = now_s() >= l.to;
    for (int i = 0; i < k; i++) {
      conn *c = ev[i].data.ptr;
      if (c->open && (ev[i].events & EPOLLOUT)) push_out(&l, c);
      if (c->open && (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) receive(&l, c, stop);
    }
  }
  l.errors += l.open;
  double ended = now_s(), took = (ended < l.to ? ended : l.to) - l.from;
  qsort(l.sample, l.samples, sizeof *l.sample, by_value);
  printf("conns=%d secs=%.1f acked=%ld rate=%.1f/s p50=%uus p90=%uus p99=%uus p99.9=%uus max=%uus nak=%ld errs=%ld\n", n, took, l.acked, took > 0 ? (double)l.acked / took : 0.0, quantile(&l, .5), quantile(&l, .9),
         quantile(&l, .99), quantile(&l, .999), quantile(&l, 1), l.refused, l.errors);
  fflush(stdout);
  _exit(l.refused || l.errors); /* what it holds goes with it */
}
