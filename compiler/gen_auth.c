/* gen_auth.c - how a program logs in: what the document asks for (SMART's oauth-uris, a smart-configuration, securitySchemes), or what the user chose. */
#include "gen_int.h"

void gen_scope(gen *g, str scope) {
  for (uint32_t i = 0; i < g->nscopes; i++)
    if (str_eq(g->scopes[i], scope)) return;
  if (g->nscopes == g->cap_scopes) {
    uint32_t cap = g->cap_scopes ? g->cap_scopes * 2 : 32;
    str *v = arena_grow(g->a, g->scopes, g->cap_scopes * sizeof *v, cap * sizeof *v);
    if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
    g->scopes = v;
    g->cap_scopes = cap;
  }
  g->scopes[g->nscopes++] = scope;
}

static bool list_has(gen *g, val list, const char *word) {
  for (uint32_t i = 0; list.tag == VAL_LIST && i < list.len; i++)
    if (str_is(gen_str(g, &list.u.v[i]), word)) return true;
  return false;
}

/* ---- FHIR */

/* Token address of the extension oauth-uris, however deep its address is written (registries differ). */
static str oauth_uri(gen *g, val security, const char *name) {
  val ext = gen_list(security, "extension");
  for (uint32_t i = 0; i < ext.len && gen_step(g); i++) {
    if (!str_ends(gen_text(g, ext.u.v[i], "url"), "/oauth-uris")) continue;
    val in = gen_list(ext.u.v[i], "extension");
    for (uint32_t k = 0; k < in.len && gen_step(g); k++)
      if (str_is(gen_text(g, in.u.v[k], "url"), name)) return gen_text(g, in.u.v[k], "valueUri");
  }
  return (str){0};
}

static bool service(gen *g, val security, const char *code) {
  val list = gen_list(security, "service");
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    val codings = gen_list(list.u.v[i], "coding");
    for (uint32_t k = 0; k < codings.len; k++)
      if (str_is(gen_text(g, codings.u.v[k], "code"), code)) return true;
    if (str_is(gen_text(g, list.u.v[i], "text"), code)) return true;
  }
  return false;
}

void gen_auth_fhir(gen *g, val security) {
  val smart = g->o->smart ? *g->o->smart : VAL_NONE;
  str token = gen_text(g, smart, "token_endpoint");
  g->token_url = token.len ? token : oauth_uri(g, security, "token");
  val can = gen_list(smart, "capabilities"), scopes = gen_list(smart, "scopes_supported");
  bool v1 = list_has(g, can, "permission-v1") || !list_has(g, can, "permission-v2");
  for (uint32_t i = 0; i < scopes.len; i++) v1 |= str_ends(gen_str(g, &scopes.u.v[i]), ".read");
  g->scopes_v2 = !v1;
  if (g->auth != GEN_AUTH_FOUND) return;
  bool keys = list_has(g, gen_list(smart, "token_endpoint_auth_methods_supported"), "private_key_jwt") || list_has(g, can, "client-confidential-asymmetric");
  bool is_smart = service(g, security, "SMART-on-FHIR") || oauth_uri(g, security, "token").len;
  if (smart.tag == VAL_OBJ) g->auth = keys ? GEN_AUTH_SMART_BACKEND : token.len ? GEN_AUTH_OAUTH2 : GEN_AUTH_NONE;
  else if (is_smart) g->auth = GEN_AUTH_SMART_BACKEND;
  else if (service(g, security, "OAuth")) g->auth = GEN_AUTH_OAUTH2;
  else if (service(g, security, "Basic")) g->auth = GEN_AUTH_BASIC;
  else {
    g->auth = GEN_AUTH_NONE;
    gen_note(g, "the document names no way to log in; --auth chooses one");
  }
}

/* ---- OpenAPI */

bool gen_header_name(str s) {
  for (size_t i = 0; i < s.len; i++)
    if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"(),/:;<=>?@[\\]{}'", s.p[i])) return false;
  return s.len > 0 && s.len <= 100;
}

/* One scheme, when a program without a user can log in so. */
static bool scheme(gen *g, str name, val v) {
  gen_at at;
  if (!gen_resolve(g, (gen_at){0, v}, &at, NULL)) return false;
  val s = at.v;
  str type = gen_text(g, s, "type"), how = gen_text(g, s, "scheme");
  if (str_is(type, "http") || str_is(type, "basic")) {
    bool bearer = how.len == 6 && (how.p[0] | 32) == 'b' && (how.p[1] | 32) == 'e';
    g->auth = bearer ? GEN_AUTH_BEARER : GEN_AUTH_BASIC;
    return true;
  }
  if (str_is(type, "apiKey")) {
    g->key_header = gen_text(g, s, "name");
    if (!str_is(gen_text(g, s, "in"), "header") || !gen_header_name(g->key_header)) {
      gen_note(g, "the key '%.*s' does not go into a header: say how to log in with --auth", STR(name));
      g->key_header = (str){0};
      return false;
    }
    g->auth = GEN_AUTH_API_KEY;
    return true;
  }
  if (str_is(type, "oauth2")) {
    val flows = gen_obj(s, "flows"), flow = gen_obj(flows, "clientCredentials");
    if (str_is(gen_text(g, s, "flow"), "application")) flow = s;
    if (flow.tag != VAL_OBJ) { gen_note(g, "'%.*s' logs in a person, not a program: say how this one does with --auth", STR(name)); return false; }
    g->token_url = gen_text(g, flow, "tokenUrl");
    val scopes = gen_obj(flow, "scopes");
    for (uint32_t i = 0; i < scopes.len && i < 100; i++) gen_scope(g, (str){scopes.u.v[2 * i].u.s, scopes.u.v[2 * i].len});
    g->auth = GEN_AUTH_OAUTH2;
    return true;
  }
  gen_note(g, "'%.*s' (%.*s) is no way to log in that this knows: --auth chooses one", STR(name), STR(type));
  return false;
}

