/* gen_name.c - names of the document as names of the language: they read well, never collide, and are no words that mean something. */
#include "gen_int.h"
#include <stdio.h>

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool lower_case(char c) { return c >= 'a' && c <= 'z'; }
static bool upper_case(char c) { return c >= 'A' && c <= 'Z'; }
static char to_lower(char c) { return upper_case(c) ? (char)(c + 32) : c; }
static char to_upper(char c) { return lower_case(c) ? (char)(c - 32) : c; }

bool gen_is_word(str s) {
  if (!s.len || s.len > 200 || digit(s.p[0])) return false;
  for (size_t i = 0; i < s.len; i++)
    if (!letter(s.p[i]) && !digit(s.p[i]) && s.p[i] != '_') return false;
  return true;
}

/* Words that cannot stand for a value first in an expression, or mean something in every action. */
static bool reserved(str s) {
  static const char *const words[] = {"div", "mod", "and", "or", "xor", "implies", "true", "false", "is", "as", "in", "contains", "error", "run", "extra", "max", "answer"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (str_is(s, words[i])) return true;
  return false;
}

/* ---- sets of names */

static str name_of(const void *user, uint32_t row) { return ((const gen_names *)user)->v[row]; }

bool gen_take(gen *g, gen_names *used, str name) {
  if (name_find(&used->t, name, name_of, used) != MOD_NO_INDEX) return false;
  if (used->n == used->cap) {
    uint32_t cap = used->cap ? used->cap * 2 : 32;
    str *v = arena_grow(g->a, used->v, used->cap * sizeof *v, cap * sizeof *v);
    if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return true; }
    used->v = v;
    used->cap = cap;
  }
  used->v[used->n] = name;
  if (!name_add(g->a, &used->t, name, used->n, name_of, used)) gen_fail(g, HDW_E_NOMEM, "out of memory");
  used->n++;
  return true;
}

uint32_t gen_index(const gen_names *used, str name) { return name_find(&used->t, name, name_of, used); }

str gen_unique(gen *g, gen_names *used, str name) {
  if (gen_take(g, used, name)) return name;
  size_t room = name.len + 12;
  char *p = arena_alloc(g->a, room);
  if (!p) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return name; }
  for (uint32_t i = 2;; i++) {
    str s = {p, (size_t)snprintf(p, room, "%.*s_%u", STR(name), i)};
    if (g->status || gen_take(g, used, s)) return s;
  }
}

/* ---- words */

/* Runs of letters and digits; another begins at a capital behind a small letter, and at the last capital of several before a small one ("HTTPServer"). */
static size_t next_word(str s, size_t *at) {
  size_t i = *at;
  while (i < s.len && !letter(s.p[i]) && !digit(s.p[i])) i++;
  *at = i;
  if (i == s.len) return 0;
  size_t from = i++;
  while (i < s.len && (letter(s.p[i]) || digit(s.p[i]))) {
    bool up = upper_case(s.p[i]);
    if (up && !upper_case(s.p[i - 1])) break;
    if (up && i + 1 < s.len && lower_case(s.p[i + 1])) break;
    i++;
  }
  return i - from;
}

str gen_words(gen *g, str s, char join, bool upper) {
  buf b;
  buf_init(&b, g->a, GEN_NAME_MAX * 2);
  size_t at = 0, n;
  while ((n = next_word(s, &at)) && b.len + n < GEN_NAME_MAX) {
    bool first = b.len == 0, all_caps = true;
    if (!first && join) buf_putc(&b, join);
    for (size_t i = 0; i < n; i++) all_caps &= !lower_case(s.p[at + i]);
    if (first && digit(s.p[at])) buf_putc(&b, join == '_' ? 'n' : upper ? 'N' : 'n');
    for (size_t i = 0; i < n; i++) {
      char c = s.p[at + i];
      bool cap = !join && i == 0 && (!first || upper);
      buf_putc(&b, cap ? to_upper(c) : join || (first && !upper) || (all_caps && n > 1 && i) ? to_lower(c) : c);
    }
    at += n;
  }
  return (str){b.p ? b.p : "", b.len};
}

/* ---- names of a kind */

str gen_param_name(gen *g, gen_names *used, str raw) {
  str name = raw;
  if (!gen_is_word(raw) || raw.len > GEN_NAME_MAX) {
    name = gen_words(g, raw, '_', false);
    if (raw.len && raw.p[0] == '_' && name.len) name = str_of(gen_fmt(g, "_%.*s", STR(name)));
  } else if (upper_case(raw.p[0])) {
    name = gen_words(g, raw, 0, false);
  }
  if (!name.len) name = str_of("value");
  if (reserved(name) || str_eq(name, g->conn)) name = str_of(gen_fmt(g, "%.*s_", STR(name)));
  return gen_unique(g, used, name);
}

