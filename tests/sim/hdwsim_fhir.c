/* hdwsim_fhir.c - a FHIR server that several write to: creates with and without a condition, versions, searches in pages.
 *
 *   Basic, urn:m    created when there is none for the message (If-None-Exist): one each
 *   Basic, urn:u    created without a condition: one each, but by a person's hand
 *   Patient         a mark for each message, written on the version that was read (If-Match): nobody's mark is lost; others write, too
 *   Organization    its name is patched by each message, on the version that is there: read, PATCH, again when another was faster, three times at most
 *   Basic, urn:p    three at once by branches, two of them under way at most; urn:t: two in a transaction, both or none
 *   search          the latest Basics of a lane, page by page: what the program counts is what there was */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "hdwsim.h"

enum { MARKS = 64, PATIENTS = SIM_MSGS / 4, FOUND = 8, BODY = 16384, BRANCHES = 3, REAPPLIED = 3 };

typedef struct patient {
  uint32_t version, n;
  char marks[MARKS][32];     /* of messages, and of others */
} patient;

typedef struct organization {
  uint32_t version;
  char name[32];
} organization;

struct fhir_state {
  patient *patients;
  uint32_t made[SIM_MSGS];   /* by message: number of its Basic, 0 = none */
  uint32_t lane[SIM_SENDERS][SIM_MSGS], nlane[SIM_SENDERS];
  uint32_t ids;
  uint8_t found[SIM_MSGS][2]; /* by message: fewest and most that there were to find */
  bool searched[SIM_MSGS], marked[SIM_MSGS];
  organization *organizations;
  struct { uint8_t n; uint32_t trouble; } conflicts[SIM_MSGS]; /* by message: patches in a row that came too late */
  uint32_t trouble;          /* how often anything went wrong: whoever patches may begin anew since */
  uint32_t both[SIM_MSGS];   /* number of the first of the two of its transaction, 0 = there are none */
  uint32_t branch[SIM_MSGS][BRANCHES];
  uint64_t asks[SIM_MSGS][BRANCHES]; /* the branches' latest requests */
};

/* A request on its way through. */
typedef struct ask {
  world *w;
  uint64_t id;
  const io_http_req *q;
  int64_t delay;
  bool good;                 /* the answer comes in time, and as it should */
} ask;

static const char *header(const io_http_req *q, const char *name) {
  for (unsigned i = 0; i < q->nheaders; i++)
    if (!strcasecmp(q->headers[i].name, name)) return q->headers[i].value;
  return NULL;
}

static bool has(const io_http_req *q, const char *text) { return q->body_len && memmem(q->body, q->body_len, text, strlen(text)); }

/* The text behind `before`, up to one of `ends`, into out. false: it is not there. */
static bool after(const char *p, size_t len, const char *before, const char *ends, char *out, size_t cap) {
  const char *at = len ? (const char *)memmem(p, len, before, strlen(before)) : NULL;
  size_t n = 0;
  if (!at) return false;
  for (at += strlen(before); at + n < p + len && n + 1 < cap && !strchr(ends, at[n]); n++) out[n] = at[n];
  out[n] = 0;
  return true;
}

static void reply(const ask *a, int code, const char *body, const char *name, const char *value, const char *name2, const char *value2) {
  io_http_header h[3] = {{"Content-Type", "application/fhir+json"}, {name, value}, {name2, value2}};
  io_http_res res = {.status = HDW_OK, .sent = true, .code = code, .headers = h, .nheaders = name2 ? 3 : name ? 2 : 1, .body = body, .body_len = strlen(body), .error = ""};
  io_sim_http_reply(a->w->io, a->id, &res, a->delay);
  peers_heard(a->w, PORT_EHR, a->id, a->delay, heard_of(code));
}

/* It was performed; the answer is lost, late, or garbage. */
static void spoilt(const ask *a) {
  world *w = a->w;
  say(w, "ehr %s %s: done, and its answer is of no use", a->q->method, a->q->target);
  if (chance(w, 400)) return;
  if (chance(w, 400)) {
    reply(a, 200, chance(w, 500) ? "{\"resourceType\":\"Bas" : "<html>", NULL, NULL, NULL, NULL);
    return;
  }
  io_http_res res = {.status = HDW_E_IO, .sent = true, .error = "the connection broke"};
  io_sim_http_reply(w->io, a->id, &res, a->delay);
  peers_heard(w, PORT_EHR, a->id, a->delay, HEARD_BAD);
}

