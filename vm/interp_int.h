/* interp_int.h - between interp.c (the dispatch loop) and interp_ops.c (what an instruction does when it is more than a few lines). */
#ifndef HDW_INTERP_INT_H
#define HDW_INTERP_INT_H
#include "run.h"
#include <string.h>

/* Values move as two words: a load of 16 bytes right after two stores of 8 waits for both to reach the cache. */
static inline void copy(val *to, const val *from) {
  uint64_t head, body;
  memcpy(&head, from, 8);
  memcpy(&body, &from->u, 8);
  memcpy(to, &head, 8);
  memcpy(&to->u, &body, 8);
}

/* A region is given back when it has grown to more than this. */
#ifdef HDW_STRESS
enum { VM_REGION_BYTES = 0 };
#else
enum { VM_REGION_BYTES = 32 * 1024 };
#endif

/* Makes room for a window of n registers from base on; what is in new registers is not defined. May move r->regs. */
hdw_status vm_window(vm_run *r, uint32_t base, uint32_t n);
/* Operator `op` of the host; HDW_E_TYPE when there is none. */
hdw_status vm_slow_op(vm_run *r, vm_op op, val x, val y, val *out);
/* Members named key of all items of coll. Charges fuel for lists. */
hdw_status vm_member(vm_cx *cx, val coll, val key, val *out);
/* Items of n values in one collection. */
hdw_status vm_list(vm_cx *cx, const val *v, uint32_t n, val *out);
hdw_status vm_object(vm_run *r, const mod_shape *s, const val *fields, val *out);
/* The n parts of a template joined to a string when all of them are strings and whole numbers; VAL_EMPTY when they are not. */
hdw_status vm_join_text(vm_cx *cx, const val *parts, uint32_t n, val *out);
/* A payload field or typed load: every item converted to the declared type, the number of items within bounds. */
hdw_status vm_check(vm_run *r, const mod_check *c, val v, val *out);
/* vm_exec with cx->hits (interp_count.c). */
vm_state vm_exec_counting(vm_run *r);
/* Journal key of effect site `site` into r->request.path: "3.7[12].1". */
hdw_status vm_path_text(vm_run *r, uint32_t site);
hdw_status vm_condition_count(vm_cx *cx, val v);
/* True when import i may keep memory of the run's arena in something older than its arguments. */
bool vm_keeps(const vm_run *r, uint32_t i);

/* branch.c */
typedef struct vm_bad {       /* how a branch ended that failed or ended the run */
  uint32_t index;
  bool raised;
  vm_outcome outcome;         /* else a fault: err */
  val value, args[2];
  vm_error err;
} vm_bad;
/* Executes until it stops; VM_WAITING: blocked at FORK or JOIN (stand says so). */
vm_state vm_exec(vm_run *r);
hdw_status vm_group_begin(vm_run *r, val limit);
/* A new branch at word pc; HDW_E_AGAIN: the group is full. */
hdw_status vm_fork(vm_run *r, uint32_t pc);
hdw_status vm_branch_end(vm_run *r, uint32_t reg, uint32_t n, bool keep);
/* HDW_E_AGAIN: some are still at work. *bad: it is the run's business now; the group is gone. */
hdw_status vm_join(vm_run *r, val *out, vm_bad **bad);
/* Throws e: true when a handler took it. */
bool vm_unwind(vm_run *r, val e);

/* Regions (see opcodes.def): REGION and RECYCLE of the innermost frame, and events that forbid to give memory back. */
void vm_region_begin(vm_run *r, uint8_t reg);
hdw_status vm_region_recycle(vm_run *r, uint8_t reg);            /* HDW_E_NOMEM when R[reg] could not be kept */
void vm_regions_pop(vm_run *r, uint32_t nframes);         /* those of frames that are gone */
void vm_regions_spoil(vm_run *r);                         /* something may now point into the memory of any region */
void vm_regions_spoil_newer(vm_run *r, const void *p);    /* ... of the regions that are newer than p, which was written to */

#endif
