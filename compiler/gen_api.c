/* gen_api.c - actions from an OpenAPI 3 document (or Swagger 2): one for each method of a path, over a rest connection. */
#include "gen_int.h"

static const char *const methods[] = {"get", "post", "put", "patch", "delete"};

/* What becomes of an operation. */
typedef struct arg { str raw, var; const char *type; str says; bool need; char in; /* p path, q query, h header, b body */ } arg;
typedef struct api_call {
  const char *method;
  str path;
  val op;
  uint32_t doc;
  arg args[GEN_PARAMS_MAX + 8];
  uint32_t n;
  gen_names used;
  str content;               /* media type of the body, when it is not plain JSON */
  bool swagger, refused;
} api_call;

static bool json_media(str s) {
  size_t n = 0;
  while (n < s.len && s.p[n] != ';' && s.p[n] != ' ') n++;
  s.len = n;
  return str_is(s, "application/json") || str_ends(s, "+json") || str_is(s, "*/*") || str_is(s, "application/*");
}

static val name_of(val obj, uint32_t i) { return obj.u.v[2 * i]; }

/* The JSON body among contents: NULL when there is none. */
static const val *json_content(val content, str *media) {
  const val *other = NULL;
  for (uint32_t i = 0; content.tag == VAL_OBJ && i < content.len; i++) {
    str m = {name_of(content, i).u.s, name_of(content, i).len};
    if (!json_media(m)) continue;
    if (str_starts(m, "application/json") && (m.len == 16 || m.p[16] == ';')) { *media = m; return &content.u.v[2 * i + 1]; }
    if (!other) { other = &content.u.v[2 * i + 1]; *media = m; }
  }
  return other;
}

/* ---- parameters */

static bool plain_header(gen *g, str s) {
  static const char *const own[] = {"accept", "content-type", "authorization", "content-length", "host", "user-agent", "accept-encoding"};
  char t[20];
  if (!gen_header_name(s)) return false;
  if (g->auth == GEN_AUTH_API_KEY && str_eq(s, g->key_header)) return false;
  for (size_t i = 0; s.len < sizeof t && i < s.len; i++) t[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
  for (size_t i = 0; s.len < sizeof t && i < sizeof own / sizeof *own; i++)
    if (str_is((str){t, s.len}, own[i])) return false;
  return true;
}

static arg *arg_add(gen *g, api_call *c, str raw, char in) {
  for (uint32_t i = 0; i < c->n; i++)
    if (c->args[i].in == in && str_eq(c->args[i].raw, raw)) return &c->args[i];
  if (c->n >= GEN_PARAMS_MAX) { gen_note(g, "%s %.*s: only its first %d parameters", c->method, STR(c->path), GEN_PARAMS_MAX); return NULL; }
  arg *x = &c->args[c->n++];
  *x = (arg){.raw = raw, .in = in, .type = "string", .var = gen_param_name(g, &c->used, raw)};
  return x;
}

static str joined(gen *g, gen_type t, bool need) { return str_of(gen_fmt(g, "%s%s", t.name, t.many ? "*" : need && !t.optional ? "" : "?")); }

/* For what has no name of its own: "createRoom body". */
static str hint_of(gen *g, const api_call *c, const char *what) {
  str id = gen_text(g, c->op, "operationId");
  if (id.len && id.len < 100) return str_of(gen_fmt(g, "%.*s %s", STR(id), what));
  return str_of(gen_fmt(g, "%s %.*s %s", c->method, STR(c->path), what));
}

static void parameter(gen *g, api_call *c, gen_at p) {
  gen_at at;
  if (!gen_resolve(g, p, &at, NULL) || at.v.tag != VAL_OBJ) return;
  str name = gen_text(g, at.v, "name"), in = gen_text(g, at.v, "in");
  const val *schema = gen_get(at.v, "schema");
  if (str_is(in, "body")) { /* Swagger 2 */
    arg *x = arg_add(g, c, str_of("body"), 'b');
    if (!x || !schema) return;
    x->need = gen_true(at.v, "required");
    x->type = joined(g, gen_type_of(g, (gen_at){at.doc, *schema}, hint_of(g, c, "body"), 0), x->need).p;
    return;
  }
  if (str_is(in, "formData")) { c->refused = true; gen_note(g, "%s %.*s is left out: it takes a form", c->method, STR(c->path)); return; }
  char where = str_is(in, "path") ? 'p' : str_is(in, "query") ? 'q' : str_is(in, "header") ? 'h' : 0;
  if (!where || !name.len || name.len > 200 || (where == 'h' && !plain_header(g, name))) {
    if (str_is(in, "cookie") && gen_true(at.v, "required")) gen_note(g, "%s %.*s: the cookie '%.*s' is not sent", c->method, STR(c->path), STR(name));
    return;
  }
  arg *x = arg_add(g, c, name, where);
  if (!x) return;
  gen_type t = schema || c->swagger ? gen_type_of(g, (gen_at){at.doc, schema ? *schema : at.v}, name, 0) : (gen_type){.name = "string"};
  x->need = where == 'p' || gen_true(at.v, "required");
  if (where != 'q' || !strcmp(t.name, "any")) t = (gen_type){.name = strcmp(t.name, "integer") && strcmp(t.name, "long") && strcmp(t.name, "date") && strcmp(t.name, "dateTime") ? "string" : t.name, .doc = t.doc};
  x->type = joined(g, t, x->need).p;
  x->says = gen_text(g, at.v, "description");
  if (str_starts(t.doc, "one of") || !x->says.len) x->says = t.doc;
}

static void parameters(gen *g, api_call *c, uint32_t doc, val list) {
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) parameter(g, c, (gen_at){doc, list.u.v[i]});
}

