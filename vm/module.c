/* module.c - loading, assembling and looking into modules. The format is drawn in module.h. */
#include "module.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char mod_section_names[MOD_SECTION_COUNT][5] = {"CONS", "STRS", "FUNC", "CODE", "NATV", "SHAP", "KEYS", "CHKS", "EFCT", "ARGN", "META", "DEBG", "LOCL"};

__attribute__((format(printf, 3, 4))) static hdw_status bad(mod_error *e, hdw_status s, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(e->text, sizeof e->text, fmt, ap);
  va_end(ap);
  return e->status = s;
}

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

typedef struct span { const uint8_t *p; uint32_t len; } span;

static hdw_status sections(const uint8_t *b, size_t len, span *out, mod_error *e) {
  if (len < MOD_HEADER_BYTES || memcmp(b, "HDWB", 4) != 0) return bad(e, HDW_E_CORRUPT, "this is no hdw module");
  if (get16(b + 4) != MOD_VERSION) return bad(e, HDW_E_VERSION, "module format %u, this version reads %d", get16(b + 4), MOD_VERSION);
  uint32_t n = get32(b + 8);
  if (n != MOD_SECTION_COUNT && n != MOD_LOCL) return bad(e, HDW_E_CORRUPT, "%u sections, %d expected", n, MOD_SECTION_COUNT);
  if (len > MOD_MAX_BYTES || get32(b + 12) != len) return bad(e, HDW_E_CORRUPT, "the file is %zu bytes long, its header says %u", len, get32(b + 12));
  size_t end = MOD_HEADER_BYTES + (size_t)n * 12;
  if (len < end) return bad(e, HDW_E_CORRUPT, "the section table is cut off");
  for (uint32_t i = 0; i < n; i++) {
    const uint8_t *t = b + MOD_HEADER_BYTES + i * 12;
    uint32_t off = get32(t + 4), l = get32(t + 8);
    if (memcmp(t, mod_section_names[i], 4) != 0) return bad(e, HDW_E_CORRUPT, "section %u is not %s", i, mod_section_names[i]);
    if (off % 8 || off < end || off > len || l > len - off) return bad(e, HDW_E_CORRUPT, "section %s lies outside the file", mod_section_names[i]);
    out[i] = (span){b + off, l};
    end = off + (size_t)l;
  }
  return HDW_OK;
}

/* Composite constants: how deep they are nested and how many values they stand for. They may share parts, so a few of them could stand for
 * more values than there is memory, and more than anything that walks them could finish. */
typedef struct extent { uint32_t depth, total; } extent;
enum { CONST_DEPTH_MAX = 64, CONST_TOTAL_MAX = 1 << 22 };

static hdw_status load_composite(val *k, extent *ext, uint32_t i, uint64_t x, val v, mod_error *e) {
  uint64_t need = v.tag == VAL_OBJ ? 2 * (uint64_t)v.len : v.len, total = 1;
  uint8_t flags = v.flags & VALF_ARRAY; /* what the others say is found out here */
  if (x > i || need > i - x) return bad(e, HDW_E_CORRUPT, "constant %u refers forward", i);
  for (uint64_t j = 0; j < need; j++) {
    if (v.tag == VAL_OBJ && j % 2 == 0 && k[x + j].tag != VAL_STR) return bad(e, HDW_E_CORRUPT, "constant %u: a key is no string", i);
    if (v.tag == VAL_OBJ && j % 2 == 0 && k[x + j].len && k[x + j].u.s[0] == '_') flags |= VALF_UNDERSCORE;
    if (v.tag == VAL_LIST && (k[x + j].tag == VAL_LIST || k[x + j].tag == VAL_EMPTY || !val_is_norm(k[x + j]))) flags |= VALF_UNEVEN;
    if (ext[x + j].depth + 1 > ext[i].depth) ext[i].depth = ext[x + j].depth + 1;
    total += ext[x + j].total;
  }
  if (ext[i].depth > CONST_DEPTH_MAX) return bad(e, HDW_E_CORRUPT, "constant %u is nested too deeply", i);
  if (total > CONST_TOTAL_MAX) return bad(e, HDW_E_CORRUPT, "constant %u is too big", i);
  ext[i].total = (uint32_t)total;
  k[i] = (val){.tag = v.tag, .flags = flags, .len = v.len, .u.v = k + x};
  return HDW_OK;
}

/* 38 digits: what decimal arithmetic counts on. */
static bool dec_fits(const dec *d) {
  dec_coef max = 1;
  for (int i = 0; i < 38; i++) max *= 10;
  return d->scale >= 0 && d->scale <= DEC_MAX_SCALE && d->coef > -max && d->coef < max;
}

