/* arena.h - memory of a run: bump allocation in chunks, freed all at once or back to a mark.
 *
 * There is no garbage collector and there are no reference counts: a run (or a compilation) owns one arena, values live
 * until the arena is reset or released to a mark taken earlier. Chunks come from a `mem`, the only way in which
 * code above the I/O seam gets memory; it carries the limit. A failed allocation gives NULL and leaves the arena usable. */
#ifndef HDW_ARENA_H
#define HDW_ARENA_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In builds with AddressSanitizer released and never-allocated arena memory is poisoned, so use after release is caught. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HDW_ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HDW_ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#define arena_poison(p, n) __asan_poison_memory_region((p), (n))
#define arena_unpoison(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define arena_poison(p, n) ((void)(p), (void)(n))
#define arena_unpoison(p, n) ((void)(p), (void)(n))
#endif

/* Source of chunks. get() returns NULL when out of memory or over a limit; put() takes back exactly what get() gave. */
typedef struct mem {
  void *(*get)(struct mem *m, size_t len_bytes);
  void (*put)(struct mem *m, void *p, size_t len_bytes);
  void *user;
} mem;

typedef struct arena_chunk arena_chunk;

typedef struct arena {
  mem *mem;
  uint8_t *cur, *end;      /* free part of the newest chunk */
  arena_chunk *chunk;      /* newest chunk, linked to older ones */
  size_t used_bytes;       /* sum of chunk sizes taken from mem */
  size_t limit_bytes;      /* 0 = no limit of its own */
  size_t chunk_bytes;      /* size of the next ordinary chunk */
  bool over_limit;         /* what failed last was refused because of limit_bytes: the mem may have had it */
  bool failed;             /* an allocation failed since somebody set this to false */
} arena;

typedef struct arena_mark {
  arena_chunk *chunk;
  uint8_t *cur;
} arena_mark;

/* limit_bytes 0 = only the mem's limit. No memory is taken before the first allocation. */
void arena_init(arena *a, mem *m, size_t limit_bytes);
/* Frees every chunk. The arena can be used again. */
void arena_free(arena *a);
/* Like arena_free but keeps one chunk for reuse. */
void arena_reset(arena *a);
/* Out-of-line part of arena_alloc. */
void *arena_alloc_slow(arena *a, size_t len_bytes);
/* n*size with overflow check, zeroed. NULL on failure. */
void *arena_zalloc(arena *a, size_t n, size_t size_bytes);
/* Copies len bytes and appends a NUL that is not counted. NULL on failure. */
char *arena_dup(arena *a, const void *p, size_t len_bytes);
/* Grows a block: extends in place when it is the newest allocation, else copies. NULL on failure (old block intact). */
void *arena_grow(arena *a, void *old, size_t old_bytes, size_t new_bytes);

/* 16-byte aligned block, not zeroed; NULL on failure. len 0 gives a non-NULL pointer. */
static inline void *arena_alloc(arena *a, size_t len_bytes) {
  if (len_bytes <= SIZE_MAX - 15) {
    size_t n = (len_bytes + 15) & ~(size_t)15;
    if (n && n <= (size_t)(a->end - a->cur)) {
      void *p = a->cur;
      a->cur += n;
      arena_unpoison(p, len_bytes);
      return p;
    }
  }
  return arena_alloc_slow(a, len_bytes);
}

/* Regions: everything allocated after the mark is freed by arena_release. Marks nest like brackets. */
static inline arena_mark arena_here(const arena *a) { return (arena_mark){a->chunk, a->cur}; }
void arena_release(arena *a, arena_mark m);
/* True when p lies in memory that arena_release(a, m) would free. */
bool arena_newer(const arena *a, arena_mark m, const void *p);

/* Growable byte buffer in an arena with a stated bound. After an error (status set) further calls do nothing. */
typedef struct buf {
  arena *a;
  char *p;
  size_t len, cap, max;
  int status;              /* hdw_status: HDW_OK, HDW_E_NOMEM or HDW_E_LIMIT */
} buf;
void buf_init(buf *b, arena *a, size_t max_bytes);
int buf_reserve(buf *b, size_t more_bytes);
void buf_put(buf *b, const void *p, size_t len_bytes);
void buf_putc(buf *b, char c);
void buf_puts(buf *b, const char *s);
void buf_putf(buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
