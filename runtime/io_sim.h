/* io_sim.h - the simulated side of the seam: a virtual clock and an order drawn from a seed; the same seed gives the same run.
 *
 * Sockets connect endpoints within the one process: whoever listens on an address is found by io_connect. Bytes arrive after a small
 * drawn delay, in drawn portions, always in order. Files live in memory, or in a real folder when root is given (LMDB needs real files).
 * HTTP requests go to one handler. Nothing here can reach a network. */
#ifndef HDW_IO_SIM_H
#define HDW_IO_SIM_H
#include "io.h"

typedef struct io_sim_opts {
  uint64_t seed;
  int64_t wall_start_us;   /* 0 = 2026-01-01T00:00:00Z */
  int64_t limit_us;        /* io_run gives HDW_E_TIMEOUT after so much virtual time; 0 = none */
  const char *root;        /* NULL: files in memory. Else a real folder: paths are used as given and must begin with it */
  int64_t max_delay_us;    /* of posts and bytes; 0 = 200 */
  int64_t slow_worker_us;  /* steps of workers made after the first one (the log's) come up to so much later */
  bool orderly;            /* no drawn delays and portions: hdwc run and test, for speed */
} io_sim_opts;
hdw_status io_sim_new(mem *m, const io_sim_opts *opts, io **out);
void io_sim_free(io *x);

/* Runs at most n events; returns how many ran. */
unsigned io_sim_step(io *x, unsigned n);
/* Advances the virtual clock by us, running what is due. */
void io_sim_advance(io *x, int64_t us);
/* Code given to io_exit, or -1. */
int io_sim_exit_code(const io *x);
/* Delivers a signal. */
void io_sim_raise(io *x, int signo);
/* Number of events run and a running hash over their order: equal for equal runs. */
uint64_t io_sim_trace(const io *x, uint64_t *events);

/* Answers a request: called as an event; must call io_sim_http_reply(x, id, ...) then or later. Without a handler requests fail HDW_E_UNSUPPORTED. */
typedef void (*io_sim_http_fn)(io *x, uint64_t id, const io_http_req *req, void *user);
void io_sim_on_http(io *x, io_sim_http_fn fn, void *user);
/* The parts of res are copied. delay_us on top of now. An id that is gone has no effect. */
void io_sim_http_reply(io *x, uint64_t id, const io_http_res *res, int64_t delay_us);
/* Whoever asked still waits for the answer: none has come, its time is not over, and it was not cancelled. */
bool io_sim_http_waits(io *x, uint64_t id);
/* Told when a request is cancelled. */
void io_sim_on_cancel(io *x, void (*fn)(uint64_t id, void *user), void *user);
/* Answers name resolution; without it every name is HDW_E_NOTFOUND except numeric addresses. Fills out (at most cap), returns how many. */
typedef unsigned (*io_sim_name_fn)(const char *host, io_addr *out, unsigned cap, void *user);
void io_sim_on_resolve(io *x, io_sim_name_fn fn, void *user);

/* Faults: the nth call (1 = the next) of an operation fails with status; from then on always when sticky. status HDW_OK clears the fault. */
typedef enum io_sim_op {
  IO_SIM_OPEN, IO_SIM_PREAD, IO_SIM_PWRITE, IO_SIM_APPEND, IO_SIM_SYNC, IO_SIM_ALLOC, IO_SIM_TRUNCATE, IO_SIM_RENAME, IO_SIM_UNLINK,
  IO_SIM_MKDIR, IO_SIM_SYNC_DIR, IO_SIM_CONNECT, IO_SIM_READ, IO_SIM_WRITE, IO_SIM_OPS
} io_sim_op;
void io_sim_fault(io *x, io_sim_op op, uint64_t nth, hdw_status status, bool sticky);
/* How often the operation was called so far. */
uint64_t io_sim_calls(const io *x, io_sim_op op);
/* Free space that io_space reports for files in memory. */
void io_sim_set_space(io *x, uint64_t free_bytes);
/* Power cut, files in memory only: each file goes back to what was synced, plus a drawn subset of the 512-byte sectors written since. Names are kept
 * when their folder was synced. Open descriptors become invalid. */
void io_sim_power_cut(io *x);

/* ---- a process that dies in a world that goes on (tests/sim/hdwsim) ----
 *
 * Files are in memory. What listens between on and off belongs to the world, every other listener to the process; a connection goes from one to the other. */
void io_sim_world(io *x, bool on);
/* The process dies now, in the middle of what it does: files are remembered as they would be found (power: as after a power cut; else as written), died is told,
 * and nothing that the process still does gets out or stays. The loop stops after the event at hand. No effect on a dead one. Once died is set, io_exit dies, too. */
void io_sim_crash(io *x, bool power);
void io_sim_on_death(io *x, void (*died)(void *user), void *user);
bool io_sim_dead(const io *x);
/* Everything of the dead process has been closed: files are as remembered, another one may start. */
void io_sim_reboot(io *x);

/* What becomes of a connection that is being made, or of bytes that were written. */
typedef struct io_sim_fate {
  bool refuse, hang;         /* connecting: refused; no answer ever comes */
  bool reset, lose;          /* bytes: then the connection breaks; before they arrived */
  int64_t delay_us;          /* on top of what is drawn */
} io_sim_fate;
/* listener: where the connection goes to. fate is zeroed. */
typedef void (*io_sim_net_fn)(const io_addr *listener, bool connecting, io_sim_fate *fate, void *user);
void io_sim_on_net(io *x, io_sim_net_fn fn, void *user);
/* The other end has closed: what still arrives was sent before that. */
bool io_sim_alone(const io_sock *s);
/* The wall clock is set: forward, or back. The monotonic clock goes on. */
void io_sim_set_clock(io *x, int64_t by_us);
/* The world looks into a folder in memory, whatever fails for the process: each file with its content. seen gives true: it takes the file, for good, also over a
 * power cut. Files that are open stay readable to whoever has them open. */
typedef bool (*io_sim_seen_fn)(const char *name, const void *p, size_t len, void *user);
void io_sim_look(io *x, const char *dir, io_sim_seen_fn seen, void *user);
/* Adds something that the test saw to the trace. */
void io_sim_note(io *x, uint64_t v);
#endif
