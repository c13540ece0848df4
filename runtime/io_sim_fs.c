#include "io_file.h"
#include "io_sim_int.h"
#include <string.h>

/* Files in memory. Each node keeps what is written and what is on disk (as of the last sync), so that a power cut can be played:
 * `dirty` has a bit for each 512-byte sector that differs. Names are durable when their folder was synced. */
enum { SECTOR = 512, MAX_PATH = 512 };

struct sim_node {
  sim_node *next;
  char path[MAX_PATH], disk_path[MAX_PATH]; /* "" = no such name (unlinked; not yet durable) */
  bool dir;
  bool replaced;            /* a rename took its name, and the folder was not synced since: the name is either here or there */
  unsigned refs;            /* open descriptors */
  uint8_t *data, *disk;     /* cap bytes each */
  uint8_t *dirty;
  size_t cap, len, disk_len;
  uint64_t inode;
  int64_t mtime_us;
};

static sim *of(io *b) { return (sim *)b; }
static size_t bitmap_bytes(size_t cap) { return cap / SECTOR / 8 + 1; }

static void drop_data(sim *x, sim_node *n) {
  sim_put(x, n->data, n->cap);
  sim_put(x, n->disk, n->cap);
  sim_put(x, n->dirty, bitmap_bytes(n->cap));
  n->data = n->disk = n->dirty = NULL;
  n->cap = n->len = n->disk_len = 0;
}

static void node_free(sim *x, sim_node *n) {
  for (sim_node **p = &x->fs.nodes; *p; p = &(*p)->next)
    if (*p == n) {
      *p = n->next;
      break;
    }
  drop_data(x, n);
  sim_put(x, n, sizeof *n);
}

/* A node without name, descriptor and durable name is gone. */
static void node_check(sim *x, sim_node *n) {
  if (!n->refs && !n->path[0] && !n->disk_path[0]) node_free(x, n);
}

void sim_fs_free(sim *x) {
  while (x->fs.nodes) node_free(x, x->fs.nodes);
  x->fs.nodes = x->fs.image, x->fs.image = NULL;
  while (x->fs.nodes) node_free(x, x->fs.nodes);
  sim_put(x, x->fs.fds, (size_t)x->fs.nfds * sizeof *x->fs.fds);
  x->fs.fds = NULL;
  x->fs.nfds = 0;
}

static sim_node *find(sim *x, const char *path) {
  for (sim_node *n = x->fs.nodes; n; n = n->next)
    if (n->path[0] && strcmp(n->path, path) == 0) return n;
  return NULL;
}

static size_t parent_len(const char *path) {
  const char *s = strrchr(path, '/');
  return s ? (size_t)(s - path) : 0;
}

static bool in_dir(const char *path, const char *dir) {
  size_t n = parent_len(path);
  return path[0] && strlen(dir) == n && memcmp(path, dir, n) == 0;
}

/* Folders that nobody made: the root and whatever has no '/'. */
static bool dir_exists(sim *x, const char *path) {
  size_t n = parent_len(path);
  char dir[MAX_PATH];
  if (n == 0) return true;
  memcpy(dir, path, n);
  dir[n] = 0;
  sim_node *d = find(x, dir);
  return d && d->dir;
}

static hdw_status node_new(sim *x, const char *path, bool dir, sim_node **out) {
  if (strlen(path) >= MAX_PATH) return HDW_E_INVALID;
  if (!dir_exists(x, path)) return HDW_E_NOTFOUND;
  sim_node *n = (sim_node *)sim_alloc(x, sizeof *n);
  if (!n) return HDW_E_NOMEM;
  memcpy(n->path, path, strlen(path) + 1);
  n->dir = dir;
  n->inode = ++x->fs.inodes;
  n->mtime_us = x->wall_us + x->now_us;
  n->next = x->fs.nodes;
  x->fs.nodes = n;
  *out = n;
  return HDW_OK;
}

