/* asm.h - a small assembler for tests of the machine. Source: instructions divided by ';', each an opcode and its operands in the order of opcodes.def:
 * r5 (register), 5 or -5 (number), k5 or 'text' (constant), name/2 (import), @name (function), s0 c0 e0 (table entries), >label (jump);
 * a label is a word that ends with ':' before an instruction. ADDI and the like take their number as c; packed operands are written as two. */
#ifndef HDW_ASM_H
#define HDW_ASM_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "emit.h"
#include "support.h"

typedef struct asm_format { const char *name; char kind[4]; } asm_format;
static const asm_format asm_formats[OP_COUNT] = {
#define OPCODE(name, a, b, c, ext, doc) {#name, {(#a)[0], (#b)[0], (#c)[0], (#ext)[0]}},
#include "opcodes.def"
#undef OPCODE
};
static uint8_t asm_used[OP_COUNT];

enum { ASM_LABELS = 32, ASM_FUNCS = 16 };
typedef struct asm_label { char name[16]; uint32_t at; } asm_label;
typedef struct asm_unit {
  emit e;
  const char *funcs[ASM_FUNCS]; /* in order of definition: a call may name one that comes later */
  uint32_t nfuncs;
  asm_label defined[ASM_LABELS], wanted[ASM_LABELS];
  uint32_t ndefined, nwanted;
} asm_unit;

static uint32_t asm_func_index(asm_unit *u, const char *name) {
  for (uint32_t i = 0; i < u->nfuncs; i++)
    if (strcmp(u->funcs[i], name) == 0) return i;
  fail_msg("asm: no function %s", name);
  return 0;
}

/* One operand; jumps to labels give 0 and are noted down for word `at`. */
static uint32_t asm_operand(asm_unit *u, const char *t, uint32_t at) {
  char name[64];
  unsigned n;
  if (sscanf(t, "%63[a-z.A-Z_]/%u", name, &n) == 2) return emit_native(&u->e, name, n);
  switch (*t) {
    case 'r': case 'k': case 's': case 'c': case 'e': return (uint32_t)strtoul(t + 1, NULL, 10);
    case '\'': return emit_str(&u->e, t + 1, strlen(t) - 2);
    case '@': return asm_func_index(u, t + 1);
    case '>':
      assert_true(u->nwanted < ASM_LABELS);
      snprintf(u->wanted[u->nwanted].name, 16, "%s", t + 1);
      u->wanted[u->nwanted++].at = at;
      return 0;
    default: return (uint32_t)strtol(t, NULL, 10);
  }
}

static void asm_line(asm_unit *u, uint32_t fn, char *line) {
  char *save, *t = strtok_r(line, " \n", &save);
  while (t && t[strlen(t) - 1] == ':') {
    t[strlen(t) - 1] = 0;
    snprintf(u->defined[u->ndefined].name, 16, "%s", t);
    u->defined[u->ndefined++].at = emit_here(&u->e, fn);
    t = strtok_r(NULL, " \n", &save);
  }
  if (!t) return;
  int op = 0;
  while (op < OP_COUNT && strcmp(asm_formats[op].name, t) != 0) op++;
  if (op == OP_COUNT) {
    fail_msg("asm: no opcode %s", t);
    return; /* not reached: cmocka does not say so to the compiler */
  }
  asm_used[op] = 1;
  const char *k = asm_formats[op].kind;
  uint32_t here = emit_here(&u->e, fn), v[4] = {0}, x = 0;
  bool wide = k[3] != '_', packed = wide && strchr("XDI", k[3]);
  for (int i = 0; i < 4; i++) {
    if (k[i] == '_' || k[i] == '.') continue;
    t = strtok_r(NULL, " \n", &save);
    if (!t) fail_msg("asm: %s lacks an operand", asm_formats[op].name);
    v[i] = asm_operand(u, t, here + (i == 3));
    if (i == 3 && packed && k[3] != 'D') {
      t = strtok_r(NULL, " \n", &save);
      x = t ? asm_operand(u, t, here + 1) : 0;
    }
  }
  if (strtok_r(NULL, " \n", &save)) fail_msg("asm: %s has too many operands", asm_formats[op].name);
  if (k[3] == 'X' || k[3] == 'I') v[3] = (v[3] & 0xffff) | x << 16;
  if (wide) emit_ext(&u->e, fn, (vm_op)op, v[0], v[1], k[2] == '.' ? v[1] >> 8 : v[2], v[3]);
  else if (k[2] == '.') emit_bx(&u->e, fn, (vm_op)op, v[0], v[1] & 0xffff);
  else if (op == OP_MOVE && v[0] == v[1]) emit_op(&u->e, fn, OP_NOP, 0, 0, 0);
  else emit_op(&u->e, fn, (vm_op)op, v[0], v[1], v[2]);
}

static void asm_function(asm_unit *u, const char *name, uint32_t params, uint32_t regs, const char *src) {
  uint32_t fn = emit_func_new(&u->e, name, strlen(name), params);
  assert_string_equal(u->funcs[fn], name);
  emit_regs(&u->e, fn, regs);
  char *text = arena_dup(u->e.a, src, strlen(src)), *save;
  u->ndefined = u->nwanted = 0;
  for (char *line = strtok_r(text, ";", &save); line; line = strtok_r(NULL, ";", &save)) asm_line(u, fn, line);
  for (uint32_t i = 0; i < u->nwanted; i++) {
    uint32_t k = 0, at = u->wanted[i].at;
    while (k < u->ndefined && strcmp(u->defined[k].name, u->wanted[i].name) != 0) k++;
    if (k == u->ndefined) fail_msg("asm: no label %s", u->wanted[i].name);
    int32_t d = (int32_t)u->defined[k].at - (int32_t)at - 1;
    uint8_t *p = (uint8_t *)u->e.funcs[fn].code.p + (size_t)at * 4;
    p[2] = (uint8_t)d;
    p[3] = (uint8_t)(d >> 8);
  }
}

/* Functions are given as name/params/regs, source, ... up to a NULL; the unit may already hold tables (see its emit). */
static void asm_program(asm_unit *u, const char *const *src, uint8_t **bytes, size_t *len) {
  for (uint32_t i = 0; src[2 * i]; i++) {
    assert_true(i < ASM_FUNCS);
    char *name = arena_dup(u->e.a, src[2 * i], strlen(src[2 * i]));
    *strchr(name, '/') = 0;
    u->funcs[u->nfuncs++] = name;
  }
  for (uint32_t i = 0; i < u->nfuncs; i++) {
    unsigned params, regs;
    if (sscanf(strchr(src[2 * i], '/'), "/%u/%u", &params, &regs) != 2) fail_msg("asm: %s", src[2 * i]);
    asm_function(u, u->funcs[i], params, regs, src[2 * i + 1]);
  }
  hdw_status s = emit_finish(&u->e, "{}", 2, bytes, len);
  if (s) fail_msg("asm: %s %s", hdw_status_name(s), u->e.why ? u->e.why : "");
}

#endif