static bool time_fits(val v, tm_val t) {
  enum { ZONE_MAX = 14 * 60 };
  const int64_t day = INT64_C(86400000000), years = INT64_C(3652059); /* days of the years 1 to 9999 */
  if (t.usec < 0 || t.usec >= (v.tag == VAL_TIME ? day : day * years)) return false;
  if (t.prec < (v.tag == VAL_TIME ? TM_HOUR : TM_YEAR) || t.prec > (v.tag == VAL_DATE ? TM_DAY : TM_FRACTION)) return false;
  if (t.prec == TM_FRACTION ? t.frac_digits < 1 || t.frac_digits > 6 : t.frac_digits != 0) return false;
  return t.has_zone ? t.zone_min >= -ZONE_MAX && t.zone_min <= ZONE_MAX : t.zone_min == 0 && !t.zone_z;
}

/* Strings lie inside STRS; composite constants refer to lower indexes only, so there are no cycles. */
static hdw_status load_const(val *k, extent *ext, uint32_t i, const uint8_t *p, span strs, arena *a, mod_error *e) {
  val v = {.tag = p[0], .flags = p[1], .aux = get16(p + 2), .len = get32(p + 4)};
  uint64_t x = get64(p + 8);
  ext[i] = (extent){0, 1};
  switch (v.tag) {
    case VAL_EMPTY: case VAL_NULL: v = (val){.tag = v.tag}; break;
    case VAL_BOOL: if (x > 1) return bad(e, HDW_E_CORRUPT, "constant %u: no boolean", i); v = val_bool(x == 1); break;
    case VAL_INT: if ((int64_t)x != (int32_t)x) return bad(e, HDW_E_CORRUPT, "constant %u: no integer", i); v = val_int((int64_t)x); break;
    case VAL_LONG: v = val_long((int64_t)x); break;
    case VAL_STR: case VAL_BIN:
      if (x > strs.len || v.len > strs.len - x) return bad(e, HDW_E_CORRUPT, "constant %u: its text lies outside STRS", i);
      v = (val){.tag = v.tag, .len = v.len, .aux = val_key_hash((const char *)strs.p + x, v.len), .u.s = (const char *)strs.p + x};
      break;
    case VAL_DEC: {
      dec d = {(int64_t)x, (int32_t)v.len};
      if (v.flags & VALF_BIG) {
        if (x > strs.len || strs.len - x < 20) return bad(e, HDW_E_CORRUPT, "constant %u: its digits lie outside STRS", i);
        memcpy(&d.coef, strs.p + x, 16);
        d.scale = (int32_t)get32(strs.p + x + 16);
      }
      if (!dec_fits(&d)) return bad(e, HDW_E_CORRUPT, "constant %u: no decimal", i);
      if (val_from_dec(a, &d, &v)) return e->status = HDW_E_NOMEM;
      break;
    }
    case VAL_DATE: case VAL_DATETIME: case VAL_TIME: {
      v.u.i = (int64_t)x;
      tm_val t = val_get_time(v);
      if (!time_fits(v, t)) return bad(e, HDW_E_CORRUPT, "constant %u: no date or time", i);
      v = val_from_time((val_tag)v.tag, &t);
      break;
    }
    case VAL_LIST: case VAL_OBJ: return load_composite(k, ext, i, x, v, e);
    case VAL_QTY: {
      if (x > i || i - x < 2 || k[x].tag != VAL_DEC || k[x + 1].tag != VAL_STR) return bad(e, HDW_E_CORRUPT, "constant %u: no quantity", i);
      dec d = val_get_dec(k[x]);
      if (val_from_qty(a, &d, k[x + 1].u.s, k[x + 1].len, (v.flags & VALF_CALENDAR) != 0, &v)) return e->status = HDW_E_NOMEM;
      break;
    }
    default: return bad(e, HDW_E_CORRUPT, "constant %u: unknown kind %u", i, v.tag);
  }
  k[i] = v;
  return HDW_OK;
}

static hdw_status load_funcs(arena *a, module *m, span s, mod_error *e) {
  m->nfuncs = s.len / 16;
  mod_func *f = arena_alloc(a, m->nfuncs * sizeof *f);
  if (!f) return e->status = HDW_E_NOMEM;
  for (uint32_t i = 0; i < m->nfuncs; i++) {
    const uint8_t *p = s.p + i * 16;
    f[i] = (mod_func){get32(p), get32(p + 4), get32(p + 8), p[12], p[13], 0};
    if (f[i].code > m->ncode || f[i].words > m->ncode - f[i].code || f[i].words == 0) return bad(e, HDW_E_CORRUPT, "function %u lies outside the code", i);
    if (f[i].params > f[i].regs || f[i].regs == 0) return bad(e, HDW_E_CORRUPT, "function %u: %u parameters in %u registers", i, f[i].params, f[i].regs);
  }
  m->funcs = f;
  return HDW_OK;
}

