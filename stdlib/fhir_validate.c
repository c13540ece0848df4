/* Structural validation: an object is walked together with its type; problems are collected with their paths. */
#include "fhir_validate.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "fhir_vint.h"

enum { PROBLEMS_DEFAULT = 100, TEXT_MAX = 400 };

const char *fhir_rule_name(fhir_rule r) {
  static const char *const names[FHIR_RULE_COUNT] = {
      [FHIR_RULE_RESOURCE] = "resource", [FHIR_RULE_UNKNOWN] = "unknown-element", [FHIR_RULE_REQUIRED] = "required",
      [FHIR_RULE_CARDINALITY] = "cardinality", [FHIR_RULE_KIND] = "kind", [FHIR_RULE_FORMAT] = "format", [FHIR_RULE_CODE] = "code",
      [FHIR_RULE_CHOICE] = "choice", [FHIR_RULE_EMPTY] = "empty", [FHIR_RULE_EXTENSION] = "extension", [FHIR_RULE_REFERENCE] = "reference",
      [FHIR_RULE_CONTAINED] = "contained", [FHIR_RULE_PROFILE] = "profile", [FHIR_RULE_DEPTH] = "depth"};
  return r > 0 && r < FHIR_RULE_COUNT ? names[r] : "";
}

/* ---- Paths and problems. */

size_t fhir_path_push(fhir_check *c, const char *name, size_t len, long index) {
  size_t back = c->path_len;
  char number[24] = "";
  if (index >= 0) snprintf(number, sizeof number, "[%ld]", index);
  int n = snprintf(c->path + back, sizeof c->path - back, "%s%.*s%s", back && len ? "." : "", (int)len, name, number);
  if (n > 0) c->path_len = back + (size_t)n < sizeof c->path ? back + (size_t)n : sizeof c->path - 1;
  return back;
}

/* A byte of the text that was read, from anything inside the value. */
static const char *place_of(const fhir_check *c, val v) {
  for (int depth = 0; depth < 8; depth++) {
    if ((v.tag == VAL_OBJ || v.tag == VAL_LIST) && v.len) {
      v = v.u.v[0];
      continue;
    }
    if (v.tag != VAL_STR && v.tag != VAL_NUM) return NULL;
    return c->opts.text && v.u.s >= c->opts.text && v.u.s <= c->opts.text + c->opts.len ? v.u.s : NULL;
  }
  return NULL;
}

static bool is_primitive_value(val v) {
  return v.tag != VAL_OBJ && v.tag != VAL_LIST && v.tag != VAL_EMPTY && v.tag != VAL_NULL;
}

void fhir_say(fhir_check *c, fhir_rule rule, bool warning, val where, const char *fmt, ...) {
  char text[TEXT_MAX];
  *(warning ? &c->out->warnings : &c->out->errors) += 1;
  if (c->out->n >= c->opts.max || c->status) return;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  fhir_problem *p = &c->out->v[c->out->n];
  *p = (fhir_problem){.rule = rule, .warning = warning, .path = arena_dup(c->a, c->path, c->path_len), .text = arena_dup(c->a, text, strlen(text)),
                      .at = place_of(c, where), .value = is_primitive_value(where) ? where : VAL_NONE};
  if (!p->path || !p->text) {
    c->status = HDW_E_NOMEM;
    return;
  }
  c->out->n++;
}

val fhir_string_of(fhir_check *c, const val *slot) {
  val v = VAL_NONE;
  if (!slot || slot->tag != VAL_STR) return v;
  hdw_status s = val_norm(c->a, *slot, &v);
  if (s) c->status = s;
  return v.tag == VAL_STR ? v : VAL_NONE;
}

static void check_object(fhir_check *c, val obj, uint16_t type, bool resource);

/* ---- Primitives. */

static const char *json_kind(val v) {
  switch ((val_tag)v.tag) {
    case VAL_BOOL: return "a boolean";
    case VAL_INT: case VAL_LONG: case VAL_DEC: case VAL_NUM: return "a number";
    case VAL_OBJ: return "an object";
    case VAL_LIST: return "an array";
    case VAL_NULL: case VAL_EMPTY: return "null";
    default: return "a string";
  }
}

