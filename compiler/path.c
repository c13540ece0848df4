/* path.c - member access: FHIR elements, payload fields, HL7 v2 groups, segments, fields and components, checked against their models. */
#include "comp_int.h"
#include "hl7.h"
#include <stdio.h>
#include <string.h>

void member_load(comp *c, str name, int r, int dst) {
  emit_ext(&c->e, c->f->fn, OP_MEMBER, (uint32_t)dst, (uint32_t)r, 0, emit_str(&c->e, name.p, name.len));
}

/* NATIVEK: native of one value and a constant. */
static void nativek(comp *c, const char *name, int r, val k, int dst) {
  uint32_t nv = emit_native(&c->e, name, 2), kk = emit_val(&c->e, k);
  if (kk > 0xffff || nv > 0xffff) { /* too many constants for the short form */
    int top = c->f->top, w = regs_new(c, 2);
    op3(c, OP_MOVE, w, r, 0);
    emit_loadk(&c->e, c->f->fn, (uint32_t)w + 1, kk);
    emit_bx(&c->e, c->f->fn, OP_NATIVE, (uint32_t)w, nv);
    op3(c, OP_MOVE, dst, w, 0);
    c->f->top = top;
    return;
  }
  emit_ext(&c->e, c->f->fn, OP_NATIVEK, (uint32_t)dst, (uint32_t)r, 0, nv | kk << 16);
}

/* Inside a criterion a bare name is an element of each item: who means the variable of that name writes %name. */
void variable_note(comp *c, diag *d, const ast *n, str name) {
  if (!c->f->nscope || c->is_eval || (n->off > 0 && c->u->src[n->off - 1] == '.')) return;
  if (!find_local(c, name) && !find_decl(c, name)) return;
  diag_note(c->d, d, "inside a criterion a bare name is an element of each item; what has this name outside is %%%.*s", STR(name));
  diag_replace(c->d, d, n->off, n->end, fmt(c, "%%%.*s", STR(name)), "the value outside");
}

/* ---- HL7 v2 */

/* How often a segment can occur in a structure. */
static bool seg_many(int structure, int seg) {
  if (structure < 0) {
    static const char *const once[] = {"MSH", "MSA", "EVN", "PID", "QPD", "QAK", "SCH", "TXA", "PV1", "MRG", "RCP"};
    const char *s = seg >= 0 ? dict_segment_name(seg) : "";
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
      if (strcmp(once[i], s) == 0) return false;
    return true;
  }
  if (seg < 0) return true;
  const char *s = dict_segment_name(seg);
  uint16_t path[DICT_DEPTH_MAX];
  unsigned n = dict_structure_path(structure, s, strlen(s), path);
  for (unsigned i = 0; i < n; i++)
    if (dict_node_at(path[i])->max != 1) return true;
  return n == 0;
}

static int seg_decl(comp *c, str name) {
  decl *d = find_decl(c, name);
  return d && d->kind == D_SEGMENT ? (int)(d - c->decls) : -1;
}

static ty seg_type(comp *c, int seg, str name, bool many, uint8_t label) {
  ty t = ty_make(TY_HL7_SEG, 0, many);
  t.ref = seg;
  t.sub = seg_decl(c, name);
  t.label = label;
  return t;
}

static bool looks_like_segment(str n) { return n.len == 3 && hl7_name(n.p, 3) != 0; }

