/* gen_fhir.c - actions from a CapabilityStatement: what the server declares of each resource, and nothing else.
 *
 * Resources of R4 are typed; those of other versions are `any`, as the language has the definitions of R4 only. */
#include "gen_int.h"

enum { ACTIONS_MANY = 300 };
enum { IA_READ = 1, IA_VREAD = 2, IA_CREATE = 4, IA_UPDATE = 8, IA_PATCH = 16, IA_DELETE = 32, IA_SEARCH = 64, IA_HISTORY = 128 };
static const struct { const char *code; unsigned bit; } interactions[] = {
    {"read", IA_READ}, {"vread", IA_VREAD}, {"create", IA_CREATE}, {"update", IA_UPDATE}, {"patch", IA_PATCH}, {"delete", IA_DELETE}, {"search-type", IA_SEARCH}, {"history-instance", IA_HISTORY}};

typedef struct resource {
  val v;
  str type;
  const char *one;           /* its type in the language: "Patient", "any" */
  str var;                   /* name of a parameter that holds one: "patient" */
  unsigned can;
} resource;

static const char *fhir_version(gen *g, val doc) {
  str v = gen_text(g, doc, "fhirVersion");
  if (str_starts(v, "4.0") || str_is(v, "4")) return "R4";
  if (str_starts(v, "5.")) return "R5";
  if (str_starts(v, "4.")) return "R4B";
  if (str_starts(v, "3.") || str_starts(v, "1.8") || str_starts(v, "1.6")) return "STU3";
  if (str_starts(v, "1.") || str_starts(v, "0.") || str_is(gen_text(g, doc, "resourceType"), "Conformance")) return "DSTU2";
  gen_note(g, "FHIR version '%.*s' is not known: taken for R4", STR(v));
  return "R4";
}

static val server_rest(gen *g, val doc) {
  val list = gen_list(doc, "rest");
  for (uint32_t i = 0; i < list.len; i++)
    if (str_is(gen_text(g, list.u.v[i], "mode"), "server")) return list.u.v[i];
  return list.len ? list.u.v[0] : VAL_NONE;
}

static unsigned what_it_can(gen *g, val v) {
  unsigned can = 0;
  val list = gen_list(v, "interaction");
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    str code = gen_text(g, list.u.v[i], "code");
    for (size_t k = 0; k < sizeof interactions / sizeof *interactions; k++)
      if (str_is(code, interactions[k].code)) can |= interactions[k].bit;
  }
  return can;
}

/* ---- actions of one resource */

static const char *article(str type, bool big) {
  bool vowel = strchr("AEIO", type.p[0]) != NULL;
  return big ? vowel ? "An" : "A" : vowel ? "an" : "a";
}

static str action_name(gen *g, const char *verb, str type, const char *behind) {
  g->r->nactions++;
  return gen_decl_name(g, str_of(gen_fmt(g, "%s%.*s%s", verb, STR(type), behind)));
}

static void read_action(gen *g, const resource *x) {
  buf *b = &g->body;
  str name = action_name(g, "read", x->type, "");
  buf_putf(b, "\n/// One %.*s by its id; {} when there is none.\naction %.*s(id: id): %s? {\n", STR(x->type), STR(name), x->one);
  buf_putf(b, "step answer = %.*s.read(%.*s, id) on error where error.status in [404, 410] use {}\nreturn answer\n}\n", STR(g->conn), STR(x->type));
}

static void vread_action(gen *g, const resource *x) {
  buf *b = &g->body;
  str name = action_name(g, "read", x->type, "Version");
  buf_putf(b, "\n/// %s %.*s as it was in one version.\naction %.*s(id: id, version: string): %s? {\n", article(x->type, true), STR(x->type), STR(name), x->one);
  buf_putf(b, "step answer = %.*s.vread(%.*s, id, version) on error where error.status in [404, 410] use {}\nreturn answer\n}\n", STR(g->conn), STR(x->type));
}

