/* rig.c - see rig.h. */
#include "rig.h"
#include <stdlib.h>
#include <string.h>
#include "host.h"
#include "hl7_dict.h"
#include "io_sim.h"
#include "json.h"
#include "model.h"
#include "pack.h"

enum { SETTLE_EVENTS = 2000000 };
static const int64_t settle_us = INT64_C(600) * 1000000; /* longest virtual time that a run's own retries are waited for */

/* ---- keeping values ------------------------------------------------------------------------------------------------- */

static hdw_status keep_write(void *user, val node, buf *out) {
  (void)user;
  const hl7_node *n = hl7_of(node);
  hl7_slice s;
  if (n->level == HL7_MSG) {
    hdw_status st = hl7_bytes(out->a, n->m, &s);
    if (st) return st;
  } else {
    s = hl7_node_raw(n);
  }
  buf_putc(out, n->level == HL7_MSG ? 'M' : 'T');
  buf_put(out, s.p, s.len);
  return HDW_OK;
}

static hdw_status keep_read(void *user, arena *a, const void *p, size_t len, val *out) {
  (void)user;
  const char *s = (const char *)p;
  if (len == 0) return HDW_E_CORRUPT;
  hl7_opts o = {.schema = &hl7_dict_schema};
  hl7_msg *m;
  if (s[0] == 'M' && !hl7_parse(a, s + 1, len - 1, &o, &m, NULL)) return hl7_value(a, m, out);
  *out = val_str(s + 1, len - 1);
  return HDW_OK;
}

hdw_status rig_keep(arena *a, val v, val *out) {
  pack_hl7 h = {keep_write, keep_read, NULL};
  buf b;
  buf_init(&b, a, 256 << 20);
  *out = VAL_NONE;
  hdw_status s = pack_val(&b, v, &h);
  return s ? s : pack_read(a, b.p, b.len, &h, out);
}

/* ---- targets ---------------------------------------------------------------------------------------------------------- */

rig_target rig_target_parse(arena *a, const char *text) {
  const char *open = strchr(text, '('), *end = open ? open : text + strlen(text);
  const char *dot = (const char *)memchr(text, '.', (size_t)(end - text));
  const char *close = open ? strrchr(open, ')') : NULL;
  const char *name_end = dot ? dot : end;
  rig_target t;
  t.connection = hc_text(a, "%.*s", (int)(name_end - text), text);
  t.operation = dot ? hc_text(a, "%.*s", (int)(end - dot - 1), dot + 1) : "";
  t.args = open && close ? hc_text(a, "%.*s", (int)(close - open - 1), open + 1) : "";
  return t;
}

static bool text_is(val v, const char *s, size_t n) {
  char t[1024];
  size_t len = 0;
  uint32_t parts = v.tag == VAL_TPL ? v.len : 1;
  for (uint32_t i = 0; i < parts; i++) {
    val p = v.tag == VAL_TPL ? v.u.v[i] : v;
    char small[32];
    const char *from = p.u.s;
    size_t k = p.len;
    if (p.tag == VAL_INT || p.tag == VAL_LONG) from = small, k = (size_t)snprintf(small, sizeof small, "%lld", (long long)p.u.i);
    else if (p.tag != VAL_STR) return false;
    if (k > sizeof t - len) return false;
    memcpy(t + len, from, k);
    len += k;
  }
  return len == n && memcmp(t, s, n) == 0;
}

/* One wanted argument: a literal or a bare word, perhaps behind "name:". Positional ones are compared in order. */
static bool argument_matches(const rig_effect *f, const char *want, size_t n, uint32_t position) {
  while (n && want[0] == ' ') want++, n--;
  while (n && want[n - 1] == ' ') n--;
  const char *colon = want[0] == '\'' || want[0] == '"' ? NULL : (const char *)memchr(want, ':', n);
  val v = VAL_NONE;
  if (colon) {
    const val *slot = val_obj_get(f->request, val_key(want, (size_t)(colon - want)));
    if (slot) v = *slot;
    n -= (size_t)(colon + 1 - want);
    want = colon + 1;
    while (n && want[0] == ' ') want++, n--;
  } else if (f->request.tag == VAL_OBJ && position < f->request.len) {
    v = f->request.u.v[2 * position + 1];
  }
  if (n >= 2 && (want[0] == '\'' || want[0] == '"') && want[n - 1] == want[0]) return text_is(v, want + 1, n - 2);
  return text_is(v, want, n);
}