static int64_t answered_us(const ask *a) { return a->good ? now_us(a->w) + a->delay + 1000 : 0; }

/* Not performed. */
static void refuse(const ask *a, bool busy) {
  static const struct { int code; const char *issue; bool after; } later[] = {{429, "throttled", true}, {429, "", true}, {503, "", true}, {500, "", false}, {502, "", false}, {423, "lock-error", false}, {504, "timeout", false}};
  static const struct { int code; const char *issue; } no[] = {{422, "invalid"}, {400, "structure"}, {403, "forbidden"}, {404, "not-found"}, {409, "conflict"}, {412, ""}};
  world *w = a->w;
  unsigned i = (unsigned)draw(w, busy ? 7 : 6);
  int code = busy ? later[i].code : no[i].code, seconds = busy && later[i].after && chance(w, 500) ? 1 + (int)draw(w, 12) : 0;
  const char *issue = busy ? later[i].issue : no[i].issue;
  char body[200] = "", number[16];
  if (issue[0]) snprintf(body, sizeof body, "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"%s\"}]}", issue);
  snprintf(number, sizeof number, "%d", seconds);
  say(w, "ehr %s %s: refused with %d %s, Retry-After %d", a->q->method, a->q->target, code, issue, seconds);
  reply(a, code, body, seconds ? "Retry-After" : NULL, number, NULL, NULL);
  if (seconds && a->delay < a->q->timeout_us - 100000) peers_leave_alone(w, PORT_EHR, a->id, now_us(w) + a->delay, seconds * SECOND);
}

/* ---- Basic --------------------------------------------------------------------------------------------------------------------------------------- */

static message *message_of(world *w, const char *id) {
  const char *dot = strchr(id, '.');
  return dot ? model_find(w, id, (size_t)(dot - id), dot + 1, strlen(dot + 1)) : NULL;
}

static unsigned version_in(const io_http_req *q) {
  char v[4];
  return after((const char *)q->body, q->body_len, "\"text\":\"v", " \"", v, sizeof v) ? (unsigned)(v[0] - '0') : 0;
}

static void stored(const ask *a, int code, uint32_t number, const char *type_id) {
  char body[200], place[100];
  snprintf(place, sizeof place, "http://127.0.0.1:9004/r4/Basic/b%u/_history/1", number);
  snprintf(body, sizeof body, "{\"resourceType\":\"Basic\",\"id\":\"b%u\",\"meta\":{\"versionId\":\"1\"},\"code\":{\"text\":\"%s\"}}", number, type_id);
  reply(a, code, number % 2 ? body : "", "Location", place, "ETag", "W/\"1\"");
}

static void create_once(ask *a, message *m, bool spoil) {
  struct fhir_state *f = a->w->fhir;
  uint32_t i = (uint32_t)(m - a->w->msgs);
  char want[64];
  const char *cond = header(a->q, "If-None-Exist");
  snprintf(want, sizeof want, "identifier=urn:m%%7C%s.%s", m->id, m->tag);
  if (!cond || strcasecmp(cond, want) != 0) broken(a->w, "%s.%s is created without its condition: %s", m->id, m->tag, cond ? cond : "none");
  bool there = f->made[i] != 0;
  if (!there) {
    f->made[i] = ++f->ids;
    f->lane[m->lane][f->nlane[m->lane]++] = i;
  }
  say(a->w, "ehr %s.%s: %s", m->id, m->tag, there ? "is there already" : "created");
  model_done(a->w, m, FX_FIRST, answered_us(a));
  if (spoil) spoilt(a);
  else stored(a, there ? 200 : 201, f->made[i], "x");
}