static void history_action(gen *g, const resource *x) {
  buf *b = &g->body;
  str name = action_name(g, "history", x->type, "");
  buf_putf(b, "\n/// The versions of %s %.*s, the newest first.\naction %.*s(id: id): %s* {\n", article(x->type, false), STR(x->type), STR(name), x->one);
  buf_putf(b, "step answer = %.*s.history(%.*s, id)\nreturn answer.match\n}\n", STR(g->conn), STR(x->type));
}

static void create_action(gen *g, const resource *x) {
  buf *b = &g->body;
  str name = action_name(g, "create", x->type, "");
  bool cond = gen_true(x->v, "conditionalCreate");
  buf_putf(b, "\n/// Creates %s %.*s.%s\n", article(x->type, false), STR(x->type), cond ? " `if_none_exist`: only when this search (`identifier=a|b`) finds none." : "");
  buf_putf(b, "action %.*s(%.*s: %s%s): %s {\n", STR(name), STR(x->var), x->one, cond ? ", if_none_exist: string?" : "", x->one);
  buf_putf(b, "step answer = %.*s.create(%.*s%s)\nreturn answer\n}\n", STR(g->conn), STR(x->var), cond ? ", if_none_exist: if_none_exist" : "");
}

static void update_action(gen *g, const resource *x) {
  buf *b = &g->body;
  str name = action_name(g, "update", x->type, "");
  buf_putf(b, "\n/// Replaces the %.*s of the same id when `version` is its present one; '*': whatever it is.\n", STR(x->type));
  buf_putf(b, "action %.*s(%.*s: %s, version: string): %s {\n", STR(name), STR(x->var), x->one, x->one);
  buf_putf(b, "step answer = %.*s.update(%.*s, if_match: version)\nreturn answer\n}\n", STR(g->conn), STR(x->var));
}

static void patch_action(gen *g, const resource *x) {
  buf *b = &g->body;
  str name = action_name(g, "patch", x->type, "");
  buf_putf(b, "\n/// Changes elements of %s %.*s: `set` has their new values, `remove` names those to take away.\n", article(x->type, false), STR(x->type));
  buf_putf(b, "action %.*s(id: id, set: any?, remove: string*): %s {\n", STR(name), x->one);
  buf_putf(b, "step answer = %.*s.patch(%.*s, id, set: set, remove: remove)\nreturn answer\n}\n", STR(g->conn), STR(x->type));
}

static void delete_action(gen *g, const resource *x) {
  str name = action_name(g, "delete", x->type, "");
  buf_putf(&g->body, "\n/// Deletes %s %.*s.\naction %.*s(id: id) {\n", article(x->type, false), STR(x->type), STR(name));
  buf_putf(&g->body, "step %.*s.delete(%.*s, id)\n}\n", STR(g->conn), STR(x->type));
}

/* ---- search */

static const char *param_type(const gen *g, str name, str type) {
  if (str_is(name, "_count")) return "integer?"; /* of the answer, whatever type the server declares for it */
  if (str_is(name, "_summary") || str_is(name, "_total")) return "string?";
  if (str_is(name, "_sort") || str_is(name, "_elements")) return "string*";
  if (str_is(type, "date")) return g->o->ranges ? "dateRange?" : "dateTime?";
  if (str_is(type, "number")) return g->o->ranges ? "numberRange?" : "decimal?";
  if (str_is(type, "quantity")) return g->o->ranges ? "quantityRange?" : "quantity?";
  return "string*";
}

/* Names that mean something to the call itself, and what an action that gives matches as JSON has no use for. */
static bool own_argument(str name) {
  static const char *const own[] = {"max", "pages", "timeout", "extra", "_format", "_pretty", "_include", "_revinclude"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (str_is(name, own[i])) return true;
  return false;
}

static bool usable_param(str name) {
  if (!name.len || name.len > GEN_NAME_MAX || own_argument(name)) return false;
  for (size_t i = 0; i < name.len; i++)
    if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("'\"\\&=#?%", name.p[i])) return false;
  return true;
}

