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

enum { SETTLE_EVENTS = 2000000, SHM_MIN = 256 << 20 };
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

/* ---- what the engine tells ---------------------------------------------------------------------------------------------- */

/* What left is text: the parts of templates are joined. */
val rig_joined(arena *a, val v) {
  buf b;
  buf_init(&b, a, 1 << 20);
  for (uint32_t i = 0; v.tag == VAL_TPL && i < v.len; i++) {
    val s = VAL_NONE;
    if (v.u.v[i].tag != VAL_EMPTY && !val_to_str(a, v.u.v[i], &s) && s.tag == VAL_STR) buf_put(&b, s.u.s, s.len);
  }
  return v.tag == VAL_TPL ? val_str(b.p ? b.p : "", b.len) : v;
}

val rig_request_text(arena *a, val v) {
  val k = VAL_NONE;
  if (rig_keep(a, v, &k) || k.tag != VAL_OBJ) return k;
  val *kv = (val *)arena_zalloc(a, 2 * (size_t)k.len + 1, sizeof *kv);
  for (uint32_t i = 0; kv && i < k.len; i++) kv[2 * i] = k.u.v[2 * i], kv[2 * i + 1] = rig_joined(a, k.u.v[2 * i + 1]);
  if (kv) k.u.v = kv;
  return k;
}

rig_effect *rig_note(rig *r, const engine_effect *e) {
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
  f->key = hc_text(&r->a, "%s", e->idempotency_key ? e->idempotency_key : "");
  f->at_us = io_wall_us(r->x);
  f->request = rig_request_text(&r->a, e->request);
  if (r->last_effect) r->last_effect->next = f;
  else r->effects = f;
  r->last_effect = f;
  r->neffects++;
  return f;
}

static void on_log(void *user, engine_level level, const char *line, size_t len) {
  rig *r = (rig *)user;
  (void)level;
  rig_log *l = (rig_log *)arena_zalloc(&r->a, 1, sizeof *l);
  if (!l || !(l->line = arena_dup(&r->a, line, len))) return;
  l->len = len;
  l->after = r->last_effect;
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

/* Opens the engine in the scratch folder, with what is in there. */
static bool start(rig *r, char text[200]) {
  mod_error err = {0};
  const char *data = hc_text(&r->a, "%s/data", r->dir), *why = NULL;
  engine_opts o = {.dir = data, .config = &r->cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .log = on_log, .log_user = r};
  o.mock = rig_on_effect, o.mock_user = r, o.mock_only = true;
  o.log_segment_bytes = 1 << 20;
  o.hits = r->hits;
  config_init(&r->cfg, &r->a);
  r->cfg.top.min_free_bytes = 0;
  r->cfg.top.loss = r->on_loss != NULL, r->cfg.top.loss_json = r->loss_json;
  text[0] = 0;
  if (engine_open(r->x, &o, &r->e, text)) why = text[0] ? text : "the engine cannot be opened";
  else if (engine_load(r->e, r->file, r->bytes, r->len, &err)) why = err.text[0] ? err.text : "the module cannot be loaded";
  else if (engine_metas(r->e, &r->meta, 1) != 1 || !bind_settings(r) || config_bind(&r->cfg, &r->meta, 1, true)) why = "the module's declarations cannot be bound";
  else if (r->cfg.nproblems) why = r->cfg.problems[0];
  else if (engine_start(r->e, text)) why = text;
  if (why && why != text) snprintf(text, 200, "%s", why);
  return !why;
}

void rig_init(rig *r, hdwc *h) {
  memset(r, 0, sizeof *r);
  r->h = h;
  arena_init(&r->a, &h->mem.m, 0);
}

static bool scratch(rig *r, const char *dir) {
  snprintf(r->dir, sizeof r->dir, "%s/hdwc-XXXXXX", dir);
  if (mkdtemp(r->dir)) return true;
  r->dir[0] = 0;
  return false;
}

bool rig_open(rig *r, const char *file, const uint8_t *bytes, size_t len, int64_t wall_us) {
  char text[200] = "";
  /* In memory where there is room: what the engine writes is thrown away, and a disk would take most of the time. */
  const char *given = getenv("TMPDIR"), *tmp = given && strlen(given) <= 40 ? given : hc_space("/dev/shm") > SHM_MIN ? "/dev/shm" : "/tmp";
  if (!scratch(r, tmp) && (given || !scratch(r, tmp = "/tmp"))) {
    hc_say("no scratch folder can be made in %s", tmp);
    rig_close(r);
    return false;
  }
  io_sim_opts so = {.seed = 1, .wall_start_us = wall_us, .root = r->dir, .orderly = true};
  if (io_sim_new(&r->h->mem.m, &so, &r->x)) return failed(r, "the simulated seam cannot be made");
  config_init(&r->cfg, &r->a);
  r->cfg.top.min_free_bytes = 0;
  r->file = hc_text(&r->a, "%s", file);
  r->bytes = bytes, r->len = len;
  if (!start(r, text)) return failed(r, text);
  return true;
}

static void close_engine(rig *r) {
  if (r->on_loss) engine_losses(r->e, r->on_loss, r->loss_user);
  engine_close(r->e);
}

bool rig_restart(rig *r, char text[200]) {
  close_engine(r);
  r->e = NULL;
  return start(r, text);
}

void rig_close(rig *r) {
  if (r->e) close_engine(r);
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

/* Headers are compared in small letters: names are made so. */
static val headers_of(rig *r, val given) {
  uint32_t n = given.tag == VAL_OBJ ? given.len : 0;
  val *kv = (val *)arena_zalloc(&r->a, 2 * (size_t)n + 2, sizeof *kv);
  if (!kv) return VAL_NONE;
  kv[0] = val_key("content-type", 12), kv[1] = val_cstr("application/json");
  uint32_t k = 1;
  for (uint32_t i = 0; i < n; i++) {
    val name = given.u.v[2 * i], text;
    char *low = arena_dup(&r->a, name.u.s, name.len);
    if (!low || val_to_str(&r->a, given.u.v[2 * i + 1], &text)) continue;
    for (char *p = low; *p; p++) *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    uint32_t at = strcmp(low, "content-type") == 0 ? 0 : k++;
    kv[2 * at] = val_key(low, name.len), kv[2 * at + 1] = text;
  }
  return (val){.tag = VAL_OBJ, .len = k, .u.v = kv};
}

bool rig_request(rig *r, const meta_workflow *w, const char *json, size_t len, const rig_asked *asked) {
  engine_request q = {.src = source_of(w), .body = json, .body_len = len};
  const meta_trigger *t = w->ntriggers ? &w->triggers[0] : NULL;
  char *method = arena_dup(&r->a, t ? t->kind : "post", strlen(t ? t->kind : "post"));
  if (!method) return false;
  for (char *p = method; *p; p++)
    if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
  q.src.method = asked && asked->method ? asked->method : strcmp(method, "REQUEST") == 0 ? "POST" : method;
  q.src.path = asked && asked->path ? asked->path : t && t->path ? t->path : "/";
  q.headers = headers_of(r, asked ? asked->headers : VAL_NONE);
  if (asked && asked->query.tag == VAL_OBJ) q.query = asked->query;
  if (asked) q.idempotency_key = asked->key;
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