static bool number_ok(fhir_format f, val v) {
  switch (f) {
    case FHIR_FMT_DECIMAL: return v.tag == VAL_INT || v.tag == VAL_LONG || v.tag == VAL_DEC || v.tag == VAL_NUM;
    case FHIR_FMT_INTEGER: return v.tag == VAL_INT;
    case FHIR_FMT_UNSIGNED: return v.tag == VAL_INT && v.u.i >= 0;
    default: return v.tag == VAL_INT && v.u.i >= 1;
  }
}

/* Dates and times of values that a program made. */
size_t fhir_temporal_text(val v, char out[TM_TEXT_MAX]) {
  tm_val t = val_get_time(v);
  return v.tag == VAL_DATE ? tm_format_date(&t, out) : v.tag == VAL_TIME ? tm_format_time(&t, out) : tm_format_datetime(&t, out);
}

static void check_format(fhir_check *c, val v, uint16_t type, fhir_format f) {
  char text[TM_TEXT_MAX];
  bool string = f > FHIR_FMT_DECIMAL, ok;
  if (f == FHIR_FMT_BOOLEAN)
    ok = v.tag == VAL_BOOL;
  else if (!string)
    ok = number_ok(f, v);
  else if (v.tag == VAL_STR)
    ok = fhir_format_ok(f, v.u.s, v.len);
  else if (v.tag == VAL_DATE || v.tag == VAL_DATETIME || v.tag == VAL_TIME)
    ok = fhir_format_ok(f, text, fhir_temporal_text(v, text));
  else
    ok = v.tag == VAL_BIN && f == FHIR_FMT_BASE64;
  if (ok) return;
  bool kind = string ? v.tag != VAL_STR && v.tag < VAL_STR : v.tag == VAL_STR || (v.tag == VAL_BOOL) != (f == FHIR_FMT_BOOLEAN);
  if (kind)
    fhir_say(c, FHIR_RULE_KIND, false, v, "a %s is %s; this is %s", fhir_type_name(type), string ? "a JSON string" : fhir_format_text(f), json_kind(v));
  else
    fhir_say(c, FHIR_RULE_FORMAT, false, v, "a %s is %s", fhir_type_name(type), fhir_format_text(f));
}

/* "not a code of URL; did you mean 'x'?" */
static void say_code(fhir_check *c, val v, uint16_t set, bool warning) {
  nearest near;
  nearest_init(&near, v.u.s, v.len);
  fhir_nearest_code(&near, set);
  bool hint = near.n > 0;
  fhir_say(c, FHIR_RULE_CODE, warning, v, "this is no code of %s%s%.*s%s", fhir_codes_url(set), hint ? "; did you mean '" : "",
           hint ? (int)near.hit[0].len : 0, hint ? near.hit[0].name : "", hint ? "'?" : "");
}

static void check_primitive(fhir_check *c, val raw, const fhir_element_info *e, uint16_t type) {
  val v = raw;
  hdw_status s = val_is_norm(raw) ? HDW_OK : val_norm(c->a, raw, &v);
  if (s) {
    c->status = s;
    return;
  }
  if (raw.tag == VAL_OBJ || raw.tag == VAL_LIST) {
    fhir_say(c, FHIR_RULE_KIND, false, raw, "a %s is a single JSON value; this is %s", fhir_type_name(type), json_kind(raw));
    return;
  }
  fhir_format f = fhir_type_format(type);
  check_format(c, v, type, f);
  if (e->codes && v.tag == VAL_STR && f == FHIR_FMT_CODE && !fhir_code_in(e->codes, v.u.s, v.len)) say_code(c, v, e->codes, false);
}

/* ---- Codings of a required binding. */

