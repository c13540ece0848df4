/* hdw.json: any text gives a configuration or problems, and every problem is a short line. */
#include <stdlib.h>
#include "config.h"

static void *get(mem *m, size_t n) { (void)m; return malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n; free(p); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mem m = {get, put, NULL};
  arena a;
  config c;
  arena_init(&a, &m, 64 << 20);
  config_init(&c, &a);
  if (!config_read(&c, &m, "hdw.json", (const char *)data, size)) {
    (void)config_bind(&c, NULL, 0, true);
    for (uint32_t i = 0; i < c.nproblems && i < CONFIG_MAX_PROBLEMS; i++)
      if (strlen(c.problems[i]) > 400) abort();
  }
  arena_free(&a);
  return 0;
}