static hdw_status reserve(sim *x, sim_node *n, size_t want) {
  if (want <= n->cap) return HDW_OK;
  size_t cap = n->cap ? n->cap : 4096;
  while (cap < want) cap *= 2;
  uint8_t *data = (uint8_t *)sim_alloc(x, cap), *disk = (uint8_t *)sim_alloc(x, cap), *dirty = (uint8_t *)sim_alloc(x, bitmap_bytes(cap));
  if (!data || !disk || !dirty) {
    sim_put(x, data, cap);
    sim_put(x, disk, cap);
    sim_put(x, dirty, bitmap_bytes(cap));
    return HDW_E_NOMEM;
  }
  if (n->cap) {
    memcpy(data, n->data, n->len);
    memcpy(disk, n->disk, n->disk_len);
    memcpy(dirty, n->dirty, bitmap_bytes(n->cap));
  }
  size_t len = n->len, disk_len = n->disk_len;
  drop_data(x, n);
  n->data = data, n->disk = disk, n->dirty = dirty, n->cap = cap, n->len = len, n->disk_len = disk_len;
  return HDW_OK;
}

static void mark(sim_node *n, size_t off, size_t len) {
  if (!len) return;
  for (size_t s = off / SECTOR; s <= (off + len - 1) / SECTOR; s++) n->dirty[s / 8] |= (uint8_t)(1 << s % 8);
}

static hdw_status put(sim *x, sim_node *n, size_t off, const void *p, size_t len) {
  if (!len) return HDW_OK;
  if (off + len > n->len && off + len - n->len > x->fs.free_bytes) return HDW_E_FULL;
  hdw_status s = reserve(x, n, off + len);
  if (s) return s;
  memcpy(n->data + off, p, len);
  mark(n, off, len);
  if (off + len > n->len) {
    x->fs.free_bytes -= off + len - n->len;
    n->len = off + len;
  }
  n->mtime_us = x->wall_us + x->now_us;
  return HDW_OK;
}

static struct sim_fd *fd_of(sim *x, int fd) { return fd >= 0 && fd < x->fs.nfds && x->fs.fds[fd].node ? &x->fs.fds[fd] : NULL; }

static hdw_status fd_new(sim *x, sim_node *n, unsigned flags, int *fd) {
  int i = 0;
  while (i < x->fs.nfds && x->fs.fds[i].node) i++;
  if (i == x->fs.nfds) {
    int cap = x->fs.nfds ? x->fs.nfds * 2 : 16;
    struct sim_fd *v = (struct sim_fd *)sim_alloc(x, (size_t)cap * sizeof *v);
    if (!v) return HDW_E_NOMEM;
    if (x->fs.nfds) memcpy(v, x->fs.fds, (size_t)x->fs.nfds * sizeof *v);
    sim_put(x, x->fs.fds, (size_t)x->fs.nfds * sizeof *v);
    x->fs.fds = v;
    x->fs.nfds = cap;
  }
  x->fs.fds[i] = (struct sim_fd){n, flags};
  n->refs++;
  *fd = i;
  return HDW_OK;
}

hdw_status sim_open(io *b, const char *path, unsigned flags, int *fd) {
  sim *x = of(b);
  *fd = -1;
  hdw_status s = sim_fail(x, IO_SIM_OPEN);
  if (s) return s;
  if (x->opts.root) return io_file_open(path, flags, fd);
  sim_node *n = find(x, path);
  if (n && n->dir) return HDW_E_DENIED;
  if (n && (flags & IO_O_EXCL)) return HDW_E_EXISTS;
  if (!n && !(flags & IO_O_CREATE)) return HDW_E_NOTFOUND;
  if (!n && (s = node_new(x, path, false, &n))) return s;
  if (flags & IO_O_LOCK)
    for (int i = 0; i < x->fs.nfds; i++)
      if (x->fs.fds[i].node == n && (x->fs.fds[i].flags & IO_O_LOCK)) return HDW_E_DENIED;
  if (flags & IO_O_TRUNC) {
    mark(n, 0, n->len);
    if (n->len) memset(n->data, 0, n->len);
    x->fs.free_bytes += n->len;
    n->len = 0;
  }
  return fd_new(x, n, flags, fd);
}

