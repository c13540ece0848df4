/* How typed JSON is walked: members by the model, primitives converted when they are reached.
 *
 * A primitive element with an extension or an id has two members in JSON, "birthDate" and "_birthDate". It comes out as one object node with the primitive's
 * type in aux and the members
 *
 *      value        the System value, when there is one
 *      id, extension ...   what "_birthDate" holds
 *
 * so that extension() finds them; fhir_model_system gives the value alone to whatever computes with it. A primitive without such a sibling,
 * the rule, is the System value itself and costs nothing. */
#include "fhir.h"
#include "fhir_int.h"
#include <string.h>

static const val key_value = {.tag = VAL_STR, .len = 5, .u.s = "value"};

static val keyed(val k) {
  k.aux = val_key_hash(k.u.s, k.len);
  return k;
}

static const val *member_of(val obj, const char *name, size_t len) {
  return val_obj_get(obj, val_key(name, len));
}

static bool text_is(val v, const char *s) {
  return v.tag == VAL_STR && v.len == strlen(s) && memcmp(v.u.s, s, v.len) == 0;
}

/* FHIR type of an item, 0 for System values and untyped JSON. A string's aux is a type only with the flag (it may be a key's hash). */
static uint16_t type_of(val v) {
  if (v.tag == VAL_HL7 || v.tag == VAL_TYPE) return 0;
  if (v.tag == VAL_STR && !(v.flags & VALF_TYPED)) return 0;
  return v.aux <= fhir_type_count() ? v.aux : 0;
}

val fhir_adopt(val obj) {
  if (obj.tag != VAL_OBJ) return obj;
  const val *name = member_of(obj, "resourceType", 12);
  obj.aux = name && name->tag == VAL_STR && !(name->flags & VALF_ESC) ? fhir_resource(name->u.s, name->len) : 0;
  return obj;
}

hdw_status fhir_adopt_all(arena *a, val coll, val *out) {
  if (coll.tag != VAL_LIST) {
    *out = fhir_adopt(coll);
    return HDW_OK;
  }
  val *v = arena_alloc(a, coll.len * sizeof *v);
  if (!v) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < coll.len; i++) v[i] = fhir_adopt(coll.u.v[i]);
  *out = coll;
  out->u.v = v;
  return HDW_OK;
}

/* ---- Primitives. */

static val with_type(val v, uint16_t type) {
  v.aux = type;
  if (v.tag == VAL_STR) v.flags |= VALF_TYPED;
  return v;
}

/* A temporal of the wanted form, or false: the text then stays what it is. */
static bool temporal(fhir_system sys, val text, val *out) {
  tm_val t;
  hdw_status s = sys == FHIR_SYS_DATE ? tm_parse_date(text.u.s, text.len, &t)
                 : sys == FHIR_SYS_TIME ? tm_parse_time(text.u.s, text.len, &t)
                                        : tm_parse_datetime(text.u.s, text.len, &t);
  if (s != HDW_OK) return false;
  *out = val_from_time(sys == FHIR_SYS_DATE ? VAL_DATE : sys == FHIR_SYS_TIME ? VAL_TIME : VAL_DATETIME, &t);
  return true;
}

/* A JSON slot that is no list, as the System value of a primitive type. JSON of another kind than the type wants comes out untyped, so that is()
 * says what it is. */
static hdw_status primitive(arena *a, val raw, const fhir_member *m, val *out) {
  val v = raw;
  fhir_system sys = (fhir_system)m->system;
  uint16_t type = m->type;
  if (sys == FHIR_SYS_STRING && raw.tag == VAL_STR && !(raw.flags & VALF_ESC)) {
    *out = with_type(raw, type);
    return HDW_OK;
  }
  hdw_status s = val_is_norm(raw) ? HDW_OK : val_norm(a, raw, &v);
  if (s != HDW_OK) return s;
  bool fits = false;
  switch (sys) {
    case FHIR_SYS_BOOLEAN: fits = v.tag == VAL_BOOL; break;
    case FHIR_SYS_INTEGER: fits = v.tag == VAL_INT; break;
    case FHIR_SYS_STRING: fits = v.tag == VAL_STR || v.tag == VAL_BIN; break;
    case FHIR_SYS_DECIMAL:
      if (v.tag == VAL_INT || v.tag == VAL_LONG) v = (val){.tag = VAL_DEC, .u.i = v.u.i};
      fits = v.tag == VAL_DEC;
      break;
    case FHIR_SYS_DATE: case FHIR_SYS_DATETIME: case FHIR_SYS_TIME:
      if (v.tag == VAL_STR) temporal(sys, v, &v);
      fits = v.tag == VAL_STR || v.tag == VAL_DATE || v.tag == VAL_DATETIME || v.tag == VAL_TIME; /* values of programs are temporal already */
      break;
    case FHIR_SYS_NONE: break;
  }
  *out = fits ? with_type(v, type) : v;
  return HDW_OK;
}

