/* hl7.c - hdwc hl7: messages to JSON and back, and what can be said about a message without a program.
 *
 * Files may hold several messages, with or without batch envelopes. */
#include "hl7.h"
#include <string.h>
#include "dict.h"
#include "hdwc.h"
#include "hl7_dict.h"
#include "json.h"

typedef struct session {
  hdwc *h;
  const char *path;
  uint32_t errors, warnings;
} session;

/* ---- to JSON and back */

static bool say(session *x, const hl7_problem *why, hdw_status s) {
  x->errors++;
  hc_say("%s: %s%s%s", x->path, why->text ? why->text : hdw_status_text(s), why->seg[0] ? " in " : "", why->seg);
  return false;
}

static bool to_json(session *x, arena *a, const char *text, size_t len) {
  hl7_batch *b;
  hl7_problem why = {0};
  hdw_status s = hl7_split(a, text, len, &b, &why);
  if (s) return say(x, &why, s);
  for (uint32_t i = 0; i < b->nparts; i++) {
    const hl7_part *p = &b->parts[i];
    if (p->kind == HL7_PART_JUNK) {
      hc_say("%s:%u: lines outside of a message are left out", x->path, p->line);
      continue;
    }
    arena_mark here = arena_here(a);
    hl7_opts o = {.eol = b->nparts > 1 ? HL7_EOL_ANY : HL7_EOL_AUTO};
    hl7_msg *m;
    val doc;
    vm_cx cx = {.a = a, .fuel = INT64_MAX};
    if ((s = hl7_parse(a, b->bytes + p->off, p->len, &o, &m, &why))) return say(x, &why, s);
    buf out;
    buf_init(&out, a, 1 << 30);
    s = hl7_to_json(&cx, m, &doc);
    if (!s) s = json_write(doc, &out, NULL);
    if (s) return say(x, &why, s);
    buf_putc(&out, '\n');
    hc_print(&out);
    arena_release(a, here);
  }
  return true;
}

static bool from_json(session *x, arena *a, const char *text, size_t len) {
  json_reader r;
  bool ok = true;
  json_reader_init(&r, &x->h->mem.m);
  for (size_t pos = 0;;) {
    arena_mark here = arena_here(a);
    json_error e = {0};
    size_t used;
    val doc;
    hl7_slice out;
    hdw_status s = json_read_one(&r, a, text + pos, len - pos, NULL, &used, &doc, &e);
    if (s == HDW_E_NOTFOUND) break;
    vm_cx cx = {.a = a, .fuel = INT64_MAX};
    if (!s) s = hl7_from_json(&cx, doc, &out);
    if (s) {
      if (e.expected) hc_say("%s:%u:%u: no valid JSON: %s", x->path, e.line, e.column, e.expected);
      else hc_say("%s: %s", x->path, cx.err.text[0] ? cx.err.text : hdw_status_text(s));
      ok = false;
      x->errors++;
      break;
    }
    fwrite(out.p, 1, out.len, stdout);
    pos += used;
    arena_release(a, here);
  }
  json_reader_free(&r);
  return ok;
}

/* ---- check */

typedef struct checker {
  session *x;
  uint32_t number, line;    /* of the message */
  const hl7_msg *m;
  int structure;
} checker;

static void warn(checker *c, const char *place, const char *text) {
  c->x->warnings++;
  printf("%s:%u: message %u: warning: %s: %s\n", c->x->path, c->line, c->number, place, text);
}

static hl7_slice msh9(const hl7_msg *m, uint32_t comp) { return hl7_raw(m, 0, 9, 0, comp, 0); }

static void check_type(checker *c) {
  hl7_slice code = msh9(c->m, 1), event = msh9(c->m, 2);
  c->structure = dict_structure_for(code.p, code.len, event.p, event.len);
  if (code.len == 0) warn(c, "MSH-9", "the message has no type");
  else if (c->structure < 0) warn(c, "MSH-9", "the message type is not in the dictionary");
}