bool rig_matches(const rig_target *t, const rig_effect *f) {
  if (t->connection[0] && strcmp(t->connection, f->connection) != 0) return false;
  if (t->operation[0] && strcmp(t->operation, f->operation) != 0) return false;
  uint32_t position = 0;
  char quote = 0;
  for (const char *p = t->args, *from = p; *t->args; p++) {
    if (quote ? *p == quote : (*p == '\'' || *p == '"')) quote = quote ? 0 : *p;
    if (*p && (quote || *p != ',')) continue;
    if (!argument_matches(f, from, (size_t)(p - from), position++)) return false;
    if (!*p) break;
    from = p + 1;
  }
  return true;
}

void rig_mock_add(rig *r, const char *target, const val *answers, uint32_t n) {
  rig_mock *m = (rig_mock *)arena_zalloc(&r->a, 1, sizeof *m);
  if (!m) return;
  m->text = hc_text(&r->a, "%s", target);
  m->target = rig_target_parse(&r->a, target);
  m->answers = (val *)arena_zalloc(&r->a, n ? n : 1, sizeof *m->answers);
  for (uint32_t i = 0; i < n && m->answers; i++) (void)rig_keep(&r->a, answers[i], &m->answers[i]);
  m->n = n;
  m->next = r->mocks;
  r->mocks = m;
}

/* ---- answering effects ---------------------------------------------------------------------------------------------------- */

static val positive_ack(arena *a, val request) {
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
  hl7_ack_opts o = {.code = "AA", .control_id = "MOCK1", .now = now};
  if (!hl7_ack(a, in.p ? in.p : "", in.len, &o, &out) && !hl7_parse(a, out.p, out.len, &po, &m, NULL)) (void)hl7_value(a, m, &v);
  return v;
}

/* A text that answers an MLLP call is the acknowledgement itself. */
static val as_answer(arena *a, const rig_effect *f, val v) {
  if (strcmp(f->kind, "mllp") != 0 || v.tag != VAL_STR) return v;
  hl7_opts o = {.schema = &hl7_dict_schema};
  hl7_msg *m;
  if (!hl7_parse(a, v.u.s, v.len, &o, &m, NULL)) (void)hl7_value(a, m, &v);
  return v;
}

/* What left is text: the parts of templates are joined. */
static val joined(arena *a, val v) {
  buf b;
  buf_init(&b, a, 1 << 20);
  for (uint32_t i = 0; v.tag == VAL_TPL && i < v.len; i++) {
    val s = VAL_NONE;
    if (v.u.v[i].tag != VAL_EMPTY && !val_to_str(a, v.u.v[i], &s) && s.tag == VAL_STR) buf_put(&b, s.u.s, s.len);
  }
  return v.tag == VAL_TPL ? val_str(b.p ? b.p : "", b.len) : v;
}

static val keep_request(rig *r, val v) {
  val k = VAL_NONE;
  if (rig_keep(&r->a, v, &k) || k.tag != VAL_OBJ) return k;
  val *kv = (val *)arena_zalloc(&r->a, 2 * (size_t)k.len + 1, sizeof *kv);
  for (uint32_t i = 0; kv && i < k.len; i++) kv[2 * i] = k.u.v[2 * i], kv[2 * i + 1] = joined(&r->a, k.u.v[2 * i + 1]);
  if (kv) k.u.v = kv;
  return k;
}

