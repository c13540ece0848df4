/* reads.c - see reads.h. Functions are followed one by one until nothing changes any more: within a function states are joined where ways meet. */
#include "reads.h"
#include "dict.h"
#include "hl7.h"
#include "run.h"
#include <string.h>

enum { SET_MAX = 512, TABLE = 4096, ROUNDS = 200 };
static const uint64_t work_max = UINT64_C(40000000);

typedef struct op_format { char a, b, c, ext; } op_format;
static const op_format formats[OP_COUNT] = {
#define OPCODE(name, a, b, c, ext, doc) {(#a)[0], (#b)[0], (#c)[0], (#ext)[0]},
#include "opcodes.def"
#undef OPCODE
};

/* Natives by what they do with the places they are given. */
typedef enum how { LOOKS, GIVES_FIRST, GIVES_SOME /* which ones hangs on their values */, GIVES_BOTH, ASKS, REPEATS, GETS, CHILD, EXTENSION, DROPS } how;
static const struct { const char *name; how h; } natives[] = {
    {"first", GIVES_FIRST}, {"last", GIVES_FIRST}, {"single", GIVES_FIRST}, {"skip", GIVES_FIRST}, {"take", GIVES_FIRST}, {"tail", GIVES_FIRST}, {"distinct", GIVES_SOME},
    {"intersect", GIVES_SOME}, {"exclude", GIVES_SOME}, {"repeat.new", REPEATS}, {"sort.by", GIVES_FIRST}, {"ofType", GIVES_FIRST}, {"as", GIVES_FIRST}, {"json.root", GIVES_FIRST},
    {"fhir.as", GIVES_FIRST}, {"union", GIVES_SOME}, {"combine", GIVES_BOTH}, {"exists", ASKS}, {"empty", ASKS}, {"count", ASKS}, {"isNull", ASKS}, {"hasValue", ASKS}, {"is", ASKS},
    {"type", ASKS}, {"hl7.get", GETS}, {"hl7.child", CHILD}, {"extension", EXTENSION}, {"drop", DROPS}, {"hl7.with", GIVES_FIRST}, {"part", GIVES_FIRST}};

/* A set of places: n ascending node numbers. Sets are interned, so that equal ones have one number; 0 is the empty one. */
typedef struct set { uint32_t n; uint32_t at[]; } set;

typedef struct func {
  uint32_t *in;        /* set of each parameter */
  uint32_t out;        /* of the result */
  uint32_t **states;   /* by word of the function: sets of all registers where it is jumped to; NULL elsewhere or not reached yet */
  uint32_t *branch;    /* by register: what branches left there */
  uint32_t kept;       /* what branches kept for JOIN */
  bool reached;
} func;

typedef struct flow {
  arena *a;
  const module *m;
  reads *r;
  reads_kind kind;
  uint32_t cap;
  const set **sets; uint32_t nsets, cap_sets;
  uint32_t *table; uint32_t cap_table;
  func *f;
  uint8_t *natives;
  uint32_t fi;
  uint32_t *todo; uint32_t ntodo;
  uint8_t *queued;
  uint64_t work;
  bool changed, nomem;
} flow;

/* ---- the tree of places */

static void mark(flow *w, uint32_t node, uint8_t bits) {
  uint8_t now = w->r->v[node].marks | bits;
  w->r->v[node].marks = now;
}

uint32_t reads_child(const reads *r, uint32_t node, const char *name, size_t len, uint16_t field) {
  for (uint32_t i = r->v[node].first; i; i = r->v[i].next)
    if (field ? r->v[i].field == field : !r->v[i].field && r->v[i].len == len && memcmp(r->v[i].name, name, len) == 0) return i;
  return 0;
}

