/* meta.h - the META section of a module (docs/internals/meta.md) as structures.
 *
 * The section comes from a file that anybody may have written: every index and every kind is checked here, once. Texts are
 * NUL-terminated and without NUL inside; args stay JSON values. Everything lives in the arena (and points into the module's bytes). */
#ifndef HDW_META_H
#define HDW_META_H
#include "module.h"

enum { META_MAX_NAMES = 4096, META_MAX_NAME = 120 };

typedef struct meta_setting {
  const char *name, *type;
  bool has_default;
  val def;
} meta_setting;
typedef struct meta_listener {
  const char *name, *kind;     /* mllp, http */
  const char *was;             /* the name of before; NULL */
  val args;                    /* VAL_OBJ */
} meta_listener;
typedef struct meta_conn {
  const char *name, *kind;     /* rest, mllp, files ... */
  const char *was;             /* the name under which its queue stands so far; NULL */
  val args;
  const char **ops;
  uint32_t nops;
} meta_conn;
typedef struct meta_sender {
  const char *name;
  uint32_t match;              /* function of one parameter; MOD_NO_INDEX = matches by name only */
  val args;
} meta_sender;
typedef struct meta_trigger {
  const char *listener, *kind; /* message, post, get, put, delete, request ... */
  const char **types;          /* "ADT^A01", "*" allowed on either side; none = all */
  uint32_t ntypes;
  const char **from;
  uint32_t nfrom;
  const char *path;            /* http; NULL when not given */
  val args;
} meta_trigger;
typedef struct meta_workflow {
  const char *name;
  const char *was;             /* the name of before; NULL */
  const char *state_name;      /* what lanes and once-keys are hashed with: the first of its names. Set by the engine; name until then */
  uint32_t func;
  const char *input;           /* "msg" */
  const char *returns;         /* NULL when it returns nothing */
  meta_trigger *triggers;
  uint32_t ntriggers;
  bool ack_after_run;
  int64_t ack_within_us;
  char ack_else[4];            /* "AE" */
  bool lanes;                  /* has order by */
  bool lane_skip;              /* order by ... on failure skip */
} meta_workflow;
typedef struct meta_func { const char *name; uint32_t func; } meta_func;

typedef struct meta {
  const char *name;
  meta_setting *settings;      uint32_t nsettings;
  meta_listener *listeners;    uint32_t nlisteners;
  meta_conn *conns;            uint32_t nconns;
  meta_sender *senders;        uint32_t nsenders;
  meta_workflow *workflows;    uint32_t nworkflows;
  meta_func *functions;        uint32_t nfunctions;
} meta;

/* m stays. HDW_E_CORRUPT (err names the place), HDW_E_VERSION (edition), HDW_E_NOMEM. */
hdw_status meta_read(arena *a, mem *scratch, const module *m, meta *out, mod_error *err);

/* A constant string of the module, NUL-terminated in a; NULL when memory is out. */
const char *mod_cstr(arena *a, const module *m, uint32_t k);

/* Helpers over JSON values, used for args, hdw.json and the admin API alike. A missing member is VAL_EMPTY. */
val jv_get(val obj, const char *name);
/* NUL-terminated copy without escapes in a; NULL when v is no string, holds a NUL or memory is out. */
const char *jv_text(arena *a, val v);
/* False when v is no whole number in range. */
bool jv_int(val v, int64_t *out);
bool jv_is(val v, const char *text);
/* Items of an array in a document (a single value counts as one). */
uint32_t jv_count(val v);
val jv_item(val v, uint32_t i);

#endif
