/* Look-ups in the generated tables of the FHIR R4 model. */
#include "fhir.h"
#include "fhir_int.h"
#include "value_int.h"
#include <string.h>

typedef struct fhir_type_row {
  uint32_t name;
  uint16_t base;
  uint16_t first_element, n_elements; /* own ones, in order of definition */
  uint16_t first_search, n_searches;  /* sorted by name */
  uint8_t kind, abstract, system, format;
} fhir_type_row;
typedef struct fhir_element_row {
  uint32_t name;
  uint16_t hash;                      /* val_key_hash of the name */
  uint16_t types, n_types, targets, n_targets, codes;
  uint8_t min, max, flags;
  uint16_t owner;
} fhir_element_row;
enum { ELEMENT_CHOICE = 1, ELEMENT_MODIFIER = 2, ELEMENT_SUMMARY = 4, ELEMENT_EXTENSIBLE = 8, ELEMENT_PREFERRED = 16 };
typedef struct fhir_search_row {
  uint32_t name;
  uint8_t type;
  uint16_t targets, n_targets;
  uint32_t expression;
} fhir_search_row;
typedef struct fhir_set_row {
  uint32_t url;
  uint16_t first, n;
} fhir_set_row;
typedef struct fhir_code_row {
  uint32_t code;
  uint32_t system;                    /* twice the row of fhir_systems, and 1 when the set has all codes of the system */
} fhir_code_row;
typedef struct fhir_operation_row {
  uint32_t name;
  uint16_t resource, first, n;        /* sorted by resource and name */
  uint8_t levels;
} fhir_operation_row;
enum { LEVEL_SYSTEM = 1, LEVEL_TYPE = 2, LEVEL_INSTANCE = 4, LEVEL_WRITES = 8 };
typedef struct fhir_parameter_row {
  uint32_t name;
  uint16_t type;
  uint8_t min, max, flags;
} fhir_parameter_row;
enum { PARAMETER_OUT = 1, PARAMETER_PART = 2 };

#include "fhir_tables.inc"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
enum { BASES_MAX = 8 }; /* longest chain of base types; the longest in R4 is 4 */

static int pool_cmp(uint32_t offset, const char *s, size_t len) {
  const char *p = fhir_pool + offset;
  size_t n = strlen(p);
  int c = memcmp(p, s, n < len ? n : len);
  return c ? c : (n > len) - (n < len);
}

static bool same(const char *s, const char *word, size_t len) {
  return strlen(s) == len && memcmp(s, word, len) == 0;
}

/* ---- Types. Row 0 is "no such type". */

static const fhir_type_row *row_of(uint16_t type) {
  return &fhir_types[type < COUNT(fhir_types) ? type : 0];
}

uint16_t fhir_type_count(void) {
  return (uint16_t)(COUNT(fhir_types) - 1);
}

/* Where a name begins to be looked for in a hash table of a power of two. */
static size_t slot_of(uint16_t type, uint16_t hash, size_t size) {
  uint32_t h = (uint32_t)type * 40503u ^ (uint32_t)hash * 34283u;
  return (h ^ hash >> 5) & (size - 1);
}

/* Whether the string at offset is these bytes. */
static bool pool_is(uint32_t offset, const char *s, size_t len) {
  return offset + len < sizeof fhir_pool && fhir_pool[offset + len] == 0 && val_bytes_equal(fhir_pool + offset, s, len);
}

uint16_t fhir_type(const char *name, size_t len) {
  size_t at = slot_of(0, val_key_hash(name, len), COUNT(fhir_names));
  for (; fhir_names[at]; at = (at + 1) & (COUNT(fhir_names) - 1))
    if (pool_is(fhir_types[fhir_names[at]].name, name, len)) return fhir_names[at];
  return 0;
}

const char *fhir_type_name(uint16_t type) {
  return fhir_pool + row_of(type)->name;
}

fhir_kind fhir_type_kind(uint16_t type) {
  return (fhir_kind)row_of(type)->kind;
}

uint16_t fhir_type_base(uint16_t type) {
  return row_of(type)->base;
}

bool fhir_type_abstract(uint16_t type) {
  return row_of(type)->abstract;
}

bool fhir_is_a(uint16_t type, uint16_t base) {
  for (int depth = 0; type && depth < BASES_MAX; depth++, type = row_of(type)->base)
    if (type == base) return true;
  return false;
}

fhir_system fhir_type_system(uint16_t type) {
  return (fhir_system)row_of(type)->system;
}

fhir_format fhir_type_format(uint16_t type) {
  return (fhir_format)row_of(type)->format;
}

