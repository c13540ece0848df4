/* comp_int.h - inside the compiler: one pass per function resolves names, checks types and emits code; declarations are collected first.
 *
 * Files: comp.c (programs, units), builtin.c (signatures), decl.c (declarations), type.c (type names, parameters), table.c (tables), expr.c
 * (expressions), lib.c (libraries), literal.c, name.c, oper.c (operators), convert.c (joined and declared types), facts.c (what conditions prove), advice.c (what was meant where types do not fit), profile.c, path.c and path_fhir.c (member
 * access), call.c (functions, constructors), fhirbuild.c (FHIR resources that are built), inline.c (where, select ...), effect.c (operations), cached.c (answers that are
 * kept), adapter.c (connections made by adapters), fhircall.c (those of FHIR connections), against.c (what a server declares), fhirop.c ($everything ...), stmt.c (statements),
 * testblock.c, workflow.c, meta.c (the META section). */
#ifndef HDW_COMP_INT_H
#define HDW_COMP_INT_H
#include "ast.h"
#include "compiler.h"
#include "dict.h"
#include "emit.h"
#include "fhir_profile.h"
#include "nearest.h"
#include "types.h"

typedef struct str { const char *p; size_t len; } str;
static inline bool str_is(str s, const char *t) { return strlen(t) == s.len && memcmp(s.p, t, s.len) == 0; }
static inline bool str_eq(str a, str b) { return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0); }
static inline str str_of(const char *p) { return (str){p, strlen(p)}; }
#define STR(s) (int)(s).len, (s).p

/* ---- builtins.def as tables (builtin.c) */
typedef enum special { SP_NONE, SP_T, SP_EXPR, SP_TYPE, SP_PATH, SP_QUERY, SP_URL, SP_TEXT, SP_JSON, SP_DURATION, SP_MESSAGE, SP_HELPER, SP_SECRET, SP_HL7 /* an HL7 value */ } special;
typedef struct sig_param { str name; ty type; uint8_t special; bool optional; } sig_param;
enum { SIG_MAX = 14 };
typedef struct sig {
  str name;
  bool has_recv, rest;         /* rest: "..." takes further named arguments */
  sig_param recv, p[SIG_MAX];
  uint8_t n;
  ty ret;
  uint8_t ret_special;         /* SP_T: the receiver's item type */
} sig;
typedef enum bi_kind { BI_FUNCTION, BI_INLINE, BI_OPERATION, BI_DECLARE } bi_kind;
typedef enum bi_inline { IN_where, IN_select, IN_all, IN_repeat, IN_aggregate, IN_ofType, IN_is, IN_as, IN_iif, IN_coalesce, IN_trace, IN_sort, IN_range, IN_disclose, IN_with, IN_repeatAll, IN_resolve, IN_defineVariable, IN_elementDefinition, IN_slice, IN_NONE } bi_inline;
typedef enum bi_what { BI_CONNECTION, BI_LISTENER, BI_TRIGGER, BI_HELPER } bi_what;
typedef struct bi {
  uint8_t kind, inl, what, klass;
  bool later, whole;           /* whole: all of sig was read; until then it has the name alone */
  const char *conn;            /* BI_OPERATION: connection kind; BI_TRIGGER: listener kind or "" */
  const char *doc, *example, *text;
  sig sig;
} bi;
/* Names to row + 1; the first row of a name is kept. */
typedef struct name_table { uint32_t *slot; uint32_t n, cap; } name_table;
/* A row that was looked up here has its signature; rows[i] has its name. */
typedef struct bi_table { bi *rows; uint32_t n; name_table functions; } bi_table;
hdw_status bi_build(arena *a, bi_table *t);
const bi *bi_function(const bi_table *t, str name);                    /* FUNCTION or INLINE */
const bi *bi_operation(const bi_table *t, const char *conn, str name);
const bi *bi_declare(const bi_table *t, bi_what what, const char *conn, str name);

