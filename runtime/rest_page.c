/* rest_page.c - lists that come in pages; see rest_call.h. A page is one step: where it ended is in its result, and comes back with the next one. */
#include <stdio.h>
#include "rest_call.h"

static val member(arena *a, val v, const char *name, size_t len) {
  val out = VAL_NONE;
  const val *slot = v.tag == VAL_OBJ ? val_obj_get(v, val_key(name, len)) : NULL;
  return slot && !val_norm(a, *slot, &out) ? out : VAL_NONE;
}

/* "paging.next.link" in the body. */
static val at_path(arena *a, val v, const char *path) {
  while (*path) {
    size_t n = strcspn(path, ".");
    v = member(a, v, path, n);
    path += n + (path[n] == '.');
  }
  return v;
}

const char *rest_page_target(eng_call *call) {
  const char *next = jv_text(call->a, jv_get(jv_get(call->request, "after"), "next"));
  return next && next[0] == '/' && eng_target_ok(next) ? next : NULL;
}

/* The target, or a query that begins with '?', with that parameter: in the place of an earlier one of the name. */
static const char *with_param(arena *a, const char *target, const char *name, const char *value) {
  buf b;
  size_t n = strlen(name), path = strcspn(target, "?");
  bool first = true;
  buf_init(&b, a, 1 << 20);
  buf_put(&b, target, path);
  for (const char *p = target[path] ? target + path + 1 : target + path; *p;) {
    size_t len = strcspn(p, "&");
    if (!(len >= n && !memcmp(p, name, n) && (len == n || p[n] == '='))) {
      buf_putc(&b, first ? '?' : '&');
      first = false;
      buf_put(&b, p, len);
    }
    p += len + (p[len] == '&');
  }
  buf_putc(&b, first ? '?' : '&');
  eng_percent(&b, name, n, "");
  buf_putc(&b, '=');
  eng_percent(&b, value, strlen(value), "");
  buf_putc(&b, 0);
  return b.status ? NULL : b.p;
}

/* <url>; rel="next" of a Link header. */
static const char *link_of(arena *a, const char *h) {
  while (h && (h = strchr(h, '<'))) {
    const char *end = strchr(h, '>'), *next = end ? strchr(end, '<') : NULL;
    if (!end) return NULL;
    const char *rel = strstr(end, "rel=");
    if (rel && (!next || rel < next)) {
      rel += 4 + (rel[4] == '"');
      if (!strncmp(rel, "next", 4) && !((rel[4] | 32) >= 'a' && (rel[4] | 32) <= 'z')) return arena_dup(a, h + 1, (size_t)(end - h - 1));
    }
    h = next;
  }
  return NULL;
}

/* The links may stand in one header, or in one each (RFC 8288 section 3). */
static const char *link_among(arena *a, const io_http_res *res) {
  const char *link = NULL;
  for (unsigned i = 0; i < res->nheaders && !link; i++)
    if (!strcasecmp(res->headers[i].name, "Link")) link = link_of(a, res->headers[i].value);
  return link;
}

static int64_t number_of(val args, const char *name, int64_t otherwise) {
  int64_t n;
  return jv_int(jv_get(args, name), &n) ? n : otherwise;
}

bool page_is_computed(const char *kind) { return !strcmp(kind, "by_offset") || !strcmp(kind, "by_page") || !strcmp(kind, "by_cursor"); }

const char *page_kind(const eng_conn *c, arena *a) {
  const char *kind = jv_text(a, jv_get(jv_get(c->args, "page"), "$call"));
  return kind ? kind : "";
}

const char *page_computed(eng_call *call, const char *target, val body, uint32_t items, int64_t number, int64_t seen) {
  arena *a = call->a;
  val args = jv_get(jv_get(call->c->args, "page"), "args");
  const char *kind = page_kind(call->c, a), *path = jv_text(a, jv_get(args, "path")), *name = jv_text(a, jv_get(args, "parameter"));
  char text[24];
  if (!strcmp(kind, "by_cursor")) {
    const char *cursor = jv_text(a, at_path(a, body, path ? path : "cursor"));
    return cursor && cursor[0] ? with_param(a, target, name ? name : "cursor", cursor) : NULL;
  }
  bool page = !strcmp(kind, "by_page");
  int64_t size = number_of(args, "size", 0);
  if (!items || (size > 0 && items < size)) return NULL;
  snprintf(text, sizeof text, "%lld", (long long)(page ? number_of(args, "first", 1) + number + 1 : seen));
  return with_param(a, target, name ? name : page ? "page" : "offset", text);
}

