/* hdwvm_store.c - tools for a data folder: check, backup, restore, compact, export. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "admin.h"
#include "audit.h"
#include "backup.h"
#include "hdwvm.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_linux.h"
#include "json.h"
#include "model.h"
#include "points.h"
#include "store.h"
#include "term.h"

enum { PATH = 1200 };

typedef struct tool {
  io_mem mem;
  arena a;
  io *io;
  const char *dir;
  char log[PATH];
  bool json;
  buf out, found;            /* --json: members of the answer; what was found, as texts of a list */
} tool;

static bool begin(tool *t, const hv_args *a) {
  char admin_path[200];
  io_mem_init(&t->mem, 0);
  arena_init(&t->a, &t->mem.m, 0);
  t->json = a->json;
  buf_init(&t->out, &t->a, 1 << 20);
  buf_init(&t->found, &t->a, 1 << 20);
  t->dir = hv_data_dir(a, &t->a, admin_path);
  snprintf(t->log, sizeof t->log, "%.1100s/log", t->dir);
  if (!io_linux_new(&t->mem.m, &t->io)) return true;
  arena_free(&t->a);
  return false;
}

static int end(tool *t, int code) {
  if (t->io) io_linux_free(t->io);
  arena_free(&t->a);
  return code;
}

/* Does a daemon (or another tool) have the folder? */
static bool in_use(tool *t) {
  char path[PATH + 8];
  int fd;
  snprintf(path, sizeof path, "%s/lock", t->log);
  hdw_status s = io_open(t->io, path, IO_O_READ | IO_O_LOCK, &fd);
  if (!s) io_fclose(t->io, fd);
  return s == HDW_E_DENIED;
}

static int failed(const char *what, const char *where, hdw_status s) {
  hv_say("%s %s: %s", what, where, s == HDW_E_NOTFOUND ? "there is nothing" : s == HDW_E_DENIED ? "a daemon runs on it, or it may not be read"
         : s == HDW_E_VERSION ? "it was written by a later hdwvm; use that one (nothing was changed)" : hdw_status_text(s));
  return s == HDW_E_CORRUPT ? EXIT_FINDINGS : EXIT_IO;
}

/* ---- check ------------------------------------------------------------------------------------------------------------------------- */

