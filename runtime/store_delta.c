#include "store_delta.h"
#include <stdlib.h>
#include <string.h>

/* Blocks are of one size, larger values have one of their own. */
enum { BLOCK = 64 << 10, KEPT = 32, LARGE = 16 << 10, KEY_MIN = 3, TABLE_AT = 2 };

typedef struct delta_block {
  struct delta_block *next;
  size_t size;
} delta_block;

void delta_init(delta *d, mem *m, uint64_t seed) {
  memset(d, 0, sizeof *d);
  d->mem = m;
  d->draw = seed | 1;
}

static void give_back(delta *d, delta_block *b) { d->mem->put(d->mem, b, b->size); }

void delta_clear(delta *d) {
  while (d->blocks) {
    delta_block *b = d->blocks;
    d->blocks = b->next;
    if (b->size == BLOCK && d->nspare < KEPT) {
      b->next = d->spare;
      d->spare = b;
      d->nspare++;
    } else give_back(d, b);
  }
  memset(d->lists, 0, sizeof d->lists);
  d->at = d->end = NULL;
  d->used_bytes = d->keys = d->nlater = 0;
}

void delta_free(delta *d) {
  delta_clear(d);
  while (d->spare) {
    delta_block *b = d->spare;
    d->spare = b->next;
    give_back(d, b);
  }
  d->nspare = 0;
  if (d->later) d->mem->put(d->mem, (void *)d->later, 2 * d->later_cap * sizeof *d->later);
  d->later = NULL;
  d->later_cap = 0;
}

static delta_block *new_block(delta *d, size_t size) {
  delta_block *b = size == BLOCK ? d->spare : NULL;
  if (b) d->spare = b->next, d->nspare--;
  else if (!(b = (delta_block *)d->mem->get(d->mem, size))) return NULL;
  b->size = size;
  b->next = d->blocks;
  d->blocks = b;
  d->used_bytes += size;
  return b;
}

static void *take(delta *d, size_t n) {
  n = (n + 7) & ~(size_t)7;
  if (n <= (size_t)(d->end - d->at)) {
    void *p = d->at;
    d->at += n;
    return p;
  }
  if (n > LARGE) {
    delta_block *b = new_block(d, sizeof *b + n);
    return b ? b + 1 : NULL;
  }
  delta_block *b = new_block(d, BLOCK);
  if (!b) return NULL;
  uint8_t *p = (uint8_t *)(b + 1);
  d->at = p + n;
  d->end = (uint8_t *)b + BLOCK;
  return p;
}

static int order(const delta_node *n, const void *key, size_t len) {
  int c = memcmp(delta_key(n), key, n->key_len < len ? n->key_len : len);
  return c ? c : n->key_len < len ? -1 : n->key_len > len;
}

static unsigned table_of(const void *key) { return ((const uint8_t *)key)[TABLE_AT] % DELTA_TABLES; }

/* The first node that is not before the key; before[] (may be NULL): the last one before it on each level, NULL = the head. */
static delta_node *search(const delta_list *l, const void *key, size_t len, delta_node **before) {
  const delta_node *const *next = (const delta_node *const *)l->head;
  const delta_node *at = NULL;
  if (l->tail[0] && order(l->tail[0], key, len) < 0) {
    if (before) memcpy(before, l->tail, sizeof l->tail);
    return NULL;
  }
  for (unsigned level = DELTA_HEIGHT; level-- > 0;) {
    while (next[level] && order(next[level], key, len) < 0) {
      at = next[level];
      next = (const delta_node *const *)at->next;
    }
    if (before) before[level] = (delta_node *)(uintptr_t)at;
  }
  return (delta_node *)(uintptr_t)next[0];
}

static uint8_t draw_height(delta *d) {
  d->draw ^= d->draw << 13, d->draw ^= d->draw >> 7, d->draw ^= d->draw << 17;
  uint8_t h = 1;
  for (uint64_t bits = d->draw; h < DELTA_HEIGHT && !(bits & 3); bits >>= 2) h++;
  return h;
}

