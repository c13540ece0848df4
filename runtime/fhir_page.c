/* fhir_page.c - searches and what is paged like them (F-3 .. F-6, F-9, F-17): pages are followed by their next link, as it stands, on the same origin. For servers without
 * next links the connection can say how pages are counted (page: by_offset, by_page, by_cursor); where there is a link it is followed all the same.
 *
 *   search, history, everything   all pages of one call, merged
 *   pages                         one page a call; `after` says where it ended and comes back as an argument with the next
 *
 * A link that was followed before ends the search (page_guard). */
#include <stdio.h>
#include "fhir_call.h"
#include "points.h"

static void on_page(fhir *f, const io_http_res *res, val body);
static bool on_refusal(fhir *f, const io_http_res *res);

static void go(fhir *f, const char *method) {
  if (!strcmp(method, "GET")) f->s.posted = false;
  f->refusal = on_refusal;
  f->safe = true; /* POST _search changes nothing */
  fhir_go(f);
}

/* ---- the first page ------------------------------------------------------------------------------------------------------------- */

static bool begin(fhir *f, const char **query) {
  val r = f->call->request;
  int64_t n;
  bool nothing = false;
  f->s.max = FHIR_MAX_MATCHES;
  if (jv_int(jv_get(r, "max"), &n) && n >= 0) f->s.max = (uint64_t)n;
  if (jv_int(jv_get(r, "pages"), &n) && n > 0) f->s.max_pages = (uint64_t)n;
  *query = fhir_query(f, &nothing);
  if (!*query) {
    eng_call_unsent(f->call, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory");
    return false;
  }
  f->s.asked = *query;
  const char *wide = fhir_unbounded(f->call->a, r);
  if (wide) {
    eng_call_unsent(f->call, FAIL_DATA, "no_criteria", wide);
    return false;
  }
  nothing |= jv_get(r, "within").tag == VAL_BOOL || jv_get(r, "id").tag == VAL_BOOL;
  if (!nothing) {
    if (f->op->start == fhir_search_start || f->op->start == fhir_pages_start) *query = fhir_quirks_query(f, *query);
    if (!*query) eng_call_unsent(f->call, FAIL_TRANSIENT, "HDW_E_NOMEM", "out of memory");
    return *query != NULL;
  }
  f->call->ok = f->call->unasked = true; /* a parameter without a value: nothing is equal to it */
  f->call->result = fhir_found_nothing(f->call->a);
  f->call->driver = NULL;
  eng_call_later(f->call);
  return false;
}

static void bad_path(fhir *f) { eng_call_unsent(f->call, FAIL_DATA, "bad_path", "the type, id or a parameter cannot stand in an address"); }

/* "Patient/17": a compartment. */
static bool compartment(fhir *f, const char *out[2]) {
  const char *t = jv_text(f->call->a, jv_get(f->call->request, "within"));
  const char *slash = t ? strchr(t, '/') : NULL;
  out[0] = out[1] = "";
  if (!t) return true;
  if (!slash || strchr(slash + 1, '/')) return false;
  out[0] = arena_dup(f->call->a, t, (size_t)(slash - t)), out[1] = slash + 1;
  return out[0] != NULL;
}

static void post_search(fhir *f, const char *in[2], const char *query);

static void search_from(fhir *f, const char *query) {
  const char *in[2];
  val phi = jv_get(f->call->request, "phi");
  bool hide = phi.tag == VAL_BOOL && phi.u.i && query[0];
  if (!compartment(f, in)) {
    bad_path(f);
    return;
  }
  fhir_begin(f, "GET", on_page);
  if (!fhir_path(f, query, in[0], in[1], f->type, NULL)) {
    bad_path(f);
    return;
  }
  if (hide || strlen(f->x.target) > FHIR_URL_MAX) post_search(f, in, query);
  else go(f, f->x.method);
}

static void post_search(fhir *f, const char *in[2], const char *query) {
  fhir_begin(f, "POST", on_page);
  f->s.posted = true;
  f->s.form = query;
  if (!fhir_path(f, NULL, in[0], in[1], f->type, "_search", NULL) || !eng_http_header(&f->x, "Content-Type", "application/x-www-form-urlencoded")) {
    bad_path(f);
    return;
  }
  f->x.body = query, f->x.body_len = strlen(query);
  go(f, f->x.method);
}

void fhir_search_start(fhir *f) {
  const char *query;
  if (begin(f, &query)) search_from(f, query);
}

static void plain_start(fhir *f, const char *query, const char *what) {
  fhir_begin(f, "GET", on_page);
  f->s.checked = true; /* no search: the self link says nothing */
  if (fhir_path(f, query, f->type, f->id, what, NULL)) go(f, "GET");
  else bad_path(f);
}
void fhir_history_start(fhir *f) {
  const char *query;
  if (begin(f, &query)) plain_start(f, query, "_history");
}
void fhir_everything_start(fhir *f) {
  const char *query;
  if (begin(f, &query)) plain_start(f, query, "$everything");
}

/* ---- the next one --------------------------------------------------------------------------------------------------------------- */

/* false, after ending the call, when the link leads back or away. *target: where to. */
static bool follow(fhir *f, const char *link, const char **target) {
  const char *why = NULL;
  *target = eng_http_local(f->call, f->x.target, link, &why);
  if (!*target) fhir_fail(f, FAIL_DATA, 0, "next_origin", "the link to the next page is not followed: %s", why);
  else if (page_guard_step(&f->s.guard, *target)) return true;
  else fhir_fail(f, FAIL_DATA, 0, "page_loop", "after %u pages the server gives a page that was there before", (unsigned)f->s.number + 1);
  return false;
}

/* What is in the page, by which a server that does not count is found out: types and ids. */
static void identities(arena *a, val body, buf *b) {
  val entries = fhir_get(a, body, "entry");
  for (uint32_t i = 0; i < val_count(entries); i++) {
    val r = fhir_get(a, val_item(entries, i), "resource");
    const char *id = jv_text(a, fhir_get(a, r, "id"));
    buf_putf(b, "%s/%s\n", fhir_type_of(a, r), id ? id : "");
  }
}

/* The place of the next page of a server that links none; NULL: there is none, or (*failed) the call has ended. By POST it is the form behind a '?'. */
static const char *counted(fhir *f, val body, uint32_t matches, bool *failed) {
  arena *a = f->call->a;
  fhir_search *s = &f->s;
  int64_t total;
  *failed = false;
  if (strcmp(f->op->name, "search") != 0 && strcmp(f->op->name, "pages") != 0) return NULL;
  if (s->linked || !page_is_computed(page_kind(f->call->c, a)) || (jv_int(s->total, &total) && total >= 0 && s->seen >= (uint64_t)total)) return NULL;
  const char *from = f->x.target;
  if (s->posted) {
    char *q = (char *)arena_alloc(a, strlen(s->form) + 2);
    if (!q) return NULL;
    snprintf(q, strlen(s->form) + 2, "?%s", s->form);
    from = q;
  }
  const char *next = page_computed(f->call, from, body, matches, s->number, s->seen);
  buf b;
  buf_init(&b, a, 16 << 20);
  if (next) identities(a, body, &b);
  if (!next || page_guard_bytes(&s->guard, b.p ? b.p : "", b.len)) return next;
  *failed = true;
  fhir_fail(f, FAIL_DATA, 0, "page_loop", "after %u pages the server gives a page that was there before: does it know the parameter of page:?", (unsigned)s->number + 1);
  return NULL;
}

static void next_page(fhir *f, const char *target) {
  const char *in[2];
  f->s.number++;
  f->s.retried_next = false;
  if (target[0] == '?' && compartment(f, in)) { /* the form of a search by POST */
    post_search(f, in, target + 1);
    return;
  }
  fhir_begin(f, "GET", on_page);
  f->x.target = target;
  if (eng_target_ok(target)) go(f, "GET");
  else fhir_fail(f, FAIL_DATA, 0, "bad_link", "the link to the next page cannot stand in a request");
}

/* A link under _search that is refused as GET: some servers mean the plain address (F-4). */
static bool on_refusal(fhir *f, const io_http_res *res) {
  const char *t = f->x.target, *at = strstr(t, "/_search?");
  if (strcmp(f->x.method, "GET") != 0 || f->s.retried_next || !at || (res->code != 400 && res->code != 404 && res->code != 405)) return false;
  size_t n = (size_t)(at - t), rest = strlen(at + 8);
  char *to = (char *)arena_alloc(f->call->a, n + rest + 1);
  if (!to) return false;
  memcpy(to, t, n);
  memcpy(to + n, at + 8, rest + 1);
  fhir_begin(f, "GET", on_page);
  f->x.target = to;
  f->s.retried_next = true;
  go(f, "GET");
  return true;
}

void fhir_pages_start(fhir *f) {
  const char *query;
  arena *a = f->call->a;
  val after = jv_get(f->call->request, "after");
  f->s.one_page = true;
  if (!begin(f, &query)) return;
  if (after.tag != VAL_OBJ) {
    search_from(f, query);
    return;
  }
  const char *next = jv_text(a, jv_get(after, "next")), *mark = jv_text(a, jv_get(after, "mark"));
  int64_t number = 0, at = 0, power = 1, seen = 0;
  val linked = jv_get(after, "linked");
  (void)jv_int(jv_get(after, "number"), &number), (void)jv_int(jv_get(after, "seen"), &seen), (void)jv_int(jv_get(after, "at"), &at), (void)jv_int(jv_get(after, "power"), &power);
  snprintf(f->s.guard.mark, sizeof f->s.guard.mark, "%.32s", mark ? mark : "");
  f->s.number = (uint32_t)number, f->s.guard.at = (uint32_t)at, f->s.guard.power = (uint32_t)power;
  f->s.seen = (uint32_t)seen, f->s.linked = linked.tag == VAL_BOOL && linked.u.i;
  f->s.checked = true;
  if (next && (next[0] == '/' || next[0] == '?')) {
    next_page(f, next);
    return;
  }
  eng_call_unsent(f->call, FAIL_DATA, "bad_link", "`after` is no place where a page ended");
}

/* ---- answers -------------------------------------------------------------------------------------------------------------------- */

static val list_of(val_builder *b) {
  val v = val_build(b);
  return v.tag == VAL_EMPTY ? (val){.tag = VAL_LIST, .flags = VALF_ARRAY} : v;
}

static void finish(fhir *f, const char *target) {
  static const char *const names[] = {"match", "include", "outcome", "total", "entry", "number", "more", "after"};
  static const char *const places[] = {"next", "number", "at", "power", "mark", "seen", "linked"};
  fhir_search *s = &f->s;
  arena *a = f->call->a;
  val after = VAL_NONE;
  bool one = s->one_page && target && !(s->max_pages && s->number + 1 >= s->max_pages);
  if (one) {
    val v[] = {val_cstr(target), val_int(s->number), val_int(s->guard.at), val_int(s->guard.power), val_cstr(s->guard.mark), val_int((int32_t)s->seen), val_bool(s->linked)};
    after = fhir_object(a, 7, places, v);
  }
  val v[] = {list_of(&s->match), list_of(&s->include), list_of(&s->outcome), s->total, list_of(&s->entry), s->one_page ? val_int(s->number) : VAL_NONE, val_bool(s->more), after};
  fhir_done(f, fhir_object(a, 8, names, v));
}

static bool take(fhir *f, val body, size_t bytes) {
  fhir_search *s = &f->s;
  arena *a = f->call->a;
  val page = fhir_found(a, body);
  hdw_status st = val_push(a, &s->match, fhir_get(a, page, "match"));
  if (!st) st = val_push(a, &s->include, fhir_get(a, page, "include"));
  if (!st) st = val_push(a, &s->outcome, fhir_get(a, page, "outcome"));
  if (!st) st = val_push(a, &s->entry, fhir_get(a, page, "entry"));
  if (s->total.tag == VAL_EMPTY) s->total = fhir_get(a, page, "total");
  s->bytes += bytes;
  s->seen += val_count(fhir_get(a, page, "match"));
  s->pages++;
  if (st) fhir_fail(f, FAIL_DATA, 0, hdw_status_name(st), "the answer cannot be kept");
  return !st;
}

static void on_page(fhir *f, const io_http_res *res, val body) {
  fhir_search *s = &f->s;
  arena *a = f->call->a;
  if (strcmp(fhir_type_of(a, body), "Bundle") != 0) {
    fhir_fail(f, FAIL_DATA, res->code, "not_a_bundle", "a search is answered with a Bundle, this is something else");
    return;
  }
  if (!s->checked) {
    s->checked = true;
    const char *left = !strcmp(f->call->c->cfg->o.ignored_parameters, "accept") ? NULL : fhir_ignored(a, s->asked, fhir_link(a, body, "self"), s->posted);
    if (left) {
      fhir_fail(f, FAIL_DATA, res->code, "search_param_ignored", "the server left out the parameter '%.60s': what it gave may be anybody's", left);
      return;
    }
  }
  uint32_t before = s->seen;
  if (!take(f, body, res->body_len)) return;
  if (!s->one_page && (s->match.len > s->max || s->bytes > FHIR_SEARCH_BYTES)) {
    fhir_fail(f, FAIL_PERMANENT, res->code, "too_many", s->match.len > s->max ? "more than %llu matches; raise max, or take them page by page: for page in c.pages(...)" : "more than %llu bytes; take them page by page: for page in c.pages(...)",
              (unsigned long long)(s->match.len > s->max ? s->max : FHIR_SEARCH_BYTES));
    return;
  }
  const char *link = fhir_link(a, body, "next"), *target = NULL;
  bool failed = false;
  if (HDW_BROKEN("page.lost") && s->number) link = NULL;
  if (link) s->linked = true;
  else if (!(target = counted(f, body, s->seen - before, &failed))) {
    if (!failed) finish(f, NULL);
    return;
  }
  if (link && !follow(f, link, &target)) return;
  if (s->one_page || (s->max_pages && s->pages >= s->max_pages)) {
    s->more = true;
    finish(f, target);
  } else if (s->pages >= FHIR_MAX_PAGES) fhir_fail(f, FAIL_DATA, res->code, "too_many", "more than %d pages", FHIR_MAX_PAGES);
  else next_page(f, target);
}
