/* store_delta.h - what changed since a commit: keys in order, each with its new value or a mark that it went. In memory only.
 *
 * The loop puts changes into one of these while the thread of the store writes the one before into LMDB (store_commit.c): filled by one thread, then
 * only read, by both. A skip list for each table, so that keys that rise, as most do, are put behind the last one without a search. Keys of an index, which rarely
 * rise and are rarely looked for, may stay apart in no order until somebody does look (delta_later).
 *
 * A key begins with partition and table (store_int.h) and is at least 3 bytes long. */
#ifndef HDW_STORE_DELTA_H
#define HDW_STORE_DELTA_H
#include "arena.h"
#include "status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DELTA_TABLES = 64, DELTA_HEIGHT = 10 };

typedef struct delta_node {
  struct delta_node *prev;     /* NULL = the first of its table */
  uint8_t *value;              /* NULL = the key went */
  uint32_t value_len, value_cap;
  uint16_t key_len;
  uint8_t height;
  struct delta_node *next[];   /* height of them; the key's bytes stand behind them */
} delta_node;

typedef struct delta_list {
  delta_node *head[DELTA_HEIGHT], *tail[DELTA_HEIGHT]; /* of each level */
} delta_list;

struct delta_block;
typedef struct delta {
  mem *mem;                    /* of the thread that fills it */
  delta_list lists[DELTA_TABLES];
  struct delta_block *blocks, *spare;
  uint8_t *at, *end;
  const delta_node **later;    /* in no order, without values; room for as many again, which the thread sorts */
  size_t nlater, later_cap;
  uint64_t draw;               /* of heights */
  size_t used_bytes;           /* of blocks: what it costs */
  unsigned nspare;
  size_t keys;                 /* those in no order included */
} delta;

/* seed: heights are drawn from it. */
void delta_init(delta *d, mem *m, uint64_t seed);
/* Forgets all changes; some memory is kept for the next ones. */
void delta_clear(delta *d);
void delta_free(delta *d);
/* The key's new value is len bytes, which the caller fills in; NULL: no memory, or a key that is none. Pointers to its old value are stale. */
uint8_t *delta_put(delta *d, const void *key, size_t key_len, size_t len);
/* The key is there, with an empty value: it is not found before delta_link or in another delta that takes it over. False: no memory. */
bool delta_later(delta *d, const void *key, size_t key_len);
/* The keys of from that are in no order, put into d. from may be d: then it has none any more. False: no memory. */
bool delta_link(delta *d, delta *from);
/* On the thread: the same keys in order; *n of them. */
const delta_node **delta_sorted(delta *d, size_t *n);
/* The key is gone. False: no memory. */
bool delta_del(delta *d, const void *key, size_t key_len);
/* NULL: nothing is known of the key. */
const delta_node *delta_get(const delta *d, const void *key, size_t key_len);
/* The first key of its table that is not before this one; the last that is not behind it. NULL: none. */
const delta_node *delta_from(const delta *d, const void *key, size_t key_len);
const delta_node *delta_to(const delta *d, const void *key, size_t key_len);
/* The first of a table. */
static inline const delta_node *delta_first(const delta *d, unsigned table) { return d->lists[table].head[0]; }
static inline const uint8_t *delta_key(const delta_node *n) { return (const uint8_t *)(n->next + n->height); }
static inline bool delta_gone(const delta_node *n) { return !n->value; }

#endif
