/* values.c - values as people and scripts read them, and inputs as values. */
#include <string.h>
#include "dict.h"
#include "fhir.h"
#include "hdwc.h"
#include "hl7_dict.h"
#include "json.h"

enum { OUT_MAX = 1 << 30 };

const char *hc_status_code(hdw_status s) {
  const char *n = hdw_status_name(s);
  return strncmp(n, "HDW_", 4) == 0 ? n + 4 : "E_UNKNOWN";
}

/* ---- HL7 nodes */

typedef struct jwriter {
  arena *a;
  uint32_t depth;
} jwriter;

static const val *at(val list, uint32_t i) { return list.tag == VAL_LIST && i < list.len ? &list.u.v[i] : NULL; }

/* The part of the message's JSON form that a segment, repetition or component has there; VAL_EMPTY when it is a text. */
static val part_of(val doc, const hl7_node *n) {
  const val *segs = val_obj_get(doc, val_key("segments", 8)), *seg = segs ? at(*segs, n->seg) : NULL;
  if (!seg || n->level == HL7_SEG) return seg ? *seg : VAL_NONE;
  const val *fields = val_obj_get(*seg, val_key("fields", 6)), *x = fields ? at(*fields, n->field - 1u) : NULL;
  const val *repeats = x && x->tag == VAL_OBJ ? val_obj_get(*x, val_key("repeats", 7)) : NULL;
  if (repeats) x = at(*repeats, n->rep);
  if (x && n->level >= HL7_COMP && x->tag == VAL_LIST) x = at(*x, n->comp - 1u);
  if (x && n->level >= HL7_SUB && x->tag == VAL_LIST) x = at(*x, n->sub - 1u);
  return x && x->tag == VAL_LIST ? *x : VAL_NONE;
}

static hdw_status write_hl7(void *user, val v, buf *out) {
  const jwriter *w = (const jwriter *)user;
  const hl7_node *n = hl7_of(v);
  vm_cx cx = {.a = w->a, .fuel = INT64_MAX};
  val doc, x = VAL_NONE;
  hdw_status s = HDW_OK;
  if (n->level <= HL7_SEG || n->level == HL7_FIELD || n->level == HL7_COMP) {
    if ((s = hl7_to_json(&cx, n->m, &doc))) return s;
    if (n->level == HL7_MSG) x = doc;
    else if (n->level != HL7_GROUP) x = part_of(doc, n);
  }
  if (n->level == HL7_GROUP) {
    buf_putc(out, '[');
    for (uint32_t i = n->seg; i < n->seg_end && !s; i++) {
      hl7_node one = {.m = n->m, .seg = i, .level = HL7_SEG};
      if (i > n->seg) buf_putc(out, ',');
      s = json_write(part_of(doc, &one), out, NULL);
    }
    buf_putc(out, ']');
    return s;
  }
  if (x.tag == VAL_EMPTY && (s = hl7_node_text(&cx, n, &x))) return s;
  return json_write(x, out, NULL);
}

/* A primitive of FHIR that carries extensions is kept as an object of value and extensions: its JSON is its value. */
static val plain(val v) {
  if (v.tag == VAL_OBJ && v.aux && v.aux <= fhir_type_count() && fhir_type_kind(v.aux) == FHIR_PRIMITIVE) {
    const val *x = val_obj_get(v, val_key("value", 5));
    if (x) return *x;
  }
  return v;
}

hdw_status hc_write_json(arena *a, val v, buf *out) {
  jwriter w = {.a = a};
  json_wopts o = {.hl7 = write_hl7, .hl7_user = &w, .max_depth = 1000};
  return json_write(plain(v), out, &o);
}

static hdw_status write_hl7_text(void *user, val v, buf *out) {
  const jwriter *w = (const jwriter *)user;
  const hl7_node *n = hl7_of(v);
  vm_cx cx = {.a = w->a, .fuel = INT64_MAX};
  hl7_slice raw = hl7_node_raw(n);
  val text = val_str(raw.p, raw.len);
  hdw_status s = HDW_OK;
  if (n->level == HL7_MSG && !(s = hl7_bytes(w->a, n->m, &raw))) text = val_str(raw.p, raw.len);
  else if (n->level >= HL7_FIELD) s = hl7_node_whole(&cx, n, &text);
  return s ? s : json_write(text, out, NULL);
}

hdw_status hc_write_text_json(arena *a, val v, buf *out) {
  jwriter w = {.a = a};
  json_wopts o = {.hl7 = write_hl7_text, .hl7_user = &w, .max_depth = 1000};
  return json_write(plain(v), out, &o);
}

/* ---- types */

static const char *hl7_type(arena *a, const hl7_node *n) {
  char name[4];
  if (n->level == HL7_MSG) return "HL7.Message";
  if (n->level == HL7_GROUP) return "HL7.Group";
  uint32_t seg = n->m->segs[n->seg].name;
  hl7_name_text(seg, name);
  if (n->level == HL7_SEG) return hc_text(a, "HL7.%s", name);
  dict_info f;
  int id = dict_segment(name, 3), t = id >= 0 && dict_field(id, n->field, &f) ? f.type : -1;
  if (t >= 0 && n->level >= HL7_COMP && !dict_is_primitive(t)) t = dict_component(t, n->comp, &f) ? f.type : -1;
  if (t >= 0 && n->level >= HL7_SUB && !dict_is_primitive(t)) t = dict_component(t, n->sub, &f) ? f.type : -1;
  return t >= 0 ? hc_text(a, "HL7.%s", dict_datatype_name(t)) : "HL7.ST";
}

const char *hc_type_name(arena *a, val v) {
  if (v.tag == VAL_HL7) return hl7_type(a, hl7_of(v));
  const char *space, *name;
  fhir_model_type(v, &space, &name);
  return hc_text(a, "%s.%s", space, name);
}

/* ---- inputs */

bool hc_json(arena *a, mem *m, const char *path, const char *text, size_t len, val *out) {
  json_reader r;
  json_error e = {0};
  json_opts o = {.max_depth = 1000};
  json_reader_init(&r, m);
  hdw_status s = json_read(&r, a, text, len, &o, out, &e);
  json_reader_free(&r);
  if (s == HDW_E_NOMEM) hc_say("%s: %s", path, hdw_status_text(s));
  else if (s) hc_say("%s:%u:%u: no valid JSON: %s", path, e.line, e.column, e.expected ? e.expected : hdw_status_text(s));
  return s == HDW_OK;
}

bool hc_hl7(arena *a, const char *path, const char *text, size_t len, hl7_msg **out) {
  hl7_opts o = {.schema = &hl7_dict_schema};
  hl7_problem why = {0};
  hdw_status s = hl7_parse(a, text, len, &o, out, &why);
  if (s) hc_say("%s: no HL7 message: %s%s%s", path, why.text ? why.text : hdw_status_text(s), why.seg[0] ? " in " : "", why.seg);
  return s == HDW_OK;
}