/* Texts of parameters that stand at parameters of several names ("The client SHALL provide at least a code value ...") describe none of them. */
static void count_texts(gen *g, val resources) {
  gen_names pairs = {0};
  for (uint32_t i = 0; i < resources.len && gen_step(g); i++) {
    val list = gen_list(resources.u.v[i], "searchParam");
    for (uint32_t k = 0; k < list.len && gen_step(g); k++) {
      str name = gen_text(g, list.u.v[k], "name"), text = gen_text(g, list.u.v[k], "documentation");
      if (!text.len || !gen_take(g, &pairs, str_of(gen_fmt(g, "%.*s %.*s", STR(name), STR(text))))) continue;
      if (gen_take(g, &g->texts, text) && g->texts.n > g->cap_texts_at) {
        uint32_t *v = arena_grow(g->a, g->texts_at, g->cap_texts_at * sizeof *v, g->texts.cap * sizeof *v);
        if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
        memset(v + g->cap_texts_at, 0, (g->texts.cap - g->cap_texts_at) * sizeof *v);
        g->texts_at = v;
        g->cap_texts_at = g->texts.cap;
      }
      uint32_t at = gen_index(&g->texts, text);
      if (at < g->cap_texts_at) g->texts_at[at]++; /* not when there was no memory to keep it */
    }
  }
}

static str says_of(gen *g, val param) {
  enum { NAMES_MAX = 3 };
  str text = gen_text(g, param, "documentation");
  uint32_t at = gen_index(&g->texts, text);
  return at < g->cap_texts_at && g->texts_at[at] > NAMES_MAX ? (str){0} : gen_prose(text);
}

/* Which parameters the server takes together, as the extension capabilitystatement-search-parameter-combination says. */
static void combinations(gen *g, const resource *x) {
  buf b;
  buf_init(&b, g->a, 1 << 16);
  val ext = gen_list(x->v, "extension");
  for (uint32_t i = 0; i < ext.len && gen_step(g); i++) {
    if (!str_ends(gen_text(g, ext.u.v[i], "url"), "/capabilitystatement-search-parameter-combination")) continue;
    val in = gen_list(ext.u.v[i], "extension");
    bool first = true;
    for (uint32_t k = 0; k < in.len && gen_step(g); k++) {
      str url = gen_text(g, in.u.v[k], "url"), name = gen_text(g, in.u.v[k], "valueString");
      if ((!str_is(url, "required") && !str_is(url, "optional")) || !name.len) continue;
      buf_puts(&b, !first ? " + " : b.len ? "; " : "Together: ");
      buf_putf(&b, str_is(url, "optional") ? "(%.*s)" : "%.*s", STR(name));
      first = false;
    }
  }
  if (!b.len) return;
  buf_putc(&b, '.');
  if (b.status) { gen_fail(g, (hdw_status)b.status, "%.*s has too many combinations of search parameters", STR(x->type)); return; }
  gen_doc_comment(g, &g->body, (str){b.p, b.len}, 1200);
}

typedef struct search_param { str key, var, kind, says; const char *type; } search_param;

/* Those that are arguments of the action: at most GEN_PARAMS_MAX. */
static uint32_t search_params(gen *g, const resource *x, search_param *p) {
  gen_names used = {0}, raw = {0};
  uint32_t n = 0, left = 0;
  val list = gen_list(x->v, "searchParam");
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    str key = gen_text(g, list.u.v[i], "name"), type = gen_text(g, list.u.v[i], "type");
    if (!usable_param(key)) { gen_note(g, "%.*s: the search parameter '%.*s' is left to 'extra'", STR(x->type), STR(key)); continue; }
    if (!gen_take(g, &raw, key)) continue;
    if (n == GEN_PARAMS_MAX) { left++; continue; }
    str kind = gen_is_word(type) && type.len < 20 ? type : str_of("string");
    p[n++] = (search_param){key, gen_param_name(g, &used, key), kind, says_of(g, list.u.v[i]), param_type(g, key, type)};
  }
  if (left) gen_note(g, "%.*s: %u of its %u search parameters are left to 'extra'", STR(x->type), left, n + left);
  return n;
}

