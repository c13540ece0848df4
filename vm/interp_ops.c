/* interp_ops.c - imports, start and resumption of runs, and the instructions that are more than a few lines. */
#include "interp_int.h"
#include <stdio.h>
#include <string.h>

const char *vm_op_name(vm_op op) {
  static const char *const names[OP_COUNT] = {
#define OPCODE(name, a, b, c, ext, doc) #name,
#include "opcodes.def"
#undef OPCODE
  };
  return op < OP_COUNT ? names[op] : "?";
}

static const vm_native_row *find_native(const vm_host *host, const char *want, uint32_t n) {
  uint32_t lo = 0, hi = host->nnatives;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    int c = strncmp(host->natives[mid].name, want, n);
    if (c == 0) c = host->natives[mid].name[n] ? 1 : 0;
    if (c == 0) return &host->natives[mid];
    if (c < 0) lo = mid + 1; else hi = mid;
  }
  return NULL;
}

/* Behind the functions lies a byte for each: whether it is pure. */
hdw_status vm_bind(arena *a, const module *m, const vm_host *host, const vm_native **bound, mod_error *err) {
  vm_native *b = arena_zalloc(a, (size_t)m->nnatives + 1, sizeof *b + 1);
  if (!b) return err->status = HDW_E_NOMEM;
  uint8_t *pure = (uint8_t *)(b + m->nnatives);
  for (uint32_t i = 0; i < m->nnatives; i++) {
    uint32_t n;
    const char *want = mod_text(m, m->natives[i].name, &n);
    const vm_native_row *row = memchr(want, 0, n) ? NULL : find_native(host, want, n);
    if (!row || row->nargs != m->natives[i].nargs) {
      snprintf(err->text, sizeof err->text, "this module needs the function '%.*s' of %u arguments, which this version does not have", (int)(n > 100 ? 100 : n), want, m->natives[i].nargs);
      return err->status = HDW_E_NOTFOUND;
    }
    b[i] = row->fn;
    pure[i] = row->pure;
  }
  *bound = b;
  return HDW_OK;
}

bool vm_keeps(const vm_run *r, uint32_t i) { return !((const uint8_t *)(r->bound + r->m->nnatives))[i]; }

hdw_status vm_window(vm_run *r, uint32_t base, uint32_t n) {
  uint32_t want = base + n;
  if (want > r->cap_regs) {
    uint32_t cap = r->cap_regs ? r->cap_regs : 64;
    while (cap < want) cap *= 2;
    val *v = arena_grow(r->cx->a, r->regs, r->cap_regs * sizeof *v, cap * sizeof *v);
    if (!v) return HDW_E_NOMEM;
    memset(v + r->cap_regs, 0, (cap - r->cap_regs) * sizeof *v);
    vm_regions_spoil(r);
    r->regs = v;
    r->cap_regs = cap;
  }
  r->nregs = want;
  return HDW_OK;
}

hdw_status vm_start(vm_run *r, const module *m, const vm_host *host, const vm_native *bound, vm_cx *cx, uint32_t func, const val *args, unsigned n) {
  /* all but the stacks, which are most of it: what lies beyond their counts is never read */
  r->m = m;
  r->host = host;
  r->bound = bound;
  r->cx = cx;
  r->is_gate = r->gate_reached = false;
  r->slice = 0;
  r->regs = NULL;
  r->recycled = NULL;
  r->nregs = r->cap_regs = r->nframes = r->ntries = r->npath = r->nregions = r->nlanes = r->ngroups = r->nbranches = r->index = r->in_group = 0;
  r->root = r;
  r->parent = r->next = r->spare = NULL;
  r->stand = VM_GOES;
  r->copies = r->ended = r->raised = false;
  r->unique = 0;
  r->request.branch = r;
  r->request.effect = NULL;
  r->request.effect_index = 0;
  r->request.args = NULL;
  r->request.path[0] = 0;
  r->result = r->outcome_args[0] = r->outcome_args[1] = r->once_key = r->once_within = VAL_NONE;
  r->outcome = VM_OUTCOME_NONE;
  if (!m->verified || func >= m->nfuncs || n != m->funcs[func].params) return HDW_E_INVALID;
  const mod_func *f = &m->funcs[func];
  hdw_status s = vm_window(r, 0, f->regs);
  if (s) return s;
  if (n) memcpy(r->regs, args, n * sizeof *args);
  r->frames[0] = (vm_frame){.func = func, .pc = f->code, .base = 0, .ret = 0};
  r->nframes = 1;
  return HDW_OK;
}

hdw_status vm_condition_count(vm_cx *cx, val v) { return vm_fail(cx, HDW_E_CARD, "a condition needs one value, %u were found", val_count(v)); }

