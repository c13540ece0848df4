/* engine_loss.c - loss accounting: what arrived in inputs and no workflow reads or drops, by sender and path.
 *
 * What a workflow reads is known from its code (reads.h), once for each version, when its first input comes. From then on a message is only compared: its
 * segments and non-empty fields against bits.
 *
 *   reads of all workflows that want the message   PID {3,5,7}  OBX all
 *   the message                                    PID|1||4711||SMITH||19800101|F   ->  PID-1, PID-8
 *                                                  NK1|1|...                        ->  NK1, as a whole
 *
 * A path counts once for a message, however often it occurs. Senders (MSH-3) and paths come from outside, so there are at most LOSS_SENDERS of LOSS_PATHS each; what
 * goes beyond is counted together. Nothing of this is durable: it begins anew with the process. Paths carry no values. */
#include <stdio.h>
#include "dict.h"
#include "engine_int.h"
#include "fhir.h"
#include "metrics.h"
#include "reads.h"

enum { LOSS_SENDERS = 100, LOSS_PATHS = 400, LOSS_SLOTS = 1024, LOSS_SENDER_MAX = 60, LOSS_PATH_MAX = 120, LOSS_DEPTH = 40 };

/* ---- what a workflow reads ----------------------------------------------------------------------------------------------------------- */

typedef struct seg_reads { uint32_t name; bool all, some; uint64_t fields[4]; } seg_reads; /* fields beyond 255 count as read */
typedef struct eng_reads {
  bool made, all;
  seg_reads *segs; uint32_t nsegs;   /* by name */
  reads tree;                        /* JSON */
} eng_reads;

static bool wanted(uint8_t marks) { return (marks & (READS_ALL | READS_DROPPED)) != 0; }

/* The engine itself reads these of MSH. */
static const uint8_t msh_fields[] = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 18};

static bool compile_hl7(eng_app *app, const reads *t, eng_reads *out) {
  uint32_t n = 1;
  for (uint32_t i = t->v[0].first; i; i = t->v[i].next) n++;
  out->all = wanted(t->v[0].marks);
  out->segs = (seg_reads *)arena_zalloc(&app->a, n, sizeof *out->segs);
  if (!out->segs) return false;
  seg_reads *msh = &out->segs[out->nsegs++];
  msh->name = HL7_NAME('M', 'S', 'H'), msh->some = true;
  for (size_t k = 0; k < sizeof msh_fields; k++) msh->fields[0] |= UINT64_C(1) << msh_fields[k];
  for (uint32_t i = t->v[0].first; i; i = t->v[i].next) {
    const reads_node *x = &t->v[i];
    uint32_t name = hl7_name(x->name, x->len);
    if (!name) continue;
    seg_reads *s = name == msh->name ? msh : &out->segs[out->nsegs++];
    s->name = name;
    s->all = wanted(x->marks);
    for (uint32_t k = x->first; k; k = t->v[k].next) {
      const reads_node *f = &t->v[k];
      if (!f->marks || f->field > 255) continue;
      s->some = true;
      s->fields[f->field / 64] |= UINT64_C(1) << f->field % 64;
    }
  }
  return true;
}

/* NULL: no memory; then nothing is counted. */
static const eng_reads *reads_for(engine *e, eng_app *app, const meta_workflow *wf, reads_kind kind) {
  uint32_t i = (uint32_t)(wf - app->meta.workflows);
  if (!app->reads) app->reads = (eng_reads *)arena_zalloc(&app->a, app->meta.nworkflows, sizeof *app->reads);
  if (!app->reads) return NULL;
  eng_reads *r = &app->reads[i];
  if (r->made) return r;
  arena scratch;
  reads t;
  arena_init(&scratch, e->mem, (size_t)e->o.config->top.run_memory_bytes);
  hdw_status s = reads_of(kind == READS_JSON ? &app->a : &scratch, &app->m, wf->func, kind, &t);
  if (!s && kind == READS_HL7 && !compile_hl7(app, &t, r)) s = HDW_E_NOMEM;
  if (kind == READS_JSON) r->tree = t;
  r->made = true;
  r->all |= s != HDW_OK; /* what could not be found out is not reported */
  arena_free(&scratch);
  return r;
}

/* ---- counts --------------------------------------------------------------------------------------------------------------------------- */

