/* hdwvm_follow.c - a warm standby: takes a running daemon's log as it becomes durable, keeps its own synced copy and its own state, and can take over.
 *
 * It is behind by what was made durable since its last question (20 ms when there is nothing): what the primary acknowledged and had not handed over is not
 * here after a fail-over, but still in the old folder. A folder with the file `standby` in it is not served. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hdwvm_follow.h"
#include "io_linux.h"
#include "json.h"
#include "meta.h"
#include "term.h"

enum { PATH = FOLLOW_PATH, IDLE_US = 20000, DOWN_US = 500000, FOLD_US = 2000000, TOLD_US = 10000000, ENDS_US = 30000000 };

static volatile sig_atomic_t ending, promoting;
static void on_end(int signo) { ending = 1, promoting |= signo == SIGUSR1; }

static void rest(int64_t us) { usleep((useconds_t)us); }

/* ---- the own copy ------------------------------------------------------------------------------------------------------------------ */

static hdw_status open_segment(follower *f, uint64_t seg, bool make) {
  char path[LOG_PATH];
  if (f->fd >= 0) io_fclose(f->io, f->fd);
  f->fd = -1;
  hdw_status s = log_seg_path(f->log, seg, path);
  if (!s) s = io_open(f->io, path, IO_O_READ | IO_O_WRITE | (make ? IO_O_CREATE | IO_O_TRUNC : 0u), &f->fd);
  return s ? s : io_sync_dir(f->io, f->log); /* new, or left by a follower whose sync of it failed */
}

/* Where the own copy ends; what lies behind (torn, of a crash) is cut off. */
static hdw_status find_end(follower *f) {
  log_list list;
  log_scan sc;
  log_rec r;
  char path[LOG_PATH];
  hdw_status s = log_list_get(f->io, f->log, &list);
  if (s) return s;
  f->seg = list.n ? list.seq[list.n - 1] : 0, f->off = 0;
  log_list_free(f->io, &list);
  if (!f->seg) return HDW_OK;
  s = log_seg_path(f->log, f->seg, path);
  if (!s) s = log_scan_open(&sc, f->io, path, f->seg, LOG_RECORD_MAX, false);
  if (s == HDW_E_CORRUPT) { /* not even its header came */
    s = io_unlink(f->io, path);
    return s ? s : find_end(f);
  }
  if (s) return s;
  while (!(s = log_scan_next(&sc, &r)));
  bool whole = sc.head.compacted && s == HDW_E_NOTFOUND;
  f->off = whole ? sc.size : sc.head.compacted ? 0 : sc.off;
  memcpy(f->salt, sc.head.salt, 16);
  f->as_of = sc.comp.info.as_of;
  f->filtered |= sc.head.compacted;
  log_scan_close(&sc);
  if (s != HDW_E_NOTFOUND && s != HDW_E_CORRUPT) return s;
  s = open_segment(f, f->seg, false);
  return s ? s : io_truncate(f->io, f->fd, f->off);
}

/* Everything that came so far goes: the copy begins again. */
static hdw_status start_over(follower *f, const char *why) {
  log_list list;
  char path[LOG_PATH];
  hv_say("%s: the copy begins anew", why);
  if (f->s) store_close(f->s);
  f->s = NULL;
  if (f->fd >= 0) io_fclose(f->io, f->fd);
  f->fd = -1, f->seg = f->off = f->as_of = 0, f->filtered = false, f->unfolded = 0;
  hdw_status s = log_list_get(f->io, f->log, &list);
  for (size_t i = 0; !s && i < list.n; i++) {
    s = log_seg_path(f->log, list.seq[i], path);
    if (!s) s = io_unlink(f->io, path);
  }
  if (!s) log_list_free(f->io, &list);
  static const char *const files[] = {"state.mdb", "state.mdb-lock"};
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
    (void)io_unlink(f->io, path);
  }
  return s;
}

