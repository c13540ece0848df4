/* hdwvm.h - the daemon's command line: one row of the table is one command. Only the hdwvm_*.c files print and read arguments.
 *
 * Exit codes: 0 done; 1 findings (a module or configuration is refused, nothing found, the answer is negative); 2 usage; 69 the daemon does not
 * answer; 70 an internal error; 73 a file cannot be written; 74 input or output failed; 75 log or store failed: start again when the disk is well. */
#ifndef HDW_HDWVM_H
#define HDW_HDWVM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io.h"
#include "value.h"

enum { EXIT_OK = 0, EXIT_FINDINGS = 1, EXIT_USAGE = 2, EXIT_UNAVAILABLE = 69, EXIT_INTERNAL = 70, EXIT_CANTCREATE = 73, EXIT_IO = 74 };
enum { HV_MAX_WORDS = 256 };

/* Options may stand anywhere; what is no option is a word. */
typedef struct hv_args {
  const char *command;
  const char *words[HV_MAX_WORDS];
  int nwords;
  const char *config, *data, *to, *state, *control_id, *sender, *patient, *since, *limit, *reason, *example, *subject;
  const char *url, *token_file, *who, *after, *until, *type;
  const char *sink, *workflow, *code;
  const char *from, *ca, *term, *with;
  bool live;                 /* asks a running daemon at the socket `from` only, without a word when it does not answer */
  io *kept;                  /* what --url is asked with, so that connections last; NULL = a new one each time */
  bool json, check, all, yes, help, version, verify, fhir, dry_run, values;
} hv_args;

/* What a command goes on needing when it has given up the rest (hv_hold). LATER: it says so itself, when it has made its folders or children. */
enum { HOLD_LATER = 1, HOLD_NET = 2, HOLD_DATA = 4 /* writes to the data folder */, HOLD_TO = 8 /* and to the folder --to */, HOLD_SAY = 16 /* tells how far the kernel can */ };
typedef struct hv_command {
  const char *name, *args, *help;
  int (*run)(const hv_args *a);
  unsigned hold;
} hv_command;
extern const hv_command hv_commands[];

int hv_serve(const hv_args *a);
int hv_verify(const hv_args *a);
int hv_config(const hv_args *a);
int hv_deploy(const hv_args *a);
int hv_rollback(const hv_args *a);
int hv_withdraw(const hv_args *a);
int hv_reload_now(const hv_args *a);
int hv_forget(const hv_args *a);
int hv_modules(const hv_args *a);
int hv_deployments(const hv_args *a);
int hv_sources(const hv_args *a);
int hv_send(const hv_args *a);
int hv_status(const hv_args *a);
int hv_messages(const hv_args *a);
int hv_message(const hv_args *a);
int hv_runs(const hv_args *a);
int hv_run(const hv_args *a);
int hv_trace(const hv_args *a); /* run --until */
int hv_dead(const hv_args *a);
int hv_redrive(const hv_args *a);
int hv_discard(const hv_args *a);
int hv_cancel(const hv_args *a);
int hv_skip_lane(const hv_args *a);
int hv_reprocess(const hv_args *a);
int hv_replay(const hv_args *a);
int hv_pause(const hv_args *a);
int hv_cache(const hv_args *a);
int hv_resume(const hv_args *a);
int hv_sinks(const hv_args *a);
int hv_jwks(const hv_args *a);
int hv_lanes(const hv_args *a);
int hv_loss(const hv_args *a);
int hv_limits(const hv_args *a);
int hv_check(const hv_args *a);
int hv_backup(const hv_args *a);
int hv_restore(const hv_args *a);
int hv_compact(const hv_args *a);
int hv_export(const hv_args *a);
int hv_follow(const hv_args *a);
int hv_promote(const hv_args *a);
int hv_fence(const hv_args *a);
/* Opens a copied folder once: state made, a new segment begun. next_term: it is promoted; *term tells to what. Exit code. */
int hv_settle(const char *dir, bool next_term, uint64_t *term);
int hv_audit(const hv_args *a);

