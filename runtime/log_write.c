#include "log_int.h"
#include "points.h"
#include <zstd.h>

/* Two threads meet here. The loop plans: it gives each record its sequence, segment and offset, and at the end of its turn pushes all of them on `queue`. The writer
 * takes the whole queue, seals, writes and syncs, and pushes the records on `done`; the loop makes the callbacks. A small batch for a disk that syncs fast
 * is written by the loop itself while the writer is idle and nobody else waits for the loop: two changes of thread cost as much as such a sync. Both lists are
 * stacks that one side pushes and the other takes whole and reverses, so that no lock is needed. Fields are marked [loop], [writer] or [both: atomic]. */

typedef struct log_node {
  struct log_node *next;
  log_cb cb;
  void *user;
  log_rec rec;               /* as the callback sees it: meta and body point into bytes or plain */
  uint64_t alloc;            /* size of the block */
  uint64_t size;             /* of the record in the log; 0 = barrier */
  uint64_t segment_bytes;    /* roll: size of the segment that begins with this record */
  hdw_status status;
  bool roll;
  uint8_t salt[16];
  int64_t created_us;
  uint8_t bytes[];           /* record, then the unpacked body when it was compressed */
} log_node;

/* What the loop writes itself: records and bytes of a turn, how long the last sync may have taken, and for how many turns one peer at most was heard at a time. */
enum { HERE_RECORDS = 16, HERE_BYTES = 64 << 10, HERE_SYNC_US = 400, HERE_ALONE = 256 };

struct hlog {
  io *x;
  log_opts opts;             /* dir points to path_dir */
  char path_dir[LOG_PATH], path_spare[LOG_PATH];
  io_worker *worker;

  /* [loop] plan */
  uint64_t next_seq, seg, seg_bytes, off;
  int64_t last_time_us;
  uint8_t last_type;
  bool failed, low;
  int64_t space_checked_us;
  uint64_t unsynced, synced_seq, appended;
  log_pos synced_end;
  io_timer fatal;
  int lock_fd;
  io_task done_task, kick_task;
  log_node *fresh, *fresh_first; /* appended in this turn: newest first, and the end of that list */
  unsigned nfresh;
  struct log_open_file {
    uint64_t seg, used, size_bytes; /* size_bytes: that its header says */
    int fd;
    uint8_t salt[16];
    log_compacted comp;      /* as_of 0: not compacted */
  } files[4];                /* for log_read */
  uint64_t file_use;

  /* [both] */
  log_node *queue, *done;    /* atomic */
  bool posted;               /* atomic: done_task is on its way */
  bool busy;                 /* atomic: the writer is in its step */
  uint64_t batches, syncs;   /* atomic */
  int64_t sync_us_last, sync_us_max;

  /* [writer] */
  int fd;
  uint64_t w_seg, w_off, w_bytes;
  uint8_t w_salt[16];
  EVP_MD_CTX *chain;
  hdw_status w_failed;
  bool spare;
};

/* ---- writer ---- */

static log_node *take_all(log_node **stack) {
  log_node *n = __atomic_exchange_n(stack, NULL, __ATOMIC_SEQ_CST), *out = NULL;
  while (n) {
    log_node *next = n->next;
    n->next = out;
    out = n;
    n = next;
  }
  return out;
}

