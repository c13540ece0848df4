/* hdwc.h - the compiler's command line: what its commands share.
 *
 * A command is one file and one row of the table in main.c: name, usage, help, function. A command gets its arguments after the name and
 * returns the exit status: EXIT_OK, EXIT_FINDINGS (errors in what was looked at, failed tests), EXIT_USAGE (wrong arguments, files that
 * cannot be read). Results go to standard output, everything about the work itself to standard error.
 *
 * The shell owns one arena that lives as long as the process; commands that repeat something use arenas of their own. */
#ifndef HDWC_H
#define HDWC_H
#include <stdio.h>
#include "compiler.h"
#include "hl7.h"
#include "io.h"

enum { EXIT_OK = 0, EXIT_FINDINGS = 1, EXIT_USAGE = 2 };
enum { HC_PATH_MAX = 4096 };

typedef struct hdwc {
  io_mem mem;
  arena a;
  bool color;               /* standard output is a terminal */
  struct re_cache *regexes; /* compiled patterns of what commands run */
} hdwc;

typedef struct hc_command {
  const char *name, *usage, *brief, *help;
  int (*run)(hdwc *h, const struct hc_command *c, int argc, char **argv);
} hc_command;

/* ---- arguments (args.c) */

/* An option `--name` (flag) or `--name TEXT`, `--name=TEXT` (text). Whichever pointer is set receives it. */
typedef struct hc_option {
  const char *name;
  bool *flag;
  const char **text;
} hc_option;
typedef struct hc_args {
  const char **v;           /* what is no option, in order */
  int n;
} hc_args;
/* Options may stand anywhere before `--`. False: a message was printed, return *status. `--help` prints the command's help (status 0). */
bool hc_parse(hdwc *h, const hc_command *c, int argc, char **argv, const hc_option *options, size_t noptions, hc_args *out, int *status);
/* Prints "hdwc NAME: text" and the usage line to standard error; returns EXIT_USAGE. */
int hc_usage(const hc_command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints "hdwc: text" to standard error. */
void hc_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Index of text in the NULL-terminated list, or -1. */
int hc_choice(const char *text, const char *const *list);
/* printf into the arena; never NULL ("" when memory is out). */
const char *hc_text(arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hc_print(const buf *b);
/* The text, or its first max bytes (whole characters) and "...". */
const char *hc_cut(arena *a, const char *s, size_t len, size_t max);

/* ---- files (files.c) */

/* Reads a file whole into a, a NUL behind it (not counted); "-" is standard input. */
hdw_status hc_read(arena *a, const char *path, const char **text, size_t *len);
/* The same, with a message when it fails. */
bool hc_read_say(arena *a, const char *path, const char **text, size_t *len);
/* Writes a file whole, under another name first. executable permissions are not wanted: 0666 less the umask. Prints a message when it fails. */
bool hc_write(arena *a, const char *path, const void *p, size_t len);
bool hc_mkdir(const char *path);
bool hc_exists(const char *path, bool *is_dir);
/* Absolute path without links; NULL when there is no such file. */
const char *hc_real(arena *a, const char *path);
/* Folder part ("." when there is none), and name part. */
const char *hc_dirname(arena *a, const char *path);
const char *hc_basename(const char *path);
const char *hc_join(arena *a, const char *dir, const char *name);
bool hc_has_suffix(const char *s, const char *suffix);
/* Files below folder whose names end so, in order of bytes; names that begin with '.' are not entered. path is folder/rest. */
typedef struct hc_list {
  const char **v;
  uint32_t n, cap;
} hc_list;
bool hc_list_add(arena *a, hc_list *l, const char *s);
bool hc_walk(arena *a, const char *dir, const char *suffix, hc_list *out);
/* Deletes a folder with everything in it. */
void hc_remove_tree(const char *path);
/* Free bytes where path lies; 0 when that cannot be found out. */
uint64_t hc_space(const char *path);
/* Unix time, and a clock for measuring. */
int64_t hc_now_us(void);
int64_t hc_clock_ns(void);

/* ---- sources (sources.c) */

/* One source file. name is what the compiler and the module know: the path from the project's folder, so that a build does not depend on where the
 * project lies; shown is what people see. */
typedef struct hc_source {
  const char *name, *shown, *real;
  const char *text;
  size_t len;
  uint32_t *uses;           /* indexes of sources, filled by hc_sources_roots */
  uint32_t nuses;
  bool used, reached, given, in_folder;
} hc_source;

typedef struct hc_sources {
  arena *a;
  hc_source *v;
  uint32_t n, cap;
  const char *root;         /* the project's folder, absolute: nearest parent of the first path with hdw.json, else the first path's folder */
  comp_loader loader;
} hc_sources;
/* Files and folders from the command line. False: a message was printed (missing file, no .hdw file in a folder). */
bool hc_sources_open(hc_sources *s, arena *a, const char *const *paths, int n);
/* A file that a program names: it lies within the project's folder or that of the file that names it (dir), links followed. */
bool hc_may_read(const hc_sources *s, const char *dir, const char *real);
/* Index by name; UINT32_MAX when it is not known. */
uint32_t hc_source_find(const hc_sources *s, const char *name);
const char *hc_source_shown(const hc_sources *s, const char *name);
/* Indexes of the sources that are programs: those given as files, and in folders those that no other file uses. */
uint32_t *hc_sources_roots(hc_sources *s, uint32_t *n);
/* Compiles the program of one root, or of all (several). Names of files in l are then the shown ones. False: memory ended (said). */
bool hc_compile(hc_sources *s, const uint32_t *roots, uint32_t nroots, comp_options opt, arena *a, diag_list *l, comp_result *out);
/* Adds the diagnostics of from that to does not have yet. */
void hc_diag_merge(diag_list *to, const diag_list *from);
/* Errors, or with `all` warnings too, as text to standard error. */
void hc_diag_stderr(diag_list *l, bool all);
/* Fills in the module's id: SHA-256 of what follows the header. */
void hc_module_seal(uint8_t *bytes, size_t len);

/* ---- values (values.c) */

/* Any value as JSON: HL7 parts in the form of `hdwc hl7 to-json`, FHIR primitives with extensions as their value. */
hdw_status hc_write_json(arena *a, val v, buf *out);
/* The same with HL7 messages and their parts as HL7 text: for effects, results and traces. */
hdw_status hc_write_text_json(arena *a, val v, buf *out);
/* Namespace and name of an item's type: "FHIR.HumanName", "System.Integer", "HL7.CX". */
const char *hc_type_name(arena *a, val v);
/* Reads a JSON text into a; prints a message with the path when it is malformed. text must live as long as the value. */
bool hc_json(arena *a, mem *m, const char *path, const char *text, size_t len, val *out);
/* An HL7 message with the dictionary's names; a problem is printed with the path. */
bool hc_hl7(arena *a, const char *path, const char *text, size_t len, hl7_msg **out);
/* Short code for a run-time failure: "E_TYPE". */
const char *hc_status_code(hdw_status s);

/* ---- commands */
int hc_check(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_build(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_run(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_test(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_fmt(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_explain(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_disasm(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_eval(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_hl7_command(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_fhir_command(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_view(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_gen(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_new(hdwc *h, const hc_command *c, int argc, char **argv);
int hc_later(hdwc *h, const hc_command *c, int argc, char **argv);

#endif
