/* hl7_group.c - segments to groups of the message structure.
 *
 * Greedy, one pass. `place` keeps the path of child numbers to the segment matched last:
 *
 *   ORU_R01        0 MSH  1 PATIENT_RESULT
 *                           0 PATIENT        1 ORDER_OBSERVATION
 *                                              0 ORC 1 OBR 2 NTE 3 OBSERVATION
 *                                                                  0 OBX 1 NTE
 *   second OBX of a first order: path 1.1.3.0, depth 3, fresh 3 (a new OBSERVATION begins)
 *
 * For the next segment the search goes from the innermost open group outwards: further on in that group, then a new repetition of it. A
 * match that would enter a later group past its first segment waits until it is clear that no open group began with this very segment: the
 * standard's own grammars are ambiguous there (ORC after OBR in OML_O21 is the next order, not a prior result). What fits nowhere stays in
 * the group that is open. */
#include "hl7_int.h"

typedef struct matcher {
  const hl7_struct_node *root;
  hl7_place at;                        /* of the last match */
  uint32_t first[HL7_GROUP_DEPTH + 1]; /* name of the segment with which the open group at that depth began */
} matcher;

static uint32_t node_name(const hl7_struct_node *n) { return n->is_group ? 0 : hl7_name(n->name, strlen(n->name)); }

/* The group at a depth of the current path. */
static const hl7_struct_node *group_at(const matcher *x, const hl7_place *p, unsigned depth) {
  const hl7_struct_node *g = x->root;
  for (unsigned d = 0; d < depth; d++) g = &g->children[p->path[d]];
  return g;
}

typedef struct hit {
  bool found, lead; /* lead: nothing inside an entered group was passed over */
  hl7_place p;
} hit;

/* Looks for name among children from..to-1 of g, which stands at `depth`, entering groups. must: required segments may not be passed over
 * inside entered groups. The nesting of structures is bounded by HL7_GROUP_DEPTH. */
static void search(const hl7_struct_node *g, unsigned depth, unsigned from, unsigned to, uint32_t name, bool entered, bool must,
                   hl7_place path, hit *h) {
  for (unsigned i = from; i < to && !h->found; i++) {
    const hl7_struct_node *c = &g->children[i];
    path.path[depth] = (uint8_t)i;
    if (!c->is_group) {
      if (node_name(c) == name) {
        h->found = true;
        h->lead = !entered || i == from;
        h->p = path;
        h->p.depth = (uint8_t)depth;
        return;
      }
    } else if (depth < HL7_GROUP_DEPTH) {
      search(c, depth + 1, 0, c->n, name, true, must, path, h);
      if (h->found && entered && i != from) h->lead = false;
      if (h->found) return;
    }
    if (entered && must && c->required) return;
  }
}

static void settle(matcher *x, hit *h, unsigned fresh, uint32_t name) {
  x->at = h->p;
  x->at.fresh = fresh <= h->p.depth ? (uint8_t)fresh : HL7_PLACE_NONE;
  for (unsigned d = fresh; d <= h->p.depth; d++) x->first[d] = name;
}

/* A new repetition of the open group at depth d. */
static bool repeat(matcher *x, unsigned d, uint32_t name, hit *h) {
  const hl7_struct_node *g = group_at(x, &x->at, d);
  if (d == 0 || !g->repeats) return false;
  *h = (hit){0};
  search(g, d, 0, g->n, name, true, true, x->at, h);
  return h->found;
}

/* Repetition of an enclosing group that began with the same segment, from depth d outwards. */
static bool began_so(matcher *x, unsigned d, uint32_t name) {
  hit h;
  for (; d > 0; d--)
    if (x->first[d] == name && repeat(x, d, name, &h) && h.lead) {
      settle(x, &h, d, name);
      return true;
    }
  return false;
}

