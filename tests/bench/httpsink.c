/* httpsink - answers every HTTP/1.1 request with 200 and "{}"; says on SIGTERM how many came. One thread, for tests and benchmarks on loopback only.
 *
 *   httpsink PORT [DELAY_MS]        PORT 0: any; the port is printed as "port=N" at once. DELAY_MS: each answer waits so long. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 256 << 10, EVENTS = 256 };
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

typedef struct conn {
  int fd;
  size_t len;
  char in[IN_BYTES + 1];
} conn;

static volatile sig_atomic_t done;
static void stop(int sig) {
  (void)sig;
  done = 1;
}

/* Bytes of the first request in the buffer, 0 when it is not whole. */
static size_t request_bytes(const conn *c) {
  const char *end = strstr(c->in, "\r\n\r\n");
  if (!end) return 0;
  size_t head = (size_t)(end - c->in) + 4;
  const char *length = strcasestr(c->in, "\r\nContent-Length:");
  if (length && length < end) {
    size_t whole = head + strtoul(length + 17, NULL, 10);
    return c->len >= whole ? whole : 0;
  }
  const char *coding = strcasestr(c->in, "\r\nTransfer-Encoding: chunked");
  if (!coding || coding >= end) return head;
  const char *last = strstr(c->in + head - 2, "\r\n0\r\n\r\n");
  return last ? (size_t)(last - c->in) + 7 : 0;
}

static int open_listener(const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024) || getsockname(fd, (struct sockaddr *)&a, &n)) {
    perror("httpsink");
    exit(1);
  }
  printf("port=%d\n", ntohs(a.sin_port));
  fflush(stdout);
  return fd;
}

static void take_connection(int listener, int ep) {
  int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  conn *c = fd < 0 ? NULL : calloc(1, sizeof *c);
  if (!c) {
    if (fd >= 0) close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  c->fd = fd;
  epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN, {.ptr = c}});
}

/* False: the connection is over. */
static bool serve(conn *c, long *requests, long *bytes, int delay_ms) {
  ssize_t n = recv(c->fd, c->in + c->len, IN_BYTES - c->len, 0);
  if (n <= 0) return n < 0 && errno == EINTR;
  c->len += (size_t)n;
  *bytes += n;
  c->in[c->len] = 0;
  for (size_t used; (used = request_bytes(c)) != 0;) {
    ++*requests;
    if (delay_ms) nanosleep(&(struct timespec){delay_ms / 1000, delay_ms % 1000 * 1000000L}, NULL);
    if (send(c->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0) return false;
    memmove(c->in, c->in + used, c->len - used + 1);
    c->len -= used;
  }
  return c->len < IN_BYTES;
}

int main(int argc, char **argv) {
  struct epoll_event ev[EVENTS];
  long requests = 0, bytes = 0;
  if (argc < 2) {
    fprintf(stderr, "usage: httpsink PORT [DELAY_MS]\n");
    return 2;
  }
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  int delay_ms = argc > 2 ? atoi(argv[2]) : 0, listener = open_listener(argv[1]), ep = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN, {.ptr = NULL}});
  while (!done) {
    int n = epoll_wait(ep, ev, EVENTS, 200);
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (!c) take_connection(listener, ep);
      else if (!serve(c, &requests, &bytes, delay_ms)) {
        close(c->fd);
        free(c);
      }
    }
  }
  printf("requests=%ld bytes=%ld\n", requests, bytes);
  return 0;
}