/* msg.PID, msg.PATIENT_RESULT, group.OBX */
static ty hl7_group_member(comp *c, ty recv, int r, ast *n, str name, int dst) {
  member_load(c, name, r, dst);
  int seg = dict_segment(name.p, name.len);
  const dict_node *node = NULL;
  uint16_t first = 0;
  unsigned count = 0;
  if (recv.kind == TY_HL7_MSG && recv.ref >= 0) first = dict_structure_root(recv.ref, &count);
  if (recv.kind == TY_HL7_GROUP) { const dict_node *g = dict_node_at((uint16_t)recv.ref); first = g->first; count = g->n; }
  if (count) node = dict_node_child(first, count, name.p, name.len);
  if (node && (node->flags & DICT_NODE_GROUP)) {
    ty t = ty_make(TY_HL7_GROUP, 0, recv.many || node->max != 1);
    for (unsigned i = 0; i < count; i++)
      if (dict_node_at((uint16_t)(first + i)) == node) t.ref = (int32_t)(first + i);
    t.label = recv.label;
    return t;
  }
  if (node) return seg_type(c, seg, name, recv.many || node->max != 1, recv.label);
  if (recv.kind == TY_HL7_MSG && looks_like_segment(name) && (seg >= 0 || name.p[0] == 'Z' || seg_decl(c, name) >= 0)) {
    if (recv.ref >= 0 && seg >= 0 && name.p[0] != 'Z' && !dict_structure_has(recv.ref, seg)) {
      diag *d = err(c, W0308, n, "%s has no segment %.*s", dict_structure_name(recv.ref), STR(name));
      diag_note(c->d, d, "it is read where a sender puts one in; declare it in the sender if this is meant");
    }
    return seg_type(c, seg, name, recv.many || seg_many(recv.ref, seg), recv.label);
  }
  if (recv.ref < 0 && recv.kind == TY_HL7_MSG) {
    if (c->lenient) return ty_label(ty_make(TY_ANY, 0, true), recv.label);
    bool group = name.len > 3;
    diag *d = err(c, E0204, n, group ? "which structure this message has is not known here, so '%.*s' cannot be checked" : "there is no segment '%.*s'", STR(name));
    if (group) diag_note(c->d, d, "give the parameter or trigger one message type, for example ORU_R01");
    return ty_one(TY_ERR);
  }
  nearest near;
  nearest_init(&near, name.p, name.len);
  dict_nearest_node(&near, first, count);
  diag *d = err(c, E0204, n, "there is no segment or group '%.*s' in %s", STR(name),
                recv.kind == TY_HL7_MSG ? dict_structure_name(recv.ref) : dict_node_name(dict_node_at((uint16_t)recv.ref)));
  suggest(c, d, n, &near);
  if (recv.kind == TY_HL7_MSG && recv.ref >= 0) {
    uint16_t path[DICT_DEPTH_MAX];
    unsigned depth = dict_structure_path(recv.ref, name.p, name.len, path);
    if (depth > 1) {
      char text[200];
      size_t k = 0;
      for (unsigned i = 0; i < depth && k < sizeof text; i++) k += (size_t)snprintf(text + k, sizeof text - k, "%s%s", i ? "." : "", dict_node_name(dict_node_at(path[i])));
      diag_replace(c->d, d, n->off, n->end, fmt(c, "%s", text), "it is inside a group");
    }
  }
  return ty_one(TY_ERR);
}

/* Packed path of hl7.get: seg 24 bits, first-segment-only 1, field 13, repetition+1 10, component 8, sub-component 8. */
static val packed(const ast_hl7 *p, bool first_only, int rep) {
  uint64_t x = (uint64_t)hl7_name(p->seg, 3) << 40 | (uint64_t)first_only << 39 | (uint64_t)(p->field & 8191) << 26 | (uint64_t)((rep + 1) & 1023) << 16 |
               (uint64_t)((p->comp < 0 ? 0 : p->comp) & 255) << 8 | (uint64_t)((p->sub < 0 ? 0 : p->sub) & 255);
  return val_long((int64_t)x);
}

static ty hl7_type(int dt, int seg, int fieldno, bool many, uint8_t label) {
  ty t = ty_make(TY_HL7, 0, many);
  t.ref = dt;
  t.sub = seg >= 0 ? seg << 16 | fieldno : -1;
  t.label = label | TY_SOFT;
  return t;
}

/* Component n of data type dt exists? Older versions' types of the field (sub: segment << 16 | field, or -1) count too: SCH-11 was TQ.
 * Reports at `at`; gives its type, -1 when unknown, -2 after a report. */
