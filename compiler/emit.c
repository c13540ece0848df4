#include "emit.h"
#include <string.h>

enum { SECTION_MAX = 32 << 20 };
#define HASH_START UINT64_C(1469598103934665603)

static void fail(emit *e, hdw_status s, const char *why) {
  if (e->status) return;
  e->status = s;
  e->why = why;
}

void emit_init(emit *e, arena *a) {
  memset(e, 0, sizeof *e);
  e->a = a;
  for (int i = 0; i < MOD_SECTION_COUNT; i++) buf_init(&e->sec[i], a, SECTION_MAX);
  buf_init(&e->none.code, a, 4096), buf_init(&e->none.locals, a, 4096), buf_init(&e->none.debug, a, 4096);
}

static void put32(buf *b, uint32_t v) {
  uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
  buf_put(b, p, 4);
}

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n) {
  const uint8_t *u = p;
  for (size_t i = 0; i < n; i++) h = (h ^ u[i]) * UINT64_C(0x100000001b3);
  return h;
}

/* Where a row of a hash table goes; doubled when half full. Slots hold row + 1; hash gives the hash of a row that is there. */
static bool grown(emit *e, emit_hash *h, uint64_t (*hash)(const emit *e, uint32_t row, int section), int section) {
  if ((h->n + 1) * 2 <= h->cap) return true;
  uint32_t cap = h->cap ? h->cap * 2 : 256;
  uint32_t *slot = arena_zalloc(e->a, cap, sizeof *slot);
  if (!slot) { fail(e, HDW_E_NOMEM, NULL); return false; }
  for (uint32_t i = 0; i < h->cap; i++) {
    if (!h->slot[i]) continue;
    uint64_t x = hash(e, h->slot[i] - 1, section);
    while (slot[x & (cap - 1)]) x++;
    slot[x & (cap - 1)] = h->slot[i];
  }
  h->slot = slot;
  h->cap = cap;
  return true;
}

static uint64_t const_hash(const emit *e, uint32_t i, int section) {
  (void)section;
  return hash_bytes(HASH_START, e->sec[MOD_CONS].p + (size_t)i * 16, 16);
}

/* A 16-byte constant record: found again or appended. */
static uint32_t intern(emit *e, const uint8_t rec[16]) {
  emit_hash *h = &e->consts;
  if (e->status || !grown(e, h, const_hash, 0)) return 0;
  uint64_t x = hash_bytes(HASH_START, rec, 16);
  for (; h->slot[x & (h->cap - 1)]; x++) {
    uint32_t i = h->slot[x & (h->cap - 1)] - 1;
    if (memcmp(e->sec[MOD_CONS].p + (size_t)i * 16, rec, 16) == 0) return i;
  }
  buf_put(&e->sec[MOD_CONS], rec, 16);
  if (e->sec[MOD_CONS].status) { fail(e, e->sec[MOD_CONS].status, "too many constants"); return 0; }
  h->slot[x & (h->cap - 1)] = ++e->nconsts;
  h->n++;
  return e->nconsts - 1;
}

static uint32_t record(emit *e, uint8_t tag, uint8_t flags, uint16_t aux, uint32_t len, uint64_t i) {
  uint8_t r[16] = {tag, flags, (uint8_t)aux, (uint8_t)(aux >> 8)};
  for (int k = 0; k < 4; k++) r[4 + k] = (uint8_t)(len >> (8 * k));
  for (int k = 0; k < 8; k++) r[8 + k] = (uint8_t)(i >> (8 * k));
  return intern(e, r);
}

static uint64_t text_hash(const emit *e, uint32_t i, int section) {
  (void)section;
  return hash_bytes(HASH_START, e->sec[MOD_STRS].p + e->texts[i].off, e->texts[i].len);
}