/* The part of a place, made when it is new. Where there is no room for it, it is the place itself, which is read. */
static uint32_t part(flow *w, uint32_t node, const char *name, size_t len, uint16_t field) {
  uint32_t i = reads_child(w->r, node, name, len, field);
  if (i) return i;
  if (w->r->v[node].depth >= READS_DEPTH) return node;
  if (w->r->n == READS_NODES) { mark(w, node, READS_ALL); return node; }
  if (w->r->n == w->cap) {
    uint32_t cap = w->cap * 2;
    reads_node *v = (reads_node *)arena_grow(w->a, w->r->v, w->cap * sizeof *v, cap * sizeof *v);
    if (!v) { w->nomem = true; return node; }
    w->r->v = v;
    w->cap = cap;
  }
  i = w->r->n++;
  w->r->v[i] = (reads_node){.name = name, .len = (uint32_t)len, .field = field, .depth = (uint8_t)(w->r->v[node].depth + 1), .next = w->r->v[node].first};
  w->r->v[node].first = i;
  return i;
}

/* ---- sets */

static uint32_t hash_of(const uint32_t *at, uint32_t n) {
  uint32_t h = n * 2654435761u;
  for (uint32_t i = 0; i < n; i++) h = (h ^ at[i]) * 16777619u;
  return h ^ h >> 15;
}

static bool rehash(flow *w) {
  uint32_t cap = w->cap_table ? w->cap_table * 2 : TABLE, *t = (uint32_t *)arena_zalloc(w->a, cap, sizeof *t);
  if (!t) return false;
  for (uint32_t i = 1; i < w->nsets; i++) {
    uint32_t h = hash_of(w->sets[i]->at, w->sets[i]->n);
    while (t[h & (cap - 1)]) h++;
    t[h & (cap - 1)] = i;
  }
  w->table = t;
  w->cap_table = cap;
  return true;
}

static uint32_t intern(flow *w, const uint32_t *at, uint32_t n) {
  if (n == 0) return 0;
  if (n > SET_MAX) { /* too many to be followed */
    for (uint32_t i = 0; i < n; i++) mark(w, at[i], READS_ALL);
    return 0;
  }
  if ((w->nsets + 1) * 2 > w->cap_table && !rehash(w)) { w->nomem = true; return 0; }
  uint32_t h = hash_of(at, n);
  for (; w->table[h & (w->cap_table - 1)]; h++) {
    const set *s = w->sets[w->table[h & (w->cap_table - 1)]];
    if (s->n == n && memcmp(s->at, at, n * sizeof *at) == 0) return w->table[h & (w->cap_table - 1)];
  }
  if (w->nsets == w->cap_sets) {
    uint32_t cap = w->cap_sets * 2;
    const set **v = (const set **)arena_grow(w->a, w->sets, w->cap_sets * sizeof *v, cap * sizeof *v);
    if (!v) { w->nomem = true; return 0; }
    w->sets = v;
    w->cap_sets = cap;
  }
  set *s = (set *)arena_alloc(w->a, sizeof *s + n * sizeof *at);
  if (!s) { w->nomem = true; return 0; }
  s->n = n;
  memcpy(s->at, at, n * sizeof *at);
  w->sets[w->nsets] = s;
  w->table[h & (w->cap_table - 1)] = w->nsets;
  return w->nsets++;
}

static uint32_t join(flow *w, uint32_t x, uint32_t y) {
  if (x == y || y == 0) return x;
  if (x == 0) return y;
  const set *a = w->sets[x], *b = w->sets[y];
  uint32_t at[2 * SET_MAX], n = 0, i = 0, k = 0;
  while (i < a->n || k < b->n) {
    if (k == b->n || (i < a->n && a->at[i] < b->at[k])) at[n++] = a->at[i++];
    else if (i == a->n || b->at[k] < a->at[i]) at[n++] = b->at[k++];
    else at[n++] = a->at[i++], k++;
  }
  return intern(w, at, n);
}

static void look(flow *w, uint32_t s, uint8_t bits) {
  for (uint32_t i = 0; s && i < w->sets[s]->n; i++) mark(w, w->sets[s]->at[i], bits);
}

/* A set of the parts that fn gives of the places of s. */
typedef uint32_t (*step_fn)(flow *w, uint32_t node, const char *name, size_t len, uint32_t number);
static uint32_t each(flow *w, uint32_t s, step_fn fn, const char *name, size_t len, uint32_t number) {
  uint32_t out = 0;
  for (uint32_t i = 0; s && i < w->sets[s]->n; i++) {
    uint32_t one = fn(w, w->sets[s]->at[i], name, len, number);
    if (one != MOD_NO_INDEX) out = join(w, out, intern(w, &one, 1));
  }
  return out;
}

