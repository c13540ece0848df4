/* fhirstub - a FHIR server that says the same to everybody, as fast as it can; for tests and benchmarks on loopback only. One thread.
 *
 *   fhirstub PORT [DELAY_MS]        PORT 0: any; the port is printed as "port=N" at once. DELAY_MS: each answer waits so long, however many wait.
 *
 * GET TYPE/ID: a Patient with that id. GET TYPE?..., POST TYPE/_search: a Bundle with two Coverages. POST TYPE: 201 with a Location. PUT: 200 with a version.
 * Says on SIGTERM how many requests came. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
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

enum { IN_BYTES = 16 << 10, OUT_BYTES = 4096, EVENTS = 256, LATE = 1 << 16 };

static const char patient[] =
    "{\"resourceType\":\"Patient\",\"id\":\"%.*s\",\"meta\":{\"versionId\":\"3\",\"lastUpdated\":\"2026-01-01T00:00:00Z\"},\"identifier\":[{\"use\":\"usual\",\"type\":{\"coding\":[{\"system\":"
    "\"http://terminology.hl7.org/CodeSystem/v2-0203\",\"code\":\"MR\"}]},\"system\":\"urn:oid:1.2.36.146.595.217.0.1\",\"value\":\"12345\"}],\"active\":true,\"name\":[{\"use\":\"official\",\"family\":"
    "\"Chalmers\",\"given\":[\"Peter\",\"James\"]},{\"use\":\"usual\",\"given\":[\"Jim\"]}],\"telecom\":[{\"system\":\"phone\",\"value\":\"(03) 5555 6473\",\"use\":\"work\",\"rank\":1}],\"gender\":\"male\","
    "\"birthDate\":\"1974-12-25\",\"address\":[{\"use\":\"home\",\"line\":[\"534 Erewhon St\"],\"city\":\"PleasantVille\",\"district\":\"Rainbow\",\"state\":\"Vic\",\"postalCode\":\"3999\"}],"
    "\"managingOrganization\":{\"reference\":\"Organization/1\"}}";
static const char bundle[] =
    "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":2,\"entry\":[{\"fullUrl\":\"http://localhost/fhir/Coverage/1\",\"resource\":{\"resourceType\":\"Coverage\",\"id\":\"1\",\"status\":\"active\","
    "\"beneficiary\":{\"reference\":\"Patient/1\"},\"payor\":[{\"reference\":\"Organization/2\"}],\"class\":[{\"type\":{\"coding\":[{\"code\":\"plan\"}]},\"value\":\"B37FC\",\"name\":\"Full Coverage\"}]},"
    "\"search\":{\"mode\":\"match\"}},{\"fullUrl\":\"http://localhost/fhir/Coverage/2\",\"resource\":{\"resourceType\":\"Coverage\",\"id\":\"2\",\"status\":\"cancelled\",\"beneficiary\":{\"reference\":"
    "\"Patient/1\"},\"payor\":[{\"reference\":\"Organization/2\"}]},\"search\":{\"mode\":\"match\"}}]}";

typedef struct conn {
  int fd;
  bool gone;                 /* closed while answers wait: freed behind the last */
  unsigned waiting;
  size_t len;
  char in[IN_BYTES + 1];
} conn;

typedef struct late {
  conn *c;
  double at;
  char *text;
  size_t len;
} late;

static volatile sig_atomic_t done;
static late queue[LATE];     /* all wait equally long, so the first is due first */
static unsigned head, tail;
static double delay_s;
static long requests;

static void stop(int sig) {
  (void)sig;
  done = 1;
}
static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t request_bytes(const conn *c) {
  const char *end = strstr(c->in, "\r\n\r\n");
  if (!end) return 0;
  size_t whole = (size_t)(end - c->in) + 4;
  const char *length = strcasestr(c->in, "\r\nContent-Length:");
  if (length && length < end) whole += strtoul(length + 17, NULL, 10);
  return c->len >= whole ? whole : 0;
}