hdw_status sim_fclose(io *b, int fd) {
  sim *x = of(b);
  if (x->opts.root) return io_file_close(fd);
  struct sim_fd *f = fd_of(x, fd);
  if (!f) return HDW_E_INVALID;
  sim_node *n = f->node;
  f->node = NULL;
  n->refs--;
  node_check(x, n);
  return HDW_OK;
}

hdw_status sim_pread(io *b, int fd, void *p, size_t len, uint64_t off, size_t *got) {
  sim *x = of(b);
  *got = 0;
  hdw_status s = sim_fail(x, IO_SIM_PREAD);
  if (s) return s;
  if (x->opts.root) return io_file_pread(fd, p, len, off, got);
  struct sim_fd *f = fd_of(x, fd);
  if (!f) return HDW_E_INVALID;
  if (off >= f->node->len) return HDW_OK;
  *got = len < f->node->len - off ? len : (size_t)(f->node->len - off);
  memcpy(p, f->node->data + off, *got);
  return HDW_OK;
}

hdw_status sim_pwritev(io *b, int fd, const io_slice *v, unsigned n, uint64_t off) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_PWRITE);
  if (s) return s;
  if (x->opts.root) return io_file_pwritev(fd, v, n, off);
  struct sim_fd *f = fd_of(x, fd);
  if (!f || off > SIZE_MAX / 4) return HDW_E_INVALID;
  for (unsigned i = 0; i < n && !s; i++) {
    s = put(x, f->node, (size_t)off, v[i].p, v[i].len);
    off += v[i].len;
  }
  return s;
}

hdw_status sim_append(io *b, int fd, const void *p, size_t len) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_APPEND);
  if (s) return s;
  if (x->opts.root) return io_file_append(fd, p, len);
  struct sim_fd *f = fd_of(x, fd);
  return f ? put(x, f->node, f->node->len, p, len) : HDW_E_INVALID;
}

static void flush_sectors(sim_node *n) {
  for (size_t s = 0; s * SECTOR < n->cap; s++)
    if (n->dirty[s / 8] >> (s % 8) & 1) memcpy(n->disk + s * SECTOR, n->data + s * SECTOR, SECTOR);
  if (n->dirty) memset(n->dirty, 0, bitmap_bytes(n->cap));
  n->disk_len = n->len;
}

hdw_status sim_sync(io *b, int fd) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_SYNC);
  if (s) return s;
  if (x->opts.root) return x->opts.orderly ? HDW_OK : io_file_sync(fd);
  struct sim_fd *f = fd_of(x, fd);
  if (!f) return HDW_E_INVALID;
  flush_sectors(f->node);
  return HDW_OK;
}

hdw_status sim_falloc(io *b, int fd, uint64_t len) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_ALLOC);
  if (s) return s;
  if (x->opts.root) return io_file_alloc(fd, len);
  struct sim_fd *f = fd_of(x, fd);
  if (!f) return HDW_E_INVALID;
  if (len <= f->node->len) return HDW_OK;
  if (len - f->node->len > x->fs.free_bytes) return HDW_E_FULL;
  s = reserve(x, f->node, (size_t)len);
  if (s) return s;
  memset(f->node->data + f->node->len, 0, (size_t)len - f->node->len);
  mark(f->node, f->node->len, (size_t)len - f->node->len);
  x->fs.free_bytes -= len - f->node->len;
  f->node->len = (size_t)len;
  return HDW_OK;
}

hdw_status sim_truncate(io *b, int fd, uint64_t len) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_TRUNCATE);
  if (s) return s;
  if (x->opts.root) return io_file_truncate(fd, len);
  struct sim_fd *f = fd_of(x, fd);
  if (!f) return HDW_E_INVALID;
  sim_node *n = f->node;
  if (len > n->len) {
    s = reserve(x, n, (size_t)len);
    if (s) return s;
    memset(n->data + n->len, 0, (size_t)len - n->len);
    mark(n, n->len, (size_t)len - n->len);
  } else if (len < n->len) {
    memset(n->data + len, 0, n->len - (size_t)len);
    mark(n, (size_t)len, n->len - (size_t)len);
    x->fs.free_bytes += n->len - len;
  }
  n->len = (size_t)len;
  return HDW_OK;
}