/* What the program says of the others that it made is so: in the order of its text, whatever came first. */
static void all_there(world *w, const message *m, const char *said) {
  const struct fhir_state *f = w->fhir;
  uint32_t i = (uint32_t)(m - w->msgs);
  unsigned t[2] = {0}, p[BRANCHES] = {0}, ref = 0;
  if (sscanf(said, "tb%u,b%u r%u pb%u,b%u,b%u", &t[0], &t[1], &ref, &p[0], &p[1], &p[2]) != 6) broken(w, "%s.%s: a create says nothing of the others: %s", m->id, m->tag, said);
  if (!f->both[i] || t[0] != f->both[i] || t[1] != f->both[i] + 1) broken(w, "%s.%s says that its transaction made b%u and b%u, and it was b%u", m->id, m->tag, t[0], t[1], f->both[i]);
  for (unsigned k = 0; k < BRANCHES; k++)
    if (!p[k] || p[k] != f->branch[i][k]) broken(w, "%s.%s says that branch %u made b%u, and it was b%u", m->id, m->tag, k, p[k], f->branch[i][k]);
  cached_used(w, m, ref);
}

/* What the program says of its search and of its mark is so. */
static void create_blindly(ask *a, message *m, bool spoil) {
  struct fhir_state *f = a->w->fhir;
  uint32_t i = (uint32_t)(m - a->w->msgs);
  char text[120], word[16] = "";
  unsigned n = 0;
  int rest = 0;
  if (!after((const char *)a->q->body, a->q->body_len, "\"text\":\"", "\"", text, sizeof text) || sscanf(text + 2, " %u %15s %n", &n, word, &rest) != 2) broken(a->w, "%s.%s: a create says nothing of what was found", m->id, m->tag);
  if (!f->searched[i] || n < f->found[i][0] || n > f->found[i][1]) broken(a->w, "%s.%s found %u, and there were %u to %u", m->id, m->tag, n, f->found[i][0], f->found[i][1]);
  if (strcmp(word, "busy") != 0 && !f->marked[i]) broken(a->w, "%s.%s says that its mark is %s, and it is not", m->id, m->tag, word);
  all_there(a->w, m, text + 2 + rest);
  say(a->w, "ehr %s.%s: created without a condition, %s", m->id, m->tag, text);
  model_done(a->w, m, FX_EMR, answered_us(a));
  if (spoil) spoilt(a);
  else stored(a, 201, ++f->ids, "y");
}

/* ---- Patient -------------------------------------------------------------------------------------------------------------------------------------- */

static void show(const ask *a, const char *id, const patient *p) {
  static char body[BODY];
  char tag[24];
  size_t n = (size_t)snprintf(body, sizeof body, "{\"resourceType\":\"Patient\",\"id\":\"%s\",\"meta\":{\"versionId\":\"%u\"},\"identifier\":[{\"system\":\"urn:x\",\"value\":\"%s\"}", id, p->version, id);
  for (uint32_t i = 0; i < p->n; i++) n += (size_t)snprintf(body + n, sizeof body - n, ",{\"system\":\"urn:m\",\"value\":\"%s\"}", p->marks[i]);
  snprintf(body + n, sizeof body - n, "]}");
  snprintf(tag, sizeof tag, "W/\"%u\"", p->version);
  reply(a, 200, body, "ETag", tag, NULL, NULL);
}

static bool marked(const patient *p, const char *id) {
  for (uint32_t i = 0; i < p->n; i++)
    if (!strcmp(p->marks[i], id)) return true;
  return false;
}

/* Somebody else writes. */
static void other_writes(world *w, patient *p) {
  if (p->n >= MARKS / 2) return;
  snprintf(p->marks[p->n], sizeof p->marks[0], "x%u", p->n);
  p->n++, p->version++;
  say(w, "ehr: another one writes");
}

