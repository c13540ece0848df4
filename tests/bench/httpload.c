/* httpload - HTTP clients in a closed loop over kept connections: each posts its next body when the answer to the last one has come.
 *
 *   httpload PORT PATH CONNECTIONS SECONDS BODY_FILE [tls] [idle=N] [loris=N] [rate=N]
 *
 * rate=N: not as fast as answers come, but N a second, each at its time; a latency counts from that time, also when no connection was free.
 * Loopback only. tls: TLS without a look at the certificate. idle=N: N more connections are opened and stay silent. loris=N: N more connections send a request's head one
 * byte every 10 ms for all of them in turn, and are opened again when they are closed. Answers must be 2xx. One line is printed; latencies in microseconds. Exit 1 when an answer was wrong. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 16 << 10, EVENTS = 256, MAX_SAMPLES = 1 << 23, WARM_S = 1 };

typedef struct conn {
  int fd;
  SSL *ssl;
  double sent_at;
  size_t in_len;
  char in[IN_BYTES + 1];
} conn;

typedef struct load {
  char *request;
  size_t request_len;
  int ep, port;
  SSL_CTX *tls;
  double from, to;
  uint32_t *sample;
  size_t samples;
  long done, wrong;
  double gap, next;          /* rate: between two requests; when the next one is due */
  conn **idle;
  int nidle;
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

