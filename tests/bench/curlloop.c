/* curlloop - three GETs of a FHIR server in a row, each over a kept connection, again and again, with nothing around them: what the calls cost in C by themselves.
 *
 *   curlloop BASE SECONDS [rate=N]
 *
 * One chain after another as fast as they go; with rate=N, N of them a second, each at its time and beside each other: a latency counts from that time, also when no
 * handle was free. One line is printed; latencies in microseconds, without those of the first second. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

enum { CALLS = 3, CHAINS = 256, MAX_SAMPLES = 1 << 22, WARM_S = 1 };

typedef struct chain {
  CURL *c;
  int at;                    /* the call under way */
  double due;
} chain;

typedef struct loop {
  CURLM *m;
  chain chains[CHAINS], *idle[CHAINS];
  int nidle;
  double gap, next, from, to;
  uint32_t *sample;
  size_t samples;
} loop;

static char url[CALLS][500];
static size_t bytes;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static size_t drop(char *p, size_t size, size_t n, void *user) {
  (void)p;
  *(size_t *)user += size * n;
  return size * n;
}
static CURL *handle(void) {
  CURL *c = curl_easy_init();
  if (!c) exit(1);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &bytes);
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  return c;
}

static int one_after_another(double seconds) {
  CURL *c = handle();
  double from = now_s(), to = from + seconds;
  long done = 0;
  for (; now_s() < to; done++)
    for (int i = 0; i < CALLS; i++) {
      curl_easy_setopt(c, CURLOPT_URL, url[i]);
      if (curl_easy_perform(c) != CURLE_OK) return 1;
    }
  printf("rate=%.1f/s bytes=%zu\n", (double)done / (now_s() - from), bytes);
  curl_easy_cleanup(c);
  return 0;
}

static void call(loop *l, chain *x) {
  curl_easy_setopt(x->c, CURLOPT_URL, url[x->at]);
  if (curl_multi_add_handle(l->m, x->c)) exit(1);
}

static void begin_due(loop *l) {
  for (double t = now_s(); l->nidle && l->next <= t && t < l->to; l->next += l->gap) {
    chain *x = l->idle[--l->nidle];
    x->at = 0, x->due = l->next;
    call(l, x);
  }
}

/* A call has ended: the chain's next one, or the chain's end. */
static void ended(loop *l, CURLMsg *msg) {
  chain *x = NULL;
  if (msg->data.result != CURLE_OK) exit(1);
  curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&x);
  curl_multi_remove_handle(l->m, x->c);
  if (++x->at < CALLS) {
    call(l, x);
    return;
  }
  double t = now_s();
  if (x->due >= l->from && t < l->to && l->samples < MAX_SAMPLES) l->sample[l->samples++] = (uint32_t)((t - x->due) * 1e6);
  l->idle[l->nidle++] = x;
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
static unsigned quantile(const loop *l, double q) { return l->samples ? l->sample[(size_t)((double)(l->samples - 1) * q)] : 0; }

static void sleep_until(int timer, double at) { /* curl counts milliseconds: too coarse */
  struct itimerspec t = {.it_value = {(time_t)at, (long)((at - (double)(time_t)at) * 1e9)}};
  if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL)) exit(1);
}

static int at_a_rate(double seconds, double rate) {
  loop *l = calloc(1, sizeof *l);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), running, left;
  if (!l || timer < 0 || !(l->m = curl_multi_init()) || !(l->sample = malloc(MAX_SAMPLES * sizeof *l->sample))) return 1;
  for (int i = 0; i < CHAINS; i++) {
    chain *x = l->idle[l->nidle++] = &l->chains[i];
    x->c = handle();
    curl_easy_setopt(x->c, CURLOPT_PRIVATE, x);
  }
  l->gap = 1 / rate, l->next = now_s(), l->from = l->next + WARM_S, l->to = l->from + seconds;
  while (now_s() < l->to) {
    begin_due(l);
    if (curl_multi_perform(l->m, &running)) return 1;
    bool more = false;
    for (CURLMsg *m; (m = curl_multi_info_read(l->m, &left)); more = true) ended(l, m);
    if (more) continue; /* the next calls go out at once */
    struct curl_waitfd w = {.fd = timer, .events = CURL_WAIT_POLLIN};
    sleep_until(timer, l->nidle ? l->next : l->to);
    if (curl_multi_poll(l->m, &w, 1, 1000, NULL)) return 1;
  }
  qsort(l->sample, l->samples, sizeof *l->sample, by_value);
  printf("rate=%.1f/s p50=%uus p99=%uus max=%uus bytes=%zu\n", (double)l->samples / seconds, quantile(l, .5), quantile(l, .99), quantile(l, 1), bytes);
  fflush(stdout);
  _Exit(0); /* what it holds goes with it */
}

int main(int argc, char **argv) {
  static const char *const paths[CALLS] = {"Patient/17", "Coverage?beneficiary=17", "Patient/17"};
  double rate = argc > 3 && !strncmp(argv[3], "rate=", 5) ? atof(argv[3] + 5) : 0;
  if (argc < 3 || argc > 4 || (argc == 4 && rate <= 0)) {
    fprintf(stderr, "usage: curlloop BASE SECONDS [rate=N]\n");
    return 2;
  }
  for (int i = 0; i < CALLS; i++) snprintf(url[i], sizeof url[i], "%s/%s", argv[1], paths[i]);
  return rate > 0 ? at_a_rate(atof(argv[2]), rate) : one_after_another(atof(argv[2]));
}
