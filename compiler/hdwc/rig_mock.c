/* rig_mock.c - the outside world of a program on the simulated seam: which mock answers a call, and what the answer is.
 *
 *   call --fits?--> mocks: the test's own before the file's; among those the one that gives the most arguments; among equals the latest
 *     none fits, but the operation has mocks:  the call fails and the test with it, with the nearest mock named
 *     the operation has none:                  {} ; MLLP: AA
 *   a FHIR search in which a parameter has no value finds nothing, without a mock */
#include <string.h>
#include "fhir_call.h"
#include "hl7_dict.h"
#include "rig.h"

/* ---- targets ---------------------------------------------------------------------------------------------------------- */

static rig_target split_target(arena *a, const char *text, const char *both, size_t len, val args) {
  const char *dot = (const char *)memchr(both, '.', len);
  size_t conn = dot ? (size_t)(dot - both) : len;
  rig_target t = {.text = hc_text(a, "%s", text), .args = args};
  t.connection = hc_text(a, "%.*s", (int)conn, both);
  t.operation = dot ? hc_text(a, "%.*s", (int)(len - conn - 1), dot + 1) : "";
  return t;
}

rig_target rig_target_of(arena *a, const char *text, const char *both, val args) { return split_target(a, text, both, strlen(both), args); }

/* One argument of a target in text form: a literal or a bare word, perhaps behind "name:". */
static void text_argument(arena *a, const char *s, size_t n, uint32_t position, val *key, val *value) {
  while (n && s[0] == ' ') s++, n--;
  while (n && s[n - 1] == ' ') n--;
  const char *colon = s[0] == '\'' || s[0] == '"' ? NULL : (const char *)memchr(s, ':', n);
  const char *name = colon ? hc_text(a, "%.*s", (int)(colon - s), s) : hc_text(a, "%u", position);
  if (colon) {
    n -= (size_t)(colon + 1 - s);
    s = colon + 1;
    while (n && s[0] == ' ') s++, n--;
  }
  bool quoted = n >= 2 && (s[0] == '\'' || s[0] == '"') && s[n - 1] == s[0];
  const char *text = quoted ? hc_text(a, "%.*s", (int)n - 2, s + 1) : hc_text(a, "%.*s", (int)n, s);
  *key = val_key(name, strlen(name));
  *value = val_cstr(text);
}

rig_target rig_target_parse(arena *a, const char *text) {
  const char *open = strchr(text, '('), *close = open ? strrchr(open, ')') : NULL, *end = open ? open : text + strlen(text);
  val kv[2 * 16], args = VAL_NONE;
  uint32_t n = 0;
  char quote = 0;
  for (const char *p = open ? open + 1 : text, *from = p; close && p <= close && n < 16; p++) {
    if (p < close && (quote ? *p == quote : (*p == '\'' || *p == '"'))) quote = quote ? 0 : *p;
    if (p < close && (quote || *p != ',')) continue;
    if (p > from) text_argument(a, from, (size_t)(p - from), n, &kv[2 * n], &kv[2 * n + 1]), n++;
    from = p + 1;
  }
  val *keep = n ? (val *)arena_alloc(a, 2 * (size_t)n * sizeof *keep) : NULL;
  if (keep) {
    memcpy(keep, kv, 2 * (size_t)n * sizeof *keep);
    args = (val){.tag = VAL_OBJ, .len = n, .u.v = keep};
  }
  return split_target(a, text, text, (size_t)(end - text), args);
}

/* ---- matching ------------------------------------------------------------------------------------------------------------ */

static val plain(arena *a, val v) {
  val n;
  if (v.tag == VAL_TPL) return rig_joined(a, v);
  return val_norm(a, v, &n) ? VAL_NONE : n;
}

static bool same_text(arena *a, val x, val y) {
  val s, t;
  if (val_to_str(a, x, &s) || val_to_str(a, y, &t) || s.tag != VAL_STR || t.tag != VAL_STR) return false;
  return s.len == t.len && memcmp(s.u.s, t.u.s, s.len) == 0;
}

static bool same_message(arena *a, val x, val y) {
  hl7_slice s, t;
  if (hl7_of(x)->level != HL7_MSG || hl7_of(y)->level != HL7_MSG || hl7_bytes(a, hl7_of(x)->m, &s) || hl7_bytes(a, hl7_of(y)->m, &t)) return false;
  return s.len == t.len && memcmp(s.p, t.p, s.len) == 0;
}

/* Whether the call's value is what is wanted: equal; an object has at least these members, a list these items in this order, any item will do
 * where one is wanted. */