/* The next target; NULL when this was the last page, or after a failure (*failed). */
static const char *next_of(eng_http *x, const io_http_res *res, val body, uint32_t items, int64_t number, int64_t seen, bool *failed) {
  eng_call *call = x->call;
  arena *a = call->a;
  const char *kind = page_kind(call->c, a), *path = jv_text(a, jv_get(jv_get(jv_get(call->c->args, "page"), "args"), "path"));
  const char *link = NULL, *why = NULL;
  if (page_is_computed(kind)) return page_computed(call, x->target, body, items, number, seen);
  link = !strcmp(kind, "link_header") ? link_among(a, res) : jv_text(a, at_path(a, body, path ? path : "next"));
  if (!link || !link[0]) return NULL;
  const char *to = eng_http_local(call, x->target, link, &why);
  if (to) return to;
  *failed = true;
  eng_call_fail(call, FAIL_DATA, res->code, "next_origin", "the link to the next page is not followed: %s", why);
  return NULL;
}

static val object(arena *a, unsigned n, const char *const *names, const val *values) {
  val *kv = (val *)arena_alloc(a, (size_t)n * 2 * sizeof *kv);
  uint32_t k = 0;
  if (!kv) return VAL_NONE;
  for (unsigned i = 0; i < n; i++) {
    if (values[i].tag == VAL_EMPTY) continue;
    kv[2 * k] = val_key(names[i], strlen(names[i]));
    kv[2 * k++ + 1] = values[i];
  }
  return (val){.tag = VAL_OBJ, .len = k, .u.v = kv};
}

void rest_page_result(eng_http *x, const io_http_res *res) {
  static const char *const names[] = {"items", "body", "number", "more", "after"}, *const places[] = {"next", "number", "seen", "at", "power", "mark"};
  eng_call *call = x->call;
  arena *a = call->a;
  val after = jv_get(call->request, "after"), body = VAL_NONE, place = VAL_NONE;
  const char *where = jv_text(a, jv_get(call->request, "items")), *mark = jv_text(a, jv_get(after, "mark"));
  int64_t number = number_of(after, "number", -1) + 1, seen = number_of(after, "seen", 0);
  page_guard g = {.at = (uint32_t)number_of(after, "at", 0), .power = (uint32_t)number_of(after, "power", 0)};
  bool failed = false;
  snprintf(g.mark, sizeof g.mark, "%.32s", mark ? mark : "");
  if (val_norm(a, call->result, &body)) body = VAL_NONE;
  if (!where) where = jv_text(a, jv_get(jv_get(jv_get(call->c->args, "page"), "args"), "items"));
  val items = where ? at_path(a, body, where) : call->result.tag == VAL_LIST ? body : VAL_NONE;
  seen += val_count(items);
  const char *next = next_of(x, res, body, val_count(items), number, seen, &failed);
  if (failed) return;
  /* A number that goes up is always another address: there it is the answer that must not be the same. */
  bool counted = page_is_computed(page_kind(call->c, a)) && strcmp(page_kind(call->c, a), "by_cursor") != 0;
  if (next && !(counted ? page_guard_bytes(&g, res->body, res->body_len) : page_guard_step(&g, next))) {
    eng_call_fail(call, FAIL_DATA, res->code, "page_loop", "after %lld pages the server gives a page that was there before", (long long)number + 1);
    return;
  }
  val pv[] = {val_cstr(next ? next : ""), val_int(number), val_int(seen), val_int(g.at), val_int(g.power), val_cstr(arena_dup(a, g.mark, strlen(g.mark)))};
  if (next) place = object(a, 6, places, pv);
  if (items.tag == VAL_EMPTY) items = (val){.tag = VAL_LIST, .flags = VALF_ARRAY};
  val v[] = {items, call->result, val_int(number), val_bool(next != NULL), place};
  call->result = object(a, 5, names, v);
}
