/* hdwvm_act.c - what an operator does: redrive, discard, skip-lane, pause, resume, reprocess. Each shows first what it will do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "arena.h"
#include "hdwvm.h"
#include "json.h"
#include "meta.h"

typedef struct view {
  io_mem mem;
  arena a;
} view;

static void view_init(view *v) {
  io_mem_init(&v->mem, 0);
  arena_init(&v->a, &v->mem.m, 0);
}
static int view_end(view *v, int code) {
  arena_free(&v->a);
  return code;
}

static bool confirm(const hv_args *args, const char *what) {
  char answer[16];
  if (args->yes) return true;
  if (!isatty(0)) {
    hv_say("%s: say --yes", what);
    return false;
  }
  printf("%s? [y/N] ", what);
  fflush(stdout);
  return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static bool is_number(const char *s) { return s[0] && strspn(s, "0123456789") == strlen(s) && strlen(s) < 20; }
static bool is_lane(const char *s) { return strlen(s) == 32 && strspn(s, "0123456789abcdef") == 32; }

/* POST, and its answer as people read it. */
static int post(const hv_args *args, view *v, const char *target, const char *done) {
  const char *body;
  size_t len;
  json_reader r;
  val x = VAL_NONE;
  int status = hv_ask(args, &v->a, "POST", target, &body, &len);
  for (unsigned i = 0; i < 50 && status == 503; i++) { /* not at this moment */
    usleep(100000);
    status = hv_ask(args, &v->a, "POST", target, &body, &len);
  }
  if (status < 0) return EXIT_UNAVAILABLE;
  json_reader_init(&r, v->a.mem);
  (void)json_read(&r, &v->a, body, len, NULL, &x, NULL);
  json_reader_free(&r);
  if (status != 200) {
    const char *why = jv_text(&v->a, jv_get(x, "error"));
    hv_say("%s", why ? why : "the daemon refuses");
    return EXIT_FINDINGS;
  }
  if (args->json) printf("%.*s\n", (int)len, body);
  else {
    printf("%s: %s", done, hv_cell(&v->a, x, "done"));
    if (strcmp(hv_cell(&v->a, x, "refused"), "0") != 0) printf(", refused: %s (they changed meanwhile)", hv_cell(&v->a, x, "refused"));
    if (hv_cell(&v->a, x, "more")[0]) printf("; there are more: once again");
    printf("\n");
  }
  return EXIT_OK;
}

/* Parameters that name what is meant; false: said what is wrong. */
static bool selection(const hv_args *args, view *v, buf *b, bool sinks_by_name) {
  char since[32];
  bool filter = args->sink || args->workflow || args->code || args->since || args->all;
  if (args->nwords > 1 || (args->nwords == 1 && filter) || (!args->nwords && !filter)) {
    hv_say("%s takes one id, or a filter: --sink S, --workflow W, --code C, --since T, --all", args->command);
    return false;
  }
  if (args->nwords) {
    const char *w = args->words[0];
    if (is_number(w)) hv_param(&v->a, b, "id", w);
    else if (sinks_by_name && is_lane(w)) hv_param(&v->a, b, "lane", w);
    else if (sinks_by_name) hv_param(&v->a, b, "sink", w);
    else {
      hv_say("%s needs an id (a number): '%s'", args->command, w);
      return false;
    }
  }
  if (args->since) {
    if (!hv_since("--since", args->since, since)) return false;
    hv_param(&v->a, b, "since", since);
  }
  hv_param(&v->a, b, "sink", args->sink);
  hv_param(&v->a, b, "workflow", args->workflow);
  hv_param(&v->a, b, "code", args->code);
  hv_param(&v->a, b, "subject", args->subject);
  if (args->all) hv_param(&v->a, b, "all", "1");
  return true;
}

static int act(const hv_args *args, const char *action, const char *done) {
  static const hv_column cols[] = {{"SUBJECT", "subject", false}, {"ID", "id", false}, {"CHANGED", "changed", true}, {"WORKFLOW", "workflow", false}, {"SINK", "sink", false},
                                   {"STATE", "state", false}, {"CLASS", "class", false}, {"CODE", "code", false}, {"STEP", "step", false}, {"AT", "at", false},
                                   {"REASON", "reason", false}, {"ERROR", "error", false}};
  view v;
  buf b;
  view_init(&v);
  buf_init(&b, &v.a, 4096);
  buf_putf(&b, "/select?for=%s", action);
  bool skip = !strcmp(action, "skip-lane");
  if (!selection(args, &v, &b, skip)) return view_end(&v, EXIT_USAGE);
  buf_putc(&b, 0);
  bool lane = skip && args->nwords && is_lane(args->words[0]);
  if (lane) printf("the run that holds lane %s leaves it\n", args->words[0]);
  else if (!args->json || !args->yes) {
    hv_args plain = *args;
    plain.json = false;
    int code = hv_list(&plain, b.p, cols, 12, "nothing that this would change");
    if (code) return view_end(&v, code);
  }
  char what[80];
  snprintf(what, sizeof what, "%s %s", action, args->nwords ? "it" : "all of these");
  if (!confirm(args, what)) return view_end(&v, EXIT_USAGE);
  b.len = 0;
  buf_putf(&b, "/%s", action);
  (void)selection(args, &v, &b, skip);
  hv_param(&v.a, &b, "reason", args->reason);
  hv_param(&v.a, &b, "who", getenv("USER"));
  buf_putc(&b, 0);
  return view_end(&v, post(args, &v, b.p, done));
}

