/* Modules that nobody's compiler wrote: a real one whose code, constants and tables are changed, then loaded, verified and run with all natives under little
 * fuel and memory. What runs to its end must have a result that a register may hold (vm_drive.h). */
#include "compiler.h"
#include "vm_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static const char source[] =
    "hdw 1\n"
    "connection crm = rest(auth: bearer(secret('t')))\n"
    "listener adt = mllp(port: 2575)\n"
    "setting region: string = 'north'\n"
    "payload Card(msg: ADT_A01) {\n"
    "  mrn:    string  = msg.PID-3.where(identifierTypeCode = 'MR').idNumber.first()\n"
    "  born:   date?   = msg.PID-7\n"
    "  gender: string  = gender(msg.PID-8)\n"
    "}\n"
    "map gender(code: string?): string { 'M': 'male', else: 'unknown' }\n"
    "fn fib(n: integer): integer = iif(n < 2, n, fib(n - 1) + fib(n - 2))\n"
    "fn sum(n: any*): any* = n.where($this.exists()).select([$this, 1.50, @2024-01-31, 3 'mg']).aggregate($total & \"x{$this.toString()}\", '')\n"
    "fn odd(x: any*, y: any*): any* = [x.descendants(), { a: x, b: [1, y] }, x.toJson(), x | y, x ~ y, x.intersect(y), x.split(','), x.matches('a+'), x.toDate(), x.sum(), x.sort($this.a)]\n"
    "fn all(x: any*): any* = [x.all($this.exists()), x.exists($this = 1), range(1, 50).aggregate(\"{$this}{$total}\", '').length(), x.repeat(children()).count()]\n"
    "fn message(msg: ADT_A01): any* = [msg.with(PID-8: 'F', remove: [msg.PV1]).toHl7(), ADT_A01(PID-3.1: '1').toHl7(), msg.PID-5[0].1, msg.toJson()]\n"
    "workflow admit\n"
    "  on msg = adt.message(types: ['ADT^A01'])\n"
    "  order by msg.PID-3[0].1\n"
    "{\n"
    "  if msg.PID-8 = 'X' { reject('AR', 'no') }\n"
    "  step r = crm.post(\"/admits/{Card(msg).mrn}\", body: Card(msg)) on error use { a: 1 }\n"
    "  for g in msg.PID-5.givenName { send crm.put(\"/g/{g}\", body: { g: g, r: r, region: region }) }\n"
    "}\n";

static vm_drive drive;
static uint8_t *base;
static size_t base_len;

static void start(void) {
  if (base) return;
  drive_init(&drive);
  comp_source src = {"t.hdw", source, sizeof source - 1};
  comp_result out;
  diag_list d;
  diag_init(&d, &drive.keep);
  if (comp_program(&drive.keep, &src, 1, NULL, &d, &out) || !out.bytes) abort();
  base = out.bytes;
  base_len = out.len_bytes;
  drive_module(&drive, base, base_len);
  if (!drive.verified) abort();
}

static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* One word of the code: another operation, an operand a little off or taken from elsewhere. */
static void change_word(uint8_t *p, uint32_t words, uint32_t r) {
  uint8_t *w = p + 4 * (r % words), *other = p + 4 * ((r >> 8) % words);
  switch (r >> 20 & 7) {
    case 0: w[0] = (uint8_t)((r >> 24) % OP_COUNT); break;
    case 1: w[1 + r % 3] = (uint8_t)(w[1 + r % 3] + 1); break;
    case 2: w[1 + r % 3] = (uint8_t)(w[1 + r % 3] - 1); break;
    case 3: w[1 + r % 3] = (uint8_t)(r >> 24); break;
    case 4: memcpy(w, other, 4); break;
    case 5: memcpy(w + 2, other + 2, 2); break;
    case 6: w[1] = other[2]; break;
    default: memcpy(w, (uint8_t[]){OP_NOP, 0, 0, 0}, 4); break;
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  module m;
  mod_error e;
  start();
  hdw_status s = size && ((uintptr_t)data & 7) == 0 ? mod_load(&drive.code, data, size, &m, &e) : HDW_E_CORRUPT;
  arena_free(&drive.code);
  if (s || max < base_len) {
    if (max < base_len) return LLVMFuzzerMutate(data, size, max);
    memcpy(data, base, base_len);
    size = base_len;
  }
  uint64_t r = seed * UINT64_C(0x9e3779b97f4a7c15);
  for (int n = 1 + (int)(r >> 60 & 3); n > 0; n--) {
    r = r * UINT64_C(6364136223846793005) + 1442695040888963407u;
    uint32_t sec = (r >> 32 & 3) ? MOD_CODE : (uint32_t)(r >> 34) % MOD_META;
    const uint8_t *t = data + MOD_HEADER_BYTES + sec * 12;
    uint32_t off = get32(t + 4), len = get32(t + 8);
    if (off > size || len > size - off || len < 4) continue;
    if (sec == MOD_CODE) change_word(data + off, len / 4, (uint32_t)(r >> 16));
    else LLVMFuzzerMutate(data + off, len, len);
  }
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  start();
  uint64_t *copy = malloc(size + 8); /* aligned, and its end watched */
  memcpy(copy, data, size);
  if (size >= 16) memcpy((uint8_t *)copy + 12, &(uint32_t){(uint32_t)size}, 4);
  drive.seed = size > 64 ? get32(data + size - 8) : 1;
  drive_module(&drive, (uint8_t *)copy, size);
  free(copy);
  return 0;
}