/* Something to look at: a line, or a text of "findings". */
static void found(tool *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void found(tool *t, const char *fmt, ...) {
  char line[600];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  if (!t->json) {
    printf("%s\n", line);
    return;
  }
  if (t->found.len) buf_putc(&t->found, ',');
  json_write_str(&t->found, line, strlen(line));
}

static void say_line(const char *line, void *user) { found((tool *)user, "%s", line); }

/* One part of the answer of --json; at once and last, so that a child that dies before has said nothing. */
static int part(tool *t, const char *name, const char *result, int code) {
  if (!t->json) return code;
  buf_putc(&t->out, 0), buf_putc(&t->found, 0);
  bool full = t->out.status || t->found.status;
  printf("\"%s\":{\"result\":\"%s\"%s,\"findings\":[%s]}", name, result, full ? "" : t->out.p, full ? "\"more than can be listed\"" : t->found.p);
  return code;
}

static int check_the_log(tool *t) {
  check_report r;
  hdw_status s = check_log(t->io, t->log, say_line, t, &r);
  if (s && s != HDW_E_CORRUPT) return part(t, "log", "unreadable", failed("the log in", t->log, s));
  char size[32];
  buf_putf(&t->out, ",\"segments\":%llu,\"rewritten\":%llu,\"records\":%llu,\"last\":%llu,\"bytes\":%llu,\"damaged\":%llu,\"lost\":%llu", (unsigned long long)r.segments, (unsigned long long)r.compacted,
           (unsigned long long)r.records, (unsigned long long)r.last_seq, (unsigned long long)r.bytes, (unsigned long long)r.damaged, (unsigned long long)r.lost);
  if (!t->json) printf("log: %llu segment%s (%llu written anew by retention), %llu records up to %llu, %s: %s\n", (unsigned long long)r.segments, r.segments == 1 ? "" : "s", (unsigned long long)r.compacted,
                       (unsigned long long)r.records, (unsigned long long)r.last_seq, hv_size(r.bytes, size), s ? "DAMAGED" : "good");
  if (s && !t->json) printf("     %llu places damaged, %llu records cannot be read\n", (unsigned long long)r.damaged, (unsigned long long)r.lost);
  return part(t, "log", s ? "damaged" : "good", s ? EXIT_FINDINGS : EXIT_OK);
}

typedef struct positions {
  tool *t;
  store *s;
  hlog *l;
  arena a;
  uint8_t subject;
  uint64_t rows, bad;
} positions;

static bool at_its_place(uint16_t part, uint64_t id, uint8_t state, void *user) {
  positions *p = (positions *)user;
  store_input in = {.id = 0};
  store_delivery d = {.id = 0};
  log_rec rec = {.type = 0};
  (void)state;
  bool input = p->subject == SUBJECT_INPUT;
  hdw_status s = input ? store_get_input(p->s, part, id, &p->a, &in) : store_get_delivery(p->s, part, id, &p->a, &d);
  if (!s) s = log_read(p->l, input ? in.pos : d.pos, &p->a, &rec);
  bool gone = s == HDW_E_NOTFOUND && (rec.flags & LOG_F_BARE);
  p->rows++;
  if ((s && !gone) || rec.seq != id) {
    p->bad++;
    found(p->t, "state.mdb: %s %llu: its record is not at its place in the log", input ? "message" : "delivery", (unsigned long long)id);
  }
  arena_reset(&p->a);
  return p->bad < 100;
}

/* The log folded again beside, up to where the state is: the same? */
static hdw_status fold_again(tool *t, store *s, bool *same) {
  char dir[PATH], path[PATH + 32], key[PATH];
  uint8_t mine[32], again[32];
  store *o;
  store_info info;
  size_t n = 0;
  snprintf(dir, sizeof dir, "%.1000s/check.tmp", t->dir);
  hdw_status st = io_mkdir(t->io, dir);
  if (st && st != HDW_E_EXISTS) return st;
  snprintf(key, sizeof key, "%.1000s/hash.key", t->dir);
  char *bytes = hv_read(&t->a, key, &n);
  int fd = -1;
  snprintf(path, sizeof path, "%s/hash.key", dir);
  st = bytes ? io_open(t->io, path, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd) : HDW_E_IO;
  if (!st) st = io_pwrite(t->io, fd, bytes, n, 0);
  if (fd >= 0) io_fclose(t->io, fd);
  store_opts so = {.dir = t->dir, .lmdb_dir = dir, .until = store_applied(s)};
  if (!st) st = store_open(t->io, &so, &info, &o);
  if (!st) {
    st = store_hash(s, mine);
    if (!st) st = store_hash(o, again);
    *same = !st && !memcmp(mine, again, 32) && !info.skipped;
    store_close(o);
  }
  static const char *const files[] = {"hash.key", "state.mdb", "state.mdb-lock"};
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, files[i]);
    (void)io_unlink(t->io, path);
  }
  (void)rmdir(dir);
  return st;
}

/* The chain of the audit trail. */
static int check_the_trail(tool *t, store *s) {
  audit_check c;
  if (audit_verify(s, &t->a, &c)) {
    found(t, "audit: cannot be read");
    return EXIT_FINDINGS;
  }
  buf_putf(&t->out, ",\"audit\":{\"good\":%s,\"records\":%llu,\"first\":%llu,\"last\":%llu}", c.bad ? "false" : "true", (unsigned long long)c.count, (unsigned long long)c.first, (unsigned long long)c.last);
  if (c.bad) found(t, "audit: record %llu: %s", (unsigned long long)c.bad, c.why);
  else if (c.count && !t->json) printf("audit: %llu records, %llu to %llu%s: good\n", (unsigned long long)c.count, (unsigned long long)c.first, (unsigned long long)c.last, c.checkpoint ? ", what was before is named by a checkpoint" : "");
  return c.bad ? EXIT_FINDINGS : EXIT_OK;
}

