/* vm_slow.h - a second machine, for tests: slow, plain, and suspicious of everything.
 *
 * It executes verified modules as docs/internals/bytecode.md describes them and shares with the machine under test only the loaded module, the values and what the
 * host gives (natives, operators, conversions). Each frame has registers of its own; nothing is dispatched, fused, inlined or given back. At every step it checks what the
 * verifier promised: the instruction is whole, each operand is in range, each value that is written is one that a register may hold.
 *
 * Where the description leaves open what a register holds (the registers of a caller behind a call, which the callee may have used; those whose memory a
 * RECYCLE may have given back), the register is marked, and a program that reads it ends with SLOW_OPEN: nothing can be compared then. */
#ifndef HDW_VM_SLOW_H
#define HDW_VM_SLOW_H
#include "vm.h"

enum { SLOW_REGS = 256, SLOW_THREADS = 400, SLOW_BRANCHES = 300, SLOW_TEXT = 160 };
typedef enum slow_state { SLOW_DONE, SLOW_FAILED, SLOW_AWAIT, SLOW_FUEL, SLOW_MEMORY, SLOW_WAITING, SLOW_OPEN, SLOW_BROKEN } slow_state;

typedef struct slow_region { uint32_t reg; arena_mark mark; } slow_region;
typedef struct slow_frame {
  uint32_t func, at, call;           /* word that comes next; register of the call that is under way */
  val r[SLOW_REGS];
  bool open[SLOW_REGS];
  slow_region regions[VM_MAX_REGIONS];
  uint32_t nregions;
} slow_frame;
typedef struct slow_try { uint32_t frame, at, npath, ngroups, reg; } slow_try;
typedef struct slow_group {
  uint32_t frame, limit, live, begun;
  val keep[SLOW_BRANCHES];
  bool kept[SLOW_BRANCHES];
  bool bad, raised;
  uint32_t bad_index, outcome;
  val bad_value, args[2];
  vm_error err;
} slow_group;

typedef struct slow_thread {
  struct slow_thread *parent;
  uint32_t index, in_group;
  slow_frame *frames[VM_MAX_FRAMES];
  uint32_t nframes;
  slow_try tries[VM_MAX_TRIES];
  uint32_t ntries;
  vm_path path[VM_MAX_PATH];
  uint32_t npath;
  slow_group *groups[VM_MAX_GROUPS];
  uint32_t ngroups;
  enum { GOES, ASKS, BLOCKED, OVER } stand;
  bool ended, raised, gone;
  uint64_t unique;
  val result, args[2];
  uint32_t outcome;
  uint32_t effect, effect_reg;       /* ASKS */
  char place[256];
  val lanes[VM_MAX_LANES], once[2];
  uint32_t nlanes;
} slow_thread;

typedef struct slow {
  const module *m;
  const vm_host *host;
  const vm_native *bound;
  vm_cx *cx;
  bool is_gate, gate_reached;
  slow_thread *threads[SLOW_THREADS];
  uint32_t nthreads, alive;          /* alive: branches, without the run itself */
  slow_thread *asking;               /* SLOW_AWAIT: effect, arguments from effect_reg on, place */
  uint64_t steps;
  char broken[SLOW_TEXT];            /* SLOW_BROKEN: a promise of the verifier that does not hold */
} slow;

/* cx: as for vm_start. Everything is allocated in cx->a. */
bool slow_start(slow *s, const module *m, const vm_host *host, const vm_native *bound, vm_cx *cx, uint32_t func, const val *args, uint32_t n);
slow_state slow_go(slow *s);
/* Argument i of the request. */
val slow_argument(const slow *s, uint32_t i);
void slow_resume(slow_thread *t, val result);
bool slow_handles(const slow_thread *t);
bool slow_throw(slow *s, slow_thread *t, val error);

#endif
