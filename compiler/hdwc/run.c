/* run.c - hdwc run: one input through one workflow, everything that happened as one JSON object. */
#include <string.h>
#include "hdwc.h"
#include "json.h"
#include "rig.h"

enum { OUT_MAX = 256 << 20 };

static bool takes(const meta_workflow *w, bool message) {
  for (uint32_t i = 0; i < w->ntriggers; i++)
    if ((strcmp(w->triggers[i].kind, "message") == 0) == message) return true;
  return false;
}

/* The workflow by name, or the only one that takes such an input. */
static const meta_workflow *choose(const rig *r, const char *name, bool message) {
  const meta_workflow *found = NULL;
  uint32_t n = 0;
  if (name) {
    found = rig_workflow(r, name);
    if (!found) hc_say("there is no workflow '%s'", name);
    return found;
  }
  for (uint32_t i = 0; i < r->meta->nworkflows; i++)
    if (takes(&r->meta->workflows[i], message)) found = &r->meta->workflows[i], n++;
  if (n == 1) return found;
  if (n == 0) hc_say("no workflow takes %s", message ? "an HL7 message" : "such a request");
  else hc_say("%u workflows take %s: say which with --workflow", n, message ? "HL7 messages" : "requests");
  return NULL;
}

/* {"crm.post": VALUE or [FIRST, SECOND ...]} */
static bool read_mocks(rig *r, const char *path) {
  const char *text;
  size_t len;
  val v;
  if (!hc_read_say(&r->a, path, &text, &len) || !hc_json(&r->a, &r->h->mem.m, path, text, len, &v)) return false;
  if (v.tag != VAL_OBJ) {
    hc_say("%s: an object is wanted, with \"connection.operation\" as names", path);
    return false;
  }
  for (uint32_t i = 0; i < v.len; i++) {
    val key = v.u.v[2 * i], x = v.u.v[2 * i + 1];
    const char *target = jv_text(&r->a, key);
    if (!target) return false;
    bool list = x.tag == VAL_LIST && (x.flags & VALF_ARRAY);
    if (list) rig_mock_add(r, rig_target_parse(&r->a, target), x.u.v, x.len, false);
    else rig_mock_add(r, rig_target_parse(&r->a, target), &x, 1, false);
  }
  return true;
}

static void put_name(buf *b, const char *name) {
  if (b->len && b->p[b->len - 1] != '{' && b->p[b->len - 1] != '[') buf_putc(b, ',');
  json_write_str(b, name, strlen(name));
  buf_putc(b, ':');
}
static void put_text(buf *b, const char *name, const char *s, size_t n) {
  put_name(b, name);
  json_write_str(b, s, n);
}
static void put_value(buf *b, arena *a, const char *name, val v) {
  put_name(b, name);
  size_t here = b->len;
  if (hc_write_text_json(a, v, b)) {
    b->len = here;
    b->status = HDW_OK;
    buf_puts(b, "null");
  }
}

static void put_effect(buf *b, arena *a, const rig_effect *f) {
  buf_puts(b, b->p[b->len - 1] == '[' ? "{" : ",{");
  put_text(b, "path", f->path, strlen(f->path));
  put_text(b, "connection", f->connection, strlen(f->connection));
  put_text(b, "operation", f->operation, strlen(f->operation));
  put_name(b, "send");
  buf_puts(b, f->delivery ? "true" : "false");
  put_name(b, "attempt");
  buf_putf(b, "%u", f->attempt);
  put_value(b, a, "arguments", f->request);
  put_name(b, "mocked");
  buf_puts(b, f->mocked ? "true" : "false");
  if (f->failed) {
    put_name(b, "error");
    buf_putf(b, "{\"status\":%d,\"message\":", f->status);
    json_write_str(b, f->error, strlen(f->error));
    buf_putc(b, '}');
  } else {
    put_value(b, a, "result", f->result);
  }
  buf_putc(b, '}');
}

static void put_run(buf *b, const rig_outcome *o) {
  put_name(b, "run");
  buf_putc(b, '{');
  put_text(b, "state", rig_run_state(o->run.state), strlen(rig_run_state(o->run.state)));
  if (o->run.state == RUN_DONE) put_text(b, "outcome", rig_outcome_name(o->how), strlen(rig_outcome_name(o->how)));
  if (o->run.error_code.len) put_text(b, "code", o->run.error_code.p, o->run.error_code.len);
  if (o->run.reason.len) put_text(b, "reason", o->run.reason.p, o->run.reason.len);
  if (o->run.path.len) put_text(b, "path", o->run.path.p, o->run.path.len);
  if (o->where[0]) put_text(b, "at", o->where, strlen(o->where));
  buf_putc(b, '}');
}