static void request_body(gen *g, api_call *c) {
  const val *b = gen_get(c->op, "requestBody");
  gen_at at;
  str media = {0};
  if (!b || !gen_resolve(g, (gen_at){c->doc, *b}, &at, NULL)) return;
  val content = gen_obj(at.v, "content");
  const val *json = json_content(content, &media);
  if (!json) {
    c->refused = true;
    str m = content.tag == VAL_OBJ && content.len ? (str){name_of(content, 0).u.s, name_of(content, 0).len} : str_of("a body of no kind");
    gen_note(g, "%s %.*s is left out: it takes %.*s, not JSON", c->method, STR(c->path), STR(m));
    return;
  }
  arg *x = arg_add(g, c, str_of("body"), 'b');
  const val *schema = gen_get(*json, "schema");
  if (!x) return;
  x->need = gen_true(at.v, "required") || !gen_get(at.v, "required");
  gen_type t = schema ? gen_type_of(g, (gen_at){at.doc, *schema}, hint_of(g, c, "body"), 0) : (gen_type){.name = "any"};
  if (t.many) gen_note(g, "%s %.*s takes a list: a list of one is sent as that one", c->method, STR(c->path));
  x->type = joined(g, t, x->need).p;
  x->says = gen_text(g, at.v, "description");
  if (!str_starts(media, "application/json") && !memchr(media.p, '*', media.len) && media.len < 100) c->content = media;
}

/* ---- the answer */

typedef struct answer { bool some, missing; gen_type t; } answer;

static answer answer_of(gen *g, api_call *c) {
  val list = gen_obj(c->op, "responses");
  answer a = {.some = false};
  for (uint32_t i = 0; list.tag == VAL_OBJ && i < list.len && gen_step(g); i++) {
    str code = {name_of(list, i).u.s, name_of(list, i).len};
    gen_at at;
    str media;
    if (str_is(code, "404")) a.missing = !strcmp(c->method, "get");
    if (code.len != 3 || code.p[0] != '2' || a.some || !gen_resolve(g, (gen_at){c->doc, list.u.v[2 * i + 1]}, &at, NULL)) continue;
    val content = gen_obj(at.v, "content");
    const val *json = json_content(content, &media), *schema = json ? gen_get(*json, "schema") : c->swagger ? gen_get(at.v, "schema") : NULL;
    if (!json && !schema && content.tag != VAL_OBJ) continue;
    a.some = true;
    a.t = schema ? gen_type_of(g, (gen_at){at.doc, *schema}, hint_of(g, c, "answer"), 0) : (gen_type){.name = "any", .optional = true};
  }
  return a;
}

