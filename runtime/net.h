/* net.h - one byte stream of the daemon: an accepted or opened socket, plain or under TLS, with what could not be written yet.
 *
 * Listener and client code embed a net_conn and see the same three things for both kinds: bytes to read, room again, the end. */
#ifndef HDW_NET_H
#define HDW_NET_H
#include "egress.h"
#include "io.h"
#include "tls.h"

typedef struct net_conn net_conn;
/* The owner may close the connection and free what it is embedded in from inside any of them. */
typedef struct net_events {
  void (*readable)(net_conn *c);          /* net_read will give something; comes again until it has said HDW_E_AGAIN */
  void (*drained)(net_conn *c);           /* all that was written is out; may be NULL */
  void (*gone)(net_conn *c, hdw_status why); /* connecting, writing or the handshake failed: close it. Not after an error told by net_read */
  void (*open)(net_conn *c);              /* connected and, under TLS, the handshake is done */
} net_events;

struct net_conn {
  io *io;
  io_sock *sock;           /* NULL when closed */
  tls_conn *tls;           /* NULL: plain */
  const net_events *on;
  void *user;
  uint8_t *out;            /* taken by net_write, not yet by the socket: out[out_at..out_len) */
  size_t out_at, out_len, out_cap, out_max;
  bool want_read, opened, ending, ended;
  unsigned want;           /* what the seam was last asked for */
  io_timer wake;           /* TLS holds bytes though the socket is silent */
};

/* Takes an accepted socket (closed on failure). A zeroed net_conn counts as closed. ctx NULL: plain, and open at once (on->open is not called). Reading starts with net_want_read. */
hdw_status net_accepted(net_conn *c, io *x, io_sock *s, tls_ctx *ctx, const net_events *on, void *user, size_t out_max_bytes);
/* Connects. host: the name for SNI and the certificate check under TLS. on->open or on->gone follows. */
hdw_status net_connect(net_conn *c, io *x, const io_addr *a, tls_ctx *ctx, const char *host, const net_events *on, void *user, size_t out_max_bytes);
/* Back-pressure: without want nothing is read, and the peer's window closes. */
void net_want_read(net_conn *c, bool want);
/* HDW_OK with *got > 0; HDW_E_AGAIN; HDW_E_CLOSED orderly end; HDW_E_IO everything else. cap > 0. */
hdw_status net_read(net_conn *c, void *p, size_t cap, size_t *got);
/* All of it or nothing: what the socket does not take at once is kept (copied). The slices go out in one write when the socket has room.
 * HDW_E_FULL: more than out_max_bytes would wait. HDW_E_CLOSED: the peer is gone. HDW_E_NOMEM. */
hdw_status net_write(net_conn *c, const io_slice *v, unsigned n);
static inline size_t net_waiting(const net_conn *c) { return c->out_len - c->out_at; }
/* Ends our direction after all that was written (TLS close_notify, FIN). */
void net_end(net_conn *c);
/* Closes at once; no callback comes after it. Again has no effect. */
void net_close(net_conn *c);

/* ---- the connections of a listener: who is let in, and handles that notice when a connection is gone ---------------- */

typedef struct net_slot {
  void *owner;             /* NULL: free */
  uint32_t generation, free_next;
  uint8_t family, ip[16];
} net_slot;
typedef struct net_pool {
  mem *m;
  net_slot *slots;
  uint32_t cap, used, free_head;
  unsigned max_per_peer;   /* 0 = no limit */
  const net_cidr *allow;   /* n_allow 0 = everybody */
  unsigned n_allow;
} net_pool;
hdw_status net_pool_init(net_pool *p, mem *m, uint32_t cap, unsigned max_per_peer, const net_cidr *allow, unsigned n_allow);
void net_pool_free(net_pool *p);
/* Room, on the list, and not too many from there. */
bool net_pool_admits(const net_pool *p, const io_addr *a);
/* The slot of a new connection; only after net_pool_admits. */
uint32_t net_pool_add(net_pool *p, void *owner, const io_addr *a);
void net_pool_remove(net_pool *p, uint32_t slot);
/* The owner, or NULL when the slot has been given to another since. */
static inline void *net_pool_get(const net_pool *p, uint32_t slot, uint32_t generation) {
  return slot < p->used && p->slots[slot].generation == generation ? p->slots[slot].owner : NULL;
}

#endif