static bool match(matcher *x, uint32_t name) {
  for (unsigned d = x->at.depth + 1u; d-- > 0;) {
    const hl7_struct_node *g = group_at(x, &x->at, d);
    unsigned cur = x->at.path[d];
    hit h = {0};
    if (d == x->at.depth && cur < g->n && g->children[cur].repeats && node_name(&g->children[cur]) == name) {
      x->at.fresh = HL7_PLACE_NONE;
      return true;
    }
    search(g, d, cur == HL7_PLACE_NONE ? 0 : cur + 1, g->n, name, false, true, x->at, &h);
    if (h.found) {
      if (h.p.depth > d && !h.lead && began_so(x, d, name)) return true;
      settle(x, &h, d + 1, name);
      return true;
    }
    if (repeat(x, d, name, &h)) {
      settle(x, &h, d, name);
      return true;
    }
  }
  for (unsigned d = x->at.depth + 1u; d-- > 0;) { /* once more, past missing required segments */
    const hl7_struct_node *g = group_at(x, &x->at, d);
    hit h = {0};
    search(g, d, x->at.path[d] == HL7_PLACE_NONE ? 0 : x->at.path[d] + 1u, g->n, name, false, false, x->at, &h);
    if (h.found) {
      settle(x, &h, d + 1, name);
      return true;
    }
  }
  return false;
}

const hl7_struct_node *hl7_root(const hl7_msg *m) {
  hl7_index *ix = m->index;
  if (!ix->root && !ix->asked && m->schema && m->schema->structure && m->nsegs && m->segs[0].name == HL7_NAME('M', 'S', 'H')) {
    hl7_slice name;
    ix->root =
        m->schema->structure(m->schema->user, hl7_raw(m, 0, 9, 0, 1, 1), hl7_raw(m, 0, 9, 0, 2, 1), hl7_raw(m, 0, 9, 0, 3, 1), &name);
    ix->asked = true;
  }
  return ix->root;
}

void hl7_set_structure(hl7_msg *m, const hl7_struct_node *root) {
  m->index->root = root;
  m->index->placed = false;
}

/* Fills the places of all segments, once. */
static const hl7_struct_node *place_all(const hl7_msg *m) {
  const hl7_struct_node *root = hl7_root(m);
  hl7_index *ix = m->index;
  if (!root || ix->placed) return root;
  matcher x = {.root = root, .at = {.fresh = HL7_PLACE_NONE}};
  memset(x.at.path, HL7_PLACE_NONE, sizeof x.at.path);
  for (uint32_t i = 0; i < m->nsegs; i++) {
    if (match(&x, m->segs[i].name)) {
      for (unsigned d = x.at.depth + 1u; d <= HL7_GROUP_DEPTH; d++) x.at.path[d] = HL7_PLACE_NONE;
      ix->places[i] = x.at;
    } else {
      ix->places[i] = x.at;
      ix->places[i].fresh = HL7_PLACE_NONE;
      ix->places[i].path[x.at.depth] = HL7_PLACE_NONE;
    }
  }
  ix->placed = true;
  return root;
}

/* Groups below one message or group node. */
static hdw_status groups_of(vm_cx *cx, const hl7_node *n, const char *name, size_t len, val_builder *b) {
  const hl7_msg *m = n->m;
  const hl7_struct_node *g = place_all(m);
  uint32_t from, to;
  if (!g || n->level > HL7_GROUP || !hl7_range(n, &from, &to) || from >= to) return HDW_OK;
  unsigned depth = n->level == HL7_GROUP ? n->depth : 0;
  const hl7_place *pl = m->index->places;
  for (unsigned d = 0; d < depth; d++) g = &g->children[pl[from].path[d]];
  unsigned child = 0;
  while (child < g->n &&
         !(g->children[child].is_group && strlen(g->children[child].name) == len && memcmp(g->children[child].name, name, len) == 0))
    child++;
  if (child == g->n) return HDW_OK;
  hdw_status s = vm_charge(cx, to - from);
  hl7_node o = {.m = m, .level = HL7_GROUP, .depth = (uint8_t)(depth + 1)};
  bool open = false;
  val v;
  for (uint32_t i = from; i <= to && !s; i++) {
    bool in = i < to && pl[i].depth > depth && pl[i].path[depth] == child;
    if (open && (!in || pl[i].fresh <= depth + 1)) {
      o.seg_end = i;
      open = false;
      s = hl7_node_new(cx->a, &o, &v);
      if (!s) s = val_push(cx->a, b, v);
    }
    if (in && !open) {
      o.seg = i;
      open = true;
    }
  }
  return s;
}

hdw_status hl7_group(vm_cx *cx, val base, const char *name, size_t len, val *out) {
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < val_count(base) && !s; i++) {
    const hl7_node *n = hl7_of(val_item(base, i));
    if (n) s = groups_of(cx, n, name, len, &b);
  }
  *out = val_build(&b);
  return s;
}