/* Offset of these bytes in STRS: the same text is kept once. */
static uint64_t text_offset(emit *e, const void *p, size_t len) {
  buf *b = &e->sec[MOD_STRS];
  if (len == 0 || e->status || !grown(e, &e->text_hash, text_hash, 0)) return 0;
  uint64_t x = hash_bytes(HASH_START, p, len);
  for (; e->text_hash.slot[x & (e->text_hash.cap - 1)]; x++) {
    const emit_text *t = &e->texts[e->text_hash.slot[x & (e->text_hash.cap - 1)] - 1];
    if (t->len == len && memcmp(b->p + t->off, p, len) == 0) return t->off;
  }
  if (e->text_hash.n == e->cap_texts) {
    uint32_t cap = e->cap_texts ? e->cap_texts * 2 : 256;
    emit_text *t = arena_grow(e->a, e->texts, e->cap_texts * sizeof *t, cap * sizeof *t);
    if (!t) { fail(e, HDW_E_NOMEM, NULL); return 0; }
    e->texts = t;
    e->cap_texts = cap;
  }
  uint64_t at = b->len;
  buf_put(b, p, len);
  if (b->status) { fail(e, b->status, "too much text"); return 0; }
  e->texts[e->text_hash.n] = (emit_text){(uint32_t)at, (uint32_t)len};
  e->text_hash.slot[x & (e->text_hash.cap - 1)] = ++e->text_hash.n;
  return at;
}

uint32_t emit_str(emit *e, const char *s, size_t len) {
  if (len > UINT32_MAX) { fail(e, HDW_E_LIMIT, "a string is too long"); return 0; }
  return record(e, VAL_STR, 0, 0, (uint32_t)len, text_offset(e, s, len));
}
uint32_t emit_cstr(emit *e, const char *s) { return emit_str(e, s, strlen(s)); }

static uint32_t composite(emit *e, val v) {
  uint32_t n = v.tag == VAL_OBJ ? v.len * 2 : v.len;
  val *copy = arena_alloc(e->a, (n + 1) * sizeof *copy);
  uint32_t *idx = arena_alloc(e->a, (n + 1) * sizeof *idx);
  if (!copy || !idx) { fail(e, HDW_E_NOMEM, NULL); return 0; }
  /* children first (nested ones get their own ranges), then one contiguous range of records */
  for (uint32_t i = 0; i < n; i++) idx[i] = emit_val(e, v.u.v[i]);
  uint32_t first = e->nconsts;
  for (uint32_t i = 0; i < n && !e->status; i++) {
    uint8_t r[16];
    memcpy(r, e->sec[MOD_CONS].p + (size_t)idx[i] * 16, 16);
    buf_put(&e->sec[MOD_CONS], r, 16);
    e->nconsts++;
  }
  return record(e, v.tag, v.flags & (VALF_ARRAY | VALF_UNEVEN | VALF_UNDERSCORE), 0, v.len, first);
}

uint32_t emit_val(emit *e, val v) {
  switch (v.tag) {
    case VAL_STR: case VAL_BIN: return record(e, v.tag, 0, 0, v.len, text_offset(e, v.u.s, v.len));
    case VAL_BOOL: case VAL_INT: case VAL_LONG: return record(e, v.tag, 0, 0, 0, (uint64_t)v.u.i);
    case VAL_DEC:
      if (v.flags & VALF_BIG) {
        dec d = val_get_dec(v);
        uint8_t b[20];
        memcpy(b, &d.coef, 16);
        for (int k = 0; k < 4; k++) b[16 + k] = (uint8_t)((uint32_t)d.scale >> (8 * k));
        return record(e, VAL_DEC, VALF_BIG, 0, 0, text_offset(e, b, 20));
      }
      return record(e, VAL_DEC, 0, 0, v.len, (uint64_t)v.u.i);
    case VAL_DATE: case VAL_DATETIME: case VAL_TIME: return record(e, v.tag, v.flags, 0, v.len, (uint64_t)v.u.i);
    case VAL_QTY: {
      const val_quantity *q = v.u.p;
      val d;
      if (val_from_dec(e->a, &q->value, &d)) { fail(e, HDW_E_NOMEM, NULL); return 0; }
      uint32_t idx[2] = {emit_val(e, d), emit_str(e, q->unit, q->unit_len)};
      uint32_t first = e->nconsts;
      for (int i = 0; i < 2 && !e->status; i++) {
        uint8_t r[16];
        memcpy(r, e->sec[MOD_CONS].p + (size_t)idx[i] * 16, 16);
        buf_put(&e->sec[MOD_CONS], r, 16);
        e->nconsts++;
      }
      return record(e, VAL_QTY, v.flags & VALF_CALENDAR, 0, 0, first);
    }
    case VAL_LIST: case VAL_OBJ: return composite(e, v);
    case VAL_NULL: return record(e, VAL_NULL, 0, 0, 0, 0);
    default: return record(e, VAL_EMPTY, 0, 0, 0, 0);
  }
}