/* msg.PID, msg.PATIENT_RESULT, pid.patientName, field.component; object.member */
static uint32_t member(flow *w, uint32_t node, const char *name, size_t len, uint32_t number) {
  (void)number;
  if (w->kind == READS_JSON) return part(w, node, name, len, 0);
  const reads_node *x = &w->r->v[node];
  if (node == 0) return len == 3 && hl7_name(name, len) ? part(w, 0, name, len, 0) : 0;
  if (x->field) return node;
  int seg = dict_segment(x->name, x->len);
  unsigned field = seg >= 0 ? dict_field_by_alias(seg, name, len) : 0;
  return field ? part(w, node, NULL, 0, (uint16_t)field) : node;
}

/* hl7.get: name is the segment, number the field. */
static uint32_t path(flow *w, uint32_t node, const char *name, size_t len, uint32_t number) {
  if (w->kind != READS_HL7 || w->r->v[node].field) return MOD_NO_INDEX;
  if (node == 0) node = part(w, 0, name, len, 0);
  else if (w->r->v[node].len != len || memcmp(w->r->v[node].name, name, len) != 0) return MOD_NO_INDEX;
  return number ? part(w, node, NULL, 0, (uint16_t)number) : node;
}

static uint32_t nth(flow *w, uint32_t node, const char *name, size_t len, uint32_t number) {
  (void)name;
  (void)len;
  if (w->kind != READS_HL7 || node == 0) return MOD_NO_INDEX;
  return w->r->v[node].field || !number ? node : part(w, node, NULL, 0, (uint16_t)(number > 65535 ? 65535 : number));
}

static const char *name_of(flow *w, uint32_t name) { /* a segment's name that lives as long as the tree */
  char t[4];
  hl7_name_text(name, t);
  int seg = dict_segment(t, 3);
  const char *s = seg >= 0 ? dict_segment_name(seg) : arena_dup(w->a, t, 3);
  if (!s) w->nomem = true;
  return s ? s : "???";
}

/* ---- instructions */

typedef struct ins {
  uint32_t at, op, a, b, c, bx, ext, next; /* at: word of the module; next: word behind it */
  int32_t jump;                            /* word that it may jump to, -1 */
} ins;

static ins decode(const flow *w, uint32_t at) {
  uint32_t x = w->m->code[at];
  ins i = {.at = at, .op = x & 255, .a = x >> 8 & 255, .b = x >> 16 & 255, .c = x >> 24, .bx = x >> 16, .jump = -1};
  i.next = at + mod_op_words(x);
  if (i.next == at + 2) i.ext = w->m->code[at + 1];
  op_format f = formats[i.op];
  if (f.b == 'J') i.jump = (int32_t)i.next + (int16_t)(uint16_t)i.bx;
  if (f.ext == 'D' || f.ext == 'I') i.jump = (int32_t)i.next + (int32_t)(i.ext >> 16);
  return i;
}

/* Sets at the word: joined with what is known there; put on the list when that is news. */
static void flow_to(flow *w, uint32_t word, const uint32_t *regs) {
  const mod_func *g = &w->m->funcs[w->fi];
  func *f = &w->f[w->fi];
  uint32_t k = word - g->code;
  if (k >= g->words) return;
  bool news = false;
  if (!f->states[k]) {
    f->states[k] = (uint32_t *)arena_zalloc(w->a, g->regs + 1u, sizeof **f->states);
    if (!f->states[k]) { w->nomem = true; return; }
    news = true;
  }
  for (uint32_t i = 0; i < g->regs; i++) {
    uint32_t s = join(w, f->states[k][i], regs[i]);
    news |= s != f->states[k][i];
    f->states[k][i] = s;
  }
  if (news && !w->queued[k]) {
    w->queued[k] = 1;
    w->todo[w->ntodo++] = k;
  }
}

