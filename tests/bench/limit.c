/* limit - how fast this machine can take MLLP frames or HTTP posts durably: the peer of ./dev bench ingest and http. One thread, nothing but the work that any
 * durable intake has.
 *
 *   limit DIR PRELOADED_KEYS        a port is printed as "port=N" when it is ready; SIGTERM ends it
 *
 * For each frame: MSH-3, MSH-4 and MSH-10 are found, the duplicate key is put into LMDB beside PRELOADED_KEYS others, the frame is appended to a segment log
 * with a header and a CRC, an end-of-run record follows it, an input row, a run row and the keys by which a message is found (control id, sender, three patient
 * identifiers, one of them a new one's) go into LMDB: the same number of records and rows, of the same sizes, as hdwvm writes for the programs of
 * bench_ingest.py and bench_http.py. All frames that the sockets hold at a moment are one write and one fdatasync; then their acknowledgements leave. LMDB is
 * committed, synced, every 100 ms, by the same thread. Nothing is parsed further, checked, decided or computed: no parser, no gate, no machine, no hashes of
 * contents, no CRCs of rows, no TLS, no limits. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 64 << 10, EVENTS = 256, HEADER = 32, DEDUP_ROW = 6, INDEX_ROW = 4, SEGMENT = 64 << 20, BATCH = 8 << 20 };
/* Bytes beside the message, as counted in what hdwvm writes: meta of the input's record (of a post also what is stored around its body), meta and value of the end
 * record, values of rows. */
typedef struct sizes {
  size_t input_meta, end, input_row, run_row;
} sizes;
static const sizes OF_FRAME = {257, 100, 197, 149}, OF_POST = {305, 39, 106, 133};

typedef struct conn {
  int fd;
  size_t len;
  uint8_t in[IN_BYTES];
} conn;

typedef struct owed {
  conn *c;
  int len;
  char ack[256];
} owed;

typedef struct limit {
  int log, segments;
  off_t at;
  char dir[200];
  uint8_t *batch;
  size_t batch_len;
  owed *owed;
  unsigned nowed;
  uint64_t seq;
  MDB_env *env;
  MDB_dbi dbi;
  MDB_txn *txn;
  double committed;
} limit;

static volatile sig_atomic_t done;
static void stop(int sig) {
  (void)sig;
  done = 1;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}
static void check(int rc) {
  if (!rc) return;
  fprintf(stderr, "limit: lmdb: %s\n", mdb_strerror(rc));
  exit(1);
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Slicing by 1 with a table: as in any textbook; the machine's own instruction where there is one. */
#if defined(__x86_64__)
#include <nmmintrin.h>
__attribute__((target("sse4.2"))) static uint32_t crc(const uint8_t *p, size_t n) {
  uint64_t c = 0xffffffff;
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    c = _mm_crc32_u64(c, v);
  }
  for (; n; n--) c = _mm_crc32_u8((uint32_t)c, *p++);
  return ~(uint32_t)c;
}
#else
static uint32_t crc(const uint8_t *p, size_t n) {
  uint32_t c = 0xffffffff;
  for (size_t i = 0; i < n; i++)
    for (int k = (c ^= p[i], 0); k < 8; k++) c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
  return ~c;
}
#endif

/* ---- log ---- */

static void new_segment(limit *l) {
  char path[300];
  if (l->log >= 0) close(l->log);
  snprintf(path, sizeof path, "%s/%06d.seg", l->dir, l->segments++);
  l->log = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
  if (l->log < 0 || posix_fallocate(l->log, 0, SEGMENT) || fdatasync(l->log)) die(path);
  l->at = 0;
}

static void add_record(limit *l, const uint8_t *body, size_t body_len, size_t meta_len) {
  size_t n = (HEADER + meta_len + body_len + 4 + 7) & ~(size_t)7;
  uint8_t *p = l->batch + l->batch_len;
  memset(p, 0, n);
  memcpy(p, &l->seq, 8);
  memcpy(p + HEADER + meta_len, body, body_len);
  uint32_t c = crc(p, n - 4);
  memcpy(p + n - 4, &c, 4);
  l->batch_len += n;
}

static void sync_batch(limit *l) {
  if (l->at + (off_t)l->batch_len > SEGMENT) new_segment(l);
  if (pwrite(l->log, l->batch, l->batch_len, l->at) != (ssize_t)l->batch_len || fdatasync(l->log)) die("log");
  l->at += (off_t)l->batch_len;
  l->batch_len = 0;
}