/* Whose mark a PUT adds; what was there must stay. */
static message *who_marks(world *w, const patient *p, const io_http_req *q, bool current) {
  const char *at = (const char *)q->body, *end = at + q->body_len;
  char id[32], mine[32] = "";
  uint32_t n = 0;
  while ((at = (const char *)memmem(at, (size_t)(end - at), "\"value\":\"", 9)) != NULL) {
    (void)after(at, (size_t)(end - at), "\"value\":\"", "\"", id, sizeof id);
    at += 9;
    if (id[0] == 'p') continue;
    n++;
    snprintf(mine, sizeof mine, "%s", id); /* it is the last one */
  }
  message *m = message_of(w, mine);
  if (!m) broken(w, "an update of a patient adds nobody's mark: %.*s", (int)q->body_len, (const char *)q->body);
  if (!current) return m;
  if (marked(p, mine)) broken(w, "%s is marked twice", mine);
  if (n != p->n + 1) broken(w, "%s writes a patient with %u marks on version %u, which has %u: somebody's are lost", mine, n, p->version, p->n);
  for (uint32_t i = 0; i < p->n; i++) {
    char quoted[40];
    snprintf(quoted, sizeof quoted, "\"%s\"", p->marks[i]);
    if (!has(q, quoted)) broken(w, "%s writes a patient, and the mark of %s is lost", mine, p->marks[i]);
  }
  return m;
}

static void update(ask *a, const char *id, patient *p, bool spoil) {
  world *w = a->w;
  const char *match = header(a->q, "If-Match");
  char want[24];
  snprintf(want, sizeof want, "W/\"%u\"", p->version);
  if (!match || match[0] != 'W') broken(w, "%s is written without the version that was read: %s", id, match ? match : "none");
  bool current = !strcmp(match, want);
  message *m = who_marks(w, p, a->q, current);
  model_attempt_freely(w, m, FX_BRANCH1);
  if (!current) {
    say(w, "ehr %s: %s.%s comes with %s, and %s is there", id, m->id, m->tag, match, want);
    if (chance(w, 700)) reply(a, 412, "", NULL, NULL, NULL, NULL);
    else reply(a, 409, "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"conflict\"}]}", NULL, NULL, NULL, NULL);
    return;
  }
  if (p->n == MARKS) broken(w, "too many marks");
  snprintf(p->marks[p->n++], sizeof p->marks[0], "%s.%s", m->id, m->tag);
  p->version++;
  w->fhir->marked[m - w->msgs] = true;
  say(w, "ehr %s: %s.%s has its mark, version %u", id, m->id, m->tag, p->version);
  model_done(w, m, FX_BRANCH1, answered_us(a));
  if (spoil) spoilt(a);
  else show(a, id, p);
}

/* ---- Organization: patches --------------------------------------------------------------------------------------------------------------------------- */

static void show_organization(const ask *a, const char *id, const organization *o) {
  char body[200], tag[24];
  snprintf(body, sizeof body, "{\"resourceType\":\"Organization\",\"id\":\"%s\",\"meta\":{\"versionId\":\"%u\"}%s%s%s}", id, o->version, o->name[0] ? ",\"name\":\"" : "", o->name, o->name[0] ? "\"" : "");
  snprintf(tag, sizeof tag, "W/\"%u\"", o->version);
  reply(a, 200, body, "ETag", tag, NULL, NULL);
}