static bool holds(arena *a, val want, val got, int depth) {
  int equal = 0;
  want = plain(a, want), got = plain(a, got);
  if (depth > 60) return false;
  if (want.tag == VAL_EMPTY || got.tag == VAL_EMPTY) return want.tag == got.tag;
  if (want.tag == VAL_OBJ && got.tag == VAL_OBJ) {
    for (uint32_t i = 0; i < want.len; i++) {
      val k = want.u.v[2 * i];
      const val *slot = val_obj_get(got, val_key(k.u.s, k.len));
      if (!holds(a, want.u.v[2 * i + 1], slot ? *slot : VAL_NONE, depth + 1)) return false;
    }
    return true;
  }
  if (got.tag == VAL_LIST) {
    uint32_t k = 0, n = val_count(want);
    for (uint32_t i = 0; i < got.len && k < n; i++) k += holds(a, val_item(want, k), got.u.v[i], depth + 1);
    return k == n;
  }
  if (want.tag == VAL_HL7 && got.tag == VAL_HL7) return same_message(a, want, got);
  if (want.tag == VAL_LIST || want.tag == VAL_OBJ || got.tag == VAL_OBJ) return false;
  return (!val_equal(a, want, got, &equal) && equal == 1) || same_text(a, want, got);
}

/* The call's value that an argument of a target means: by name, by position ("0"), or a place in the message ("PID-5.1"). */
static val called_with(arena *a, const rig_effect *f, val key) {
  if (f->request.tag != VAL_OBJ) return VAL_NONE;
  const val *slot = val_obj_get(f->request, val_key(key.u.s, key.len));
  if (slot) return plain(a, *slot);
  if (key.len == 1 && key.u.s[0] >= '0' && key.u.s[0] <= '9' && (uint32_t)(key.u.s[0] - '0') < f->request.len) return plain(a, f->request.u.v[2 * (key.u.s[0] - '0') + 1]);
  const val *message = val_obj_get(f->request, val_key("message", 7));
  const hl7_node *n = message ? hl7_of(*message) : NULL;
  hl7_path p;
  val v = VAL_NONE;
  vm_cx cx = {.a = a, .fuel = INT64_MAX};
  if (n && n->level == HL7_MSG && !hl7_path_parse(key.u.s, key.len, &p)) (void)hl7_text(&cx, n->m, &p, &v);
  return v;
}

bool rig_names(const rig_target *t, const rig_effect *f) {
  return (!t->connection[0] || strcmp(t->connection, f->connection) == 0) && (!t->operation[0] || strcmp(t->operation, f->operation) == 0);
}

/* How many of the target's arguments the call has. */
static uint32_t agreeing(arena *a, const rig_target *t, const rig_effect *f) {
  uint32_t n = 0;
  for (uint32_t i = 0; t->args.tag == VAL_OBJ && i < t->args.len; i++) n += holds(a, t->args.u.v[2 * i + 1], called_with(a, f, t->args.u.v[2 * i]), 0);
  return n;
}

static uint32_t wanted(const rig_target *t) { return t->args.tag == VAL_OBJ ? t->args.len : 0; }

bool rig_matches(arena *a, const rig_target *t, const rig_effect *f) { return rig_names(t, f) && agreeing(a, t, f) == wanted(t); }

static rig_mock *choose(rig *r, const rig_effect *f, rig_mock **nearest) {
  rig_mock *best = NULL;
  uint32_t most = 0, close = 0;
  *nearest = NULL;
  for (rig_mock *m = r->mocks; m; m = m->next) { /* newest first */
    if (!rig_names(&m->target, f)) continue;
    uint32_t has = agreeing(&r->a, &m->target, f), rank = 1 + has * 2 + (m->target.operation[0] != 0) + (m->shared ? 0 : 1000);
    if (has < wanted(&m->target)) {
      if (!*nearest || has + 1 > close) *nearest = m, close = has + 1;
    } else if (rank > most) best = m, most = rank;
  }
  return best;
}

/* "path is "/people/4711", not "/people/88"" for each argument that differs. */
static const char *how_far(rig *r, const rig_mock *m, const rig_effect *f) {
  const char *text = "";
  for (uint32_t i = 0; i < m->target.args.len; i++) {
    val k = m->target.args.u.v[2 * i], want = m->target.args.u.v[2 * i + 1], got = called_with(&r->a, f, k);
    if (holds(&r->a, want, got, 0)) continue;
    text = hc_text(&r->a, "%s%s%.*s is %s, not %s", text, text[0] ? "; " : "", (int)k.len, k.u.s, rig_shown(&r->a, got, 200), rig_shown(&r->a, want, 200));
  }
  return text;
}

const char *rig_shown(arena *a, val v, size_t max) {
  buf b;
  if (v.tag == VAL_EMPTY) return "{}";
  buf_init(&b, a, 4 << 20);
  return hc_write_text_json(a, v, &b) ? "(a value without JSON form)" : hc_cut(a, b.p, b.len, max);
}