static delta_node *node_for(delta *d, const void *key, size_t len) {
  delta_node *before[DELTA_HEIGHT];
  if (len < KEY_MIN || len > UINT16_MAX) return NULL;
  delta_list *l = &d->lists[table_of(key)];
  delta_node *n = search(l, key, len, before);
  if (n && n->key_len == len && !memcmp(delta_key(n), key, len)) return n;
  uint8_t h = draw_height(d);
  n = (delta_node *)take(d, sizeof *n + h * sizeof n->next[0] + len);
  if (!n) return NULL;
  *n = (delta_node){.prev = before[0], .key_len = (uint16_t)len, .height = h};
  for (unsigned i = 0; i < h; i++) {
    delta_node **from = before[i] ? &before[i]->next[i] : &l->head[i];
    n->next[i] = *from;
    *from = n;
    if (!n->next[i]) l->tail[i] = n;
  }
  memcpy(n->next + h, key, len);
  if (n->next[0]) n->next[0]->prev = n;
  d->keys++;
  return n;
}

uint8_t *delta_put(delta *d, const void *key, size_t key_len, size_t len) {
  delta_node *n = len > UINT32_MAX - 8 ? NULL : node_for(d, key, key_len);
  if (!n) return NULL;
  if (!n->value || n->value_cap < len) {
    uint8_t *p = (uint8_t *)take(d, len ? len : 1);
    if (!p) return NULL;
    n->value = p;
    n->value_cap = (uint32_t)len;
  }
  n->value_len = (uint32_t)len;
  return n->value;
}

static bool room(delta *d) {
  if (d->nlater < d->later_cap) return true;
  size_t cap = d->later_cap ? 2 * d->later_cap : 1024;
  const delta_node **p = (const delta_node **)d->mem->get(d->mem, 2 * cap * sizeof *p);
  if (!p) return false;
  if (d->nlater) memcpy((void *)p, (const void *)d->later, d->nlater * sizeof *p);
  if (d->later) d->mem->put(d->mem, (void *)d->later, 2 * d->later_cap * sizeof *p);
  d->later = p;
  d->later_cap = cap;
  return true;
}

bool delta_later(delta *d, const void *key, size_t key_len) {
  if (key_len < KEY_MIN || key_len > UINT16_MAX || !room(d)) return false;
  delta_node *n = (delta_node *)take(d, sizeof *n + key_len);
  if (!n) return false;
  *n = (delta_node){.value = (uint8_t *)n, .key_len = (uint16_t)key_len};
  memcpy(n->next, key, key_len);
  d->later[d->nlater++] = n;
  d->keys++;
  return true;
}

bool delta_link(delta *d, delta *from) {
  for (size_t i = 0; i < from->nlater; i++)
    if (!delta_put(d, delta_key(from->later[i]), from->later[i]->key_len, 0)) return false;
  if (d == from) d->nlater = 0;
  return true;
}

static int by_key(const void *a, const void *b) {
  const delta_node *x = *(const delta_node *const *)a, *y = *(const delta_node *const *)b;
  return order(x, delta_key(y), y->key_len);
}

const delta_node **delta_sorted(delta *d, size_t *n) {
  const delta_node **p = d->later ? d->later + d->later_cap : NULL;
  *n = d->nlater;
  if (*n) memcpy((void *)p, (const void *)d->later, *n * sizeof *p);
  if (*n) qsort((void *)p, *n, sizeof *p, by_key);
  return p;
}

bool delta_del(delta *d, const void *key, size_t key_len) {
  delta_node *n = node_for(d, key, key_len);
  if (!n) return false;
  n->value = NULL;
  n->value_len = n->value_cap = 0;
  return true;
}

const delta_node *delta_get(const delta *d, const void *key, size_t key_len) {
  const delta_node *n = delta_from(d, key, key_len);
  return n && n->key_len == key_len && !memcmp(delta_key(n), key, key_len) ? n : NULL;
}

const delta_node *delta_from(const delta *d, const void *key, size_t key_len) {
  return key_len < KEY_MIN ? NULL : search(&d->lists[table_of(key)], key, key_len, NULL);
}

const delta_node *delta_to(const delta *d, const void *key, size_t key_len) {
  if (key_len < KEY_MIN) return NULL;
  const delta_list *l = &d->lists[table_of(key)];
  const delta_node *n = search(l, key, key_len, NULL);
  if (n && !order(n, key, key_len)) return n;
  return n ? n->prev : l->tail[0];
}