/* *strange: of a code system that the set has all codes of, but none of them. */
static void check_coding(fhir_check *c, val coding, uint16_t set, bool *found, bool *strange) {
  val code = fhir_string_of(c, fhir_slot(coding, "code")), system = fhir_string_of(c, fhir_slot(coding, "system"));
  if (code.tag != VAL_STR) return;
  if (fhir_code_in(set, code.u.s, code.len)) *found = true;
  else if (system.tag == VAL_STR && fhir_system_in(set, system.u.s, system.len) == FHIR_SYSTEM_WHOLE) *strange = true;
}

/* A CodeableConcept or Coding bound to a small set: one of the codings has a code of it. A set that is extensible only advises: a code of
 * its code systems is to exist. */
static void check_binding(fhir_check *c, val obj, const fhir_element_info *e, uint16_t type) {
  bool found = false, strange = false;
  uint16_t set = e->codes ? e->codes : e->binding == FHIR_BIND_EXTENSIBLE ? e->advised : 0;
  if (!set || obj.tag != VAL_OBJ) return;
  if (type == fhir_type("Coding", 6)) {
    if (!fhir_slot(obj, "code")) return;
    check_coding(c, obj, set, &found, &strange);
  } else if (type == fhir_type("CodeableConcept", 15)) {
    const val *list = fhir_slot(obj, "coding");
    if (!list) return;
    if (list->tag != VAL_LIST) check_coding(c, *list, set, &found, &strange);
    for (uint32_t i = 0; list->tag == VAL_LIST && i < list->len; i++) check_coding(c, list->u.v[i], set, &found, &strange);
  } else {
    return;
  }
  if (!found && e->codes) fhir_say(c, FHIR_RULE_CODE, false, obj, "no code of %s, to which the element is bound", fhir_codes_url(set));
  else if (!found && strange) fhir_say(c, FHIR_RULE_CODE, true, obj, "no code of %s, to which the element is bound (extensible)", fhir_codes_url(set));
}

/* ---- Items and elements. */

static void check_resource(fhir_check *c, val obj, uint16_t want) {
  const val *slot = fhir_slot(obj, "resourceType");
  val name = fhir_string_of(c, slot);
  uint16_t type = name.tag == VAL_STR ? fhir_resource(name.u.s, name.len) : 0;
  if (obj.tag != VAL_OBJ) {
    fhir_say(c, FHIR_RULE_RESOURCE, false, obj, "a resource is a JSON object");
  } else if (!slot) {
    fhir_say(c, FHIR_RULE_RESOURCE, false, obj, "resourceType is missing");
  } else if (!type) {
    nearest near;
    nearest_init(&near, name.tag == VAL_STR ? name.u.s : "", name.len);
    fhir_nearest_type(&near, true);
    fhir_say(c, FHIR_RULE_RESOURCE, false, *slot, "R4 has no such resource type%s%.*s%s", near.n ? "; did you mean '" : "", near.n ? (int)near.hit[0].len : 0,
             near.n ? near.hit[0].name : "", near.n ? "'?" : "");
  } else if (want && !fhir_is_a(type, want)) {
    fhir_say(c, FHIR_RULE_RESOURCE, false, *slot, "a %s is wanted here", fhir_type_name(want));
  } else {
    check_object(c, obj, type, true);
  }
}

static void check_contained(fhir_check *c, val v) {
  bool inside = c->inside;
  if (inside) fhir_say(c, FHIR_RULE_CONTAINED, false, v, "a contained resource has no contained resources");
  c->inside = true;
  check_resource(c, v, 0);
  c->inside = inside;
}

static void check_item(fhir_check *c, val v, const fhir_element_info *e, uint16_t type) {
  if (fhir_type_kind(type) == FHIR_PRIMITIVE) {
    check_primitive(c, v, e, type);
    return;
  }
  if (v.tag != VAL_OBJ) {
    fhir_say(c, v.tag == VAL_NULL || v.tag == VAL_EMPTY ? FHIR_RULE_EMPTY : FHIR_RULE_KIND, false, v, "a %s is a JSON object; this is %s", fhir_type_name(type), json_kind(v));
    return;
  }
  if (fhir_type_kind(type) == FHIR_RESOURCE) {
    if (strcmp(e->name, "contained") == 0)
      check_contained(c, v);
    else
      check_resource(c, v, type);
    return;
  }
  check_object(c, v, type, false);
  check_binding(c, v, e, type);
  if (fhir_is_a(type, fhir_type("Reference", 9))) fhir_check_reference(c, v, e);
}

