/* emit.h - building a module: constants are interned, functions get their code word by word, tables fill up; emit_finish assembles the bytes.
 * After an error (status set) everything goes on harmlessly and emit_finish reports it. Same calls in the same order give the same bytes. */
#ifndef HDW_EMIT_H
#define HDW_EMIT_H
#include "vm.h"

typedef struct emit_hash { uint32_t *slot; uint32_t n, cap; } emit_hash;

typedef struct emit_text { uint32_t off, len; } emit_text;

typedef struct emit_func {
  buf code;                 /* 32-bit words */
  buf debug;                /* mod_debug entries relative to the function */
  buf locals;               /* mod_local entries likewise */
  uint32_t name, params, regs;
  uint32_t label;           /* the last word that something jumps to: what stands before it is not joined with what follows */
  uint32_t last, before;    /* words at which the last instruction and the one before it begin; MOD_NO_INDEX */
  uint32_t temporary;       /* the instruction of emit_binary whose right operand nobody else reads; MOD_NO_INDEX */
} emit_func;

typedef struct emit {
  arena *a;
  hdw_status status;
  const char *why;          /* text for HDW_E_LIMIT */
  buf sec[MOD_SECTION_COUNT];
  emit_hash consts, text_hash, natives, checks;
  emit_text *texts;
  uint32_t cap_texts;
  emit_func none;           /* stands for one that there was no memory for */
  emit_func *funcs;
  uint32_t nfuncs, cap_funcs;
  uint32_t nconsts;
} emit;

void emit_init(emit *e, arena *a);
/* Constants; the same value gives the same index. */
uint32_t emit_str(emit *e, const char *s, size_t len);
uint32_t emit_cstr(emit *e, const char *s);
uint32_t emit_val(emit *e, val v);      /* scalars, strings, decimals, temporals, quantities, and lists/objects of such */
/* Tables. */
uint32_t emit_native(emit *e, const char *name, uint32_t nargs);
uint32_t emit_shape(emit *e, const mod_key *keys, uint32_t n);
uint32_t emit_check(emit *e, mod_check c);
uint32_t emit_effect(emit *e, mod_effect ef, const uint32_t *argn);
uint32_t emit_effect_count(const emit *e);
/* Functions. A comparison right before the JMPN on its result becomes one instruction with it. */
uint32_t emit_func_new(emit *e, const char *name, size_t len, uint32_t params);
uint32_t emit_here(emit *e, uint32_t fn);                                  /* index of the next word, to be jumped to */
void emit_op(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t b, uint32_t c);
/* temporary: R[c] was made for this instruction only. When it is an Integer loaded right before, the instruction takes it up. */
void emit_binary(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t b, uint32_t c, bool temporary);
void emit_bx(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t bx);     /* error when bx exceeds 16 bits */
void emit_loadk(emit *e, uint32_t fn, uint32_t a, uint32_t k);             /* R[a] = K[k], whatever k is */
void emit_ext(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t b, uint32_t c, uint32_t ext);
uint32_t emit_jump(emit *e, uint32_t fn, vm_op op, uint32_t a);            /* to be patched; returns its index */
void emit_patch(emit *e, uint32_t fn, uint32_t at);                        /* the jump at `at` goes to emit_here */
void emit_jump_to(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t target);
void emit_pos(emit *e, uint32_t fn, uint32_t file_k, uint32_t line, uint32_t col); /* position of the next word */
/* A name has its value in a register from here on; emit_local_end with the number it gives: until here. Without an end, until the function's. */
uint32_t emit_local(emit *e, uint32_t fn, uint32_t name_k, uint32_t reg);
void emit_local_end(emit *e, uint32_t fn, uint32_t at);
void emit_regs(emit *e, uint32_t fn, uint32_t regs);                       /* raises the number of registers */
/* meta: JSON. The id is left zero (mod_assemble). */
hdw_status emit_finish(emit *e, const char *meta, size_t meta_len, uint8_t **bytes, size_t *len_bytes);

#endif
