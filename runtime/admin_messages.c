/* admin_messages.c - inputs: search by index, page by page; one input with everything that came of it.
 *
 * One index is followed (patient, control id, sender, else time), newest first; the other conditions are checked row by row. A page ends when it is full or
 * when LOOK_ROWS rows were looked at, so that no search holds the daemon up; "next" is where the following page begins. */
#include "admin_int.h"
#include "trace.h"

enum { LOOK_ROWS = 20000, MAX_ROWS = 10000 };

static void put_str(buf *b, bool *f, const char *k, cod_str s) {
  if (s.len) admin_text(b, f, k, s.p, s.len);
}

static void message_row(admin_query *q, const store_input *in) {
  buf *b = q->b;
  bool f = true;
  admin_number(b, &f, "id", in->id);
  admin_time(b, &f, "received", in->received_us);
  put_str(b, &f, "source", in->source);
  put_str(b, &f, "type", in->type);
  put_str(b, &f, "control_id", in->control_id);
  put_str(b, &f, "sender", in->sender);
  put_str(b, &f, "peer", in->peer);
  if (in->identity.len) put_str(b, &f, "identity", in->identity);
  admin_text(b, &f, "state", admin_input_state(in->state), strlen(admin_input_state(in->state)));
  put_str(b, &f, "ack", in->ack_code);
  put_str(b, &f, "error", in->error_code);
  put_str(b, &f, "text", in->text);
  admin_number(b, &f, "attempts", in->attempts);
  admin_number(b, &f, "bytes", in->body_len);
}

/* ---- search ------------------------------------------------------------------------------------------------------------------------ */

typedef struct search {
  admin_query *q;
  const char *control_id, *sender, *type, *state;
  int64_t since_us, until_us;
  unsigned left, look;
  uint64_t last;             /* looked at */
  bool first, more;
} search;

static bool same(const char *want, cod_str s) { return !want || (strlen(want) == s.len && !memcmp(want, s.p, s.len)); }

/* "ADT" finds ADT^A01 too. */
static bool type_fits(const char *want, cod_str s) {
  size_t n = want ? strlen(want) : 0;
  return !want || (s.len >= n && !memcmp(want, s.p, n) && (s.len == n || s.p[n] == '^' || s.p[n] == ' '));
}

static bool one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  search *l = (search *)user;
  store_input in;
  (void)part, (void)state;
  if (!l->left || !l->look) {
    l->more = true;
    return false;
  }
  l->look--;
  l->last = id;
  if (store_get_input(l->q->ad->e->store, ENG_PART, id, l->q->a, &in)) return true;
  if (in.received_us < l->since_us) return false;
  if (l->until_us && in.received_us >= l->until_us) return true;
  /* Indexes hold hashes: the row decides. */
  if (!same(l->control_id, in.control_id) || !same(l->sender, in.sender) || !type_fits(l->type, in.type)) return true;
  if (l->state && strcmp(l->state, admin_input_state(in.state))) return true;
  buf_puts(l->q->b, l->first ? "{" : ",{");
  l->first = false;
  message_row(l->q, &in);
  buf_puts(l->q->b, "}");
  l->left--;
  return true;
}

static bool known_state(const char *s) {
  for (uint8_t i = INPUT_ACCEPTED; i <= INPUT_RUNNING; i++)
    if (!strcmp(s, admin_input_state(i))) return true;
  return false;
}

