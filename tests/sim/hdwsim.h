/* hdwsim.h - the whole runtime in a simulated world: what the files of tests/sim/hdwsim share.
 *
 *   hdwsim.c          seeds, phases, verdicts                     hdwsim_daemon.c   the runtime: start, death, deployments, what an operator does
 *   hdwsim_model.c    the reference model: what was promised      hdwsim_senders.c  systems that send, and send again
 *   hdwsim_peers.c    systems that receive: HTTP, MLLP            hdwsim_weather.c  what goes wrong, and when
 *   hdwsim_folders.c  who takes files and lines out of folders    hdwsim_fhir.c     a FHIR server
 *   hdwsim_login.c    login servers, tokens                       hdwsim_polite.c   breakers, Retry-After: how the daemon treats its peers
 *   hdwsim_cached.c   reference data, which is kept
 *
 * One seed is one history: everything is drawn from it, the clock is virtual, so the same seed gives the same history, event by event. The daemon's engine runs
 * as in hdwvm, on its real listeners, drivers, log and store; its world is played by the other files. A first part of the history brings faults; in the second
 * they stop, and everything must drain. The model decides (hdwsim_model.c lists what it asks). */
#ifndef HDWSIM_H
#define HDWSIM_H
#include "engine.h"
#include "io_sim.h"

enum { SIM_LANES = 6, SIM_ORDERS = 2, SIM_WEBS = 2, SIM_NOTES = 2, SIM_CHARTS = 2, SIM_BATCHERS = 1,
       SIM_SENDERS = SIM_LANES + SIM_ORDERS + SIM_WEBS + SIM_NOTES + SIM_CHARTS + SIM_BATCHERS, SIM_MSGS = 6000, SIM_EFFECTS = 9, SIM_GROUPS = 3 };
enum { PORT_ADT = 2575, PORT_ORM = 2576, PORT_WEB = 8080, PORT_CRM = 9001, PORT_EMR = 9002, PORT_LAB = 9003, PORT_EHR = 9004, PORT_CRM_LOGIN = 9005, PORT_EHR_LOGIN = 9006, PORT_WARD = 2599 };
#define SECOND INT64_C(1000000)

typedef struct sim_world world;

/* ---- messages and effects: the ledger ------------------------------------------------------------------------------------------------ */

typedef enum kind { KIND_ADT, KIND_REJECTED, KIND_ORDER, KIND_WEB, KIND_NOTE /* once by a key */, KIND_CHART /* FHIR */ } kind;

/* What one message does at one place outside. Numbers stand in the paths of the program (hdwsim_daemon.c). */
enum { FX_FIRST = 0, FX_BRANCH1 = 1, FX_BRANCH2 = 2, FX_EMR = 3 /* of a chart: not repeated by itself */, FX_WARD = 4, FX_READ = 5, FX_NEW = 6 /* version 2 of the program only; of a chart: a transaction */, FX_FILE = 7, FX_LINE = 8 /* is not repeated by itself */ };
enum { SIM_REDONE = 2 /* times at most that a message is reprocessed */ };
typedef struct attempt_id {
  char key[72];              /* idempotency key; "" = none, then the body tells */
  uint64_t body;             /* hash of it */
} attempt_id;
typedef struct effect {
  attempt_id as[1 + SIM_REDONE]; /* how it is tried: one key and one body for each time that the message was worked on */
  uint8_t nas, last;         /* known ones; index of the latest attempt's */
  uint32_t tries, done, redriven; /* redriven: an operator asked for it once more, so often */
  int64_t clean_us;          /* a good answer reached, or will reach, a daemon that lives: it may not be tried again. 0 = no */
  uint8_t clean_as;          /* in as */
  uint8_t version, clean_version; /* program that made the latest attempt, and the one with the good answer; 0 = not seen */
  bool given_up;             /* an operator discarded the delivery */
  int64_t ended_us;          /* ... and the daemon said that it is so. 0 = not yet */
} effect;

typedef struct message {
  kind kind;
  uint8_t lane;
  uint32_t seq;              /* in its lane */
  uint8_t group;             /* a second key, shared by senders; 0 = none */
  uint32_t turn;             /* in its group: whose first step came when; 0 = not yet */
  uint32_t key;              /* of a note: once by it; of a chart: its patient */
  int64_t sent_us, answered_us; /* first sent; final answer: it was stored between these */
  char id[16], tag[8];       /* control id ("M" and the number of the first message that had it); what tells contents under one control id apart */
  uint32_t next_same;        /* the next message under this control id; 0 = none */
  bool sent, acked, refused; /* positive; AR for good */
  bool looked;               /* it was found in the store by a later life */
  uint8_t version;           /* of the program that performs it; 0 = not seen */
  uint8_t redone;            /* an operator had it reprocessed, so often */
  bool takes;                /* ... and was told that the result of the first step is taken over */
  bool given_up, skipped;    /* an operator ended its run; took it out of its lanes */
  int64_t ended_us;          /* the daemon said that its run has ended so. 0 = no */
  uint64_t sent_hash;        /* of the bytes, as they must be stored */
  char *answer;              /* the first final answer, which every resend must get */
  size_t answer_len;
  effect fx[SIM_EFFECTS];
} message;

