/* bench_net - the listeners alone, without a store: what the network layer costs.
 *
 *   bench_net mllp PORT     answers every frame with a fixed acknowledgement built from its MSH-10      (drive it with mllpload)
 *   bench_net http PORT     answers every request with 44 bytes of JSON                                  (drive it with wrk or any load tool) */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "http.h"
#include "io_linux.h"
#include "mllp.h"

static mllp_listener *listener;
static http_server *server;

static void on_frame(void *user, mllp_token t, const mllp_peer *peer, const uint8_t *p, size_t len) {
  char ack[256];
  const uint8_t *at = p, *end = p + len;
  (void)user, (void)peer;
  for (int bars = 0; at < end && bars < 9; at++) bars += *at == '|';
  const uint8_t *stop = at;
  while (stop < end && *stop != '|' && *stop != '\r') stop++;
  int n = snprintf(ack, sizeof ack, "MSH|^~\\&|B|B|A|A|20260101||ACK|1|P|2.5\rMSA|AA|%.*s\r", (int)(stop - at), (const char *)at);
  mllp_reply(listener, t, ack, (size_t)n);
}

static void on_request(void *user, http_token t, const http_request *r) {
  static const char body[] = "{\"status\":\"accepted\",\"id\":\"0123456789abcdef\"}";
  http_header h = {{"Content-Type", 12}, {"application/json", 16}};
  (void)user, (void)r;
  http_reply(server, t, 200, &h, 1, body, sizeof body - 1);
}

static void on_signal(int signo, void *user) {
  (void)signo;
  io_stop(user);
}

int main(int argc, char **argv) {
  io_mem m;
  io *x;
  io_addr a = {.family = IO_ADDR_IP4, .ip = {127, 0, 0, 1}};
  if (argc != 3) {
    fprintf(stderr, "usage: bench_net mllp|http PORT\n");
    return 2;
  }
  a.port = (uint16_t)atoi(argv[2]);
  io_mem_init(&m, 0);
  hdw_status s = io_linux_new(&m.m, &x);
  if (s) return 1;
  if (!strcmp(argv[1], "mllp")) s = mllp_listener_new(x, &(mllp_listener_opts){.addr = a, .frame = on_frame, .max_conns = 20000}, &listener);
  else s = http_server_new(x, &(http_server_opts){.addr = a, .request = on_request, .max_conns = 20000}, &server);
  if (s) {
    fprintf(stderr, "bench_net: %s\n", hdw_status_text(s));
    return 1;
  }
  io_signal(x, SIGTERM, on_signal, x);
  io_signal(x, SIGINT, on_signal, x);
  io_run(x);
  if (listener) printf("frames=%llu bytes=%llu\n", (unsigned long long)mllp_listener_stats(listener)->frames, (unsigned long long)mllp_listener_stats(listener)->frame_bytes);
  if (server) printf("requests=%llu bytes=%llu\n", (unsigned long long)http_server_stats(server)->requests, (unsigned long long)http_server_stats(server)->body_bytes);
  printf("peak_bytes=%zu\n", m.peak_bytes);
  mllp_listener_free(listener);
  http_server_free(server);
  io_linux_free(x);
  return 0;
}