static int component_type(comp *c, int dt, int32_t sub, int n, const ast *at, const char *where) {
  if (dt < 0) return -1;
  dict_info info;
  if (dict_component(dt, (unsigned)n, &info)) return info.type;
  for (unsigned v = DICT_VERSIONS; sub >= 0 && v-- > 0;) {
    int old = dict_field_type_in(sub >> 16, (unsigned)(sub & 0xffff), v);
    if (old >= 0 && dict_component(old, (unsigned)n, &info)) return info.type;
    if (old >= 0 && dict_datatype_kind(old) == DICT_VARIES) return -1;
  }
  dict_kind k = dict_datatype_kind(dt);
  if (k == DICT_VARIES) return -1;
  unsigned count = dict_component_count(dt);
  if (n == 1 && k != DICT_COMPOSITE) return dt; /* a primitive is its own first component */
  diag *d = err(c, E0206, at, k == DICT_COMPOSITE ? "%s is %s, which has %u components: there is no %d" : "%s is %s, which has no components%.0u: there is no %d", where,
                dict_datatype_name(dt), count, n);
  if (k == DICT_COMPOSITE) diag_note(c->d, d, "%s: %s", dict_datatype_name(dt), dict_datatype_title(dt));
  return -2;
}

static bool sender_repeats(comp *c, const ast_hl7 *p) {
  char want[16];
  if (!c->nrepeats) return false;
  snprintf(want, sizeof want, "%s-%d", p->seg, p->field);
  for (uint32_t i = 0; i < c->nrepeats; i++)
    if (str_is(c->repeats[i], want)) return true;
  return false;
}

static void sender_version(comp *c, const ast *n, const ast_hl7 *p, const dict_info *f) {
  int v = c->f->version;
  if (v < 0 || (v >= f->since && v <= f->until)) return;
  bool later = v < f->since;
  diag *d = err(c, W0307, n, "%s-%d %s HL7 v%s, but %.*s declares v%s", p->seg, p->field, later ? "came with" : "was withdrawn after",
                dict_version_name(later ? f->since : f->until), STR(c->f->sender->name), dict_version_name((unsigned)v));
  diag_also(c->d, d, c->f->sender->u->file, c->f->sender->node->first->off, c->f->sender->node->first->end, "declared here");
}

static void unknown_segment(comp *c, const ast *n, const ast_hl7 *p) {
  nearest near;
  nearest_init(&near, p->seg, 3);
  near.limit = 1;
  dict_nearest_segment(&near);
  const char swapped[2][4] = {{p->seg[1], p->seg[0], p->seg[2], 0}, {p->seg[0], p->seg[2], p->seg[1], 0}}; /* PDI is PID, not PD1 */
  for (int i = 0; i < 2; i++) {
    int seg = dict_segment(swapped[i], 3);
    if (seg < 0) continue;
    near.n = 1;
    near.hit[0].name = dict_segment_name(seg);
    near.hit[0].len = 3;
  }
  diag *d = err(c, E0204, n, "there is no segment %s in HL7 v2", p->seg);
  if (near.n) {
    str rest = node_text(c, n);
    diag_replace(c->d, d, n->off, n->end, fmt(c, "%.*s%.*s", (int)near.hit[0].len, near.hit[0].name, (int)rest.len - 3, rest.p + 3), fmt(c, "did you mean %.*s?", (int)near.hit[0].len, near.hit[0].name));
  }
  diag_note(c->d, d, "a site's own segments begin with Z");
}