static rig_effect *note(rig *r, const engine_effect *e) {
  rig_effect *f = (rig_effect *)arena_zalloc(&r->a, 1, sizeof *f);
  if (!f) return NULL;
  const char *dot = strchr(e->operation, '.');
  f->connection = hc_text(&r->a, "%s", e->connection ? e->connection : "");
  f->kind = dot ? hc_text(&r->a, "%.*s", (int)(dot - e->operation), e->operation) : "";
  f->operation = hc_text(&r->a, "%s", dot ? dot + 1 : e->operation);
  f->workflow = hc_text(&r->a, "%s", e->workflow ? e->workflow : "");
  f->path = hc_text(&r->a, "%s", e->path ? e->path : "");
  f->run = e->run;
  f->delivery = e->delivery;
  f->attempt = e->attempt;
  f->at_us = io_wall_us(r->x);
  f->request = keep_request(r, e->request);
  if (r->last_effect) r->last_effect->next = f;
  else r->effects = f;
  r->last_effect = f;
  r->neffects++;
  return f;
}

static engine_mock_verdict on_effect(void *user, const engine_effect *e, arena *a, engine_mock_answer *out) {
  rig *r = (rig *)user;
  rig_effect *f = note(r, e);
  if (!f) return MOCK_PASS;
  rig_mock *m = r->mocks;
  while (m && !rig_matches(&m->target, f)) m = m->next;
  val v = VAL_NONE;
  if (m) {
    f->mocked = true;
    if (m->n) v = m->answers[m->used < m->n ? m->used : m->n - 1];
    m->used++;
  } else if (strcmp(f->kind, "mllp") == 0) {
    v = positive_ack(&r->a, f->request);
  }
  val error = v.tag == VAL_OBJ ? jv_get(v, "$error") : VAL_NONE;
  if (error.tag != VAL_EMPTY) {
    int64_t status = 0;
    const char *code = jv_text(&r->a, error), *message = jv_text(&r->a, jv_get(v, "message"));
    if (jv_int(error, &status)) code = NULL;
    f->failed = true;
    out->status = f->status = (int)status;
    out->code = code;
    out->message = message;
    if (code) out->fail_class = strcmp(code, "timeout") == 0 || strcmp(code, "unreachable") == 0 ? FAIL_TRANSIENT : FAIL_PERMANENT;
    f->error = message ? message : code ? code : hc_text(&r->a, "error %d", (int)status);
    return MOCK_ERROR;
  }
  f->result = as_answer(&r->a, f, v);
  if (rig_keep(a, f->result, &out->value)) return MOCK_PASS;
  return MOCK_VALUE;
}

static void on_log(void *user, engine_level level, const char *line, size_t len) {
  rig *r = (rig *)user;
  (void)level;
  rig_log *l = (rig_log *)arena_zalloc(&r->a, 1, sizeof *l);
  if (!l || !(l->line = arena_dup(&r->a, line, len))) return;
  l->len = len;
  if (r->last_log) r->last_log->next = l;
  else r->logs = l;
  r->last_log = l;
}

/* ---- open, close ------------------------------------------------------------------------------------------------------------- */

static bool failed(rig *r, const char *text) {
  hc_say("%s", text);
  rig_close(r);
  return false;
}

/* Settings that only the operator knows get a value of their type that leads nowhere. */
static bool bind_settings(rig *r) {
  buf b;
  buf_init(&b, &r->a, 1 << 20);
  buf_puts(&b, "{\"settings\":{");
  bool first = true;
  for (uint32_t i = 0; i < r->meta->nsettings; i++) {
    const meta_setting *s = &r->meta->settings[i];
    if (s->has_default) continue;
    buf_puts(&b, first ? "" : ",");
    first = false;
    json_write_str(&b, s->name, strlen(s->name));
    if (strcmp(s->type, "url") == 0) buf_puts(&b, ":\"http://unbound.invalid\"");
    else if (strcmp(s->type, "integer") == 0 || strcmp(s->type, "decimal") == 0 || strcmp(s->type, "long") == 0) buf_puts(&b, ":1");
    else if (strcmp(s->type, "boolean") == 0) buf_puts(&b, ":false");
    else buf_putf(&b, ":\"%s\"", s->name);
  }
  buf_puts(&b, "}}");
  return !b.status && !config_read(&r->cfg, &r->h->mem.m, "settings", b.p, b.len);
}

