/* meta.c - see meta.h. */
#include "meta.h"
#include "json.h"
#include <stdarg.h>
#include <stdio.h>

/* ---- JSON values -------------------------------------------------------------------------------------------------- */

val jv_get(val obj, const char *name) {
  if (obj.tag != VAL_OBJ) return VAL_NONE;
  const val *p = val_obj_get(obj, val_key(name, strlen(name)));
  return p ? *p : VAL_NONE;
}

const char *jv_text(arena *a, val v) {
  if (v.tag != VAL_STR || (v.flags & VALF_ESC && val_norm(a, v, &v))) return NULL;
  if (v.len && memchr(v.u.s, 0, v.len)) return NULL;
  return arena_dup(a, v.u.s, v.len);
}

bool jv_int(val v, int64_t *out) {
  if (v.tag == VAL_INT || v.tag == VAL_LONG) {
    *out = v.u.i;
    return true;
  }
  dec d;
  if (v.tag == VAL_NUM) {
    if (dec_parse(v.u.s, v.len, &d)) return false;
  } else if (v.tag == VAL_DEC) d = val_get_dec(v);
  else return false;
  return dec_to_i64(&d, out) == HDW_OK;
}

bool jv_is(val v, const char *text) { return v.tag == VAL_STR && v.len == strlen(text) && memcmp(v.u.s, text, v.len) == 0; }

uint32_t jv_count(val v) { return v.tag == VAL_LIST ? v.len : v.tag != VAL_EMPTY && v.tag != VAL_NULL; }
val jv_item(val v, uint32_t i) { return v.tag == VAL_LIST ? v.u.v[i] : v; }