static uint32_t row_unit(int section) { return section == MOD_CHKS ? 16 : 8; }
static uint64_t row_hash(const emit *e, uint32_t i, int section) {
  return hash_bytes(HASH_START, e->sec[section].p + (size_t)i * row_unit(section), row_unit(section));
}

/* Rows of a table section (NATV, CHKS): found again or appended. */
static uint32_t row(emit *e, enum mod_section section, const void *rec) {
  int s = (int)section;
  buf *b = &e->sec[s];
  emit_hash *h = s == MOD_CHKS ? &e->checks : &e->natives;
  uint32_t unit = row_unit(s);
  if (e->status || !grown(e, h, row_hash, s)) return 0;
  uint64_t x = hash_bytes(HASH_START, rec, unit);
  for (; h->slot[x & (h->cap - 1)]; x++) {
    uint32_t i = h->slot[x & (h->cap - 1)] - 1;
    if (memcmp(b->p + (size_t)i * unit, rec, unit) == 0) return i;
  }
  buf_put(b, rec, unit);
  if (b->status) { fail(e, b->status, "a table is full"); return 0; }
  h->slot[x & (h->cap - 1)] = ++h->n;
  return h->n - 1;
}

static void le32(uint8_t *p, uint32_t v) { for (int k = 0; k < 4; k++) p[k] = (uint8_t)(v >> (8 * k)); }

uint32_t emit_native(emit *e, const char *name, uint32_t nargs) {
  uint8_t r[8];
  le32(r, emit_cstr(e, name));
  le32(r + 4, nargs);
  return row(e, MOD_NATV, r);
}

uint32_t emit_shape(emit *e, const mod_key *keys, uint32_t n) {
  uint8_t r[8];
  le32(r, (uint32_t)(e->sec[MOD_KEYS].len / 8));
  le32(r + 4, n);
  if (!keys && n) fail(e, HDW_E_NOMEM, NULL);
  for (uint32_t i = 0; keys && i < n; i++) { put32(&e->sec[MOD_KEYS], keys[i].name); put32(&e->sec[MOD_KEYS], keys[i].flags); }
  buf_put(&e->sec[MOD_SHAP], r, 8);
  return (uint32_t)(e->sec[MOD_SHAP].len / 8 - 1);
}

uint32_t emit_check(emit *e, mod_check c) {
  uint8_t r[16];
  le32(r, c.what);
  le32(r + 4, c.source);
  le32(r + 8, c.type);
  r[12] = (uint8_t)c.min; r[13] = (uint8_t)(c.min >> 8);
  r[14] = (uint8_t)c.max; r[15] = (uint8_t)(c.max >> 8);
  return row(e, MOD_CHKS, r);
}

uint32_t emit_effect_count(const emit *e) { return (uint32_t)(e->sec[MOD_EFCT].len / 20); }

