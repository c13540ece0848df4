/* dispatch_http.h - one HTTP exchange of a driver: headers, credentials, which addresses may be reached, redirects. rest and fhir stand on it.
 *
 * The driver fills what it asks for, eng_http_go does the rest and calls done with the response. Names are resolved here and each address asked of the
 * egress policy; only allowed addresses are handed to the client, which checks them again on the socket. Redirects are followed only for GET and where the
 * operator says so, here and not by the client: each hop is resolved and judged like a first request, and credentials stay with their origin.
 *
 *   eng_http_init, eng_http_header ..., target, body -> eng_http_go -> credentials (auth_*.c) -> resolve, judge -> request -> done
 *                                                          ^ once more after 401, when the kind of login can renew them */
#ifndef HDW_DISPATCH_HTTP_H
#define HDW_DISPATCH_HTTP_H
#include "engine_int.h"

enum { OUT_MAX_HEADERS = 40, OUT_MAX_PIN = 8 };

typedef struct eng_http eng_http;
/* With res->status or any code. res lives during the call. Called from the loop, never from inside eng_http_go. */
typedef void (*eng_http_done)(eng_http *x, const io_http_res *res);

struct eng_http {
  eng_call *call;
  const char *method;        /* "GET" */
  bool https;                /* where this request goes: the connection's address, or that of a redirect */
  const char *host;
  uint16_t port;
  const char *target;        /* path and query, escaped */
  io_http_header headers[OUT_MAX_HEADERS];
  unsigned nheaders;
  const void *body;
  size_t body_len;
  eng_http_done done;
  void *user;
  bool (*may)(const eng_http *x, const char *scopes, char text[ENG_TEXT]); /* asked before it is sent with a token whose scopes are known; NULL = always */
  /* its own */
  unsigned hops;
  bool elsewhere;            /* another origin than the connection's: no credentials */
  bool anonymous;            /* without the login's credentials */
  bool forbidden;            /* egress does not allow any of its addresses */
  bool left;                 /* call->left before it was sent */
  bool renewed;              /* credentials were refused and got anew */
  int64_t refused_us;        /* monotonic; for the first time */
  bool bare;                 /* without credentials and redirects: a login's own request; set it before eng_http_go, like max_body */
  size_t max_body;           /* longest response; 0 = as the operator says */
  uint8_t token[REC_HASH];   /* auth_token.c: whose token it carries; what that was; what it waits for */
  const char *credential;
  struct eng_token *waits;
  eng_http *waits_next;
  uint8_t fail_class;        /* there are no credentials: how the call fails */
  char fail_code[ENG_CODE];
  int64_t fail_after_us;
  unsigned nplain;           /* headers without those of the login */
  uint64_t id;
  hdw_status failing;        /* how it ends, soon */
  char why[ENG_TEXT];
};

/* To the connection's own address. */
void eng_http_init(eng_http *x, eng_call *call, const char *method);
/* false: no token as the name, control characters in the value, or too many. */
bool eng_http_header(eng_http *x, const char *name, const char *value);
/* The value of a header that was set; NULL. */
const char *eng_http_find(const eng_http *x, const char *name);
/* Members of an object of the program as headers; false as above. */
bool eng_http_headers_of(eng_http *x, val object);
/* traceparent when the operator trusts the peer with it. */
bool eng_http_trace(eng_http *x);
/* Everything from here on ends in done, but for eng_http_cancel. */
void eng_http_go(eng_http *x);
void eng_http_cancel(eng_http *x);

/* ---- for logins (auth_*.c) */
/* What follows when eng_auth_kind.apply said false: the credentials are there after all, and the exchange goes on; or there are none, nothing is sent, and the call fails
 * with class and code; again_us: how long the whole connection should wait. soon: from inside of apply. */
void eng_http_authorised(eng_http *x);
void eng_http_unauthorised(eng_http *x, uint8_t fail_class, const char *code, const char *text, int64_t again_us, bool soon);

