/* hdwvm_send.c - sends files: HL7 over MLLP (HOST:PORT), HL7 or JSON over HTTP (URL), and prints the answers. */
#include <stdio.h>
#include <stdlib.h>
#include "hdwvm.h"
#include "hl7.h"
#include "io_linux.h"
#include "mllp.h"
#include "url.h"

typedef struct sending {
  io *x;
  arena a;
  mllp_client *client;
  int code;
} sending;

/* Line ends as CR, so that files edited by hand work; a trailing CR as every receiver wants it. */
static size_t normalise(char *p, size_t n) {
  size_t k = 0;
  for (size_t i = 0; i < n; i++) {
    if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n') continue;
    p[k++] = p[i] == '\n' ? '\r' : p[i];
  }
  while (k && p[k - 1] == '\r') k--;
  if (k) p[k++] = '\r';
  return k;
}

static void print(const uint8_t *p, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (p[i] == '\r') putchar('\n');
    else if (p[i] >= ' ' || p[i] == '\n' || p[i] == '\t') putchar(p[i]);
  }
  if (len && p[len - 1] != '\r' && p[len - 1] != '\n') putchar('\n');
}

static void on_answer(void *user, hdw_status s, bool sent, const uint8_t *p, size_t len) {
  sending *z = (sending *)user;
  if (s) {
    hv_say("no answer: %s%s", hdw_status_text(s), sent ? " (the message was sent)" : "");
    z->code = EXIT_UNAVAILABLE;
  } else {
    hl7_msg *m;
    hl7_ack_info ack;
    print(p, len);
    if (hl7_parse(&z->a, (const char *)p, len, NULL, &m, NULL) || hl7_ack_read(m, &ack) || (ack.code[0] && ack.code[1] != 'A')) z->code = EXIT_FINDINGS;
  }
  io_stop(z->x);
}

static void on_http(const io_http_res *r, void *user) {
  sending *z = (sending *)user;
  if (r->status) {
    hv_say("no answer: %s", r->error[0] ? r->error : hdw_status_text(r->status));
    z->code = EXIT_UNAVAILABLE;
  } else {
    print((const uint8_t *)r->body, r->body_len);
    if (r->code < 200 || r->code > 299) {
      hv_say("HTTP %d", r->code);
      z->code = EXIT_FINDINGS;
    }
  }
  io_stop(z->x);
}

static hdw_status start_http(sending *z, const url *u, const io_addr *pin, unsigned npin, const char *p, size_t n) {
  bool json = n && (p[0] == '{' || p[0] == '[');
  io_http_header h = {"Content-Type", json ? "application/json" : "application/hl7-v2; charset=UTF-8"};
  io_http_req q = {.method = "POST", .https = u->https, .host = u->host, .port = u->port, .target = u->target, .headers = &h, .nheaders = 1, .body = p, .body_len = n,
                   .pin = pin, .npin = npin, .timeout_us = 60000000, .max_body_bytes = 64 << 20, .max_header_bytes = 65536};
  return io_http_request(z->x, &q, on_http, z, NULL);
}

static int send_files(sending *z, const hv_args *args) {
  url u;
  io_addr at[8];
  unsigned n_at = 0;
  bool http = !strncmp(args->to, "http://", 7) || !strncmp(args->to, "https://", 8);
  if (http) {
    if (url_parse(&z->a, args->to, strlen(args->to), &u)) {
      hv_say("--to: '%s' is no URL", args->to);
      return EXIT_USAGE;
    }
    if (!(n_at = hv_lookup(z->x, u.host, u.port, at))) return EXIT_UNAVAILABLE;
  } else {
    const char *colon = strrchr(args->to, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (port < 1 || port > 65535) {
      hv_say("--to takes HOST:PORT or a URL");
      return EXIT_USAGE;
    }
    const char *host = arena_dup(&z->a, args->to, (size_t)(colon - args->to));
    if (!host || !(n_at = hv_lookup(z->x, host, (uint16_t)port, at))) return EXIT_UNAVAILABLE;
    mllp_client_opts o = {.addr = at[0], .host = host, .version = 1};
    if (mllp_client_new(z->x, &o, &z->client)) return EXIT_INTERNAL;
  }
  for (int i = 0; i < args->nwords; i++) {
    size_t n;
    char *p = hv_read(&z->a, args->words[i], &n);
    if (!p) return EXIT_IO;
    if (!n || (p[0] != '{' && p[0] != '[')) n = normalise(p, n);
    hdw_status s = http ? start_http(z, &u, at, n_at, p, n) : mllp_client_send(z->client, p, n, NULL, on_answer, z);
    if (s) {
      hv_say("%s cannot be sent: %s", args->words[i], hdw_status_text(s));
      return EXIT_IO;
    }
    (void)io_run(z->x);
    if (z->code == EXIT_UNAVAILABLE) return z->code;
  }
  return z->code;
}

int hv_send(const hv_args *args) {
  io_mem heap;
  sending z = {.code = EXIT_OK};
  if (!args->nwords || !args->to) {
    hv_say("send needs files and --to HOST:PORT or --to URL");
    return EXIT_USAGE;
  }
  io_mem_init(&heap, 0);
  arena_init(&z.a, &heap.m, 0);
  if (io_linux_new(&heap.m, &z.x)) return EXIT_INTERNAL;
  int code = send_files(&z, args);
  if (z.client) mllp_client_free(z.client);
  io_linux_free(z.x);
  arena_free(&z.a);
  return code;
}
