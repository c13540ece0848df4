/* hdwvm_client.c - asking the daemon over its socket, and tables for people. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "config.h"
#include "hdwvm.h"
#include "io_linux.h"
#include "json.h"

/* ---- one exchange ---------------------------------------------------------------------------------------------------------------- */

typedef struct exchange {
  io *x;
  io_sock *s;
  const char *out;
  size_t out_len, out_at;
  const char *body;          /* after the head */
  size_t body_len;
  buf in;
  hdw_status status;
  io_timer timer;
} exchange;

static void finish(exchange *e, hdw_status s) {
  e->status = s;
  if (e->s) io_close(e->s);
  e->s = NULL;
  io_stop(e->x);
}

static void on_event(io_sock *s, unsigned events, void *user) {
  exchange *e = (exchange *)user;
  char part[16384];
  size_t n;
  if (events & IO_FAILED) {
    finish(e, HDW_E_CLOSED);
    return;
  }
  for (;;) {
    if (e->out_at == e->out_len && e->body_len) e->out = e->body, e->out_len = e->body_len, e->out_at = e->body_len = 0;
    if (e->out_at == e->out_len) break;
    hdw_status st = io_write(s, e->out + e->out_at, e->out_len - e->out_at, &n);
    if (st == HDW_E_AGAIN) {
      io_sock_on(s, IO_WRITE, on_event, e);
      return;
    }
    if (st) {
      finish(e, st);
      return;
    }
    e->out_at += n;
  }
  io_sock_on(s, IO_READ, on_event, e);
  for (;;) {
    hdw_status st = io_read(s, part, sizeof part, &n);
    if (st == HDW_E_AGAIN) return;
    if (st) {
      finish(e, st == HDW_E_CLOSED ? HDW_OK : st);
      return;
    }
    buf_put(&e->in, part, n);
  }
}

static void on_timeout(void *user) { finish((exchange *)user, HDW_E_TIMEOUT); }

const char *hv_data_dir(const hv_args *a, arena *ar, char admin_path[200]) {
  const char *dir = a->data, *file = a->config ? a->config : "hdw.json";
  admin_path[0] = 0;
  if (!dir && (a->config || access(file, R_OK) == 0)) {
    size_t n;
    config c;
    char *text = hv_read(ar, file, &n);
    config_init(&c, ar);
    if (text && !config_read(&c, ar->mem, file, text, n)) {
      if (c.top.data[0]) dir = c.top.data;
      if (c.top.admin[0]) snprintf(admin_path, 200, "%s", c.top.admin);
    }
  }
  if (!dir) dir = "data";
  if (!admin_path[0]) snprintf(admin_path, 200, "%s/admin.sock", dir);
  return dir;
}

int hv_ask(const hv_args *a, arena *ar, const char *method, const char *target, const char **body, size_t *len) { return hv_ask_with(a, ar, method, target, NULL, 0, body, len); }

int hv_ask_with(const hv_args *a, arena *ar, const char *method, const char *target, const void *with, size_t with_len, const char **body, size_t *len) {
  char path[200], text[220], head[1200];
  exchange e = {.status = HDW_E_IO, .body = (const char *)with, .body_len = with_len};
  io_addr addr;
  if (a->url) return hv_ask_url(a, ar, method, target, with, with_len, body, len);
  (void)hv_data_dir(a, ar, path);
  if (a->live) snprintf(path, sizeof path, "%.199s", a->from);
  snprintf(text, sizeof text, "unix:%s", path);
  if (io_addr_parse(text, &addr)) {
    hv_say("the path of the admin socket is too long: %s", path);
    return -1;
  }
  if (io_linux_new(ar->mem, &e.x)) return -1;
  buf_init(&e.in, ar, 256 << 20);
  int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: hdw\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", method, target, with_len);
  e.out = head, e.out_len = n > 0 && n < (int)sizeof head ? (size_t)n : 0;
  if (!io_connect(e.x, &addr, on_event, &e, &e.s)) {
    io_timer_set(e.x, &e.timer, 30000000, on_timeout, &e);
    (void)io_run(e.x);
    io_timer_cancel(e.x, &e.timer);
  }
  io_linux_free(e.x);
  buf_putc(&e.in, 0);
  const char *blank = !e.status && !e.in.status ? strstr(e.in.p, "\r\n\r\n") : NULL;
  int offline = 0;
  if (!blank && !a->live && e.in.len <= 1 && !strcmp(method, "GET") && hv_offline(a, ar, target, &offline, body, len)) return offline;
  if (!blank || strncmp(e.in.p, "HTTP/1.1 ", 9)) {
    if (!a->live) hv_say("the daemon does not answer at %s (is it running, and is --data right?)", path);
    return -1;
  }
  *body = blank + 4;
  *len = e.in.len - 1 - (size_t)(*body - e.in.p);
  return (int)strtol(e.in.p + 9, NULL, 10);
}

static val parse(arena *ar, const char *text, size_t len) {
  json_reader r;
  val v = VAL_NONE;
  json_reader_init(&r, ar->mem);
  (void)json_read(&r, ar, text, len, NULL, &v, NULL);
  json_reader_free(&r);
  return v;
}

void hv_refused(arena *ar, const char *body, size_t len) {
  const char *why = jv_text(ar, jv_get(parse(ar, body, len), "error"));
  hv_say("%s", why ? why : "the daemon refuses");
}