bool rig_open(rig *r, hdwc *h, const char *file, const uint8_t *bytes, size_t len, int64_t wall_us) {
  char text[200] = "";
  mod_error err = {0};
  memset(r, 0, sizeof *r);
  r->h = h;
  arena_init(&r->a, &h->mem.m, 0);
  const char *tmp = getenv("TMPDIR");
  if (!tmp || strlen(tmp) > 40) tmp = "/tmp";
  snprintf(r->dir, sizeof r->dir, "%s/hdwc-XXXXXX", tmp);
  if (!mkdtemp(r->dir)) {
    hc_say("no scratch folder can be made in %s", tmp);
    r->dir[0] = 0;
    rig_close(r);
    return false;
  }
  io_sim_opts so = {.seed = 1, .wall_start_us = wall_us, .root = r->dir, .orderly = true};
  if (io_sim_new(&h->mem.m, &so, &r->x)) return failed(r, "the simulated seam cannot be made");
  config_init(&r->cfg, &r->a);
  r->cfg.top.min_free_bytes = 0;
  const char *data = hc_text(&r->a, "%s/data", r->dir);
  engine_opts o = {.dir = data, .config = &r->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .log = on_log, .log_user = r};
  o.mock = on_effect, o.mock_user = r, o.mock_only = true;
  o.log_segment_bytes = 1 << 20;
  if (engine_open(r->x, &o, &r->e, text)) return failed(r, text[0] ? text : "the engine cannot be opened");
  if (engine_load(r->e, file, bytes, len, &err)) return failed(r, err.text[0] ? err.text : "the module cannot be loaded");
  if (engine_metas(r->e, &r->meta, 1) != 1 || !bind_settings(r) || config_bind(&r->cfg, &r->meta, 1, true))
    return failed(r, "the module's declarations cannot be bound");
  if (r->cfg.nproblems) return failed(r, r->cfg.problems[0]);
  if (engine_start(r->e, text)) return failed(r, text);
  return true;
}

void rig_close(rig *r) {
  if (r->e) engine_close(r->e);
  if (r->x) io_sim_free(r->x);
  if (r->dir[0]) hc_remove_tree(r->dir);
  arena_free(&r->a);
  memset(r, 0, sizeof *r);
}

const meta_workflow *rig_workflow(const rig *r, const char *name) {
  for (uint32_t i = 0; r->meta && i < r->meta->nworkflows; i++)
    if (strcmp(r->meta->workflows[i].name, name) == 0) return &r->meta->workflows[i];
  return NULL;
}

/* ---- inputs, time -------------------------------------------------------------------------------------------------------------- */

static void on_reply(void *user, const engine_reply *p) {
  rig *r = (rig *)user;
  if (p->last) r->answered = true;
  if (p->input) r->reply.input = p->input;
  if (!p->len && r->reply.given) return;
  r->reply.given = true;
  r->reply.json = p->json;
  r->reply.duplicate = p->duplicate;
  r->reply.http_status = p->http_status;
  memcpy(r->reply.code, p->code, sizeof r->reply.code);
  r->reply.p = arena_dup(&r->a, p->p ? p->p : "", p->len);
  r->reply.len = r->reply.p ? p->len : 0;
}

/* Events run until nothing is going on. Deliveries that wait for their next attempt are left waiting. */
static void settle(rig *r, bool reply) {
  int64_t until = io_mono_us(r->x) + settle_us;
  for (int i = 0; i < SETTLE_EVENTS; i++) {
    if (engine_idle(r->e) && (!reply || r->answered)) break;
    if (io_mono_us(r->x) > until || !io_sim_step(r->x, 1)) break;
  }
}

static void begin(rig *r, const meta_workflow *w) {
  r->reply = (rig_reply){0};
  r->answered = false;
  r->workflow = w->name;
}

static engine_source source_of(const meta_workflow *w) {
  return (engine_source){.listener = w->ntriggers ? w->triggers[0].listener : "", .peer = "test", .workflow = w->name};
}