/* ---- answers */
const char *eng_http_res_header(const io_http_res *res, const char *name);
/* Retry-After: seconds or an HTTP-date; what has passed, or is garbage, is 0; at most an hour. */
int64_t eng_http_retry_after_us(eng_call *call, const io_http_res *res);
/* How long nothing should be asked for, by the headers that tell of limits; 0 = go on. At most an hour. */
int64_t eng_http_limit_us(eng_call *call, const io_http_res *res);
/* No response: the call fails with what the client says. FAIL_AMBIGUOUS when the request may have arrived: it must not be repeated by itself. */
void eng_http_failed(eng_http *x, const io_http_res *res);
/* The call's outcome for a status that is no success; code is the status as text. retryable by the operator's reactions first. True: reactions say done. */
bool eng_http_refused(eng_call *call, const io_http_res *res);

/* ---- addresses and texts */
/* Sets the connection's address from base (in hdw.json or the program), its certificates and its login. */
hdw_status eng_http_setup(engine *e, eng_conn *c, char text[ENG_TEXT]);
/* Percent-encodes all but unreserved characters and those of keep. */
void eng_percent(buf *b, const char *s, size_t n, const char *keep);
/* Path segments '.' and '..' in a target, or characters that a target cannot have. */
bool eng_target_ok(const char *target);

/* The target of an address that the peer gave (a reference, the next page), relative to `from`: on this connection's origin, or one that the operator says is the
 * same (origins). NULL and why. */
const char *eng_http_local(eng_call *call, const char *from, const char *ref, const char **why);

/* Pages that lead back: each next target is compared with a mark that is moved on at pages 1, 2, 4, 8 ... (Brent). */
typedef struct page_guard {
  uint32_t at, power;
  char mark[33];
} page_guard;
bool page_guard_step(page_guard *g, const char *target); /* false: it was there before */
bool page_guard_bytes(page_guard *g, const void *p, size_t len); /* the same for what a page holds */
/* rest_page.c. How the connection says its pages are found (page: of its declaration); "" when it does not. */
const char *page_kind(const eng_conn *c, arena *a);
bool page_is_computed(const char *kind); /* by_offset, by_page, by_cursor */
/* The target of the next page by one of these, from that of this one (or a query that begins with '?'): its body and items, how many pages came before it, how many items
 * there were with it. NULL: it was the last. */
const char *page_computed(eng_call *call, const char *target, val body, uint32_t items, int64_t number, int64_t seen);

/* ---- logins: one file for each kind (auth_KIND.c) and a row in auth_core.c */
typedef struct eng_auth_kind {
  const char *kind;          /* as in the program: bearer */
  hdw_status (*setup)(engine *e, eng_conn *c, val args, char text[ENG_TEXT]);
  bool renews;               /* c->login is an eng_login: a token that ends */
  /* Adds its headers to x: true. Or false: eng_http_authorised or eng_http_unauthorised follows. */
  bool (*apply)(eng_http *x);
  /* The peer answered 401: true when new credentials can be had, then apply is called again; not when those were refused that were fetched since x->refused_us. NULL = there are
   * no others. */
  bool (*refused)(eng_http *x);
  void (*close)(eng_conn *c);
} eng_auth_kind;
extern const eng_auth_kind eng_auth_bearer, eng_auth_basic, eng_auth_api_key, eng_auth_oauth2, eng_auth_smart_backend, eng_auth_bearer_token_exchange, eng_auth_mtls;
/* eng_driver.close of drivers that speak HTTP. */
void eng_http_close(eng_conn *c);
hdw_status eng_auth_setup(engine *e, eng_conn *c, char text[ENG_TEXT]);
/* The same without the look at its characters, as it came from its file. */
const config_secret *eng_auth_file(engine *e, val ref, char text[ENG_TEXT]);
/* A secret of the login's arguments; NULL with a text when it is not there, or cannot stand in a header. */
const char *eng_auth_secret(engine *e, val args, const char *name, char text[ENG_TEXT]);
/* eng_auth_kind.apply of logins that are one header, c->auth_name with auth_value: a request that cannot carry it is not sent. */
bool eng_auth_header(eng_http *x);
#endif