static how how_of(const flow *w, uint32_t native) { return (how)w->natives[native]; }

/* args: the window. Its result. */
static uint32_t call_native(flow *w, uint32_t native, uint32_t *args, uint32_t n, const val *k) {
  how h = how_of(w, native);
  uint32_t first = n ? args[0] : 0, out = 0;
  switch (h) {
    case GIVES_BOTH: return n > 1 ? join(w, first, args[1]) : first;
    case ASKS: look(w, first, READS_SEEN); break;
    case DROPS: look(w, first, READS_DROPPED); return 0;
    case REPEATS: return first;
    case GIVES_SOME:
      look(w, first, READS_ALL);
      out = n > 1 ? join(w, first, args[1]) : first;
      break;
    case GIVES_FIRST: out = first; break;
    case GETS:
      if (!k || k->tag != VAL_LONG) { look(w, first, READS_ALL); break; }
      return each(w, first, path, name_of(w, (uint32_t)((uint64_t)k->u.i >> 40)), 3, (uint32_t)((uint64_t)k->u.i >> 26 & 8191));
    case CHILD:
      if (!k || k->tag != VAL_INT) { look(w, first, READS_ALL); break; }
      return each(w, first, nth, NULL, 0, k->u.i > 0 && k->u.i < 65536 ? (uint32_t)k->u.i : 0);
    case EXTENSION:
      out = each(w, first, member, "extension", 9, 0);
      look(w, each(w, out, member, "url", 3, 0), READS_ALL);
      break;
    case LOOKS: look(w, first, READS_ALL); break;
  }
  for (uint32_t i = 1; i < n; i++) look(w, args[i], READS_ALL);
  return out;
}

static void call(flow *w, uint32_t callee, uint32_t *args) {
  const mod_func *g = &w->m->funcs[callee];
  func *f = &w->f[callee];
  if (!f->reached) w->changed = f->reached = true;
  for (uint32_t i = 0; i < g->params; i++) {
    uint32_t s = join(w, f->in[i], args[i]);
    if (s == f->in[i]) continue;
    f->in[i] = s;
    w->changed = true;
  }
  args[0] = f->out;
}

/* A declared type: what it lets through is still the place, but a primitive is read. */
static void check(flow *w, const mod_check *c, uint32_t *s) {
  uint32_t n;
  const char *t = mod_text(w->m, c->type, &n);
  static const char *const through[] = {"any", "object", "message", "segment", "hl7"};
  bool keeps = memchr(t, '.', n) != NULL;
  for (size_t i = 0; i < sizeof through / sizeof *through; i++) keeps |= strlen(through[i]) == n && memcmp(through[i], t, n) == 0;
  if (keeps) return;
  look(w, *s, READS_ALL);
  *s = 0;
}

/* Instructions that are known by their operands alone: registers that they read are looked at, one that they write holds no place. */
static void other(flow *w, const ins *i, uint32_t *r, uint32_t nregs) {
  op_format f = formats[i->op];
  if (f.a == 'R' || f.a == 'U') look(w, r[i->a], READS_ALL);
  if (f.b == 'R') look(w, r[i->b], READS_ALL);
  if (f.c == 'R') look(w, r[i->c], READS_ALL);
  uint32_t n = f.a != 'B' && f.b != 'B' ? 0 : i->op == OP_OBJ ? w->m->shapes[i->ext].n : i->op == OP_TPL ? i->c : i->op == OP_EFFECT ? w->m->effects[i->bx].nargs : i->op == OP_OUTCOME ? 2 : 0;
  uint32_t base = f.b == 'B' ? i->b : i->a;
  for (uint32_t k = 0; k < n && base + k < nregs; k++) look(w, r[base + k], READS_ALL);
  if (f.a == 'W' || f.a == 'U' || i->op == OP_EFFECT) r[i->a] = 0;
}

