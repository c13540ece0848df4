/* run.h - the interpreter: one run of one function of a verified module.
 *
 * A run may have branches (`parallel`): vm_runs of their own in the same arena, with a copy of the frame that began them. vm_go executes whichever can go on,
 * so while one waits for its effect, others ask for theirs. What a run does depends on its results alone and not on the order in which they come:
 * branches see nothing of each other, have paths and uuids of their own, and end in the order of the source, at JOIN.
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

typedef enum vm_state { VM_DONE, VM_FAILED, VM_AWAIT, VM_OUT_OF_FUEL, VM_OUT_OF_MEMORY, VM_OUT_OF_SLICE, VM_WAITING /* every branch waits for a result that was asked for */ } vm_state;
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
  /* What an item is, for the error of a CHECK: the name of a type ("Observation", "string"), never of its content. Constant data; may be NULL. */
  const char *(*kind)(val item);
} vm_host;

enum { VM_MAX_FRAMES = 200, VM_MAX_TRIES = 64, VM_MAX_PATH = 64, VM_MAX_LANES = 16, VM_MAX_REGS = 255, VM_MAX_REGIONS = 16, VM_MAX_GROUPS = 8, VM_BRANCHES = 16, VM_MAX_BRANCHES = 256 };

typedef struct vm_request {
  const mod_effect *effect;
  uint32_t effect_index;
  const val *args;          /* effect->nargs values, valid until vm_resume */
  char path[256];           /* journal key: sites and loop indexes, "3.7[12].1" */
  struct vm_run *branch;    /* who asks: the run itself or one of its branches, for vm_resume_branch */
} vm_request;

typedef struct vm_frame { uint32_t func, pc, base, ret; } vm_frame;
typedef struct vm_try { uint32_t frame, pc, path, groups; uint8_t reg; } vm_try;
/* Memory taken since mark is an iteration's and given back with it, unless spoilt (interp_ops.c). */
typedef struct vm_region { arena_mark mark; uint32_t frame; uint8_t reg; bool spoilt; } vm_region;
typedef struct vm_path { uint32_t site; int64_t index; } vm_path;

/* Branches that were begun together. bad: the first in the order of the source that did not come to its BEND. */
typedef struct vm_group {
  uint32_t frame, limit, live, begun, kept, cap;
  val *keep;                 /* one for each branch */
  struct vm_bad *bad;
} vm_group;
/* How a run or branch stands. */
typedef enum vm_stand { VM_GOES, VM_AWAITS, VM_BLOCKED /* at FORK or JOIN */, VM_OVER } vm_stand;

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
  bool copies;               /* set by the embedder: it keeps no pointer to what a request or the arena holds, so effects may happen in regions */
  /* branches */
  struct vm_run *root, *parent, *next; /* next: of all branches of root, in the order they were begun */
  struct vm_run *spare;      /* root: branches that are over, to be used again */
  uint32_t nbranches;        /* root: alive */
  uint32_t index, in_group;  /* of the parent */
  vm_stand stand;
  bool ended;                /* a branch came to its BEND */
  bool raised;               /* VM_FAILED because of the error in result that nobody handled */
  uint64_t unique;           /* vm_cx.unique while others go on */
  vm_group groups[VM_MAX_GROUPS];
  uint32_t ngroups;
} vm_run;

/* Resolves the module's imports against host. HDW_E_NOTFOUND names the missing native in err. The result array lives in a. */
hdw_status vm_bind(arena *a, const module *m, const vm_host *host, const vm_native **bound, mod_error *err);
/* Prepares a run of function func with n arguments. m must be verified. */
hdw_status vm_start(vm_run *r, const module *m, const vm_host *host, const vm_native *bound, vm_cx *cx, uint32_t func, const val *args, unsigned n);
/* Runs until it is done, failed, waits or is out of something. On VM_FAILED cx->err holds status, text and source position. */
vm_state vm_go(vm_run *r);
/* The result of the last request. */
void vm_resume(vm_run *r, val result);
/* error: an object {status, class, code, path, message}. True when a handler took it (call vm_go), false when the run has none. */
bool vm_resume_error(vm_run *r, val error);
/* The same for a request of vm_request.branch, whatever was asked for since. */
void vm_resume_branch(vm_run *branch, val result);
/* Whether a handler of the branch, or of those that began it, may take an error. */
bool vm_handles(const vm_run *branch);
/* The branch fails with the error: its own handler, or else JOIN of those that began it. False: it is the run itself and has no handler. */
bool vm_throw(vm_run *branch, val error);
const char *vm_op_name(vm_op op);

#endif
