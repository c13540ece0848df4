/* gen_int.h - inside the generator of connectors.
 *
 * Files: gen.c (the way through, notes, comments, strings), gen_name.c (names), gen_auth.c (logging in), gen_fhir.c (CapabilityStatement), gen_op.c
 * (operations of FHIR), gen_cap.c (the capability file), gen_api.c (OpenAPI), gen_ref.c (references), gen_shape.c (payloads from schemas), gen_yaml.c. */
#ifndef HDW_GEN_INT_H
#define HDW_GEN_INT_H
#include "comp_int.h"
#include "gen.h"

enum {
  GEN_ACTIONS_MAX = 6000, GEN_PAYLOADS_MAX = 3000, GEN_FIELDS_MAX = 150, GEN_PARAMS_MAX = 48, GEN_NAME_MAX = 60, GEN_TEXT_MAX = 64 << 20,
  GEN_WORK_MAX = 2000000,    /* values of the document looked at, however often references lead back to them */
  GEN_DEPTH_MAX = 60
};

/* Names in use, in one scope. */
typedef struct gen_names { name_table t; str *v; uint32_t n, cap; } gen_names;

/* A document that was read: references in it are relative to path. */
typedef struct gen_doc { const char *path; val root; } gen_doc;
/* A place in a document. */
typedef struct gen_at { uint32_t doc; val v; } gen_at;

typedef struct gen_shape {
  str name;
  gen_at at;
  str why;                   /* "of Patient.contact": where it stands, when it has no name of its own */
} gen_shape;

typedef struct gen {
  arena *a;
  const gen_options *o;
  gen_result *r;
  hdw_status status;         /* the first that ended the work */
  buf body;                  /* actions, while the head and the payloads are not known yet */
  str conn;                  /* the connection's name */
  gen_names decls;           /* actions, payloads, settings */
  gen_names ops;             /* operations of FHIR that were written */
  gen_names texts;           /* texts of search parameters, with how many names each stands at */
  uint32_t *texts_at, cap_texts_at;
  bool searches;
  uint32_t cap_notes, work;
  gen_doc *docs; uint32_t ndocs, cap_docs;
  gen_shape *shapes; uint32_t nshapes, cap_shapes;
  /* logging in, as it was found */
  gen_auth auth;
  str token_url, key_header;
  str *scopes; uint32_t nscopes, cap_scopes;
  bool r4, scopes_v2;
} gen;

/* gen.c */
void gen_fail(gen *g, hdw_status st, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void gen_note(gen *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *gen_fmt(gen *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool gen_step(gen *g);                                   /* one more value looked at; false when the work is over */
const val *gen_get(val obj, const char *name);           /* member, or NULL */
val gen_list(val obj, const char *name);                 /* member that is a list, or an empty one */
val gen_obj(val obj, const char *name);                  /* member that is an object, or VAL_NONE */
str gen_str(gen *g, const val *v);                       /* text of a string, escapes resolved; {0} for anything else */
str gen_text(gen *g, val obj, const char *name);         /* the same of a member */
bool gen_true(val obj, const char *name);
/* A text on one line without anything that could end a comment or turn its direction; at most max bytes, cut behind a sentence or a word. */
str gen_line(gen *g, str s, size_t max);
/* What a description in Markdown begins with: its first paragraph, without headings and lists. */
str gen_prose(str s);
/* Bytes that a comment may have behind the longest name and type of a list, so that a line stays within the formatter's width. */
size_t gen_comment_width(size_t name, size_t type);
/* `/// text`, in as many lines as it takes. */
void gen_doc_comment(gen *g, buf *b, str s, size_t max);
void gen_quote(buf *b, str s);                           /* 'text' */
void gen_template(buf *b, str s);                        /* the inside of "text" */
bool gen_wanted(const gen *g, str name);                 /* --only */
/* Settings and the connection: kind "fhir" or "rest"; base: address that the document gives, as a default; version: "R4" or NULL. */
void gen_head(gen *g, buf *b, const char *kind, str base, const char *version, str about);
bool gen_good_address(str s);                            /* http(s), of plain characters */
static inline bool str_ends(str s, const char *t) { size_t n = strlen(t); return s.len >= n && memcmp(s.p + s.len - n, t, n) == 0; }
static inline bool str_starts(str s, const char *t) { size_t n = strlen(t); return s.len >= n && memcmp(s.p, t, n) == 0; }

/* gen_name.c */
bool gen_is_word(str s);                                 /* may stand as a name as it is */
str gen_words(gen *g, str s, char join, bool upper);     /* letters and digits; join 0: camelCase (upper: PascalCase), '_': snake_case */
str gen_param_name(gen *g, gen_names *used, str raw);
str gen_decl_name(gen *g, str name);                     /* unique among declarations, with the prefix: "searchPatient", "epicSearchPatient" */
str gen_type_name(gen *g, str raw);                      /* unique PascalCase, no name of another type */
bool gen_take(gen *g, gen_names *used, str name);        /* false when it is taken */
uint32_t gen_index(const gen_names *used, str name);    /* place of a name that was taken, in order; MOD_NO_INDEX */
str gen_unique(gen *g, gen_names *used, str name);       /* name, name_2 ... */
void gen_key(buf *b, str raw);                           /* as the key of an argument or object: bare or quoted */
bool gen_field(buf *b, str raw);                         /* as the key of a field: bare or in backticks; false when it can be neither */
str gen_connection_name(gen *g, str title, str address);

/* gen_auth.c */
void gen_auth_fhir(gen *g, val security);
void gen_auth_api(gen *g, val doc);
bool gen_header_name(str s);
void gen_scope(gen *g, str scope);                       /* kept once, in order */
void gen_auth_settings(gen *g, buf *b);
void gen_auth_arg(gen *g, buf *b);

/* gen_fhir.c, gen_op.c, gen_cap.c, gen_api.c */
void gen_fhir(gen *g, val doc, buf *head);
void gen_operation(gen *g, val op, str type);            /* type: {0} = of the server */
void gen_capability(gen *g, val rest, str version);
void gen_api(gen *g, val doc, buf *head);

/* gen_ref.c */
uint32_t gen_doc_add(gen *g, const char *path, val root);
/* Follows $ref, also several in a row. false: it leads nowhere (noted), or in a circle. *name: last part of the reference, {0} = there was none. */
bool gen_resolve(gen *g, gen_at at, gen_at *out, str *name);

/* gen_shape.c */
typedef struct gen_type { const char *name; bool many, optional; str doc; } gen_type;
gen_type gen_type_of(gen *g, gen_at schema, str hint, int depth);
void gen_shapes_write(gen *g, buf *b);

#endif
