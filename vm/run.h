/* run.h - the interpreter: one run of one function of a verified module.
 *
 * A run never blocks and never recurses. An effect makes vm_go() return VM_AWAIT with the request in run->request; whoever drives the run
 * performs it (or finds its result in the journal) and calls vm_resume or vm_resume_error, then vm_go() again. A run is re-executed from the
 * beginning with recorded results after a crash, so nothing in here depends on anything but module, input and results. */
#ifndef HDW_RUN_H
#define HDW_RUN_H
#include "module.h"
#include "native.h"

#define OPCODE(name, a, b, c, ext, doc) OP_##name,
typedef enum vm_op {
#include "opcodes.def"
  OP_COUNT
} vm_op;
#undef OPCODE

typedef enum vm_state { VM_DONE, VM_FAILED, VM_AWAIT, VM_OUT_OF_FUEL, VM_OUT_OF_MEMORY, VM_OUT_OF_SLICE } vm_state;
/* How a run ended: by return or falling off its end (NONE), or by an outcome statement with two arguments. */
typedef enum vm_outcome { VM_OUTCOME_NONE, VM_REJECT, VM_REPLY, VM_REDIRECT, VM_SKIP, VM_FAIL, VM_RETRY, VM_UNMATCHED } vm_outcome;

/* nargs: how many arguments it reads, receiver included; an import that says otherwise is refused. pure: it stores no pointer to what it allocates
 * in cx->a anywhere but in its result, so a loop that calls it can give the memory of an iteration back. */
typedef struct vm_native_row { const char *name; vm_native fn; uint32_t nargs; bool pure; } vm_native_row;

/* What the embedder gives: natives by name (sorted), operators that are not decided inline (indexed by opcode; NULL = type error), conversions. */
typedef struct vm_host {
  const vm_native_row *natives;
  uint32_t nnatives;
  const vm_native *ops;
  /* Converts one item to the named type ("string", "date", "FHIR.Patient", "any" ...) for CHECK. HDW_E_DATA when it does not convert. */
  hdw_status (*convert)(vm_cx *cx, val item, const char *type, size_t len, val *out);
} vm_host;

enum { VM_MAX_FRAMES = 200, VM_MAX_TRIES = 64, VM_MAX_PATH = 64, VM_MAX_LANES = 16, VM_MAX_REGS = 255, VM_MAX_REGIONS = 16 };

typedef struct vm_request {
  const mod_effect *effect;
  uint32_t effect_index;
  const val *args;          /* effect->nargs values, valid until vm_resume */
  char path[256];           /* journal key: sites and loop indexes, "3.7[12].1" */
} vm_request;

typedef struct vm_frame { uint32_t func, pc, base, ret; } vm_frame;
typedef struct vm_try { uint32_t frame, pc, path; uint8_t reg; } vm_try;
/* Memory taken since mark is an iteration's and given back with it, unless spoilt (interp_ops.c). */
typedef struct vm_region { arena_mark mark; uint32_t frame; uint8_t reg; bool spoilt; } vm_region;
typedef struct vm_path { uint32_t site; int64_t index; } vm_path;

typedef struct vm_run {
  const module *m;
  const vm_host *host;
  vm_cx *cx;
  const vm_native *bound;    /* natives of the module's import table */
  bool is_gate;              /* stop at GATE */
  int64_t slice;             /* units of fuel until VM_OUT_OF_SLICE, to be set again before each vm_go; 0 = none */
  val *regs;
  uint32_t nregs, cap_regs;
  vm_frame frames[VM_MAX_FRAMES];
  uint32_t nframes;
  vm_try tries[VM_MAX_TRIES];
  uint32_t ntries;
  vm_path path[VM_MAX_PATH];
  uint32_t npath;
  vm_region regions[VM_MAX_REGIONS];
  uint32_t nregions;
  const uint8_t *recycled;   /* free end of the arena when a region was last looked at */
  vm_request request;        /* VM_AWAIT */
  val result;                /* VM_DONE: what was returned */
  vm_outcome outcome;
  val outcome_args[2];
  bool gate_reached;         /* VM_DONE of a gate that came to its GATE without an outcome */
  val lanes[VM_MAX_LANES];
  uint32_t nlanes;
  val once_key, once_within;
} vm_run;

/* Resolves the module's imports against host. HDW_E_NOTFOUND names the missing native in err. The result array lives in a. */
hdw_status vm_bind(arena *a, const module *m, const vm_host *host, const vm_native **bound, mod_error *err);
/* Prepares a run of function func with n arguments. m must be verified. */
hdw_status vm_start(vm_run *r, const module *m, const vm_host *host, const vm_native *bound, vm_cx *cx, uint32_t func, const val *args, unsigned n);
/* Runs until it is done, failed, waits or is out of something. On VM_FAILED cx->err holds status, text and source position. */
vm_state vm_go(vm_run *r);
void vm_resume(vm_run *r, val result);
/* error: an object {status, class, code, path, message}. True when a handler took it (call vm_go), false when the run has none. */
bool vm_resume_error(vm_run *r, val error);
const char *vm_op_name(vm_op op);

#endif