static void patch(ask *a, const char *id, organization *o, bool spoil) {
  world *w = a->w;
  struct fhir_state *f = w->fhir;
  const char *p = (const char *)a->q->body, *match = header(a->q, "If-Match"), *type = header(a->q, "Content-Type");
  char who[32] = "", version[16] = "", want[24];
  const char *name = a->q->body_len ? (const char *)memmem(p, a->q->body_len, "\"/name\"", 7) : NULL;
  message *m = name && after(name, a->q->body_len - (size_t)(name - p), "\"value\":\"", "\"", who, sizeof who) ? message_of(w, who) : NULL;
  if (!m || !type || strcmp(type, "application/json-patch+json") != 0 || !after(p, a->q->body_len, "\"path\":\"/meta/versionId\",\"value\":\"", "\"", version, sizeof version))
    broken(w, "a patch of %s is none: %.*s", id, (int)a->q->body_len, p);
  snprintf(want, sizeof want, "W/\"%s\"", version);
  if (!match || strcmp(match, want) != 0) broken(w, "%s.%s patches %s with If-Match %s, and tests version %s", m->id, m->tag, id, match ? match : "none", version);
  model_attempt_freely(w, m, FX_BRANCH2);
  if (strtoul(version, NULL, 10) != o->version) {
    if (f->conflicts[m - w->msgs].trouble != f->trouble) f->conflicts[m - w->msgs].n = 0;
    f->conflicts[m - w->msgs].trouble = f->trouble;
    uint8_t *late = &f->conflicts[m - w->msgs].n;
    say(w, "ehr: %s.%s patches version %s of %s, and %u is there", m->id, m->tag, version, id, o->version);
    if (++*late > 1 + REAPPLIED) broken(w, "%s.%s patches %s for the %u. time in a row, and others were faster each time", m->id, m->tag, id, *late);
    reply(a, chance(w, 700) ? 412 : 409, "", NULL, NULL, NULL, NULL);
    return;
  }
  f->conflicts[m - w->msgs].n = 0;
  snprintf(o->name, sizeof o->name, "%s.%s", m->id, m->tag);
  o->version++;
  say(w, "ehr %s: patched by %s.%s, version %u", id, m->id, m->tag, o->version);
  bool shows = chance(w, 500); /* else it is read, which takes its time */
  model_done(w, m, FX_BRANCH2, !a->good || shows ? answered_us(a) : answered_us(a) + 3 * a->q->timeout_us);
  if (spoil) spoilt(a);
  else if (shows) show_organization(a, id, o);
  else {
    snprintf(want, sizeof want, "W/\"%u\"", o->version);
    reply(a, 200, "", "ETag", want, NULL, NULL);
  }
}

static void organizations(ask *a, const char *id, organization *o, bool spoil) {
  world *w = a->w;
  if (!o->version) o->version = 1;
  if (!strcmp(a->q->method, "PATCH")) {
    patch(a, id, o, spoil);
    return;
  }
  if (spoil) spoilt(a);
  else show_organization(a, id, o);
  if (spoil || !chance(w, w->now.calm ? 20 : 200)) return;
  o->version++;
  say(w, "ehr %s: another one writes, version %u", id, o->version);
}

void fhir_trouble(world *w) { w->fhir->trouble++; }

/* ---- branches, transactions -------------------------------------------------------------------------------------------------------------------------- */

static void branch(ask *a, bool spoil) {
  world *w = a->w;
  struct fhir_state *f = w->fhir;
  char id[40], want[80];
  unsigned busy = 0;
  if (!after((const char *)a->q->body, a->q->body_len, "\"value\":\"", "\"", id, sizeof id)) broken(w, "a create without an identifier");
  char *dash = strchr(id, '-');
  unsigned k = dash ? (unsigned)strtoul(dash + 1, NULL, 10) - 1 : BRANCHES;
  const char *cond = header(a->q, "If-None-Exist");
  snprintf(want, sizeof want, "identifier=urn:p%%7C%s", id);
  if (dash) *dash = 0;
  message *m = message_of(w, id);
  if (!m || k >= BRANCHES || !cond || strcasecmp(cond, want) != 0) broken(w, "a branch creates %s with the condition %s", id, cond ? cond : "none");
  uint32_t i = (uint32_t)(m - w->msgs);
  model_attempt_freely(w, m, FX_READ);
  f->asks[i][k] = a->id;
  for (unsigned x = 0; x < BRANCHES; x++) busy += f->asks[i][x] && io_sim_http_waits(w->io, f->asks[i][x]);
  if (busy > 2) broken(w, "%s.%s: %u branches are at work at once, and 2 may be", m->id, m->tag, busy);
  bool there = f->branch[i][k] != 0;
  if (!there) f->branch[i][k] = ++f->ids;
  say(w, "ehr %s.%s: branch %u %s", m->id, m->tag, k + 1, there ? "is there already" : "created");
  if (spoil) spoilt(a);
  else stored(a, there ? 200 : 201, f->branch[i][k], "p");
}

