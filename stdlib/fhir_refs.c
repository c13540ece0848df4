/* References, contained resources and the entries of a Bundle, for the validator. */
#include <string.h>
#include "fhir_vint.h"

/* ---- Entries by fullUrl. */

static uint32_t url_hash(val s) {
  uint32_t h = 2166136261u;
  for (uint32_t i = 0; i < s.len; i++) h = (h ^ (unsigned char)s.u.s[i]) * 16777619u;
  return h;
}

static bool same_text(val a, val b) {
  return a.len == b.len && memcmp(a.u.s, b.u.s, a.len) == 0;
}

/* The slot of the entry with that fullUrl, or the free one. */
static const val **url_slot(fhir_check *c, val url) {
  for (uint32_t i = url_hash(url) & (c->cap - 1);; i = (i + 1) & (c->cap - 1))
    if (!c->urls[i] || !fhir_pay(c, 4) || same_text(fhir_string_of(c, fhir_slot(*c->urls[i], "fullUrl")), url)) return &c->urls[i];
}

void fhir_index_bundle(fhir_check *c, val bundle) {
  const val *list = fhir_slot(bundle, "entry");
  c->bundle = bundle;
  c->urls = NULL;
  c->cap = 0;
  if (!list || list->tag != VAL_LIST || list->len == 0 || list->len > 1 << 24) return;
  uint32_t cap = 16;
  while (cap < 2 * list->len) cap *= 2;
  c->urls = (const val **)arena_zalloc(c->a, cap, sizeof *c->urls);
  if (!c->urls) {
    c->status = HDW_E_NOMEM;
    return;
  }
  c->cap = cap;
  for (uint32_t i = 0; i < list->len; i++) {
    val url = fhir_string_of(c, fhir_slot(list->u.v[i], "fullUrl"));
    if (url.tag == VAL_STR) *url_slot(c, url) = &list->u.v[i];
  }
}

/* ---- References. */

static uint16_t resource_of(fhir_check *c, const val *obj) {
  val name = obj ? fhir_string_of(c, fhir_slot(*obj, "resourceType")) : VAL_NONE;
  return name.tag == VAL_STR ? fhir_resource(name.u.s, name.len) : 0;
}

static void target(fhir_check *c, val at, const fhir_element_info *e, uint16_t type) {
  if (!type || !e->n_targets) return;
  for (uint16_t i = 0; i < e->n_targets; i++)
    if (fhir_is_a(type, e->targets[i])) return;
  fhir_say(c, FHIR_RULE_REFERENCE, false, at, "'%s' cannot refer to a %s", e->name, fhir_type_name(type));
}

/* The contained resource with that id, or NULL. */
static const val *contained(fhir_check *c, const char *id, size_t len) {
  const val *list = fhir_slot(c->container, "contained");
  uint32_t n = !list ? 0 : list->tag == VAL_LIST ? list->len : 1;
  for (uint32_t i = 0; i < n && fhir_pay(c, 4); i++) {
    const val *r = list->tag == VAL_LIST ? &list->u.v[i] : list;
    val have = fhir_string_of(c, fhir_slot(*r, "id"));
    if (have.tag == VAL_STR && have.len == len && memcmp(have.u.s, id, len) == 0) return r;
  }
  return NULL;
}

/* "Patient/123", "Patient/123/_history/2", "Patient?identifier=…": the type; 0 when it has another form. */
static uint16_t relative(const char *s, size_t len, bool *conditional) {
  size_t n = 0;
  while (n < len && s[n] != '/' && s[n] != '?') n++;
  uint16_t type = fhir_resource(s, n);
  *conditional = n < len && s[n] == '?';
  if (!type || n + 1 >= len) return 0;
  if (*conditional) return type;
  size_t id = ++n;
  while (n < len && s[n] != '/') n++;
  if (!fhir_format_ok(FHIR_FMT_ID, s + id, n - id)) return 0;
  if (n == len) return type;
  if (len - n <= 10 || memcmp(s + n, "/_history/", 10) != 0) return 0;
  return fhir_format_ok(FHIR_FMT_ID, s + n + 10, len - n - 10) ? type : 0;
}

/* The type that a URL of a RESTful server names, 0 when it is another URL. */
static uint16_t restful(const char *s, size_t len) {
  bool conditional;
  for (size_t i = len; i-- > 0;) {
    uint16_t t = s[i] == '/' ? relative(s + i + 1, len - i - 1, &conditional) : 0;
    if (t && !conditional) return t;
  }
  return 0;
}