/* ---- declarations */
typedef enum decl_kind { D_CONNECTION, D_LISTENER, D_PROFILE, D_TABLE, D_SETTING, D_LET, D_PAYLOAD, D_SEGMENT, D_ENTITY, D_SENDER, D_MAP, D_FN, D_ACTION, D_WORKFLOW, D_TEST } decl_kind;
typedef struct unit {
  uint32_t file;               /* of the diag_list */
  const char *path, *src;
  size_t len;
  parse_result parse;
  int lib;                     /* library that it belongs to, 0 = the program */
  const ast *made;             /* the connection that this copy of an adapter was read for (adapter.c), or NULL */
  uint32_t uses;               /* bit per library that it uses */
  bool missing;                /* a file that it uses was not found: unknown names are not reported */
  uint32_t file_k;             /* constant with the path, for debug rows */
} unit;
typedef struct field { str name; ty t; ast *type, *expr, *node; } field;
typedef struct decl {
  uint8_t kind, state;         /* state of compilation: 0 not yet, 1 in progress, 2 done */
  bool later, resolving;
  unit *u;
  ast *node;
  str name;
  ty t;                        /* setting, let: its type; fn, map, action: what it gives; payload: itself */
  ast *params;                 /* AST_PARAMS or NULL */
  field *par;  uint32_t npar;
  field *fields; uint32_t nfields;  /* payload, segment, entity */
  const bi *kind_row;          /* connection, listener: its kind */
  uint32_t fn;                 /* function index or MOD_NO_INDEX */
  uint16_t as_fhir;            /* payload ... as fhir.T, profile: the type */
  uint32_t fn2;                /* payload without parameters: conversion from any */
  val rows;                    /* table: its rows; profile: its rules, trimmed */
  uint32_t rows_k;             /* table, profile: the constant that holds them, or MOD_NO_INDEX */
  const fhir_profile *profile; /* profile: its rules, or NULL when it could not be read */
  const ast *waits; unit *waits_in; uint8_t waits_seen; /* action: what in it may wait without an end, or NULL; 1 = being looked at, 2 = known */
  const ast *sink;             /* action: where one of its parameters reaches what must not have phi, or NULL */
  const char *sink_does;       /* "writes what it is given to a log" */
  struct scopes *scopes;       /* connection: what its login asks for (scope.c), or NULL */
  struct server *server;       /* connection: what its server declares (against.c), or NULL */
  uint32_t base, stands_for;   /* connection made by an adapter: the adapter's own; and the other way round. MOD_NO_INDEX */
  int adapter;                 /* ... its library, with the actions that are called on it; 0 = none */
  uint64_t ops;                /* connection: bit per operation row used (index among its kind) */
} decl;

typedef struct local { str name; int reg; ty t; ast *at; bool hidden; /* of another branch that is not over */ uint32_t debug; } local;
/* What a condition has proven (facts.c): the expression of this text has a value, of that FHIR type when type is not 0. */
typedef struct fact { str text; uint16_t type; int nscope, nlocals, this_reg; const unit *u; } fact;
enum { MAX_FACTS = 120 };
/* Why a value may be empty: "Patient.birthDate is missing". */
typedef struct why_row { const ast *n; const char *text; } why_row;
typedef struct pnode { uint32_t decl; const fhir_pnode *n; str path; } pnode; /* a place in a profile: its declaration, "component:systolic" */
typedef struct this_scope { int reg, index, total, origin; /* origin: of what its path begins with (resolve), -1 */ ty t; ty total_t; } this_scope;
enum { MAX_LOCALS = 200, MAX_THIS = 40 };

