/* admin_ship.c - the log for a standby (ship.h). */
#include <stdio.h>
#include "admin_int.h"
#include "log_int.h"
#include "ship.h"
#include "term.h"

static const char *log_dir(admin_query *q, char out[1024]) {
  snprintf(out, 1024, "%s/log", q->ad->e->o.dir);
  return out;
}

/* Finds the segment and the one behind it. */
static hdw_status find(admin_query *q, uint64_t seg, uint64_t synced_seg, ship_head *h) {
  char dir[1024];
  log_list list;
  hdw_status s = log_list_get(q->ad->io, log_dir(q, dir), &list);
  if (s) return s;
  s = HDW_E_NOTFOUND;
  for (size_t i = 0; i < list.n && s; i++) {
    if (seg && list.seq[i] != seg) continue;
    h->seg = list.seq[i];
    h->next = i + 1 < list.n && list.seq[i + 1] <= synced_seg ? list.seq[i + 1] : 0;
    s = HDW_OK;
  }
  log_list_free(q->ad->io, &list);
  return s;
}

int admin_log(admin_query *q) {
  char dir[1024], path[LOG_PATH];
  uint64_t seg = 0, off = 0, max = SHIP_MAX, theirs = 0;
  term_info t;
  uint8_t head[LOG_HEADER], out[SHIP_HEADER];
  io_stat_info st;
  log_stats ls;
  log_head lh;
  log_compacted comp = {.info.as_of = 0};
  ship_head h = {.seg = 0};
  size_t got = 0;
  int fd;
  int bad = admin_whole(q, "seg", 0, ADMIN_ANY, &seg);
  if (!bad) bad = admin_whole(q, "off", 0, ADMIN_ANY, &off);
  if (!bad) bad = admin_whole(q, "max", 0, ADMIN_ANY, &max);
  if (!bad) bad = admin_whole(q, "term", 0, ADMIN_ANY, &theirs);
  if (bad) return bad;
  if (term_get(q->ad->e->store, q->a, &t)) return admin_error(q, 503, "the term cannot be read");
  if (theirs > t.term) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)theirs);
    eng_say(q->ad->e, ENGINE_ERROR, "newer_term", "term", text, NULL);
    return admin_error(q, 410, "this log is of term %llu, and there is one of term %llu: this is the old primary", (unsigned long long)t.term, (unsigned long long)theirs);
  }
  h.term = t.term, h.passes = q->ad->e->st.retain_passes;
  log_get_stats(q->ad->e->log, &ls);
  hdw_status s = find(q, seg, ls.synced_end.seg, &h);
  if (!s) s = log_seg_path(log_dir(q, dir), h.seg, path);
  if (!s) s = io_open(q->ad->io, path, IO_O_READ, &fd);
  if (s) return admin_error(q, s == HDW_E_NOTFOUND ? 404 : 503, "the segment is not there: %s", hdw_status_text(s));
  s = io_stat(q->ad->io, path, &st);
  if (!s) s = io_pread(q->ad->io, fd, head, sizeof head, 0, &got);
  if (!s) s = got < sizeof head ? HDW_E_CORRUPT : log_head_get(head, &lh);
  if (!s && lh.compacted) s = log_compacted_read(q->ad->io, fd, &lh, &comp);
  if (s) {
    io_fclose(q->ad->io, fd);
    return admin_error(q, 503, "the segment cannot be read: %s", hdw_status_text(s));
  }
  memcpy(h.salt, lh.salt, 16);
  h.as_of = comp.info.as_of;
  h.off = off, h.synced = ls.synced_seq;
  h.end = h.seg == ls.synced_end.seg ? ls.synced_end.off : h.seg < ls.synced_end.seg ? st.size_bytes : 0;
  size_t n = off < h.end ? (size_t)(h.end - off < max ? h.end - off : max) : 0;
  if (n > SHIP_MAX) n = SHIP_MAX;
  uint8_t *p = n ? (uint8_t *)arena_alloc(q->a, n) : NULL;
  if (n && p) s = io_pread(q->ad->io, fd, p, n, off, &got);
  io_fclose(q->ad->io, fd);
  if (off > h.end && !h.as_of) return admin_error(q, 409, "the segment ends before that place");
  if ((n && !p) || s || (n && got < n)) return admin_error(q, 503, "the segment cannot be read");
  ship_put(&h, out);
  buf_put(q->b, out, sizeof out);
  if (n) buf_put(q->b, p, n);
  q->type = "application/octet-stream";
  return 200;
}

int admin_log_list(admin_query *q) {
  char dir[1024];
  log_list list;
  if (log_list_get(q->ad->io, log_dir(q, dir), &list)) return admin_error(q, 503, "the log cannot be listed");
  buf_puts(q->b, "[");
  for (size_t i = 0; i < list.n; i++) {
    log_compact_info info;
    if (log_compact_read(q->ad->io, dir, list.seq[i], &info)) info.as_of = 0;
    buf_putf(q->b, "%s{\"seg\":%llu,\"as_of\":%llu}", i ? "," : "", (unsigned long long)list.seq[i], (unsigned long long)info.as_of);
  }
  buf_puts(q->b, "]");
  log_list_free(q->ad->io, &list);
  return 200;
}

int admin_fence(admin_query *q) {
  uint64_t term = 0;
  term_info t;
  int bad = admin_whole(q, "term", 1, ADMIN_ANY, &term);
  if (bad) return bad;
  if (term_get(q->ad->e->store, q->a, &t)) return admin_error(q, 503, "the term cannot be read");
  if (term <= t.term) return admin_error(q, 409, "this log is of term %llu itself: only a newer term ends it", (unsigned long long)t.term);
  return admin_end_term(q, term);
}
