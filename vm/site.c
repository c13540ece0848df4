/* site.c - from journal paths and code words back to places in the source: for people, never for execution. */
#include <stdlib.h>
#include "module.h"
#include "run.h"

#define OPCODE(name, a, b, c, ext, doc) (#ext)[0] != '_',
static const bool has_ext[OP_COUNT] = {
#include "opcodes.def"
};
#undef OPCODE

uint32_t mod_op_words(uint32_t ins) { return (ins & 255) < OP_COUNT && has_ext[ins & 255] ? 2 : 1; }

/* The word of function fn at which `op` with operand bx stands, site meaning the effect's; MOD_NO_INDEX. */
static uint32_t find(const module *m, uint32_t fn, uint32_t op, uint32_t site) {
  const mod_func *f = &m->funcs[fn];
  for (uint32_t at = f->code; at < f->code + f->words; at += mod_op_words(m->code[at])) {
    uint32_t ins = m->code[at], bx = ins >> 16;
    if ((ins & 255) != op) continue;
    if (op == OP_EFFECT ? bx < m->neffects && m->effects[bx].site == site : bx == site) return at;
  }
  return MOD_NO_INDEX;
}

bool mod_site(const module *m, uint32_t fn, const char *path, mod_debug *out) {
  for (;;) {
    char *end;
    unsigned long site = strtoul(path, &end, 10);
    if (end == path || fn >= m->nfuncs) return false;
    if (*end == '[') {
      while (*end && *end != ']') end++;
      if (*end) end++;
    }
    uint32_t at = find(m, fn, *end == '.' ? OP_PPUSH : OP_EFFECT, (uint32_t)site);
    if (at == MOD_NO_INDEX) return false;
    if (*end != '.') return *end == 0 && mod_where(m, at, out);
    uint32_t next = at + 1 < m->ncode ? m->code[at + 1] : 0;
    if ((next & 255) == OP_CALL) fn = next >> 16; /* an action: its sites are its own */
    path = end + 1;
  }
}