uint16_t fhir_resource(const char *name, size_t len) {
  uint16_t t = fhir_type(name, len);
  return fhir_type_kind(t) == FHIR_RESOURCE && !fhir_type_abstract(t) ? t : 0;
}

/* ---- Elements. */

static bool element_out(uint16_t owner, const fhir_element_row *e, fhir_element_info *out) {
  fhir_binding b = !e->codes ? FHIR_BIND_NONE : e->flags & ELEMENT_EXTENSIBLE ? FHIR_BIND_EXTENSIBLE : e->flags & ELEMENT_PREFERRED ? FHIR_BIND_PREFERRED : FHIR_BIND_REQUIRED;
  *out = (fhir_element_info){.name = fhir_pool + e->name, .owner = owner, .min = e->min, .max = e->max, .choice = e->flags & ELEMENT_CHOICE,
                             .modifier = e->flags & ELEMENT_MODIFIER, .summary = e->flags & ELEMENT_SUMMARY, .types = fhir_lists + e->types,
                             .n_types = e->n_types, .targets = fhir_lists + e->targets, .n_targets = e->n_targets,
                             .binding = b, .codes = b == FHIR_BIND_REQUIRED ? e->codes : 0, .advised = b == FHIR_BIND_REQUIRED ? 0 : e->codes};
  return true;
}

const fhir_member *fhir_member_of(uint16_t type, val key) {
  size_t at = slot_of(type, key.aux, COUNT(fhir_members));
  for (; fhir_members[at].element; at = (at + 1) & (COUNT(fhir_members) - 1)) {
    const fhir_member *m = &fhir_members[at];
    if (m->owner == type && m->name_len == key.len && val_bytes_equal(fhir_pool + m->name, key.u.s, key.len)) return m;
  }
  return NULL;
}

bool fhir_member_single(const fhir_member *m) {
  return fhir_elements[m->element - 1].max == 1;
}

const char *fhir_member_name(const fhir_member *m) {
  return fhir_pool + m->name;
}

bool fhir_element(uint16_t type, const char *name, size_t len, fhir_element_info *out) {
  const fhir_member *m = fhir_member_of(type, val_key(name, len));
  return m && !(m->flags & FHIR_MEMBER_TYPED) && element_out(fhir_elements[m->element - 1].owner, &fhir_elements[m->element - 1], out);
}

/* The base types of a type from the root down to itself. */
static unsigned chain_of(uint16_t type, uint16_t chain[BASES_MAX]) {
  uint16_t up[BASES_MAX];
  unsigned n = 0;
  for (; type && n < BASES_MAX; type = row_of(type)->base) up[n++] = type;
  for (unsigned i = 0; i < n; i++) chain[i] = up[n - 1 - i];
  return n;
}

bool fhir_element_at(uint16_t type, unsigned i, fhir_element_info *out) {
  uint16_t chain[BASES_MAX];
  unsigned n = chain_of(type, chain);
  for (unsigned k = 0; k < n; k++) {
    const fhir_type_row *t = row_of(chain[k]);
    if (i < t->n_elements) return element_out(chain[k], &fhir_elements[t->first_element + i], out);
    i -= t->n_elements;
  }
  return false;
}