bool rig_message(rig *r, const meta_workflow *w, const char *bytes, size_t len) {
  engine_source s = source_of(w);
  begin(r, w);
  engine_submit_hl7(r->e, &s, bytes, len, on_reply, r);
  settle(r, true);
  return true;
}

bool rig_request(rig *r, const meta_workflow *w, const char *json, size_t len) {
  engine_request q = {.src = source_of(w), .body = json, .body_len = len};
  const meta_trigger *t = w->ntriggers ? &w->triggers[0] : NULL;
  char *method = arena_dup(&r->a, t ? t->kind : "post", strlen(t ? t->kind : "post"));
  val kv[2] = {val_key("content-type", 12), val_cstr("application/json")};
  if (!method) return false;
  for (char *p = method; *p; p++)
    if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
  q.src.method = strcmp(method, "REQUEST") == 0 ? "POST" : method;
  q.src.path = t && t->path ? t->path : "/";
  q.headers = (val){.tag = VAL_OBJ, .len = 1, .u.v = kv};
  begin(r, w);
  engine_submit_request(r->e, &q, on_reply, r);
  settle(r, true);
  return true;
}

void rig_advance(rig *r, int64_t us) {
  settle(r, false);
  io_sim_advance(r->x, us);
  settle(r, false);
}

/* ---- looking --------------------------------------------------------------------------------------------------------------------- */

const char *rig_run_state(uint8_t s) {
  static const char *const names[] = {"none", "queued", "running", "waiting", "parked", "done", "failed", "dead", "discarded"};
  return s < sizeof names / sizeof *names ? names[s] : "unknown";
}

const char *rig_outcome_name(vm_outcome o) {
  static const char *const names[] = {"return", "reject", "reply", "redirect", "skip", "fail", "retry", "unmatched"};
  return (size_t)o < sizeof names / sizeof *names ? names[o] : "unknown";
}

typedef struct find_run {
  rig *r;
  arena *a;
  const char *workflow;
  store_run found;
} find_run;

static bool on_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  find_run *f = (find_run *)user;
  store_run row;
  (void)state;
  if (store_get_run(engine_store(f->r->e), part, id, f->a, &row)) return true;
  if (!f->workflow || (row.workflow.len == strlen(f->workflow) && memcmp(row.workflow.p, f->workflow, row.workflow.len) == 0)) f->found = row;
  return true;
}

bool rig_result(rig *r, const char *workflow, arena *a, rig_outcome *out) {
  memset(out, 0, sizeof *out);
  find_run f = {.r = r, .a = a, .workflow = workflow};
  if (!r->reply.input) return false;
  (void)store_list_runs_of_input(engine_store(r->e), 0, r->reply.input, on_run, &f);
  if (!f.found.id) return false;
  out->run = f.found;
  if (f.found.state == RUN_DONE) {
    val v;
    if (!engine_result(r->e, &f.found, a, &out->how, &v)) out->value = v;
  }
  engine_where(r->e, f.found.module, f.found.file, f.found.line, f.found.column, out->where);
  return true;
}

typedef struct list_runs {
  rig *r;
  arena *a;
  rig_run_fn fn;
  void *user;
} list_runs;

static bool each_run(uint16_t part, uint64_t id, uint8_t state, void *user) {
  list_runs *l = (list_runs *)user;
  store_run row;
  (void)state;
  if (!store_get_run(engine_store(l->r->e), part, id, l->a, &row)) l->fn(&row, l->user);
  return true;
}

static bool each_input(uint16_t part, uint64_t id, uint8_t state, void *user) {
  list_runs *l = (list_runs *)user;
  (void)state;
  (void)store_list_runs_of_input(engine_store(l->r->e), part, id, each_run, l);
  return true;
}

void rig_runs(rig *r, arena *a, rig_run_fn fn, void *user) {
  list_runs l = {r, a, fn, user};
  cod_str none = {0};
  (void)store_list_inputs(engine_store(r->e), 0, STORE_BY_TIME, none, 0, false, 100000, each_input, &l);
}