static int check_the_state(tool *t) {
  store_opts so = {.dir = t->dir, .read_only = true};
  store_info info;
  store *s;
  positions p = {.t = t};
  char path[PATH];
  io_stat_info fi;
  snprintf(path, sizeof path, "%.1000s/state.mdb", t->dir);
  if (io_stat(t->io, path, &fi) == HDW_E_NOTFOUND) {
    if (!t->json) printf("state: there is none; it is made from the log at the next start\n");
    return part(t, "state", "none", EXIT_OK);
  }
  hdw_status st = store_open(t->io, &so, &info, &s);
  for (int again = 0; st == HDW_E_CORRUPT && again < 3 && in_use(t); again++) { /* just being written: looked at once more */
    usleep(50000);
    st = store_open(t->io, &so, &info, &s);
  }
  if (st) {
    found(t, "state.mdb: %s", st == HDW_E_VERSION ? "of another version: it is made again at the next start" : st == HDW_E_CORRUPT ? "DAMAGED: it is made again from the log at the next start" : hdw_status_text(st));
    return part(t, "state", st == HDW_E_VERSION ? "other version" : st == HDW_E_CORRUPT ? "damaged" : "unreadable", EXIT_FINDINGS);
  }
  st = store_check(s);
  p.s = s;
  arena_init(&p.a, &t->mem.m, 0);
  if (!st) st = log_open_read(t->io, t->log, &p.l);
  for (p.subject = SUBJECT_DELIVERY; !st && p.subject <= SUBJECT_INPUT; p.subject++) st = store_list_all(s, 0, p.subject, 0, 0, at_its_place, &p);
  arena_free(&p.a);
  if (p.l) log_close(p.l);
  int chain = st ? EXIT_OK : check_the_trail(t, s);
  bool same = true, folded = !st && !p.bad && !in_use(t);
  if (folded) st = fold_again(t, s, &same);
  if (st) found(t, "state.mdb: %s", st == HDW_E_CORRUPT ? "DAMAGED: it is made again from the log when it is moved away" : hdw_status_text(st));
  else if (!same) found(t, "state.mdb: DIFFERS from what the log says: stop the daemon and move it away, it is made again");
  else if (!p.bad && !t->json) printf("state: up to %llu, %llu messages and deliveries at their places%s: good\n", (unsigned long long)store_applied(s), (unsigned long long)p.rows,
                          folded ? ", equal to the log folded again" : " (not compared with the log: a daemon runs)");
  bool bad = st || !same || p.bad || chain;
  buf_putf(&t->out, ",\"applied\":%llu,\"rows\":%llu,\"misplaced\":%llu,\"compared\":%s", (unsigned long long)store_applied(s), (unsigned long long)p.rows, (unsigned long long)p.bad, folded && !st ? "true" : "false");
  store_close(s);
  return part(t, "state", !bad ? "good" : !st && !same ? "differs" : st && st != HDW_E_CORRUPT ? "unreadable" : "damaged", bad ? EXIT_FINDINGS : EXIT_OK);
}

/* In a child: a damaged state.mdb may kill who reads it, and that is an answer. */
static int in_child(const hv_args *a, int (*fn)(tool *), const char *what, unsigned hold) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) return EXIT_INTERNAL;
  if (pid == 0) {
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    tool t = {.io = NULL};
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) signal(deadly[i], SIG_DFL);
    int code = !hv_hold(a, hold) ? EXIT_FINDINGS : begin(&t, a) ? end(&t, fn(&t)) : EXIT_INTERNAL;
    fflush(stdout);
    HDW_COUNTED();
    _exit(code);
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return EXIT_INTERNAL;
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (a->json) printf("\"%s\":{\"result\":\"damaged\",\"findings\":[\"reading it ended with signal %d\"]}", what, WTERMSIG(status));
  else printf("%s: DAMAGED: reading it ended with signal %d\n", strcmp(what, "log") ? "state.mdb" : what, WTERMSIG(status));
  return EXIT_FINDINGS;
}

int hv_check(const hv_args *a) {
  if (a->json) printf("{");
  int log = in_child(a, check_the_log, "log", 0), state = EXIT_OK;
  if (log != EXIT_IO) {
    if (a->json) printf(",");
    state = in_child(a, check_the_state, "state", HOLD_DATA);
  }
  int code = log > state ? log : state;
  if (a->json) printf(",\"result\":\"%s\"}\n", code == EXIT_OK ? "good" : code == EXIT_FINDINGS ? "damaged" : "unreadable");
  return code;
}

/* ---- backup, restore --------------------------------------------------------------------------------------------------------------------- */

