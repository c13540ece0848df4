/* gen_op.c - operations that a FHIR server declares ($everything, $match ...): one action each. */
#include "gen_int.h"

static bool op_name(str s) {
  for (size_t i = 0; i < s.len; i++)
    if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' || s.p[i] == '_' || s.p[i] == '.')) return false;
  return s.len > 0 && s.len <= GEN_NAME_MAX;
}

typedef enum level { LEVEL_OPEN, LEVEL_ONE, LEVEL_TYPE, LEVEL_SERVER } level;

/* "OperationDefinition/Patient-i-everything", as HAPI names its own: the resource, and whether of one (i), of the type (t or nothing) or of the server (s);
 * "ValueSet-expand", as FHIR does: the resource. */
static level of_definition(str def, str op, str *type) {
  if (!def.len) return LEVEL_OPEN;
  size_t slash = def.len;
  while (slash && def.p[slash - 1] != '/') slash--;
  str s = {def.p + slash, def.len - slash};
  const char *dash = s.len ? memchr(s.p, '-', s.len) : NULL;
  size_t head = dash ? (size_t)(dash - s.p) : 0;
  if (!dash || s.len < head + 1 + op.len || memcmp(s.p + s.len - op.len, op.p, op.len) != 0 || (head && !fhir_resource(s.p, head))) return LEVEL_OPEN;
  *type = (str){s.p, head};
  if (s.len == head + 1 + op.len) return LEVEL_OPEN;
  str codes = {dash + 1, s.len - head - op.len - 2};
  if (!head) return LEVEL_SERVER;
  return codes.len && memchr(codes.p, 'i', codes.len) ? LEVEL_ONE : LEVEL_TYPE;
}

/* Type of a parameter in the language; "any" for what no static type says. */
static const char *type_text(gen *g, const fhir_parameter_info *p) {
  const char *name = fhir_type_name(p->type), *t = name;
  if (!p->type || strcmp(name, "Element") == 0 || fhir_type_abstract(p->type)) t = "any";
  else if (strcmp(name, "Reference") == 0) t = "string";
  return gen_fmt(g, "%s%s", t, p->max != 1 ? "*" : p->min ? "" : "?");
}

/* Type of the only result, when that is a resource: ": OperationOutcome". Of others the compiler knows what they are, and it cannot be written as one name. */
static const char *result_text(gen *g, const fhir_operation_info *op) {
  fhir_parameter_info p, only = {0};
  for (unsigned i = 0; fhir_parameter_at(op, i, &p); i++) {
    if (!p.out || p.part) continue;
    if (only.name) return "";
    only = p;
  }
  if (!only.name || !only.type || fhir_type_kind(only.type) != FHIR_RESOURCE || fhir_type_abstract(only.type)) return "";
  return gen_fmt(g, ": %s%s", fhir_type_name(only.type), only.max != 1 ? "*" : "?");
}

/* One that FHIR R4 defines: with its parameters. What it gives follows from its definition. */
static void known_operation(gen *g, const fhir_operation_info *op, str of, level at, const char *behind) {
  buf *b = &g->body, args;
  gen_names used = {0};
  fhir_parameter_info p;
  uint32_t n = 0;
  buf_init(&args, g->a, 1 << 16);
  str words = gen_words(g, str_of(op->name), 0, false), name = gen_decl_name(g, str_of(gen_fmt(g, "%.*s%.*s%s", STR(words), STR(of), behind)));
  g->r->nactions++;
  for (unsigned i = 0; fhir_parameter_at(op, i, &p); i++) n += !p.out && !p.part;
  const char *line = n > 2 ? "\n" : " ";
  n = 0;
  buf_putf(b, "\n/// $%s%s%.*s.\naction %.*s(%s", op->name, of.len ? at == LEVEL_ONE ? " of one " : " of " : " of the server", STR(of), STR(name), line);
  if (at == LEVEL_ONE) { gen_take(g, &used, str_of("id")); buf_putf(b, "id: id,%s", line); }
  for (unsigned i = 0; fhir_parameter_at(op, i, &p); i++) {
    if (p.out || p.part || ++n > GEN_PARAMS_MAX) continue;
    str var = gen_param_name(g, &used, str_of(p.name));
    buf_putf(b, "%.*s: %s,%s", STR(var), type_text(g, &p), line);
    gen_key(&args, str_of(p.name));
    buf_putf(&args, ": %.*s,%s", STR(var), line);
  }
  buf_putf(b, ")%s {\nstep answer = %.*s.operation(%s'$%s',%s", result_text(g, op), STR(g->conn), line, op->name, line);
  if (of.len) buf_putf(b, "%.*s,%s", STR(of), line);
  if (at == LEVEL_ONE) buf_putf(b, "id,%s", line);
  if (args.len) buf_put(b, args.p, args.len);
  buf_puts(b, ")\nreturn answer\n}\n");
}