/* ---- the model ------------------------------------------------------------------------------------------------------------------------- */

message *model_new_message(world *w, kind k, unsigned lane);
/* The messages under one control id, in the order in which they were made. NULL: none, no further one. */
message *model_first(world *w, const char *id, size_t id_len);
message *model_next(world *w, const message *m);
message *model_find(world *w, const char *id, size_t id_len, const char *tag, size_t tag_len);
/* A sender got an answer. code: AA, AE, AR, or an HTTP status. True: it is final, the sender may go on. */
bool model_answered(world *w, message *m, const char *code, const void *p, size_t len);
/* An attempt arrived outside. version: as it says, 0 = it does not. */
void model_attempt(world *w, message *m, unsigned fx, const char *key, uint64_t body, unsigned version);
/* ... of what may be tried again in other words: nothing is asked but that it is its turn, and not after a good answer. */
void model_attempt_freely(world *w, message *m, unsigned fx);
/* It was performed; answered: when its good answer is with the daemon, 0 = it may never be. */
void model_done(world *w, message *m, unsigned fx, int64_t answered_us);
/* A file or a line is found that was made since since_us; order is asked for when all of one look are known. */
void model_found(world *w, message *m, unsigned fx, uint64_t body, unsigned version, int64_t since_us);
void model_found_in_order(world *w, message *m, unsigned fx);
/* An operator asked for it, and it may become so; fx: the delivery, SIM_EFFECTS: the run. Then: the daemon said that it is so. */
void model_given_up(world *w, message *m, unsigned fx);
void model_ended(world *w, message *m, unsigned fx);
/* An operator started it once more; takes: and was told that the first step's result is taken over. */
void model_redone(world *w, message *m, bool takes);
/* The daemon died, or could not write since then. */
void model_died(world *w, int64_t since_us);
/* A daemon has opened the store: what was acknowledged is there. all: look at everything. */
void model_opened(world *w, bool all);
/* Everything has drained. */
void model_finished(world *w);

/* ---- senders, peers, weather --------------------------------------------------------------------------------------------------------------- */

void senders_start(world *w);
/* Nothing new; what was begun is brought to its end. */
void senders_stop(world *w);
bool senders_idle(const world *w);
void senders_free(world *w);

void peers_start(world *w);
void peers_free(world *w);

/* The peer at that port has asked to be left alone from then on, for so long. */
void peers_leave_alone(world *w, uint16_t port, uint64_t id, int64_t from_us, int64_t us);
/* A request reaches the peer at that port: it may. */
void peers_asked(world *w, uint16_t port, uint64_t id, const io_http_req *q);
/* ... and the daemon hears the answer so much later. HEARD_BAD: it cannot but count it as a failure of the peer. Without it: it times out. */
typedef enum heard { HEARD_BAD, HEARD_GOOD, HEARD_OTHER } heard;
void peers_heard(world *w, uint16_t port, uint64_t id, int64_t delay_us, heard how);
static inline heard heard_of(int code) { return code == 500 || code == 502 || code == 503 || code == 504 ? HEARD_BAD : code < 300 ? HEARD_GOOD : HEARD_OTHER; }
void polite_start(world *w, unsigned crm_at_once);
void polite_said(world *w, const char *line, size_t len); /* a line of the daemon's log */
void polite_cancelled(world *w, uint64_t id);
void polite_forget(world *w); /* connections were made anew */
void polite_died(world *w, int64_t since_us);
void polite_free(world *w);

/* Somebody asks for a token; then, unless the network is in the way, the answer. */
void login_asked(world *w, uint64_t id, const io_http_req *q);
void login_request(world *w, uint64_t id, const io_http_req *q, bool lost);
/* The daemon hears then that it has no token. */
void login_failed(world *w, uint16_t port, int64_t at_us);
/* Whether the token of a request is good; else it is answered 401, so much later. */
bool login_admits(world *w, uint64_t id, const io_http_req *q, int64_t delay_us);
void login_cancelled(world *w, uint64_t id);
void login_died(world *w, int64_t since_us);
void login_start(world *w);
void login_free(world *w);

