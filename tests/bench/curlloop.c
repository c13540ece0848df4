/* curlloop - three GETs of a FHIR server in a row, each over a kept connection, again and again, with nothing around them: what the calls cost in C by themselves.
 *
 *   curlloop BASE SECONDS */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

int main(int argc, char **argv) {
  static const char *const paths[] = {"Patient/17", "Coverage?beneficiary=17", "Patient/17"};
  char url[3][500];
  size_t bytes = 0;
  long done = 0;
  if (argc < 3) {
    fprintf(stderr, "usage: curlloop BASE SECONDS\n");
    return 2;
  }
  CURL *c = curl_easy_init();
  if (!c) return 1;
  for (int i = 0; i < 3; i++) snprintf(url[i], sizeof url[i], "%s/%s", argv[1], paths[i]);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &bytes);
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  double from = now_s(), to = from + atof(argv[2]);
  for (; now_s() < to; done++)
    for (int i = 0; i < 3; i++) {
      curl_easy_setopt(c, CURLOPT_URL, url[i]);
      if (curl_easy_perform(c) != CURLE_OK) return 1;
    }
  printf("rate=%.1f/s bytes=%zu\n", (double)done / (now_s() - from), bytes);
  curl_easy_cleanup(c);
  return 0;
}