static void transaction(ask *a, bool spoil) {
  world *w = a->w;
  struct fhir_state *f = w->fhir;
  char id[40], other[40], want[80], body[500];
  bool two = has(a->q, "\"type\":\"transaction\"") && after((const char *)a->q->body, a->q->body_len, "\"ifNoneExist\":\"identifier=urn:t|", "\"", id, sizeof id);
  char *dash = two ? strchr(id, '-') : NULL;
  snprintf(other, sizeof other, "%.*s-2", dash ? (int)(dash - id) : 0, id);
  snprintf(want, sizeof want, "\"ifNoneExist\":\"identifier=urn:t|%s\"", other);
  if (!dash || dash[1] != '1' || !has(a->q, want)) broken(w, "a transaction is none: %.*s", (int)a->q->body_len, (const char *)a->q->body);
  *dash = 0;
  message *m = message_of(w, id);
  if (!m) broken(w, "a transaction for a message that nobody sent: %s", id);
  model_attempt_freely(w, m, FX_NEW);
  uint32_t *first = &f->both[m - w->msgs];
  bool there = *first != 0;
  if (!there) *first = f->ids + 1, f->ids += 2;
  say(w, "ehr %s.%s: transaction, b%u and b%u%s", m->id, m->tag, *first, *first + 1, there ? ", which are there" : "");
  model_done(w, m, FX_NEW, answered_us(a));
  if (spoil) {
    spoilt(a);
    return;
  }
  const char *status = there ? "200 OK" : "201 Created";
  snprintf(body, sizeof body, "{\"resourceType\":\"Bundle\",\"type\":\"transaction-response\",\"entry\":[{\"response\":{\"status\":\"%s\",\"location\":\"Basic/b%u/_history/1\"}},{\"response\":{\"status\":\"%s\",\"location\":\"Basic/b%u/_history/1\"}}]}",
           status, *first, status, *first + 1);
  reply(a, 200, body, NULL, NULL, NULL, NULL);
}

/* ---- search --------------------------------------------------------------------------------------------------------------------------------------- */

/* Entries from..n-1 of what lane had when it had n; page links hold both. */
static void page(const ask *a, unsigned lane, uint32_t n, uint32_t from, unsigned size) {
  const struct fhir_state *f = a->w->fhir;
  char body[4000];
  uint32_t end = from + size < n ? from + size : n;
  size_t at = (size_t)snprintf(body, sizeof body, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"link\":[{\"relation\":\"self\",\"url\":\"http://127.0.0.1:9004/r4/Basic?code=urn:lane|P%u\"}", lane);
  if (end < n) at += (size_t)snprintf(body + at, sizeof body - at, ",{\"relation\":\"next\",\"url\":\"http://127.0.0.1:9004/r4?page=%u-%u-%u-%u\"}", lane, n, end, size);
  at += (size_t)snprintf(body + at, sizeof body - at, "],\"entry\":[");
  for (uint32_t i = from; i < end; i++)
    at += (size_t)snprintf(body + at, sizeof body - at, "%s{\"search\":{\"mode\":\"match\"},\"resource\":{\"resourceType\":\"Basic\",\"id\":\"b%u\",\"code\":{\"text\":\"x\"}}}", i > from ? "," : "", f->made[f->lane[lane][i]]);
  snprintf(body + at, sizeof body - at, "]}");
  reply(a, 200, body, NULL, NULL, NULL, NULL);
}

/* Only the lane is known, not who asks: every message of it may, that has not been through. */
static void search(const ask *a, unsigned lane) {
  world *w = a->w;
  struct fhir_state *f = w->fhir;
  uint32_t n = f->nlane[lane], found = n < FOUND ? n : FOUND;
  for (uint32_t i = 0; i < w->nmsgs; i++) {
    if (w->msgs[i].lane != lane || !f->made[i] || w->msgs[i].fx[FX_EMR].tries) continue;
    if (!f->searched[i] || found < f->found[i][0]) f->found[i][0] = (uint8_t)found;
    if (!f->searched[i] || found > f->found[i][1]) f->found[i][1] = (uint8_t)found;
    f->searched[i] = true;
  }
  say(w, "ehr: a search in lane %u finds %u", lane, found);
  page(a, lane, n, n - found, 1 + (unsigned)draw(w, 5));
}

/* ---- all ------------------------------------------------------------------------------------------------------------------------------------------- */

