/* config_doc.c - what derives from options.def for people and tools: JSON Schema, skeleton, limits. */
#include <stdio.h>
#include "config.h"
#include "json.h"

/* Members that are not known are refused, but for those that begin with $: "$schema" and comments. */
#define CLOSED "\"additionalProperties\":false,\"patternProperties\":{\"^[$]\":true}"

static void put_str(buf *b, const char *s) { json_write_str(b, s, strlen(s)); }

static void schema_row(buf *b, bool *first, const char *kind, const char *name, const char *def, long long min, long long max, const char *doc) {
  buf_puts(b, *first ? "" : ",");
  *first = false;
  put_str(b, name);
  buf_puts(b, ":{\"description\":");
  put_str(b, doc);
  if (!strcmp(kind, "INT")) {
    buf_putf(b, ",\"type\":\"integer\",\"minimum\":%lld,\"maximum\":%lld", min, max);
    if (def[0] != '-') buf_putf(b, ",\"default\":%s", def);
  } else if (!strcmp(kind, "TEXT")) {
    buf_putf(b, ",\"type\":\"string\",\"minLength\":%lld,\"maxLength\":%lld", min, max);
    if (strcmp(def, "\"\"")) buf_putf(b, ",\"default\":%s", def);
  } else if (!strcmp(kind, "BOOL")) buf_putf(b, ",\"type\":\"boolean\",\"default\":%s", def);
  else buf_putf(b, ",\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":%lld", max);
  buf_puts(b, "}");
}
#define SCHEMA(kind, name, def, min, max, doc) schema_row(b, &first, #kind, #name, #def, (long long)(min), (long long)(max), doc);

static void schema_listener(buf *b) {
  bool first = true;
  buf_puts(b, "{\"type\":\"object\"," CLOSED ",\"required\":[\"port\"],\"properties\":{");
#define LISTENER SCHEMA
#include "options.def"
  buf_puts(b, ",\"tls\":{\"description\":\"Serve under TLS.\",\"type\":\"object\"," CLOSED ",\"required\":[\"cert\",\"key\"],\"properties\":{");
  first = true;
#define TLS SCHEMA
#include "options.def"
  buf_puts(b, "}}}}");
}

static void schema_conn(buf *b) {
  bool first = true;
  buf_puts(b, "{\"type\":\"object\"," CLOSED ",\"properties\":{");
#define CONNECTION SCHEMA
#include "options.def"
  buf_puts(b, ",\"tls\":{\"description\":\"Speak TLS (mllp; rest follows its URL), with these certificates.\",\"type\":\"object\"," CLOSED ",\"properties\":{");
  first = true;
#define CLIENT_TLS SCHEMA
#include "options.def"
  buf_puts(b, "}}");
  buf_puts(b, ",\"grant\":{\"description\":\"What the connection may reach.\",\"type\":\"object\"," CLOSED ",\"properties\":"
              "{\"networks\":{\"description\":\"Networks (CIDR) that it may connect to.\",\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}}}");
}

static void schema_watching(buf *b) {
  bool first = true;
  buf_puts(b, "}},\"admin_http\":{\"description\":\"The admin API over TCP, with bearer tokens.\",\"type\":\"object\"," CLOSED ",\"required\":[\"port\"],\"properties\":{");
#define ADMIN_HTTP SCHEMA
#include "options.def"
  buf_puts(b, ",\"tls\":{\"type\":\"object\"," CLOSED ",\"required\":[\"cert\",\"key\"],\"properties\":{");
  first = true;
#define TLS SCHEMA
#include "options.def"
  buf_puts(b, "}}}},\"observe\":{\"description\":\"Metrics and health over HTTP.\",\"type\":\"object\"," CLOSED ",\"required\":[\"port\"],\"properties\":{");
  first = true;
#define OBSERVE SCHEMA
#include "options.def"
  buf_puts(b, "}},\"traces\":{\"description\":\"Traces to a collector.\",\"type\":\"object\"," CLOSED ",\"required\":[\"endpoint\"],\"properties\":{");
  first = true;
#define TRACES SCHEMA
#include "options.def"
}

static const char *schema_type(const char *type) {
  if (!strcmp(type, "integer")) return "{\"type\":\"integer\"}";
  if (!strcmp(type, "decimal")) return "{\"type\":\"number\"}";
  if (!strcmp(type, "boolean")) return "{\"type\":\"boolean\"}";
  if (!strcmp(type, "any")) return "{}";
  if (!strcmp(type, "url")) return "{\"type\":\"string\",\"format\":\"uri\"}";
  return "{\"type\":\"string\"}";
}

/* Visits the names of secrets in an argument. */
static void each_secret(arena *a, val v, void (*fn)(void *user, const char *name), void *user) {
  if (v.tag == VAL_LIST)
    for (uint32_t i = 0; i < v.len; i++) each_secret(a, v.u.v[i], fn, user);
  if (v.tag != VAL_OBJ) return;
  const char *s = jv_text(a, jv_get(v, "$secret"));
  if (s) fn(user, s);
  for (uint32_t i = 0; i < v.len; i++) each_secret(a, v.u.v[2 * i + 1], fn, user);
}

/* A list of names without repetition. */
typedef struct names {
  const char *v[256];
  uint32_t n;
} names;
static bool names_add(names *x, const char *s) {
  for (uint32_t i = 0; i < x->n; i++)
    if (!strcmp(x->v[i], s)) return false;
  if (x->n < 256) x->v[x->n++] = s;
  return true;
}
static void add_secret(void *user, const char *name) { (void)names_add((names *)user, name); }

void config_schema(buf *b, const meta *const *mods, uint32_t n) {
  bool first = true;
  names seen = {.n = 0};
  buf_puts(b, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"hdw.json\",\"type\":\"object\"," CLOSED ",\"properties\":{");
#define TOP SCHEMA
#include "options.def"
  buf_puts(b, ",\"settings\":{\"type\":\"object\",\"additionalProperties\":");
  buf_puts(b, n ? "false,\"properties\":{" : "true");
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < mods[i]->nsettings; k++) {
      const char *name = mods[i]->settings[k].name;
      if (!names_add(&seen, name)) continue;
      buf_puts(b, seen.n > 1 ? "," : "");
      put_str(b, name);
      buf_putf(b, ":%s", schema_type(mods[i]->settings[k].type));
    }
  buf_puts(b, n ? "}}" : "}");
  buf_puts(b, ",\"listeners\":{\"type\":\"object\",\"additionalProperties\":");
  schema_listener(b);
  buf_puts(b, "},\"connections\":{\"type\":\"object\",\"additionalProperties\":");
  schema_conn(b);
  buf_puts(b, "},\"roles\":{\"description\":\"Who may use the admin socket besides root and the daemon's user: user:NAME, group:NAME, uid:NUMBER, gid:NUMBER; and the admin API over TCP: token:SECRET.\",\"type\":\"object\"," CLOSED ",\"properties\":{");
  first = true;
#define ROLE SCHEMA
#include "options.def"
  schema_watching(b);
  buf_puts(b, "}},\"secrets\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\"," CLOSED ",\"required\":[\"file\"],"
              "\"properties\":{\"file\":{\"description\":\"File that holds the secret; readable by its owner only.\",\"type\":\"string\"}}}}}}");
}