static void search_action(gen *g, const resource *x) {
  buf *b = &g->body;
  search_param p[GEN_PARAMS_MAX];
  uint32_t n = search_params(g, x, p);
  str name = action_name(g, "search", x->type, "");
  size_t longest = 5, type = 8;
  g->searches = true;
  buf_putf(b, "\n/// Every %.*s%s.\n", STR(x->type), n ? " that matches" : "");
  combinations(g, x);
  buf_putf(b, "action %.*s(\n", STR(name));
  for (uint32_t i = 0; i < n; i++) {
    if (p[i].var.len > longest) longest = p[i].var.len;
    if (strlen(p[i].type) > type) type = strlen(p[i].type);
  }
  for (uint32_t i = 0; i < n; i++) {
    size_t width = gen_comment_width(longest, type + p[i].kind.len + 2);
    str says = gen_line(g, p[i].says, width);
    buf_putf(b, "%.*s: %s, // %.*s%s%.*s\n", STR(p[i].var), p[i].type, STR(p[i].kind), says.len ? ": " : "", STR(says));
  }
  buf_putf(b, "extra: any?, // further parameters by name\nmax: integer?, // how many at most\n): %s* {\nstep answer = %.*s.search(\n%.*s,\n", x->one, STR(g->conn), STR(x->type));
  for (uint32_t i = 0; i < n; i++) {
    gen_key(b, p[i].key);
    buf_putf(b, ": %.*s,\n", STR(p[i].var));
  }
  buf_puts(b, "extra: extra,\nmax: max,\n)\nreturn answer.match\n}\n");
}

/* ---- the document */

static void scopes(gen *g, const resource *x, str type) {
  const char *t = gen_fmt(g, "%.*s", STR(type));
  unsigned write = x->can & (IA_CREATE | IA_UPDATE | IA_PATCH | IA_DELETE), read = x->can & (IA_READ | IA_VREAD | IA_HISTORY | IA_SEARCH);
  if (g->scopes_v2) {
    const unsigned rights[] = {IA_CREATE, IA_READ | IA_VREAD | IA_HISTORY, IA_UPDATE | IA_PATCH, IA_DELETE, IA_SEARCH};
    char letters[6];
    size_t n = 0;
    for (size_t i = 0; i < 5; i++)
      if (x->can & rights[i]) letters[n++] = "cruds"[i];
    letters[n] = 0;
    if (n) gen_scope(g, str_of(gen_fmt(g, "system/%s.%s", t, letters)));
    return;
  }
  if (read) gen_scope(g, str_of(gen_fmt(g, "system/%s.read", t)));
  if (write) gen_scope(g, str_of(gen_fmt(g, "system/%s.write", t)));
}

static bool resource_of(gen *g, val v, gen_names *seen, resource *x) {
  *x = (resource){.v = v, .type = gen_text(g, v, "type"), .can = what_it_can(g, v)};
  gen_names used = {0};
  if (!gen_is_word(x->type) || x->type.p[0] < 'A' || x->type.p[0] > 'Z' || x->type.len > GEN_NAME_MAX) {
    gen_note(g, "'%.*s' is no name of a resource", STR(x->type));
    return false;
  }
  if (!gen_wanted(g, x->type)) return false;
  if (!gen_take(g, seen, x->type)) { gen_note(g, "%.*s is listed twice: the first counts", STR(x->type)); return false; }
  bool known = fhir_resource(x->type.p, x->type.len) != 0;
  if (g->r4 && !known) { gen_note(g, "%.*s is no resource of FHIR R4: it is left out", STR(x->type)); return false; }
  x->one = g->r4 ? gen_fmt(g, "%.*s", STR(x->type)) : "any";
  x->var = gen_param_name(g, &used, gen_words(g, x->type, 0, false));
  return true;
}