hdw_status vm_slow_op(vm_run *r, vm_op op, val x, val y, val *out) {
  vm_native f = r->host->ops ? r->host->ops[op] : NULL;
  if (!f) return vm_fail(r->cx, HDW_E_TYPE, "operator %s is not available", vm_op_name(op));
  val args[2] = {x, y};
  return f(r->cx, args, 2, out);
}

/* ---- members */

static bool key_is(val key, const char *s) { return key.len == strlen(s) && memcmp(key.u.s, s, key.len) == 0; }

/* value and unit; code is the unit when it is one of UCUM. */
static hdw_status quantity_member(vm_cx *cx, val item, val key, val *out) {
  const val_quantity *q = item.u.p;
  *out = VAL_NONE;
  if (key_is(key, "value")) return val_from_dec(cx->a, &q->value, out);
  if (key_is(key, "unit") || (key_is(key, "code") && !(item.flags & VALF_CALENDAR))) *out = val_str(q->unit, q->unit_len);
  return HDW_OK;
}

static hdw_status member_one(vm_cx *cx, val item, val key, val *out) {
  if (item.tag == VAL_OBJ && item.aux == 0) {
    const val *slot = val_obj_get(item, key);
    if (!slot) { *out = VAL_NONE; return HDW_OK; }
    if (val_is_norm(*slot)) { *out = *slot; return HDW_OK; }
    return val_norm(cx->a, *slot, out);
  }
  if ((item.tag == VAL_OBJ || item.tag == VAL_HL7) && cx->model && cx->model->member) return cx->model->member(cx, item, key, out);
  if (item.tag == VAL_QTY) return quantity_member(cx, item, key, out);
  *out = VAL_NONE;
  return HDW_OK;
}

hdw_status vm_member(vm_cx *cx, val coll, val key, val *out) {
  if (coll.tag != VAL_LIST) return member_one(cx, coll, key, out);
  cx->fuel -= coll.len;
  if (cx->model && cx->model->member && coll.len && coll.u.v[0].tag == VAL_OBJ && coll.u.v[0].aux) return cx->model->member(cx, coll, key, out);
  val_builder b = {0};
  hdw_status s = val_reserve(cx->a, &b, coll.len);
  for (uint32_t i = 0; !s && i < coll.len; i++) {
    val v;
    s = member_one(cx, coll.u.v[i], key, &v);
    if (!s) s = val_push(cx->a, &b, v);
  }
  if (s) return s;
  *out = val_build(&b);
  return HDW_OK;
}

/* ---- constructors */

hdw_status vm_list(vm_cx *cx, const val *v, uint32_t n, val *out) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < n; i++) total += val_count(v[i]);
  hdw_status s = vm_charge(cx, total / 4);
  if (s) return s;
  if (total > UINT32_MAX / 2) return HDW_E_LIMIT;
  val *p = total > 1 ? arena_alloc(cx->a, total * sizeof *p) : NULL;
  if (total > 1 && !p) return HDW_E_NOMEM;
  *out = VAL_NONE;
  uint32_t k = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (v[i].tag == VAL_EMPTY) continue;
    if (total == 1 && val_count(v[i])) { *out = val_item(v[i], 0); return HDW_OK; }
    if (v[i].tag != VAL_LIST) copy(&p[k++], &v[i]);
    else if (v[i].len) { memcpy(p + k, v[i].u.v, v[i].len * sizeof *p); k += v[i].len; }
  }
  if (total) *out = (val){.tag = VAL_LIST, .len = k, .u.v = p};
  return HDW_OK;
}