/* One instruction on the registers r. False: nothing comes behind it. Long because it is the table of them all. */
static bool execute(flow *w, const ins *i, uint32_t *r) {
  const module *m = w->m;
  const mod_func *g = &m->funcs[w->fi];
  func *f = &w->f[w->fi];
  switch ((vm_op)i->op) {
    case OP_MOVE: case OP_BUILD: case OP_TEXT: r[i->a] = r[i->b]; return true;
    case OP_PUSH: r[i->a] = join(w, r[i->a], r[i->b]); return true;
    case OP_UNION:
      look(w, r[i->b], READS_ALL); /* duplicates are left out */
      look(w, r[i->c], READS_ALL);
      r[i->a] = join(w, r[i->b], r[i->c]);
      return true;
    case OP_LIST: {
      uint32_t s = 0;
      for (uint32_t k = 0; k < i->c; k++) s = join(w, s, r[i->b + k]);
      r[i->a] = s;
      return true;
    }
    case OP_INDEX: look(w, r[i->c], READS_ALL); r[i->a] = r[i->b]; return true;
    case OP_MEMBER: {
      uint32_t n;
      const char *name = mod_text(m, i->ext, &n);
      r[i->a] = each(w, r[i->b], member, name, n, 0);
      return true;
    }
    case OP_ITER: r[i->a] = r[i->b]; r[i->a + 1] = r[i->a + 2] = r[i->a + 3] = 0; return true;
    case OP_NEXT: flow_to(w, (uint32_t)i->jump, r); r[i->a + 2] = r[i->a]; r[i->a + 3] = 0; return true;
    case OP_RANGE: look(w, join(w, r[i->a], r[i->a + 1]), READS_ALL); flow_to(w, (uint32_t)i->jump, r); r[i->a + 2] = r[i->a + 3] = 0; return true;
    case OP_CHECK: check(w, &m->checks[i->ext], &r[i->a]); return true;
    case OP_CALL: call(w, i->bx, &r[i->a]); return true;
    case OP_NATIVE: r[i->a] = call_native(w, i->bx, &r[i->a], m->natives[i->bx].nargs, NULL); return true;
    case OP_NATIVEK: r[i->a] = call_native(w, i->ext & 0xffff, &r[i->b], 1, &m->consts[i->ext >> 16]); return true;
    case OP_RET: {
      uint32_t s = join(w, f->out, r[i->a]);
      w->changed |= s != f->out;
      f->out = s;
      return false;
    }
    case OP_JMP: flow_to(w, (uint32_t)i->jump, r); return false;
    case OP_JMPT: case OP_JMPN: case OP_JMPF: case OP_JMPE: look(w, r[i->a], READS_SEEN); flow_to(w, (uint32_t)i->jump, r); return true;
    case OP_TRY: {
      uint32_t keep = r[i->a];
      r[i->a] = 0;
      flow_to(w, (uint32_t)i->jump, r);
      r[i->a] = keep;
      return true;
    }
    case OP_FORK: flow_to(w, (uint32_t)i->jump, r); return true;
    case OP_BEND:
      for (uint32_t k = 0; k < i->b && i->a + k < g->regs; k++) f->branch[i->a + k] = join(w, f->branch[i->a + k], r[i->a + k]);
      if (i->c) f->kept = join(w, f->kept, r[i->a]);
      return false;
    case OP_JOIN:
      for (uint32_t k = 0; k < g->regs; k++) r[k] = join(w, r[k], f->branch[k]);
      r[i->a] = f->kept;
      return true;
    case OP_REGION: case OP_RECYCLE: return true;
    case OP_OUTCOME: other(w, i, r, g->regs); return false;
    default:
      other(w, i, r, g->regs);
      if (i->jump >= 0) flow_to(w, (uint32_t)i->jump, r);
      return true;
  }
}

/* ---- functions */