static int copied(tool *t, const char *from, const char *to, backup_report *r) {
  hdw_status s = backup_copy(t->io, from, to, r);
  if (s == HDW_E_INVALID) hv_say("%s holds segments of another log: choose an empty folder", to);
  else if (s == HDW_E_CORRUPT) hv_say("%s in %s is damaged (hdwvm check says where); everything was copied as it is", r->bad, from);
  else if (s == HDW_E_AGAIN) hv_say("retention kept changing segments: try again");
  else if (s == HDW_E_FULL || s == HDW_E_LIMIT) { /* it is the copy that has no room */
    hv_say("%s: %s", to, hdw_status_text(s));
    return EXIT_IO;
  } else if (s) return failed("copying", from, s);
  return s ? EXIT_FINDINGS : EXIT_OK;
}

int hv_backup(const hv_args *a) {
  tool t = {.io = NULL};
  char to[PATH], size[2][32];
  backup_report r;
  if (!a->to) {
    hv_say("backup needs --to DIR");
    return EXIT_USAGE;
  }
  if (!begin(&t, a)) return EXIT_INTERNAL;
  hdw_status s = io_mkdir(t.io, a->to);
  snprintf(to, sizeof to, "%.1100s/log", a->to);
  if (s && s != HDW_E_EXISTS) return end(&t, failed("the folder", a->to, s));
  if (!hv_hold(a, HOLD_TO)) return end(&t, EXIT_FINDINGS);
  int code = copied(&t, t.log, to, &r);
  if (!code && t.json) printf("{\"segments\":%llu,\"copied\":%llu,\"removed\":%llu,\"bytes\":%llu,\"copied_bytes\":%llu,\"last\":%llu}\n", (unsigned long long)r.segments, (unsigned long long)r.copied,
                              (unsigned long long)r.removed, (unsigned long long)r.bytes, (unsigned long long)r.copied_bytes, (unsigned long long)r.last_seq);
  else if (!code) printf("%s: %llu segment%s, %s, up to record %llu; copied now: %llu, %s\n", a->to, (unsigned long long)r.segments, r.segments == 1 ? "" : "s", hv_size(r.bytes, size[0]),
                         (unsigned long long)r.last_seq, (unsigned long long)r.copied, hv_size(r.copied_bytes, size[1]));
  return end(&t, code);
}

static void progress(uint64_t done, uint64_t total, void *user) {
  (void)user;
  if (isatty(2)) fprintf(stderr, "\r%3llu %%", (unsigned long long)(total ? done * 100 / total : 100));
}

/* What begins the new segment. */
static hdw_status first_record(hlog *l, uint64_t term) {
  uint8_t m[64];
  char text[TERM_TEXT];
  cod_w w = cod_writer(m, sizeof m);
  log_rec r = {.type = LOG_T_CLOSE, .version = 1};
  hdw_status s = HDW_OK;
  if (term) {
    s = term_record(&w, "term", term, text);
    r = (log_rec){.type = REC_PUT, .version = REC_VERSION, .meta = m, .meta_len = (uint32_t)w.len, .body = (const uint8_t *)text, .body_len = (uint32_t)strlen(text)};
  }
  return s ? s : log_append(l, &r, NULL, NULL);
}

/* Opens the folder once: the state is made, and a new segment begun, so that what a daemon still writes elsewhere under the old one cannot be taken for its continuation. */
static int settle(tool *t, bool next_term, uint64_t *term) { /* --json: its members in t->out */
  log_opts lo = {.dir = t->log, .fresh_segment = true};
  store_opts so = {.dir = t->dir, .progress = progress};
  log_open_info li;
  store_info si;
  hlog *l;
  store *s;
  store_info more = {.caught_up = 0};
  term_info info;
  hdw_status st = log_open(t->io, &lo, &li, &l);
  if (st == HDW_E_CORRUPT) {
    hv_say("%s: segment %llu, the last one, is damaged at byte %u; a log whose end is in doubt is not served. Take another backup or the standby; this folder stays as it is, to look at (hdwvm check)",
           t->dir, (unsigned long long)li.bad.seg, li.bad.off);
    return EXIT_FINDINGS;
  }
  if (st) return failed("the log in", t->log, st);
  int64_t began = io_mono_us(t->io);
  st = store_open(t->io, &so, &si, &s);
  if (st) {
    log_close(l);
    return failed("the state in", t->dir, st);
  }
  st = term_get(s, &t->a, &info);
  if (!st) st = first_record(l, next_term ? *term = (info.fenced > info.term ? info.fenced : info.term) + 1 : 0);
  log_close(l);
  if (!st) st = store_catch_up(s, &more);
  if (st) {
    store_close(s);
    return failed("the state in", t->dir, st);
  }
  si.caught_up += more.caught_up;
  if (isatty(2)) fputc('\n', stderr);
  long long ms = (long long)((io_mono_us(t->io) - began) / 1000);
  if (t->json) buf_putf(&t->out, ",\"folded\":%llu,\"fold_ms\":%lld,\"skipped\":%llu", (unsigned long long)si.caught_up, ms, (unsigned long long)si.skipped);
  else printf("%s: %llu records folded in %lld ms%s\n", t->dir, (unsigned long long)si.caught_up, ms, si.skipped ? "; damaged ones were skipped" : "");
  store_close(s);
  return si.skipped ? EXIT_FINDINGS : EXIT_OK;
}