static bool has_scheme(const char *s, size_t len) {
  size_t i = 0;
  while (i < len && ((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (i && ((s[i] >= '0' && s[i] <= '9') || s[i] == '+' || s[i] == '-' || s[i] == '.')))) i++;
  return i > 0 && i < len && s[i] == ':';
}

static void in_bundle(fhir_check *c, val ref, const fhir_element_info *e, bool urn) {
  const val *entry = c->urls ? *url_slot(c, ref) : NULL;
  if (entry) {
    target(c, ref, e, resource_of(c, fhir_slot(*entry, "resource")));
  } else if (urn && c->bundle.tag == VAL_OBJ) {
    val type = fhir_string_of(c, fhir_slot(c->bundle, "type"));
    bool must = type.tag == VAL_STR && ((type.len == 11 && memcmp(type.u.s, "transaction", 11) == 0) || (type.len == 8 && memcmp(type.u.s, "document", 8) == 0));
    fhir_say(c, FHIR_RULE_REFERENCE, !must, ref, "no entry of the bundle has this fullUrl");
  }
}

static void local(fhir_check *c, val ref, const fhir_element_info *e) {
  if (ref.len == 1) { /* "#": from a contained resource to what contains it */
    if (!c->inside) fhir_say(c, FHIR_RULE_REFERENCE, false, ref, "'#' alone is for contained resources: it refers to what contains them");
    target(c, ref, e, resource_of(c, &c->container));
    return;
  }
  const val *r = contained(c, ref.u.s + 1, ref.len - 1);
  if (r)
    target(c, ref, e, resource_of(c, r));
  else
    fhir_say(c, FHIR_RULE_REFERENCE, false, ref, "no contained resource has this id");
}

static void reference_text(fhir_check *c, val ref, const fhir_element_info *e) {
  bool conditional;
  if (ref.len == 0) return; /* said already: no string is empty */
  if (ref.u.s[0] == '#') {
    local(c, ref, e);
    return;
  }
  uint16_t type = relative(ref.u.s, ref.len, &conditional);
  if (type) {
    target(c, ref, e, type);
  } else if (has_scheme(ref.u.s, ref.len)) {
    bool urn = ref.len > 4 && memcmp(ref.u.s, "urn:", 4) == 0;
    in_bundle(c, ref, e, urn);
    if (!urn) target(c, ref, e, restful(ref.u.s, ref.len));
  } else {
    fhir_say(c, FHIR_RULE_REFERENCE, false, ref, "a reference is Type/id, #id, or a URL");
  }
}

void fhir_check_reference(fhir_check *c, val ref, const fhir_element_info *e) {
  const val *slot = fhir_slot(ref, "reference");
  val text = fhir_string_of(c, slot), type = fhir_string_of(c, fhir_slot(ref, "type"));
  if (text.tag == VAL_STR) {
    size_t back = fhir_path_push(c, "reference", 9, -1);
    reference_text(c, text, e);
    fhir_path_pop(c, back);
  } else if (!slot && !fhir_slot(ref, "identifier") && !fhir_slot(ref, "display") && !fhir_slot(ref, "extension") && !fhir_slot(ref, "_reference") && ref.len) {
    fhir_say(c, FHIR_RULE_REFERENCE, true, ref, "a reference has a reference, an identifier or a display");
  }
  if (type.tag == VAL_STR) target(c, type, e, fhir_resource(type.u.s, type.len));
}

/* ---- Contained resources. */

/* Whether some string inside v is '#' and the id. A contained resource that refers to what contains it ("#") counts as used, too. */
static bool mentions(fhir_check *c, val v, const char *id, size_t len, unsigned depth) {
  if (v.tag == VAL_STR && !(v.flags & VALF_ESC)) return v.len == len + 1 && v.u.s[0] == '#' && memcmp(v.u.s + 1, id, len) == 0;
  if (depth >= FHIR_DEPTH || !fhir_pay(c, 1)) return true;
  uint32_t n = v.tag == VAL_LIST ? v.len : v.tag == VAL_OBJ ? v.len : 0;
  for (uint32_t i = 0; i < n; i++)
    if (mentions(c, v.tag == VAL_OBJ ? v.u.v[2 * i + 1] : v.u.v[i], id, len, depth + 1)) return true;
  return false;
}

void fhir_check_contained(fhir_check *c, val resource) {
  const val *list = fhir_slot(resource, "contained");
  if (!list || list->tag != VAL_LIST) return;
  for (uint32_t i = 0; i < list->len; i++) {
    val id = fhir_string_of(c, fhir_slot(list->u.v[i], "id"));
    size_t back = fhir_path_push(c, "contained", 9, (long)i);
    if (id.tag != VAL_STR)
      fhir_say(c, FHIR_RULE_CONTAINED, false, list->u.v[i], "a contained resource needs an id: nothing can refer to it");
    else if (!mentions(c, resource, id.u.s, id.len, 0) && !mentions(c, list->u.v[i], "", 0, 0))
      fhir_say(c, FHIR_RULE_CONTAINED, true, list->u.v[i], "nothing refers to this contained resource");
    fhir_path_pop(c, back);
  }
}