static bool is_array(val v) {
  return v.tag == VAL_LIST || v.flags & VALF_ARRAY;
}

static uint32_t items_of(val v) {
  return v.tag == VAL_LIST ? v.len : v.tag != VAL_EMPTY;
}

static val item_at(val v, uint32_t i) {
  if (v.tag == VAL_LIST) return i < v.len ? v.u.v[i] : VAL_NONE;
  return i == 0 ? v : VAL_NONE;
}

static bool nothing(val v) {
  return v.tag == VAL_EMPTY || v.tag == VAL_NULL;
}

/* The "_name" object of a primitive: id and extensions. */
static void check_sibling(fhir_check *c, val v, uint16_t type) {
  if (v.tag == VAL_OBJ)
    check_object(c, v, type, false);
  else
    fhir_say(c, FHIR_RULE_KIND, false, v, "beside a primitive stands an object with its id and extensions; this is %s", json_kind(v));
}

/* Item i of an element and of its sibling. */
static void check_pair(fhir_check *c, val v, val beside, const fhir_element_info *e, uint16_t type) {
  if (nothing(v) && nothing(beside)) {
    fhir_say(c, FHIR_RULE_EMPTY, false, v, "null stands for nothing: leave the %s out", e->max == 1 ? "element" : "item");
    return;
  }
  if (!nothing(v)) check_item(c, v, e, type);
  if (!nothing(beside)) check_sibling(c, beside, type);
}

/* An element with its value and what stands under "_name"; either may be NULL. */
static void check_element(fhir_check *c, const char *name, size_t len, const val *slot, const val *sibling, const fhir_element_info *e, uint16_t type) {
  val v = slot ? *slot : VAL_NONE, beside = sibling ? *sibling : VAL_NONE;
  val either = nothing(v) ? beside : v;
  bool many = e->max != 1;
  uint32_t n = items_of(v), m = items_of(beside);
  if (m > n) n = m;
  size_t back = fhir_path_push(c, name, len, -1);
  if (is_array(either) && !many) {
    fhir_say(c, FHIR_RULE_CARDINALITY, false, either, "one value at most: no array");
  } else if (!is_array(either) && many) {
    fhir_say(c, FHIR_RULE_CARDINALITY, false, either, "the element may repeat: its JSON is an array, even for one value");
  } else if (n == 0) {
    fhir_say(c, FHIR_RULE_EMPTY, false, either, "an empty array: leave the element out");
  } else if (slot && sibling && is_array(v) != is_array(beside)) {
    fhir_say(c, FHIR_RULE_KIND, false, beside, "the member with '_' is an array exactly when the other is");
  } else {
    if (slot && sibling && many && items_of(v) != items_of(beside))
      fhir_say(c, FHIR_RULE_CARDINALITY, false, beside, "the array of '_%.*s' has another length: null stands for what has no extension", (int)len, name);
    if (e->max > 1 && n > e->max) fhir_say(c, FHIR_RULE_CARDINALITY, false, either, "%u values at most", e->max);
    if (!many) {
      check_pair(c, v, beside, e, type);
    } else {
      for (uint32_t i = 0; i < n && fhir_pay(c, 8); i++) {
        size_t here = fhir_path_push(c, "", 0, (long)i);
        check_pair(c, item_at(v, i), item_at(beside, i), e, type);
        fhir_path_pop(c, here);
      }
    }
  }
  fhir_path_pop(c, back);
}

/* ---- Objects. */