/* What is being compiled. */
typedef struct fnctx {
  uint32_t fn;
  int top;                     /* next free register */
  local locals[MAX_LOCALS];
  int nlocals;
  this_scope scope[MAX_THIS];  /* $this of criteria; [0] is the root of an evaluated expression */
  int nscope;
  fact facts[MAX_FACTS];       /* a stack: who adds some takes them off again */
  int nfacts;
  int origin;                  /* of the receiver that was compiled last */
  int nvars;                   /* registers of defineVariable, from the upper end down */
  bool root_scope;             /* scope[0] is such a root: bare names are looked up as declarations first, then as its members */
  int msg;                     /* register of the HL7 message or segment that bare paths read, -1 */
  ty msg_t;
  bool effects;                /* step and send are allowed */
  bool in_workflow, in_test, full;
  const ast *gate;             /* the statement at which the gate ended, or NULL */
  int version;                 /* HL7 version that the sender declares (index of the dictionary), -1 */
  decl *sender;
  decl *owner;
  ty ret;                      /* declared result; kind TY_ERR = none declared */
  ty got;                      /* joined type of returns, when none is declared */
  bool has_got;
  uint8_t out_label;           /* labels of all that is returned */
  uint32_t paths;              /* journal sites that are open: return leaves them */
  int yield_builder;           /* register, -1 outside, -2 in a branch of a block */
  int in_branch;               /* of parallel */
  ty yield_t;
  bool has_yield;
  uint32_t site;               /* next journal site */
  int error_reg;               /* register of `error` in a handler, -1 */
  const char *ack_after;       /* workflow: "commit" or "run" */
  const ast *ack;              /* its clause */
  struct fnctx *outer;
} fnctx;

typedef struct shape { uint32_t n; str *names; ty *types; } shape;

/* A library: its names are its own (lib.c). */
typedef struct library { str name; name_table names; } library;
enum { LIBS_MAX = 32 };

typedef struct comp {
  arena *a;
  diag_list *d;
  const comp_options *opt;
  emit e;
  bi_table bi;
  unit **units; uint32_t nunits, cap_units;
  decl *decls; uint32_t ndecls, cap_decls;
  shape *shapes; uint32_t nshapes, cap_shapes;
  why_row *whys; uint32_t nwhys, cap_whys;
  pnode *pnodes; uint32_t npnodes, cap_pnodes;
  fhir_element_info *choices; uint32_t nchoices, cap_choices;
  comp_test *tests; uint32_t ntests, cap_tests;
  unit *u;                     /* of what is being compiled */
  decl *conn;                  /* the FHIR connection whose call is being compiled, or NULL */
  const struct keep *keep;     /* its answer is kept: cached(…), or NULL */
  bool quiet;                  /* what is compiled was compiled before: nothing is reported again */
  fnctx *f, *spare;            /* the present function; contexts to be used again */
  bool later;
  comp_model model;            /* of an evaluated expression */
  bool lenient;
  bool is_eval;
  const unit *pos_unit;        /* the last position that was asked for */
  uint32_t pos_off, pos_line, pos_col;
  int depth;                   /* of recursion over the tree */
  int fn_depth;                /* of functions that are compiled because one that is being compiled calls them */
  int let_depth;               /* of constants that name constants */
  uint32_t const_work;         /* values visited in constants: what names itself twice in a row doubles each time */
  const ast *at;               /* what is being compiled, for limits */
  library libs[LIBS_MAX];      /* names of declarations; [0] is the program */
  int nlibs;
  str *repeats; uint32_t nrepeats, cap_repeats;  /* fields that some sender declares as repeating: "PID-18" */
  struct view *view;           /* ViewDefinition whose paths are compiled, or NULL */
} comp;