/* What it is about; the attempt is in the ledger then. NULL: a read or an update. */
static message *created(world *w, const io_http_req *q, bool *once) {
  char id[32];
  if (strcmp(q->method, "POST") != 0 || strcmp(q->target, "/r4/Basic") != 0 || has(q, "\"urn:p\"")) return NULL;
  if (!after((const char *)q->body, q->body_len, "\"value\":\"", "\"", id, sizeof id)) broken(w, "a create without an identifier: %.*s", (int)q->body_len, (const char *)q->body);
  message *m = message_of(w, id);
  if (!m) broken(w, "a create for a message that nobody sent: %s", id);
  *once = has(q, "\"urn:m\"");
  model_attempt(w, m, *once ? FX_FIRST : FX_EMR, "", hash_of(q->body, q->body_len), version_in(q));
  return m;
}

static void perform(ask *a, message *m, bool once, bool spoil) {
  world *w = a->w;
  const io_http_req *q = a->q;
  unsigned lane, n, from, size, number;
  char form[40];
  if (m) {
    if (once) create_once(a, m, spoil);
    else create_blindly(a, m, spoil);
  } else if (!strcmp(q->method, "POST") && !strcmp(q->target, "/r4/Basic")) branch(a, spoil);
  else if (!strcmp(q->method, "POST") && !strcmp(q->target, "/r4")) transaction(a, spoil);
  else if (sscanf(q->target, "/r4/Organization/p%u", &number) == 1 && number < PATIENTS) organizations(a, q->target + 17, &w->fhir->organizations[number], spoil);
  else if (sscanf(q->target, "/r4/Patient/p%u", &number) == 1 && number < PATIENTS) {
    patient *p = &w->fhir->patients[number];
    if (!p->version) p->version = 1;
    if (!strcmp(q->method, "PUT")) {
      update(a, q->target + 12, p, spoil);
      return;
    }
    if (spoil) spoilt(a);
    else show(a, q->target + 12, p);
    if (chance(w, w->now.calm ? 20 : 200)) other_writes(w, p);
  } else if (!strcmp(q->target, "/r4/Basic/_search") && after((const char *)q->body, q->body_len, "code=urn:lane%7CP", "&", form, sizeof form)) {
    lane = (unsigned)strtoul(form, NULL, 10);
    if (lane >= SIM_SENDERS) broken(w, "a search for the lane %u", lane);
    search(a, lane);
  } else if (sscanf(q->target, "/r4?page=%u-%u-%u-%u", &lane, &n, &from, &size) == 4 && lane < SIM_SENDERS && n <= w->fhir->nlane[lane] && from < n && size <= FOUND) page(a, lane, n, from, size);
  else broken(w, "the FHIR server is asked for %s %s %.*s", q->method, q->target, (int)q->body_len, q->body_len ? (const char *)q->body : "");
}

void fhir_request(world *w, uint64_t id, const io_http_req *q, bool lost) {
  const weather *now = &w->now;
  ask a = {.w = w, .id = id, .q = q, .delay = chance(w, now->delay) ? draw_time(w, now->delay_us) : (int64_t)draw(w, 3000)};
  bool once = false;
  message *m = created(w, q, &once);
  if (!login_admits(w, id, q, a.delay)) {
    fhir_trouble(w);
    return;
  }
  unsigned what = (unsigned)draw(w, 1000);
  if (what < now->busy + now->bad) {
    fhir_trouble(w);
    refuse(&a, what < now->busy);
    return;
  }
  bool spoil = lost || what < now->busy + now->bad + now->silent + now->garbage;
  a.good = !spoil && a.delay < q->timeout_us - 100000;
  if (!a.good) fhir_trouble(w);
  perform(&a, m, once, spoil);
}

void fhir_start(world *w) {
  w->fhir = (struct fhir_state *)calloc(1, sizeof *w->fhir);
  w->fhir->patients = (patient *)calloc(PATIENTS, sizeof *w->fhir->patients);
  w->fhir->organizations = (organization *)calloc(PATIENTS, sizeof *w->fhir->organizations);
}

void fhir_free(world *w) {
  free(w->fhir->patients);
  free(w->fhir->organizations);
  free(w->fhir);
}