hdw_status vm_object(vm_run *r, const mod_shape *s, const val *fields, val *out) {
  val *kv = arena_alloc(r->cx->a, (size_t)s->n * 2 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  const mod_key *k = r->m->keys + s->first;
  val *p = kv;
  uint8_t flags = 0;
  for (uint32_t i = 0; i < s->n; i++, k++) {
    uint8_t tag = fields[i].tag;
    copy(&p[0], &r->m->consts[k->name]);
    if (p[0].len && p[0].u.s[0] == '_') flags = VALF_UNDERSCORE;
    if (tag != VAL_EMPTY && !(k->flags & MOD_KEY_ARRAY)) {
      copy(&p[1], &fields[i]);
      p += 2;
      continue;
    }
    val v = fields[i];
    if (tag == VAL_EMPTY && (k->flags & MOD_KEY_OMIT_EMPTY)) continue;
    if (k->flags & MOD_KEY_ARRAY) {
      if (v.tag != VAL_LIST) {
        val *one = arena_alloc(r->cx->a, sizeof *one);
        if (!one) return HDW_E_NOMEM;
        *one = v;
        v = (val){.tag = VAL_LIST, .len = v.tag != VAL_EMPTY, .u.v = one};
      }
      v.flags |= VALF_ARRAY;
    } else if (v.tag == VAL_EMPTY) {
      v.tag = VAL_NULL;
    }
    p[1] = v;
    p += 2;
  }
  *out = (val){.tag = VAL_OBJ, .flags = flags, .len = (uint32_t)((p - kv) / 2), .u.v = kv};
  return HDW_OK;
}

/* Digits of v in front of end; returns where they begin. */
static char *digits(int64_t v, char *end) {
  uint64_t m = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  do { *--end = (char)('0' + m % 10); m /= 10; } while (m);
  if (v < 0) *--end = '-';
  return end;
}

hdw_status vm_join_text(vm_cx *cx, const val *parts, uint32_t n, val *out) {
  enum { DIGITS = 20 };
  uint64_t room = 0;
  *out = VAL_NONE;
  for (uint32_t i = 0; i < n; i++) {
    if (parts[i].tag == VAL_STR && parts[i].len < 1 << 16 && !(parts[i].flags & VALF_ESC)) room += parts[i].len;
    else if (i % 2 && (parts[i].tag == VAL_INT || parts[i].tag == VAL_LONG)) room += DIGITS;
    else if (parts[i].tag != VAL_EMPTY) return HDW_OK;
  }
  hdw_status s = vm_charge(cx, room / 16);
  if (s) return s;
  char *t = arena_alloc(cx->a, room), *w = t;
  if (!t) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < n; i++) {
    if (parts[i].tag == VAL_STR) {
      memcpy(w, parts[i].u.s, parts[i].len);
      w += parts[i].len;
    } else if (parts[i].tag != VAL_EMPTY) {
      char d[DIGITS], *from = digits(parts[i].u.i, d + DIGITS);
      memcpy(w, from, (size_t)(d + DIGITS - from));
      w += d + DIGITS - from;
    }
  }
  *out = val_str(t, (size_t)(w - t));
  return HDW_OK;
}

/* ---- checks and paths */

static const char *article(const char *noun) { return *noun && strchr("AEIOUaeio", *noun) ? "an" : "a"; }

/* A value that is not of the type that CHECK c wants. */
static hdw_status wrong_type(vm_run *r, const mod_check *c, val item) {
  uint32_t tn, wn, sn;
  const char *type = mod_text(r->m, c->type, &tn), *what = mod_text(r->m, c->what, &wn), *src = mod_text(r->m, c->source, &sn);
  const char *kind = r->host->kind ? r->host->kind(item) : NULL;
  if (tn > 5 && memcmp(type, "FHIR.", 5) == 0) { type += 5; tn -= 5; }
  if (!kind || (strlen(kind) == tn && memcmp(kind, type, tn) == 0))
    return vm_fail(r->cx, HDW_E_DATA, "%.*s: the value is no %.*s (from %.*s)", (int)wn, what, (int)tn, type, (int)sn, src);
  return vm_fail(r->cx, HDW_E_DATA, "%.*s: the value is %s %s, not %s %.*s (from %.*s)", (int)wn, what, article(kind), kind, article(type), (int)tn, type, (int)sn, src);
}

hdw_status vm_check(vm_run *r, const mod_check *c, val v, val *out) {
  vm_cx *cx = r->cx;
  uint32_t tn, wn, sn;
  const char *type = mod_text(r->m, c->type, &tn), *what = mod_text(r->m, c->what, &wn), *src = mod_text(r->m, c->source, &sn);
  if (c->max == 1 && v.tag == VAL_LIST && v.len && v.u.v[0].tag == VAL_HL7) v = v.u.v[0]; /* a maximum of 1 is never trusted in HL7 v2: first repetition */
  uint32_t n = val_count(v), got = 0;
  val_builder b = {0};
  val one = VAL_NONE;
  hdw_status s = vm_charge(cx, n);
  if (s) return s;
  for (uint32_t i = 0; i < n; i++) {
    val x;
    s = r->host->convert ? r->host->convert(cx, val_item(v, i), type, tn, &x) : (x = val_item(v, i), HDW_OK);
    if (s == HDW_E_DATA || s == HDW_E_TYPE) return wrong_type(r, c, val_item(v, i));
    if (s) return s;
    if (x.tag == VAL_EMPTY) continue;
    got++;
    if (n == 1) one = x;
    else if ((s = val_push(cx->a, &b, x))) return s;
  }
  if (got < c->min || (c->max != MOD_MANY && got > c->max))
    return vm_fail(cx, HDW_E_DATA, "%.*s: %s%u value%s expected, %u found (from %.*s)", (int)wn, what, got < c->min && c->max != c->min ? "at least " : got > c->max ? "at most " : "",
                   got < c->min ? c->min : c->max, (got < c->min ? c->min : c->max) == 1 ? "" : "s", got, (int)sn, src);
  *out = n == 1 ? one : val_build(&b);
  return HDW_OK;
}

