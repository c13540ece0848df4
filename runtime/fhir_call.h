/* fhir_call.h - one call of a FHIR connection, for the files of its driver (PROTOCOLS 2a).
 *
 *   dispatch_fhir.c  operations: which requests, what their answers mean        fhir_request.c  addresses, parameters, bodies
 *   fhir_page.c      searches: page after page, guards                          fhir_answer.c   OperationOutcome, versions, results (pure)
 *   fhir_patch.c     changes on the present version                             fhir_scope.c    what the login was granted
 *
 * Everything lives in the call's arena. A call may take several requests; each waits for its turn at the connection's rate. */
#ifndef HDW_FHIR_CALL_H
#define HDW_FHIR_CALL_H
#include "dispatch_http.h"

enum { FHIR_TYPE_TEXT = 65, FHIR_URL_MAX = 2000, FHIR_MAX_MATCHES = 1000, FHIR_MAX_PAGES = 1000, FHIR_SEARCH_BYTES = 16 << 20, FHIR_REAPPLY = 3 };

typedef struct fhir fhir;
typedef struct fhir_op {
  const char *name;
  void (*start)(fhir *f);
  const char *own[10];       /* arguments that are no search parameters; NULL behind the last */
} fhir_op;

/* The search under way. */
typedef struct fhir_search {
  uint64_t max, max_pages;   /* max_pages 0 = as many as there are */
  uint32_t pages;            /* had so far */
  size_t bytes;
  val_builder match, include, outcome, entry;
  val total;
  bool posted, retried_next, one_page, checked, more;
  bool linked;               /* a page had a next link: the last one has none */
  uint32_t seen;             /* matches so far, of pages before as well */
  const char *form;          /* by POST: the parameters of this page */
  uint32_t number;           /* of this page, from 0 */
  const char *asked;         /* the query */
  page_guard guard;
} fhir_search;

struct fhir {
  eng_http x;
  eng_call *call;
  const fhir_op *op;
  const char *type, *id;     /* "" = none */
  bool safe;                 /* the request under way can be repeated */
  bool malformed;            /* a header of the connection is: nothing is sent */
  bool conditional;          /* ... has If-Match or If-None-Match: 409 and 412 are a conflict */
  const char *conflict;      /* the code for that */
  void (*answer)(fhir *f, const io_http_res *res, val body); /* of a success */
  bool (*refusal)(fhir *f, const io_http_res *res); /* sees other answers first; true: taken care of */
  val sent;                  /* create, update: the resource */
  fhir_search s;
  unsigned requests;         /* made so far */
  unsigned applied;          /* patch: how often */
  bool verifies;             /* what was written is read (verify_writes) */
  val present;               /* patch: the version that is there */
  const char *version;
};

/* ---- fhir_request.c */
/* Begins a request; its target follows by fhir_path. */
void fhir_begin(fhir *f, const char *method, void (*answer)(fhir *, const io_http_res *, val));
/* The target from base, path segments (each escaped, NULL ends) and a query (NULL, or without '?'). false: a segment that is none, or f->malformed. */
bool fhir_path(fhir *f, const char *query, const char *first, ...);
/* All search parameters of the request as a query, without '?'; "" when there are none. NULL: no memory, or one has no text. *nothing: one of them is false. */
const char *fhir_query(fhir *f, bool *nothing);
/* An object { name: text or list of texts }, or a text as it is, behind what b holds. nothing NULL: no search, true and false are values. b->status: as above. */
void fhir_query_object(buf *b, arena *a, val o, bool *nothing);
/* value as JSON body of that content type. */
bool fhir_body(fhir *f, val value, const char *type);
/* If-Match from a version as people write it: 3, "3", W/"3". NULL: none of these. */
const char *fhir_etag(arena *a, const char *version);
/* If-Match of the request's if_match ('*': any version); NULL when there is none. false: it is no version, and without it the write would not be conditional. */
bool fhir_if_match(fhir *f, const char **etag);
/* Sends it, after the wait for its turn. */
void fhir_go(fhir *f);
/* A Bundle of entries: a Bundle, entries, or resources. *safe: every one of them can be repeated. NULL, or what is wrong. */
const char *fhir_bundle(fhir *f, val entries, const char *type, val *out, bool *safe);
/* Parameters of an operation. */
val fhir_parameters(arena *a, val o);

/* The reverse: an object of what a Parameters resource holds, parts as objects, what comes again as a list. */
val fhir_results(arena *a, val parameter, unsigned depth);

/* ---- fhir_nothing.c: without anything of a network, hdwc's test runner asks it too */
/* What of search and pages is no search parameter. */
#define FHIR_SEARCH_OWN "resource_type", "max", "pages", "within", "extra", "phi", "all"
#define FHIR_PAGES_OWN "resource_type", "pages", "within", "extra", "phi", "all", "after"
/* A search or page in which a parameter has no value: it finds nothing, and the server is not asked. */
bool fhir_asks_nothing(const char *op, val request);

/* ---- fhir_quirks.c */
/* The query of a search with what the connection's declaration adds; NULL: no memory. */
const char *fhir_quirks_query(fhir *f, const char *query);
hdw_status fhir_quirks_setup(engine *e, eng_conn *c);
/* How long the request waits for its resource's turn. */
int64_t fhir_quirks_wait(fhir *f);

/* ---- fhir_scope.c */
/* eng_http.may: whether the scopes that a login granted cover the request; else why not. */
bool fhir_may(const eng_http *x, const char *scopes, char text[ENG_TEXT]);

/* ---- fhir_page.c */
void fhir_search_start(fhir *f);
void fhir_pages_start(fhir *f);
void fhir_history_start(fhir *f);
void fhir_everything_start(fhir *f);

/* ---- fhir_patch.c */
void fhir_patch_start(fhir *f);

/* ---- fhir_answer.c */
/* Ends the call. */
void fhir_done(fhir *f, val result);
void fhir_fail(fhir *f, uint8_t fail_class, int status, const char *code, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* FAIL_* for a status and the code of an OperationOutcome's issue ("" = none); safe: the request can be repeated (F-20, F-21). */
uint8_t fhir_class(int status, const char *issue, bool safe, bool retry_after);
/* The first issue that is an error: its code and where, without values. */
void fhir_issue(arena *a, val outcome, char code[ENG_CODE], char where[80]);
const char *fhir_type_of(arena *a, val resource);
/* id and version out of .../Type/id/_history/version; NULL where there is none. */
void fhir_location(arena *a, const char *location, const char **id, const char **version);
/* The resource with id and meta.versionId, where it has none. */
val fhir_versioned(arena *a, val resource, const char *id, const char *version);
/* A Bundle as the result of a search: {match, include, outcome, total, entry}. Also for mocks: one resource or several are a page of matches. */
val fhir_found(arena *a, val bundle);
val fhir_found_nothing(arena *a);
/* What a mock of hdwc answers, as the driver would give it: pages and searches from Bundles, resources or {}; writes without an answer give what was sent. */
val fhir_mocked(arena *a, const char *op, val request, val answer);
val fhir_get(arena *a, val obj, const char *name);
/* The link of a Bundle with that relation; NULL. */
const char *fhir_link(arena *a, val bundle, const char *relation);
val fhir_object(arena *a, unsigned n, const char *const *names, const val *values);
/* Why a search must not be asked: its parameters are all optional and none of those that choose (_count, _sort and the like do not) has a value. NULL: it may be. */
const char *fhir_unbounded(arena *a, val request);
/* A parameter that was asked for and that the self link does not have; NULL. */
const char *fhir_ignored(arena *a, const char *asked, const char *self, bool posted);
#endif