static hdw_status load_tables(arena *a, module *m, const span *s, mod_error *e) {
  m->nnatives = s[MOD_NATV].len / 8;
  mod_native *nv = arena_alloc(a, m->nnatives * sizeof *nv);
  m->nkeys = s[MOD_KEYS].len / 8;
  mod_key *ky = arena_alloc(a, m->nkeys * sizeof *ky);
  m->nshapes = s[MOD_SHAP].len / 8;
  mod_shape *sh = arena_alloc(a, m->nshapes * sizeof *sh);
  m->nchecks = s[MOD_CHKS].len / 16;
  mod_check *ck = arena_alloc(a, m->nchecks * sizeof *ck);
  m->neffects = s[MOD_EFCT].len / 20;
  mod_effect *ef = arena_alloc(a, m->neffects * sizeof *ef);
  m->nargn = s[MOD_ARGN].len / 4;
  uint32_t *an = arena_alloc(a, m->nargn * sizeof *an);
  m->ndebug = s[MOD_DEBG].len / 16;
  mod_debug *db = arena_alloc(a, m->ndebug * sizeof *db);
  m->nlocals = s[MOD_LOCL].len / 20;
  mod_local *lc = arena_alloc(a, m->nlocals * sizeof *lc);
  if (!nv || !ky || !sh || !ck || !ef || !an || !db || !lc) return e->status = HDW_E_NOMEM;
  const uint8_t *p = s[MOD_NATV].p;
  for (uint32_t i = 0; i < m->nnatives; i++, p += 8) {
    nv[i] = (mod_native){get32(p), get32(p + 4)};
    if (nv[i].nargs > VM_MAX_NATIVE_ARGS) return bad(e, HDW_E_CORRUPT, "import %u takes %u arguments", i, nv[i].nargs);
  }
  for (p = s[MOD_KEYS].p; p < s[MOD_KEYS].p + m->nkeys * 8; p += 8) ky[(p - s[MOD_KEYS].p) / 8] = (mod_key){get32(p), get32(p + 4)};
  for (uint32_t i = 0; i < m->nkeys; i++)
    if (ky[i].name >= m->nconsts || m->consts[ky[i].name].tag != VAL_STR) return bad(e, HDW_E_CORRUPT, "key %u has no name", i);
  p = s[MOD_SHAP].p;
  for (uint32_t i = 0; i < m->nshapes; i++, p += 8) {
    sh[i] = (mod_shape){get32(p), get32(p + 4)};
    if (sh[i].first > m->nkeys || sh[i].n > m->nkeys - sh[i].first) return bad(e, HDW_E_CORRUPT, "shape %u lies outside KEYS", i);
  }
  p = s[MOD_CHKS].p;
  for (uint32_t i = 0; i < m->nchecks; i++, p += 16) ck[i] = (mod_check){get32(p), get32(p + 4), get32(p + 8), get16(p + 12), get16(p + 14)};
  p = s[MOD_ARGN].p;
  for (uint32_t i = 0; i < m->nargn; i++, p += 4) an[i] = get32(p);
  p = s[MOD_EFCT].p;
  for (uint32_t i = 0; i < m->neffects; i++, p += 20) {
    ef[i] = (mod_effect){get32(p), get32(p + 4), get32(p + 8), get16(p + 12), p[14], p[15], get32(p + 16)};
    if (ef[i].op >= m->nconsts || m->consts[ef[i].op].tag != VAL_STR) return bad(e, HDW_E_CORRUPT, "effect %u names no operation", i);
    if (ef[i].conn != MOD_NO_INDEX && (ef[i].conn >= m->nconsts || m->consts[ef[i].conn].tag != VAL_STR)) return bad(e, HDW_E_CORRUPT, "effect %u names no connection", i);
    if (ef[i].argn > m->nargn || ef[i].nargs > m->nargn - ef[i].argn) return bad(e, HDW_E_CORRUPT, "effect %u: argument names lie outside ARGN", i);
    if (ef[i].klass > MOD_CLASS_LOCAL) return bad(e, HDW_E_CORRUPT, "effect %u: class %u", i, ef[i].klass);
  }
  p = s[MOD_DEBG].p;
  for (uint32_t i = 0; i < m->ndebug; i++, p += 16) db[i] = (mod_debug){get32(p), get32(p + 4), get32(p + 8), get32(p + 12)};
  p = s[MOD_LOCL].p;
  for (uint32_t i = 0; i < m->nlocals; i++, p += 20) {
    lc[i] = (mod_local){get32(p), get32(p + 4), get32(p + 8), get32(p + 12), get32(p + 16)};
    if (lc[i].func >= m->nfuncs || lc[i].reg >= m->funcs[lc[i].func].regs) return bad(e, HDW_E_CORRUPT, "name %u belongs to no register", i);
  }
  m->locals = lc;
  m->natives = nv; m->keys = ky; m->shapes = sh; m->checks = ck; m->effects = ef; m->argn = an; m->debug = db;
  return HDW_OK;
}