int hv_redrive(const hv_args *args) { return act(args, "redrive", "sent back into work"); }
int hv_discard(const hv_args *args) { return act(args, "discard", "given up"); }
int hv_cancel(const hv_args *args) {
  if (args->nwords == 1) return act(args, "cancel", "cancelled");
  hv_say("cancel takes the number of a run (hdwvm runs lists them)");
  return EXIT_USAGE;
}
int hv_skip_lane(const hv_args *args) { return act(args, "skip-lane", "skipped"); }

static int pause_or_resume(const hv_args *args, const char *action) {
  view v;
  buf b;
  char done[200];
  if (args->nwords != 1) {
    hv_say("%s needs the name of a connection or workflow (hdwvm sinks and hdwvm status list them)", action);
    return EXIT_USAGE;
  }
  view_init(&v);
  buf_init(&b, &v.a, 4096);
  buf_putf(&b, "/%s", action);
  hv_param(&v.a, &b, "name", args->words[0]);
  hv_param(&v.a, &b, "who", getenv("USER"));
  buf_putc(&b, 0);
  snprintf(done, sizeof done, "%.100s %sd", args->words[0], action);
  return view_end(&v, post(args, &v, b.p, done));
}

int hv_pause(const hv_args *args) { return pause_or_resume(args, "pause"); }
int hv_resume(const hv_args *args) { return pause_or_resume(args, "resume"); }

int hv_cache(const hv_args *args) {
  static const hv_column cols[] = {{"CONNECTION", "connection", false}, {"ANSWERS", "answers", false}, {"BYTES", "bytes", false}, {"OLDEST", "oldest", true}, {"NEWEST", "newest", true},
                                   {"HITS", "hits", false}, {"ASKED", "asked", false}, {"JOINED", "joined", false}, {"STALE", "stale", false}};
  view v;
  buf b;
  if (!args->nwords) return hv_list(args, "/cache", cols, 9, "nothing is kept: no program has used cached(...) yet");
  bool clear = !strcmp(args->words[0], "clear"), one = args->nwords == 2;
  if (!clear || args->nwords > 2 || one == args->all) {
    hv_say("cache lists what is kept; cache clear CONNECTION, or cache clear --all, forgets it");
    return EXIT_USAGE;
  }
  view_init(&v);
  buf_init(&b, &v.a, 4096);
  buf_puts(&b, "/cache");
  hv_param(&v.a, &b, "connection", one ? args->words[1] : NULL);
  hv_param(&v.a, &b, "all", args->all ? "1" : NULL);
  hv_param(&v.a, &b, "who", getenv("USER"));
  buf_putc(&b, 0);
  return view_end(&v, post(args, &v, b.p, "forgotten"));
}

/* ---- reprocess ------------------------------------------------------------------------------------------------------------------ */

static void print_plan(view *v, val p) {
  val effects = jv_get(p, "effects");
  const char *refused = hv_cell(&v->a, p, "refused"), *of = hv_cell(&v->a, p, "of_run"), *lane = hv_cell(&v->a, p, "lane_waiting");
  printf("message %s, %s%s%s\n", hv_cell(&v->a, p, "message"), hv_cell(&v->a, p, "workflow"), of[0] ? ", after run " : "", of);
  if (refused[0]) {
    printf("  not started: %s\n", refused);
    return;
  }
  if (lane[0]) printf("  %s other run(s) of its lanes go first\n", lane);
  for (uint32_t i = 0; effects.tag == VAL_LIST && i < effects.len; i++) {
    val e = effects.u.v[i];
    const char *d = hv_cell(&v->a, e, "delivery");
    printf("  %-5s %-8s %s.%s: %s%s%s\n", hv_cell(&v->a, e, "kind"), hv_cell(&v->a, e, "path"), hv_cell(&v->a, e, "connection"), hv_cell(&v->a, e, "operation"), hv_cell(&v->a, e, "what"),
           d[0] ? ", delivery " : "", d);
  }
  if (hv_cell(&v->a, p, "further")[0]) printf("  and %s more\n", hv_cell(&v->a, p, "further"));
  printf("  then: %s\n", hv_cell(&v->a, p, "then"));
}

int hv_reprocess(const hv_args *args) {
  view v;
  buf b;
  val x;
  bool done = false;
  view_init(&v);
  buf_init(&b, &v.a, 4096);
  buf_puts(&b, "/reprocess");
  if (!selection(args, &v, &b, false)) return view_end(&v, EXIT_USAGE);
  size_t target = b.len;
  buf_putc(&b, 0);
  if (!args->json || !args->yes) {
    int code = hv_get(args, &v.a, b.p, &x, &done);
    if (code || done) return view_end(&v, code);
    val runs = jv_get(x, "runs");
    for (uint32_t i = 0; runs.tag == VAL_LIST && i < runs.len; i++) print_plan(&v, runs.u.v[i]);
    if (runs.tag != VAL_LIST || !runs.len) {
      printf("nothing that this would change\n");
      return view_end(&v, EXIT_FINDINGS);
    }
    printf("messages in all: %s%s\n", hv_cell(&v.a, x, "messages"), hv_cell(&v.a, x, "more")[0] ? ", and more" : "");
    if (!confirm(args, "reprocess")) return view_end(&v, EXIT_USAGE);
  }
  b.len = target;
  hv_param(&v.a, &b, "who", getenv("USER"));
  buf_putc(&b, 0);
  return view_end(&v, post(args, &v, b.p, "runs started"));
}
