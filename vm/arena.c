#include "arena.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "status.h"

/* A chunk, as taken from the mem:
 *
 *   +--------------------+----------------------------------+
 *   | arena_chunk        | payload (poisoned where free)    |
 *   +--------------------+----------------------------------+
 *
 * `older` links to the chunk before. Blocks that would waste much of an ordinary chunk live in a chunk of their own; such
 * a chunk hangs in the `big` list of the ordinary chunk that was newest then, with the position of `cur` at that time,
 * so that a mark tells exactly which of them are newer. The position is made unique by consuming 16 bytes for each. */
struct arena_chunk {
  arena_chunk *older;
  arena_chunk *big;     /* of an ordinary chunk: newest big chunk; of a big chunk: the next older one */
  arena_chunk *spare;   /* of the newest ordinary chunk only: one released chunk kept for reuse */
  size_t size_bytes;    /* as given to put() */
  uint8_t *at;          /* of a big chunk: the owner's cur when it was made */
  size_t pad;
};
_Static_assert(sizeof(struct arena_chunk) % 16 == 0, "payload is 16-byte aligned");

enum { HEAD = sizeof(struct arena_chunk), TICK = 16 };
#ifdef HDW_STRESS
enum { CHUNK_FIRST = HEAD + 64, CHUNK_LAST = HEAD + 64 };
#else
enum { CHUNK_FIRST = 4096, CHUNK_LAST = 256 * 1024 };
#endif

static uint8_t *payload(arena_chunk *c) { return (uint8_t *)c + HEAD; }
static uint8_t *chunk_end(arena_chunk *c) { return (uint8_t *)c + c->size_bytes; }

static arena_chunk *chunk_get(arena *a, size_t size_bytes) {
  bool over = a->limit_bytes && (size_bytes > a->limit_bytes || a->used_bytes > a->limit_bytes - size_bytes);
  arena_chunk *c = over ? NULL : (arena_chunk *)a->mem->get(a->mem, size_bytes);
  if (!c) {
    a->over_limit = over;
    return NULL;
  }
  memset(c, 0, sizeof *c);
  c->size_bytes = size_bytes;
  a->used_bytes += size_bytes;
  arena_poison(payload(c), size_bytes - HEAD);
  return c;
}

static void chunk_put(arena *a, arena_chunk *c) {
  if (!c) return;
  a->used_bytes -= c->size_bytes;
  arena_unpoison(payload(c), c->size_bytes - HEAD);
  a->mem->put(a->mem, c, c->size_bytes);
}

/* Frees the big chunks of c that were made at or after position cur. */
static void put_big(arena *a, arena_chunk *c, const uint8_t *cur) {
  while (c->big && c->big->at >= cur) {
    arena_chunk *b = c->big;
    c->big = b->big;
    chunk_put(a, b);
  }
}

static void use_chunk(arena *a, arena_chunk *c, uint8_t *cur) {
  a->chunk = c;
  a->cur = cur;
  a->end = chunk_end(c);
}

void arena_init(arena *a, mem *m, size_t limit_bytes) {
  *a = (arena){.mem = m, .limit_bytes = limit_bytes, .chunk_bytes = CHUNK_FIRST};
}

void arena_free(arena *a) {
  while (a->chunk) {
    arena_chunk *c = a->chunk;
    put_big(a, c, payload(c));
    chunk_put(a, c->spare);
    a->chunk = c->older;
    chunk_put(a, c);
  }
  arena_init(a, a->mem, a->limit_bytes);
}

/* Pops the newest ordinary chunk. Returns it with its big chunks and its spare freed. */
static arena_chunk *pop_chunk(arena *a) {
  arena_chunk *c = a->chunk;
  put_big(a, c, payload(c));
  chunk_put(a, c->spare);
  c->spare = NULL;
  a->chunk = c->older;
  return c;
}

void arena_reset(arena *a) {
  if (!a->chunk) return;
  arena_chunk *kept = pop_chunk(a); /* the newest is the largest */
  while (a->chunk) chunk_put(a, pop_chunk(a));
  kept->older = NULL;
  use_chunk(a, kept, payload(kept));
  arena_poison(a->cur, (size_t)(a->end - a->cur));
}

void arena_release(arena *a, arena_mark m) {
  arena_chunk *kept = NULL;
  if (!a->chunk) return;
  while (a->chunk != m.chunk && (m.chunk || a->chunk->older)) {
    chunk_put(a, kept);
    kept = pop_chunk(a);
  }
  arena_chunk *c = a->chunk;
  uint8_t *cur = m.chunk ? m.cur : payload(c);
  put_big(a, c, cur);
  if (kept) {
    if (c->spare) chunk_put(a, c->spare);
    c->spare = kept;
    arena_poison(payload(kept), kept->size_bytes - HEAD);
  }
  use_chunk(a, c, cur);
  arena_poison(cur, (size_t)(a->end - cur));
}

bool arena_newer(const arena *a, arena_mark m, const void *p) {
  const uint8_t *x = (const uint8_t *)p;
  for (arena_chunk *c = a->chunk; c; c = c->older) {
    bool marked = c == m.chunk;
    for (arena_chunk *b = c->big; b && (!marked || b->at >= m.cur); b = b->big)
      if (x >= payload(b) && x < chunk_end(b)) return true;
    if (x >= (marked ? m.cur : payload(c)) && x < chunk_end(c)) return true;
    if (marked) return false;
  }
  return false;
}