/* How many calls name this scheme. */
static uint32_t users_of(gen *g, val doc, val name) {
  static const char *const methods[] = {"get", "post", "put", "patch", "delete"};
  val paths = gen_obj(doc, "paths");
  uint32_t n = 0;
  for (uint32_t i = 0; paths.tag == VAL_OBJ && i < paths.len && gen_step(g); i++)
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
      val list = gen_list(gen_obj(paths.u.v[2 * i + 1], methods[m]), "security");
      for (uint32_t k = 0; k < list.len && gen_step(g); k++) n += list.u.v[k].tag == VAL_OBJ && val_obj_get(list.u.v[k], name);
    }
  return n;
}

/* The scheme that most calls use, of those that were not tried; the first of several. */
static uint32_t most_used(const uint32_t *users, uint32_t n) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < n; i++)
    if (users[i] > users[best]) best = i;
  return best;
}

void gen_auth_api(gen *g, val doc) {
  if (g->auth != GEN_AUTH_FOUND) return;
  enum { SCHEMES_MAX = 50 };
  val schemes = gen_obj(gen_obj(doc, "components"), "securitySchemes"), wanted = gen_list(doc, "security");
  if (schemes.tag != VAL_OBJ) schemes = gen_obj(doc, "securityDefinitions");
  for (uint32_t i = 0; i < wanted.len && gen_step(g); i++)
    for (uint32_t k = 0; wanted.u.v[i].tag == VAL_OBJ && k < wanted.u.v[i].len; k++) {
      val name = wanted.u.v[i].u.v[2 * k];
      const val *s = schemes.tag == VAL_OBJ ? val_obj_get(schemes, name) : NULL;
      if (s && scheme(g, (str){name.u.s, name.len}, *s)) return;
    }
  uint32_t users[SCHEMES_MAX], n = schemes.tag != VAL_OBJ ? 0 : schemes.len < SCHEMES_MAX ? schemes.len : SCHEMES_MAX; /* 0: tried */
  for (uint32_t i = 0; i < n; i++) users[i] = users_of(g, doc, schemes.u.v[2 * i]) + 1;
  for (uint32_t k = 0; k < n && gen_step(g); k++) {
    uint32_t i = most_used(users, n);
    users[i] = 0;
    if (scheme(g, (str){schemes.u.v[2 * i].u.s, schemes.u.v[2 * i].len}, schemes.u.v[2 * i + 1])) return;
  }
  g->auth = GEN_AUTH_NONE;
  if (schemes.tag != VAL_OBJ || !schemes.len) gen_note(g, "the document names no way to log in; --auth chooses one");
}

/* ---- what is written */

void gen_auth_settings(gen *g, buf *b) {
  if (g->auth == GEN_AUTH_BASIC) buf_putf(b, "setting %.*s_user: string\n", STR(g->conn));
  if (g->auth != GEN_AUTH_OAUTH2 && g->auth != GEN_AUTH_SMART_BACKEND) return;
  buf_putf(b, "setting %.*s_token: url", STR(g->conn));
  if (gen_good_address(g->token_url)) {
    buf_puts(b, " = ");
    gen_quote(b, g->token_url);
  }
  buf_putf(b, "\nsetting %.*s_client_id: string\n", STR(g->conn));
}

static void put_scopes(gen *g, buf *b) {
  if (!g->nscopes) return;
  buf_puts(b, ",\nscopes: [");
  if (g->nscopes > 4) buf_putc(b, '\n');
  for (uint32_t i = 0; i < g->nscopes; i++) {
    if (i) buf_puts(b, g->nscopes > 4 ? ",\n" : ", ");
    gen_quote(b, g->scopes[i]);
  }
  buf_puts(b, g->nscopes > 4 ? ",\n]" : "]");
}

void gen_auth_arg(gen *g, buf *b) {
  switch (g->auth) {
    case GEN_AUTH_BASIC: buf_putf(b, "auth: basic(%.*s_user, secret('%.*s_password')),\n", STR(g->conn), STR(g->conn)); break;
    case GEN_AUTH_BEARER: buf_putf(b, "auth: bearer(secret('%.*s_token')),\n", STR(g->conn)); break;
    case GEN_AUTH_API_KEY:
      buf_puts(b, "auth: api_key(header: ");
      gen_quote(b, g->key_header.len ? g->key_header : str_of("X-Api-Key"));
      buf_putf(b, ", key: secret('%.*s_key')),\n", STR(g->conn));
      break;
    case GEN_AUTH_OAUTH2: case GEN_AUTH_SMART_BACKEND: {
      bool keys = g->auth == GEN_AUTH_SMART_BACKEND;
      buf_putf(b, "auth: %s(\ntoken: %.*s_token,\nclient_id: %.*s_client_id,\n%s: secret('%.*s_%s')", keys ? "smart_backend" : "oauth2", STR(g->conn), STR(g->conn),
               keys ? "key" : "client_secret", STR(g->conn), keys ? "key" : "secret");
      put_scopes(g, b);
      buf_puts(b, ",\n),\n");
      break;
    }
    case GEN_AUTH_FOUND: case GEN_AUTH_NONE: break;
  }
}
