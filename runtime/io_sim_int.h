/* io_sim_int.h - what the files of the simulated seam share. Not for others. */
#ifndef HDW_IO_SIM_INT_H
#define HDW_IO_SIM_INT_H
#include "io_sim.h"

typedef struct sim_fault {
  uint64_t at;       /* count of calls at which it strikes; 0 = none */
  hdw_status status;
  bool sticky;
} sim_fault;

typedef struct sim_node sim_node;
typedef struct sim_fs {
  sim_node *nodes;
  struct sim_fd {
    sim_node *node;
    unsigned flags;
  } *fds;
  int nfds;
  uint64_t free_bytes, inodes;
  bool space_set;            /* by io_sim_set_space: also over a real folder */
  sim_node *image;           /* as a dead process left them */
} sim_fs;

typedef struct sim sim;
typedef struct sim_sock sim_sock;
typedef struct sim_listener sim_listener;
typedef struct sim_req sim_req;
typedef struct sim_worker sim_worker;

struct sim {
  io base;
  io_sim_opts opts;
  char *root;
  uint64_t rng[2];
  int64_t now_us, wall_us;
  io_heap heap;
  uint64_t tie, events, trace;
  bool stop;
  int exit_code;

  io_task *post_head, *post_tail;
  io_timer pump;

  sim_sock *socks;
  sim_listener *listeners;
  uint16_t next_port;

  sim_req *reqs;
  uint64_t next_id;
  io_sim_http_fn http_fn;
  void *http_user;
  void (*cancel_fn)(uint64_t, void *);
  void *cancel_user;
  io_sim_name_fn name_fn;
  void *name_user;

  struct {
    void (*fn)(int, void *);
    void *user;
  } signals[65];

  bool world, dead;
  void (*died)(void *);
  void *died_user;
  io_sim_net_fn net_fn;
  void *net_user;

  unsigned nworkers;     /* made so far */
  uint64_t calls[IO_SIM_OPS];
  sim_fault faults[IO_SIM_OPS];
  sim_fs fs;
};

uint64_t sim_draw(sim *x);
/* 0..n, inclusive; 0 on the orderly side. */
uint64_t sim_below(sim *x, uint64_t n);
/* Adds an event delay_us from now. */
void sim_event(sim *x, io_timer *t, int64_t delay_us, void (*fn)(void *), void *user);
void sim_trace(sim *x, uint64_t v);
/* Counts a call and gives the injected status, HDW_OK mostly. */
hdw_status sim_fail(sim *x, io_sim_op op);
void *sim_alloc(sim *x, size_t len); /* zeroed, NULL on failure */
void sim_put(sim *x, void *p, size_t len);

void sim_fs_free(sim *x);
/* Remembers the files as whoever comes after a kill or a power cut finds them. */
void sim_fs_image(sim *x, bool power);
void sim_fs_reboot(sim *x);
hdw_status sim_open(io *b, const char *path, unsigned flags, int *fd);
hdw_status sim_fclose(io *b, int fd);
hdw_status sim_pread(io *b, int fd, void *p, size_t len, uint64_t off, size_t *got);
hdw_status sim_pwritev(io *b, int fd, const io_slice *v, unsigned n, uint64_t off);
hdw_status sim_append(io *b, int fd, const void *p, size_t len);
hdw_status sim_sync(io *b, int fd);
hdw_status sim_falloc(io *b, int fd, uint64_t len);
hdw_status sim_truncate(io *b, int fd, uint64_t len);
hdw_status sim_stat(io *b, const char *path, io_stat_info *out);
hdw_status sim_rename(io *b, const char *from, const char *to);
hdw_status sim_unlink(io *b, const char *path);
hdw_status sim_mkdir(io *b, const char *path);
hdw_status sim_list(io *b, const char *path, io_dir_cb cb, void *user);
hdw_status sim_sync_dir(io *b, const char *path);
hdw_status sim_space(io *b, const char *path, io_space_info *out);

hdw_status sim_listen(io *b, const io_addr *a, io_accept_cb cb, void *user, io_listener **out);
void sim_listener_addr(io_listener *b, io_addr *out);
void sim_listener_pause(io_listener *b, bool pause);
void sim_listener_close(io_listener *b);
hdw_status sim_connect(io *b, const io_addr *a, io_sock_cb cb, void *user, io_sock **out);
void sim_sock_on(io_sock *b, unsigned want, io_sock_cb cb, void *user);
hdw_status sim_read(io_sock *b, void *p, size_t cap, size_t *got);
hdw_status sim_write(io_sock *b, const void *p, size_t len, size_t *put);
void sim_shutdown(io_sock *b);
void sim_close(io_sock *b);
void sim_peer(io_sock *b, io_addr *out);
hdw_status sim_cred(io_sock *b, io_cred *out);
void sim_socks_free(sim *x);
#endif