static void unknown_member(fhir_check *c, val key, uint16_t type) {
  fhir_element_info e;
  nearest near;
  char member[FHIR_MEMBER_MAX + 1];
  size_t back = fhir_path_push(c, key.u.s, key.len, -1);
  if (fhir_element(type, key.u.s, key.len, &e) && e.choice) {
    size_t n = fhir_choice_member(&e, e.types[0], member);
    fhir_say(c, FHIR_RULE_UNKNOWN, false, key, "in JSON the type is part of the name of this element: %.*s and the like", (int)n, member);
  } else {
    nearest_init(&near, key.u.s, key.len);
    fhir_nearest_element(&near, type);
    const char *hint = near.n ? near.hit[0].name : NULL;
    bool choice = hint && fhir_element(type, hint, strlen(hint), &e) && e.choice;
    fhir_say(c, FHIR_RULE_UNKNOWN, false, key, "%s has no such element%s%s%s%s", fhir_type_name(type), hint ? "; did you mean '" : "", hint ? hint : "",
             choice ? "[x]" : "", hint ? "'?" : "");
  }
  fhir_path_pop(c, back);
}

/* Whether another member before this one is the same choice element with another type. */
static bool choice_before(val obj, uint32_t i, uint16_t type, const fhir_element_info *e, uint16_t mine) {
  fhir_element_info x;
  for (uint32_t k = 0; k < i; k++) {
    val key = obj.u.v[2 * k];
    size_t skip = key.len && key.u.s[0] == '_';
    uint16_t other = fhir_choice_of(type, key.u.s + skip, key.len - skip, &x);
    if (other && other != mine && strcmp(x.name, e->name) == 0) return true;
  }
  return false;
}

/* Member i: the element it belongs to, with its sibling. A "_name" is looked at with "name", when that is there. */
static void check_member(fhir_check *c, val obj, uint32_t i, uint16_t type) {
  val key = obj.u.v[2 * i], slot = obj.u.v[2 * i + 1];
  const char *name = key.u.s;
  size_t len = key.len;
  bool under = len > 1 && name[0] == '_';
  if (!fhir_pay(c, 16 + i / 4 + (slot.tag == VAL_STR ? slot.len / 16 : 0))) return; /* choices are compared with the members before */
  char beside[FHIR_MEMBER_MAX + 2];
  if (slot.tag == VAL_EMPTY && !(slot.flags & VALF_ARRAY)) return; /* not written */
  if (under) name++, len--;
  fhir_element_info e;
  bool plain = fhir_element(type, name, len, &e) && !e.choice;
  uint16_t t = plain ? e.types[0] : fhir_choice_of(type, name, len, &e);
  if (!t || (under && fhir_type_kind(t) != FHIR_PRIMITIVE)) {
    unknown_member(c, key, type);
    return;
  }
  const val *other = NULL;
  if (len <= FHIR_MEMBER_MAX) {
    beside[0] = '_';
    memcpy(beside + 1, name, len);
    other = under ? val_obj_get(obj, val_key(name, len)) : val_obj_get(obj, val_key(beside, len + 1));
  }
  if (under && other) return;
  if (e.choice && choice_before(obj, i, type, &e, t)) {
    size_t back = fhir_path_push(c, name, len, -1);
    fhir_say(c, FHIR_RULE_CHOICE, false, key, "%s[x] is given twice, with different types", e.name);
    fhir_path_pop(c, back);
  }
  check_element(c, name, len, under ? NULL : &slot, under ? &slot : other, &e, t);
}

static bool has_element(val obj, uint16_t type, const fhir_element_info *e) {
  fhir_element_info x;
  size_t n = strlen(e->name);
  for (uint32_t i = 0; i < obj.len; i++) {
    val key = obj.u.v[2 * i], slot = obj.u.v[2 * i + 1];
    size_t skip = key.len && key.u.s[0] == '_', len = key.len - skip;
    if (nothing(slot) || len < n || memcmp(key.u.s + skip, e->name, n) != 0) continue;
    if (e->choice ? fhir_choice_of(type, key.u.s + skip, len, &x) && strcmp(x.name, e->name) == 0 : len == n) return true;
  }
  return false;
}

static void check_required(fhir_check *c, val obj, uint16_t type) {
  fhir_element_info e;
  for (unsigned i = 0; fhir_element_at(type, i, &e); i++)
    if (e.min && !has_element(obj, type, &e)) fhir_say(c, FHIR_RULE_REQUIRED, false, obj, "'%s%s' is missing", e.name, e.choice ? "[x]" : "");
}