/* ---- index ---- */

static void put(limit *l, const void *key, size_t key_len, size_t value_len, unsigned flags) {
  static const uint8_t row[1024];
  MDB_val k = {key_len, (void *)(uintptr_t)key}, v = {value_len, (void *)(uintptr_t)row};
  int rc = mdb_put(l->txn, l->dbi, &k, &v, flags);
  if (rc != MDB_KEYEXIST) check(rc);
}

static void put_id(limit *l, char table, uint64_t id, size_t value_len) {
  uint8_t key[11] = {0, 0, (uint8_t)table};
  for (int i = 0; i < 8; i++) key[3 + i] = (uint8_t)(id >> (56 - 8 * i));
  put(l, key, sizeof key, value_len, 0);
}

static uint8_t *put_number(uint8_t *p, uint64_t v, int bytes) {
  while (bytes--) *p++ = (uint8_t)(v >> (8 * bytes));
  return p;
}

/* One key of an index: some bytes that keep new keys together, 16 bytes that stand for the text, then the id. */
static void put_found(limit *l, char table, int bytes, uint64_t hash, uint64_t id) {
  uint8_t key[40] = {0, 0, (uint8_t)table}, *p = put_number(key + 3, id >> 14, bytes);
  p = put_number(put_number(put_number(p, hash, 8), 0, 8), id, 8);
  put(l, key, (size_t)(p - key), INDEX_ROW, 0);
}

static void commit(limit *l, bool now) {
  double t = now_s();
  if (!now && t - l->committed < 0.1) return;
  check(mdb_txn_commit(l->txn));
  check(mdb_txn_begin(l->env, NULL, 0, &l->txn));
  l->committed = now_s();
}

static void open_index(limit *l, long keys) {
  char path[300], key[100];
  snprintf(path, sizeof path, "%s/index.mdb", l->dir);
  check(mdb_env_create(&l->env));
  check(mdb_env_set_mapsize(l->env, (size_t)16 << 30));
  check(mdb_env_open(l->env, path, MDB_NOSUBDIR, 0600));
  check(mdb_txn_begin(l->env, NULL, 0, &l->txn));
  check(mdb_dbi_open(l->txn, NULL, 0, &l->dbi));
  for (long i = 0; i < keys; i++) {
    int n = snprintf(key, sizeof key, "%c%c%c%cadt%cADTSYS\nGENHOSP\n%015ld", 0, 0, 3, 3, 0, i);
    put(l, key, (size_t)n, DEDUP_ROW, MDB_APPEND);
  }
  commit(l, true);
}

/* ---- frames ---- */

/* What stands between bar n and bar n + 1 of the first segment. */
static const uint8_t *field(const uint8_t *p, const uint8_t *end, int n, int *len) {
  for (; n && p < end; p++) n -= *p == '|';
  const uint8_t *from = p;
  while (p < end && *p != '|' && *p != '\r') p++;
  *len = (int)(p - from);
  return from;
}

static void put_both(limit *l, const sizes *z, const uint8_t *body, size_t len) {
  put_id(l, 2, l->seq, z->input_row);
  put_id(l, 7, l->seq << 8, z->run_row);
  add_record(l, body, len, z->input_meta);
  add_record(l, body, 0, z->end);
}

static void take(limit *l, conn *c, const uint8_t *p, size_t len) {
  char key[200];
  int na, nf, ni;
  const uint8_t *end = p + len, *app = field(p, end, 2, &na), *fac = field(p, end, 3, &nf), *id = field(p, end, 9, &ni);
  if (na + nf + ni > 150) return;
  int n = snprintf(key, sizeof key, "%c%c%c%cadt%c%.*s\n%.*s\n%.*s", 0, 0, 3, 3, 0, na, (const char *)app, nf, (const char *)fac, ni, (const char *)id);
  l->seq++;
  put(l, key, (size_t)n, DEDUP_ROW, MDB_NOOVERWRITE);
  put_found(l, 4, 0, l->seq, l->seq); /* control ids rise */
  put_found(l, 5, 0, 5, l->seq);
  put_found(l, 6, 6, 6, l->seq);
  put_found(l, 6, 6, 7, l->seq);
  put_found(l, 6, 6, l->seq * 0x9e3779b97f4a7c15u, l->seq);
  put_both(l, &OF_FRAME, p, len);
  owed *o = &l->owed[l->nowed++];
  o->c = c;
  o->len = snprintf(o->ack, sizeof o->ack, "\x0bMSH|^~\\&|HDW|RCVFAC|%.*s|%.*s|20260101000000+0000||ACK^A01^ACK|%020llu|P|2.5.1\rMSA|AA|%.*s\r\x1c\r", na, (const char *)app, nf, (const char *)fac,
                    (unsigned long long)l->seq, ni, (const char *)id);
}