uint32_t emit_effect(emit *e, mod_effect ef, const uint32_t *argn) {
  uint8_t r[20];
  le32(r, ef.op);
  le32(r + 4, ef.conn);
  le32(r + 8, (uint32_t)(e->sec[MOD_ARGN].len / 4));
  r[12] = (uint8_t)ef.nargs; r[13] = (uint8_t)(ef.nargs >> 8);
  r[14] = ef.flags;
  r[15] = ef.klass;
  le32(r + 16, ef.site);
  for (uint32_t i = 0; i < ef.nargs; i++) put32(&e->sec[MOD_ARGN], argn[i]);
  buf_put(&e->sec[MOD_EFCT], r, 20);
  return emit_effect_count(e) - 1;
}

uint32_t emit_func_new(emit *e, const char *name, size_t len, uint32_t params) {
  if (e->nfuncs == e->cap_funcs) {
    uint32_t cap = e->cap_funcs ? e->cap_funcs * 2 : 16;
    emit_func *f = arena_grow(e->a, e->funcs, e->cap_funcs * sizeof *f, cap * sizeof *f);
    if (!f) {
      fail(e, HDW_E_NOMEM, NULL);
      if (!e->funcs) e->funcs = &e->none; /* what goes on writes there */
      return 0;
    }
    e->funcs = f;
    e->cap_funcs = cap;
  }
  emit_func *f = &e->funcs[e->nfuncs];
  memset(f, 0, sizeof *f);
  buf_init(&f->code, e->a, 4 << 20);
  buf_init(&f->locals, e->a, SECTION_MAX);
  buf_init(&f->debug, e->a, 16 << 20);
  f->name = emit_str(e, name, len);
  f->params = params;
  f->regs = params ? params : 1;
  f->last = f->before = f->temporary = MOD_NO_INDEX;
  return e->nfuncs++;
}

static uint32_t here(const emit *e, uint32_t fn) { return (uint32_t)(e->funcs[fn].code.len / 4); }

uint32_t emit_here(emit *e, uint32_t fn) { return e->funcs[fn].label = here(e, fn); }

void emit_regs(emit *e, uint32_t fn, uint32_t regs) {
  if (regs > VM_MAX_REGS) { fail(e, HDW_E_LIMIT, "an expression or a function needs more than 255 registers"); regs = VM_MAX_REGS; }
  if (e->funcs[fn].regs < regs) e->funcs[fn].regs = regs;
}

static void word(emit *e, uint32_t fn, uint32_t w) {
  put32(&e->funcs[fn].code, w);
  if (e->funcs[fn].code.status) fail(e, e->funcs[fn].code.status, "a function is too long");
}

static void begin(emit *e, uint32_t fn) {
  e->funcs[fn].before = e->funcs[fn].last;
  e->funcs[fn].last = here(e, fn);
}

static uint32_t word_at(const emit *e, uint32_t fn, uint32_t at) {
  uint32_t w;
  memcpy(&w, e->funcs[fn].code.p + (size_t)at * 4, 4);
  return w;
}

/* The instruction that begins at word `at` when it can be joined with what comes next, else NOP. */
static uint32_t joinable(const emit *e, uint32_t fn, uint32_t at) {
  return at == MOD_NO_INDEX || at < e->funcs[fn].label || e->status ? OP_NOP : word_at(e, fn, at);
}

/* Takes the words from `at` on back. Positions that pointed at them point at what comes instead. */
static void take_back(emit *e, uint32_t fn, uint32_t at) {
  emit_func *f = &e->funcs[fn];
  f->code.len = (size_t)at * 4;
  f->last = f->before;
  f->before = MOD_NO_INDEX;
  mod_debug m;
  while (f->debug.len >= 16) {
    memcpy(&m, f->debug.p + f->debug.len - 16, 16);
    if (m.word <= at) break;
    f->debug.len -= 16;
  }
}