int hv_get(const hv_args *a, arena *ar, const char *target, val *out, bool *done) {
  const char *body;
  size_t len;
  *done = false;
  buf b;
  buf_init(&b, ar, 16384);
  buf_puts(&b, target);
  hv_param(ar, &b, "reason", a->reason);
  hv_param(ar, &b, "who", getenv("USER"));
  buf_putc(&b, 0);
  int status = hv_ask(a, ar, "GET", b.p ? b.p : target, &body, &len);
  if (status < 0) return EXIT_UNAVAILABLE;
  *out = parse(ar, body, len);
  if (status != 200) {
    hv_refused(ar, body, len);
    return EXIT_FINDINGS;
  }
  if (a->json) {
    fwrite(body, 1, len, stdout);
    fputc('\n', stdout);
    *done = true;
  }
  return EXIT_OK;
}

const char *hv_escape(arena *ar, const char *s) {
  static const char hex[] = "0123456789ABCDEF";
  buf b;
  buf_init(&b, ar, 65536);
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) buf_putc(&b, (char)c);
    else {
      char t[3] = {'%', hex[c >> 4], hex[c & 15]};
      buf_put(&b, t, 3);
    }
  }
  buf_putc(&b, 0);
  return b.status ? "" : b.p;
}

/* ---- tables ------------------------------------------------------------------------------------------------------------------------- */

void hv_table_init(hv_table *t, arena *a, unsigned ncols, const char *const *titles) {
  *t = (hv_table){.a = a, .ncols = ncols};
  hv_table_row(t, titles);
}

void hv_table_row(hv_table *t, const char *const *cells) {
  if (t->nrows == t->cap) {
    unsigned cap = t->cap ? t->cap * 2 : 32;
    const char **p = (const char **)arena_grow(t->a, t->cells, t->cap * t->ncols * sizeof *p, cap * t->ncols * sizeof *p);
    if (!p) return;
    t->cells = p, t->cap = cap;
  }
  for (unsigned i = 0; i < t->ncols; i++) t->cells[t->nrows * t->ncols + i] = cells[i] ? cells[i] : "";
  t->nrows++;
}

/* Columns of characters, not bytes. */
static unsigned width(const char *s) {
  unsigned n = 0;
  for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
  return n;
}

void hv_table_print(const hv_table *t) {
  unsigned w[16] = {0};
  for (unsigned r = 0; r < t->nrows; r++)
    for (unsigned c = 0; c < t->ncols && c < 16; c++)
      if (width(t->cells[r * t->ncols + c]) > w[c]) w[c] = width(t->cells[r * t->ncols + c]);
  for (unsigned r = 0; r < t->nrows; r++) {
    unsigned last = t->ncols;
    while (last && !t->cells[r * t->ncols + last - 1][0]) last--;
    for (unsigned c = 0; c < last; c++) {
      const char *s = t->cells[r * t->ncols + c];
      for (const char *p = s; *p; p++) putchar((unsigned char)*p < ' ' ? ' ' : *p);
      if (c + 1 < last) printf("%*s", (int)(w[c] - width(s) + 2), "");
    }
    putchar('\n');
  }
}

/* What messages carried must not steer the operator's terminal: control characters (C0, DEL, C1) are shown as \\xHH, line ends as \\r and \\n. */
static const char *visible(arena *a, const char *s) {
  const unsigned char *u = (const unsigned char *)s;
  size_t i = 0;
  while (u[i] && u[i] >= 0x20 && u[i] != 0x7f && !(u[i] == 0xc2 && u[i + 1] < 0xa0)) i++;
  if (!u[i]) return s;
  buf b;
  buf_init(&b, a, 1 << 20);
  for (i = 0; u[i]; i++) {
    if (u[i] == '\r') buf_puts(&b, "\\r");
    else if (u[i] == '\n') buf_puts(&b, "\\n");
    else if (u[i] < 0x20 || u[i] == 0x7f) buf_putf(&b, "\\x%02x", u[i]);
    else if (u[i] == 0xc2 && u[i + 1] && u[i + 1] < 0xa0) buf_putf(&b, "\\x%02x", u[++i]);
    else buf_putc(&b, (char)u[i]);
  }
  buf_putc(&b, 0);
  return b.status ? "" : b.p;
}

const char *hv_cell(arena *a, val obj, const char *name) {
  val v = jv_get(obj, name);
  if (v.tag == VAL_EMPTY || v.tag == VAL_NULL) return "";
  const char *s = v.tag == VAL_STR ? jv_text(a, v) : NULL;
  if (s) return visible(a, s);
  buf b;
  buf_init(&b, a, 65536);
  if (json_write(v, &b, NULL)) return "";
  buf_putc(&b, 0);
  return b.status ? "" : b.p;
}

const char *hv_size(uint64_t bytes, char out[32]) {
  static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB"};
  double v = (double)bytes / 1024;
  int u = 0;
  while (v >= 1024 && u < 3) v /= 1024, u++;
  if (bytes < 1024) snprintf(out, 32, "%llu bytes", (unsigned long long)bytes);
  else snprintf(out, 32, "%.1f %s", v, unit[u]);
  return out;
}

const char *hv_time_cell(arena *a, val obj, const char *name) {
  const char *s = hv_cell(a, obj, name);
  if (strlen(s) < 19) return s;
  char *t = arena_dup(a, s, 19);
  if (t) t[10] = ' ';
  return t ? t : "";
}