/* The node of a primitive with a sibling: members value (when there is one), then what the sibling has. */
static hdw_status primitive_node(arena *a, val value, val sibling, uint16_t type, val *out) {
  bool has = value.tag != VAL_EMPTY;
  val *kv = arena_alloc(a, ((size_t)sibling.len + 1) * 2 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  if (has) {
    kv[0] = keyed(key_value);
    kv[1] = value;
  }
  memcpy(kv + (has ? 2 : 0), sibling.u.v, (size_t)sibling.len * 2 * sizeof *kv);
  *out = (val){.tag = VAL_OBJ, .aux = type, .len = sibling.len + (has ? 1 : 0), .u.v = kv};
  return HDW_OK;
}

static bool is_primitive_node(val v) {
  return v.tag == VAL_OBJ && fhir_type_kind(type_of(v)) == FHIR_PRIMITIVE;
}

/* ---- One slot to typed items. */

static inline val object_as(val obj, const fhir_member *m) {
  if (obj.tag != VAL_OBJ) return obj;
  if (m->flags & FHIR_MEMBER_OPEN) return fhir_adopt(obj); /* contained, Bundle.entry.resource */
  obj.aux = m->type;
  return obj;
}

/* A primitive that is written as an object {"value": …} as other notations of FHIR have it: its value, and what else the object has as the sibling. */
static bool unwrap(val raw, val *value, val *sibling) {
  if (raw.tag != VAL_OBJ || raw.len == 0 || raw.len > 3 || !text_is(raw.u.v[0], "value")) return false;
  for (uint32_t i = 1; i < raw.len; i++)
    if (!text_is(raw.u.v[2 * i], "id") && !text_is(raw.u.v[2 * i], "extension")) return false;
  *value = raw.u.v[1];
  *sibling = (val){.tag = VAL_OBJ, .len = raw.len - 1, .u.v = raw.u.v + 2};
  return true;
}

/* raw: a slot or an item of a document array; sibling: of "_name", VAL_EMPTY or VAL_NULL when there is none. */
static hdw_status typed_item(arena *a, val raw, val sibling, const fhir_member *m, val *out) {
  if (m->kind != FHIR_PRIMITIVE) {
    if (raw.tag == VAL_OBJ) return *out = object_as(raw, m), HDW_OK;
    hdw_status s = val_norm(a, raw, out);
    *out = object_as(*out, m);
    return s;
  }
  val v;
  if (raw.tag == VAL_OBJ && sibling.tag != VAL_OBJ) unwrap(raw, &raw, &sibling);
  hdw_status s = primitive(a, raw, m, &v);
  if (s == HDW_OK && sibling.tag == VAL_OBJ && sibling.len > 0) return primitive_node(a, v, sibling, m->type, out);
  *out = v;
  return s;
}

/* An array of objects, which is what most arrays are: false when it holds anything else. */
static bool typed_objects(arena *a, val raw, const fhir_member *m, val *out) {
  val *v = arena_alloc(a, raw.len * sizeof *v);
  if (!v) return false;
  for (uint32_t i = 0; i < raw.len; i++) {
    if (raw.u.v[i].tag != VAL_OBJ) return false;
    v[i] = object_as(raw.u.v[i], m);
  }
  *out = (val){.tag = VAL_LIST, .len = raw.len, .u.v = v};
  return true;
}

/* An array where the element occurs once: data that is not what its type says. */
static hdw_status no_array(vm_cx *cx, const fhir_member *m, uint32_t n) {
  if (n == 1) return vm_fail(cx, HDW_E_DATA, "%s.%s: a single value expected, an array found", fhir_type_name(m->owner), fhir_member_name(m));
  return vm_fail(cx, HDW_E_DATA, "%s.%s: at most 1 value expected, %u found", fhir_type_name(m->owner), fhir_member_name(m), n);
}

/* An array of the document and the array beside it, item by item. */
static hdw_status typed_list(vm_cx *cx, val raw, val sibling, const fhir_member *m, val *out) {
  uint32_t n = raw.tag == VAL_LIST ? raw.len : raw.tag != VAL_EMPTY;
  uint32_t beside = sibling.tag == VAL_LIST ? sibling.len : 0;
  if (beside > n) n = beside;
  hdw_status s = vm_charge(cx, n);
  if (s != HDW_OK) return s;
  if (n > 0 && fhir_member_single(m)) return no_array(cx, m, n);
  if (beside == 0 && n == 1 && raw.tag == VAL_LIST && raw.u.v[0].tag != VAL_LIST) return typed_item(cx->a, raw.u.v[0], VAL_NONE, m, out);
  if (m->kind != FHIR_PRIMITIVE && n > 1 && raw.tag == VAL_LIST && typed_objects(cx->a, raw, m, out)) return HDW_OK;
  val_builder b = {0};
  for (uint32_t i = 0; i < n; i++) {
    val item = raw.tag == VAL_LIST ? (i < raw.len ? raw.u.v[i] : VAL_NONE) : i == 0 ? raw : VAL_NONE;
    val v;
    if (item.tag == VAL_LIST) { /* an array in an array is no FHIR: its items, untyped */
      s = val_norm(cx->a, item, &v);
    } else {
      s = typed_item(cx->a, item, i < beside ? sibling.u.v[i] : VAL_NONE, m, &v);
    }
    if (s == HDW_OK) s = val_push(cx->a, &b, v);
    if (s != HDW_OK) return s;
  }
  *out = val_build(&b);
  return HDW_OK;
}

static hdw_status typed_slot(vm_cx *cx, const val *slot, const val *sibling, const fhir_member *m, val *out) {
  val raw = slot ? *slot : VAL_NONE, beside = sibling ? *sibling : VAL_NONE;
  if (raw.tag == VAL_LIST || beside.tag == VAL_LIST) return typed_list(cx, raw, beside, m, out);
  return typed_item(cx->a, raw, beside, m, out);
}

/* ---- Members. */

/* "_name" beside a member, or NULL. */
static const val *sibling_of(val obj, const char *name, size_t len) {
  char text[FHIR_MEMBER_MAX + 1];
  if (!(obj.flags & VALF_UNDERSCORE) || len > FHIR_MEMBER_MAX) return NULL;
  text[0] = '_';
  memcpy(text + 1, name, len);
  return member_of(obj, text, len + 1);
}

/* A choice element: of the members of the object the first that is the element's name and one of its types. */
static hdw_status choice_member(vm_cx *cx, val obj, val name, const fhir_member *e, val *out) {
  for (uint32_t i = 0; i < obj.len; i++) {
    val k = obj.u.v[2 * i];
    size_t skip = k.len > 0 && k.u.s[0] == '_'; /* only "_valueString" may be there */
    if (k.len <= e->name_len + skip || k.u.s[skip] != name.u.s[0] || memcmp(k.u.s + skip, name.u.s, e->name_len) != 0) continue;
    k = val_key(k.u.s + skip, k.len - skip);
    const fhir_member *m = fhir_member_of(obj.aux, k);
    if (!m || m->element != e->element || (m->flags & FHIR_MEMBER_CHOICE)) continue;
    return typed_slot(cx, skip ? val_obj_get(obj, k) : &obj.u.v[2 * i + 1], sibling_of(obj, k.u.s, k.len), m, out);
  }
  *out = VAL_NONE;
  return HDW_OK;
}

/* Members of a primitive with extensions: value as it is, the others by the model of Element. */
static hdw_status primitive_member(vm_cx *cx, val node, val key, val *out) {
  const val *slot = val_obj_get(node, key);
  *out = VAL_NONE;
  if (!slot) return HDW_OK;
  if (text_is(key, "value")) {
    *out = *slot;
    return HDW_OK;
  }
  const fhir_member *m = fhir_member_of(node.aux, key);
  return m ? typed_slot(cx, slot, NULL, m, out) : HDW_OK;
}

static hdw_status any_member(vm_cx *cx, val item, val key, val *out) {
  *out = VAL_NONE;
  if (item.tag != VAL_OBJ || key.tag != VAL_STR) return HDW_OK;
  key = val_key(key.u.s, key.len);
  uint16_t type = type_of(item);
  if (!type) return val_member(cx->a, item, key, out);
  if (is_primitive_node(item)) return primitive_member(cx, item, key, out);
  const fhir_member *m = fhir_member_of(type, key);
  if (!m || (m->flags & FHIR_MEMBER_TYPED)) /* no element, but what everybody looks for in a resource */
    return fhir_type_kind(type) == FHIR_RESOURCE && text_is(key, "resourceType") ? val_member(cx->a, item, key, out) : HDW_OK;
  if (m->flags & FHIR_MEMBER_CHOICE) return choice_member(cx, item, key, m, out);
  const val *slot = val_obj_get(item, key);
  const val *sibling = sibling_of(item, key.u.s, key.len);
  if (!slot && !sibling) return HDW_OK;
  return typed_slot(cx, slot, sibling, m, out);
}

/* What most loads are is decided at once: an element with one object, or with one text that stays a string. */
hdw_status fhir_model_member(vm_cx *cx, val item, val key, val *out) {
  if (item.tag == VAL_LIST) return fhir_model_members(cx, item, key, out);
  if (item.tag != VAL_OBJ || !item.aux || (item.flags & VALF_UNDERSCORE)) return any_member(cx, item, key, out);
  const fhir_member *m = fhir_member_of(item.aux, key);
  if (!m || m->flags) return any_member(cx, item, key, out);
  const val *slot = val_obj_get(item, key);
  if (!slot) return *out = VAL_NONE, HDW_OK;
  if (slot->tag == VAL_OBJ && m->kind != FHIR_PRIMITIVE) {
    *out = *slot;
    out->aux = m->type;
    return HDW_OK;
  }
  if (slot->tag == VAL_STR && m->system == FHIR_SYS_STRING && !(slot->flags & VALF_ESC)) {
    *out = with_type(*slot, m->type);
    return HDW_OK;
  }
  return typed_slot(cx, slot, NULL, m, out);
}

/* What is the same for most items of a list: their type, where in the object the member stands, the type of the resource that it holds. */
typedef struct habit {
  uint16_t type, resource;
  const fhir_member *m;
  uint32_t at;
  val name;              /* resourceType of the last resource */
} habit;

static const val *usual_slot(val item, val key, habit *h) {
  if (h->at < item.len) {
    const val *k = &item.u.v[2 * h->at];
    if (k->len == key.len && k->aux == key.aux && !(k->flags & VALF_ESC) && memcmp(k->u.s, key.u.s, key.len) == 0) return k + 1;
  }
  const val *slot = val_obj_get(item, key);
  if (slot) h->at = (uint32_t)(slot - item.u.v) / 2;
  return slot;
}

static val usual_resource(val obj, habit *h) {
  val k = obj.len ? obj.u.v[0] : VAL_NONE, t = obj.len ? obj.u.v[1] : VAL_NONE;
  if (h->resource && t.tag == VAL_STR && !(t.flags & VALF_ESC) && t.len == h->name.len && k.len == 12 && memcmp(k.u.s, "resourceType", 12) == 0 &&
      memcmp(t.u.s, h->name.u.s, t.len) == 0) {
    obj.aux = h->resource;
    return obj;
  }
  obj = fhir_adopt(obj);
  h->resource = k.len == 12 && t.tag == VAL_STR && !(t.flags & VALF_ESC) && memcmp(k.u.s, "resourceType", 12) == 0 ? obj.aux : 0;
  h->name = t;
  return obj;
}

hdw_status fhir_model_members(vm_cx *cx, val list, val key, val *out) {
  val_builder b = {0};
  habit h = {0};
  hdw_status s = val_reserve(cx->a, &b, list.len);
  key = val_key(key.u.s, key.len);
  for (uint32_t i = 0; !s && i < list.len; i++) {
    val item = list.u.v[i], v;
    if (item.tag != VAL_OBJ) continue;
    if (item.aux != h.type || !h.type) {
      h.type = item.aux;
      h.m = h.type ? fhir_member_of(h.type, key) : NULL;
    }
    if (h.m && !(h.m->flags & (FHIR_MEMBER_TYPED | FHIR_MEMBER_CHOICE)) && !(item.flags & VALF_UNDERSCORE)) {
      const val *slot = usual_slot(item, key, &h);
      if (!slot) continue;
      if (slot->tag == VAL_OBJ && h.m->kind != FHIR_PRIMITIVE) {
        v = *slot;
        if (h.m->flags & FHIR_MEMBER_OPEN) v = usual_resource(v, &h);
        else v.aux = h.m->type;
      } else if (slot->tag == VAL_STR && h.m->system == FHIR_SYS_STRING && !(slot->flags & VALF_ESC)) {
        v = with_type(*slot, h.m->type);
      } else {
        s = typed_slot(cx, slot, NULL, h.m, &v);
        if (s) break;
      }
      if (v.tag != VAL_EMPTY && v.tag != VAL_LIST && b.len < b.cap) { b.v[b.len++] = v; continue; }
    } else {
      s = any_member(cx, item, key, &v);
    }
    if (!s) s = val_push(cx->a, &b, v);
  }
  *out = s ? VAL_NONE : val_build(&b);
  return s;
}

/* One child member for fhir_model_children: nothing for names the model does not know and for a "_name" whose name is there too. */
static hdw_status child_member(vm_cx *cx, val obj, val key, val *out) {
  *out = VAL_NONE;
  if (key.len > 0 && key.u.s[0] == '_') {
    if (member_of(obj, key.u.s + 1, key.len - 1)) return HDW_OK;
    key.u.s++, key.len--;
  }
  key = val_key(key.u.s, key.len);
  const fhir_member *m = fhir_member_of(obj.aux, key);
  if (!m || (m->flags & FHIR_MEMBER_CHOICE)) return HDW_OK;
  return typed_slot(cx, val_obj_get(obj, key), sibling_of(obj, key.u.s, key.len), m, out);
}

hdw_status fhir_model_children(vm_cx *cx, val item, val *out) {
  *out = VAL_NONE;
  if (item.tag != VAL_OBJ) return HDW_OK;
  hdw_status s = vm_charge(cx, item.len);
  val_builder b = {0};
  uint16_t type = type_of(item);
  bool primitive = is_primitive_node(item);
  for (uint32_t i = 0; s == HDW_OK && i < item.len; i++) {
    val key = item.u.v[2 * i], v;
    if (!type)
      s = val_norm(cx->a, item.u.v[2 * i + 1], &v);
    else if (primitive)
      s = text_is(key, "value") ? (v = VAL_NONE, HDW_OK) : primitive_member(cx, item, key, &v);
    else
      s = child_member(cx, item, key, &v);
    if (s == HDW_OK) s = val_push(cx->a, &b, v);
  }
  if (s == HDW_OK) *out = val_build(&b);
  return s;
}

/* ---- Types of items. */

static const struct { const char *name; uint8_t tag; } system_names[] = {
    {"Boolean", VAL_BOOL}, {"Integer", VAL_INT}, {"Long", VAL_LONG}, {"Decimal", VAL_DEC}, {"String", VAL_STR}, {"Date", VAL_DATE}, {"DateTime", VAL_DATETIME},
    {"Time", VAL_TIME}, {"Quantity", VAL_QTY}};
enum { WANT_ANY = 1 };

/* fhir_want.system of a name. */
static uint8_t system_of(const char *s, size_t len) {
  if (len < 3 || len > 8) return 0;
  if (len == 3 && memcmp(s, "Any", 3) == 0) return WANT_ANY;
  for (size_t i = 0; i < sizeof system_names / sizeof *system_names; i++)
    if (system_names[i].name[0] == *s && strlen(system_names[i].name) == len && memcmp(system_names[i].name, s, len) == 0) return (uint8_t)(system_names[i].tag + 1);
  return 0;
}

/* A name in back quotes stands for itself. */
static void unquote(const char **s, size_t *len) {
  if (*len >= 2 && (*s)[0] == '`' && (*s)[*len - 1] == '`') {
    (*s)++;
    *len -= 2;
  }
}

static bool strip(const char **s, size_t *len, const char *space) {
  size_t n = strlen(space);
  if (*len <= n || **s != *space || memcmp(*s, space, n) != 0) return false;
  *s += n;
  *len -= n;
  unquote(s, len);
  return true;
}

void fhir_want_of(const char *name, size_t len, fhir_want *out) {
  *out = (fhir_want){0};
  unquote(&name, &len);
  out->only_system = strip(&name, &len, "System."); /* System.Patient is no type, and nothing is one */
  out->only_fhir = !out->only_system && strip(&name, &len, "FHIR.");
  if (!out->only_fhir) out->system = system_of(name, len);
  if (!out->only_system) out->type = fhir_type(name, len);
}

static bool is_system(val item, uint16_t have, uint8_t system) {
  return system == WANT_ANY || (!have && item.tag != VAL_OBJ && system && item.tag + 1 == system);
}

hdw_status fhir_want_is(const fhir_want *w, val item, bool *out) {
  uint16_t have = type_of(item);
  *out = false;
  if (w->only_system || (w->system && (!have || !w->type))) return *out = is_system(item, have, w->system), HDW_OK;
  if (!w->type) return HDW_E_NOTFOUND;
  *out = have && fhir_is_a(have, w->type);
  return HDW_OK;
}

hdw_status fhir_model_is(vm_cx *cx, val item, const char *type, size_t len, bool *out) {
  (void)cx;
  fhir_want w;
  fhir_want_of(type, len, &w);
  return fhir_want_is(&w, item, out);
}

void fhir_model_type(val item, const char **space, const char **name) {
  uint16_t t = type_of(item);
  if (fhir_type_kind(t) == FHIR_BACKBONE) t = fhir_type_base(t);
  *space = t ? "FHIR" : "System";
  *name = t ? fhir_type_name(t) : val_type_name(item);
}

/* ---- System values. */

/* A FHIR Quantity as a System one: the UCUM code as the unit, else the unit's text, else '1'. One with a comparator (<5) is no quantity. */
static hdw_status quantity(vm_cx *cx, val item, val *out) {
  const val *value = member_of(item, "value", 5), *comparator = member_of(item, "comparator", 10);
  const val *system = member_of(item, "system", 6), *code = member_of(item, "code", 4), *unit = member_of(item, "unit", 4);
  if (!value || (comparator && comparator->tag != VAL_NULL)) return HDW_OK;
  val number, text = val_cstr("1");
  hdw_status s = val_norm(cx->a, *value, &number);
  if (s != HDW_OK) return s;
  if (number.tag != VAL_DEC && number.tag != VAL_INT && number.tag != VAL_LONG) return HDW_OK;
  const val *from = code && system && text_is(*system, "http://unitsofmeasure.org") ? code : unit ? unit : code;
  if (from) s = val_norm(cx->a, *from, &text);
  if (s != HDW_OK) return s;
  if (text.tag != VAL_STR) text = val_cstr("1");
  dec d = val_get_dec(number);
  return val_from_qty(cx->a, &d, text.u.s, text.len, false, out);
}

hdw_status fhir_model_system(vm_cx *cx, val item, val *out) {
  *out = item;
  uint16_t type = type_of(item);
  if (item.tag != VAL_OBJ || !type) return HDW_OK;
  if (fhir_type_kind(type) == FHIR_PRIMITIVE) {
    const val *slot = val_obj_get(item, keyed(key_value));
    *out = slot ? *slot : VAL_NONE;
    return HDW_OK;
  }
  return fhir_is_a(type, fhir_type("Quantity", 8)) ? quantity(cx, item, out) : HDW_OK;
}