ty hl7_path_on(comp *c, ty recv, int r, ast *n, int dst) {
  ast_hl7 p;
  if (recv.kind == TY_ERR) return recv;
  if (ast_parse_hl7(c->u->src, n, &p) || p.field > 8191 || p.field < 1 || p.comp > 255 || p.sub > 255 || p.rep > 1000) {
    err(c, E0205, n, "this path has a number that HL7 does not have");
    return ty_one(TY_ERR);
  }
  if (!ty_is_hl7(recv) && recv.kind != TY_ANY) {
    err(c, E0204, n, "'%.*s' is read from an HL7 message or segment, this is %s", STR(node_text(c, n)), ty_text(c, recv));
    return ty_one(TY_ERR);
  }
  int seg = dict_segment(p.seg, 3), dt = -1;
  uint8_t label = strcmp(p.seg, "MSH") == 0 || strcmp(p.seg, "MSA") == 0 ? 0 : (uint8_t)(recv.label | TY_PHI);
  bool many = recv.many, first = false, z = p.seg[0] == 'Z';
  if (recv.kind == TY_HL7_SEG && recv.ref >= 0 && seg != recv.ref) {
    err(c, E0204, n, "this is a segment %s, it has no %s", dict_segment_name(recv.ref), p.seg);
    return ty_one(TY_ERR);
  }
  if (seg < 0 && !z && !c->lenient) { unknown_segment(c, n, &p); return ty_one(TY_ERR); }
  if (recv.kind == TY_HL7_MSG) {
    bool sm = seg_many(recv.ref, seg);
    many |= sm;
    first = !sm && p.rep < 0;
    if (recv.ref >= 0 && seg >= 0 && !z && !dict_structure_has(recv.ref, seg)) {
      diag *d = err(c, W0308, n, "%s has no segment %s", dict_structure_name(recv.ref), p.seg);
      diag_note(c->d, d, "it is read where a sender puts one in");
    }
  } else if (recv.kind == TY_HL7_GROUP || recv.kind == TY_ANY) {
    many = true;
  }
  int rep = p.rep;
  dict_info f;
  bool known = seg >= 0 && dict_field(seg, (unsigned)p.field, &f);
  if (known) {
    dt = f.type;
    sender_version(c, n, &p, &f);
    if (p.rep < 0) {
      /* a maximum of 1 is never trusted: the first repetition is taken; what varies may repeat (QPD-3) */
      if (f.max == 1 && dict_datatype_kind(f.type) != DICT_VARIES && !sender_repeats(c, &p)) rep = 0; else many = true;
    }
  } else if (seg >= 0 && !z) {
    if (!c->lenient) {
      diag *d = err(c, E0205, n, "%s has no field %d", p.seg, p.field);
      diag_note(c->d, d, "%s (%s) has %u fields", p.seg, dict_segment_title(seg), dict_field_count(seg));
      return ty_one(TY_ERR);
    }
    if (p.rep < 0) many = true;
  } else if (p.rep < 0) {
    many = true;
  }
  char where[24];
  snprintf(where, sizeof where, "%s-%d", p.seg, p.field);
  if (p.comp > 0 && !c->lenient) {
    dt = component_type(c, dt, seg >= 0 ? seg << 16 | p.field : -1, p.comp, n, where);
    if (dt == -2) return ty_one(TY_ERR);
    snprintf(where, sizeof where, "%s-%d.%d", p.seg, p.field, p.comp);
    if (p.sub > 0) dt = component_type(c, dt, -1, p.sub, n, where);
    if (dt == -2) return ty_one(TY_ERR);
  }
  nativek(c, "hl7.get", r, packed(&p, first && !many, rep), dst);
  return hl7_type(dt, p.comp > 0 ? -1 : seg, p.field, many, label);
}

ty component_on(comp *c, ty recv, int r, ast *n, int dst) {
  ast *num = n->first;
  str s = node_text(c, num);
  int a = 0, b = 0;
  size_t i = 0;
  for (; i < s.len && s.p[i] != '.' && a < 10000; i++) a = a * 10 + (s.p[i] - '0');
  if (i < s.len) for (i++; i < s.len && b < 10000; i++) b = b * 10 + (s.p[i] - '0');
  if (recv.kind == TY_ERR) return recv;
  if (recv.kind == TY_HL7_SEG) {
    const char *seg = recv.ref >= 0 ? dict_segment_name(recv.ref) : "ZZZ";
    diag *d = err(c, E0220, n, "a field of HL7 is written with a hyphen: %s-%d", seg, a);
    if (recv.ref >= 0) {
      /* `msg.PID.3.1` or `PID.3.1`: the whole chain can be rewritten when the segment stands directly before */
      const char *src = c->u->src;
      uint32_t at = n->off;
      while (at > 0 && src[at - 1] != '.') at--;
      if (at >= 4 && memcmp(src + at - 4, seg, 3) == 0) diag_replace(c->d, d, at - 4, n->end, b ? fmt(c, "%s-%d.%d", seg, a, b) : fmt(c, "%s-%d", seg, a), "write it so");
    }
    return ty_one(TY_ERR);
  }
  if (recv.kind != TY_HL7 && recv.kind != TY_ANY) {
    err(c, E0206, n, "components are read from HL7 values, this is %s", ty_text(c, recv));
    return ty_one(TY_ERR);
  }
  int dt = component_type(c, recv.ref, recv.sub, a, n, "this");
  if (dt == -2) return ty_one(TY_ERR);
  nativek(c, "hl7.child", r, val_int(a), dst);
  if (b) {
    dt = component_type(c, dt, -1, b, n, "this");
    if (dt == -2) return ty_one(TY_ERR);
    nativek(c, "hl7.child", dst, val_int(b), dst);
  }
  return hl7_type(dt, -1, 0, recv.many, recv.label);
}