/* ---- names */

/* get + /settings/organizations/{name} -> getSettingsOrganization: a path that ends with a parameter is about one. */
static str path_name(gen *g, const api_call *c) {
  buf b;
  buf_init(&b, g->a, 2000);
  buf_puts(&b, c->method);
  for (size_t i = 0; i < c->path.len && b.len < 1000;) {
    size_t n = 0;
    while (i + n < c->path.len && c->path.p[i + n] != '/') n++;
    str s = {c->path.p + i, n};
    bool one = i + n + 1 < c->path.len && c->path.p[i + n + 1] == '{' && !memchr(c->path.p + i + n + 1, '/', c->path.len - i - n - 1);
    i += n + 1;
    if (n > 2 && s.p[0] == '{' && strlen(c->method) == b.len) { buf_putf(&b, "_by_%.*s", (int)(n - 2), s.p + 1); continue; } /* /{id} */
    if (!n || s.p[0] == '{') continue;
    if (one && s.len > 3 && str_ends(s, "ies")) s = str_of(gen_fmt(g, "%.*sy", (int)(s.len - 3), s.p));
    else if (one && s.len > 2 && str_ends(s, "s") && !str_ends(s, "ss")) s.len--;
    buf_putc(&b, '_');
    buf_put(&b, s.p, s.len);
  }
  return gen_words(g, (str){b.p, b.len}, 0, false);
}

static str call_name(gen *g, const api_call *c) {
  str id = gen_text(g, c->op, "operationId");
  str s = id.len && id.len < 200 ? gen_words(g, id, 0, false) : (str){0};
  return gen_decl_name(g, s.len ? s : path_name(g, c));
}

/* ---- writing */

static bool path_arg(const api_call *c, str raw, str *var) {
  for (uint32_t i = 0; i < c->n; i++)
    if (c->args[i].in == 'p' && str_eq(c->args[i].raw, raw)) { *var = c->args[i].var; return true; }
  return false;
}

static void put_path(buf *b, const api_call *c) {
  bool holes = memchr(c->path.p, '{', c->path.len) != NULL;
  if (!holes) { gen_quote(b, c->path); return; }
  buf_putc(b, '"');
  for (size_t i = 0; i < c->path.len;) {
    const char *open = memchr(c->path.p + i, '{', c->path.len - i), *close = open ? memchr(open, '}', (size_t)(c->path.p + c->path.len - open)) : NULL;
    if (!close) { gen_template(b, (str){c->path.p + i, c->path.len - i}); break; }
    gen_template(b, (str){c->path.p + i, (size_t)(open - c->path.p) - i});
    str var;
    if (path_arg(c, (str){open + 1, (size_t)(close - open - 1)}, &var)) buf_putf(b, "{%.*s}", STR(var));
    i = (size_t)(close - c->path.p) + 1;
  }
  buf_putc(b, '"');
}

/* Parameters that the path names and nobody declares. */
static void path_args(gen *g, api_call *c) {
  for (size_t i = 0; i < c->path.len; i++) {
    const char *close = c->path.p[i] == '{' ? memchr(c->path.p + i, '}', c->path.len - i) : NULL;
    if (!close) continue;
    str raw = {c->path.p + i + 1, (size_t)(close - c->path.p) - i - 1};
    arg *x = raw.len ? arg_add(g, c, raw, 'p') : NULL;
    if (x) x->need = true;
    i = (size_t)(close - c->path.p);
  }
}