const char *mod_cstr(arena *a, const module *m, uint32_t k) {
  uint32_t n = 0;
  const char *s = mod_text(m, k, &n);
  return arena_dup(a, s, n);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

typedef struct ctx {
  arena *a;
  const module *m;
  mod_error *err;
} ctx;

static hdw_status bad(ctx *c, hdw_status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static hdw_status bad(ctx *c, hdw_status s, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  c->err->status = s;
  vsnprintf(c->err->text, sizeof c->err->text, fmt, ap);
  va_end(ap);
  return s;
}

/* A name of the source: letters, digits, '_', '-', '.', not empty. */
static bool is_name(const char *s) {
  size_t n = 0;
  for (; s[n]; n++) {
    char ch = s[n];
    bool ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_' || ch == '-' || ch == '.' || ch == '/';
    if (!ok) return false;
  }
  return n > 0 && n <= META_MAX_NAME;
}

static hdw_status name_of(ctx *c, val obj, const char *key, const char *where, const char **out) {
  *out = jv_text(c->a, jv_get(obj, key));
  if (!*out || !is_name(*out)) return bad(c, HDW_E_CORRUPT, "%s: '%s' is missing or no name", where, key);
  return HDW_OK;
}

static hdw_status was_of(ctx *c, val obj, const char *where, const char **out) {
  return jv_get(obj, "was").tag == VAL_EMPTY ? HDW_OK : name_of(c, obj, "was", where, out);
}

static hdw_status args_of(ctx *c, val obj, const char *where, val *out) {
  *out = jv_get(obj, "args");
  if (out->tag == VAL_EMPTY) *out = (val){.tag = VAL_OBJ};
  return out->tag == VAL_OBJ ? HDW_OK : bad(c, HDW_E_CORRUPT, "%s: 'args' is no object", where);
}

static hdw_status func_of(ctx *c, val obj, const char *key, const char *where, bool optional, int params, uint32_t *out) {
  int64_t i;
  val v = jv_get(obj, key);
  *out = MOD_NO_INDEX;
  if (v.tag == VAL_EMPTY && optional) return HDW_OK;
  if (!jv_int(v, &i) || i < 0 || i >= (int64_t)c->m->nfuncs) return bad(c, HDW_E_CORRUPT, "%s: '%s' is no function of the module", where, key);
  if (params >= 0 && c->m->funcs[i].params != params) return bad(c, HDW_E_CORRUPT, "%s: the function of '%s' does not take %d parameter", where, key, params);
  *out = (uint32_t)i;
  return HDW_OK;
}

static hdw_status texts_of(ctx *c, val list, const char *where, const char ***out, uint32_t *n) {
  *n = jv_count(list);
  *out = NULL;
  if (*n > META_MAX_NAMES) return bad(c, HDW_E_CORRUPT, "%s: too many entries", where);
  if (!*n) return HDW_OK;
  *out = (const char **)arena_zalloc(c->a, *n, sizeof **out);
  if (!*out) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < *n; i++) {
    (*out)[i] = jv_text(c->a, jv_item(list, i));
    if (!(*out)[i]) return bad(c, HDW_E_CORRUPT, "%s: entry %u is no text", where, i);
  }
  return HDW_OK;
}

/* Array member of the root: its items and room for n structures of the given size. */
static hdw_status list_of(ctx *c, val root, const char *key, size_t size, val *list, void **out, uint32_t *n) {
  *list = jv_get(root, key);
  *n = 0;
  *out = NULL;
  if (list->tag == VAL_EMPTY) return HDW_OK;
  if (list->tag != VAL_LIST || list->len > META_MAX_NAMES) return bad(c, HDW_E_CORRUPT, "'%s' is no list", key);
  *n = list->len;
  *out = arena_zalloc(c->a, *n ? *n : 1, size);
  return *out ? HDW_OK : HDW_E_NOMEM;
}

static hdw_status read_trigger(ctx *c, val v, const char *where, meta_trigger *t) {
  hdw_status s = name_of(c, v, "kind", where, &t->kind);
  if (!s && jv_get(v, "listener").tag != VAL_EMPTY) s = name_of(c, v, "listener", where, &t->listener);
  if (!s) s = args_of(c, v, where, &t->args);
  if (!s) s = texts_of(c, jv_get(t->args, "types"), where, &t->types, &t->ntypes);
  if (!s) s = texts_of(c, jv_get(t->args, "from"), where, &t->from, &t->nfrom);
  if (s) return s;
  if (!t->listener) t->listener = "";
  val path = jv_get(t->args, "path");
  if (path.tag == VAL_EMPTY) return HDW_OK;
  t->path = jv_text(c->a, path);
  return t->path && t->path[0] == '/' ? HDW_OK : bad(c, HDW_E_CORRUPT, "%s: 'path' does not begin with '/'", where);
}

static hdw_status read_ack(ctx *c, val v, const char *where, meta_workflow *w) {
  val after = jv_get(v, "after");
  memcpy(w->ack_else, "AE", 3);
  if (v.tag == VAL_EMPTY || after.tag == VAL_EMPTY || jv_is(after, "commit")) return HDW_OK;
  if (!jv_is(after, "run")) return bad(c, HDW_E_CORRUPT, "%s: 'ack.after' is unknown", where);
  w->ack_after_run = true;
  int64_t ms = 0;
  if (!jv_int(jv_get(jv_get(v, "within"), "$ms"), &ms) || ms < 1 || ms > 3600000) return bad(c, HDW_E_CORRUPT, "%s: 'ack.within' is no duration up to an hour", where);
  w->ack_within_us = ms * 1000;
  const char *code = jv_text(c->a, jv_get(v, "else"));
  if (code) {
    if (strcmp(code, "AE") && strcmp(code, "AR") && strcmp(code, "AA")) return bad(c, HDW_E_CORRUPT, "%s: 'ack.else' is AE, AR or AA", where);
    memcpy(w->ack_else, code, 3);
  }
  return HDW_OK;
}

static hdw_status read_workflow(ctx *c, val v, meta_workflow *w) {
  hdw_status s = name_of(c, v, "name", "workflow", &w->name);
  if (!s) s = was_of(c, v, w->name, &w->was);
  if (!s) s = func_of(c, v, "func", w->name, false, 1, &w->func);
  if (s) return s;
  w->state_name = w->name;
  w->input = jv_text(c->a, jv_get(v, "input"));
  w->returns = jv_text(c->a, jv_get(v, "returns"));
  if (!w->input) w->input = "input";
  val lanes = jv_get(v, "lanes");
  w->lanes = lanes.tag == VAL_BOOL && lanes.u.i;
  w->lane_skip = jv_is(jv_get(v, "lane_failure"), "skip");
  s = read_ack(c, jv_get(v, "ack"), w->name, w);
  val list;
  void *p;
  if (!s) s = list_of(c, v, "triggers", sizeof(meta_trigger), &list, &p, &w->ntriggers);
  if (s) return s;
  w->triggers = (meta_trigger *)p;
  for (uint32_t i = 0; i < w->ntriggers && !s; i++) s = read_trigger(c, list.u.v[i], w->name, &w->triggers[i]);
  return s;
}

static hdw_status read_settings(ctx *c, val root, meta *out) {
  val list;
  void *p;
  hdw_status s = list_of(c, root, "settings", sizeof(meta_setting), &list, &p, &out->nsettings);
  out->settings = (meta_setting *)p;
  for (uint32_t i = 0; i < out->nsettings && !s; i++) {
    meta_setting *x = &out->settings[i];
    s = name_of(c, list.u.v[i], "name", "setting", &x->name);
    if (s) break;
    x->type = jv_text(c->a, jv_get(list.u.v[i], "type"));
    if (!x->type) x->type = "string";
    x->def = jv_get(list.u.v[i], "default");
    x->has_default = x->def.tag != VAL_EMPTY;
  }
  return s;
}

static hdw_status read_places(ctx *c, val root, meta *out) {
  val list;
  void *p;
  hdw_status s = list_of(c, root, "listeners", sizeof(meta_listener), &list, &p, &out->nlisteners);
  out->listeners = (meta_listener *)p;
  for (uint32_t i = 0; i < out->nlisteners && !s; i++) {
    meta_listener *x = &out->listeners[i];
    s = name_of(c, list.u.v[i], "name", "listener", &x->name);
    if (!s) s = name_of(c, list.u.v[i], "kind", x->name, &x->kind);
    if (!s) s = was_of(c, list.u.v[i], x->name, &x->was);
    if (!s) s = args_of(c, list.u.v[i], x->name, &x->args);
  }
  if (!s) s = list_of(c, root, "connections", sizeof(meta_conn), &list, &p, &out->nconns);
  if (s) return s;
  out->conns = (meta_conn *)p;
  for (uint32_t i = 0; i < out->nconns && !s; i++) {
    meta_conn *x = &out->conns[i];
    s = name_of(c, list.u.v[i], "name", "connection", &x->name);
    if (!s) s = name_of(c, list.u.v[i], "kind", x->name, &x->kind);
    if (!s) s = was_of(c, list.u.v[i], x->name, &x->was);
    if (!s) s = args_of(c, list.u.v[i], x->name, &x->args);
    if (!s) s = texts_of(c, jv_get(list.u.v[i], "ops"), x->name, &x->ops, &x->nops);
  }
  return s;
}

static hdw_status read_code(ctx *c, val root, meta *out) {
  val list;
  void *p;
  hdw_status s = list_of(c, root, "senders", sizeof(meta_sender), &list, &p, &out->nsenders);
  out->senders = (meta_sender *)p;
  for (uint32_t i = 0; i < out->nsenders && !s; i++) {
    meta_sender *x = &out->senders[i];
    s = name_of(c, list.u.v[i], "name", "sender", &x->name);
    if (!s) s = func_of(c, list.u.v[i], "match", x->name, true, 1, &x->match);
    if (!s) s = args_of(c, list.u.v[i], x->name, &x->args);
  }
  if (!s) s = list_of(c, root, "workflows", sizeof(meta_workflow), &list, &p, &out->nworkflows);
  if (s) return s;
  out->workflows = (meta_workflow *)p;
  for (uint32_t i = 0; i < out->nworkflows && !s; i++) s = read_workflow(c, list.u.v[i], &out->workflows[i]);
  if (!s) s = list_of(c, root, "functions", sizeof(meta_func), &list, &p, &out->nfunctions);
  if (s) return s;
  out->functions = (meta_func *)p;
  for (uint32_t i = 0; i < out->nfunctions && !s; i++) {
    s = name_of(c, list.u.v[i], "name", "function", &out->functions[i].name);
    if (!s) s = func_of(c, list.u.v[i], "func", out->functions[i].name, false, -1, &out->functions[i].func);
  }
  return s;
}

/* What names another thing must name an existing one. */
static hdw_status check_names(ctx *c, const meta *m) {
  for (uint32_t i = 0; i < m->nworkflows; i++)
    for (uint32_t t = 0; t < m->workflows[i].ntriggers; t++) {
      const meta_trigger *tr = &m->workflows[i].triggers[t];
      bool found = !tr->listener[0];
      for (uint32_t k = 0; k < m->nlisteners && !found; k++) found = !strcmp(m->listeners[k].name, tr->listener);
      if (!found) return bad(c, HDW_E_CORRUPT, "%s: there is no listener '%s'", m->workflows[i].name, tr->listener);
    }
  for (uint32_t e = 0; e < c->m->neffects; e++) {
    if (c->m->effects[e].conn == MOD_NO_INDEX) continue;
    const char *conn = mod_cstr(c->a, c->m, c->m->effects[e].conn);
    if (!conn) return HDW_E_NOMEM;
    bool found = false;
    for (uint32_t k = 0; k < m->nconns && !found; k++) found = !strcmp(m->conns[k].name, conn);
    if (!found) return bad(c, HDW_E_CORRUPT, "effect %u names the connection '%.60s' that is not declared", e, conn);
  }
  return HDW_OK;
}

hdw_status meta_read(arena *a, mem *scratch, const module *m, meta *out, mod_error *err) {
  ctx c = {a, m, err};
  json_reader r;
  json_error je;
  json_opts opts = {.max_depth = 32};
  val root;
  int64_t edition = 0;
  *out = (meta){.name = ""};
  err->status = HDW_OK, err->text[0] = 0;
  if (!m->meta_len) return bad(&c, HDW_E_CORRUPT, "the module has no META section");
  json_reader_init(&r, scratch);
  hdw_status s = json_read(&r, a, m->meta, m->meta_len, &opts, &root, &je);
  json_reader_free(&r);
  if (s == HDW_E_NOMEM) return s;
  if (s || root.tag != VAL_OBJ) return bad(&c, HDW_E_CORRUPT, "META is no JSON object: byte %zu, %s expected", je.offset, je.expected ? je.expected : "an object");
  if (!jv_int(jv_get(root, "edition"), &edition) || edition != 1) return bad(&c, HDW_E_VERSION, "edition %lld is not known to this version", (long long)edition);
  const char *name = jv_text(a, jv_get(root, "name"));
  if (name) out->name = name;
  s = read_settings(&c, root, out);
  if (!s) s = read_places(&c, root, out);
  if (!s) s = read_code(&c, root, out);
  if (!s) s = check_names(&c, out);
  return s;
}