/* R[b] op Integer. */
static bool join_number(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t b, uint32_t c) {
  static const uint8_t with[OP_COUNT] = {[OP_ADD] = OP_ADDI, [OP_SUB] = OP_SUBI, [OP_MOD] = OP_MODI};
  uint32_t load = joinable(e, fn, e->funcs[fn].last);
  int32_t n = (int16_t)(load >> 16);
  if (!with[op] || (load & 255) != OP_LOADI || ((load >> 8) & 255) != c || b == c || n < INT8_MIN || n > INT8_MAX) return false;
  take_back(e, fn, e->funcs[fn].last);
  begin(e, fn);
  word(e, fn, (uint32_t)with[op] | (a & 255) << 8 | (b & 255) << 16 | (uint32_t)(uint8_t)n << 24);
  return true;
}

void emit_op(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t b, uint32_t c) {
  if (op == OP_MOVE && a == b) return;
  begin(e, fn);
  word(e, fn, (uint32_t)op | (a & 255) << 8 | (b & 255) << 16 | (c & 255) << 24);
}

void emit_binary(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t b, uint32_t c, bool temporary) {
  if (temporary && join_number(e, fn, op, a, b, c)) return;
  emit_op(e, fn, op, a, b, c);
  if (temporary) e->funcs[fn].temporary = e->funcs[fn].last;
}

void emit_bx(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t bx) {
  if (bx > 0xffff) fail(e, HDW_E_LIMIT, "a table has more than 65,536 entries");
  begin(e, fn);
  word(e, fn, (uint32_t)op | (a & 255) << 8 | bx << 16);
}

void emit_loadk(emit *e, uint32_t fn, uint32_t a, uint32_t k) {
  if (k <= 0xffff) emit_bx(e, fn, OP_LOADK, a, k); else emit_ext(e, fn, OP_LOADKX, a, 0, 0, k);
}

void emit_ext(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t b, uint32_t c, uint32_t ext) {
  begin(e, fn);
  word(e, fn, (uint32_t)op | (a & 255) << 8 | (b & 255) << 16 | (c & 255) << 24);
  word(e, fn, ext);
}

/* A comparison into R[a] and JMPN on it become one instruction; so does the Integer that it compares with. */
static bool join_compare(emit *e, uint32_t fn, uint32_t a) {
  static const uint8_t jump[OP_COUNT] = {[OP_EQ] = OP_EQJ, [OP_NE] = OP_NEJ, [OP_LT] = OP_LTJ, [OP_LE] = OP_LEJ, [OP_GT] = OP_GTJ, [OP_GE] = OP_GEJ};
  uint32_t cmp = joinable(e, fn, e->funcs[fn].last), op = cmp & 255;
  if (op >= OP_COUNT || !jump[op] || ((cmp >> 8) & 255) != a) return false;
  uint32_t load = joinable(e, fn, e->funcs[fn].before), c = cmp >> 24, b = (cmp >> 16) & 255;
  if (e->funcs[fn].temporary == e->funcs[fn].last && (load & 255) == OP_LOADI && ((load >> 8) & 255) == c && b != c) {
    take_back(e, fn, e->funcs[fn].last);
    take_back(e, fn, here(e, fn) - 1);
    emit_ext(e, fn, (vm_op)(jump[op] + (OP_EQIJ - OP_EQJ)), a, b, 0, load >> 16);
  } else {
    take_back(e, fn, e->funcs[fn].last);
    emit_ext(e, fn, (vm_op)jump[op], a, b, c, 0);
  }
  return true;
}

uint32_t emit_jump(emit *e, uint32_t fn, vm_op op, uint32_t a) {
  if (op != OP_JMPN || !join_compare(e, fn, a)) emit_bx(e, fn, op, a, 0);
  return here(e, fn) - 1;
}

static void set_jump(emit *e, uint32_t fn, uint32_t at, uint32_t target) {
  int64_t d = (int64_t)target - (int64_t)at - 1;
  if (d < INT16_MIN || d > INT16_MAX) { fail(e, HDW_E_LIMIT, "a function is too long: a jump is over 32,767 instructions"); return; }
  uint8_t *p = (uint8_t *)e->funcs[fn].code.p + (size_t)at * 4;
  p[2] = (uint8_t)d;
  p[3] = (uint8_t)((uint64_t)d >> 8);
}