hdw_status vm_path_text(vm_run *r, uint32_t site) {
  size_t n = 0, cap = sizeof r->request.path;
  for (uint32_t i = 0; i < r->npath; i++) {
    int k = r->path[i].index < 0 ? snprintf(r->request.path + n, cap - n, "%u.", r->path[i].site)
                                 : snprintf(r->request.path + n, cap - n, "%u[%lld].", r->path[i].site, (long long)r->path[i].index);
    n += (size_t)k;
    if (n >= cap) return vm_fail(r->cx, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal");
  }
  n += (size_t)snprintf(r->request.path + n, cap - n, "%u", site);
  return n < cap ? HDW_OK : vm_fail(r->cx, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal");
}

/* ---- regions
 *
 * Memory of a loop's iteration is given back as a whole. What the machine guarantees, whatever the code does: after a release nothing that
 * can be reached points into released memory.
 *   - Values never change once they are made, so what is older than the mark can only point to what is older still. The exceptions are
 *     builders (PUSH into an older one spoils the region), the register file (its growth spoils all), what leaves the machine
 *     (EFFECT, LANE, ONCE, the end of a slice) and natives that are not marked as pure: these spoil all regions.
 *   - Registers below this frame's base cannot have been written since; of all others (windows overlap, so what lies behind this frame may be
 *     read by frames below) those that point into newer memory become empty.
 * A spoilt region starts anew from where the memory stands: what it had is kept until an outer region or the run ends. */

enum { KEEP_TEXT = 2048 };

static vm_region *find_region(vm_run *r, uint8_t reg) {
  uint32_t i = r->nregions, frame = r->nframes - 1;
  while (i && r->regions[i - 1].frame == frame)
    if (r->regions[--i].reg == reg) return &r->regions[i];
  return NULL;
}

void vm_regions_pop(vm_run *r, uint32_t nframes) {
  while (r->nregions && r->regions[r->nregions - 1].frame >= nframes) r->nregions--;
}

void vm_regions_spoil(vm_run *r) {
  for (uint32_t i = 0; i < r->nregions; i++) r->regions[i].spoilt = true;
}

void vm_regions_spoil_newer(vm_run *r, const void *p) {
  for (uint32_t i = r->nregions; i; i--) {
    if (arena_newer(r->cx->a, r->regions[i - 1].mark, p)) return;
    r->regions[i - 1].spoilt = true;
  }
}

void vm_region_begin(vm_run *r, uint8_t reg) {
  vm_region *g = find_region(r, reg);
  if (g) r->nregions = (uint32_t)(g - r->regions);
  if (r->nregions == VM_MAX_REGIONS) return;
  r->regions[r->nregions++] = (vm_region){.frame = r->nframes - 1, .reg = reg, .mark = arena_here(r->cx->a)};
}

static bool points(val v) {
  switch (v.tag) {
    case VAL_STR: case VAL_QTY: case VAL_NUM: case VAL_OBJ: case VAL_LIST: case VAL_BIN: case VAL_HL7: case VAL_TPL: case VAL_BUILDER: return true;
    case VAL_DEC: return (v.flags & VALF_BIG) != 0;
    default: return false;
  }
}

hdw_status vm_region_recycle(vm_run *r, uint8_t reg) {
  arena *a = r->cx->a;
  vm_region *g = find_region(r, reg);
  if (!g) { r->recycled = a->cur; return HDW_OK; }
  r->recycled = g->mark.cur;
  r->nregions = (uint32_t)(g - r->regions) + 1;
  if (a->chunk == g->mark.chunk && (size_t)(a->cur - g->mark.cur) <= VM_REGION_BYTES) return HDW_OK;
  const vm_frame *f = &r->frames[r->nframes - 1];
  val *R = r->regs + f->base, *keep = R + reg;
  bool move = points(*keep) && arena_newer(a, g->mark, keep->u.p);
  if (g->spoilt || (move && (keep->tag != VAL_STR || keep->len > KEEP_TEXT))) {
    g->mark = arena_here(a);
    r->recycled = a->cur;
    g->spoilt = false;
    return HDW_OK;
  }
  char text[KEEP_TEXT];
  if (move) memcpy(text, keep->u.s, keep->len);
  uint32_t n = r->cap_regs - f->base;
  for (uint32_t i = 0; i < n; i++)
    if (i != reg && points(R[i]) && arena_newer(a, g->mark, R[i].u.p)) R[i] = VAL_NONE;
  arena_release(a, g->mark);
  if (move) {
    char *p = arena_alloc(a, keep->len);
    if (!p) { *keep = VAL_NONE; return HDW_E_NOMEM; }
    keep->u.s = memcpy(p, text, keep->len);
  }
  return HDW_OK;
}
