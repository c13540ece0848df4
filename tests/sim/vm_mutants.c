/* vm_mutants [--programs N] [--mutants N] [--seed N] [--seconds N] [--show 1]
 *
 * N generated programs of the machine, then N changed ones: each goes through loader and verifier; what passes runs in the machine and in the slow, checking
 * one beside it (tests/unit/vm_slow.h). Built with sanitizers. The last line says how many there were; a difference names the seed. With --seconds it ends
 * then, wherever it is, and says with which seed to go on. */
#include <time.h>
#include "support.h"
#include "vm_mutate.h"

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise) {
  for (int i = 1; i + 1 < argc; i++)
    if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 10);
  return otherwise;
}

static time_t now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

int main(int argc, char **argv) {
  static mutants x;
  uint64_t seed = option(argc, argv, "--seed", 1), programs = option(argc, argv, "--programs", 1000), changed = option(argc, argv, "--mutants", 10000), i = 0, k = 0;
  uint64_t seconds = option(argc, argv, "--seconds", 0);
  time_t end = seconds ? now_s() + (time_t)seconds : 0;
  int bad = 0;
  mutants_init(&x);
  x.show = option(argc, argv, "--show", 0) != 0;
  for (; i < programs && bad < 10 && !(end && i % 256 == 0 && now_s() >= end); i++)
    if (mutants_program(&x, seed + i)) bad++, printf("DIFFERS: --seed %llu --programs 1 --mutants 0: %s\n", (unsigned long long)(seed + i), x.why);
  uint64_t verified_programs = x.verified;
  x.loaded = x.verified = 0;
  for (; k < changed && bad < 10 && !(end && k % 1024 == 0 && now_s() >= end); k++)
    if (mutants_change(&x, seed + k)) bad++, printf("DIFFERS: --seed %llu --programs 0 --mutants 1: %s\n", (unsigned long long)(seed + k), x.why);
  printf("vm_mutants: %llu programs (%llu verified), %llu changed modules (%llu loaded, %llu verified), %llu runs, %llu compared to their end, %llu instructions, %d differ, next seed %llu\n", (unsigned long long)i,
         (unsigned long long)verified_programs, (unsigned long long)k, (unsigned long long)x.loaded, (unsigned long long)x.verified, (unsigned long long)x.b.runs, (unsigned long long)x.b.compared,
         (unsigned long long)x.b.steps, bad, (unsigned long long)(seed + (i > k ? i : k)));
  mutants_free(&x);
  return bad != 0;
}