typedef struct loss_path {
  uint64_t key;              /* HL7: segment << 16 | field; JSON: hash of the path with the top bit set. 0 = free */
  uint64_t inputs, seen;     /* seen: number of the input that it was counted for last */
  int64_t last_us;
  const char *text;          /* JSON */
} loss_path;
typedef struct loss_sender {
  char name[LOSS_SENDER_MAX + 1];
  uint64_t inputs, lossy, beyond;
  uint32_t npaths;
  loss_path *paths;          /* LOSS_SLOTS */
} loss_sender;
struct eng_loss {
  arena a;
  loss_sender *senders; uint32_t nsenders;
  uint64_t number;           /* of the present input */
  /* of the present input */
  engine *e;
  loss_sender *s;
  uint32_t unread;
};

static eng_loss *loss_of(engine *e) {
  if (e->loss) return e->loss;
  eng_loss *l = (eng_loss *)eng_get(e, sizeof *l);
  if (!l) return NULL;
  *l = (eng_loss){.e = e};
  arena_init(&l->a, e->mem, 0);
  l->senders = (loss_sender *)arena_zalloc(&l->a, LOSS_SENDERS + 1, sizeof *l->senders);
  if (!l->senders) {
    arena_free(&l->a);
    eng_put(e, l, sizeof *l);
    return NULL;
  }
  return e->loss = l;
}

void eng_loss_free(engine *e) {
  if (!e->loss) return;
  arena_free(&e->loss->a);
  eng_put(e, e->loss, sizeof *e->loss);
  e->loss = NULL;
}

static loss_sender *sender_of(eng_loss *l, cod_str name) {
  char t[LOSS_SENDER_MAX + 1];
  size_t n = name.len > LOSS_SENDER_MAX ? LOSS_SENDER_MAX : name.len;
  for (size_t i = 0; i < n; i++) t[i] = name.p[i] < 0x20 || name.p[i] > 0x7E ? '?' : (char)name.p[i];
  t[n] = 0;
  uint32_t i = 0;
  while (i < l->nsenders && strcmp(l->senders[i].name, t)) i++;
  if (i == l->nsenders && i == LOSS_SENDERS) snprintf(t, sizeof t, "(others)");
  loss_sender *s = &l->senders[i];
  if (s->paths) return s;
  s->paths = (loss_path *)arena_zalloc(&l->a, LOSS_SLOTS, sizeof *s->paths);
  if (!s->paths) return NULL;
  memcpy(s->name, t, sizeof t);
  if (i < LOSS_SENDERS) l->nsenders = i + 1;
  return s;
}

static void unread(eng_loss *l, uint64_t key, const char *text, size_t len) {
  loss_sender *s = l->s;
  uint64_t h = key * UINT64_C(0x9E3779B97F4A7C15) >> 40;
  loss_path *p;
  for (; (p = &s->paths[h & (LOSS_SLOTS - 1)])->key && p->key != key; h++) {}
  if (!p->key) {
    if (s->npaths == LOSS_PATHS || (text && !(p->text = arena_dup(&l->a, text, len)))) {
      s->beyond++;
      return;
    }
    p->key = key;
    s->npaths++;
  }
  if (p->seen == l->number) return;
  p->seen = l->number;
  p->inputs++;
  p->last_us = io_wall_us(l->e->io);
  l->unread++;
}

static bool begin(eng_loss *l, cod_str sender) {
  l->s = sender_of(l, sender);
  l->number++;
  l->unread = 0;
  return l->s != NULL;
}

static void end(eng_loss *l, const char *listener) {
  l->s->inputs++;
  if (!l->unread) return;
  l->s->lossy++;
  metrics_add(l->e->metrics, M_UNREAD, l->unread, listener, NULL, NULL);
  metrics_add(l->e->metrics, M_LOSSY, 1, listener, NULL, NULL);
}

/* ---- HL7 ------------------------------------------------------------------------------------------------------------------------------ */

/* What all of them together read of a segment. */
static seg_reads together(const eng_reads *const *r, uint32_t n, uint32_t name) {
  seg_reads out = {.name = name};
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < r[i]->nsegs; k++) {
      const seg_reads *s = &r[i]->segs[k];
      if (s->name != name) continue;
      out.all |= s->all, out.some |= s->some;
      for (int j = 0; j < 4; j++) out.fields[j] |= s->fields[j];
    }
  return out;
}

