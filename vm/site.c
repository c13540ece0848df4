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

/* Goes over the code from `from` on, in the level of sites that begins there. The word at which `op` with operand `site` (of an effect: its site) stands
 * in this very level, or with op OP_COUNT the word behind the level's end; MOD_NO_INDEX. */
static uint32_t scan(const module *m, const mod_func *f, uint32_t from, uint32_t op, uint32_t site) {
  int depth = 0;
  for (uint32_t at = from; at < f->code + f->words; at += mod_op_words(m->code[at])) {
    uint32_t is = m->code[at] & 255, bx = m->code[at] >> 16;
    if (depth == 0 && is == op && (op == OP_EFFECT ? bx < m->neffects && m->effects[bx].site == site : bx == site)) return at;
    if (is == OP_PPUSH) depth++;
    else if (is == OP_PPOP && leaves(m, at)) while ((m->code[at + 1] & 255) == OP_PPOP) at++;
    else if (is == OP_PPOP || is == OP_BEND) depth--; /* a branch ends with its own */
    if (depth < 0) return op == OP_COUNT ? at + 1 : MOD_NO_INDEX;
  }
  return MOD_NO_INDEX;
}
static uint32_t find(const module *m, const mod_func *f, uint32_t from, uint32_t op, uint32_t site) { return scan(m, f, from, op, site); }
static uint32_t find_end(const module *m, const mod_func *f, uint32_t from) { return scan(m, f, from, OP_COUNT, 0); }

/* The PPUSH of a level: of a loop there is one; of a parallel block one for each branch, behind the LOADI of its number. */
static uint32_t find_level(const module *m, const mod_func *f, uint32_t from, uint32_t site, long index) {
  uint32_t first = find(m, f, from, OP_PPUSH, site), at = first;
  while (at != MOD_NO_INDEX) {
    uint32_t before = at > f->code ? m->code[at - 1] : 0;
    if (index < 0 || ((before & 255) == OP_LOADI && (int16_t)(before >> 16) == index)) return at;
    uint32_t next = find_end(m, f, at + 1);
    at = next == MOD_NO_INDEX ? next : find(m, f, next, OP_PPUSH, site);
  }
  return first;
}

bool mod_site(const module *m, uint32_t fn, const char *path, mod_debug *out) {
  if (fn >= m->nfuncs) return false;
  const mod_func *f = &m->funcs[fn];
  uint32_t from = f->code;
  for (;;) {
    char *end;
    long index = -1;
    unsigned long site = strtoul(path, &end, 10);
    if (end == path) return false;
    if (*end == '[') {
      index = strtol(end + 1, &end, 10);
      if (*end == ']') end++;
    }
    uint32_t at = *end == '.' ? find_level(m, f, from, (uint32_t)site, index) : find(m, f, from, OP_EFFECT, (uint32_t)site);
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