/* Makes a new ordinary chunk with room for need bytes the newest; false when there is no memory. */
static int push_chunk(arena *a, size_t need) {
  arena_chunk *old = a->chunk, *c = old ? old->spare : NULL;
  while (a->chunk_bytes < CHUNK_LAST && a->chunk_bytes < 4 * need) a->chunk_bytes *= 2;
  if (c && c->size_bytes - HEAD >= need) {
    old->spare = NULL;
  } else {
    size_t size = a->chunk_bytes < HEAD + need ? HEAD + need : a->chunk_bytes;
    if (c) {
      old->spare = NULL;
      chunk_put(a, c);
    }
    c = chunk_get(a, size);
    if (!c && size > HEAD + need) c = chunk_get(a, HEAD + need); /* near the limit: just what is asked for */
    if (!c) return 0;
    if (a->chunk_bytes < CHUNK_LAST) a->chunk_bytes *= 2;
  }
  c->older = old;
  c->big = NULL;
  use_chunk(a, c, payload(c));
  return 1;
}

static void *alloc_big(arena *a, size_t n) {
  if ((size_t)(a->end - a->cur) < TICK && !push_chunk(a, TICK)) return NULL;
  arena_chunk *b = chunk_get(a, HEAD + n);
  if (!b && a->chunk->spare) {
    chunk_put(a, a->chunk->spare);
    a->chunk->spare = NULL;
    b = chunk_get(a, HEAD + n);
  }
  if (!b) return NULL;
  b->at = a->cur;
  a->cur += TICK;
  b->big = a->chunk->big;
  a->chunk->big = b;
  return payload(b);
}

void *arena_alloc_slow(arena *a, size_t len_bytes) {
  if (len_bytes > SIZE_MAX / 2) return NULL;
  size_t n = (len_bytes + 15) & ~(size_t)15;
  void *p = NULL;
  if (n == 0) n = 16;
  if (n > CHUNK_LAST / 4) p = alloc_big(a, n);
  else if (n <= (size_t)(a->end - a->cur) || push_chunk(a, n)) p = a->cur, a->cur += n;
  if (p) arena_unpoison(p, len_bytes);
  else a->failed = true;
  return p;
}

void *arena_zalloc(arena *a, size_t n, size_t size_bytes) {
  size_t total;
  if (__builtin_mul_overflow(n, size_bytes, &total)) return NULL;
  void *p = arena_alloc(a, total);
  if (p) memset(p, 0, total);
  return p;
}

char *arena_dup(arena *a, const void *p, size_t len_bytes) {
  if (len_bytes == SIZE_MAX) return NULL;
  char *s = (char *)arena_alloc(a, len_bytes + 1);
  if (!s) return NULL;
  if (len_bytes) memcpy(s, p, len_bytes);
  s[len_bytes] = 0;
  return s;
}

void *arena_grow(arena *a, void *old, size_t old_bytes, size_t new_bytes) {
  if (new_bytes > SIZE_MAX / 2 || old_bytes > new_bytes) return NULL;
  size_t had = (old_bytes + 15) & ~(size_t)15, want = (new_bytes + 15) & ~(size_t)15;
  if (old && had && (uint8_t *)old + had == a->cur && want - had <= (size_t)(a->end - a->cur)) {
    a->cur += want - had;
    arena_unpoison(old, new_bytes);
    return old;
  }
  void *p = arena_alloc(a, new_bytes);
  if (p && old_bytes) memcpy(p, old, old_bytes);
  return p;
}

void buf_init(buf *b, arena *a, size_t max_bytes) { *b = (buf){.a = a, .max = max_bytes}; }

int buf_reserve(buf *b, size_t more_bytes) {
  if (b->status) return b->status;
  if (more_bytes > b->max - b->len) return b->status = HDW_E_LIMIT;
  size_t need = b->len + more_bytes;
  if (need <= b->cap) return HDW_OK;
  size_t cap = b->cap ? b->cap : 64;
  while (cap < need) cap = cap > SIZE_MAX / 4 ? need : cap * 2;
  if (cap > b->max && b->max >= need) cap = b->max;
  bool failed = b->a->failed;
  char *p = (char *)arena_grow(b->a, b->p, b->cap, cap);
  if (!p && cap > need) {
    cap = need;
    p = (char *)arena_grow(b->a, b->p, b->cap, cap);
    if (p) b->a->failed = failed;
  }
  if (!p) return b->status = HDW_E_NOMEM;
  b->p = p;
  b->cap = cap;
  return HDW_OK;
}

void buf_put(buf *b, const void *p, size_t len_bytes) {
  if (len_bytes == 0 || buf_reserve(b, len_bytes)) return;
  memcpy(b->p + b->len, p, len_bytes);
  b->len += len_bytes;
}

void buf_putc(buf *b, char c) {
  if (b->len == b->cap && buf_reserve(b, 1)) return;
  if (b->status) return;
  b->p[b->len++] = c;
}

void buf_puts(buf *b, const char *s) { buf_put(b, s, strlen(s)); }

void buf_putf(buf *b, const char *fmt, ...) {
  char small[256];
  va_list ap;
  if (b->status) return;
  va_start(ap, fmt);
  int n = vsnprintf(small, sizeof small, fmt, ap);
  va_end(ap);
  if (n < 0) {
    b->status = HDW_E_INVALID;
    return;
  }
  if ((size_t)n < sizeof small) {
    buf_put(b, small, (size_t)n);
    return;
  }
  /* vsnprintf wants room for its NUL; it is overwritten by whatever comes next */
  if (buf_reserve(b, (size_t)n + 1)) return;
  va_start(ap, fmt);
  vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->len += (size_t)n;
}
