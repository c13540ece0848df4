/* admin_audit.c - every call leaves a record before it is answered, and the view of the records. */
#include <stdio.h>
#include "admin_int.h"
#include "audit.h"

/* ---- answering ------------------------------------------------------------------------------------------------------------------- */

/* An answer that waits for its record. */
typedef struct waiting {
  admin_door *door;
  http_token token;
  int status;
  const char *type;
  char *body;
  size_t len;
} waiting;

static void send(admin_door *d, http_token t, int status, const char *type, const char *p, size_t n) {
  http_header h[2] = {{{"Content-Type", 12}, {type, strlen(type)}}, {{"WWW-Authenticate", 16}, {"Bearer", 6}}};
  (void)http_reply(d->http, t, status, h, status == 401 ? 2 : 1, p, n);
}

static const char unaudited[] = "{\"error\":\"the call cannot be audited, so it is not answered\"}";

static void on_audited(engine *e, hdw_status s, const log_rec *rec, void *user) {
  waiting *w = (waiting *)user;
  (void)rec;
  if (s != HDW_E_CLOSED) {
    if (s) send(w->door, w->token, 503, "application/json", unaudited, sizeof unaudited - 1);
    else send(w->door, w->token, w->status, w->type, w->body, w->len);
  }
  eng_put(e, w->body, w->len + 1);
  eng_put(e, w, sizeof *w);
}

/* What the record says of a query: without who and reason, which have fields of their own. */
static const char *query_text(admin_query *q) {
  char *out = arena_dup(q->a, q->query.p ? q->query.p : "", q->query.len), *to = out;
  if (!out) return "";
  for (char *p = out; *p;) {
    size_t n = strcspn(p, "&");
    bool keep = strncmp(p, "who=", 4) && strncmp(p, "reason=", 7);
    if (keep) {
      if (to != out) *to++ = '&';
      memmove(to, p, n);
      to += n;
    }
    p += n + (p[n] == '&');
  }
  *to = 0;
  return out;
}

/* Refusals of strangers are counted; so many a minute are recorded. */
static bool denied_is_due(admin *ad) {
  int64_t now = io_mono_us(ad->io);
  ad->denied_total++;
  if (now - ad->denied_us > 60000000) ad->denied_us = now, ad->denied = 0;
  return ad->denied++ < ADMIN_DENIED_A_MINUTE;
}

void admin_finish(admin_query *q, int status) {
  admin *ad = q->ad;
  engine *e = ad->e;
  char roles[80], action[60];
  const char *type = q->type && status == 200 ? q->type : "application/json";
  bool denied = status == 401 || status == 403 || status == 429, due = denied ? denied_is_due(ad) : q->view && !(q->view->roles & ADMIN_QUIET);
  if (q->door->kind == DOOR_OBSERVE || (!due && !q->showed)) {
    send(q->door, q->token, status, type, q->b->p, q->b->len);
    return;
  }
  snprintf(action, sizeof action, "%s %s", q->view ? q->view->method : "", q->view ? q->view->path : "");
  audit_event ev = {.kind = denied ? "denied" : q->showed ? "phi_read" : "call", .who = admin_actor(q), .roles = admin_role_names(q->who->roles, roles), .action = action,
                    .subject = q->path, .query = query_text(q), .reason = admin_param(q, "reason"), .status = (uint32_t)status,
                    .outcome = status < 400 ? AUDIT_OK : status < 500 ? AUDIT_REFUSED : AUDIT_FAILED};
  waiting *w = (waiting *)eng_get(e, sizeof *w);
  char *body = w ? (char *)eng_get(e, q->b->len + 1) : NULL;
  hdw_status s = body ? HDW_OK : HDW_E_NOMEM;
  if (!s) {
    if (q->b->len) memcpy(body, q->b->p, q->b->len);
    *w = (waiting){q->door, q->token, status, type, body, q->b->len};
    s = audit_add(e, &ev, on_audited, w);
  }
  if (!s) return;
  eng_put(e, body, q->b->len + 1);
  eng_put(e, w, sizeof *w);
  send(q->door, q->token, 503, "application/json", unaudited, sizeof unaudited - 1);
}

