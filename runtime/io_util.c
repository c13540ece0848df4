#include "io.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* ---- pairing heap: insertion and removal without memory of its own ---- */

static bool before(const io_timer *a, const io_timer *b) { return a->at_us != b->at_us ? a->at_us < b->at_us : a->tie < b->tie; }

/* prev of a first child is its parent, of other children the left sibling. */
static io_timer *meld(io_timer *a, io_timer *b) {
  if (!a) return b;
  if (!b) return a;
  if (before(b, a)) {
    io_timer *t = a;
    a = b, b = t;
  }
  b->next = a->child;
  if (a->child) a->child->prev = b;
  b->prev = a;
  a->child = b;
  return a;
}

static io_timer *meld_children(io_timer *first) {
  io_timer *pairs = NULL;
  while (first) {
    io_timer *a = first, *b = a->next;
    first = b ? b->next : NULL;
    a->next = a->prev = NULL;
    if (b) b->next = b->prev = NULL;
    io_timer *m = meld(a, b);
    m->next = pairs;
    pairs = m;
  }
  io_timer *root = NULL;
  while (pairs) {
    io_timer *n = pairs->next;
    pairs->next = pairs->prev = NULL;
    root = meld(root, pairs);
    pairs = n;
  }
  return root;
}

void io_heap_add(io_heap *h, io_timer *t) {
  t->child = t->next = t->prev = NULL;
  t->set = true;
  h->root = meld(h->root, t);
}

void io_heap_remove(io_heap *h, io_timer *t) {
  if (!t->set) return;
  io_timer *sub = meld_children(t->child);
  if (h->root == t) {
    h->root = sub;
  } else {
    if (t->prev->child == t) {
      t->prev->child = t->next;
    } else {
      t->prev->next = t->next;
    }
    if (t->next) t->next->prev = t->prev;
    h->root = meld(h->root, sub);
  }
  t->child = t->next = t->prev = NULL;
  t->set = false;
}

/* ---- addresses ---- */

static bool parse_port(const char *s, uint16_t *out) {
  unsigned v = 0;
  if (!*s) return false;
  for (; *s; s++) {
    if (*s < '0' || *s > '9') return false;
    v = v * 10 + (unsigned)(*s - '0');
    if (v > 65535) return false;
  }
  *out = (uint16_t)v;
  return true;
}

hdw_status io_addr_parse(const char *text, io_addr *out) {
  memset(out, 0, sizeof *out);
  if (strncmp(text, "unix:", 5) == 0) {
    size_t n = strlen(text + 5);
    if (n == 0 || n >= sizeof out->path) return HDW_E_SYNTAX;
    memcpy(out->path, text + 5, n);
    out->family = IO_ADDR_UNIX;
    return HDW_OK;
  }
  const char *colon = strrchr(text, ':');
  if (!colon || !parse_port(colon + 1, &out->port)) return HDW_E_SYNTAX;
  char host[64];
  size_t n = (size_t)(colon - text);
  bool six = n >= 2 && text[0] == '[' && text[n - 1] == ']';
  if (six) text++, n -= 2;
  if (n >= sizeof host) return HDW_E_SYNTAX;
  memcpy(host, text, n);
  host[n] = 0;
  if (inet_pton(six ? AF_INET6 : AF_INET, host, out->ip) != 1) return HDW_E_SYNTAX;
  out->family = six ? IO_ADDR_IP6 : IO_ADDR_IP4;
  return HDW_OK;
}

static char *put_decimal(char *to, unsigned n) {
  char digits[10];
  unsigned k = 0;
  do digits[k++] = (char)('0' + n % 10);
  while (n /= 10);
  while (k) *to++ = digits[--k];
  return to;
}

char *io_addr_format(const io_addr *a, char out[IO_ADDR_TEXT]) {
  char host[64] = "";
  if (a->family == IO_ADDR_UNIX) {
    snprintf(out, IO_ADDR_TEXT, "unix:%s", a->path);
  } else if (a->family == IO_ADDR_IP4) { /* of every message, so not by printf */
    char *p = out;
    for (int i = 0; i < 4; i++) p = put_decimal(p, a->ip[i]), *p++ = i < 3 ? '.' : ':';
    *put_decimal(p, a->port) = 0;
  } else if (a->family == IO_ADDR_IP6 && inet_ntop(AF_INET6, a->ip, host, sizeof host)) {
    snprintf(out, IO_ADDR_TEXT, "[%s]:%u", host, a->port);
  } else {
    snprintf(out, IO_ADDR_TEXT, "none");
  }
  return out;
}

bool io_addr_equal(const io_addr *a, const io_addr *b) {
  if (a->family != b->family) return false;
  if (a->family == IO_ADDR_UNIX) return strcmp(a->path, b->path) == 0;
  return a->port == b->port && memcmp(a->ip, b->ip, a->family == IO_ADDR_IP4 ? 4 : 16) == 0;
}