/* Named component of a field or component; named field of a segment. */
static ty hl7_value_member(comp *c, ty recv, int r, ast *n, str name, int dst) {
  if (str_is(name, "value") && (recv.ref < 0 || dict_datatype_kind(recv.ref) != DICT_COMPOSITE)) { /* of a primitive: itself */
    op3(c, OP_MOVE, dst, r, 0);
    return recv;
  }
  unsigned p = recv.ref >= 0 ? dict_component_by_name(recv.ref, name.p, name.len) : 0;
  int type = recv.ref;
  if (!p && recv.sub >= 0) p = dict_field_component(recv.sub >> 16, (unsigned)(recv.sub & 0xffff), name.p, name.len, &type);
  if (!p) {
    if (recv.ref < 0) {
      if (c->lenient) { member_load(c, name, r, dst); return ty_label(ty_make(TY_ANY, 0, recv.many), recv.label); }
      diag *d = err(c, E0206, n, "the type of this value is not known, so it has no component names: write the number, .%s", "1");
      variable_note(c, d, n, name);
      return ty_one(TY_ERR);
    }
    nearest near;
    nearest_init(&near, name.p, name.len);
    dict_nearest_component(&near, recv.ref);
    diag *d = err(c, E0206, n, "%s (%s) has no component '%.*s'", dict_datatype_name(recv.ref), dict_datatype_title(recv.ref), STR(name));
    suggest(c, d, n, &near);
    variable_note(c, d, n, name);
    return ty_one(TY_ERR);
  }
  dict_info info;
  int dt = dict_component(type, p, &info) ? info.type : -1;
  nativek(c, "hl7.child", r, val_int((int)p), dst);
  return hl7_type(dt, -1, 0, recv.many, recv.label);
}

/* A field of a declared segment (segment ZPV { plan: string? = ZPV-3.1 }): its expression, read from the segment in r. */
static ty declared_segment_field(comp *c, ty recv, int r, const struct field *x, int dst) {
  fnctx *f = c->f;
  int top = f->top, msg = f->msg, it = 0, b = 0, w = reg_new(c);
  ty msg_t = f->msg_t;
  int nscope = f->nscope, nlocals = f->nlocals;
  uint32_t loop = 0, out = 0;
  if (recv.many) {
    it = regs_new(c, 4);
    b = reg_new(c);
    op3(c, OP_ITER, it, r, 0);
    op3(c, OP_NEWB, b, 0, 0);
    loop = emit_here(&c->e, f->fn);
    out = emit_jump(&c->e, f->fn, OP_NEXT, (uint32_t)it);
    f->msg = it + 2;
  } else {
    f->msg = r;
  }
  unit *u = c->u;
  c->u = c->decls[recv.sub].u;
  f->msg_t = ty_card(recv, 0, false);
  f->nscope = 0;
  f->nlocals = 0;
  ty t = ex(c, x->expr, w);
  coerce(c, x->expr, t, ty_card(x->t, 0, x->t.many), w, fmt(c, "%.*s.%.*s", STR(c->decls[recv.sub].name), STR(x->name)));
  c->u = u;
  f->msg = msg;
  f->msg_t = msg_t;
  f->nscope = nscope;
  f->nlocals = nlocals;
  if (recv.many) {
    op3(c, OP_PUSH, b, w, 0);
    emit_jump_to(&c->e, f->fn, OP_JMP, 0, loop);
    emit_patch(&c->e, f->fn, out);
    op3(c, OP_BUILD, dst, b, 0);
  } else {
    op3(c, OP_MOVE, dst, w, 0);
  }
  f->top = top;
  return ty_label(ty_card(x->t, 0, x->t.many || recv.many), recv.label | TY_PHI);
}

