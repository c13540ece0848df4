/* net_pool.c - the connections of a listener; see net.h. */
#include <string.h>
#include "net.h"

enum { NONE = UINT32_MAX };

hdw_status net_pool_init(net_pool *p, mem *m, uint32_t cap, unsigned max_per_peer, const net_cidr *allow, unsigned n_allow) {
  *p = (net_pool){.m = m, .cap = cap, .free_head = NONE, .max_per_peer = max_per_peer, .allow = allow, .n_allow = n_allow};
  p->slots = m->get(m, cap * sizeof *p->slots);
  return p->slots ? HDW_OK : HDW_E_NOMEM;
}

void net_pool_free(net_pool *p) {
  if (p->slots) p->m->put(p->m, p->slots, p->cap * sizeof *p->slots);
  p->slots = NULL;
  p->used = p->cap = 0;
}

bool net_pool_admits(const net_pool *p, const io_addr *a) {
  unsigned same = 0;
  bool listed = !p->n_allow;
  for (unsigned i = 0; !listed && i < p->n_allow; i++) listed = net_cidr_has(&p->allow[i], a);
  if (!listed || (p->used == p->cap && p->free_head == NONE)) return false;
  for (uint32_t i = 0; p->max_per_peer && i < p->used; i++)
    same += p->slots[i].owner && p->slots[i].family == a->family && !memcmp(p->slots[i].ip, a->ip, sizeof a->ip);
  return !p->max_per_peer || same < p->max_per_peer;
}

uint32_t net_pool_add(net_pool *p, void *owner, const io_addr *a) {
  uint32_t slot = p->free_head;
  if (slot != NONE) p->free_head = p->slots[slot].free_next;
  else {
    slot = p->used++;
    p->slots[slot].generation = 1;
  }
  net_slot *s = &p->slots[slot];
  s->owner = owner;
  s->family = a->family;
  memcpy(s->ip, a->ip, sizeof s->ip);
  return slot;
}

void net_pool_remove(net_pool *p, uint32_t slot) {
  net_slot *s = &p->slots[slot];
  s->owner = NULL;
  s->generation++;
  s->free_next = p->free_head;
  p->free_head = slot;
}