static void resource_actions(gen *g, const resource *x) {
  buf_putf(&g->body, "\n// ---- %.*s\n", STR(x->type));
  if (x->can & IA_READ) read_action(g, x);
  if (x->can & IA_VREAD) vread_action(g, x);
  if (x->can & IA_HISTORY) history_action(g, x);
  if (x->can & IA_SEARCH) search_action(g, x);
  if (x->can & IA_CREATE) create_action(g, x);
  if (x->can & IA_UPDATE) update_action(g, x);
  if (x->can & IA_PATCH) patch_action(g, x);
  if (x->can & IA_DELETE) delete_action(g, x);
  val ops = gen_list(x->v, "operation");
  for (uint32_t i = 0; i < ops.len && gen_step(g); i++) gen_operation(g, ops.u.v[i], x->type);
  if (g->r->nactions > GEN_ACTIONS_MAX) gen_fail(g, HDW_E_LIMIT, "the document declares more than %d calls: choose resources with --only", GEN_ACTIONS_MAX);
}

/* "Epic May 2019, FHIR 1.0.2, as of 2020-01-22." */
static str about(gen *g, val doc, const char *version) {
  val software = gen_obj(doc, "software"), impl = gen_obj(doc, "implementation");
  str who = gen_text(g, software, "name"), title = gen_text(g, doc, "title"), v = gen_text(g, software, "version"), date = gen_text(g, doc, "date");
  if (title.len) who = title;
  if (!who.len) who = gen_text(g, doc, "name");
  if (!who.len) who = gen_text(g, impl, "description");
  if (!who.len) who = gen_text(g, doc, "publisher");
  if (!who.len) who = str_of("A server");
  if (date.len < 4 || date.p[0] < '0' || date.p[0] > '9') date.len = 0;
  return str_of(gen_fmt(g, "%.*s%s%.*s, FHIR %s%s%.*s.", STR(gen_line(g, who, 120)), v.len && !title.len ? " " : "", STR(title.len ? (str){0} : gen_line(g, v, 30)), version,
                        date.len ? ", as of " : "", (int)(date.len > 10 ? 10 : date.len), date.p ? date.p : ""));
}

void gen_fhir(gen *g, val doc, buf *head) {
  const char *version = fhir_version(g, doc);
  val rest = server_rest(g, doc), security = gen_obj(rest, "security"), list = gen_list(rest, "resource"), impl = gen_obj(doc, "implementation");
  str base = gen_text(g, impl, "url");
  g->r4 = strcmp(version, "R4") == 0;
  g->conn = gen_connection_name(g, gen_text(g, gen_obj(doc, "software"), "name"), base);
  gen_take(g, &g->decls, g->conn);
  gen_auth_fhir(g, security);
  if (rest.tag != VAL_OBJ) { gen_fail(g, HDW_E_INVALID, "the statement describes no server: it has no 'rest'"); return; }
  bool many = list.len > 30 && !g->o->nonly;
  gen_names seen = {0};
  uint32_t n = 0;
  count_texts(g, list);
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    resource x;
    if (!resource_of(g, list.u.v[i], &seen, &x)) continue;
    n++;
    scopes(g, &x, many ? str_of("*") : x.type);
    resource_actions(g, &x);
  }
  val ops = gen_list(rest, "operation");
  if (ops.len && !g->o->nonly) buf_puts(&g->body, "\n// ---- operations\n");
  for (uint32_t i = 0; i < ops.len && !g->o->nonly && gen_step(g); i++) gen_operation(g, ops.u.v[i], (str){0});
  if (!n && g->o->nonly) gen_fail(g, HDW_E_INVALID, "of what --only names the server has nothing");
  if (!n) gen_note(g, "the statement names no resource: the module has the connection alone");
  if (g->r->nactions > ACTIONS_MANY && !g->o->nonly) gen_note(g, "these are %u actions for %u resources: --only names the resources that you need", g->r->nactions, n);
  if (g->searches) {
    buf_puts(head, "// Searches: what is empty is not asked for, of several values any may match, and a range is { ge: from, lt: to } (or\n");
    buf_puts(head, "// gt, le) or one value. `extra` takes what has no parameter: { 'name:exact': 'Smith' }. More matches than `max` (1,000\n");
    buf_puts(head, "// when it is empty) are an error.\n\n");
  }
  gen_head(g, head, "fhir", base, version, about(g, doc, version));
  buf_putf(head, " against('%.*s.capability.json')\n", STR(g->conn));
  gen_capability(g, rest, gen_text(g, doc, "fhirVersion"));
}