static void put_object(gen *g, buf *b, const api_call *c, char in, const char *name) {
  bool first = true;
  if (in == 'h' && c->content.len) {
    buf_puts(b, ",\nheaders: { 'Content-Type': ");
    gen_quote(b, c->content);
    first = false;
  }
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->args[i].in != in) continue;
    if (first) buf_putf(b, ",\n%s: { ", name);
    else buf_puts(b, ", ");
    first = false;
    gen_key(b, c->args[i].raw);
    buf_putf(b, ": %.*s", STR(c->args[i].var));
  }
  if (!first) buf_puts(b, " }");
  (void)g;
}

static void put_args(gen *g, buf *b, const api_call *c) {
  bool many = c->n > 2;
  for (uint32_t i = 0; i < c->n && !many; i++) many = c->args[i].says.len > 0;
  size_t longest = 0, type = 0;
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->args[i].var.len > longest) longest = c->args[i].var.len;
    if (strlen(c->args[i].type) > type) type = strlen(c->args[i].type);
  }
  buf_puts(b, many ? "(\n" : "(");
  for (int pass = 0, put = 0; pass < 2; pass++)
    for (uint32_t i = 0; i < c->n; i++) {
      const arg *x = &c->args[i];
      bool first_ones = x->in == 'p' || x->in == 'b' || x->need;
      if (first_ones != (pass == 0)) continue;
      str says = gen_line(g, gen_prose(x->says), gen_comment_width(longest, type));
      if (!many && put++) buf_puts(b, ", ");
      buf_putf(b, "%.*s: %s", STR(x->var), x->type);
      if (many) buf_putf(b, ",%s%.*s\n", says.len ? " // " : "", STR(says));
    }
  buf_putc(b, ')');
}

static void write_call(gen *g, api_call *c) {
  buf *b = &g->body;
  answer a = answer_of(g, c);
  str summary = gen_text(g, c->op, "summary"), says = gen_prose(gen_text(g, c->op, "description"));
  if (c->refused) return;
  if (++g->r->nactions > GEN_ACTIONS_MAX) { gen_fail(g, HDW_E_LIMIT, "the document declares more than %d calls: choose with --only", GEN_ACTIONS_MAX); return; }
  char verb[8];
  size_t n = strlen(c->method);
  for (size_t i = 0; i <= n; i++) verb[i] = (char)(c->method[i] ? c->method[i] - 32 : 0);
  buf_putc(b, '\n');
  gen_doc_comment(g, b, str_of(gen_fmt(g, "%s %.*s%s%.*s%s%.*s%s", verb, STR(c->path), summary.len ? ": " : "", STR(summary), says.len ? summary.len ? ". " : ": " : "", STR(says),
                                       gen_true(c->op, "deprecated") ? " Deprecated." : "")), 400);
  str name = call_name(g, c);
  buf_putf(b, "action %.*s", STR(name));
  put_args(g, b, c);
  bool list = a.t.many;
  if (a.some) buf_putf(b, ": %s%s", a.t.name, list ? "*" : a.missing || a.t.optional ? "?" : "");
  buf_puts(b, " {\n");
  buf_putf(b, "step %s%.*s.%s(", a.some ? "answer = " : "", STR(g->conn), c->method);
  put_path(b, c);
  for (uint32_t i = 0; i < c->n; i++)
    if (c->args[i].in == 'b') buf_putf(b, ", body: %.*s", STR(c->args[i].var));
  put_object(g, b, c, 'q', "query");
  put_object(g, b, c, 'h', "headers");
  buf_puts(b, ")");
  if (a.some && a.missing) buf_puts(b, "\non error where error.status = 404 use {}");
  buf_puts(b, a.some ? "\nreturn answer\n}\n" : "\n}\n");
}

/* ---- the document */