static ty hl7_segment_member(comp *c, ty recv, int r, ast *n, str name, int dst) {
  if (recv.sub >= 0) {
    decl *d = &c->decls[recv.sub];
    decl_params(c, d);
    field *x = decl_field(d, name);
    if (x && x->expr) return declared_segment_field(c, recv, r, x, dst);
  }
  unsigned p = recv.ref >= 0 ? dict_field_by_alias(recv.ref, name.p, name.len) : 0;
  if (!p) {
    nearest near;
    nearest_init(&near, name.p, name.len);
    if (recv.ref >= 0) dict_nearest_field(&near, recv.ref);
    if (recv.sub >= 0)
      for (uint32_t i = 0; i < c->decls[recv.sub].nfields; i++) nearest_offer(&near, c->decls[recv.sub].fields[i].name.p, c->decls[recv.sub].fields[i].name.len);
    diag *d = err(c, E0205, n, "segment %s has no field '%.*s'", recv.ref >= 0 ? dict_segment_name(recv.ref) : "Z..", STR(name));
    suggest(c, d, n, &near);
    variable_note(c, d, n, name);
    return ty_one(TY_ERR);
  }
  dict_info f;
  dict_field(recv.ref, p, &f);
  ast_hl7 path = {.field = (int)p, .rep = -1, .comp = -1, .sub = -1};
  memcpy(path.seg, dict_segment_name(recv.ref), 4);
  bool single = f.max == 1 && !sender_repeats(c, &path);
  nativek(c, "hl7.get", r, packed(&path, false, single ? 0 : -1), dst);
  return hl7_type(f.type, recv.ref, (int)p, recv.many || !single, strcmp(path.seg, "MSH") == 0 ? 0 : recv.label | TY_PHI);
}

ty hl7_text_as(comp *c, ty t, int r, ty_kind want) {
  const char *f = want == TY_DATE ? "hl7.toDate" : want == TY_DATETIME ? "hl7.toDateTime" : want == TY_TIME ? "hl7.toTime" : want == TY_DEC || want == TY_QTY ? "hl7.toDecimal"
                : want == TY_INT || want == TY_LONG ? "hl7.toInteger" : want == TY_BOOL ? "hl7.toBoolean" : "hl7.toString";
  int top = c->f->top, w = reg_new(c);
  op3(c, OP_MOVE, w, r, 0);
  native(c, f, w, 1, t);
  op3(c, OP_MOVE, r, w, 0);
  c->f->top = top;
  return ty_label(ty_make(want, 0, t.many), t.label);
}

/* ---- all */

static ty fields_member(comp *c, ty recv, int r, ast *n, str name, int dst, decl *d) {
  decl_params(c, d);
  field *x = decl_field(d, name);
  member_load(c, name, r, dst);
  if (x) {
    /* labels per field: what does not come from the record's sources is as clean as its own expression */
    bool known = d->kind == D_PAYLOAD && (d->params ? d->state == 2 : d->fn2 != MOD_NO_INDEX) && !(x->t.label & TY_PARAM);
    ty t = ty_card(x->t, x->t.min && recv.min, x->t.many || recv.many);
    t.label = (uint8_t)((x->t.label & ~TY_PARAM) | (known ? 0 : recv.label));
    return t;
  }
  nearest near;
  nearest_init(&near, name.p, name.len);
  for (uint32_t i = 0; i < d->nfields; i++) nearest_offer(&near, d->fields[i].name.p, d->fields[i].name.len);
  diag *g = err(c, E0203, n, "%.*s has no field '%.*s'", STR(d->name), STR(name));
  suggest(c, g, n, &near);
  diag_also(c->d, g, d->u->file, d->node->first->off, d->node->first->end, "declared here");
  variable_note(c, g, n, name);
  return ty_one(TY_ERR);
}