hdw_status mod_load(arena *a, const uint8_t *bytes, size_t len_bytes, module *m, mod_error *e) {
  span s[MOD_SECTION_COUNT] = {{NULL, 0}};
  memset(m, 0, sizeof *m);
  *e = (mod_error){HDW_OK, ""};
  hdw_status st = sections(bytes, len_bytes, s, e);
  if (st) return st;
  static const uint8_t unit[MOD_SECTION_COUNT] = {16, 1, 16, 4, 8, 8, 8, 16, 20, 4, 1, 16, 20};
  for (int i = 0; i < MOD_SECTION_COUNT; i++)
    if (s[i].len % unit[i]) return bad(e, HDW_E_CORRUPT, "section %s has a broken length", mod_section_names[i]);
  m->bytes = bytes;
  m->len_bytes = len_bytes;
  memcpy(m->id, bytes + 16, MOD_ID_BYTES);
  m->nconsts = s[MOD_CONS].len / 16;
  val *k = arena_alloc(a, m->nconsts * sizeof *k);
  extent *ext = arena_alloc(a, m->nconsts * sizeof *ext);
  if (!k || !ext) return e->status = HDW_E_NOMEM;
  for (uint32_t i = 0; i < m->nconsts; i++)
    if ((st = load_const(k, ext, i, s[MOD_CONS].p + i * 16, s[MOD_STRS], a, e))) return st;
  m->consts = k;
  m->ncode = s[MOD_CODE].len / 4;
  uint32_t *code = arena_alloc(a, m->ncode * sizeof *code);
  if (!code) return e->status = HDW_E_NOMEM;
  for (uint32_t i = 0; i < m->ncode; i++) code[i] = get32(s[MOD_CODE].p + i * 4);
  m->code = code;
  if ((st = load_funcs(a, m, s[MOD_FUNC], e))) return st;
  if ((st = load_tables(a, m, s, e))) return st;
  m->meta = (const char *)s[MOD_META].p;
  m->meta_len = s[MOD_META].len;
  return HDW_OK;
}

const char *mod_text(const module *m, uint32_t k, uint32_t *len) {
  if (k < m->nconsts && m->consts[k].tag == VAL_STR) {
    *len = m->consts[k].len;
    return m->consts[k].u.s;
  }
  *len = 0;
  return "";
}

uint32_t mod_find(const module *m, const char *name) {
  size_t n = strlen(name);
  for (uint32_t i = 0; i < m->nfuncs; i++) {
    uint32_t l;
    const char *s = mod_text(m, m->funcs[i].name, &l);
    if (l == n && memcmp(s, name, n) == 0) return i;
  }
  return MOD_NO_INDEX;
}

bool mod_where(const module *m, uint32_t word, mod_debug *out) {
  uint32_t lo = 0, hi = m->ndebug;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    if (m->debug[mid].word <= word) lo = mid + 1; else hi = mid;
  }
  if (!lo) return false;
  *out = m->debug[lo - 1];
  return true;
}

static void put32(uint8_t *p, uint32_t v) { for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i)); }

hdw_status mod_assemble(arena *a, const buf *sec, uint8_t **out, size_t *len_bytes) {
  size_t len = (MOD_HEADER_BYTES + MOD_SECTION_COUNT * 12 + 7) & ~(size_t)7;
  for (int i = 0; i < MOD_SECTION_COUNT; i++) len += (sec[i].len + 7) & ~(size_t)7;
  if (len > MOD_MAX_BYTES) return HDW_E_LIMIT;
  uint8_t *b = arena_zalloc(a, len, 1);
  if (!b) return HDW_E_NOMEM;
  memcpy(b, "HDWB", 4);
  b[4] = MOD_VERSION;
  put32(b + 8, MOD_SECTION_COUNT);
  put32(b + 12, (uint32_t)len);
  size_t at = (MOD_HEADER_BYTES + MOD_SECTION_COUNT * 12 + 7) & ~(size_t)7;
  for (int i = 0; i < MOD_SECTION_COUNT; i++) {
    uint8_t *t = b + MOD_HEADER_BYTES + i * 12;
    memcpy(t, mod_section_names[i], 4);
    put32(t + 4, (uint32_t)at);
    put32(t + 8, (uint32_t)sec[i].len);
    if (sec[i].len) memcpy(b + at, sec[i].p, sec[i].len);
    at += (sec[i].len + 7) & ~(size_t)7;
  }
  *out = b;
  *len_bytes = len;
  return HDW_OK;
}