/* Pushes a list: newest first, oldest at its end. Returns true when the stack was empty. */
static bool push_list(log_node **stack, log_node *newest, log_node *oldest) {
  log_node *old = __atomic_load_n(stack, __ATOMIC_RELAXED);
  do oldest->next = old;
  while (!__atomic_compare_exchange_n(stack, &old, newest, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
  return old == NULL;
}

static void push(log_node **stack, log_node *n) { (void)push_list(stack, n, n); }

static void done_run(void *user);

static void complete(hlog *l, log_node *n, hdw_status s) {
  n->status = s;
  push(&l->done, n);
}

static void post_done(hlog *l) {
  if (!__atomic_exchange_n(&l->posted, true, __ATOMIC_ACQ_REL)) {
    l->done_task = (io_task){done_run, l, NULL};
    io_post(l->x, &l->done_task);
  }
}

static hdw_status sync_timed(hlog *l) {
  int64_t t = io_mono_us(l->x);
  HDW_POINT("log.before_sync");
  hdw_status s = HDW_BROKEN("log.no_sync") ? HDW_OK : io_sync(l->x, l->fd);
  if (HDW_BROKEN("log.sync_ignored")) s = HDW_OK;
  HDW_POINT("log.after_sync");
  t = io_mono_us(l->x) - t;
  if (t < 1) t = 1; /* 0 = none yet */
  __atomic_store_n(&l->sync_us_last, t, __ATOMIC_RELAXED);
  if (t > __atomic_load_n(&l->sync_us_max, __ATOMIC_RELAXED)) __atomic_store_n(&l->sync_us_max, t, __ATOMIC_RELAXED);
  __atomic_add_fetch(&l->syncs, 1, __ATOMIC_RELAXED);
  return s;
}

static bool wants_spare(const hlog *l) { return !l->spare && l->w_off >= l->w_bytes / 2; }

/* A file that will become the next segment is made ahead, so that a roll costs a rename and two syncs. Failing is no harm. */
static void prepare_spare(hlog *l) {
  if (!wants_spare(l)) return;
  int fd;
  if (io_open(l->x, l->path_spare, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd)) return;
  hdw_status s = io_alloc(l->x, fd, l->opts.segment_bytes);
  if (!s) s = io_sync(l->x, fd);
  io_fclose(l->x, fd);
  if (s) io_unlink(l->x, l->path_spare);
  else l->spare = true;
}

/* Makes the file of a segment, durably, with its header; leaves it in l->fd. */
static hdw_status segment_create(hlog *l, const log_head *h) {
  char path[LOG_PATH];
  uint8_t head[LOG_HEADER];
  hdw_status s = log_seg_path(l->opts.dir, h->first_seq, path);
  if (s) return s;
  HDW_POINT("log.roll");
  s = io_open(l->x, l->path_spare, IO_O_WRITE | IO_O_CREATE | (l->spare ? 0u : IO_O_TRUNC), &l->fd);
  if (s) return s;
  l->spare = false;
  s = io_alloc(l->x, l->fd, h->size_bytes);
  log_head_put(h, head);
  if (!s) s = io_pwrite(l->x, l->fd, head, sizeof head, 0);
  if (!s) s = io_sync(l->x, l->fd);
  if (!s) s = io_rename(l->x, l->path_spare, path);
  if (!s) s = io_sync_dir(l->x, l->opts.dir);
  HDW_POINT("log.rolled");
  if (s) return s;
  if (!EVP_DigestInit_ex(l->chain, EVP_sha256(), NULL) || !EVP_DigestUpdate(l->chain, head, sizeof head)) return HDW_E_NOMEM;
  memcpy(l->w_salt, h->salt, sizeof l->w_salt);
  l->w_seg = h->first_seq, l->w_off = LOG_HEADER, l->w_bytes = h->size_bytes;
  return HDW_OK;
}

static hdw_status roll(hlog *l, const log_node *n) {
  log_head h = {.first_seq = n->rec.seq, .size_bytes = n->segment_bytes, .created_us = n->created_us};
  memcpy(h.salt, n->salt, sizeof h.salt);
  unsigned len = 0;
  if (!EVP_DigestFinal_ex(l->chain, h.prev, &len)) return HDW_E_NOMEM;
  /* The unused rest of the old file goes back; if that is lost in a crash the file only stays longer. */
  io_truncate(l->x, l->fd, l->w_off);
  io_fclose(l->x, l->fd);
  l->fd = -1;
  return segment_create(l, &h);
}

/* Writes and syncs records from n up to (not with) the next roll; returns the first one not written. */
static hdw_status write_part(hlog *l, log_node *n, log_node **rest) {
  enum { SLICES = 256 };
  io_slice v[SLICES];
  unsigned k = 0;
  bool first = true;
  uint64_t at = l->w_off;
  hdw_status s = HDW_OK;
  log_node *i = n;
  for (; i && !(i->roll && !first) && !s; i = i->next) {
    if (!i->size) continue;
    uint32_t crc = log_rec_seal(i->bytes, (size_t)i->size, log_crc_seed(l->w_salt, (uint32_t)l->w_off), first);
    uint8_t c[4] = {(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)};
    first = false;
    v[k++] = (io_slice){i->bytes, (size_t)i->size};
    l->w_off += i->size;
    if (!EVP_DigestUpdate(l->chain, c, sizeof c)) s = HDW_E_NOMEM;
    else if (k == SLICES) s = io_pwritev(l->x, l->fd, v, k, at), at = l->w_off, k = 0;
  }
  *rest = i;
  HDW_POINT("log.before_write");
  if (!s && k) s = io_pwritev(l->x, l->fd, v, k, at);
  if (!s && !first) s = sync_timed(l);
  return s;
}

static void write_queue(hlog *l) {
  log_node *n = take_all(&l->queue);
  if (!n) return;
  __atomic_add_fetch(&l->batches, 1, __ATOMIC_RELAXED);
  while (n) {
    log_node *rest = NULL;
    hdw_status s = l->w_failed;
    if (!s && n->roll) s = roll(l, n);
    if (!s) s = write_part(l, n, &rest);
    if (s) l->w_failed = s, rest = NULL;
    while (n != rest) {
      log_node *next = n->next;
      complete(l, n, s);
      n = next;
    }
    post_done(l);
  }
}

static void step(void *user) {
  hlog *l = (hlog *)user;
  __atomic_store_n(&l->busy, true, __ATOMIC_SEQ_CST);
  write_queue(l);
  if (!l->w_failed) prepare_spare(l);
  __atomic_store_n(&l->busy, false, __ATOMIC_SEQ_CST);
}

/* ---- loop: callbacks ---- */

static void fatal_now(void *user) {
  hlog *l = (hlog *)user;
  io_exit(l->x, LOG_EXIT_CODE);
}

static void node_free(hlog *l, log_node *n) { l->x->mem->put(l->x->mem, n, n->alloc); }

static void done_all(hlog *l) {
  __atomic_store_n(&l->posted, false, __ATOMIC_RELEASE);
  log_node *n = take_all(&l->done);
  while (n) {
    log_node *next = n->next;
    if (n->status && !l->failed) {
      l->failed = true;
      io_timer_set(l->x, &l->fatal, l->opts.fatal_grace_us, fatal_now, l);
    }
    l->unsynced -= n->size;
    if (n->size && !n->status) {
      l->synced_seq = n->rec.seq;
      l->synced_end = (log_pos){n->rec.pos.seg, (uint32_t)(n->rec.pos.off + n->size)};
    }
    if (n->cb) n->cb(n->status ? HDW_E_IO : HDW_OK, n->size ? &n->rec : NULL, n->user);
    node_free(l, n);
    n = next;
  }
}

static void done_run(void *user) { done_all((hlog *)user); }

/* ---- loop: appending ---- */

/* The writer has nothing and is not in its step. The queue is looked at first: the writer says that it is busy before it takes it, so one that was taken shows a busy
 * writer. In the other order the writer could begin between the two looks, and both would write. */
static bool writer_rests(hlog *l) {
  if (HDW_BROKEN("log.two_writers")) { /* the other order */
    bool rests = !__atomic_load_n(&l->busy, __ATOMIC_SEQ_CST);
    HDW_POINT("log.look");
    return rests && !__atomic_load_n(&l->queue, __ATOMIC_SEQ_CST);
  }
  bool rests = !__atomic_load_n(&l->queue, __ATOMIC_SEQ_CST);
  HDW_POINT("log.look");
  return rests && !__atomic_load_n(&l->busy, __ATOMIC_SEQ_CST);
}

/* The writer's fields may be touched by the loop while the writer rests: it begins a step only when it was woken for something in the queue. */
static bool write_here(hlog *l) {
  if (l->x->alone < HERE_ALONE || l->nfresh > HERE_RECORDS || l->unsynced > HERE_BYTES || !writer_rests(l)) return false;
  for (const log_node *n = l->fresh; n; n = n->next)
    if (n->roll) return false;
  int64_t us = __atomic_load_n(&l->sync_us_last, __ATOMIC_RELAXED);
  return us && us < HERE_SYNC_US && !wants_spare(l);
}

/* Hands over what was appended in this turn. */
static void kick(void *user) {
  hlog *l = (hlog *)user;
  bool here = write_here(l);
  l->fresh_first->next = NULL;
  bool wake = push_list(&l->queue, l->fresh, l->fresh_first);
  l->fresh = l->fresh_first = NULL;
  l->nfresh = 0;
  if (here) write_queue(l);
  else if (wake) io_worker_wake(l->worker);
}

static void enqueue(hlog *l, log_node *n) {
  n->next = l->fresh;
  l->fresh = n;
  if (l->nfresh++) return;
  l->fresh_first = n;
  l->kick_task = (io_task){kick, l, NULL};
  io_post(l->x, &l->kick_task);
}

static log_node *node_new(hlog *l, uint64_t extra, log_cb cb, void *user) {
  log_node *n = (log_node *)l->x->mem->get(l->x->mem, sizeof *n + (size_t)extra);
  if (!n) return NULL;
  memset(n, 0, sizeof *n);
  n->alloc = sizeof *n + extra;
  n->cb = cb, n->user = user;
  return n;
}

/* Gives the node its place; begins a new segment when it does not fit. */
static void plan(hlog *l, log_node *n, log_rec *rec) {
  uint64_t fresh = LOG_HEADER + n->size;
  int64_t now = io_wall_us(l->x);
  rec->seq = l->next_seq++;
  rec->time_us = now > l->last_time_us ? now : l->last_time_us;
  l->last_time_us = rec->time_us;
  if (l->off + n->size > l->seg_bytes) {
    n->roll = true;
    n->segment_bytes = fresh > l->opts.segment_bytes ? fresh : l->opts.segment_bytes;
    n->created_us = rec->time_us;
    io_random(l->x, n->salt, sizeof n->salt);
    l->seg = rec->seq, l->off = LOG_HEADER, l->seg_bytes = n->segment_bytes;
  }
  rec->pos = (log_pos){l->seg, (uint32_t)l->off};
  l->off += n->size;
}

/* Packs rec's body into scratch (rec->body_len bytes). 0 when it does not get smaller. */
static uint32_t compress(uint8_t *scratch, const log_rec *rec) {
  size_t z = ZSTD_compress(scratch + 4, rec->body_len - 5, rec->body, rec->body_len, 1);
  if (ZSTD_isError(z)) return 0;
  cod_w w = cod_writer(scratch, 4);
  cod_put_u32(&w, rec->body_len);
  return (uint32_t)z + 4;
}

hdw_status log_append(hlog *l, log_rec *rec, log_cb cb, void *user) {
  uint64_t size = log_rec_size(rec->meta_len, rec->body_len);
  if (l->failed) return HDW_E_IO;
  if (rec->type == 0 || (rec->flags & (LOG_F_FIRST | LOG_F_ZSTD | LOG_F_SEALED | LOG_F_BARE))) return HDW_E_INVALID;
  if ((uint64_t)rec->meta_len + rec->body_len > l->opts.max_record_bytes) return HDW_E_LIMIT;
  if (l->unsynced + size > l->opts.max_unsynced_bytes && l->unsynced) return HDW_E_FULL;
  bool pack = l->opts.compress && rec->body_len > LOG_BODY_MIN_ZSTD;
  log_node *n = node_new(l, size + (pack ? rec->body_len : 0), cb, user);
  if (!n) return HDW_E_NOMEM;
  uint8_t *scratch = n->bytes + size;
  uint32_t packed = pack ? compress(scratch, rec) : 0;
  n->size = packed ? log_rec_size(rec->meta_len, packed) : size;
  plan(l, n, rec);
  log_rec stored = *rec;
  if (packed) {
    stored.flags |= LOG_F_ZSTD;
    stored.body = scratch, stored.body_len = packed;
  }
  log_rec_put(&stored, n->bytes);
  n->rec = *rec;
  n->rec.meta = n->bytes + LOG_RECORD_HEADER;
  n->rec.body = n->rec.meta + rec->meta_len;
  if (packed) {
    memcpy(scratch, rec->body, rec->body_len);
    n->rec.body = scratch;
  }
  l->unsynced += n->size;
  l->appended += n->size;
  l->last_type = rec->type;
  if (HDW_BROKEN("ack.early") && cb) { /* told before it is durable */
    cb(HDW_OK, &n->rec, user);
    n->cb = NULL;
  }
  enqueue(l, n);
  return HDW_OK;
}

hdw_status log_barrier(hlog *l, log_cb cb, void *user) {
  if (l->failed) return HDW_E_IO;
  log_node *n = node_new(l, 0, cb, user);
  if (!n) return HDW_E_NOMEM;
  enqueue(l, n);
  return HDW_OK;
}

void log_get_stats(const hlog *l, log_stats *out) {
  *out = (log_stats){.last_seq = l->next_seq - 1,
                     .synced_seq = l->synced_seq,
                     .synced_end = l->synced_end,
                     .unsynced_bytes = l->unsynced,
                     .appended_bytes = l->appended,
                     .batches = __atomic_load_n(&l->batches, __ATOMIC_RELAXED),
                     .syncs = __atomic_load_n(&l->syncs, __ATOMIC_RELAXED),
                     .sync_us_last = __atomic_load_n(&l->sync_us_last, __ATOMIC_RELAXED),
                     .sync_us_max = __atomic_load_n(&l->sync_us_max, __ATOMIC_RELAXED),
                     .failed = l->failed};
}

bool log_intake(hlog *l) {
  int64_t now = io_mono_us(l->x);
  if (!l->space_checked_us || now - l->space_checked_us >= 1000000) {
    io_space_info sp;
    l->space_checked_us = now ? now : 1;
    if (io_space(l->x, l->opts.dir, &sp) == HDW_OK) l->low = sp.free_bytes < l->opts.low_water_bytes;
  }
  return !l->failed && !l->low && l->unsynced <= l->opts.max_unsynced_bytes / 2;
}

/* ---- opening ---- */

/* The folder, made if it is missing. An earlier process may have ended because a directory could not be synced (after it made this folder, or renamed a
 * segment in it): what it left is used from now on, so it has to be on the disk first. */
static hdw_status make_dir(io *x, const char *dir) {
  io_stat_info info;
  hdw_status s = io_stat(x, dir, &info);
  if (!s && !info.is_dir) return HDW_E_DENIED;
  if (s == HDW_E_NOTFOUND) s = io_mkdir(x, dir);
  char up[LOG_PATH];
  const char *slash = strrchr(dir, '/');
  size_t n = slash ? (size_t)(slash - dir) : 0;
  if (!s && n) { /* shorter than opts.dir, which has room in LOG_PATH */
    memcpy(up, dir, n);
    up[n] = 0;
    s = io_sync_dir(x, up);
  }
  return s ? s : io_sync_dir(x, dir);
}

/* A segment at the end, without records: the first of an empty log (prev is zeros), or one behind a closed segment. */
static hdw_status open_new(hlog *l, uint64_t first_seq, const uint8_t prev[LOG_DIGEST]) {
  log_head h = {.first_seq = first_seq, .size_bytes = l->opts.segment_bytes, .created_us = io_wall_us(l->x)};
  if (h.created_us < l->last_time_us) h.created_us = l->last_time_us;
  io_random(l->x, h.salt, sizeof h.salt);
  memcpy(h.prev, prev, sizeof h.prev);
  hdw_status s = segment_create(l, &h);
  l->next_seq = l->seg = first_seq, l->seg_bytes = h.size_bytes, l->off = LOG_HEADER;
  return s;
}

/* A last segment without a readable header. It was written before any record in it could be told of: so an otherwise empty file is left over from a
 * crash during a roll and may go. */
static hdw_status headless(hlog *l, const char *path, uint64_t first, bool *removed) {
  uint8_t b[65536];
  int fd;
  *removed = false;
  if (l->opts.synced_seq >= first) return HDW_E_CORRUPT;
  hdw_status s = io_open(l->x, path, IO_O_READ, &fd);
  if (s) return s;
  size_t got = 0;
  bool zero = true;
  for (uint64_t off = LOG_HEADER; zero; off += got) {
    s = io_pread(l->x, fd, b, sizeof b, off, &got);
    if (s || !got) break;
    for (size_t i = 0; i < got; i++) zero = zero && b[i] == 0;
  }
  io_fclose(l->x, fd);
  if (s) return s;
  if (!zero) return HDW_E_CORRUPT;
  s = io_unlink(l->x, path);
  if (!s) s = io_sync_dir(l->x, l->opts.dir);
  *removed = !s;
  return s;
}

/* Cuts what lies behind the last good record and makes everything before it durable. */
static hdw_status cut_tail(hlog *l, const log_scan *sc, bool dirty) {
  hdw_status s = HDW_OK;
  if (dirty) {
    HDW_POINT("log.before_cut");
    s = io_truncate(l->x, l->fd, sc->off);
    if (!s) s = io_sync(l->x, l->fd);
  }
  if (!s) s = io_alloc(l->x, l->fd, l->seg_bytes);
  if (!s) s = io_sync(l->x, l->fd);
  return s;
}

/* A last segment that retention rewrote: it was closed, and those behind it are not here (a standby that takes over before they came). It stays as it is. */
static hdw_status open_behind(hlog *l, log_scan *sc) {
  if (l->opts.synced_seq >= sc->next_seq) return HDW_E_CORRUPT;
  if (sc->comp.info.last_us > l->last_time_us) l->last_time_us = sc->comp.info.last_us;
  return open_new(l, sc->next_seq, sc->comp.digest);
}

static hdw_status open_last(hlog *l, uint64_t first, log_open_info *info, bool *removed) {
  char path[LOG_PATH];
  log_scan sc;
  log_rec rec;
  *removed = false;
  hdw_status s = log_seg_path(l->opts.dir, first, path);
  if (s) return s;
  s = log_scan_open(&sc, l->x, path, first, LOG_RECORD_MAX, true);
  info->bad = (log_pos){first, 0};
  if (s == HDW_E_CORRUPT) return headless(l, path, first, removed);
  if (s) return s;
  l->last_time_us = sc.head.created_us;
  while ((s = log_scan_next(&sc, &rec)) == HDW_OK) l->last_time_us = rec.time_us;
  bool dirty = false, later = false;
  uint64_t dirty_end = 0;
  info->bad.off = (uint32_t)sc.off;
  if (sc.head.compacted) {
    if (s == HDW_E_NOTFOUND) s = open_behind(l, &sc);
    if (!s) info->bad = (log_pos){0, 0};
    log_scan_close(&sc);
    return s;
  }
  if (s == HDW_E_NOTFOUND || s == HDW_E_CORRUPT) s = log_scan_tail(&sc, &dirty, &later, &dirty_end);
  if (!s && (later || l->opts.synced_seq >= sc.next_seq)) s = HDW_E_CORRUPT;
  if (!s) s = io_open(l->x, path, IO_O_READ | IO_O_WRITE, &l->fd);
  if (!s) {
    info->torn_bytes = dirty_end - sc.off;
    l->next_seq = sc.next_seq, l->last_type = sc.last_type;
    l->seg = l->w_seg = first;
    l->off = l->w_off = sc.off;
    l->seg_bytes = l->w_bytes = sc.head.size_bytes > sc.off ? sc.head.size_bytes : sc.off;
    memcpy(l->w_salt, sc.head.salt, sizeof l->w_salt);
    if (!EVP_MD_CTX_copy_ex(l->chain, sc.chain)) s = HDW_E_NOMEM;
    if (!s) s = cut_tail(l, &sc, dirty);
    info->bad = (log_pos){0, 0};
  }
  log_scan_close(&sc);
  return s;
}

static hdw_status open_segments(hlog *l, log_open_info *info) {
  log_list list;
  hdw_status s = log_list_get(l->x, l->opts.dir, &list);
  if (s) return s;
  bool removed = true;
  while (list.n && removed) {
    s = open_last(l, list.seq[list.n - 1], info, &removed);
    if (s) break;
    if (removed) list.n--;
  }
  if (!s && !list.n) {
    /* With a state that knows of records, an empty log is a lost one. */
    static const uint8_t none[LOG_DIGEST];
    s = l->opts.synced_seq ? HDW_E_CORRUPT : open_new(l, 1, none);
  }
  info->segments = list.n + (!s && (!list.n || l->seg != list.seq[list.n - 1])); /* with the one begun here */
  log_list_free(l->x, &list);
  return s;
}

static void log_free(hlog *l) {
  io *x = l->x;
  for (unsigned i = 0; i < sizeof l->files / sizeof l->files[0]; i++)
    if (l->files[i].seg) io_fclose(x, l->files[i].fd);
  if (l->fd >= 0) io_fclose(x, l->fd);
  if (l->lock_fd >= 0) io_fclose(x, l->lock_fd);
  EVP_MD_CTX_free(l->chain);
  x->mem->put(x->mem, l, sizeof *l);
}

hdw_status log_open(io *x, const log_opts *opts, log_open_info *info, hlog **out) {
  *out = NULL;
  memset(info, 0, sizeof *info);
  hlog *l = (hlog *)x->mem->get(x->mem, sizeof *l);
  if (!l) return HDW_E_NOMEM;
  memset(l, 0, sizeof *l);
  l->x = x, l->fd = l->lock_fd = -1, l->opts = *opts;
  log_opts *o = &l->opts;
  if (!o->segment_bytes) o->segment_bytes = 64u << 20;
  if (!o->max_record_bytes) o->max_record_bytes = 32u << 20;
  if (!o->max_unsynced_bytes) o->max_unsynced_bytes = 64u << 20;
  if (!o->low_water_bytes) o->low_water_bytes = 256u << 20;
  if (!o->fatal_grace_us) o->fatal_grace_us = 200000;
  hdw_status s = strlen(opts->dir) < sizeof l->path_dir && o->segment_bytes <= INT32_MAX && o->max_record_bytes <= LOG_RECORD_MAX ? HDW_OK : HDW_E_INVALID;
  if (!s) {
    memcpy(l->path_dir, opts->dir, strlen(opts->dir) + 1);
    o->dir = l->path_dir;
    s = log_join(o->dir, "spare.tmp", l->path_spare);
  }
  l->chain = EVP_MD_CTX_new();
  if (!s && !l->chain) s = HDW_E_NOMEM;
  if (!s) s = make_dir(x, o->dir);
  char lock[LOG_PATH];
  if (!s) s = log_join(o->dir, "lock", lock);
  if (!s) s = io_open(x, lock, IO_O_WRITE | IO_O_CREATE | IO_O_LOCK, &l->lock_fd);
  if (!s) {
    hdw_status u = io_unlink(x, l->path_spare); /* of an earlier process: its state is unknown */
    if (u && u != HDW_E_NOTFOUND) s = u;
  }
  if (!s) s = open_segments(l, info);
  info->clean = l->last_type == LOG_T_CLOSE || l->next_seq <= 1, info->last_us = l->last_time_us;
  if (!s && o->fresh_segment) log_roll(l);
  if (!s) s = io_worker_start(x, step, l, &l->worker);
  if (s) {
    log_free(l);
    return s;
  }
  l->synced_seq = info->last_seq = l->next_seq - 1;
  l->synced_end = (log_pos){l->seg, (uint32_t)l->off};
  *out = l;
  return HDW_OK;
}

void log_close(hlog *l) {
  if (!l) return;
  if (!l->failed && l->last_type != LOG_T_CLOSE) {
    log_rec end = {.type = LOG_T_CLOSE, .version = 1};
    log_append(l, &end, NULL, NULL); /* a failure only leaves the end unprotected */
  }
  io_unpost(l->x, &l->kick_task);
  if (l->fresh) {
    (void)push_list(&l->queue, l->fresh, l->fresh_first);
    l->fresh = NULL;
  }
  if (l->worker) io_worker_stop(l->worker);
  io_unpost(l->x, &l->done_task);
  while (__atomic_load_n(&l->done, __ATOMIC_ACQUIRE)) done_all(l);
  io_timer_cancel(l->x, &l->fatal);
  if (l->spare) io_unlink(l->x, l->path_spare);
  log_free(l);
}

hdw_status log_open_read(io *x, const char *dir, hlog **out) {
  *out = NULL;
  hlog *l = (hlog *)x->mem->get(x->mem, sizeof *l);
  if (!l) return HDW_E_NOMEM;
  memset(l, 0, sizeof *l);
  l->x = x, l->fd = l->lock_fd = -1, l->failed = true;
  l->opts.max_record_bytes = LOG_RECORD_MAX;
  hdw_status s = strlen(dir) < sizeof l->path_dir ? HDW_OK : HDW_E_INVALID;
  if (s) {
    log_free(l);
    return s;
  }
  memcpy(l->path_dir, dir, strlen(dir) + 1);
  l->opts.dir = l->path_dir;
  *out = l;
  return HDW_OK;
}

/* ---- reading one record, dropping old segments ---- */

static hdw_status read_file(hlog *l, uint64_t seg, struct log_open_file **out) {
  struct log_open_file *f = &l->files[0];
  for (unsigned i = 0; i < sizeof l->files / sizeof l->files[0]; i++) {
    if (l->files[i].seg == seg) {
      l->files[i].used = ++l->file_use;
      *out = &l->files[i];
      return HDW_OK;
    }
    if (l->files[i].used < f->used) f = &l->files[i];
  }
  char path[LOG_PATH];
  uint8_t head[LOG_HEADER];
  log_head h;
  size_t got = 0;
  int fd;
  hdw_status s = log_seg_path(l->opts.dir, seg, path);
  if (!s) s = io_open(l->x, path, IO_O_READ, &fd);
  if (s) return s == HDW_E_LIMIT ? HDW_E_IO : s; /* too many open files: it may be read the next time */
  log_compacted comp = {.info.as_of = 0};
  s = io_pread(l->x, fd, head, sizeof head, 0, &got);
  if (!s) s = got < sizeof head ? HDW_E_CORRUPT : log_head_get(head, &h);
  if (!s && h.first_seq != seg && !HDW_BROKEN("log.any_segment")) s = HDW_E_CORRUPT; /* another segment under this name: its records are whole, and others */
  if (!s && h.compacted) s = log_compacted_read(l->x, fd, &h, &comp);
  if (s) {
    io_fclose(l->x, fd);
    return s;
  }
  if (f->seg) io_fclose(l->x, f->fd);
  *f = (struct log_open_file){.seg = seg, .fd = fd, .used = ++l->file_use, .size_bytes = h.size_bytes, .comp = comp};
  memcpy(f->salt, h.salt, sizeof f->salt);
  *out = f;
  return HDW_OK;
}

/* The bytes of a record into a: never more than the segment has, whatever a damaged length says. */
static hdw_status read_bytes(hlog *l, const struct log_open_file *f, uint64_t off, uint32_t seed, arena *a, log_rec *out) {
  enum { FIRST_READ = 4096 };
  uint64_t end = f->comp.info.as_of ? f->comp.index_off : f->size_bytes;
  size_t need = FIRST_READ, got = 0, size = 0;
  for (;;) { /* a second time with its whole size; again only when the file changes meanwhile */
    uint8_t *p = (uint8_t *)arena_alloc(a, need);
    if (!p) return HDW_E_NOMEM;
    hdw_status s = io_pread(l->x, f->fd, p, need, off, &got);
    if (s) return s;
    s = log_rec_get(p, got, seed, LOG_RECORD_MAX, out, &size);
    if (s != HDW_E_AGAIN || size <= need) return s ? HDW_E_CORRUPT : HDW_OK;
    if (off + size > end || got < FIRST_READ) return HDW_E_CORRUPT;
    /* The file itself may end before what its header says. */
    uint8_t crc[4];
    s = io_pread(l->x, f->fd, crc, sizeof crc, off + size - sizeof crc, &got);
    if (s) return s;
    if (got < sizeof crc) return HDW_E_CORRUPT;
    need = size;
  }
}

hdw_status log_read(hlog *l, log_pos pos, arena *a, log_rec *out) {
  struct log_open_file *f;
  memset(out, 0, sizeof *out);
  out->pos = pos;
  if (pos.seg == 0 || pos.off < LOG_HEADER || pos.off % 8) return HDW_E_NOTFOUND;
  hdw_status s = read_file(l, pos.seg, &f);
  if (s) return s;
  uint64_t off = pos.off;
  if (f->comp.info.as_of) s = log_compacted_find(l->x, f->fd, &f->comp, pos.off, &off);
  if (!s) s = read_bytes(l, f, off, log_crc_seed(f->salt, pos.off), a, out);
  out->pos = pos;
  if (s) return s;
  if (out->flags & LOG_F_BARE) return HDW_E_NOTFOUND;
  if (out->flags & LOG_F_ZSTD) {
    mem *m = l->x->mem;
    uint8_t *raw = NULL;
    size_t cap = 0;
    s = log_unpack(m, out, &raw, &cap, l->opts.max_record_bytes);
    if (!s && !(out->body = (const uint8_t *)arena_dup(a, raw, out->body_len))) s = HDW_E_NOMEM;
    if (raw) m->put(m, raw, cap);
  }
  return s;
}

void log_roll(hlog *l) {
  if (l->off > LOG_HEADER) l->seg_bytes = l->off;
}

void log_forget(hlog *l, uint64_t seg) {
  for (unsigned k = 0; k < sizeof l->files / sizeof l->files[0]; k++)
    if (l->files[k].seg == seg) {
      io_fclose(l->x, l->files[k].fd);
      l->files[k] = (struct log_open_file){0};
    }
}

hdw_status log_drop_before(hlog *l, uint64_t seq, uint64_t *dropped) {
  log_list list;
  uint64_t n = 0;
  hdw_status s = log_list_get(l->x, l->opts.dir, &list);
  /* A segment's records end where the next one begins; the newest is never dropped. */
  for (size_t i = 0; !s && i + 1 < list.n && list.seq[i + 1] <= seq && list.seq[i + 1] <= l->synced_seq; i++) {
    char path[LOG_PATH];
    log_forget(l, list.seq[i]);
    (void)log_seg_path(l->opts.dir, list.seq[i], path); /* as long as the name of the segment that is open */
    s = io_unlink(l->x, path);
    if (!s) s = io_sync_dir(l->x, l->opts.dir); /* each by itself: after a power cut there is no hole between those that are left */
    if (!s) n++;
  }
  log_list_free(l->x, &list);
  if (dropped) *dropped = n;
  return s;
}