void emit_patch(emit *e, uint32_t fn, uint32_t at) { if (!e->status) set_jump(e, fn, at, emit_here(e, fn)); }

void emit_jump_to(emit *e, uint32_t fn, vm_op op, uint32_t a, uint32_t target) {
  emit_bx(e, fn, op, a, 0);
  uint32_t at = here(e, fn) - 1;
  if (!e->status) set_jump(e, fn, at, target);
}

void emit_pos(emit *e, uint32_t fn, uint32_t file_k, uint32_t line, uint32_t col) {
  buf *d = &e->funcs[fn].debug;
  uint32_t at = here(e, fn);
  if (d->len >= 16) {
    uint32_t last;
    memcpy(&last, d->p + d->len - 16, 4);
    if (last == at) d->len -= 16;
  }
  mod_debug m = {at, file_k, line, col};
  buf_put(d, &m, sizeof m);
}

uint32_t emit_local(emit *e, uint32_t fn, uint32_t name_k, uint32_t reg) {
  mod_local l = {0, name_k, reg, here(e, fn), MOD_NO_INDEX};
  buf *b = &e->funcs[fn].locals;
  uint32_t at = (uint32_t)(b->len / sizeof l);
  buf_put(b, &l, sizeof l);
  return at;
}

void emit_local_end(emit *e, uint32_t fn, uint32_t at) {
  buf *b = &e->funcs[fn].locals;
  uint32_t to = here(e, fn);
  if ((at + 1) * sizeof(mod_local) <= b->len) memcpy(b->p + at * sizeof(mod_local) + offsetof(mod_local, to), &to, sizeof to);
}

static void put_locals(emit *e, uint32_t fn, uint32_t at, uint32_t words) {
  const buf *b = &e->funcs[fn].locals;
  for (size_t k = 0; k + sizeof(mod_local) <= b->len; k += sizeof(mod_local)) {
    mod_local l;
    memcpy(&l, b->p + k, sizeof l);
    put32(&e->sec[MOD_LOCL], fn);
    put32(&e->sec[MOD_LOCL], l.name);
    put32(&e->sec[MOD_LOCL], l.reg);
    put32(&e->sec[MOD_LOCL], l.from + at);
    put32(&e->sec[MOD_LOCL], (l.to < words ? l.to : words) + at);
  }
}

hdw_status emit_finish(emit *e, const char *meta, size_t meta_len, uint8_t **bytes, size_t *len_bytes) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < e->nfuncs; i++) {
    emit_func *f = &e->funcs[i];
    buf *b = &e->sec[MOD_FUNC];
    uint32_t words = (uint32_t)(f->code.len / 4);
    put32(b, f->name);
    put32(b, at);
    put32(b, words);
    buf_putc(b, (char)f->params);
    buf_putc(b, (char)f->regs);
    buf_put(b, "\0", 2);
    buf_put(&e->sec[MOD_CODE], f->code.p, f->code.len);
    for (size_t k = 0; k + 16 <= f->debug.len; k += 16) {
      mod_debug m;
      memcpy(&m, f->debug.p + k, 16);
      put32(&e->sec[MOD_DEBG], m.word + at);
      put32(&e->sec[MOD_DEBG], m.file);
      put32(&e->sec[MOD_DEBG], m.line);
      put32(&e->sec[MOD_DEBG], m.col);
    }
    put_locals(e, i, at, words);
    at += words;
  }
  buf_put(&e->sec[MOD_META], meta, meta_len);
  for (int i = 0; i < MOD_SECTION_COUNT; i++)
    if (e->sec[i].status) fail(e, e->sec[i].status, "the module is too big");
  if (e->status) return e->status;
  return mod_assemble(e->a, e->sec, bytes, len_bytes);
}
