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

/* Whether a way out of the function stands here: it leaves every site that is open, and what follows is reached without it. */
static bool leaves(const module *m, uint32_t at) {
  while (at < m->ncode && (m->code[at] & 255) == OP_PPOP) at++;
  return at < m->ncode && (m->code[at] & 255) == OP_RET;
}

/* The word behind `from` at which `op` with operand `site` (of an effect: its site) stands in the same level of sites; MOD_NO_INDEX. */
static uint32_t find(const module *m, const mod_func *f, uint32_t from, uint32_t op, uint32_t site) {
  int depth = 0;
  for (uint32_t at = from; at < f->code + f->words && depth >= 0; at += mod_op_words(m->code[at])) {
    uint32_t is = m->code[at] & 255, bx = m->code[at] >> 16;
    if (depth == 0 && is == op && (op == OP_EFFECT ? bx < m->neffects && m->effects[bx].site == site : bx == site)) return at;
    if (is == OP_PPUSH) depth++;
    else if (is == OP_PPOP && leaves(m, at)) while ((m->code[at + 1] & 255) == OP_PPOP) at++;
    else if (is == OP_PPOP) depth--;
  }
  return MOD_NO_INDEX;
}

bool mod_site(const module *m, uint32_t fn, const char *path, mod_debug *out) {
  if (fn >= m->nfuncs) return false;
  const mod_func *f = &m->funcs[fn];
  uint32_t from = f->code;
  for (;;) {
    char *end;
    unsigned long site = strtoul(path, &end, 10);
    if (end == path) return false;
    if (*end == '[') {
      while (*end && *end != ']') end++;
      if (*end) end++;
    }
    uint32_t at = find(m, f, from, *end == '.' ? OP_PPUSH : OP_EFFECT, (uint32_t)site);
    if (at == MOD_NO_INDEX) return false;
    if (*end != '.') return *end == 0 && mod_where(m, at, out);
    from = at + 1;
    uint32_t next = from < m->ncode ? m->code[from] : 0;
    if ((next & 255) == OP_CALL && next >> 16 < m->nfuncs) { /* an action: its sites are its own */
      f = &m->funcs[next >> 16];
      from = f->code;
    }
    path = end + 1;
  }
}