/* ---- answers --------------------------------------------------------------------------------------------------------------- */

rig_mock *rig_mock_add(rig *r, rig_target target, const val *answers, uint32_t n, bool shared) {
  rig_mock *m = (rig_mock *)arena_zalloc(&r->a, 1, sizeof *m);
  if (!m) return NULL;
  m->target = target;
  m->shared = shared;
  if (rig_keep(&r->a, target.args, &m->target.args)) m->target.args = VAL_NONE;
  m->answers = (val *)arena_zalloc(&r->a, n ? n : 1, sizeof *m->answers);
  for (uint32_t i = 0; i < n && m->answers; i++) (void)rig_keep(&r->a, answers[i], &m->answers[i]);
  m->n = n;
  m->next = r->mocks;
  r->mocks = m;
  return m;
}

int64_t rig_duration(val v) {
  static const struct { const char *unit; int64_t us; } units[] = {
      {"microsecond", 1}, {"millisecond", 1000}, {"ms", 1000}, {"second", 1000000}, {"s", 1000000}, {"minute", 60000000}, {"min", 60000000},
      {"hour", INT64_C(3600000000)}, {"h", INT64_C(3600000000)}, {"day", INT64_C(86400000000)}, {"d", INT64_C(86400000000)},
      {"week", INT64_C(604800000000)}, {"wk", INT64_C(604800000000)}};
  if (v.tag != VAL_QTY) return -1;
  const val_quantity *q = (const val_quantity *)v.u.p;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strlen(units[i].unit) != q->unit_len || memcmp(units[i].unit, q->unit, q->unit_len) != 0) continue;
    dec f = dec_from_i64(units[i].us), x;
    int64_t us;
    if (dec_mul(&q->value, &f, &x)) return -1;
    x = dec_trunc(&x);
    return !dec_to_i64(&x, &us) && us >= 0 && us < INT64_C(4000) * 86400 * 1000000 ? us : -1;
  }
  return -1;
}

static uint8_t fail_class(const char *code, const char *word) {
  static const char *const words[] = {"", "transient", "permanent", "data", "ambiguous"};
  for (uint8_t i = FAIL_TRANSIENT; word && i <= FAIL_AMBIGUOUS; i++)
    if (strcmp(word, words[i]) == 0) return i;
  if (!code) return 0; /* by status */
  if (strcmp(code, "timeout") == 0 || strcmp(code, "lost") == 0) return FAIL_AMBIGUOUS;
  return strcmp(code, "unreachable") == 0 || strcmp(code, "refused") == 0 ? FAIL_TRANSIENT : FAIL_PERMANENT;
}

static engine_mock_verdict fail_with(rig *r, rig_effect *f, val v, engine_mock_answer *out) {
  val error = jv_get(v, "$error");
  int64_t status = 0;
  const char *code = jv_text(&r->a, jv_get(v, "code")), *first = jv_text(&r->a, error);
  bool number = jv_int(error, &status);
  if (!code && !number) code = first;
  f->failed = true;
  f->status = out->status = (int)status;
  out->code = code;
  out->message = jv_text(&r->a, jv_get(v, "message"));
  out->fail_class = fail_class(number ? NULL : first, jv_text(&r->a, jv_get(v, "class")));
  int64_t after = rig_duration(jv_get(v, "retry_after"));
  out->retry_after_us = after > 0 ? after : 0;
  f->code = code ? code : hc_text(&r->a, "%d", (int)status);
  f->error = out->message ? out->message : number ? hc_text(&r->a, "error %d%s%s", (int)status, code ? " " : "", code ? code : "") : f->code;
  return MOCK_ERROR;
}

static val acknowledgement(arena *a, val request, const char *code) {
  val text = jv_get(request, "message");
  hl7_slice in = {NULL, 0}, out;
  const hl7_node *n = hl7_of(text);
  hl7_opts po = {.schema = &hl7_dict_schema};
  hl7_msg *m;
  val v = VAL_NONE;
  if (n && hl7_bytes(a, n->m, &in)) return v;
  if (text.tag == VAL_STR) in = (hl7_slice){text.u.s, text.len};
  tm_val now;
  tm_from_unix_us(0, 0, &now);
  hl7_ack_opts o = {.code = code, .control_id = "MOCK1", .now = now};
  if (!hl7_ack(a, in.p ? in.p : "", in.len, &o, &out) && !hl7_parse(a, out.p, out.len, &po, &m, NULL)) (void)hl7_value(a, m, &v);
  return v;
}

static const char *ack_code(val v) {
  static const char *const codes[] = {"AA", "AE", "AR", "CA", "CE", "CR"};
  for (size_t i = 0; v.tag == VAL_STR && v.len == 2 && i < sizeof codes / sizeof *codes; i++)
    if (memcmp(v.u.s, codes[i], 2) == 0) return codes[i];
  return NULL;
}