/* One of the server's own: nobody knows its parameters. */
static void own_operation(gen *g, str op, str of, level at) {
  buf *b = &g->body;
  str words = gen_words(g, op, 0, false);
  if (!words.len) return;
  bool id = of.len && (at == LEVEL_ONE || at == LEVEL_OPEN);
  str name = gen_decl_name(g, str_of(gen_fmt(g, "%.*s%.*s%s", STR(words), STR(of), of.len && at == LEVEL_TYPE ? "All" : "")));
  g->r->nactions++;
  buf_putf(b, "\n/// $%.*s%s%.*s%s. `parameters`: by name, as the server defines them.\n", STR(op), of.len ? at == LEVEL_ONE ? " of one " : " of " : " of the server", STR(of), id && at == LEVEL_OPEN ? ": of one when `id` is given" : "");
  buf_putf(b, "action %.*s(%sparameters: any?): any? {\n", STR(name), id ? at == LEVEL_ONE ? "id: id, " : "id: id?, " : "");
  buf_putf(b, "step answer = %.*s.operation('$%.*s', %.*s%s%sparameters: parameters)\nreturn answer\n}\n", STR(g->conn), STR(op), STR(of), of.len ? ", " : "", id ? "id, " : "");
}

void gen_operation(gen *g, val v, str type) {
  str op = gen_text(g, v, "name"), def = gen_text(g, v, "definition"), of = str_of("");
  if (op.len && op.p[0] == '$') op.p++, op.len--;
  if (!op_name(op)) { gen_note(g, "'$%.*s' is no name of an operation", STR(op)); return; }
  if (!def.len) def = gen_text(g, gen_obj(v, "definition"), "reference"); /* STU3, DSTU2 */
  level at = of_definition(def, op, &of);
  if (type.len) of = type;
  else if (at == LEVEL_OPEN && !of.len) at = LEVEL_SERVER;
  if (at == LEVEL_SERVER) of = str_of("");
  if (of.len && (!gen_is_word(of) || (g->r4 && !fhir_resource(of.p, of.len)))) { gen_note(g, "$%.*s of '%.*s', which is no resource, is left out", STR(op), STR(of)); return; }
  if (!gen_take(g, &g->ops, str_of(gen_fmt(g, "%.*s %.*s %d", STR(op), STR(of), (int)at)))) return; /* listed twice */
  fhir_operation_info info;
  uint16_t resource = of.len ? fhir_resource(of.p, of.len) : 0;
  if (g->r4 && fhir_operation(resource, op.p, op.len, &info)) { /* the levels of FHIR, where the server does not say */
    bool one = info.instance && (at == LEVEL_ONE || at == LEVEL_OPEN), all = info.type && of.len && (at == LEVEL_TYPE || at == LEVEL_OPEN), server = info.system && at == LEVEL_SERVER;
    if (one) known_operation(g, &info, of, LEVEL_ONE, "");
    if (all) known_operation(g, &info, of, LEVEL_TYPE, info.instance ? "All" : "");
    if (server) known_operation(g, &info, of, LEVEL_SERVER, "");
    if (!one && !all && !server) gen_note(g, "$%.*s%s%.*s is left out: FHIR calls it elsewhere", STR(op), of.len ? " of " : " of the server", STR(of));
    return;
  }
  own_operation(g, op, of, at);
}