static size_t answer(const conn *c, char out[OUT_BYTES]) {
  static char body[OUT_BYTES];
  const char *target = strchr(c->in, ' '), *end = target ? strpbrk(target + 1, " ?") : NULL, *slash = end;
  const char *status = "200 OK", *more = "";
  bool query = end && *end == '?', post = c->in[0] == 'P' && c->in[1] == 'O';
  int n = 0;
  while (slash && slash > target && *slash != '/') slash--;
  bool search = query || (post && end && end - slash == 8 && !memcmp(slash, "/_search", 8));
  if (search) n = snprintf(body, sizeof body, "%s", bundle);
  else if (post) status = "201 Created", more = "Location: /fhir/Observation/17/_history/1\r\nETag: W/\"1\"\r\n";
  else if (end) {
    n = snprintf(body, sizeof body, patient, (int)(end - slash - 1), slash + 1);
    more = "ETag: W/\"3\"\r\n";
  }
  return (size_t)snprintf(out, OUT_BYTES, "HTTP/1.1 %s\r\nContent-Type: application/fhir+json\r\n%sContent-Length: %d\r\n\r\n%.*s", status, more, n, n, body);
}

static void drop(conn *c) {
  if (!c->gone) close(c->fd);
  c->gone = true;
  if (!c->waiting) free(c);
}

static void send_later(conn *c, const char *text, size_t len) {
  late *l = &queue[tail % LATE];
  if (tail - head == LATE) exit(3);
  *l = (late){c, now_s() + delay_s, malloc(len), len};
  if (!l->text) exit(3);
  memcpy(l->text, text, len);
  c->waiting++;
  tail++;
}

/* Milliseconds until the next one is due. */
static int send_due(void) {
  for (; head != tail; head++) {
    late *l = &queue[head % LATE];
    double wait = l->at - now_s();
    if (wait > 0) return (int)(wait * 1000) + 1;
    if (!l->c->gone) (void)!send(l->c->fd, l->text, l->len, MSG_NOSIGNAL);
    free(l->text);
    if (!--l->c->waiting && l->c->gone) free(l->c);
  }
  return 200;
}

static bool serve(conn *c) {
  char out[OUT_BYTES];
  ssize_t n = recv(c->fd, c->in + c->len, IN_BYTES - c->len, 0);
  if (n <= 0) return n < 0 && errno == EINTR;
  c->len += (size_t)n;
  c->in[c->len] = 0;
  for (size_t used; (used = request_bytes(c)) != 0;) {
    size_t len = answer(c, out);
    requests++;
    if (delay_s > 0) send_later(c, out, len);
    else if (send(c->fd, out, len, MSG_NOSIGNAL) < 0) return false;
    memmove(c->in, c->in + used, c->len - used + 1);
    c->len -= used;
  }
  return c->len < IN_BYTES;
}

static void take_connections(int listener, int ep) {
  int one = 1, fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    conn *c = calloc(1, sizeof *c);
    if (!c) exit(3);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->fd = fd;
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN, {.ptr = c}});
  }
}

static int open_listener(const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 16384) || getsockname(fd, (struct sockaddr *)&a, &n)) {
    perror("fhirstub");
    exit(1);
  }
  printf("port=%d\n", ntohs(a.sin_port));
  fflush(stdout);
  return fd;
}

int main(int argc, char **argv) {
  struct epoll_event ev[EVENTS];
  struct rlimit files;
  if (argc < 2) {
    fprintf(stderr, "usage: fhirstub PORT [DELAY_MS]\n");
    return 2;
  }
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  delay_s = argc > 2 ? atof(argv[2]) / 1000 : 0;
  int listener = open_listener(argv[1]), ep = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN, {.ptr = NULL}});
  while (!done) {
    int n = epoll_wait(ep, ev, EVENTS, send_due());
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (!c) take_connections(listener, ep);
      else if (!serve(c)) drop(c);
    }
  }
  printf("requests=%ld\n", requests);
  return 0;
}
