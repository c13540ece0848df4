/* store_pages.c - whether the pages of state.mdb hang together, before anything is written through them.
 *
 * LMDB trusts its pages: copying or changing one whose lengths are not true, it writes behind its own buffers, and into the memory of whatever lies there. So before a process
 * may write, each page in use is looked at once: that its rows lie within it, which pages it names, and that no page is named twice (one in use that counts as free would be
 * written over). What rows say is guarded by their own checksums; their order is told by store_check. The leaves are read in the order of the file: some tenths of a second for
 * a gigabyte that the system has in memory.
 *
 * The layout is that of LMDB 0.9 (MDB_page, MDB_node, MDB_meta of mdb.c) where pointers have 64 bits, all in the machine's order:
 *   page    0 number (8), 10 flags (2), 12 end of the offsets (2), 14 begin of the rows (2), 16 offsets of rows (2 each); an overflow page has 12 number of pages (4)
 *   row     0 length of the value (4), 4 flags (2), 6 length of the key (2), key, value or number of the overflow page (8); of a branch: 0 page (6), 6 length of the key, key
 *   meta    40 tree of free pages (48), 88 tree of rows (48), 136 last page (8), 144 transaction (8); a tree: 6 depth (2), 40 root (8) */
#include "io_file.h"
#include "store_int.h"

enum { HEADER = 16, NODE = 8, DEPTH = 32, TREE = 48, TREES = 40, LAST = 136, TXN = 144, META = 152, BRANCH = 1, LEAF = 2, OVERFLOW = 4, BIG = 1, KEY_MAX = 511, AHEAD = 256 };

typedef struct pages {
  int fd;
  size_t psize;
  uint64_t last;
  uint8_t *named, *leaf;     /* one bit a page */
  uint8_t *page;             /* one of each depth, and one for lists of free pages; then AHEAD leaves */
  size_t named_bytes, page_bytes;
  bool free_tree;
} pages;

static uint16_t u16(const uint8_t *p) { cod_r r = cod_reader(p, 2); return cod_get_u16(&r); }
static uint32_t u32(const uint8_t *p) { cod_r r = cod_reader(p, 4); return cod_get_u32(&r); }
static uint64_t u64(const uint8_t *p) { cod_r r = cod_reader(p, 8); return cod_get_u64(&r); }

/* False: there is no such page, or somebody else has it. */
static bool name(pages *p, uint64_t first, uint64_t n) {
  if (first < 2 || first > p->last || n > p->last - first + 1) return false;
  for (uint64_t no = first; no < first + n; no++) {
    if (p->named[no / 8] >> (no % 8) & 1) return false;
    p->named[no / 8] |= (uint8_t)(1u << (no % 8));
  }
  return true;
}

static hdw_status read_at(const pages *p, uint64_t at, uint8_t *to, size_t len) {
  size_t got;
  hdw_status s = io_file_pread(p->fd, to, len, at, &got);
  return s ? s : got < len ? HDW_E_CORRUPT : HDW_OK;
}

/* How many there are, then their numbers, falling; in the file from `at`. */
static hdw_status free_list(pages *p, uint64_t at, uint64_t len) {
  uint8_t *part = p->page + DEPTH * p->psize;
  uint64_t left = 0, before = UINT64_MAX;
  for (uint64_t from = 0; from + 8 <= len; from += 8) {
    size_t in = (size_t)(from % p->psize);
    if (!in) {
      hdw_status s = read_at(p, at + from, part, len - from < p->psize ? (size_t)(len - from) : p->psize);
      if (s) return s;
    }
    uint64_t no = u64(part + in);
    if (!from) left = no;
    else if (no >= before || !name(p, no, 1)) return HDW_E_CORRUPT;
    else before = no, left--;
    if (!left) return HDW_OK;
  }
  return HDW_E_CORRUPT;
}

static hdw_status value(pages *p, uint64_t at, const uint8_t *node, size_t key_len) {
  uint8_t head[HEADER];
  uint64_t len = u32(node);
  if (!(u16(node + 4) & BIG)) return p->free_tree ? free_list(p, at + NODE + key_len, len) : HDW_OK;
  uint64_t big = u64(node + NODE + key_len);
  if (big > p->last) return HDW_E_CORRUPT;
  hdw_status s = read_at(p, big * p->psize, head, HEADER);
  if (s) return s;
  if (u64(head) != big || u16(head + 10) != OVERFLOW || HEADER + len > u32(head + 12) * (uint64_t)p->psize || !name(p, big, u32(head + 12))) return HDW_E_CORRUPT;
  return p->free_tree ? free_list(p, big * p->psize + HEADER, len) : HDW_OK;
}