/* A request for the FHIR server, with what the network does to its answer. */
void fhir_request(world *w, uint64_t id, const io_http_req *q, bool lost);
void fhir_start(world *w);
void fhir_trouble(world *w);         /* whoever patches may have to begin anew: nothing was answered, somebody redrove, paused, killed or deployed */
void fhir_free(world *w);

/* Reference data that the laboratory has, and that the daemon keeps for a while (hdwsim_cached.c). The request at this port is for it: */
bool cached_is(const io_http_req *q);
void cached_asked(world *w, uint64_t id);
/* The number in its answer; the daemon has it then, 0 = it may not. */
unsigned cached_answer(world *w, int64_t known_us);
void cached_used(world *w, const message *m, unsigned number);
void cached_died(world *w, int64_t since_us);
void cached_start(world *w);
void cached_free(world *w);

void folders_start(world *w);
/* Everything that is there now is taken. */
void folders_look(world *w);
void folders_free(world *w);

typedef struct weather {
  bool calm;                 /* the faults have stopped */
  /* network, per mille */
  unsigned refuse, hang, reset, lose, slow;
  int64_t slow_us;
  /* receivers, per mille */
  unsigned login;            /* login servers: refuse */
  unsigned busy /* 429, 503, AE */, bad /* 4xx, AR */, silent, garbage, wrong /* an answer for another */, delay;
  int64_t delay_us;
  int64_t clear_since_us;    /* monotonic; the network does nothing wrong since then; INT64_MAX = it does */
} weather;
void weather_start(world *w);
void weather_stop(world *w);
void weather_free(world *w);
bool weather_disk(const world *w);   /* a failure of the disk is due, or it is full */

/* ---- the daemon --------------------------------------------------------------------------------------------------------------------------------- */

void daemon_start(world *w);         /* compiles the programs */
void daemon_boot(world *w);          /* starts; it may die on the way */
void daemon_bury(world *w);          /* closes a dead one */
void daemon_stop(world *w);          /* asks a living one to end */
bool daemon_ended(world *w);         /* it did, and was closed */
void daemon_operate(world *w);       /* an operator does something */
void daemon_redrive(world *w);       /* every dead letter back to work, everything paused resumed */
bool daemon_has(world *w, const message *m); /* its input is in the store */
/* Its bytes are stored as they were sent. */
bool daemon_keeps(world *w, const message *m);
/* A line of its log names a run or a delivery of the message that an id says. */
bool daemon_line_is_about(world *w, const char *line, const char *id);
bool daemon_drained(world *w, char why[200], uint64_t *left);
void daemon_finish(world *w);        /* last checks of the store, then the end */
void daemon_free(world *w);

struct daemon_state;
struct sender_state;
struct peer_state;
struct folder_state;
struct fhir_state;
struct login_state;
struct polite_state;
struct cached_state;

struct sim_world {
  uint64_t seed, rnd;
  bool little;               /* retention keeps few bytes */
  bool looking;              /* lines are for the reader of a trace: not part of its hash */
  bool trace, clock_set;     /* the wall clock was set: what waits for a time may be late or early */
  io *io;
  io_mem mem;
  weather now;
  message *msgs;
  uint32_t nmsgs, seqs[SIM_SENDERS], turns[SIM_GROUPS], notes, charts;
  struct daemon_state *d;
  struct sender_state *senders;
  struct peer_state *peers;
  struct weather_state *sky;
  struct folder_state *folders;
  struct fhir_state *fhir;
  struct login_state *logins;
  struct polite_state *polite;
  struct cached_state *cached;
  /* what is drawn once for the whole history */
  int64_t gap_us;            /* between messages of a sender */
  int64_t settled_us;        /* within this time what the daemon knows is durable, when nothing fails */
  int64_t once_us;           /* so long a key is taken */
  bool powered;              /* crashes are power cuts, mostly */
  int64_t died_us;           /* what was under way then is not known to the daemon */
  /* counts */
  uint32_t acked, deaths, boots, attempts, resends, disk_faults, deploys;
  uint64_t points;           /* named places that were passed: a bit each */
};

/* Drawing: below n; one in a thousand n times; between 1 and max, each magnitude alike. */
uint64_t draw(world *w, uint64_t n);
static inline bool chance(world *w, unsigned per_mille) { return draw(w, 1000) < per_mille; }
int64_t draw_time(world *w, int64_t max_us);
int64_t now_us(world *w);
/* A line of the trace; part of its hash. */
void say(world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The promise is broken: says so and ends the process. */
void broken(world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
uint64_t hash_of(const void *p, size_t len);
extern const char *const sim_points[];
#endif