static void skeleton_conn(buf *b, const meta_conn *c) {
  put_str(b, c->name);
  if (!strcmp(c->kind, "folder")) {
    buf_puts(b, ": { \"folder\": \"FILL-IN\" }");
    return;
  }
  buf_puts(b, ": { ");
  val base = jv_get(c->args, !strcmp(c->kind, "mllp") ? "host" : "base");
  if (base.tag == VAL_EMPTY) buf_puts(b, !strcmp(c->kind, "mllp") ? "\"address\": \"HOST:PORT\", " : "\"base\": \"https://FILL-IN\", ");
  buf_puts(b, "\"grant\": { \"networks\": [\"FILL-IN/32\"] } }");
}

void config_skeleton(buf *b, const meta *const *mods, uint32_t n) {
  names seen = {.n = 0};
  buf_puts(b, "{\n  \"data\": \"data\",\n  \"settings\": {");
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < mods[i]->nsettings; k++) {
      const meta_setting *s = &mods[i]->settings[k];
      if (!names_add(&seen, s->name)) continue;
      buf_puts(b, seen.n > 1 ? ",\n    " : "\n    ");
      put_str(b, s->name);
      buf_puts(b, ": ");
      if (s->has_default) (void)json_write(s->def, b, NULL);
      else buf_puts(b, !strcmp(s->type, "integer") || !strcmp(s->type, "decimal") ? "0" : !strcmp(s->type, "boolean") ? "false" : "\"FILL-IN\"");
    }
  buf_puts(b, seen.n ? "\n  },\n  \"listeners\": {" : "},\n  \"listeners\": {");
  seen.n = 0;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < mods[i]->nlisteners; k++) {
      const meta_listener *l = &mods[i]->listeners[k];
      int64_t port = 0;
      if (!names_add(&seen, l->name)) continue;
      (void)jv_int(jv_get(l->args, "port"), &port);
      buf_puts(b, seen.n > 1 ? ",\n    " : "\n    ");
      put_str(b, l->name);
      buf_putf(b, ": { \"address\": \"127.0.0.1\", \"port\": %lld }", (long long)port);
    }
  buf_puts(b, seen.n ? "\n  },\n  \"connections\": {" : "},\n  \"connections\": {");
  seen.n = 0;
  names secrets = {.n = 0};
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < mods[i]->nconns; k++) {
      each_secret(b->a, mods[i]->conns[k].args, add_secret, &secrets);
      if (!names_add(&seen, mods[i]->conns[k].name)) continue;
      buf_puts(b, seen.n > 1 ? ",\n    " : "\n    ");
      skeleton_conn(b, &mods[i]->conns[k]);
    }
  buf_puts(b, seen.n ? "\n  },\n  \"secrets\": {" : "},\n  \"secrets\": {");
  for (uint32_t i = 0; i < secrets.n; i++) {
    buf_puts(b, i ? ",\n    " : "\n    ");
    put_str(b, secrets.v[i]);
    buf_puts(b, ": { \"file\": \"FILL-IN\" }");
  }
  buf_puts(b, secrets.n ? "\n  }\n}\n" : "}\n}\n");
}

#define SHOW_INT(v) buf_putf(out, "%lld", (long long)(v));
#define SHOW_TEXT(v) put_str(out, v);
#define SHOW_BOOL(v) buf_puts(out, (v) ? "true" : "false");
#define SHOW_LIST(v) buf_putf(out, "%u", (v).n);
void config_limits(const config *c, buf *out) {
  bool first = true;
  buf_puts(out, "[");
#define TOP(kind, name, def, min, max, doc)        \
  buf_puts(out, first ? "" : ",");                 \
  first = false;                                   \
  buf_puts(out, "{\"name\":\"" #name "\",\"value\":"); \
  SHOW_##kind(c->top.name) buf_puts(out, ",\"default\":"); \
  buf_puts(out, #def);                             \
  buf_puts(out, ",\"meaning\":");                  \
  put_str(out, doc);                               \
  buf_puts(out, "}");
#include "options.def"
  buf_puts(out, "]");
}