static void follow(flow *w, uint32_t fi) {
  const mod_func *g = &w->m->funcs[fi];
  func *f = &w->f[fi];
  uint32_t r[256] = {0}, before = f->kept;
  w->fi = fi;
  w->ntodo = 0;
  memset(w->queued, 0, g->words);
  for (uint32_t i = 0; i < g->params; i++) r[i] = f->in[i];
  for (uint32_t k = 0; k < g->words; k++) /* what is known stays, but each place is looked at again: callees may give more now */
    if (f->states[k]) w->queued[k] = 1, w->todo[w->ntodo++] = k;
  flow_to(w, g->code, r);
  while (w->ntodo && !w->nomem && w->work < work_max) {
    uint32_t k = w->todo[--w->ntodo];
    w->queued[k] = 0;
    memcpy(r, f->states[k], g->regs * sizeof *r);
    for (uint32_t at = g->code + k; at < g->code + g->words;) {
      ins i = decode(w, at);
      w->work++;
      if (!execute(w, &i, r)) break;
      at = i.next;
      if (at - g->code < g->words && f->states[at - g->code]) { flow_to(w, at, r); break; }
    }
  }
  w->changed |= f->kept != before;
}

static bool prepare(flow *w) {
  const module *m = w->m;
  uint32_t words = 0;
  w->f = (func *)arena_zalloc(w->a, m->nfuncs + 1u, sizeof *w->f);
  w->natives = (uint8_t *)arena_zalloc(w->a, m->nnatives + 1u, 1);
  w->cap_sets = 256;
  w->sets = (const set **)arena_zalloc(w->a, w->cap_sets, sizeof *w->sets);
  w->nsets = 1;
  if (!w->f || !w->natives || !w->sets) return false;
  for (uint32_t i = 0; i < m->nnatives; i++) {
    uint32_t n;
    const char *name = mod_text(m, m->natives[i].name, &n);
    for (size_t k = 0; k < sizeof natives / sizeof *natives; k++)
      if (strlen(natives[k].name) == n && memcmp(natives[k].name, name, n) == 0) w->natives[i] = (uint8_t)natives[k].h;
  }
  for (uint32_t i = 0; i < m->nfuncs; i++) {
    const mod_func *g = &m->funcs[i];
    words = g->words > words ? g->words : words;
    w->f[i].in = (uint32_t *)arena_zalloc(w->a, g->params + 1u, sizeof(uint32_t));
    if (!w->f[i].in) return false;
  }
  w->todo = (uint32_t *)arena_zalloc(w->a, words + 1u, sizeof *w->todo);
  w->queued = (uint8_t *)arena_zalloc(w->a, words + 1u, 1);
  return w->todo && w->queued;
}

static bool room(flow *w, uint32_t fi) {
  const mod_func *g = &w->m->funcs[fi];
  func *f = &w->f[fi];
  if (f->states) return true;
  f->states = (uint32_t **)arena_zalloc(w->a, g->words + 1u, sizeof *f->states);
  f->branch = (uint32_t *)arena_zalloc(w->a, g->regs + 1u, sizeof *f->branch);
  return f->states && f->branch;
}

hdw_status reads_of(arena *a, const module *m, uint32_t fn, reads_kind kind, reads *out) {
  flow w = {.a = a, .m = m, .r = out, .kind = kind, .cap = 64};
  out->n = 0;
  out->v = (reads_node *)arena_zalloc(a, w.cap, sizeof *out->v);
  if (!out->v || !prepare(&w)) return HDW_E_NOMEM;
  out->n = 1;
  if (fn >= m->nfuncs || !m->funcs[fn].params) return HDW_OK;
  uint32_t root = 0;
  w.f[fn].in[0] = intern(&w, &root, 1);
  w.f[fn].reached = w.changed = true;
  for (int round = 0; w.changed && round < ROUNDS && w.work < work_max && !w.nomem; round++) {
    w.changed = false;
    for (uint32_t i = 0; i < m->nfuncs && !w.nomem; i++) {
      if (!w.f[i].reached) continue;
      if (!room(&w, i)) return HDW_E_NOMEM;
      follow(&w, i);
    }
  }
  look(&w, w.f[fn].out, READS_ALL); /* what the workflow returns */
  if (w.changed || w.work >= work_max) mark(&w, 0, READS_ALL); /* not followed to the end: nothing is said to be lost */
  return w.nomem ? HDW_E_NOMEM : HDW_OK;
}

/* drop msg.PD1: nothing happens; that it was given says that it is not wanted. */
hdw_status std_drop(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_drop(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)cx;
  (void)args;
  (void)n;
  *out = VAL_NONE;
  return HDW_OK;
}