static void check_extension(fhir_check *c, val obj) {
  fhir_element_info e;
  uint16_t type = fhir_type("Extension", 9);
  bool nested = fhir_slot(obj, "extension") != NULL, has = fhir_element(type, "value", 5, &e) && has_element(obj, type, &e);
  if (nested == has) fhir_say(c, FHIR_RULE_EXTENSION, false, obj, has ? "an extension has a value or extensions, not both" : "an extension has a value or extensions");
}

/* An id alone is no content. */
static bool has_content(val obj) {
  for (uint32_t i = 0; i < obj.len; i++) {
    val key = obj.u.v[2 * i];
    if (!nothing(obj.u.v[2 * i + 1]) && (key.len != 2 || memcmp(key.u.s, "id", 2) != 0)) return true;
  }
  return false;
}

static void check_members(fhir_check *c, val obj, uint16_t type, bool resource) {
  for (uint32_t i = 0; i < obj.len; i++) {
    val key = obj.u.v[2 * i];
    bool tag = key.len == 12 && memcmp(key.u.s, "resourceType", 12) == 0;
    if (!tag || !resource) check_member(c, obj, i, type);
  }
  check_required(c, obj, type);
  if (!resource && !has_content(obj)) fhir_say(c, FHIR_RULE_EMPTY, false, obj, "an element has a value or children");
  if (type == fhir_type("Extension", 9)) check_extension(c, obj);
}

/* One object with its type; a resource may be a Bundle (its entries can be referred to) and has contained ones. */
static void check_object(fhir_check *c, val obj, uint16_t type, bool resource) {
  if (c->depth >= FHIR_DEPTH) {
    fhir_say(c, FHIR_RULE_DEPTH, false, obj, "nested more than %d levels deep", FHIR_DEPTH);
    return;
  }
  c->depth++;
  val container = c->container, bundle = c->bundle;
  const val **urls = c->urls;
  uint32_t cap = c->cap;
  if (resource && !c->inside) c->container = obj;
  if (resource && type == fhir_type("Bundle", 6)) fhir_index_bundle(c, obj);
  check_members(c, obj, type, resource);
  if (resource) fhir_check_contained(c, obj);
  c->container = container;
  c->bundle = bundle;
  c->urls = urls;
  c->cap = cap;
  c->depth--;
}

hdw_status fhir_check_new(arena *a, const fhir_validate_opts *opts, fhir_report *out, fhir_check **check) {
  fhir_check *c = *check = (fhir_check *)arena_zalloc(a, 1, sizeof *c);
  *out = (fhir_report){0};
  if (!c) return HDW_E_NOMEM;
  c->a = a;
  c->out = out;
  if (opts) c->opts = *opts;
  if (!c->opts.max) c->opts.max = PROBLEMS_DEFAULT;
  out->v = (fhir_problem *)arena_zalloc(a, c->opts.max, sizeof *out->v);
  return out->v ? HDW_OK : HDW_E_NOMEM;
}

hdw_status fhir_validate(arena *a, val resource, const fhir_validate_opts *opts, fhir_report *out) {
  fhir_check *c;
  hdw_status s = fhir_check_new(a, opts, out, &c);
  if (s) return s;
  val name = fhir_string_of(c, fhir_slot(resource, "resourceType"));
  if (name.tag == VAL_STR) fhir_path_push(c, name.u.s, name.len > 60 ? 60 : name.len, -1);
  check_resource(c, resource, 0);
  return c->status;
}

hdw_status fhir_validate_part(arena *a, val obj, uint16_t type, const fhir_validate_opts *opts, fhir_report *out) {
  fhir_check *c;
  hdw_status s = fhir_check_new(a, opts, out, &c);
  if (s) return s;
  const char *name = fhir_type_name(type);
  fhir_path_push(c, name, strlen(name), -1);
  check_object(c, obj, type, false);
  return c->status;
}