ty member(comp *c, ty recv, int r, ast *n, int dst, const ast *whole) {
  (void)whole;
  str name = node_name(c, n);
  switch ((ty_kind)recv.kind) {
    case TY_ERR: return recv;
    case TY_FHIR: return fhir_member(c, recv, r, n, name, dst);
    case TY_PAYLOAD: return fields_member(c, recv, r, n, name, dst, &c->decls[recv.ref]);
    case TY_OBJECT: {
      member_load(c, name, r, dst);
      if (recv.ref < 0) return ty_label(ty_make(TY_ANY, 0, recv.many), recv.label);
      shape *s = &c->shapes[recv.ref];
      nearest near;
      nearest_init(&near, name.p, name.len);
      for (uint32_t i = 0; i < s->n; i++) {
        if (str_eq(s->names[i], name)) return ty_label(ty_card(s->types[i], s->types[i].min && recv.min, s->types[i].many || recv.many), recv.label);
        nearest_offer(&near, s->names[i].p, s->names[i].len);
      }
      if (c->lenient) return ty_make(TY_NONE, 0, false);
      if (in_search_result(c, s, n, name, &near)) return ty_one(TY_ERR);
      diag *d = err(c, E0203, n, "this object has no '%.*s'", STR(name));
      suggest(c, d, n, &near);
      variable_note(c, d, n, name);
      return ty_one(TY_ERR);
    }
    case TY_HL7_MSG: case TY_HL7_GROUP: return hl7_group_member(c, recv, r, n, name, dst);
    case TY_HL7_SEG: return hl7_segment_member(c, recv, r, n, name, dst);
    case TY_HL7: return hl7_value_member(c, recv, r, n, name, dst);
    case TY_DECL: {
      decl *d = &c->decls[recv.ref];
      if (d->later || d->kind == D_WORKFLOW) { op3(c, OP_EMPTY, dst, 0, 0); return ty_opt(TY_ANY); }
      diag *g = err(c, E0212, n, "'%.*s' is a %s: its operations are called in a step or send", STR(d->name), d->kind == D_CONNECTION ? "connection" : "listener");
      (void)g;
      return ty_one(TY_ERR);
    }
    case TY_ANY:
      if (recv.ref >= 0 && !c->lenient) return choice_member(c, recv, r, n, name, dst);
      member_load(c, name, r, dst);
      return ty_label(ty_make(TY_ANY, 0, false), recv.label);
    case TY_QTY: { /* a FHIR Quantity, or FHIRPath's own, which always has value and unit */
      fhir_element_info e;
      uint16_t q = fhir_type("Quantity", 8);
      if (!fhir_element(q, name.p, name.len, &e)) { ty as = recv; as.kind = TY_FHIR; as.ref = q; return fhir_member(c, as, r, n, name, dst); }
      member_load(c, name, r, dst);
      ty t = fhir_types(c, &e);
      t.why = recv.why;
      return ty_label(ty_card(t, recv.min && (str_is(name, "value") || str_is(name, "unit")), recv.many || t.many), recv.label);
    }
    case TY_BOOL: case TY_INT: case TY_LONG: case TY_DEC: case TY_STR: case TY_DATE: case TY_DATETIME: case TY_TIME: {
      /* FHIR primitives carry id and extension; anything else is a mistake */
      if (str_is(name, "extension")) {
        member_load(c, name, r, dst);
        ty t = ty_make(TY_FHIR, 0, true);
        t.ref = fhir_type("Extension", 9);
        return ty_label(t, recv.label);
      }
      if (str_is(name, "id") || c->lenient || str_is(name, "years") || str_is(name, "days")) {
        member_load(c, name, r, dst);
        return ty_make(TY_ANY, 0, true);
      }
      diag *d = err(c, E0203, n, "%s has no '%.*s'", ty_text(c, ty_card(recv, 1, false)), STR(name));
      if (bi_function(&c->bi, name)) diag_replace(c->d, d, n->end, n->end, "()", "it is a function: call it");
      variable_note(c, d, n, name);
      return ty_one(TY_ERR);
    }
    case TY_NONE: op3(c, OP_EMPTY, dst, 0, 0); return ty_make(TY_NONE, 0, false);
    default:
      member_load(c, name, r, dst);
      return ty_label(ty_make(TY_ANY, 0, recv.many && recv.kind != TY_ANY), recv.label);
  }
}