/* comp.c */
uint64_t name_hash(str s);
bool name_add(arena *a, name_table *t, str name, uint32_t row, str (*of)(const void *, uint32_t), const void *user); /* false when memory ended */
uint32_t name_find(const name_table *t, str name, str (*of)(const void *, uint32_t), const void *user);              /* row, or MOD_NO_INDEX */
str node_name(comp *c, const ast *n);
str node_text(comp *c, const ast *n);
str key_text(comp *c, ast *key);              /* of an argument or member: a name, 'string' or HL7 path */
decl *find_decl(comp *c, str name);           /* of the program or library that is being compiled */
str decl_name_of(const void *user, uint32_t row);
void decl_named(comp *c, decl *d);             /* makes it known to find_decl */
diag *err(comp *c, diag_code code, const ast *n, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void not_yet(comp *c, const ast *n, const char *what);
const char *ty_text(comp *c, ty t);
struct unit *unit_add(comp *c, const comp_source *s);
const char *fmt(comp *c, const char *f, ...) __attribute__((format(printf, 2, 3)));
/* Fix: suffix behind the expression n, which is put in brackets when it is an operation. */
/* dst is the newest register, meant for a result only: it may hold what comes on the way. */
#define fresh(c, dst) ((dst) == (c)->f->top - 1)
void fix_append(comp *c, diag *d, const ast *n, const char *suffix, const char *title);
/* Fix: a | b becomes coalesce(a, b). */
void fix_coalesce(comp *c, diag *d, const ast *u);
void suggest(comp *c, diag *d, const ast *n, const nearest *near);

/* decl.c */
void decl_collect(comp *c, unit *u);
void decl_compile_all(comp *c);
uint32_t decl_fn(comp *c, decl *d);            /* compiles on demand (later, when too many are open); the function's index */
ty decl_result(comp *c, decl *d);              /* type of what a call gives */
void decl_params(comp *c, decl *d);            /* resolves parameter and field types once */
uint32_t decl_from_any(comp *c, decl *d);      /* payload: function that checks an untyped object */
ty type_node(comp *c, ast *t);                 /* T, T?, T*, T+ */
ty type_named(comp *c, str name, const ast *at, bool report);
uint16_t backbone_named(comp *c, const ast *recv_node, str name); /* Encounter.participant(…): the id of that structure, or 0 */
const char *type_check_name(comp *c, ty t);    /* for OP_CHECK: "string", "FHIR.Patient", "object" ... */
field *fields_of(comp *c, ast *list, uint32_t *n);  /* of an AST list of PARAM or FIELD */
field *decl_field(decl *d, str name);
void sender_of(comp *c, fnctx *f, decl *sender);

/* against.c: what the server of a connection declares. */
/* scope.c: scopes of a login against the calls of its connection */
void scope_check(comp *c, decl *conn);
void scope_call(comp *c, decl *conn, ast *call_node, ty result);       /* reports a call that no scope allows */
void scope_end(comp *c, decl *conn);                                    /* and scopes that no call needs, when all is compiled */
void against_load(comp *c, decl *conn);
void against_call(comp *c, decl *conn, ast *call_node, ty result);      /* reports what it does not declare */
bool connection_is_r4(comp *c, const decl *conn);
bool server_has_param(const decl *conn, str type, str key);
bool server_has_operation(const decl *conn, str op);

/* adapter.c: connections made by adapters */
void adapters_of(comp *c, unit *u);                                  /* reads a copy of the adapter for each connection of the unit that is made by one */
bool adapter_setup(comp *c, decl *d, ast *e);                        /* false: there is no such adapter */
bool adapter_note(comp *c, diag *g, str kind);                       /* ... but there would be */
decl *adapter_action(comp *c, const decl *conn, str name);           /* NULL: it has none of that name */
void adapter_actions(comp *c, diag *g, const decl *conn, nearest *near); /* says which there are; near may be NULL */
/* The argument of a connection's declaration, its own or the adapter's; *in: where it stands. */
const ast *conn_arg(const comp *c, const decl *conn, const char *name, const unit **in);
void quirks_check(comp *c, decl *conn);
void quirks_call(comp *c, const decl *conn, ast *call_node, str op, uint16_t resource);   /* E0248 */
bool conn_meta(comp *c, buf *b, decl *d);                            /* meta.c: all of its arguments */

/* lib.c */
bool lib_source(comp *c, const char *name, comp_source *out);
int lib_named(comp *c, const char *file);
void lib_load(comp *c, const char *name);       /* comp.c */
void decl_compile_called(comp *c);
int lib_used(comp *c, const ast *n);
decl *lib_decl(comp *c, int lib, str name);
ty library_call(comp *c, ast *call_node, int lib, str name, int dst);
static inline bool decl_seen(const comp *c, const decl *d) { return d->u->lib == c->u->lib; }   /* for suggestions */

/* oper.c, literal.c, name.c */
ty binary(comp *c, ast *n, int dst);
bool is_binary(const ast *n);
ty literal(comp *c, ast *n, val *v);
ty name_value(comp *c, ast *n, int dst);
ty var_value(comp *c, ast *n, int dst);
static inline void op3(comp *c, vm_op op, int a, int b, int cc) { emit_op(&c->e, c->f->fn, op, (uint32_t)a, (uint32_t)b, (uint32_t)cc); }

/* expr.c: value of n into register dst; or into any register (a local's own). */
ty ex(comp *c, ast *n, int dst);
int ex_any(comp *c, ast *n, ty *t);
int reg_new(comp *c);
int regs_new(comp *c, int n);
int window_at(comp *c, int dst, int n);        /* n registers in a row: from dst on when nothing lies behind it yet, else new ones */
void pos(comp *c, const ast *n);
ty ex_template(comp *c, ast *n, special sp, int dst);
ty join_types(ty a, ty b);
bool hardly_many(ty t);
bool assignable(comp *c, ty from, ty to);
/* Converts register r from its type to the declared one, with OP_CHECK where needed; reports mismatches. what: "AdmitCard.mrn". */
void coerce(comp *c, const ast *n, ty from, ty to, int r, const char *what);
bool const_budget(comp *c, const ast *n);      /* false, with E0228, when constants grow without bounds */
val const_of(comp *c, ast *n, bool *ok);       /* constants of declarations */
void code_of_set(comp *c, ty t, const ast *lit);       /* E0234, W0313 */
void code_advised(comp *c, const fhir_element_info *e, const ast *lit, ast_str s, bool always);
void cond(comp *c, ast *n, int dst);           /* an expression wanted as condition */
local *find_local(comp *c, str name);
local *add_local(comp *c, ast *name, ty t, int reg);
void end_locals(comp *c, int n);               /* all but the first n go out of scope */
ty native(comp *c, const char *name, int base, int nargs, ty ret);   /* NATIVE with window at base */

/* path.c */
ty member(comp *c, ty recv, int r, ast *name, int dst, const ast *whole);
void member_load(comp *c, str name, int r, int dst);     /* MEMBER */
void variable_note(comp *c, diag *d, const ast *n, str name);
/* path_fhir.c */
ty fhir_member(comp *c, ty recv, int r, ast *n, str name, int dst);
ty choice_member(comp *c, ty recv, int r, ast *n, str name, int dst);
bool in_search_result(comp *c, const shape *s, const ast *n, str name, const nearest *near);
int32_t choice_add(comp *c, const fhir_element_info *e);
ty fhir_types(comp *c, const fhir_element_info *e);      /* type of an element's values */
ty resource_any(comp *c);                                /* of a resource whose type is not known */
ty hl7_path_on(comp *c, ty recv, int r, ast *path, int dst);
ty component_on(comp *c, ty recv, int r, ast *comp_node, int dst);
ty hl7_text_as(comp *c, ty t, int r, ty_kind want);      /* HL7 value in r converted for an operator or target */

/* fhirbuild.c: an element that is given by name: its JSON name, the type that is wanted. */
typedef struct fhir_slot_info { fhir_element_info e; const char *json; ty want; bool choice, sure; } fhir_slot_info;
bool fhir_target(comp *c, uint16_t type, ast *key, fhir_slot_info *out);   /* false after a report */
void fhir_missing(comp *c, const ast *at, uint16_t type, const fhir_slot_info *given, uint32_t n);
const char *fhir_choice_name(comp *c, const fhir_element_info *e, ty t, ast *at); /* value of a string -> valueString; NULL after a report */
void fhir_as_type(comp *c, uint16_t type, int r);
ty fhir_build(comp *c, const ast *at, ast *list, uint16_t type, int dst);
ty fhir_load(comp *c, ast *call_node, uint16_t type, int dst);
ty fhir_with(comp *c, ast *args, ty t, int r, int dst);       /* the value in r with elements set, typed and counted as where it is built */
ty ex_as(comp *c, ast *n, ty want, int dst);   /* ex, but an object literal is built as the FHIR type that is wanted */

/* profile.c: reads the file, sets d->t; what the profile says of a member, of extension(url), of slice(name). recv.sub: its place in a profile. */
void profile_load(comp *c, decl *d);
decl *profile_arg(comp *c, const ast *e);
ty profile_member(comp *c, ty recv, ast *n, str name, ty t);
ty profile_extension(comp *c, ty recv, const ast *url, ty t);
ty profile_slice(comp *c, ast *call_node, ty recv, int r);
ty profile_call(comp *c, ast *call_node, decl *p, int dst);   /* fhir.core(value) */
ty profile_question(comp *c, decl *d, const char *native_name, ty recv, int r);
ty profile_items(comp *c, decl *d, ty recv, int r);
/* Code that checks the value in r when `to` is a profile and `from` is not the same one. */
void profile_check(comp *c, ty to, ty from, int r, const ast *at);

/* facts.c: what `cond` proves when it is true (yes) or not; the caller resets c->f->nfacts. */
void facts_from(comp *c, ast *cond, bool yes);
ty fact_apply(comp *c, const ast *n, ty t);
uint16_t why_new(comp *c, const ast *n, const char *text);
void why_say(comp *c, diag *d, ty t);

/* call.c, inline.c */
ty call(comp *c, ast *call_node, ast *recv, int dst);
ty call_decl(comp *c, ast *call_node, decl *d, int dst);
/* Arguments by position or name into the window at w, with defaults; their labels joined. */
uint8_t pass_arguments(comp *c, ast *call_node, decl *d, int w);
void not_union(comp *c, const ast *n, const char *where);   /* E0213 when n is a | b */
ty inline_call(comp *c, const bi *b, ast *call_node, ast *recv, int dst);
ty object_literal(comp *c, ast *obj, int dst);
ty object_edits(comp *c, ast *args, int dst);
ty construct(comp *c, ast *call_node, str name, int dst, bool *handled);
ty hl7_with_call(comp *c, ty recv, int r, ast *args, int dst);
ty range_bounds(comp *c, ast *call_node, int w);
bool is_type_name(comp *c, str name);
/* E0225 when a value of type t can never be the type that is asked for at `a`. */
void never_is(comp *c, const ast *a, ty t, ty want, str name);

/* inline_fhir.c */
ty define_variable(comp *c, ast *call_node, ast *recv, int dst);
int origin_of(comp *c, const ast *n);
ty resolve_call(comp *c, ast *recv, int dst);
ty element_definition(comp *c, ast *call_node, ast *recv, int dst);

int32_t shape_add(comp *c, uint32_t n, str *names, ty *types);

/* table.c */
/* The file that a declaration names, by the loader; false: the reason is told at `at`. */
bool named_file(comp *c, const ast *at, str file, comp_source *out);
void table_load(comp *c, decl *d);

/* advice.c: fixes and notes for a mismatch that d reports */
void advise_conversion(comp *c, diag *d, const ast *n, ty from, ty to);
void advise_comparison(comp *c, diag *d, const ast *n, const ast *l, const ast *r, ty x, ty y);
void hl7_code(comp *c, const ast *n, ty t, uint16_t set, const char *what);   /* W0314 */
bool advise_choice(comp *c, diag *d, const ast *at, uint16_t type, str name, bool json);

/* cached.c: cached(connection.operation(…), for: 1 day, stale: 7 days, phi: allowed) */
typedef struct keep { int64_t for_ms, stale_ms; bool phi; ast *call; } keep;
ty cached_call(comp *c, ast *n, int dst);
/* Two further arguments of that call, for the engine, in registers from r on; reports what cannot be kept. */
uint32_t cached_emit(comp *c, ast *call_node, uint16_t resource, uint8_t klass, int r, uint32_t argn[2]);
/* meta.c: calendar durations in milliseconds; years and months have no fixed length: false. */
bool duration_ms(val v, int64_t *ms);
/* stmt.c: E0216 when a value of type t carries phi; what an action does with its parameters is remembered. does: "writes what it is given to a log". */
void no_phi(comp *c, ast *e, ty t, const char *where, const char *does);

/* effect.c */
ty effect_call(comp *c, ast *chain, bool send, int dst);
void effect_condition(comp *c, int r); /* a condition without a value becomes false, which no driver takes */
void ack_waits(comp *c, const ast *n, const char *why, const ast *at, const unit *in); /* E0232: under ack after run */
bool has_effect(comp *c, const ast *n);
void test_effect(comp *c, const char *op, int base, int nargs, int dst);
uint16_t fhir_resource_arg(comp *c, ast *a);        /* the resource that an argument names; 0 after a report or when it is no plain name */
void fhir_id_arg(comp *c, ast *e, ty t);            /* the id of one resource */
ty fhir_operation_call(comp *c, ast *call_node);    /* fhirop.c: operation('$match', …), everything(…) are checked; nothing of it is performed */
/* c.pages(…) as the source of a loop; one page of it. */
bool is_pages(comp *c, const ast *src);
ty page_call(comp *c, ast *chain, int cont, int dst);
void operation_unknown(comp *c, ast *n, str name, const char *kind, const decl *conn);   /* E0212 */

/* fhircall.c: an operation of a FHIR connection while it is compiled. */
typedef struct fhir_call {
  bool on;
  const decl *conn;
  str op;
  uint16_t resource;         /* of its first argument; 0 = none or not known */
  bool phi;                  /* a search parameter is phi */
  bool open;                 /* ... and may be: the connection says phi_in_url: allowed */
  bool asks, certain;        /* a search has criteria; one of them is never left out */
  uint8_t klass;             /* instead of the operation's; 0 = that */
  ty given;                  /* of create and update: the resource's type */
} fhir_call;
/* A further argument (search parameter): checked; its text in r. again: there is one of that name in r, both hold. */
void fhir_argument(comp *c, fhir_call *f, ast *key, ast *e, int r, bool again);
/* An argument of the operation's own that is no plain value: true when it was compiled here. */
bool fhir_own_argument(comp *c, fhir_call *f, const sig_param *p, ast *e, int r, bool named);
void fhir_unknown_call(comp *c, ast *at, str name, const decl *conn);
/* Operations that FHIR defines are checked against it, their result is f->given. false: reported, nothing more to compile. */
bool fhir_operation_ok(comp *c, fhir_call *f, ast *call_node);
/* Reports arguments that must be there; given: a bit for each of the signature's that is. */
void fhir_call_needs(comp *c, const fhir_call *f, const bi *b, uint64_t given, const ast *at);
void fhir_before(comp *c, fhir_call *f, const sig *s, uint64_t given, int w);
int fhir_param(const sig *s, const char *name);        /* its place, -1 */
ty fhir_result(comp *c, const fhir_call *f, int r);    /* types the answer in r */

/* testblock.c */
void test_stmt(comp *c, ast *n);
void test_mock(comp *c, ast *n, bool shared);
decl *test_workflow(comp *c, ast *n);
bool test_call(comp *c, ast *call_node, str name, int dst, ty *out);
bool test_name(comp *c, str name, int dst, ty *out);

/* stmt.c, workflow.c */
void stmt_one(comp *c, ast *n);
void stmt_block(comp *c, ast *block);
bool always_ends(const ast *n);                       /* every way through the statement ends in a return or an outcome */
void never_reached(comp *c, const ast *n);             /* W0309 for what follows n in its block when n always ends */
void workflow_body(comp *c, decl *d);

/* view.c */
void view_compile(comp *c, uint32_t file, val doc, comp_view *info);
bool view_variable(comp *c, str name, int dst, ty *t);   /* %name; false: none of the view's */
void view_nearest(comp *c, nearest *near);

/* meta.c */
hdw_status meta_write(comp *c, buf *b);
bool meta_args(comp *c, buf *b, ast *call_node, const bi *row);

#endif
