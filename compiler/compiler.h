/* compiler.h - the compiler's public header: source text to module bytes and diagnostics. A pure library: no file, no network, no print.
 *
 * Sources come from the caller; what a program names (`use`, table files, test samples) is asked for through comp_loader. Everything lives in
 * the arena. A program with errors gives diagnostics and no bytes; with features that this version does not run yet it gives warnings
 * W0901 and, unless check_only, the error E0901. */
#ifndef HDW_COMPILER_H
#define HDW_COMPILER_H
#include "diag.h"
#include "vm.h"

typedef struct comp_source { const char *path; const char *text; size_t len; } comp_source;

/* Gives the text of a file that the source at `from` names: HDW_E_NOTFOUND when there is none, HDW_E_DENIED when it lies where a program may not read. path of the answer is what diagnostics show. */
typedef struct comp_loader {
  hdw_status (*load)(void *user, const char *from, const char *name, comp_source *out);
  void *user;
} comp_loader;

typedef struct comp_options {
  const comp_loader *loader; /* may be NULL: then `use` and files are errors */
  const char *name;          /* of the module; NULL = of the first source */
  bool check_only;           /* no E0901 */
  bool tests;                /* compile test blocks too */
} comp_options;

typedef struct comp_test {
  const char *name;
  uint32_t func;             /* function of the module; its parameters are the columns of a table test */
  uint32_t nrows;            /* 0 = no table; else rows are functions func + 1 + i, each giving an object {"0": value, "1": value ...} */
  uint32_t file, line;
} comp_test;

typedef struct comp_result {
  uint8_t *bytes;            /* NULL when there were errors. The id is zero: the shell hashes and fills it in (see mod_assemble) */
  size_t len_bytes;
  const comp_test *tests;
  uint32_t ntests;
  bool later;                /* uses something that this version does not run */
} comp_result;

/* Compiles one program of one or more files. HDW_OK also when diagnostics hold errors (look at the list); HDW_E_NOMEM, HDW_E_LIMIT. */
hdw_status comp_program(arena *a, const comp_source *sources, uint32_t n, const comp_options *opt, diag_list *diags, comp_result *out);

typedef enum comp_model { COMP_JSON, COMP_FHIR, COMP_HL7 } comp_model;
/* Compiles one expression into a module with the function "main" of one parameter, $this. strict: static errors as in .hdw files; without it
 * unknown members are empty, as FHIRPath permits on untyped data. root_type: name of the FHIR type or message structure, or NULL. */
hdw_status comp_expr(arena *a, const char *src, size_t len, comp_model model, const char *root_type, bool strict, diag_list *diags, comp_result *out);

/* A ViewDefinition of SQL on FHIR. */
typedef struct comp_view_column {
  const char *name; size_t len_name;
  bool collection;           /* its value is a list */
  const char *type;          /* as the view declares it, or NULL */
  bool described;            /* used while compiling */
} comp_view_column;
typedef struct comp_view {
  const char *resource;      /* the type of resource that it reads */
  comp_view_column *columns;
  uint32_t ncolumns;
} comp_view;
/* Compiles a ViewDefinition (doc: its JSON; path and text for diagnostics) into a module with the function "main": the resource, typed by
 * fhir_adopt, in, its rows out, in the order of the view. A row is an object of columns, or of parts "0", "1" ... that are rows themselves; every column is there,
 * VAL_EMPTY where it has no value. strict: as in comp_expr. Diagnostics of a path have a file of their own, named PATH: select[0].column[1].path. */
hdw_status comp_view_definition(arena *a, const char *path, const char *text, size_t len, val doc, bool strict, diag_list *diags, comp_result *out, comp_view *info);

#endif