/* hdwvm_hold.c. Gives up files and system calls but for these and what the arguments name to be read. False: hdw.json demands more than this kernel can. */
bool hv_hold(const hv_args *a, unsigned what);

/* hdwvm_damage.c. From now on a damaged state of this folder ends the process with a word and status 75; what an earlier end left in doubt is read in a child now:
 * whoever calls this has the folder for itself, and is not held yet. Once in a process. */
void hv_damage_watch(const char *dir);
/* For commands that only read: a word and status 74. */
void hv_damage_tell(const char *dir);

/* ---- shared -------------------------------------------------------------------------------------------------------- */

void hv_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* to standard error, with "hdwvm: " */
/* Whole file in a, NUL-terminated (not counted); NULL and a message when it cannot be read. */
char *hv_read(arena *a, const char *path, size_t *len);
/* Of modules one behind the other: the length of the first, as its header says it; all that is there when that cannot be (reading it says what is wrong). */
size_t hv_module_length(const char *p, size_t len);
/* One exchange with the daemon: status, or -1 with a message. The body lives in ar. */
int hv_ask(const hv_args *a, arena *ar, const char *method, const char *target, const char **body, size_t *len);
int hv_ask_with(const hv_args *a, arena *ar, const char *method, const char *target, const void *with, size_t with_len, const char **body, size_t *len);
/* The same over --url, with the token of --token-file (hdwvm_url.c). */
int hv_ask_url(const hv_args *a, arena *ar, const char *method, const char *target, const void *with, size_t with_len, const char **body, size_t *len);
/* At most 8 addresses of a host, by name or number; 0 and a message when there is none. */
unsigned hv_lookup(io *x, const char *host, uint16_t port, io_addr out[8]);
/* GET, parsed; EXIT_OK, else an exit code (message printed). With --json the text is printed and *done set. */
int hv_get(const hv_args *a, arena *ar, const char *target, val *out, bool *done);
/* The same from the data folder, when no daemon answers: false when it cannot be read. */
bool hv_offline(const hv_args *a, arena *ar, const char *target, int *status, const char **body, size_t *len);
extern bool hv_was_offline; /* that happened: status then ends with 69 all the same */
/* The data folder: --data, or "data" of --config, or of ./hdw.json. */
const char *hv_data_dir(const hv_args *a, arena *ar, char admin_path[200]);
/* Says what the {"error": text} of an answer says. */
void hv_refused(arena *ar, const char *body, size_t len);
/* Appends name=value to a target, when there is a value. */
void hv_param(arena *a, buf *b, const char *name, const char *value);
/* "2026-01-02", "2026-01-02T03:04:05Z", or an age: "90s", "15m", "2h", "7d", as microseconds of Unix time for the API. False with a message. */
bool hv_since(const char *option, const char *s, char out[32]);
/* Percent-encodes s as a query value. */
const char *hv_escape(arena *a, const char *s);

/* Aligned columns: rows of texts, widths by content, the last column unbounded. */
typedef struct hv_table {
  arena *a;
  unsigned ncols, nrows, cap;
  const char **cells;
} hv_table;
void hv_table_init(hv_table *t, arena *a, unsigned ncols, const char *const *titles);
void hv_table_row(hv_table *t, const char *const *cells);
void hv_table_print(const hv_table *t);
/* A member as text for a table: strings plain, numbers as digits, absent "". */
const char *hv_cell(arena *a, val obj, const char *name);
/* Bytes in the unit that reads best: "812 bytes", "64.0 MiB". */
const char *hv_size(uint64_t bytes, char out[32]);
/* A time of the API ("2026-01-02T03:04:05.678Z") as "2026-01-02 03:04:05". */
const char *hv_time_cell(arena *a, val obj, const char *name);

/* A list of the API as a table; none: what is said when it is empty. */
typedef struct hv_column {
  const char *title, *member;
  bool time;
} hv_column;
int hv_list(const hv_args *args, const char *target, const hv_column *cols, unsigned ncols, const char *none);

#endif