int admin_messages(admin_query *q) {
  engine *e = q->ad->e;
  const char *patient = admin_param(q, "patient");
  uint64_t since = 0, until = 0, after = 0, at;
  unsigned limit = 50;
  int bad = admin_limit(q, MAX_ROWS, &limit);
  if (!bad) bad = admin_whole(q, "since", 0, INT64_MAX, &since);
  if (!bad) bad = admin_whole(q, "until", 0, INT64_MAX, &until);
  if (!bad) bad = admin_whole(q, "after", 0, ADMIN_ANY, &after);
  if (bad) return bad;
  search l = {.q = q, .control_id = admin_param(q, "control_id"), .sender = admin_param(q, "sender"), .type = admin_param(q, "type"), .state = admin_param(q, "state"),
              .since_us = (int64_t)since, .until_us = (int64_t)until, .left = limit, .look = LOOK_ROWS, .first = true};
  if (patient && !admin_values(q)) return admin_error(q, 403, "to search by patient is to see whether the patient is here: it needs the role phi_viewer and a reason");
  if (l.state && !known_state(l.state)) return admin_error(q, 400, "state is one of accepted, unmatched, rejected, failed, running");
  bool paged = admin_param(q, "page") != NULL;
  store_index by = patient ? STORE_BY_PATIENT : l.control_id ? STORE_BY_CONTROL_ID : l.sender ? STORE_BY_SENDER : STORE_BY_TIME;
  const char *key = patient ? patient : l.control_id ? l.control_id : l.sender ? l.sender : "";
  /* Ids rise with time: what is younger than until is not even looked at. */
  if (until && !store_input_since(e->store, ENG_PART, (int64_t)until, &at) && (!after || at < after)) after = at;
  buf_puts(q->b, paged ? "{\"messages\":[" : "[");
  hdw_status s = store_list_inputs(e->store, ENG_PART, by, cod_cstr(key), after, true, 0, one, &l);
  buf_puts(q->b, "]");
  if (paged && l.more) buf_putf(q->b, ",\"next\":%llu", (unsigned long long)l.last);
  if (paged) buf_puts(q->b, "}");
  return s && s != HDW_E_NOTFOUND ? admin_error(q, 500, "the store cannot be read") : 200;
}

/* ---- one ----------------------------------------------------------------------------------------------------------------------------- */

typedef struct parts {
  admin_query *q;
  bool first;
} parts;

static bool run_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  parts *l = (parts *)user;
  store_run r;
  (void)part, (void)state;
  if (store_get_run(l->q->ad->e->store, ENG_PART, id, l->q->a, &r)) return true;
  buf_puts(l->q->b, l->first ? "{" : ",{");
  l->first = false;
  admin_run_row(l->q, &r);
  buf_puts(l->q->b, "}");
  return true;
}

static bool delivery_one(uint16_t part, uint64_t id, uint8_t state, void *user) {
  parts *l = (parts *)user;
  (void)part, (void)state;
  buf_puts(l->q->b, l->first ? "{" : ",{");
  l->first = false;
  admin_delivery_row(l->q, id, false);
  buf_puts(l->q->b, "}");
  return true;
}
static bool deliveries_of(uint16_t part, uint64_t id, uint8_t state, void *user) {
  (void)state;
  (void)store_list_deliveries_of_run(((parts *)user)->q->ad->e->store, part, id, delivery_one, user);
  return true;
}

int admin_message(admin_query *q) {
  engine *e = q->ad->e;
  store_input in;
  log_rec rec;
  uint64_t id;
  parts runs = {q, true}, out = {q, true};
  bool f = false;
  if (!admin_id(q->rest, &id) || store_get_input(e->store, ENG_PART, id, q->a, &in)) return admin_error(q, 404, "there is no message with this id");
  buf_puts(q->b, "{");
  message_row(q, &in);
  trace_ctx t;
  char hex[2 * TRACE_ID + 1];
  trace_of_input(&in, &t);
  eng_hex(t.id, TRACE_ID, hex);
  admin_text(q->b, &f, "trace_id", hex, 2 * TRACE_ID);
  if (admin_values(q)) {
    if (!eng_read(e, in.pos, q->a, &rec) && rec.body_len) admin_text(q->b, &f, "body", (const char *)rec.body, rec.body_len);
  } else admin_text(q->b, &f, "hidden", "values are shown to phi_viewer, with a reason", 45);
  admin_key(q->b, &f, "runs");
  buf_puts(q->b, "[");
  (void)store_list_runs_of_input(e->store, ENG_PART, id, run_one, &runs);
  buf_puts(q->b, "]");
  admin_key(q->b, &f, "deliveries");
  buf_puts(q->b, "[");
  (void)store_list_runs_of_input(e->store, ENG_PART, id, deliveries_of, &out);
  buf_puts(q->b, "]");
  admin_story(q, &in, &f);
  buf_puts(q->b, "}");
  return 200;
}