hdw_status sim_stat(io *b, const char *path, io_stat_info *out) {
  sim *x = of(b);
  if (x->opts.root) return io_file_stat(path, out);
  memset(out, 0, sizeof *out);
  sim_node *n = find(x, path);
  if (!n) return HDW_E_NOTFOUND;
  *out = (io_stat_info){.size_bytes = n->len, .inode = n->inode, .mtime_us = n->mtime_us, .mode = n->dir ? 0700 : 0600, .is_dir = n->dir, .is_file = !n->dir};
  return HDW_OK;
}

hdw_status sim_rename(io *b, const char *from, const char *to) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_RENAME);
  if (s) return s;
  if (x->opts.root) return io_file_rename(from, to);
  sim_node *n = find(x, from), *old = find(x, to);
  if (!n || strlen(to) >= MAX_PATH || !dir_exists(x, to)) return HDW_E_NOTFOUND;
  if (old && old != n) {
    old->path[0] = 0;
    old->replaced = true;
    node_check(x, old);
  }
  memcpy(n->path, to, strlen(to) + 1);
  return HDW_OK;
}

hdw_status sim_unlink(io *b, const char *path) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_UNLINK);
  if (s) return s;
  if (x->opts.root) return io_file_unlink(path);
  sim_node *n = find(x, path);
  if (!n) return HDW_E_NOTFOUND;
  if (n->dir) return HDW_E_DENIED;
  n->path[0] = 0;
  x->fs.free_bytes += n->len;
  node_check(x, n);
  return HDW_OK;
}

hdw_status sim_mkdir(io *b, const char *path) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_MKDIR);
  if (s) return s;
  if (x->opts.root) return io_file_mkdir(path);
  sim_node *n;
  return find(x, path) ? HDW_E_EXISTS : node_new(x, path, true, &n);
}

hdw_status sim_list(io *b, const char *path, io_dir_cb cb, void *user) {
  sim *x = of(b);
  if (x->opts.root) return io_file_list(path, cb, user);
  sim_node *d = find(x, path);
  if (!d || !d->dir) return HDW_E_NOTFOUND;
  for (sim_node *n = x->fs.nodes, *next; n; n = next) {
    next = n->next;
    if (in_dir(n->path, path) && !cb(n->path + strlen(path) + 1, user)) break;
  }
  return HDW_OK;
}

hdw_status sim_sync_dir(io *b, const char *path) {
  sim *x = of(b);
  hdw_status s = sim_fail(x, IO_SIM_SYNC_DIR);
  if (s) return s;
  if (x->opts.root) return x->opts.orderly ? HDW_OK : io_file_sync_dir(path);
  for (sim_node *n = x->fs.nodes, *next; n; n = next) {
    next = n->next;
    if (in_dir(n->path, path) || in_dir(n->disk_path, path)) memcpy(n->disk_path, n->path, sizeof n->path), n->replaced = false;
    node_check(x, n);
  }
  return HDW_OK;
}

hdw_status sim_space(io *b, const char *path, io_space_info *out) {
  sim *x = of(b);
  if (x->opts.root && !x->fs.space_set) return io_file_space(path, out);
  *out = (io_space_info){x->fs.free_bytes, (uint64_t)1 << 41, false};
  return HDW_OK;
}

void io_sim_set_space(io *b, uint64_t free_bytes) { of(b)->fs.free_bytes = free_bytes, of(b)->fs.space_set = true; }