str gen_decl_name(gen *g, str name) {
  const char *p = g->o->prefix;
  if (p && *p) name = str_of(gen_fmt(g, "%s%c%.*s", p, to_upper(name.p[0]), (int)(name.len - 1), name.p + 1));
  if (reserved(name)) name = str_of(gen_fmt(g, "%.*s_", STR(name)));
  return gen_unique(g, &g->decls, name);
}

/* A payload of the name of a FHIR or HL7 type, or of a type of the language, would hide it from the whole program. */
static bool other_type(str s) {
  static const char *const own[] = {"Boolean", "Integer", "Long", "Decimal", "String", "Date", "DateTime", "Time", "Quantity", "Message", "Object", "Binary", "Any"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (str_is(s, own[i])) return true;
  return fhir_type(s.p, s.len) || dict_message(s.p, s.len) >= 0 || dict_segment(s.p, s.len) >= 0 || dict_datatype(s.p, s.len) >= 0;
}

str gen_type_name(gen *g, str raw) {
  str name = gen_words(g, raw, 0, true);
  if (!name.len) name = str_of("Record");
  const char *p = g->o->prefix;
  str front = p && *p ? str_of(p) : other_type(name) ? g->conn : (str){0};
  if (front.len) name = str_of(gen_fmt(g, "%.*s%.*s", STR(gen_words(g, front, 0, true)), STR(name)));
  if (other_type(name)) name = str_of(gen_fmt(g, "%.*sRecord", STR(name)));
  return gen_unique(g, &g->decls, name);
}

void gen_key(buf *b, str raw) {
  if (gen_is_word(raw) && !str_is(raw, "else") && !str_is(raw, "true") && !str_is(raw, "false")) buf_put(b, raw.p, raw.len);
  else gen_quote(b, raw);
}

bool gen_field(buf *b, str raw) {
  if (!raw.len || raw.len > GEN_NAME_MAX * 2) return false;
  if (gen_is_word(raw) && !str_is(raw, "else") && !str_is(raw, "true") && !str_is(raw, "false")) { buf_put(b, raw.p, raw.len); return true; }
  for (size_t i = 0; i < raw.len; i++)
    if (raw.p[i] < ' ' || raw.p[i] > '~' || raw.p[i] == '`' || raw.p[i] == '\\') return false;
  buf_putc(b, '`');
  buf_put(b, raw.p, raw.len);
  buf_putc(b, '`');
  return true;
}

/* ---- of the connection */

static str of_file(gen *g) {
  static const char *const plain[] = {"metadata", "capability", "capabilitystatement", "capability_statement", "conformance", "openapi", "swagger", "api", "spec"};
  const char *f = g->o->file ? g->o->file : "", *slash = strrchr(f, '/');
  if (slash) f = slash + 1;
  str s = gen_words(g, (str){f, strcspn(f, ".")}, '_', false);
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (str_is(s, plain[i])) return (str){0};
  return s;
}

/* "fhir.epic.com" -> epic, "api.service.nhs.uk" -> nhs: the part before the public suffix, as far as that can be seen. */
static str of_address(gen *g, str url) {
  const char *p = url.len && url.len < 500 ? strstr(gen_fmt(g, "%.*s", STR(url)), "://") : NULL;
  if (!p) return (str){0};
  p += 3;
  size_t n = strcspn(p, "/:?#@\\\"' ");
  if (!n || !memchr(p, '.', n) || digit(p[n - 1])) return (str){0}; /* localhost, an address */
  size_t end = n, begin;
  for (;;) { /* drop com, uk, co.uk */
    size_t dot = end;
    while (dot && p[dot - 1] != '.') dot--;
    if (!dot) break;
    begin = dot;
    size_t len = end - begin;
    if (end == n || len <= 3) { end = begin - 1; continue; }
    return gen_words(g, (str){p + begin, len}, '_', false);
  }
  return gen_words(g, (str){p, end}, '_', false);
}

str gen_connection_name(gen *g, str title, str address) {
  str s = {0};
  if (g->o->name) s = gen_words(g, str_of(g->o->name), '_', false);
  if (!s.len) s = of_file(g);
  if (!s.len) s = gen_words(g, title, '_', false);
  if (!s.len || s.len > 30) s = of_address(g, address);
  if (!s.len) s = str_of("server");
  if (reserved(s)) s = str_of(gen_fmt(g, "%.*s_server", STR(s)));
  return s;
}
