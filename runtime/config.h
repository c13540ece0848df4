/* config.h - hdw.json: what the operator binds to the names that the programs declare (SEMANTICS 6).
 *
 *   { "data": "/var/lib/hdw/hub",
 *     "settings":    { "crm_base": "https://crm.example.org" },
 *     "listeners":   { "adt": { "address": "0.0.0.0", "port": 2575, "tls": { "cert": "pki/hub.pem", "key": "pki/hub.key" } } },
 *     "connections": { "crm": { "grant": { "networks": ["10.2.0.0/16"] } } },
 *     "secrets":     { "crm_token": { "file": "/run/credentials/crm_token" } } }
 *
 * options.def lists the options. A name that no program declares, a declared name without binding, an unknown key and a value out of its limits are
 * problems; all of them are collected, each as one line that names its place and, where one is near, the name that was probably meant.
 *
 * Args of declarations are constants with references in them ({"$setting": name} ...); config_resolve gives the value that holds in this deployment. */
#ifndef HDW_CONFIG_H
#define HDW_CONFIG_H
#include "meta.h"

typedef struct config_list {
  const char **v;
  uint32_t n;
} config_list;

#define CONFIG_C_INT int64_t
#define CONFIG_C_TEXT const char *
#define CONFIG_C_BOOL bool
#define CONFIG_C_LIST config_list
#define CONFIG_FIELD(kind, name, def, min, max, doc) CONFIG_C_##kind name;

typedef struct config_top {
#define TOP CONFIG_FIELD
#include "options.def"
} config_top;
typedef struct config_listener_opts {
#define LISTENER CONFIG_FIELD
#include "options.def"
} config_listener_opts;
typedef struct config_tls_opts {
#define TLS CONFIG_FIELD
#include "options.def"
} config_tls_opts;
typedef struct config_conn_opts {
#define CONNECTION CONFIG_FIELD
#include "options.def"
} config_conn_opts;
typedef struct config_roles {
#define ROLE CONFIG_FIELD
#include "options.def"
} config_roles;
typedef struct config_client_tls_opts {
#define CLIENT_TLS CONFIG_FIELD
#include "options.def"
} config_client_tls_opts;
typedef struct config_admin_http {
#define ADMIN_HTTP CONFIG_FIELD
#include "options.def"
} config_admin_http;
typedef struct config_observe {
#define OBSERVE CONFIG_FIELD
#include "options.def"
} config_observe;
typedef struct config_traces {
#define TRACES CONFIG_FIELD
#include "options.def"
} config_traces;
#undef CONFIG_FIELD

typedef struct config_setting {
  const char *name;
  val value;
  bool used;
} config_setting;
typedef struct config_listener {
  const char *name;
  config_listener_opts o;
  bool has_tls;
  config_tls_opts tls;
  const char *cert_pem, *key_pem, *client_ca_pem; /* the files' texts, read by the daemon's shell */
  const char *problem;         /* why they cannot be had: "tls.key: ..."; a problem of whoever uses the listener */
  bool used;
} config_listener;
typedef struct config_conn {
  const char *name;
  config_conn_opts o;
  bool has_tls;
  config_client_tls_opts tls;
  const char *cert_pem, *key_pem, *ca_pem; /* the files' texts, read by the daemon's shell */
  const char *problem;         /* as a listener's */
  config_list networks;        /* grant.networks */
  bool has_timeout;
  val raw;                     /* the object as written */
  bool used;
} config_conn;
typedef struct config_secret {
  const char *name, *file;
  const char *value;           /* read by config_secrets_load; without the line end of the file */
  size_t value_len;
  const char *problem;         /* why it cannot be had; a problem of whoever uses it */
  bool used;
} config_secret;

enum { CONFIG_MAX_PROBLEMS = 50 };
typedef struct config {
  arena *a;
  const char *file;            /* for messages */
  config_top top;
  config_setting *settings;    uint32_t nsettings;
  config_listener *listeners;  uint32_t nlisteners;
  config_conn *conns;          uint32_t nconns;
  config_secret *secrets;      uint32_t nsecrets;
  config_roles roles;          /* entries: user:NAME, group:NAME (the daemon's shell makes numbers of them), uid:NUMBER, gid:NUMBER, token:SECRET */
  bool has_admin_http, has_observe, has_traces;
  config_admin_http admin_http;
  config_listener admin_tls;   /* only has_tls, tls and the texts of its files */
  config_observe observe;
  config_traces traces;
  const char *problems[CONFIG_MAX_PROBLEMS];
  uint32_t nproblems;          /* may exceed CONFIG_MAX_PROBLEMS: further ones are only counted */
} config;

/* Defaults everywhere, nothing bound. a lives as long as the config. */
void config_init(config *c, arena *a);
/* Reads the text (which must stay). HDW_OK also with problems (c->nproblems); HDW_E_NOMEM. */
hdw_status config_read(config *c, mem *scratch, const char *file, const char *text, size_t len);
/* Checks that every declared name of the modules is bound and every bound name is declared. literal_defaults: args of the source and defaults of settings
 * fill in what is not bound (hdwc run and test, and whatever a listener's or connection's declaration says in the source);
 * missing bindings are then no problem. */
hdw_status config_bind(config *c, const meta *const *mods, uint32_t n, bool literal_defaults);
/* Its parts, for those who go on without a module: the names of one module (how many problems it has); what the last one declares of connections otherwise
 * than a module before it does, where hdw.json does not say it for both (again how many); and names that no module used. */
uint32_t config_bind_module(config *c, const meta *m, bool literal_defaults);
uint32_t config_bind_shared(config *c, const meta *const *mods, uint32_t n);
void config_unused(config *c, const meta *const *mods, uint32_t n);
/* The names of a module that only earlier runs need count as used; what is missing is no problem. */
void config_use(config *c, const meta *m);
/* The value of an argument: settings replaced; a secret stays {"$secret": name}; calls stay with their args resolved. HDW_E_NOTFOUND: unbound setting. */
hdw_status config_resolve(const config *c, const meta *m, val arg, val *out);
config_setting *config_find_setting(const config *c, const char *name);
config_listener *config_find_listener(const config *c, const char *name);
config_conn *config_find_conn(const config *c, const char *name);
config_secret *config_find_secret(const config *c, const char *name);
/* Adds a problem line. */
void config_problem(config *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* JSON Schema of hdw.json; with modules, their names as properties. */
void config_schema(buf *out, const meta *const *mods, uint32_t n);
/* A skeleton of hdw.json for the modules' needs. */
void config_skeleton(buf *out, const meta *const *mods, uint32_t n);
/* Every option, its value here, default and meaning: for hdwvm limits. JSON array. */
void config_limits(const config *c, buf *out);

#endif