int hv_settle(const char *dir, bool next_term, uint64_t *term) {
  tool t = {.io = NULL};
  hv_args a = {.data = dir};
  return begin(&t, &a) ? end(&t, settle(&t, next_term, term)) : EXIT_INTERNAL;
}

int hv_restore(const hv_args *a) {
  tool t = {.io = NULL};
  char from[PATH];
  size_t n = 0;
  backup_report r;
  if (!a->from || !a->data) {
    hv_say("restore needs --from BACKUP --data DIR");
    return EXIT_USAGE;
  }
  if (!begin(&t, a)) return EXIT_INTERNAL;
  if (!log_segments(t.io, t.log, NULL, 0, &n) && n) {
    hv_say("%s already holds a log: restore makes a new folder", t.dir);
    return end(&t, EXIT_FINDINGS);
  }
  snprintf(from, sizeof from, "%.1100s/log", a->from);
  if (log_segments(t.io, from, NULL, 0, &n) || !n) {
    hv_say("%s is no backup: there is no log in it", a->from);
    return end(&t, EXIT_FINDINGS);
  }
  hdw_status s = io_mkdir(t.io, t.dir);
  if (s && s != HDW_E_EXISTS) return end(&t, failed("the folder", t.dir, s));
  hv_damage_watch(t.dir);
  if (!hv_hold(a, HOLD_DATA)) return end(&t, EXIT_FINDINGS);
  int code = copied(&t, from, t.log, &r);
  if (code == EXIT_OK || code == EXIT_FINDINGS) {
    uint64_t term;
    int c = settle(&t, false, &term);
    code = c ? c : code;
  }
  if (t.json && (code == EXIT_OK || code == EXIT_FINDINGS)) {
    buf_putc(&t.out, 0);
    printf("{\"result\":\"%s\",\"segments\":%llu,\"bytes\":%llu,\"last\":%llu%s}\n", code ? "damaged" : "good", (unsigned long long)r.segments, (unsigned long long)r.bytes, (unsigned long long)r.last_seq, t.out.p);
  }
  return end(&t, code);
}

/* ---- compact -------------------------------------------------------------------------------------------------------------------------------- */

static void stop(void *user) { io_stop((io *)user); }

