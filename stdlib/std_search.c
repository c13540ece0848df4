/* std_search.c - values of FHIR search parameters as text (R4 search, sections 2.1.1.1 and 3.1.1.4); results of FHIR connections as typed values.
 *
 *   'ge2020'                      the author's text, as it stands (no native is called)
 *   "urn:oid:1.2|{mrn}"           holes are escaped: \ , $ | get a backslash
 *   token(system, code)           escaped by token()
 *   Coding, Identifier, Quantity  system|code, system|value, value|system|code
 *   a list                        any of them: joined by commas
 *   { ge: a, lt: b }              all of them: the parameter twice. A Period, a Range: the same
 *   {}                            false: nothing is equal to what is not there, so the search finds nothing */
#include "fhir.h"
#include "fp_int.h"

hdw_status std_search_value(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_search_and(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_search_extra(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_page_after(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_fhir_adopt(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_fhir_found(vm_cx *cx, const val *args, unsigned n, val *out);

enum { PARAM_MAX = 1 << 20, DEEPEST = 16 };
typedef struct how {
  bool optional;             /* o: {} is left out */
  bool repeats;              /* r: a list is the parameter several times (_include) */
  bool uri;                  /* u: '|' is a version's, not a separator */
  unsigned depth;            /* of values in values */
} how;

static void escaped(buf *b, const char *s, size_t len, bool uri) {
  for (size_t i = 0; i < len; i++) {
    if (s[i] == '\\' || s[i] == ',' || s[i] == '$' || (s[i] == '|' && !uri)) buf_putc(b, '\\');
    buf_putc(b, s[i]);
  }
}

static bool is_token(val v) { return v.tag == VAL_STR && (v.flags & VALF_TYPED) && v.aux == fhir_type("Coding", 6); }

static hdw_status member(vm_cx *cx, val obj, const char *name, val *out) {
  val v = VAL_NONE;
  const val *slot = val_obj_get(obj, val_key(name, strlen(name)));
  hdw_status s = slot ? val_norm(cx->a, *slot, &v) : HDW_OK;
  *out = v;
  return s;
}

static hdw_status one(vm_cx *cx, buf *b, val v, how h);

static how below(how h) { return (how){.uri = h.uri, .depth = h.depth + 1}; }
/* A value in which '|' is none of a version's. */
static how inside(how h) { return (how){.depth = h.depth + 1}; }

static hdw_status part(vm_cx *cx, buf *b, val obj, const char *name, how h) {
  val v;
  hdw_status s = member(cx, obj, name, &v);
  return s || v.tag == VAL_EMPTY ? s : one(cx, b, v, inside(h));
}

static hdw_status codings(vm_cx *cx, buf *b, val list, how h) {
  for (uint32_t i = 0; i < val_count(list); i++) {
    if (i) buf_putc(b, ',');
    hdw_status s = one(cx, b, val_item(list, i), h);
    if (s) return s;
  }
  return HDW_OK;
}

/* Resource, Reference, CodeableConcept, Coding, Quantity, Identifier, ContactPoint: known by what they have. */
static hdw_status object(vm_cx *cx, buf *b, val v, how h) {
  val type, id, x;
  hdw_status s = member(cx, v, "resourceType", &type);
  if (!s) s = member(cx, v, "id", &id);
  if (s) return s;
  if (type.tag == VAL_STR && id.tag == VAL_STR) {
    buf_put(b, type.u.s, type.len);
    buf_putc(b, '/');
    escaped(b, id.u.s, id.len, false);
    return HDW_OK;
  }
  if (!(s = member(cx, v, "reference", &x)) && x.tag == VAL_STR) return escaped(b, x.u.s, x.len, false), HDW_OK;
  if (!s && !(s = member(cx, v, "coding", &x)) && x.tag != VAL_EMPTY) return codings(cx, b, x, below(h));
  val code, value;
  if (!s) s = member(cx, v, "code", &code);
  if (!s) s = member(cx, v, "value", &value);
  if (s) return s;
  if (value.tag == VAL_DEC || value.tag == VAL_INT || value.tag == VAL_LONG) { /* Quantity: number|system|code */
    s = one(cx, b, value, below(h));
    buf_putc(b, '|');
    if (!s) s = part(cx, b, v, "system", h);
    buf_putc(b, '|');
    if (!s) s = part(cx, b, v, code.tag == VAL_EMPTY ? "unit" : "code", h);
    return s;
  }
  if (code.tag == VAL_EMPTY && value.tag == VAL_EMPTY) return vm_fail(cx, HDW_E_TYPE, "an object without code, value or reference is no value of a search parameter");
  s = part(cx, b, v, "system", h);
  buf_putc(b, '|');
  return s ? s : one(cx, b, code.tag == VAL_EMPTY ? value : code, inside(h));
}

/* Calendar units are durations, which servers know by their UCUM code. */
static const char *ucum(const val_quantity *q, bool calendar) {
  static const char *const units[][2] = {{"year", "a"}, {"month", "mo"}, {"week", "wk"}, {"day", "d"}, {"hour", "h"}, {"minute", "min"}, {"second", "s"}, {"millisecond", "ms"}};
  for (size_t i = 0; calendar && i < sizeof units / sizeof *units; i++)
    if (strlen(units[i][0]) == q->unit_len && memcmp(units[i][0], q->unit, q->unit_len) == 0) return units[i][1];
  return NULL;
}

static hdw_status one(vm_cx *cx, buf *b, val v, how h) {
  val t;
  hdw_status s = vm_charge(cx, 1 + (v.tag == VAL_STR ? v.len / 16 : 0));
  if (s) return s;
  if (h.depth > DEEPEST) return vm_fail(cx, HDW_E_TYPE, "the value of a search parameter is nested too deep");
  if (v.tag == VAL_OBJ) {
    s = fp_system(cx, v, &t);
    if (!s && t.tag != VAL_OBJ && t.tag != VAL_QTY && t.tag != VAL_EMPTY) v = t;
  }
  switch (v.tag) {
  case VAL_OBJ: return object(cx, b, v, h);
  case VAL_QTY: {
    const val_quantity *q = (const val_quantity *)v.u.p;
    val number;
    const char *calendar = ucum(q, (v.flags & VALF_CALENDAR) != 0);
    s = val_from_dec(cx->a, &q->value, &number);
    if (!s) s = val_to_str(cx->a, number, &t);
    if (s) return s;
    buf_put(b, t.u.s, t.len);
    if (q->unit_len == 1 && q->unit[0] == '1') return HDW_OK;
    buf_puts(b, "|http://unitsofmeasure.org|");
    if (calendar) buf_puts(b, calendar);
    else escaped(b, q->unit, q->unit_len, false);
    return HDW_OK;
  }
  case VAL_TPL:
    for (uint32_t i = 0; i < v.len && !s; i++) {
      val p = v.u.v[i];
      if (i % 2 == 0) buf_put(b, p.u.s, p.len);
      else s = codings(cx, b, p, inside(h));
    }
    return s;
  default: break;
  }
  if (v.tag == VAL_HL7) s = fp_system(cx, v, &v);
  if (!s) s = val_to_str(cx->a, v, &t);
  if (s || t.tag != VAL_STR) return s ? vm_fail(cx, HDW_E_TYPE, "this is no value of a search parameter") : HDW_OK;
  if (is_token(v)) buf_put(b, t.u.s, t.len);
  else escaped(b, t.u.s, t.len, h.uri || v.tag != VAL_STR);
  return HDW_OK;
}

static hdw_status text(vm_cx *cx, const char *prefix, val v, how h, val *out) {
  buf b;
  buf_init(&b, cx->a, PARAM_MAX);
  buf_puts(&b, prefix);
  hdw_status s = codings(cx, &b, v, h);
  if (s || b.status) return s ? s : (hdw_status)b.status;
  *out = val_str(b.p ? b.p : "", b.len);
  return HDW_OK;
}

/* { ge: a, lt: b }, a Period, a Range: two conditions. *is false: something else. */
static hdw_status range(vm_cx *cx, val v, how h, bool *is, val *out) {
  static const char *const names[][2] = {{"eq", "eq"}, {"ne", "ne"}, {"gt", "gt"}, {"lt", "lt"}, {"ge", "ge"}, {"le", "le"}, {"sa", "sa"}, {"eb", "eb"}, {"ap", "ap"},
                                         {"start", "ge"}, {"end", "le"}, {"low", "ge"}, {"high", "le"}};
  val_builder b = {0};
  bool known = false;
  for (uint32_t i = 0; i < v.len; i++) {
    val k = v.u.v[2 * i], x, t;
    size_t at = 0;
    while (at < sizeof names / sizeof *names && !(strlen(names[at][0]) == k.len && !memcmp(names[at][0], k.u.s, k.len))) at++;
    if (at == sizeof names / sizeof *names) {
      if (known) return vm_fail(cx, HDW_E_TYPE, "a range has members of eq ne gt lt ge le sa eb ap only");
      *is = false;
      return HDW_OK;
    }
    known = true;
    hdw_status s = val_norm(cx->a, v.u.v[2 * i + 1], &x);
    if (s) return s;
    if (x.tag == VAL_EMPTY) continue;
    if (x.tag == VAL_LIST) return vm_fail(cx, HDW_E_CARD, "an end of a range is one value");
    s = text(cx, names[at][1], x, h, &t);
    if (!s) s = val_push(cx->a, &b, t);
    if (s) return s;
  }
  *is = known;
  *out = val_build(&b);
  return HDW_OK;
}

static hdw_status several(vm_cx *cx, val v, how h, val *out) {
  val_builder b = {0};
  for (uint32_t i = 0; i < v.len; i++) {
    val t;
    hdw_status s = text(cx, "", v.u.v[i], h, &t);
    if (!s) s = val_push(cx->a, &b, t);
    if (s) return s;
  }
  *out = val_build(&b);
  return HDW_OK;
}

/* Text, or a list of texts that must all hold; {} when it is left out; false when nothing can be found. */
static hdw_status param(vm_cx *cx, val v, how h, val *out) {
  bool is = false;
  *out = VAL_NONE;
  if (v.tag == VAL_OBJ) {
    hdw_status s = range(cx, v, h, &is, out);
    if (s) return s;
    if (!is) return text(cx, "", v, h, out);
  } else if (v.tag == VAL_LIST && h.repeats) return several(cx, v, h, out);
  else if (v.tag != VAL_EMPTY) return text(cx, "", v, h, out);
  if (out->tag == VAL_EMPTY && !h.optional) *out = val_bool(false);
  return HDW_OK;
}

hdw_status std_search_value(vm_cx *cx, const val *args, unsigned n, val *out) {
  how h = {0};
  (void)n;
  for (uint32_t i = 0; args[1].tag == VAL_STR && i < args[1].len; i++) {
    h.optional |= args[1].u.s[i] == 'o';
    h.repeats |= args[1].u.s[i] == 'r';
    h.uri |= args[1].u.s[i] == 'u';
  }
  return param(cx, args[0], h, out);
}

/* The same parameter twice: both hold. */
hdw_status std_search_and(vm_cx *cx, const val *args, unsigned n, val *out) {
  val_builder b = {0};
  (void)n;
  for (int i = 0; i < 2; i++)
    if (args[i].tag == VAL_BOOL) return *out = args[i], HDW_OK;
  hdw_status s = val_push(cx->a, &b, args[0]);
  if (!s) s = val_push(cx->a, &b, args[1]);
  *out = s ? VAL_NONE : val_build(&b);
  return s;
}

/* Each member of an object as a parameter; empty ones are left out. A text is a query as it is. */
hdw_status std_search_extra(vm_cx *cx, const val *args, unsigned n, val *out) {
  val o = args[0];
  (void)n;
  *out = o;
  if (o.tag != VAL_OBJ) return o.tag == VAL_EMPTY || o.tag == VAL_STR ? HDW_OK : vm_fail(cx, HDW_E_TYPE, "search parameters are an object { name: value }");
  val *kv = (val *)arena_alloc(cx->a, (size_t)o.len * 2 * sizeof *kv + 1);
  uint32_t k = 0;
  if (!kv) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < o.len; i++) {
    val v;
    hdw_status s = val_norm(cx->a, o.u.v[2 * i + 1], &v);
    if (!s) s = param(cx, v, (how){.optional = true, .repeats = o.u.v[2 * i].len && o.u.v[2 * i].u.s[0] == '_'}, &v);
    if (s) return s;
    if (v.tag == VAL_EMPTY) continue;
    kv[2 * k] = o.u.v[2 * i];
    kv[2 * k + 1] = v;
    k++;
  }
  *out = (val){.tag = VAL_OBJ, .len = k, .u.v = kv};
  return HDW_OK;
}

/* ---- results */

hdw_status std_page_after(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  *out = VAL_NONE;
  return args[0].tag == VAL_OBJ ? member(cx, args[0], "after", out) : HDW_OK;
}

hdw_status std_fhir_adopt(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  hdw_status s = vm_charge(cx, 1 + val_count(args[0]));
  return s ? s : fhir_adopt_all(cx->a, args[0], out);
}

/* What a search gave, its resources typed: match, include, outcome and those of entry. */
hdw_status std_fhir_found(vm_cx *cx, const val *args, unsigned n, val *out) {
  val o = args[0];
  (void)n;
  *out = o;
  if (o.tag != VAL_OBJ) return HDW_OK;
  val *kv = (val *)arena_alloc(cx->a, (size_t)o.len * 2 * sizeof *kv + 1);
  if (!kv) return HDW_E_NOMEM;
  memcpy(kv, o.u.v, (size_t)o.len * 2 * sizeof *kv);
  uint16_t entry = fhir_type("Bundle.entry", 12);
  for (uint32_t i = 0; i < o.len; i++) {
    val k = kv[2 * i], v;
    bool resources = (k.len == 5 && !memcmp(k.u.s, "match", 5)) || (k.len == 7 && (!memcmp(k.u.s, "include", 7) || !memcmp(k.u.s, "outcome", 7)));
    bool entries = k.len == 5 && !memcmp(k.u.s, "entry", 5);
    if (!resources && !entries) continue;
    hdw_status s = val_norm(cx->a, kv[2 * i + 1], &v);
    if (!s) s = vm_charge(cx, val_count(v));
    if (!s && resources) s = fhir_adopt_all(cx->a, v, &kv[2 * i + 1]);
    if (s) return s;
    if (resources) continue;
    val_builder b = {0};
    for (uint32_t j = 0; j < val_count(v) && !s; j++) s = val_push(cx->a, &b, fhir_as(val_item(v, j), entry));
    if (s) return s;
    kv[2 * i + 1] = val_build(&b);
  }
  *out = (val){.tag = VAL_OBJ, .len = o.len, .u.v = kv};
  return HDW_OK;
}