/* A post: its body is the record, its number the key. */
static void take_post(limit *l, conn *c, const uint8_t *body, size_t len) {
  l->seq++;
  put_both(l, &OF_POST, body, len);
  owed *o = &l->owed[l->nowed++];
  char json[60];
  int n = snprintf(json, sizeof json, "{\"id\":\"%llu\"}", (unsigned long long)l->seq);
  o->c = c;
  o->len = snprintf(o->ack, sizeof o->ack, "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, json);
}

static void posts(limit *l, conn *c) {
  uint8_t *end;
  while (l->nowed < EVENTS && (end = memmem(c->in, c->len, "\r\n\r\n", 4))) {
    const uint8_t *length = memmem(c->in, (size_t)(end - c->in), "Content-Length: ", 16);
    size_t head = (size_t)(end + 4 - c->in), body = length ? strtoul((const char *)length + 16, NULL, 10) : 0;
    if (c->len < head + body) return;
    take_post(l, c, c->in + head, body);
    memmove(c->in, c->in + head + body, c->len -= head + body);
  }
}

/* False: the connection is over. */
static bool receive(limit *l, conn *c) {
  ssize_t n = recv(c->fd, c->in + c->len, IN_BYTES - c->len, 0);
  if (n <= 0) return n < 0 && errno == EAGAIN;
  c->len += (size_t)n;
  if (c->in[0] == 'P') {
    posts(l, c);
    return c->len < IN_BYTES;
  }
  for (uint8_t *e; (e = memchr(c->in, 0x1c, c->len)) && e + 1 < c->in + c->len && l->nowed < EVENTS;) {
    uint8_t *from = memchr(c->in, 0x0b, (size_t)(e - c->in));
    if (from) take(l, c, from + 1, (size_t)(e - from - 1));
    size_t used = (size_t)(e + 2 - c->in);
    memmove(c->in, c->in + used, c->len -= used);
  }
  return c->len < IN_BYTES;
}

static void answer(limit *l) {
  if (l->batch_len) sync_batch(l);
  for (unsigned i = 0; i < l->nowed; i++)
    if (send(l->owed[i].c->fd, l->owed[i].ack, (size_t)l->owed[i].len, MSG_NOSIGNAL) < 0) perror("send");
  l->nowed = 0;
  commit(l, false);
}

static int open_listener(int ep) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024) || getsockname(fd, (struct sockaddr *)&a, &n)) die("listen");
  epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN, {.ptr = NULL}});
  printf("port=%d\n", ntohs(a.sin_port));
  fflush(stdout);
  return fd;
}

static void take_connection(int listener, int ep) {
  int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  conn *c = fd < 0 ? NULL : calloc(1, sizeof *c);
  if (!c) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  c->fd = fd;
  epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){EPOLLIN, {.ptr = c}});
}

int main(int argc, char **argv) {
  struct epoll_event ev[EVENTS];
  limit l = {.log = -1};
  if (argc < 3 || strlen(argv[1]) >= sizeof l.dir) {
    fprintf(stderr, "usage: limit DIR PRELOADED_KEYS\n");
    return 2;
  }
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  snprintf(l.dir, sizeof l.dir, "%s", argv[1]);
  l.batch = malloc(BATCH + 2 * IN_BYTES);
  l.owed = malloc(EVENTS * sizeof *l.owed);
  if (!l.batch || !l.owed) die("memory");
  new_segment(&l);
  open_index(&l, atol(argv[2]));
  int ep = epoll_create1(EPOLL_CLOEXEC), listener = open_listener(ep);
  while (!done) {
    int n = epoll_wait(ep, ev, EVENTS, 100);
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (!c) take_connection(listener, ep);
      else if (l.nowed < EVENTS && !receive(&l, c)) {
        answer(&l);
        close(c->fd);
        free(c);
      }
    }
    answer(&l);
  }
  commit(&l, true);
  mdb_txn_abort(l.txn);
  mdb_env_close(l.env);
  return 0;
}
