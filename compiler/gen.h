/* gen.h - `hdwc gen connector`: a module of actions from what a server says of itself: a FHIR CapabilityStatement (Conformance in DSTU2), an OpenAPI 3
 * or a Swagger 2 document.
 *
 * Pure: a parsed document in, text out; files are read by the caller's loader. The text is what `hdwc fmt` would make of it, and the same document and
 * options give the same bytes. Names and texts of the document are foreign: they come out as identifiers, escaped strings or comments of one line,
 * never as source. What cannot be expressed is left out and said in notes. */
#ifndef HDW_GEN_H
#define HDW_GEN_H
#include "arena.h"
#include "value.h"

typedef enum gen_auth {
  GEN_AUTH_FOUND,            /* what the document asks for */
  GEN_AUTH_NONE, GEN_AUTH_BASIC, GEN_AUTH_BEARER, GEN_AUTH_API_KEY, GEN_AUTH_OAUTH2, GEN_AUTH_SMART_BACKEND
} gen_auth;

/* Reads the document that `ref` (a relative path, without '#...') names in the document at `from`. *path is what its own references are relative to;
 * the same path for the same file, as one document is read once. HDW_E_NOTFOUND, HDW_E_DENIED (outside of the folder), HDW_E_SYNTAX. */
typedef struct gen_loader {
  hdw_status (*load)(void *user, const char *from, const char *ref, const char **path, val *doc);
  void *user;
} gen_loader;

typedef struct gen_options {
  const char *file;          /* name of the document, for the comment at the top and for a name */
  const char *path;          /* what its references are relative to; loader may be NULL: then references to other files are notes */
  const char *command;       /* for the comment: how to make it again */
  const char *name;          /* of the connection; NULL = of the document */
  const char *prefix;        /* before the names of actions and payloads, when a program has several connectors; NULL = none */
  gen_auth auth;
  bool ranges;               /* date, number and quantity parameters take a range or a value; false: a value */
  const char *const *only;   /* resource types, or tags and first segments of paths; NULL = all */
  uint32_t nonly;
  const val *smart;          /* smart-configuration or openid-configuration of the server, or NULL */
  const gen_loader *loader;
} gen_options;

typedef struct gen_result {
  const char *name;          /* of the connection: the module belongs into NAME.hdw */
  buf text;
  buf capability;            /* for NAME.capability.json: what of the document `against` needs; empty for OpenAPI */
  const char *error;         /* with HDW_E_INVALID and HDW_E_LIMIT: what is wrong with the document */
  const char **notes;        /* what was left out, and why */
  uint32_t nnotes, nactions, npayloads;
} gen_result;

/* HDW_E_INVALID: no document that this reads; HDW_E_LIMIT: more of it than a module should hold; HDW_E_NOMEM. */
hdw_status gen_connector(arena *a, val doc, const gen_options *o, gen_result *out);

typedef struct gen_yaml_error {
  uint32_t line, column;     /* from 1 */
  const char *what;
} gen_yaml_error;
/* One YAML 1.2 document of the JSON schema's kinds into values as json_read gives them (gen_yaml.c): aliases share what they name, numbers keep
 * their text. JSON is YAML. HDW_E_SYNTAX, HDW_E_LIMIT (nesting, or more values than 4 million once every alias is followed), HDW_E_NOMEM. The text must outlive nothing: all is copied
 * into a. */
hdw_status gen_yaml(arena *a, const char *text, size_t len, val *out, gen_yaml_error *e);

#endif