static void cut_node(sim *x, sim_node *n) {
  n->refs = 0;
  for (size_t s = 0; s * SECTOR < n->cap; s++)
    if ((n->dirty[s / 8] >> (s % 8) & 1) && (sim_draw(x) >> 40 & 1)) memcpy(n->disk + s * SECTOR, n->data + s * SECTOR, SECTOR);
  size_t len = sim_draw(x) >> 40 & 1 ? n->len : n->disk_len;
  if (n->cap) {
    memcpy(n->data, n->disk, n->cap);
    memset(n->data + len, 0, n->cap - len);
    memcpy(n->disk, n->data, n->cap);
    memset(n->dirty, 0, bitmap_bytes(n->cap));
  }
  n->len = n->disk_len = len;
  if (n->replaced) {
    n->replaced = false;
    const sim_node *now = find(x, n->disk_path);
    if (now && !strcmp(now->disk_path, now->path)) n->disk_path[0] = 0;
    else memcpy(n->path, n->disk_path, sizeof n->path);
  } else if (strcmp(n->path, n->disk_path) != 0) {
    if (sim_draw(x) >> 40 & 1) memcpy(n->disk_path, n->path, sizeof n->path);
    else memcpy(n->path, n->disk_path, sizeof n->path);
  }
}

static void cut_nodes(sim *x) {
  for (int replaced = 0; replaced < 2; replaced++)
    for (sim_node *n = x->fs.nodes; n; n = n->next)
      if (n->replaced == (replaced > 0)) cut_node(x, n);
  for (sim_node *n = x->fs.nodes, *next; n; n = next) {
    next = n->next;
    /* Two nodes that claim one name (a rename over it that was not synced): the newer wins. */
    sim_node *twin = n->path[0] ? find(x, n->path) : n;
    if (twin != n) n->path[0] = n->disk_path[0] = 0;
    node_check(x, n);
  }
}

void io_sim_power_cut(io *b) {
  sim *x = of(b);
  if (x->opts.root) return;
  for (int i = 0; i < x->fs.nfds; i++) x->fs.fds[i].node = NULL;
  cut_nodes(x);
}

void io_sim_look(io *b, const char *dir, io_sim_seen_fn seen, void *user) {
  sim *x = of(b);
  for (sim_node *n = x->fs.nodes, *next; n; n = next) {
    next = n->next;
    if (n->dir || !in_dir(n->path, dir) || !seen(n->path + strlen(dir) + 1, n->data, n->len, user)) continue;
    n->path[0] = n->disk_path[0] = 0;
    n->replaced = false;
    x->fs.free_bytes += n->len;
    node_check(x, n);
  }
}

/* ---- a process that dies ---- */

static void *sim_copy(sim *x, const void *p, size_t len) {
  void *c = x->base.mem->get(x->base.mem, len);
  if (c) memcpy(c, p, len);
  return c;
}

static sim_node *node_copy(sim *x, const sim_node *n) {
  sim_node *c = (sim_node *)sim_alloc(x, sizeof *c);
  if (!c) return NULL;
  *c = *n;
  c->data = c->disk = c->dirty = NULL;
  c->cap = c->len = c->disk_len = 0;
  c->refs = 0;
  if (!n->cap) return c;
  c->data = (uint8_t *)sim_copy(x, n->data, n->cap), c->disk = (uint8_t *)sim_copy(x, n->disk, n->cap);
  c->dirty = (uint8_t *)sim_copy(x, n->dirty, bitmap_bytes(n->cap));
  c->cap = n->cap;
  if (c->data && c->disk && c->dirty) {
    c->len = n->len, c->disk_len = n->disk_len;
    return c;
  }
  drop_data(x, c);
  sim_put(x, c, sizeof *c);
  return NULL;
}

/* Memory for it must be there: it is a test's. */
void sim_fs_image(sim *x, bool power) {
  sim_node *now = x->fs.nodes, **at = &x->fs.image;
  if (x->opts.root) return;
  for (const sim_node *n = now; n; n = n->next)
    if ((*at = node_copy(x, n))) at = &(*at)->next;
  *at = NULL;
  x->fs.nodes = x->fs.image;
  if (power) cut_nodes(x);
  else
    for (sim_node *n = x->fs.nodes, *next; n; n = next) {
      next = n->next;
      node_check(x, n);
    }
  x->fs.image = x->fs.nodes;
  x->fs.nodes = now;
}

void sim_fs_reboot(sim *x) {
  while (x->fs.nodes) node_free(x, x->fs.nodes);
  for (int i = 0; i < x->fs.nfds; i++) x->fs.fds[i].node = NULL;
  x->fs.nodes = x->fs.image;
  x->fs.image = NULL;
}
