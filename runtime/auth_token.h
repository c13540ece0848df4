/* auth_token.h - logins whose credential is fetched and ends: one cache of tokens for the engine, whatever kind asks (auth_oauth2.c, auth_smart_backend.c,
 * auth_bearer_token_exchange.c).
 *
 * A token is known by a hash of everything that it depends on (login server, client, secret, scopes; for an exchange also the call's parameters). For one hash
 * one request is under way at most: whoever comes meanwhile waits for its outcome, success or failure (PROTOCOLS B-9, X-5).
 *
 *   eng_http_go -> apply -> token there and good for a while? -> header set, the exchange goes on
 *                              | near its end: it is renewed meanwhile, nobody waits
 *                              | not there: sealed in the store from an earlier life? else a request, everybody waits
 *                  401 -> refused -> that token is dropped (another one is not), apply once more
 *
 * A login server that cannot be reached, or refuses, is asked again after a growing time and not before (its Retry-After when that is longer); until then calls
 * end at once as transient failures that were not sent, so whatever the connection does about those (retry, breaker, parking) is done.
 * Times of tokens are reckoned by the monotonic clock; only what is sealed in the store has a wall time. Tokens and secrets never stand in a text, a log line or
 * a value of a program. */
#ifndef HDW_AUTH_TOKEN_H
#define HDW_AUTH_TOKEN_H
#include "dispatch_http.h"
#include "url.h"

enum { TOKEN_MAX_BYTES = 16384, TOKEN_ANSWER_BYTES = 65536, TOKEN_KEY = REC_HASH, TOKEN_SCOPE_BYTES = 4096 };

typedef struct eng_token eng_token;
typedef struct eng_login eng_login;
typedef struct eng_flight eng_flight;

/* What an answer of a login server says; texts in the arena given. */
typedef struct token_answer {
  const char *value;         /* visible ASCII */
  int64_t life_us;           /* 0 = it does not say */
  const char *scope;         /* as granted; NULL = it does not say */
} token_answer;

/* ---- what a kind gives (c->login) */
typedef struct eng_token_kind {
  /* Makes the request in f->x and f->a: target, headers, body. x: the exchange that wants the token. Else f->text. */
  hdw_status (*ask)(eng_flight *f, const eng_http *x);
  /* Reads a 2xx answer. HDW_E_AGAIN: a further request stands in f->x. Else f->text. */
  hdw_status (*read)(eng_flight *f, const io_http_res *res, token_answer *out);
} eng_token_kind;

struct eng_login {
  eng_conn *c;
  const eng_token_kind *kind;
  uint8_t id[TOKEN_KEY];     /* of login server, client, secret, scopes */
  bool durable;              /* the token is sealed in the store */
  bool per_call;             /* calls ask for different tokens: what is refused to one is not refused to all */
  url to;                    /* token URL; host NULL: it is looked for */
  const char *scope;         /* as asked; "" = none */
  const char *header;        /* of the call, such as Authorization */
  const char *before;        /* what stands before the token in it, such as "Bearer " */
  int64_t default_life_us;
  void *own;                 /* the kind's */
};

/* A request for a token, under way. */
struct eng_flight {
  engine *e;
  eng_login *l;
  eng_token *t;
  arena a;
  eng_call call;             /* stands in for one: memory and timers of x */
  eng_http x;
  unsigned stage;            /* the kind's */
  bool again;                /* the request before failed */
  hdw_status failing;        /* it could not be asked for */
  int code;                  /* HTTP status of the answer, 0 = none yet */
  char text[ENG_TEXT];       /* why it failed */
};

/* ---- for kinds */
/* An absolute URL, https unless it is loopback, whose address, when it is one, may be reached. HDW_E_INVALID with a text that begins with `what`. */
hdw_status eng_login_url(eng_conn *c, const char *what, const char *value, url *out, char text[ENG_TEXT]);
/* scopes: [...] or one text; space between them. NULL: text says what is wrong. */
const char *eng_login_scopes(engine *e, val args, char text[ENG_TEXT]);
/* Adds NAME=VALUE to a form body. */
void eng_form(buf *b, const char *name, const char *value);
/* The next request of the flight; take_off makes the first. */
void eng_flight_begin(eng_flight *f, const char *method);
/* POST of a form to the login's token URL. */
hdw_status eng_flight_post(eng_flight *f, const url *to, buf *form);
/* The hash of parts, each with its length. */
void eng_token_hash(const char *const *parts, size_t n, uint8_t out[TOKEN_KEY]);
/* eng_auth_kind.apply and refused for the token with this key. */
bool eng_token_apply(eng_http *x, const uint8_t key[TOKEN_KEY]);
bool eng_token_apply_own(eng_http *x); /* of the login's own id */
bool eng_token_refused(eng_http *x);
/* eng_auth_kind.close: requests of this login end; others who wait for them ask again. */
void eng_token_close(eng_conn *c);
void eng_login_look(const eng_conn *c, eng_login_state *out);
/* x does not wait any longer. */
void eng_token_leave(eng_http *x);

/* ---- answers (auth_answer.c): bytes from outside, nothing else */
/* RFC 6749 5.1, with what servers get wrong and can be read all the same (S-14). why: constant text. HDW_E_DATA, HDW_E_NOMEM. */
hdw_status token_read(mem *m, arena *a, const void *p, size_t len, token_answer *out, const char **why);
/* RFC 6749 5.2: the error's code, letters and underscores only; "" when the body holds none. */
void token_error(mem *m, const void *p, size_t len, char code[ENG_CODE]);
/* One JSON object, not deep, no name twice. */
hdw_status token_json(mem *m, arena *a, const void *p, size_t len, val *out);
/* A token that can stand in a header. */
bool token_ok(const char *s);
/* Seconds: a number or digits in quotes, more than none; at most a day counts. */
bool token_seconds(val v, int64_t *us);

/* ---- at rest (auth_seal.c) */
/* AES-256-GCM under a random nonce; the key is DIR/auth.key of the data folder, made when it is missing, or the secret that auth_key names. out: eng_seal_bytes(len). name: what it is, bound to
 * the sealed text: it cannot be put in the place of another. */
enum { SEAL_OVERHEAD = 12 + 16 };
typedef struct eng_seal {
  bool ready, failed;
  uint8_t key[32];
} eng_seal;
/* What a token is called in the store: HMAC-SHA-256 of its key under the seal's, so that the name says nothing about the secrets that the key was made of. */
enum { SEAL_NAME = 2 * 16 + 1 };
hdw_status eng_seal_name(engine *e, eng_seal *s, const uint8_t key[TOKEN_KEY], char out[SEAL_NAME]);
hdw_status eng_seal_put(engine *e, eng_seal *s, const char *name, const void *p, size_t len, uint8_t *out);
/* HDW_E_CORRUPT: not sealed here, or damaged. out: len - SEAL_OVERHEAD bytes. */
hdw_status eng_seal_get(engine *e, eng_seal *s, const char *name, const uint8_t *p, size_t len, void *out);
#endif
