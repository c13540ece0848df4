/* Generated programs (tests/unit/vm_gen.h; the first two bytes choose) with words of their code changed (three bytes each: where, which byte, what): what the verifier accepts ends
 * alike in the machine and in the slow one beside it. */
#include "vm_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static mutants x;
  static bool begun;
  uint8_t *bytes;
  size_t len;
  if (size < 2) return 0;
  if (!begun) mutants_init(&x), begun = true;
  x.b.seed = (uint64_t)size * 977;
  if (gen_program(&x.a, 1u + data[0] + 256u * data[1], &bytes, &len) == HDW_OK) {
    const uint8_t *t = bytes + MOD_HEADER_BYTES + MOD_CODE * 12;
    uint32_t off = mutants_get32(t + 4), n = mutants_get32(t + 8) / 4;
    for (size_t i = 2; i + 2 < size && n; i += 3) bytes[off + 4 * ((data[i] + 256u * (data[i + 1] & 3u)) % n) + (data[i + 1] >> 6)] = data[i + 2];
    if (mutants_judge(&x, bytes, len, size < 5)) {
      fprintf(stderr, "%s\n", x.why);
      abort();
    }
  }
  arena_reset(&x.a);
  return 0;
}