/* The page as it was read; *n = its rows. */
static hdw_status look(pages *p, uint64_t no, const uint8_t *b, bool leaf, unsigned *n) {
  hdw_status s = HDW_OK;
  size_t lower = u16(b + 12), upper = u16(b + 14), sum = 0;
  *n = (unsigned)((lower - HEADER) / 2);
  if (u64(b) != no || u16(b + 10) != (leaf ? LEAF : BRANCH) || lower < HEADER + (leaf ? 2 : 4) || lower % 2 || lower > upper || upper > p->psize) return HDW_E_CORRUPT;
  for (unsigned i = 0; i < *n && !s; i++) {
    size_t at = u16(b + HEADER + 2 * (size_t)i);
    if (at < upper || at % 2 || at + NODE > p->psize) return HDW_E_CORRUPT;
    const uint8_t *node = b + at;
    size_t key = u16(node + 6), size = NODE + key;
    if (leaf) size += u16(node + 4) & BIG ? 8 : u32(node);
    if (key > KEY_MAX || size > p->psize - at || (leaf && (!key || u16(node + 4) > BIG || (p->free_tree && key != 8)))) return HDW_E_CORRUPT;
    sum += (size + 1) & ~(size_t)1;
    if (leaf) s = value(p, no * p->psize + at, node, key);
  }
  return s ? s : sum == p->psize - upper ? HDW_OK : HDW_E_CORRUPT; /* they lie side by side */
}

/* A page of the tree, into its depth's place. Leaves of the rows wait for their turn. */
static hdw_status enter(pages *p, uint64_t no, unsigned depth, bool leaf, unsigned *n) {
  uint8_t *b = p->page + depth * p->psize;
  *n = 0;
  if (!name(p, no, 1)) return HDW_E_CORRUPT;
  if (leaf && !p->free_tree) {
    p->leaf[no / 8] |= (uint8_t)(1u << (no % 8));
    return HDW_OK;
  }
  hdw_status s = read_at(p, no * p->psize, b, p->psize);
  return s ? s : look(p, no, b, leaf, n);
}

static bool is_leaf(const pages *p, uint64_t no) { return p->leaf[no / 8] >> (no % 8) & 1; }

static hdw_status leaves(pages *p) {
  uint8_t *b = p->page + (DEPTH + 1) * p->psize;
  hdw_status s = HDW_OK;
  for (uint64_t from = 0; from <= p->last && !s; from += AHEAD) {
    uint64_t first = from, end = from + AHEAD <= p->last ? from + AHEAD : p->last + 1;
    unsigned rows;
    while (first < end && !is_leaf(p, first)) first++;
    while (end > first && !is_leaf(p, end - 1)) end--;
    if (first < end) s = read_at(p, first * p->psize, b, (size_t)(end - first) * p->psize);
    for (uint64_t no = first; no < end && !s; no++)
      if (is_leaf(p, no)) s = look(p, no, b + (size_t)(no - first) * p->psize, true, &rows);
  }
  return s;
}

static hdw_status tree(pages *p, const uint8_t *db) {
  struct { unsigned at, n; } on[DEPTH];
  unsigned depth = u16(db + 6), d = 0;
  uint64_t root = u64(db + 40);
  if (depth > DEPTH || (root == UINT64_MAX) != !depth) return HDW_E_CORRUPT;
  if (!depth) return HDW_OK;
  on[0].at = 0;
  hdw_status s = enter(p, root, 0, depth == 1, &on[0].n);
  while (!s) {
    if (d + 1 == depth || on[d].at == on[d].n) { /* a leaf is through with its entering */
      if (!d--) break;
      continue;
    }
    const uint8_t *b = p->page + d * p->psize, *node = b + u16(b + HEADER + 2 * (size_t)on[d].at++);
    d++;
    on[d].at = 0;
    s = enter(p, (uint64_t)u16(node + 4) << 32 | u32(node), d, d + 1 == depth, &on[d].n);
  }
  return s;
}

hdw_status store_pages(mem *m, const char *path) {
  uint8_t metas[2][META];
  pages p = {.fd = -1};
  hdw_status s = io_file_open(path, IO_O_READ, &p.fd);
  if (s) return s;
  s = read_at(&p, 0, metas[0], META);
  p.psize = s ? 0 : u32(metas[0] + TREES); /* store_env_open has looked at it */
  if (!s) s = read_at(&p, p.psize, metas[1], META);
  if (s) goto out;
  const uint8_t *meta = metas[u64(metas[0] + TXN) < u64(metas[1] + TXN)];
  p.last = u64(meta + LAST);
  p.named_bytes = (size_t)(p.last / 8 + 1), p.page_bytes = (DEPTH + 1 + AHEAD) * p.psize;
  p.named = (uint8_t *)m->get(m, 2 * p.named_bytes), p.page = (uint8_t *)m->get(m, p.page_bytes);
  if (!p.named || !p.page) s = HDW_E_NOMEM;
  if (s) goto out;
  memset(p.named, 0, 2 * p.named_bytes);
  p.leaf = p.named + p.named_bytes;
  p.free_tree = true;
  s = tree(&p, meta + TREES);
  p.free_tree = false;
  if (!s && u16(meta + TREES + TREE + 4)) s = HDW_E_CORRUPT; /* flags: another kind of tree */
  if (!s) s = tree(&p, meta + TREES + TREE);
  if (!s) s = leaves(&p);
out:
  if (p.named) m->put(m, p.named, 2 * p.named_bytes);
  if (p.page) m->put(m, p.page, p.page_bytes);
  io_file_close(p.fd);
  return s;
}
