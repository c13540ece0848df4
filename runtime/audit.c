/* audit.c - the chain, and how a record looks from outside. */
#include "audit.h"
#include "base64.h"
#include "json.h"
#include <stdio.h>

hdw_status audit_open(engine *e) {
  hdw_status s = store_audit_head(e->store, &e->audit.number, e->audit.head);
  e->audit.open = !s;
  return s;
}

static cod_str part(const char *s) { return s ? cod_bytes(s, strnlen(s, AUDIT_TEXT)) : cod_cstr(""); }

hdw_status audit_add(engine *e, const audit_event *ev, eng_durable fn, void *user) {
  uint8_t hash[REC_HASH];
  if (!e->audit.open) return HDW_E_IO;
  rec_audit r = {.number = e->audit.number + 1, .time_us = io_wall_us(e->io), .kind = part(ev->kind), .who = part(ev->who), .roles = part(ev->roles), .action = part(ev->action),
                 .subject = part(ev->subject), .query = part(ev->query), .reason = part(ev->reason), .outcome = ev->outcome, .status = ev->status, .until = ev->until};
  if (ev->until) memcpy(r.until_hash, ev->until_hash, REC_HASH);
  memcpy(r.previous, e->audit.head, REC_HASH);
  cod_w w = eng_writer(e);
  hdw_status s = rec_put_audit(&w, &r);
  if (s) return s;
  cod_sha256(w.p, w.len, NULL, 0, hash);
  s = eng_append_rec(e, REC_AUDIT, &w, NULL, 0, fn, user, NULL);
  if (s) return s; /* not in the log: the chain goes on from where it was */
  e->audit.number++;
  memcpy(e->audit.head, hash, REC_HASH);
  return HDW_OK;
}

hdw_status audit_expire(engine *e, int64_t until_us, unsigned look, eng_durable fn, void *user, uint64_t *until) {
  uint8_t hash[REC_HASH];
  char subject[64];
  *until = 0;
  if (!e->audit.open) return HDW_OK;
  hdw_status s = store_audit_over(e->store, until_us, look, until, hash);
  if (s || !*until) return s;
  snprintf(subject, sizeof subject, "up to %llu", (unsigned long long)*until);
  audit_event ev = {.kind = "checkpoint", .who = "daemon", .action = "retention", .subject = subject, .until = *until, .until_hash = hash};
  return audit_add(e, &ev, fn, user);
}

/* ---- checking ------------------------------------------------------------------------------------------------------------------ */

typedef struct walk {
  audit_check *c;
  uint8_t before[REC_HASH];    /* what the first record names */
  arena *a;
  arena_mark mark;
} walk;

static bool check_one(const rec_audit *r, cod_str bytes, void *user) {
  walk *w = (walk *)user;
  audit_check *c = w->c;
  static const uint8_t zeros[REC_HASH] = {0};
  if (!c->count) {
    c->first = r->number;
    memcpy(w->before, r->previous, REC_HASH);
  }
  if (r->until && r->until + 1 == c->first && !memcmp(r->until_hash, w->before, REC_HASH)) c->checkpoint = r->number;
  bool begins = r->number == 1;
  if (!c->bad && c->count && r->number != c->last + 1) c->bad = r->number, c->why = "records before it are missing";
  if (!c->bad && (begins ? memcmp(r->previous, zeros, REC_HASH) : c->count && memcmp(r->previous, c->head, REC_HASH))) c->bad = r->number, c->why = "the record before it is not the one that it names";
  c->count++;
  c->last = r->number;
  cod_sha256(bytes.p, bytes.len, NULL, 0, c->head);
  arena_release(w->a, w->mark);
  return true;
}

