/* module.h - the compiled form of a program (.hdwb): what the compiler writes, the verifier accepts and the machine runs.
 *
 * Little-endian, no pointers, mmap-able; the same program gives the same bytes.
 *
 *     offset 0   "HDWB"                      magic
 *            4   u16 format version (1)      u16 flags (0)
 *            8   u32 number of sections      u32 total length in bytes
 *           16   32 bytes SHA-256 of bytes 48 .. end (the module's id)
 *           48   section table: {char name[4], u32 offset, u32 length} ...
 *                sections, each 8-byte aligned, in the order of the enum below
 *
 * CONS  constants, 16 bytes each: {u8 tag, u8 flags, u16 aux, u32 len, u64 i}. Strings: i = offset in STRS. DEC/INT/LONG/BOOL/temporals as in
 *       value.h. VALF_BIG decimals: i = offset in STRS of 16 bytes coefficient + 4 bytes scale. LIST: i = index of the first of len constants,
 *       OBJ: of 2*len; all lower than its own index. QTY: i = index of a DEC constant followed by a STR constant (the unit).
 * STRS  bytes of all strings
 * FUNC  {u32 name K, u32 code offset in words, u32 words, u8 params, u8 registers, u16 flags (0)}
 * CODE  instructions (opcodes.def)
 * NATV  imports: {u32 name K, u32 number of arguments}
 * SHAP  {u32 first index in KEYS, u32 n};  KEYS {u32 name K, u32 flags (1: written as an array, 2: left out when empty)}
 * CHKS  {u32 what K, u32 source K, u32 type K, u16 min, u16 max (65535 = no maximum)}
 * EFCT  {u32 operation K, u32 connection K or 0xffffffff, u32 first index in ARGN, u16 nargs, u8 flags, u8 class, u32 site}
 * ARGN  u32 name K of each argument of each effect (0xffffffff: positional, unnamed)
 * META  JSON: declarations for the daemon (listeners, connections, settings, workflows ...; documented in compiler/meta.h)
 * DEBG  {u32 code word, u32 file K, u32 line, u32 column} sorted by code word
 * LOCL  {u32 function, u32 name K, u32 register, u32 first code word, u32 word behind the last}: where a name has its value, for people only.
 *       Modules of before 2026-11 lack this section: they have no names.
 */
#ifndef HDW_MODULE_H
#define HDW_MODULE_H
#include "value.h"

enum { MOD_VERSION = 1, MOD_HEADER_BYTES = 48, MOD_ID_BYTES = 32, MOD_MAX_BYTES = 64 << 20, VM_MAX_NATIVE_ARGS = 16 };
enum mod_section { MOD_CONS, MOD_STRS, MOD_FUNC, MOD_CODE, MOD_NATV, MOD_SHAP, MOD_KEYS, MOD_CHKS, MOD_EFCT, MOD_ARGN, MOD_META, MOD_DEBG, MOD_LOCL, MOD_SECTION_COUNT };
extern const char mod_section_names[MOD_SECTION_COUNT][5];
#define MOD_NO_INDEX UINT32_MAX

typedef struct mod_func { uint32_t name, code, words; uint8_t params, regs; uint16_t flags; } mod_func; /* flags: mod_verify's, see verify.c */
typedef struct mod_native { uint32_t name, nargs; } mod_native;
typedef struct mod_shape { uint32_t first, n; } mod_shape;
typedef struct mod_key { uint32_t name, flags; } mod_key;
enum { MOD_KEY_ARRAY = 1, MOD_KEY_OMIT_EMPTY = 2 };
typedef struct mod_check { uint32_t what, source, type; uint16_t min, max; } mod_check;
enum { MOD_MANY = 65535 };
typedef struct mod_effect { uint32_t op, conn, argn; uint16_t nargs; uint8_t flags, klass; uint32_t site; } mod_effect;
enum { MOD_EFFECT_SEND = 1 };
enum mod_class { MOD_CLASS_READ, MOD_CLASS_IDEMPOTENT, MOD_CLASS_KEYED, MOD_CLASS_UNSAFE, MOD_CLASS_LOCAL };
typedef struct mod_debug { uint32_t word, file, line, col; } mod_debug;
typedef struct mod_local { uint32_t func, name, reg, from, to; } mod_local;

/* A loaded module: arrays point into the caller's bytes (which must stay) or into the arena. */
typedef struct module {
  const uint8_t *bytes;
  size_t len_bytes;
  uint8_t id[MOD_ID_BYTES];
  const val *consts;           uint32_t nconsts;
  const mod_func *funcs;       uint32_t nfuncs;
  const uint32_t *code;        uint32_t ncode;
  const mod_native *natives;   uint32_t nnatives;
  const mod_shape *shapes;     uint32_t nshapes;
  const mod_key *keys;         uint32_t nkeys;
  const mod_check *checks;     uint32_t nchecks;
  const mod_effect *effects;   uint32_t neffects;
  const uint32_t *argn;        uint32_t nargn;
  const char *meta;            uint32_t meta_len;
  const mod_debug *debug;      uint32_t ndebug;
  const mod_local *locals;     uint32_t nlocals;
  bool verified;
} module;

typedef struct mod_error { hdw_status status; char text[200]; } mod_error;

/* Parses bytes (8-byte aligned) and checks every structural bound; does not verify code and does not check the id against the content
 * (the embedder has the hash function). Allocates the constants in a. HDW_E_CORRUPT, HDW_E_VERSION, HDW_E_NOMEM; err says what is wrong. */
hdw_status mod_load(arena *a, const uint8_t *bytes, size_t len_bytes, module *out, mod_error *err);
/* Accepts or rejects the code: afterwards nothing in it can touch memory outside the run's arena. Sets m->verified. */
hdw_status mod_verify(arena *a, module *m, mod_error *err);
/* Text of a constant string; "" when k is out of range or no string. */
const char *mod_text(const module *m, uint32_t k, uint32_t *len);
/* Function by name; MOD_NO_INDEX when there is none. */
uint32_t mod_find(const module *m, const char *name);
/* Source position of a code word; false when unknown. */
bool mod_where(const module *m, uint32_t word, mod_debug *out);
/* Source position of the effect at a journal path ("3.7[12].1") of a run that began in function fn. */
bool mod_site(const module *m, uint32_t fn, const char *path, mod_debug *out);
/* Words of an instruction: 1, or 2. */
uint32_t mod_op_words(uint32_t ins);
/* Readable listing of everything, into b. */
void mod_disasm(const module *m, buf *b);
/* Puts sections together; sections in the order of the enum. The 32 bytes of the id are left zero: the caller hashes bytes 48.. and fills them in. */
hdw_status mod_assemble(arena *a, const buf *sections, uint8_t **out, size_t *len_bytes);

#endif