static void put_reply(buf *b, const rig *r, bool message) {
  put_text(b, "verdict", r->reply.code, strlen(r->reply.code));
  if (message) {
    put_name(b, "ack");
    if (r->reply.len) json_write_str(b, r->reply.p, r->reply.len);
    else buf_puts(b, "null");
    return;
  }
  put_name(b, "status");
  buf_putf(b, "%d", r->reply.http_status);
  put_name(b, "answer");
  if (r->reply.len && r->reply.json) buf_put(b, r->reply.p, r->reply.len);
  else if (r->reply.len) json_write_str(b, r->reply.p, r->reply.len);
  else buf_puts(b, "null");
}

static void pretty(hdwc *h, const buf *b) {
  json_reader jr;
  val v;
  buf out;
  buf_init(&out, &h->a, OUT_MAX);
  json_reader_init(&jr, &h->mem.m);
  json_wopts o = {.pretty = true, .keep_empty = true};
  if (json_read(&jr, &h->a, b->p, b->len, NULL, &v, NULL) || json_write(v, &out, &o)) hc_print(b);
  else hc_print(&out);
  putchar('\n');
  json_reader_free(&jr);
}

static int report(hdwc *h, rig *r, bool message) {
  buf b;
  rig_outcome o;
  buf_init(&b, &h->a, OUT_MAX);
  bool ran = rig_result(r, r->workflow, &h->a, &o);
  buf_putc(&b, '{');
  put_text(&b, "workflow", r->workflow, strlen(r->workflow));
  put_reply(&b, r, message);
  put_value(&b, &h->a, "result", ran ? o.value : VAL_NONE);
  put_name(&b, "effects");
  buf_putc(&b, '[');
  for (const rig_effect *f = r->effects; f; f = f->next) put_effect(&b, &h->a, f);
  buf_putc(&b, ']');
  if (ran) put_run(&b, &o);
  put_name(&b, "log");
  buf_putc(&b, '[');
  for (const rig_log *l = r->logs; l; l = l->next) {
    if (l != r->logs) buf_putc(&b, ',');
    buf_put(&b, l->line, l->len);
  }
  buf_puts(&b, "]}");
  if (b.status) {
    hc_say("%s", hdw_status_text((hdw_status)b.status));
    return EXIT_FINDINGS;
  }
  pretty(h, &b);
  return ran && o.run.state != RUN_DONE ? EXIT_FINDINGS : EXIT_OK;
}

static int run_on(hdwc *h, rig *r, const char *workflow, const char *message, const char *json, const char *mock) {
  const meta_workflow *w = choose(r, workflow, message != NULL);
  const char *text = "", *path = message ? message : json;
  size_t len = 0;
  if (!w || (mock && !read_mocks(r, mock)) || (path && !hc_read_say(&r->a, path, &text, &len))) return EXIT_USAGE;
  if (!message && takes(w, true) && !takes(w, false)) {
    hc_say("workflow '%s' takes an HL7 message: --message FILE", w->name);
    return EXIT_USAGE;
  }
  if (message) rig_message(r, w, text, len);
  else rig_request(r, w, text, len, NULL);
  return report(h, r, message != NULL);
}

int hc_run(hdwc *h, const hc_command *c, int argc, char **argv) {
  const char *workflow = NULL, *message = NULL, *json = NULL, *mock = NULL;
  const hc_option options[] = {{"workflow", NULL, &workflow}, {"message", NULL, &message}, {"json", NULL, &json}, {"mock", NULL, &mock}};
  hc_args args;
  int status;
  hc_sources s;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n != 1) return hc_usage(c, "one program, please");
  if (message && json) return hc_usage(c, "--message or --json, not both");
  if (!hc_sources_open(&s, &h->a, args.v, args.n)) return EXIT_USAGE;
  uint32_t n = s.n, *files = (uint32_t *)arena_zalloc(&h->a, n, sizeof *files);
  if (!files) return EXIT_USAGE;
  for (uint32_t i = 0; i < n; i++) files[i] = i;
  diag_list l;
  comp_result cr;
  comp_options opt = {0};
  diag_init(&l, &h->a);
  if (!hc_compile(&s, files, n, opt, &h->a, &l, &cr)) return EXIT_USAGE;
  hc_diag_stderr(&l, false);
  if (l.errors || !cr.bytes) return EXIT_FINDINGS;
  hc_module_seal(cr.bytes, cr.len_bytes);
  rig r;
  rig_init(&r, h);
  if (!rig_open(&r, hc_basename(args.v[0]), cr.bytes, cr.len_bytes, 0)) return EXIT_USAGE;
  status = run_on(h, &r, workflow, message, json, mock);
  rig_close(&r);
  return status;
}