int hv_compact(const hv_args *a) {
  tool t = {.io = NULL};
  char text[200] = "";
  size_t n;
  uint64_t before = 0, after = 0;
  engine *e;
  if (!begin(&t, a)) return EXIT_INTERNAL;
  config *cfg = (config *)arena_zalloc(&t.a, 1, sizeof *cfg);
  const char *file = a->config ? a->config : "hdw.json";
  char *json = cfg && (a->config || access(file, R_OK) == 0) ? hv_read(&t.a, file, &n) : NULL;
  if (!cfg || (a->config && !json)) return end(&t, EXIT_FINDINGS);
  config_init(cfg, &t.a);
  if (json && config_read(cfg, &t.mem.m, file, json, n)) {
    hv_say("%s cannot be understood (hdwvm serve --check says why)", file);
    return end(&t, EXIT_FINDINGS);
  }
  engine_opts o = {.dir = t.dir, .config = cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema};
  if (in_use(&t)) {
    hv_say("a daemon runs on %s: it does the same by itself while it runs; stop it to give free pages back", t.dir);
    return end(&t, EXIT_FINDINGS);
  }
  if (log_segments(t.io, t.log, NULL, 0, &n) || !n) return end(&t, failed("the log in", t.log, HDW_E_NOTFOUND));
  hv_damage_watch(t.dir); /* of a folder that nobody else has */
  if (!hv_hold(a, HOLD_DATA)) return end(&t, EXIT_FINDINGS);
  if (engine_open(t.io, &o, &e, text)) {
    hv_say("%s", text);
    return end(&t, EXIT_IO);
  }
  engine_status st = {0};
  if (!engine_retain(e, stop, t.io)) (void)io_run(t.io);
  engine_get_status(e, &st);
  engine_close(e);
  if (st.retain_passes < 2) { /* a damaged segment alone does not end a pass */
    hv_say("the log in %s could not be gone through: nothing is lost, and nothing was given back", t.log);
    return end(&t, EXIT_IO);
  }
  hdw_status s = store_compact(t.io, t.dir, &before, &after);
  if (s) return end(&t, failed("state.mdb in", t.dir, s));
  char z[5][32];
  if (t.json) printf("{\"log_bytes\":%llu,\"freed_bytes\":%llu,\"pinned_bytes\":%llu,\"expired\":%llu,\"state_bytes\":%llu,\"state_bytes_before\":%llu}\n", (unsigned long long)st.log_bytes,
                     (unsigned long long)st.retain_freed_bytes, (unsigned long long)st.pinned_bytes, (unsigned long long)st.retain_expired, (unsigned long long)after, (unsigned long long)before);
  else printf("log: %s, %s freed now, %s kept for what is unfinished; %llu expired rows\nstate.mdb: %s, before %s\n", hv_size(st.log_bytes, z[0]), hv_size(st.retain_freed_bytes, z[1]), hv_size(st.pinned_bytes, z[2]),
         (unsigned long long)st.retain_expired, hv_size(after, z[3]), hv_size(before, z[4]));
  return end(&t, EXIT_OK);
}

/* ---- export ----------------------------------------------------------------------------------------------------------------------------------- */

typedef struct exporting {
  tool *t;
  engine *e;
  config *cfg;
  uint8_t subject;
  uint64_t n;
  bool bad;
} exporting;

static bool export_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  exporting *x = (exporting *)user;
  arena a;
  buf b;
  char target[60];
  (void)part, (void)state;
  bool input = x->subject == SUBJECT_INPUT;
  arena_init(&a, &x->t->mem.m, 0);
  buf_init(&b, &a, 256 << 20);
  snprintf(target, sizeof target, "/%s/%llu", input ? "messages" : "runs", (unsigned long long)id);
  int status = admin_offline(x->e, x->cfg, target, &a, &b);
  if (status == 200 && !b.status) {
    printf("{\"kind\":\"%s\",\"value\":", input ? "message" : "run");
    fwrite(b.p, 1, b.len, stdout);
    printf("}\n");
    x->n++;
  } else x->bad = true;
  arena_free(&a);
  return !ferror(stdout);
}

int hv_export(const hv_args *a) {
  tool t = {.io = NULL};
  char text[200] = "", since[32] = "0";
  exporting x = {.t = &t};
  uint64_t after = 0;
  if (a->since && !hv_since("--since", a->since, since)) return EXIT_USAGE;
  if (!begin(&t, a)) return EXIT_INTERNAL;
  config *cfg = x.cfg = (config *)arena_zalloc(&t.a, 1, sizeof *cfg);
  if (!cfg) return end(&t, EXIT_INTERNAL);
  config_init(cfg, &t.a);
  engine_opts o = {.dir = t.dir, .config = cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .read_only = true};
  hv_damage_tell(t.dir);
  if (engine_open(t.io, &o, &x.e, text)) {
    hv_say("%s", text);
    return end(&t, EXIT_IO);
  }
  hv_say("what follows holds patients' data");
  store *s = engine_store(x.e);
  bool none = a->since && store_input_since(s, 0, strtoll(since, NULL, 10), &after) != HDW_OK;
  if (after) after--;
  x.subject = SUBJECT_INPUT;
  hdw_status st = none ? HDW_OK : store_list_all(s, 0, SUBJECT_INPUT, after, 0, export_one, &x);
  x.subject = SUBJECT_RUN;
  if (!st && !none) st = store_list_all(s, 0, SUBJECT_RUN, after ? rec_run_id(after + 1, 0) - 1 : 0, 0, export_one, &x);
  engine_close(x.e);
  if (st) return end(&t, failed("reading", t.dir, st));
  hv_say("%llu messages and runs", (unsigned long long)x.n);
  return end(&t, x.bad || fflush(stdout) ? EXIT_IO : EXIT_OK);
}