static hdw_status fold(follower *f) {
  store_opts so = {.dir = f->dir};
  store_info si;
  term_info t;
  arena a;
  f->folded_us = io_mono_us(f->io);
  if (!f->unfolded && f->s) return HDW_OK;
  f->unfolded = 0;
  hdw_status s = f->s ? store_catch_up(f->s, &si) : store_open(f->io, &so, &si, &f->s);
  arena_init(&a, &f->mem.m, 0);
  if (!s) s = term_get(f->s, &a, &t);
  if (!s) f->term = t.term;
  arena_free(&a);
  return s;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------------- */

bool follow_ask_list(follower *f, arena *a, follow_list *out) {
  const char *body;
  size_t len;
  json_reader r;
  val v = VAL_NONE;
  if (hv_ask(&f->peer, a, "GET", "/log/segments", &body, &len) != 200) return false;
  json_reader_init(&r, a->mem);
  (void)json_read(&r, a, body, len, NULL, &v, NULL);
  json_reader_free(&r);
  *out = (follow_list){.n = jv_count(v)};
  out->v = (struct follow_seg *)arena_zalloc(a, out->n + 1, sizeof *out->v);
  if (!out->v) return false;
  for (uint32_t i = 0; i < out->n; i++) {
    val row = jv_item(v, i);
    out->v[i] = (struct follow_seg){strtoull(hv_cell(a, row, "seg"), NULL, 10), strtoull(hv_cell(a, row, "as_of"), NULL, 10)};
  }
  return true;
}

int follow_ask_piece(follower *f, arena *a, uint64_t seg, uint64_t off, ship_head *h, const uint8_t **p, size_t *len) {
  char target[160];
  const char *body;
  size_t n = 0;
  snprintf(target, sizeof target, "/log?seg=%llu&off=%llu&max=%d&term=%llu", (unsigned long long)seg, (unsigned long long)off, SHIP_MAX / 2, (unsigned long long)f->term);
  int status = hv_ask(&f->peer, a, "GET", target, &body, &n);
  *p = NULL, *len = 0;
  if (status != 200) return status;
  if (!ship_get(body, n, h) || n - SHIP_HEADER > h->end) return -2;
  *p = (const uint8_t *)body + SHIP_HEADER, *len = n - SHIP_HEADER;
  return 200;
}

/* Filtered segments are right only together with what the primary filtered before them. True: all of mine are as its own. */
static bool as_theirs(follower *f, arena *a) {
  follow_list l;
  if (!follow_ask_list(f, a, &l) || !l.n) return false;
  for (uint32_t i = 0; i < l.n && l.v[i].seg < f->seg; i++) {
    log_compact_info info;
    if (log_compact_read(f->io, f->log, l.v[i].seg, &info) || info.as_of != l.v[i].as_of) return false;
  }
  return true;
}

/* ---- one question ------------------------------------------------------------------------------------------------------------------- */

static hdw_status take(follower *f, const ship_head *h, const uint8_t *p, size_t n) {
  hdw_status s = HDW_OK;
  log_head lh;
  if (h->seg != f->seg || !f->off) {
    if (n < LOG_HEADER || log_head_get(p, &lh) || lh.first_seq != h->seg) return n ? HDW_E_CORRUPT : HDW_OK;
    s = open_segment(f, h->seg, true);
    f->seg = h->seg, f->off = 0;
    memcpy(f->salt, h->salt, 16);
    f->as_of = h->as_of;
    f->filtered |= lh.compacted;
  }
  if (!s && n) s = io_pwrite(f->io, f->fd, p, n, f->off);
  if (!s && n) s = io_sync(f->io, f->fd);
  if (!s) f->off += n, f->unfolded += n;
  return s;
}

typedef enum turn { T_MORE, T_IDLE, T_DOWN, T_STOP } turn;

static turn told(follower *f, bool in_sync, uint64_t behind) {
  int64_t now = io_mono_us(f->io);
  if (in_sync != f->in_sync || (!in_sync && now - f->told_us > TOLD_US)) {
    f->told_us = now;
    if (in_sync) hv_say("in step with the primary at record %llu", (unsigned long long)f->synced);
    else hv_say("behind by %llu bytes of segment %llu", (unsigned long long)behind, (unsigned long long)f->seg);
  }
  f->in_sync = in_sync;
  return in_sync ? T_IDLE : T_MORE;
}

static turn broken(const char *what, hdw_status s) {
  hv_say("%s: %s", what, hdw_status_text(s));
  return T_STOP;
}

/* What is no piece of the log. */
static turn refused(follower *f, int status) {
  if (status == 404 && f->seg) return start_over(f, "the primary keeps less than the copy has") ? T_STOP : T_MORE;
  if (status == 409) {
    hv_say("this folder has records that the primary has not: it was promoted, or is the old primary. Keep it for what was not handed over (hdwvm export), and begin with an empty one");
    return T_STOP;
  }
  if (status == 410) {
    hv_say("this copy is of term %llu and the primary's log of an earlier one: it is the old primary, and is not followed. Tell it: hdwvm fence --term %llu", (unsigned long long)f->term, (unsigned long long)f->term);
    return T_STOP;
  }
  if (!f->down) hv_say(status == -1 ? "the primary does not answer" : status == -2 ? "the primary's answer is not understood: is it of another version?" : "the primary refuses (%d)", status);
  f->down = true, f->in_sync = false;
  return T_DOWN;
}

static turn ask(follower *f, arena *a) {
  const uint8_t *p;
  size_t n;
  ship_head h;
  int status = follow_ask_piece(f, a, f->seg, f->off, &h, &p, &n);
  if (status != 200) return refused(f, status);
  if (h.term < f->term) return refused(f, 410);
  if (f->down) hv_say("the primary answers again");
  f->down = false;
  f->synced = h.synced;
  if (f->off && memcmp(h.salt, f->salt, 16) != 0) {
    hv_say("segment %llu is another one than the primary's: two folders went their own ways", (unsigned long long)f->seg);
    return T_STOP;
  }
  if (f->off && h.as_of != f->as_of) return start_over(f, "retention changed at the primary what was half copied") ? T_STOP : T_MORE;
  hdw_status s = take(f, &h, p, n);
  if (s) return broken("the copy cannot be written", s);
  if (f->off < h.end) return told(f, false, h.end - f->off);
  if (h.next) {
    f->seg = h.next, f->off = 0;
    return T_MORE;
  }
  if (f->filtered) {
    if (!as_theirs(f, a)) return start_over(f, "retention changed segments at the primary meanwhile") ? T_STOP : T_MORE;
    f->filtered = false;
  }
  if (!f->looked || f->passes != h.passes) {
    s = f->s ? follow_keep(f) : HDW_E_AGAIN;
    if (s == HDW_E_NOTFOUND) f->looked = true, f->passes = h.passes;
    else if (s && s != HDW_E_AGAIN) return broken("the copy cannot be written", s);
  }
  return told(f, true, 0);
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------- */

/* Asks the follower that has the folder to end; its process stands in the marker. False: nobody could be asked. */
static bool ask_to_end(follower *f) {
  char text[24] = "";
  size_t got = 0;
  int fd;
  if (io_open(f->io, f->marker, IO_O_READ, &fd)) return false;
  hdw_status s = io_pread(f->io, fd, text, sizeof text - 1, 0, &got);
  io_fclose(f->io, fd);
  long pid = s ? 0 : strtol(text, NULL, 10);
  return pid > 1 && !kill((pid_t)pid, SIGTERM);
}

/* What is to be done with the folder: fill it, made when it is not there; take it from the follower that has it; tell it something. */
typedef enum purpose { TO_FOLLOW, TO_TAKE, TO_TELL } purpose;

static int prepare(follower *f, const hv_args *a, purpose why) {
  char path[PATH], admin_path[200];
  f->lock = f->fd = -1;
  io_mem_init(&f->mem, 0);
  arena_init(&f->a, &f->mem.m, 0);
  snprintf(f->dir, sizeof f->dir, "%.900s", hv_data_dir(a, &f->a, admin_path));
  snprintf(f->log, sizeof f->log, "%s/log", f->dir);
  snprintf(f->marker, sizeof f->marker, "%s/standby", f->dir);
  if (io_linux_new(&f->mem.m, &f->io)) return EXIT_INTERNAL;
  hdw_status s = why == TO_FOLLOW ? io_mkdir(f->io, f->dir) : HDW_OK;
  if (why == TO_FOLLOW && (!s || s == HDW_E_EXISTS)) s = io_mkdir(f->io, f->log);
  snprintf(path, sizeof path, "%.1100s/lock", f->log);
  if (!s || s == HDW_E_EXISTS) s = io_open(f->io, path, IO_O_WRITE | IO_O_CREATE | IO_O_LOCK, &f->lock);
  if (s == HDW_E_DENIED && why == TO_TAKE && ask_to_end(f))
    for (int64_t until = io_mono_us(f->io) + ENDS_US; s == HDW_E_DENIED && io_mono_us(f->io) < until; rest(IDLE_US))
      s = io_open(f->io, path, IO_O_WRITE | IO_O_CREATE | IO_O_LOCK, &f->lock);
  if (s) {
    hv_say("%s: %s", f->dir, s == HDW_E_DENIED ? "a daemon or another follower has it; stop it first" : s == HDW_E_NOTFOUND ? "there is no such data folder" : hdw_status_text(s));
    return EXIT_IO;
  }
  if (why == TO_TELL) hv_damage_tell(f->dir);
  else hv_damage_watch(f->dir);
  unsigned net = why == TO_TAKE ? 0 : HOLD_NET;
  return hv_hold(a, HOLD_DATA | net | (why == TO_FOLLOW ? HOLD_SAY : 0u)) ? EXIT_OK : EXIT_FINDINGS;
}

static int end(follower *f, int code) {
  if (f->s) store_close(f->s);
  if (f->fd >= 0) io_fclose(f->io, f->fd);
  if (f->lock >= 0) io_fclose(f->io, f->lock);
  if (f->io) io_linux_free(f->io);
  arena_free(&f->a);
  return code;
}

static hdw_status mark(follower *f) {
  char text[24];
  int fd, n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  hdw_status s = io_open(f->io, f->marker, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd);
  if (s) return s;
  s = io_pwrite(f->io, fd, text, (size_t)n, 0); /* for promote, which asks this process to end */
  if (!s) s = io_sync(f->io, fd);
  io_fclose(f->io, fd);
  return s ? s : io_sync_dir(f->io, f->dir);
}

int hv_follow(const hv_args *a) {
  follower f = {.io = NULL};
  bool dir = a->from && !strstr(a->from, ".sock");
  char socket_path[PATH];
  if ((!a->from && !a->url) || !a->data) {
    hv_say("follow needs --data DIR and the primary: --from DATA-FOLDER|SOCKET, or --url https://HOST:PORT --token-file FILE");
    return EXIT_USAGE;
  }
  int code = prepare(&f, a, TO_FOLLOW);
  if (code) return end(&f, code);
  snprintf(socket_path, sizeof socket_path, dir ? "%.1000s/admin.sock" : "%.1000s", a->from ? a->from : "");
  f.peer = (hv_args){.url = a->url, .token_file = a->token_file, .ca = a->ca, .from = socket_path, .live = true, .kept = f.io};
  hdw_status s = find_end(&f);
  if (s) return end(&f, (hv_say("%s: %s", f.log, hdw_status_text(s)), EXIT_IO));
  io_stat_info st;
  if (f.seg && io_stat(f.io, f.marker, &st)) {
    hv_say("%s is no standby's folder: begin with an empty one", f.dir);
    return end(&f, EXIT_FINDINGS);
  }
  if (f.seg && (f.unfolded = 1) && (s = fold(&f))) return end(&f, (hv_say("%s: %s", f.dir, hdw_status_text(s)), EXIT_IO));
  s = mark(&f); /* before anything is copied: a copy without it could be served */
  if (s) return end(&f, (hv_say("%s: %s", f.marker, hdw_status_text(s)), EXIT_IO));
  signal(SIGTERM, on_end), signal(SIGINT, on_end), signal(SIGUSR1, on_end);
  hv_say("following into %s", f.dir);
  for (turn t = T_MORE; !ending && t != T_STOP;) {
    arena ar;
    arena_init(&ar, &f.mem.m, 0);
    t = ask(&f, &ar);
    arena_free(&ar);
    if (t != T_STOP && f.seg && (io_mono_us(f.io) - f.folded_us > FOLD_US || !f.folded_us) && t != T_MORE && (s = fold(&f))) t = broken("the state", s);
    if (t == T_STOP) code = EXIT_FINDINGS;
    if (t == T_IDLE || t == T_DOWN) rest(t == T_IDLE ? IDLE_US : DOWN_US);
  }
  if (!code && f.seg && (s = fold(&f))) code = EXIT_IO;
  end(&f, code);
  return !code && promoting ? hv_promote(a) : code;
}

/* Whether the folder's log was ended by a newer term. */
static bool was_fenced(follower *f, term_info *t) {
  store_opts so = {.dir = f->dir, .read_only = true};
  store_info si;
  store *s;
  *t = (term_info){.term = 1};
  if (store_open(f->io, &so, &si, &s)) return false;
  bool yes = !term_get(s, &f->a, t) && term_ended(t);
  store_close(s);
  return yes;
}

int hv_promote(const hv_args *a) {
  follower f = {.io = NULL};
  io_stat_info st;
  term_info t;
  size_t n = 0;
  uint64_t term = 0;
  int code = prepare(&f, a, TO_TAKE);
  if (code) return end(&f, code);
  bool standby = !io_stat(f.io, f.marker, &st);
  if (!standby && !was_fenced(&f, &t)) {
    hv_say("%s is no standby", f.dir);
    return end(&f, EXIT_FINDINGS);
  }
  if (log_segments(f.io, f.log, NULL, 0, &n) || !n) {
    hv_say("nothing was copied to %s yet", f.dir);
    return end(&f, EXIT_FINDINGS);
  }
  char dir[1000], marker[PATH];
  snprintf(dir, sizeof dir, "%s", f.dir);
  snprintf(marker, sizeof marker, "%s", f.marker);
  end(&f, 0);
  /* A segment of its own, with a new salt: what the old primary may still write is no continuation of this. */
  code = hv_settle(dir, true, &term);
  if (!code && standby && unlink(marker)) code = EXIT_IO;
  if (code) return code;
  hv_say("%s is promoted to term %llu: hdwvm serve --data %s", dir, (unsigned long long)term, dir);
  hv_say("the old primary, as soon as it can be reached: hdwvm fence --term %llu --data ITS-FOLDER (or --url)", (unsigned long long)term);
  return EXIT_OK;
}

/* ---- fence ----------------------------------------------------------------------------------------------------------------------------- */

/* Without a daemon: the record goes into the folder. */
static int fence_folder(const hv_args *a, uint64_t term) {
  follower f = {.io = NULL};
  uint8_t m[64];
  char text[TERM_TEXT];
  term_info t;
  store_info si;
  log_open_info li;
  hlog *l = NULL;
  int code = prepare(&f, a, TO_TELL);
  if (code) return end(&f, code);
  io_fclose(f.io, f.lock);
  f.lock = -1;
  store_opts so = {.dir = f.dir};
  log_opts lo = {.dir = f.log, .synced_seq = store_peek_applied(f.io, f.dir), .fresh_segment = false};
  hdw_status s = log_open(f.io, &lo, &li, &l);
  if (!s) s = store_open(f.io, &so, &si, &f.s);
  if (!s) s = term_get(f.s, &f.a, &t);
  if (!s && term <= t.term) {
    hv_say("%s is of term %llu itself: only a newer term ends it", f.dir, (unsigned long long)t.term);
    log_close(l);
    return end(&f, EXIT_FINDINGS);
  }
  cod_w w = cod_writer(m, sizeof m);
  if (!s) s = term_record(&w, "fenced", term, text);
  log_rec r = {.type = REC_PUT, .version = REC_VERSION, .meta = m, .meta_len = (uint32_t)w.len, .body = (const uint8_t *)text, .body_len = s ? 0 : (uint32_t)strlen(text)};
  if (!s) s = log_append(l, &r, NULL, NULL);
  if (l) log_close(l);
  if (!s) s = store_catch_up(f.s, &si);
  if (s) hv_say("%s: %s", f.dir, hdw_status_text(s));
  else hv_say("%s was told of term %llu and is not served any more", f.dir, (unsigned long long)term);
  return end(&f, s ? EXIT_IO : EXIT_OK);
}

int hv_fence(const hv_args *a) {
  io_mem heap;
  arena ar;
  char target[60], path[200];
  const char *body;
  size_t len;
  char *stop = NULL;
  unsigned long long term = a->term ? strtoull(a->term, &stop, 10) : 0;
  if (!term || *stop || a->term[0] == '-') {
    hv_say("fence needs --term N: the term of the log that goes on (hdwvm promote and hdwvm status tell it)");
    return EXIT_USAGE;
  }
  if (!a->yes) {
    hv_say("the daemon%s%s ends, and its folder is not served any more, because a log of term %llu goes on elsewhere. Add --yes", a->url ? " at " : "", a->url ? a->url : "", term);
    return EXIT_FINDINGS;
  }
  io_mem_init(&heap, 0);
  arena_init(&ar, &heap.m, 0);
  hv_args q = *a;
  static char socket_path[200];
  (void)hv_data_dir(a, &ar, path);
  snprintf(socket_path, sizeof socket_path, "%s", path);
  q.from = socket_path, q.live = true;
  snprintf(target, sizeof target, "/fence?term=%llu", term);
  int status = hv_ask(&q, &ar, "POST", target, &body, &len), code = EXIT_OK;
  if (status < 0) code = a->url ? EXIT_UNAVAILABLE : fence_folder(a, term);
  else if (status != 200) hv_refused(&ar, body, len), code = EXIT_FINDINGS;
  else hv_say("it was told of term %llu: it ends, and is not served any more", term);
  arena_free(&ar);
  return code;
}