void admin_note(admin *ad, const char *kind, const char *who, const char *action, const char *subject) {
  audit_event ev = {.kind = kind, .who = who ? who : "daemon", .action = action, .subject = subject};
  char number[24], head[2 * REC_HASH + 1];
  (void)audit_add(ad->e, &ev, NULL, NULL);
  snprintf(number, sizeof number, "%llu", (unsigned long long)ad->e->audit.number);
  eng_hex(ad->e->audit.head, REC_HASH, head);
  eng_say(ad->e, ENGINE_INFO, "audit_head", "why", kind, "number", number, "hash", head, NULL); /* a copy of the head outside of the store */
}

/* ---- the view ------------------------------------------------------------------------------------------------------------------------ */

typedef struct listing {
  admin_query *q;
  const char *who;
  int64_t since_us;
  unsigned left;
  bool first, fhir, query;
} listing;

static bool one(const rec_audit *r, cod_str bytes, void *user) {
  listing *l = (listing *)user;
  (void)bytes;
  if (r->time_us < l->since_us) return false;
  size_t n = l->who ? strlen(l->who) : 0;
  if (l->who && (r->who.len < n || memcmp(r->who.p, l->who, n) || (r->who.len > n && r->who.p[n] != ' '))) return true;
  if (l->fhir) {
    audit_fhir(l->q->b, r, "hdwvm", l->query);
    buf_puts(l->q->b, "\n");
  } else {
    buf_puts(l->q->b, l->first ? "" : ",");
    audit_json(l->q->b, r, l->query);
  }
  l->first = false;
  return --l->left > 0;
}

static int verify(admin_query *q) {
  audit_check c;
  char hex[2 * REC_HASH + 1];
  bool f = true;
  if (audit_verify(q->ad->e->store, q->a, &c)) return 500;
  eng_hex(c.head, REC_HASH, hex);
  buf_puts(q->b, "{");
  admin_number(q->b, &f, "records", c.count);
  admin_number(q->b, &f, "first", c.first);
  admin_number(q->b, &f, "last", c.last);
  if (c.checkpoint) admin_number(q->b, &f, "checkpoint", c.checkpoint);
  admin_key(q->b, &f, "whole");
  buf_puts(q->b, c.bad ? "false" : "true");
  if (c.bad) {
    admin_number(q->b, &f, "broken_at", c.bad);
    admin_text(q->b, &f, "why", c.why, strlen(c.why));
  }
  admin_text(q->b, &f, "head", hex, 64);
  buf_puts(q->b, "}");
  return 200;
}

int admin_audit(admin_query *q) {
  uint64_t since = 0, after = 0;
  unsigned limit = 100;
  const char *format = admin_param(q, "format");
  if (admin_param(q, "verify")) return verify(q);
  int bad = admin_limit(q, ADMIN_MAX_LIMIT, &limit);
  if (!bad) bad = admin_whole(q, "since", 0, INT64_MAX, &since);
  if (!bad) bad = admin_whole(q, "after", 0, ADMIN_ANY, &after);
  if (bad) return bad;
  listing l = {.q = q, .who = admin_param(q, "subject_who"), .since_us = (int64_t)since, .left = limit, .first = true,
               .fhir = format && !strcmp(format, "fhir"), .query = admin_values(q)};
  if (!l.fhir) buf_puts(q->b, "[");
  else q->type = "application/fhir+ndjson";
  if (store_list_audit(q->ad->e->store, after, true, q->a, one, &l)) return admin_error(q, 500, "the audit trail cannot be read");
  if (!l.fhir) buf_puts(q->b, "]");
  return 200;
}