static bool chosen(gen *g, const api_call *c) {
  if (!g->o->nonly) return true;
  val tags = gen_list(c->op, "tags");
  for (uint32_t i = 0; i < tags.len; i++)
    if (gen_wanted(g, gen_str(g, &tags.u.v[i]))) return true;
  size_t n = 1;
  while (n < c->path.len && c->path.p[n] != '/') n++;
  return gen_wanted(g, (str){c->path.p + 1, n - 1});
}

/* Such as can stand in a URL; what is in braces is replaced. */
static bool usable_path(str s) {
  if (!s.len || s.p[0] != '/' || s.len > 500) return false;
  for (size_t i = 0; i < s.len; i++)
    if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("?#\"'`\\<>", s.p[i])) return false;
  return true;
}

static void path_item(gen *g, str path, gen_at item, bool swagger) {
  gen_at at;
  if (!usable_path(path)) {
    if (!str_starts(path, "x-")) gen_note(g, "the path '%.*s' is left out", STR(path));
    return;
  }
  if (!gen_resolve(g, item, &at, NULL) || at.v.tag != VAL_OBJ) return;
  api_call *c = arena_alloc(g->a, sizeof *c);
  if (!c) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
  for (size_t i = 0; i < sizeof methods / sizeof *methods && gen_step(g); i++) {
    const val *op = gen_get(at.v, methods[i]);
    gen_at o;
    if (!op || !gen_resolve(g, (gen_at){at.doc, *op}, &o, NULL) || o.v.tag != VAL_OBJ) continue;
    memset(c, 0, sizeof *c);
    c->method = methods[i], c->path = path, c->op = o.v, c->doc = o.doc, c->swagger = swagger;
    if (!chosen(g, c)) continue;
    parameters(g, c, at.doc, gen_list(at.v, "parameters"));
    parameters(g, c, o.doc, gen_list(o.v, "parameters"));
    path_args(g, c);
    request_body(g, c);
    if (c->refused) continue;
    write_call(g, c);
  }
}

static str base_of(gen *g, val doc) {
  val servers = gen_list(doc, "servers"), schemes = gen_list(doc, "schemes");
  str host = gen_text(g, doc, "host"), path = gen_text(g, doc, "basePath");
  if (host.len) return str_of(gen_fmt(g, "%.*s://%.*s%.*s", STR(schemes.len ? gen_str(g, &schemes.u.v[0]) : str_of("https")), STR(host), STR(path)));
  str url = servers.len ? gen_text(g, servers.u.v[0], "url") : (str){0};
  for (uint32_t i = 0; i < servers.len && i < 20 && !gen_good_address(url); i++) url = gen_text(g, servers.u.v[i], "url");
  if (url.len && !gen_good_address(url)) gen_note(g, "the server's address '%.*s' is not whole: the operator binds all of it", STR(url));
  return url;
}

void gen_api(gen *g, val doc, buf *head) {
  val info = gen_obj(doc, "info"), paths = gen_obj(doc, "paths");
  str base = base_of(g, doc), title = gen_text(g, info, "title"), version = gen_text(g, info, "version");
  bool swagger = gen_get(doc, "swagger") != NULL;
  g->conn = gen_connection_name(g, title, base);
  gen_take(g, &g->decls, g->conn);
  gen_auth_api(g, doc);
  for (uint32_t i = 0; paths.tag == VAL_OBJ && i < paths.len && gen_step(g); i++) path_item(g, (str){name_of(paths, i).u.s, name_of(paths, i).len}, (gen_at){0, paths.u.v[2 * i + 1]}, swagger);
  if (!g->r->nactions && g->o->nonly) gen_fail(g, HDW_E_INVALID, "of what --only names the document has nothing");
  if (!g->r->nactions) gen_note(g, "the document declares no call that this can make");
  gen_head(g, head, "rest", base, NULL, str_of(gen_fmt(g, "%.*s%s%.*s.", STR(gen_line(g, title, 120)), version.len ? ", version " : "", STR(gen_line(g, version, 40)))));
  buf_putc(head, '\n');
  gen_shapes_write(g, head);
}