static void segment(eng_loss *l, const hl7_msg *m, const hl7_segment *g, const seg_reads *r) {
  if (r->all) return;
  if (!r->some) {
    unread(l, (uint64_t)g->name << 16, NULL, 0);
    return;
  }
  const char *p = m->bytes + g->off, *stop = p + g->len;
  bool head = g->name == HL7_NAME('M', 'S', 'H');
  for (unsigned field = head; p && p < stop && field < 256; field++) {
    const char *bar = (const char *)memchr(p, m->d.field, (size_t)(stop - p)), *to = bar ? bar : stop;
    if (field > head && to > p && !(r->fields[field / 64] >> field % 64 & 1)) unread(l, (uint64_t)g->name << 16 | field, NULL, 0);
    p = bar ? bar + 1 : NULL;
  }
}

/* The workflows that want it, with what they read; 0 when nothing is to be counted. */
static uint32_t readers(engine *e, const eng_verdict *v, reads_kind kind, const eng_reads *out[REC_MAX_RUNS]) {
  for (uint32_t i = 0; i < v->n; i++) {
    out[i] = reads_for(e, v->wants[i].app, v->wants[i].wf, kind);
    if (!out[i] || out[i]->all) return 0;
  }
  return v->n;
}

void eng_loss_hl7(eng_message *m, const hl7_msg *msg, const eng_verdict *v) {
  engine *e = m->e;
  const eng_reads *r[REC_MAX_RUNS];
  eng_loss *l = e->o.config->top.loss ? loss_of(e) : NULL;
  if (!l || !v->n || !begin(l, cod_bytes(m->head.app.p, m->head.app.len))) return;
  uint32_t n = readers(e, v, READS_HL7, r);
  seg_reads now = {0};
  for (uint32_t i = 0; n && i < msg->nsegs; i++) {
    const hl7_segment *g = &msg->segs[i];
    if (g->name != now.name) now = together(r, n, g->name);
    segment(l, msg, g, &now);
  }
  end(l, m->src->listener);
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------------------------- */

typedef struct json_walk {
  eng_loss *l;
  arena *a;
  const eng_reads *r[REC_MAX_RUNS];
  uint32_t n;
  char path[LOSS_PATH_MAX + 1];
} json_walk;

/* Of each workflow the node that stands for the present value; MOD_NO_INDEX: it knows nothing of it. */
typedef struct json_at { uint32_t node[REC_MAX_RUNS]; } json_at;

static bool is_read(const json_walk *w, const json_at *at, bool leaf) {
  for (uint32_t i = 0; i < w->n; i++)
    if (at->node[i] != MOD_NO_INDEX) {
      const reads_node *x = &w->r[i]->tree.v[at->node[i]];
      if (wanted(x->marks) || (leaf && x->marks) || x->depth >= READS_DEPTH) return true; /* deeper than is known */
    }
  return false;
}

static bool is_known(const json_walk *w, const json_at *at) {
  for (uint32_t i = 0; i < w->n; i++)
    if (at->node[i] != MOD_NO_INDEX) return true;
  return false;
}

/* A member, by its name; by the name of its choice element (valueQuantity is read as value); _birthDate goes with birthDate. */
static uint32_t child(const reads *t, uint32_t node, const char *name, size_t len) {
  if (len > 1 && name[0] == '_') name++, len--;
  uint32_t i = reads_child(t, node, name, len, 0);
  for (uint32_t k = t->v[node].first; !i && k; k = t->v[k].next) {
    const reads_node *x = &t->v[k];
    if (x->name && x->len && x->len < len && memcmp(x->name, name, x->len) == 0 && name[x->len] >= 'A' && name[x->len] <= 'Z') i = k;
  }
  return i ? i : MOD_NO_INDEX;
}

static void json_unread(json_walk *w, size_t len) {
  uint64_t h = UINT64_C(1469598103934665603);
  for (size_t i = 0; i < len; i++) h = (h ^ (uint8_t)w->path[i]) * UINT64_C(0x100000001b3);
  unread(w->l, h | UINT64_C(1) << 63, w->path, len);
}

/* Names of members that look like names: a key that may be a value is shown as *. */
static bool plain_name(const char *s, size_t n) {
  if (n == 0 || n > 40) return false;
  for (size_t i = 0; i < n; i++)
    if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' || (i && s[i] >= '0' && s[i] <= '9'))) return false;
  return s[0] >= 'a' || s[0] == '_';
}

static void walk(json_walk *w, val x, const json_at *at, size_t len, int depth);

static void walk_member(json_walk *w, val key, val x, const json_at *at, size_t len, int depth) {
  json_at next;
  const char *name = key.u.s;
  size_t n = key.len;
  if (x.tag == VAL_NULL || (n == 12 && memcmp(name, "resourceType", 12) == 0)) return;
  for (uint32_t i = 0; i < w->n; i++) next.node[i] = at->node[i] == MOD_NO_INDEX ? MOD_NO_INDEX : child(&w->r[i]->tree, at->node[i], name, n);
  if (!plain_name(name, n)) name = "*", n = 1;
  if (len + 1 + n > LOSS_PATH_MAX) return;
  w->path[len] = '.';
  memcpy(w->path + len + 1, name, n);
  len += 1 + n;
  if (!is_known(w, &next)) json_unread(w, len);
  else walk(w, x, &next, len, depth + 1);
}

static void walk(json_walk *w, val x, const json_at *at, size_t len, int depth) {
  if (depth > LOSS_DEPTH || is_read(w, at, false)) return;
  if (x.tag == VAL_LIST) {
    for (uint32_t i = 0; i < x.len; i++) walk(w, x.u.v[i], at, len, depth + 1);
    return;
  }
  if (x.tag != VAL_OBJ) {
    if (x.tag != VAL_NULL && !is_read(w, at, true)) json_unread(w, len);
    return;
  }
  const val *type = val_obj_get(x, val_key("resourceType", 12));
  if (type && type->tag == VAL_STR && fhir_resource(type->u.s, type->len)) { /* paths begin at the resource */
    memcpy(w->path, type->u.s, type->len);
    len = type->len;
  }
  char keep[LOSS_PATH_MAX];
  memcpy(keep, w->path, len);
  for (uint32_t i = 0; i < x.len; i++) {
    walk_member(w, x.u.v[2 * i], x.u.v[2 * i + 1], at, len, depth);
    memcpy(w->path, keep, len);
  }
}

void eng_loss_json(eng_message *m, val input, const eng_verdict *v) {
  engine *e = m->e;
  eng_loss *l = e->o.config->top.loss && e->o.config->top.loss_json ? loss_of(e) : NULL;
  const val *body = input.tag == VAL_OBJ ? val_obj_get(input, val_key("body", 4)) : NULL;
  if (!l || !v->n || !body || (body->tag != VAL_OBJ && body->tag != VAL_LIST)) return;
  if (!begin(l, cod_cstr(m->src->identity ? m->src->identity : m->src->listener))) return;
  json_walk w = {.l = l, .a = &m->a};
  json_at at;
  w.n = readers(e, v, READS_JSON, w.r);
  for (uint32_t i = 0; i < w.n; i++) at.node[i] = child(&w.r[i]->tree, 0, "body", 4);
  memcpy(w.path, "body", 4);
  if (w.n && !is_known(&w, &at)) json_unread(&w, 4);
  else if (w.n) walk(&w, *body, &at, 4, 0);
  end(l, m->src->listener);
}

/* ---- looking in ----------------------------------------------------------------------------------------------------------------------- */

static void describe(const loss_path *p, engine_loss *out) {
  char seg[4];
  dict_info f;
  out->title = "";
  if (p->text) {
    snprintf(out->path, sizeof out->path, "%s", p->text);
    return;
  }
  unsigned field = (unsigned)(p->key & 0xffff);
  hl7_name_text((uint32_t)(p->key >> 16), seg);
  int id = dict_segment(seg, 3);
  if (field) snprintf(out->path, sizeof out->path, "%s-%u", seg, field);
  else snprintf(out->path, sizeof out->path, "%s", seg);
  if (id >= 0) out->title = field ? (dict_field(id, field, &f) ? f.name : "") : dict_segment_title(id);
}

void engine_losses(const engine *e, void (*fn)(void *user, const engine_loss *l), void *user) {
  const eng_loss *l = e->loss;
  for (uint32_t i = 0; l && i <= LOSS_SENDERS; i++) {
    const loss_sender *s = &l->senders[i];
    engine_loss x = {.sender = s->name, .sender_inputs = s->inputs, .sender_lossy = s->lossy, .title = ""};
    for (uint32_t k = 0; s->paths && k < LOSS_SLOTS; k++) {
      if (!s->paths[k].key) continue;
      x.inputs = s->paths[k].inputs;
      x.last_us = s->paths[k].last_us;
      describe(&s->paths[k], &x);
      fn(user, &x);
    }
    if (!s->beyond) continue;
    x.inputs = s->beyond, x.title = "further paths, counted together";
    snprintf(x.path, sizeof x.path, "(others)");
    fn(user, &x);
  }
}