static int dial(int port, bool wait) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
  if (fd < 0 || (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS)) {
    if (fd >= 0) close(fd);
    return -1;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void read_body(load *l, const char *path, const char *target) {
  FILE *f = fopen(path, "rb");
  char *body = malloc(1 << 20);
  l->request = malloc((1 << 20) + 1000);
  if (!f || !body || !l->request) die(path);
  size_t n = fread(body, 1, 1 << 20, f);
  fclose(f);
  int h = snprintf(l->request, 1000, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", target, n);
  memcpy(l->request + h, body, n);
  l->request_len = (size_t)h + n;
  free(body);
}

static bool send_all(conn *c, const char *p, size_t n) {
  while (n) {
    ssize_t k = c->ssl ? SSL_write(c->ssl, p, (int)n) : send(c->fd, p, n, MSG_NOSIGNAL);
    if (k <= 0) return false;
    p += k, n -= (size_t)k;
  }
  return true;
}

static void send_next(load *l, conn *c) {
  if (l->gap > 0) {
    l->idle[l->nidle++] = c;
    return;
  }
  c->sent_at = now_s();
  if (!send_all(c, l->request, l->request_len)) die("send");
}

/* Sends what is due, as far as connections are free. */
static void send_due(load *l) {
  double t = now_s();
  while (l->nidle && l->next <= t && t < l->to) {
    conn *c = l->idle[--l->nidle];
    c->sent_at = l->next;
    l->next += l->gap;
    if (!send_all(c, l->request, l->request_len)) die("send");
  }
}

/* Bytes of the whole answer in the buffer, 0 when it is not there yet. */
static size_t answer_bytes(const conn *c) {
  const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "\r\nContent-Length:");
  if (!end) return 0;
  size_t whole = (size_t)(end - c->in) + 4 + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
  return c->in_len >= whole ? whole : 0;
}

static bool receive(load *l, conn *c) {
  ssize_t n = c->ssl ? SSL_read(c->ssl, c->in + c->in_len, (int)(IN_BYTES - c->in_len)) : recv(c->fd, c->in + c->in_len, IN_BYTES - c->in_len, 0);
  if (n <= 0) return false;
  c->in_len += (size_t)n;
  c->in[c->in_len] = 0;
  size_t whole = answer_bytes(c);
  if (!whole) return true;
  double t = now_s();
  bool ok = !strncmp(c->in, "HTTP/1.1 2", 10);
  if (!ok && !l->wrong++) fprintf(stderr, "httpload: %.*s\n", (int)whole, c->in);
  if (ok && t >= l->from && t < l->to) {
    l->done++;
    if (l->samples < MAX_SAMPLES) l->sample[l->samples++] = (uint32_t)((t - c->sent_at) * 1e6);
  }
  c->in_len -= whole;
  memmove(c->in, c->in + whole, c->in_len);
  if (t < l->to) send_next(l, c);
  return true;
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
static unsigned quantile(const load *l, double q) { return l->samples ? l->sample[(size_t)((double)(l->samples - 1) * q)] : 0; }

static long option(int argc, char **argv, const char *name) {
  size_t n = strlen(name);
  for (int i = 6; i < argc; i++)
    if (!strncmp(argv[i], name, n)) return argv[i][n] == '=' ? atol(argv[i] + n + 1) : 1;
  return 0;
}

/* A byte for the next of the slow ones; again from the start when it was thrown out. */
static void drip(const load *l, int *fd, long n) {
  static long at, sent;
  for (int k = 0; k < 20 && n; k++, at++) {
    int *f = &fd[at % n];
    if (*f < 0) *f = dial(l->port, false);
    if (*f >= 0 && send(*f, sent++ % 40 ? "a" : "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN) {
      close(*f);
      *f = -1;
    }
  }
}

int main(int argc, char **argv) {
  struct epoll_event ev[EVENTS];
  load l = {0};
  if (argc < 6) {
    fprintf(stderr, "usage: httpload PORT PATH CONNECTIONS SECONDS BODY_FILE [tls] [idle=N] [loris=N] [rate=N]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  l.port = atoi(argv[1]);
  int n = atoi(argv[3]);
  long idle = option(argc, argv, "idle"), loris = option(argc, argv, "loris"), silent = 0;
  read_body(&l, argv[5], argv[2]);
  if (option(argc, argv, "tls") && !(l.tls = SSL_CTX_new(TLS_client_method()))) die("tls");
  l.ep = epoll_create1(EPOLL_CLOEXEC);
  l.sample = malloc(MAX_SAMPLES * sizeof *l.sample);
  conn *conns = calloc((size_t)n, sizeof *conns);
  int *slow = malloc(sizeof *slow * (size_t)(loris + 1));
  if (!l.sample || !conns || !slow) die("memory");
  for (long i = 0; i < loris; i++) slow[i] = -1;
  for (; silent < idle && dial(l.port, true) >= 0; silent++) {}
  for (int i = 0; i < n; i++) {
    conn *c = &conns[i];
    if ((c->fd = dial(l.port, true)) < 0) die("connect");
    if (l.tls && (!(c->ssl = SSL_new(l.tls)) || !SSL_set_fd(c->ssl, c->fd) || SSL_connect(c->ssl) != 1)) die("tls");
    epoll_ctl(l.ep, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){EPOLLIN, {.ptr = c}});
  }
  long rate = option(argc, argv, "rate");
  l.gap = rate > 0 ? 1.0 / (double)rate : 0;
  l.idle = malloc((size_t)n * sizeof *l.idle);
  if (!l.idle) die("memory");
  l.next = now_s();
  l.from = now_s() + WARM_S;
  l.to = l.from + atof(argv[4]);
  for (int i = 0; i < n; i++) send_next(&l, &conns[i]);
  for (double dripped = 0, t; (t = now_s()) < l.to + 0.3;) {
    if (loris && t - dripped > 0.01) {
      drip(&l, slow, loris);
      dripped = t;
    }
    if (rate) send_due(&l);
    double until = l.next - now_s(), wait = loris ? 0.005 : 0.05;
    if (rate && l.nidle && until < wait) wait = until > 0 ? until : 0; /* to the nanosecond: whoever spins here takes the processor from the server that is being asked */
    struct timespec ts = {0, (long)(wait * 1e9)};
    int k = epoll_pwait2(l.ep, ev, EVENTS, &ts, NULL);
    for (int i = 0; i < k; i++)
      if (!receive(&l, ev[i].data.ptr)) die("the server closed a good connection");
  }
  qsort(l.sample, l.samples, sizeof *l.sample, by_value);
  printf("conns=%d idle=%ld rate=%.1f/s p50=%uus p99=%uus max=%uus wrong=%ld\n", n, silent, (double)l.done / (l.to - l.from), quantile(&l, .5), quantile(&l, .99), quantile(&l, 1), l.wrong);
  fflush(stdout);
  _exit(l.wrong != 0); /* what it holds goes with it */
}