static char upper(char c) {
  return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

size_t fhir_choice_member(const fhir_element_info *e, uint16_t type, char out[FHIR_MEMBER_MAX]) {
  const char *t = fhir_type_name(type);
  size_t n = strlen(e->name), m = strlen(t);
  if (m == 0 || n + m > FHIR_MEMBER_MAX) return 0;
  memcpy(out, e->name, n);
  memcpy(out + n, t, m);
  out[n] = upper(out[n]);
  return n + m;
}

uint16_t fhir_choice_of(uint16_t type, const char *member, size_t len, fhir_element_info *out) {
  const fhir_member *m = fhir_member_of(type, val_key(member, len));
  if (!m || !(m->flags & FHIR_MEMBER_TYPED)) return 0;
  element_out(fhir_elements[m->element - 1].owner, &fhir_elements[m->element - 1], out);
  return m->type;
}

/* ---- Code sets. */

const char *fhir_codes_url(uint16_t set) {
  return set < COUNT(fhir_sets) ? fhir_pool + fhir_sets[set].url : "";
}

uint16_t fhir_codes_named(const char *url, size_t len) {
  for (uint16_t i = 1; i < COUNT(fhir_sets); i++)
    if (pool_is(fhir_sets[i].url, url, len)) return i;
  return 0;
}

unsigned fhir_codes_count(uint16_t set) {
  return set < COUNT(fhir_sets) ? fhir_sets[set].n : 0;
}

const char *fhir_codes_at(uint16_t set, unsigned i) {
  return i < fhir_codes_count(set) ? fhir_pool + fhir_codes[fhir_sets[set].first + i].code : NULL;
}

const char *fhir_codes_system(uint16_t set, unsigned i) {
  return i < fhir_codes_count(set) ? fhir_pool + fhir_systems[fhir_codes[fhir_sets[set].first + i].system / 2] : NULL;
}

/* The first row of a set with that code, or its number of rows. */
static unsigned code_at(uint16_t set, const char *code, size_t len) {
  unsigned n = fhir_codes_count(set), lo = 0, hi = n;
  while (lo < hi) {
    unsigned mid = (lo + hi) / 2;
    if (pool_cmp(fhir_codes[fhir_sets[set].first + mid].code, code, len) < 0) lo = mid + 1;
    else hi = mid;
  }
  return lo < n && pool_is(fhir_codes[fhir_sets[set].first + lo].code, code, len) ? lo : n;
}

bool fhir_code_in(uint16_t set, const char *code, size_t len) {
  return code_at(set, code, len) < fhir_codes_count(set);
}

bool fhir_coding_in(uint16_t set, const char *system, size_t system_len, const char *code, size_t len) {
  unsigned n = fhir_codes_count(set);
  for (unsigned i = code_at(set, code, len); i < n && pool_is(fhir_codes[fhir_sets[set].first + i].code, code, len); i++)
    if (same(fhir_codes_system(set, i), system, system_len)) return true;
  return false;
}

fhir_system_part fhir_system_in(uint16_t set, const char *system, size_t len) {
  for (unsigned i = 0; i < fhir_codes_count(set); i++)
    if ((i == 0 || fhir_codes_system(set, i) != fhir_codes_system(set, i - 1)) && same(fhir_codes_system(set, i), system, len))
      return fhir_codes[fhir_sets[set].first + i].system & 1 ? FHIR_SYSTEM_WHOLE : FHIR_SYSTEM_PART;
  return FHIR_SYSTEM_NONE;
}

/* ---- Search. */

static const char *const controls[] = {"_sort", "_count", "_include", "_revinclude", "_summary", "_total", "_elements", "_contained", "_containedType",
                                       "_format", "_pretty"};
/* For every resource, but defined in the text of the search page instead of as SearchParameter. */
static const char *const specials[] = {"_has", "_filter", "_list", "_type"};

static bool search_out(const fhir_search_row *s, fhir_search_info *out) {
  *out = (fhir_search_info){.name = fhir_pool + s->name, .type = (fhir_search_type)s->type, .targets = fhir_lists + s->targets,
                            .n_targets = s->n_targets, .expression = fhir_pool + s->expression};
  return true;
}

static bool search_named(const char *const *list, size_t n, fhir_search_type type, const char *name, size_t len, fhir_search_info *out) {
  for (size_t i = 0; i < n; i++)
    if (same(list[i], name, len)) {
      *out = (fhir_search_info){.name = list[i], .type = type, .targets = fhir_lists, .expression = ""};
      return true;
    }
  return false;
}

bool fhir_search_param(uint16_t resource, const char *name, size_t len, fhir_search_info *out) {
  if (fhir_type_kind(resource) != FHIR_RESOURCE) return false;
  for (uint16_t t = resource; t; t = row_of(t)->base) {
    size_t lo = row_of(t)->first_search, hi = lo + row_of(t)->n_searches;
    while (lo < hi) {
      size_t mid = (lo + hi) / 2;
      int c = pool_cmp(fhir_searches[mid].name, name, len);
      if (c == 0) return search_out(&fhir_searches[mid], out);
      if (c < 0)
        lo = mid + 1;
      else
        hi = mid;
    }
  }
  return search_named(controls, COUNT(controls), FHIR_SP_CONTROL, name, len, out) ||
         search_named(specials, COUNT(specials), FHIR_SP_SPECIAL, name, len, out);
}

bool fhir_search_at(uint16_t resource, unsigned i, fhir_search_info *out) {
  if (fhir_type_kind(resource) != FHIR_RESOURCE) return false;
  for (uint16_t t = resource; t; t = row_of(t)->base) {
    if (i < row_of(t)->n_searches) return search_out(&fhir_searches[row_of(t)->first_search + i], out);
    i -= row_of(t)->n_searches;
  }
  return false;
}

/* The table of modifiers of the R4 search page. */
bool fhir_search_modifier(const fhir_search_info *p, const char *modifier, size_t len) {
  static const struct { fhir_search_type type; const char *words; } allowed[] = {
    {FHIR_SP_STRING, " exact contains "}, {FHIR_SP_TOKEN, " text not above below in not-in of-type "},
    {FHIR_SP_REFERENCE, " identifier above below "}, {FHIR_SP_URI, " above below "}};
  if (len == 0 || len > 40) return false;
  if (p->type == FHIR_SP_CONTROL)
    return same("iterate", modifier, len) && (strcmp(p->name, "_include") == 0 || strcmp(p->name, "_revinclude") == 0);
  if (p->type == FHIR_SP_SPECIAL) return false;
  if (same("missing", modifier, len)) return true;
  for (size_t i = 0; i < COUNT(allowed); i++)
    if (allowed[i].type == p->type) {
      char word[44];
      word[0] = ' ';
      memcpy(word + 1, modifier, len);
      memcpy(word + 1 + len, " ", 2);
      if (!memchr(modifier, ' ', len) && strstr(allowed[i].words, word)) return true;
    }
  if (p->type != FHIR_SP_REFERENCE) return false;
  uint16_t r = fhir_resource(modifier, len);
  for (unsigned i = 0; r && i < p->n_targets; i++)
    if (fhir_is_a(r, p->targets[i])) return true;
  return false;
}

/* ---- Operations. */

bool fhir_operation_at(unsigned i, fhir_operation_info *out) {
  if (i >= COUNT(fhir_operations)) return false;
  const fhir_operation_row *r = &fhir_operations[i];
  *out = (fhir_operation_info){.name = fhir_pool + r->name, .resource = r->resource, .system = r->levels & LEVEL_SYSTEM, .type = r->levels & LEVEL_TYPE,
                               .instance = r->levels & LEVEL_INSTANCE, .writes = r->levels & LEVEL_WRITES, .first = r->first, .n = r->n};
  return true;
}

/* Whether the resource has the operation; no resource has those that are called on the system. */
static bool has_operation(uint16_t resource, const fhir_operation_info *op) {
  return resource ? fhir_is_a(resource, op->resource) : op->system;
}

bool fhir_operation(uint16_t resource, const char *name, size_t len, fhir_operation_info *out) {
  for (unsigned i = 0; fhir_operation_at(i, out); i++)
    if (has_operation(resource, out) && same(out->name, name, len)) return true;
  return false;
}

bool fhir_parameter_at(const fhir_operation_info *op, unsigned i, fhir_parameter_info *out) {
  if (i >= op->n || op->first + i >= COUNT(fhir_parameters)) return false;
  const fhir_parameter_row *r = &fhir_parameters[op->first + i];
  *out = (fhir_parameter_info){.name = fhir_pool + r->name, .type = r->type, .min = r->min, .max = r->max, .out = r->flags & PARAMETER_OUT, .part = r->flags & PARAMETER_PART};
  return true;
}

/* ---- Did you mean. */

static void offer(nearest *n, const char *s) {
  nearest_offer(n, s, strlen(s));
}

void fhir_nearest_type(nearest *n, bool resources_only) {
  for (uint16_t t = 1; t < COUNT(fhir_types); t++)
    if (!resources_only || (fhir_type_kind(t) == FHIR_RESOURCE && !fhir_type_abstract(t))) offer(n, fhir_type_name(t));
}

void fhir_nearest_backbone(nearest *n, const char *of, size_t len) {
  for (uint16_t t = 1; t < COUNT(fhir_types); t++) {
    const char *name = fhir_type_name(t);
    if (fhir_type_kind(t) == FHIR_BACKBONE && strncmp(name, of, len) == 0 && name[len] == '.' && !strchr(name + len + 1, '.')) offer(n, name);
  }
}

void fhir_nearest_element(nearest *n, uint16_t type) {
  fhir_element_info e;
  for (unsigned i = 0; fhir_element_at(type, i, &e); i++) offer(n, e.name);
}

void fhir_nearest_search(nearest *n, uint16_t resource) {
  fhir_search_info p;
  for (unsigned i = 0; fhir_search_at(resource, i, &p); i++) offer(n, p.name);
  for (size_t i = 0; i < COUNT(controls); i++) offer(n, controls[i]);
  for (size_t i = 0; i < COUNT(specials); i++) offer(n, specials[i]);
}

void fhir_nearest_operation(nearest *n, uint16_t resource) {
  fhir_operation_info op;
  for (unsigned i = 0; fhir_operation_at(i, &op); i++)
    if (has_operation(resource, &op)) offer(n, op.name);
}

void fhir_nearest_code(nearest *n, uint16_t set) {
  for (unsigned i = 0; i < fhir_codes_count(set); i++) offer(n, fhir_codes_at(set, i));
}