/* MLLP: a code becomes the acknowledgement of the call's message, a text is one; a negative one fails as it does in the daemon. */
static engine_mock_verdict acknowledge(rig *r, rig_effect *f, val v, engine_mock_answer *out) {
  const char *code = v.tag == VAL_EMPTY || (v.tag == VAL_OBJ && v.len == 0) ? "AA" : ack_code(v);
  hl7_opts o = {.schema = &hl7_dict_schema};
  hl7_ack_info info = {0};
  hl7_msg *m;
  if (code) v = acknowledgement(&r->a, f->request, code);
  else if (v.tag == VAL_STR && !hl7_parse(&r->a, v.u.s, v.len, &o, &m, NULL)) (void)hl7_value(&r->a, m, &v);
  const hl7_node *n = hl7_of(v);
  bool known = n && n->level == HL7_MSG && !hl7_ack_read(n->m, &info) && info.code[0];
  f->result = v;
  if (known && info.code[1] == 'A') return MOCK_VALUE;
  f->failed = true;
  out->code = f->code = known ? hc_text(&r->a, "%s", info.code) : "no_ack";
  out->message = f->error = known ? hc_text(&r->a, "the receiver answered %s", info.code) : "the answer is no acknowledgement";
  out->fail_class = !known ? FAIL_AMBIGUOUS : info.code[1] == 'E' ? FAIL_TRANSIENT : FAIL_PERMANENT;
  return MOCK_ERROR;
}

static engine_mock_verdict unmatched(rig *r, rig_effect *f, const rig_mock *nearest, engine_mock_answer *out) {
  f->failed = f->unmatched = true;
  f->code = out->code = "no_mock";
  out->fail_class = FAIL_PERMANENT;
  out->message = "no mock fits this call";
  f->error = hc_text(&r->a, "no mock fits %s.%s %s; nearest: mock %s, but %s", f->connection, f->operation, rig_shown(&r->a, f->request, 400),
                                    nearest->target.text, how_far(r, nearest, f));
  return MOCK_ERROR;
}

engine_mock_verdict rig_on_effect(void *user, const engine_effect *e, arena *a, engine_mock_answer *out) {
  rig *r = (rig *)user;
  rig_effect *f = rig_note(r, e);
  rig_mock *nearest;
  val v = VAL_NONE;
  if (!f) return MOCK_PASS;
  if (strcmp(f->kind, "fhir") == 0 && fhir_asks_nothing(f->operation, f->request)) { /* as in the daemon: no mock is asked for what no server is */
    f->result = fhir_mocked(&r->a, f->operation, f->request, VAL_NONE);
    return rig_keep(a, f->result, &out->value) ? MOCK_PASS : MOCK_VALUE;
  }
  rig_mock *m = choose(r, f, &nearest);
  if (!m && nearest) return unmatched(r, f, nearest, out);
  if (m) {
    f->mocked = true;
    f->mock = m->target.text;
    if (m->n) v = m->answers[m->used < m->n ? m->used : m->n - 1];
    f->answer = m->used < m->n ? m->used : m->n - 1;
    f->answers = m->n;
    m->used++;
  }
  val delay = v.tag == VAL_OBJ ? jv_get(v, "$delay") : VAL_NONE;
  if (delay.tag != VAL_EMPTY) {
    int64_t us = rig_duration(delay);
    f->delay_us = out->delay_us = us > 0 ? us : 0;
    v = jv_get(v, "value");
  }
  if (e->timeout_us > 0 && f->delay_us > e->timeout_us) { /* as in the daemon: whether it arrived is unknown */
    f->failed = true;
    f->delay_us = out->delay_us = e->timeout_us;
    f->code = out->code = "timeout";
    f->error = out->message = "no answer in time";
    out->fail_class = FAIL_AMBIGUOUS;
    return MOCK_ERROR;
  }
  if (v.tag == VAL_OBJ && jv_get(v, "$error").tag != VAL_EMPTY) return fail_with(r, f, v, out);
  engine_mock_verdict how = MOCK_VALUE;
  const char *wide = strcmp(f->kind, "fhir") == 0 ? fhir_unbounded(&r->a, f->request) : NULL;
  if (wide) {
    f->failed = true;
    f->code = out->code = "no_criteria";
    f->error = out->message = wide;
    out->fail_class = FAIL_DATA;
    return MOCK_ERROR;
  }
  if (strcmp(f->kind, "mllp") == 0) how = acknowledge(r, f, v, out);
  else if (strcmp(f->kind, "fhir") == 0) f->result = fhir_mocked(&r->a, f->operation, f->request, v);
  else f->result = v;
  if (how == MOCK_VALUE && rig_keep(a, f->result, &out->value)) return MOCK_PASS;
  return how;
}