hdw_status audit_verify(store *s, arena *a, audit_check *out) {
  walk w = {.c = out, .a = a, .mark = arena_here(a)};
  *out = (audit_check){.why = ""};
  hdw_status st = store_list_audit(s, 0, false, a, check_one, &w);
  if (out->first > 1 && !out->checkpoint) out->bad = out->first, out->why = "what was before it is gone, and no checkpoint says so";
  return st;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------------------ */

static void text(buf *b, const char *key, cod_str s) {
  if (!s.len) return;
  buf_putf(b, ",\"%s\":", key);
  json_write_str(b, s.p, s.len);
}

static void stamp(buf *b, int64_t us) {
  tm_val t;
  char s[TM_TEXT_MAX];
  tm_from_unix_us(us - us % 1000, 0, &t);
  t.frac_digits = 3;
  json_write_str(b, s, tm_format_datetime(&t, s));
}

void audit_json(buf *b, const rec_audit *r, bool with_query) {
  char hex[2 * REC_HASH + 1];
  buf_putf(b, "{\"number\":%llu,\"time\":", (unsigned long long)r->number);
  stamp(b, r->time_us);
  text(b, "kind", r->kind);
  text(b, "who", r->who);
  text(b, "roles", r->roles);
  text(b, "action", r->action);
  text(b, "subject", r->subject);
  if (with_query) text(b, "query", r->query);
  text(b, "reason", r->reason);
  buf_putf(b, ",\"outcome\":\"%s\"", r->outcome == 0 ? "done" : r->outcome == AUDIT_REFUSED ? "refused" : "failed");
  if (r->status) buf_putf(b, ",\"status\":%u", r->status);
  if (r->until) {
    eng_hex(r->until_hash, REC_HASH, hex);
    buf_putf(b, ",\"until\":%llu,\"until_hash\":\"%s\"", (unsigned long long)r->until, hex);
  }
  eng_hex(r->previous, REC_HASH, hex);
  buf_putf(b, ",\"previous\":\"%s\"}", hex);
}

/* R(ead), C(reate), U(pdate), E(xecute). */
static const char *action_letter(const rec_audit *r) {
  if (cod_equal(r->kind, cod_cstr("deploy"))) return "C";
  if (r->action.len > 4 && !memcmp(r->action.p, "GET ", 4)) return "R";
  return "E";
}

static void coding(buf *b, const char *system, const char *code, const char *display) {
  buf_putf(b, "{\"system\":\"%s\",\"code\":\"%s\",\"display\":\"%s\"}", system, code, display);
}

#define DICOM "http://dicom.nema.org/resources/ontology/DCM"
static void agents(buf *b, const rec_audit *r, const char *host) {
  buf_puts(b, ",\"agent\":[{\"type\":{\"coding\":[");
  coding(b, DICOM, "110153", "Source Role ID");
  buf_puts(b, "]},\"who\":{\"identifier\":{\"value\":");
  json_write_str(b, r->who.p, r->who.len);
  buf_puts(b, "}},\"requestor\":true");
  if (r->roles.len) {
    buf_puts(b, ",\"role\":[{\"text\":");
    json_write_str(b, r->roles.p, r->roles.len);
    buf_puts(b, "}]");
  }
  if (r->reason.len) {
    buf_puts(b, ",\"purposeOfUse\":[{\"text\":");
    json_write_str(b, r->reason.p, r->reason.len);
    buf_puts(b, "}]");
  }
  buf_puts(b, "},{\"type\":{\"coding\":[");
  coding(b, DICOM, "110152", "Destination Role ID");
  buf_puts(b, "]},\"who\":{\"display\":");
  json_write_str(b, host, strlen(host));
  buf_puts(b, "},\"requestor\":false}]");
}

static void entities(buf *b, const rec_audit *r, bool with_query) {
  bool query = with_query && r->query.len;
  if (!r->subject.len && !query) return;
  buf_puts(b, ",\"entity\":[");
  if (r->subject.len) {
    buf_puts(b, "{\"what\":{\"identifier\":{\"value\":");
    json_write_str(b, r->subject.p, r->subject.len);
    buf_puts(b, "}},\"type\":");
    coding(b, "http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object");
    buf_puts(b, ",\"role\":");
    coding(b, "http://terminology.hl7.org/CodeSystem/object-role", "4", "Domain Resource");
    buf_puts(b, "}");
  }
  if (query) {
    char out[(AUDIT_TEXT + 2) / 3 * 4 + 8];
    size_t n = b64_encode((const uint8_t *)r->query.p, r->query.len > AUDIT_TEXT ? AUDIT_TEXT : r->query.len, out, false);
    buf_puts(b, r->subject.len ? ",{\"type\":" : "{\"type\":");
    coding(b, "http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object");
    buf_puts(b, ",\"role\":");
    coding(b, "http://terminology.hl7.org/CodeSystem/object-role", "24", "Query");
    buf_puts(b, ",\"query\":\"");
    buf_put(b, out, n);
    buf_puts(b, "\"}");
  }
  buf_puts(b, "]");
}

void audit_fhir(buf *b, const rec_audit *r, const char *host, bool with_query) {
  buf_putf(b, "{\"resourceType\":\"AuditEvent\",\"id\":\"%llu\",\"type\":", (unsigned long long)r->number);
  bool call = cod_equal(r->kind, cod_cstr("call")) || cod_equal(r->kind, cod_cstr("phi_read"));
  if (call) coding(b, "http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "Restful Operation");
  else if (cod_equal(r->kind, cod_cstr("denied"))) coding(b, DICOM, "110113", "Security Alert");
  else if (cod_equal(r->kind, cod_cstr("start"))) coding(b, DICOM, "110120", "Application Start");
  else if (cod_equal(r->kind, cod_cstr("stop"))) coding(b, DICOM, "110121", "Application Stop");
  else coding(b, DICOM, "110100", "Application Activity");
  if (call) {
    bool read = action_letter(r)[0] == 'R', search = read && (!r->action.len || r->action.p[r->action.len - 1] != '/');
    buf_puts(b, ",\"subtype\":[");
    coding(b, "http://hl7.org/fhir/restful-interaction", search ? "search" : read ? "read" : "operation", search ? "search" : read ? "read" : "operation");
    buf_puts(b, "]");
  }
  buf_putf(b, ",\"action\":\"%s\",\"recorded\":", action_letter(r));
  stamp(b, r->time_us);
  buf_putf(b, ",\"outcome\":\"%u\"", r->outcome);
  text(b, "outcomeDesc", r->action);
  agents(b, r, host);
  buf_puts(b, ",\"source\":{\"observer\":{\"display\":");
  json_write_str(b, host, strlen(host));
  buf_puts(b, "},\"type\":[");
  coding(b, "http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server");
  buf_puts(b, "]}");
  entities(b, r, with_query);
  buf_puts(b, "}");
}