/* Required fields, fields and components that the dictionary does not have. */
static void check_segment(checker *c, uint32_t seg, uint32_t nth) {
  char name[4], place[40];
  hl7_name_text(c->m->segs[seg].name, name);
  int id = dict_segment(name, 3);
  if (id < 0) {
    snprintf(place, sizeof place, "%s[%u]", name, nth);
    if (name[0] != 'Z') warn(c, place, "there is no such segment in the dictionary");
    return;
  }
  if (c->structure >= 0 && !dict_structure_has(c->structure, id)) {
    snprintf(place, sizeof place, "%s[%u]", name, nth);
    warn(c, place, "the segment does not belong to this message type");
  }
  unsigned known = dict_field_count(id), n = hl7_field_count(c->m, seg);
  for (unsigned f = 1; f <= known; f++) {
    dict_info d;
    if (dict_field(id, f, &d) && d.opt == 'R' && hl7_field_raw(c->m, seg, f).len == 0) {
      snprintf(place, sizeof place, "%s[%u]-%u", name, nth, f);
      warn(c, place, "a required field is empty");
    }
  }
  for (unsigned f = known + 1; f <= n; f++)
    if (hl7_field_raw(c->m, seg, f).len) {
      snprintf(place, sizeof place, "%s[%u]-%u", name, nth, f);
      warn(c, place, "the segment has no such field in any version");
    }
}

static void check_message(checker *c) {
  check_type(c);
  for (uint32_t i = 0; i < c->m->nsegs; i++) {
    uint32_t nth = 1;
    for (uint32_t k = 0; k < i; k++) nth += c->m->segs[k].name == c->m->segs[i].name;
    check_segment(c, i, nth);
  }
}

static bool check(session *x, arena *a, const char *text, size_t len) {
  hl7_batch *b;
  hl7_problem why = {0};
  hdw_status s = hl7_split(a, text, len, &b, &why);
  if (s) {
    x->errors++;
    printf("%s: error: %s\n", x->path, why.text ? why.text : hdw_status_text(s));
    return false;
  }
  uint32_t errors = x->errors, warnings = x->warnings, n = 0;
  for (uint32_t i = 0; i < b->nparts; i++) {
    const hl7_part *p = &b->parts[i];
    if (p->kind != HL7_PART_MESSAGE) continue;
    hl7_opts o = {.eol = b->nparts > 1 ? HL7_EOL_ANY : HL7_EOL_AUTO, .strict = true, .schema = &hl7_dict_schema};
    checker c = {.x = x, .number = ++n, .line = p->line};
    hl7_msg *m;
    if ((s = hl7_parse(a, b->bytes + p->off, p->len, &o, &m, &why))) {
      x->errors++;
      printf("%s:%u: message %u: error: %s%s%s\n", x->path, p->line, n, why.seg, why.seg[0] ? ": " : "", why.text ? why.text : hdw_status_text(s));
      continue;
    }
    c.m = m;
    check_message(&c);
  }
  if (b->counts_wrong) {
    x->warnings++;
    printf("%s: warning: %s: %s\n", x->path, b->problem.seg, b->problem.text ? b->problem.text : "a count is wrong");
  }
  printf("%s: %u message%s, %u error%s, %u warning%s\n", x->path, n, n == 1 ? "" : "s", x->errors - errors, x->errors - errors == 1 ? "" : "s",
         x->warnings - warnings, x->warnings - warnings == 1 ? "" : "s");
  return x->errors == errors;
}

int hc_hl7_command(hdwc *h, const hc_command *c, int argc, char **argv) {
  static const char *const verbs[] = {"to-json", "from-json", "check", NULL};
  static bool (*const does[])(session *, arena *, const char *, size_t) = {to_json, from_json, check};
  hc_args args;
  int status, verb;
  if (!hc_parse(h, c, argc, argv, NULL, 0, &args, &status)) return status;
  if (args.n < 1 || (verb = hc_choice(args.v[0], verbs)) < 0) return hc_usage(c, "to-json, from-json or check?");
  if (args.n < 2) return hc_usage(c, "which file?");
  session x = {.h = h};
  status = EXIT_OK;
  for (int i = 1; i < args.n && status != EXIT_USAGE; i++) {
    arena a;
    const char *text;
    size_t len;
    arena_init(&a, &h->mem.m, 0);
    x.path = args.v[i];
    if (!hc_read_say(&a, args.v[i], &text, &len)) status = EXIT_USAGE;
    else if (!does[verb](&x, &a, text, len)) status = EXIT_FINDINGS;
    arena_free(&a);
  }
  return status;
}
