/* hdwvm_deploy.c - deploy, rollback, withdraw, reload; modules, deployments, sources. */
#include <stdio.h>
#include <string.h>
#include "hdwvm.h"
#include "json.h"
#include "meta.h"

typedef struct talk {
  io_mem heap;
  arena a;
} talk;
static void talk_init(talk *t) {
  io_mem_init(&t->heap, 0);
  arena_init(&t->a, &t->heap.m, 0);
}
static int talk_end(talk *t, int code) {
  arena_free(&t->a);
  return code;
}

static const char *short_id(arena *a, val row, const char *name) {
  const char *s = hv_cell(a, row, name);
  const char *cut = arena_dup(a, s, strlen(s) < 12 ? strlen(s) : 12);
  return cut ? cut : "";
}

/* ---- changing -------------------------------------------------------------------------------------------------------------------------- */

static val parse(arena *ar, const char *text, size_t len) {
  json_reader r;
  val v = VAL_NONE;
  json_reader_init(&r, ar->mem);
  (void)json_read(&r, ar, text, len, NULL, &v, NULL);
  json_reader_free(&r);
  return v;
}

/* The answer to a change: what is deployed now, or every problem on a line. */
static int show_change(const hv_args *args, talk *t, int status, const char *body, size_t len) {
  if (status < 0) return EXIT_UNAVAILABLE;
  val v = parse(&t->a, body, len), list = jv_get(v, "problems"), mods = jv_get(v, "modules");
  if (args->json) printf("%.*s\n", (int)len, body);
  if (status != 200) {
    const char *why = hv_cell(&t->a, v, "error");
    for (uint32_t i = 0; i < jv_count(list) && !args->json; i++) {
      const char *line = jv_text(&t->a, jv_item(list, i));
      fprintf(stderr, "%s\n", line ? line : "?");
    }
    hv_say("%s", why[0] ? why : "the daemon refuses");
    return EXIT_FINDINGS;
  }
  if (args->json) return EXIT_OK;
  for (uint32_t i = 0; i < jv_count(mods); i++)
    printf("%s is now %s (deployment %s)\n", hv_cell(&t->a, jv_item(mods, i), "name"), short_id(&t->a, jv_item(mods, i), "id"), short_id(&t->a, jv_item(mods, i), "deployment"));
  return EXIT_OK;
}

static int post(const hv_args *args, talk *t, const char *target, const void *with, size_t n) {
  const char *body = NULL;
  size_t len = 0;
  int status = hv_ask_with(args, &t->a, "POST", target, with, n, &body, &len);
  return show_change(args, t, status, body, len);
}

/* All of them or none: programs that share a connection change it together. */
int hv_deploy(const hv_args *args) {
  talk t;
  buf body, names;
  if (!args->nwords) {
    hv_say("deploy needs a module (hdwc build makes them)");
    return EXIT_USAGE;
  }
  talk_init(&t);
  buf_init(&body, &t.a, 512 << 20);
  buf_init(&names, &t.a, 65536);
  for (int i = 0; i < args->nwords; i++) {
    size_t n;
    const char *slash = strrchr(args->words[i], '/');
    char *p = hv_read(&t.a, args->words[i], &n);
    if (!p) return talk_end(&t, EXIT_FINDINGS);
    if (n != hv_module_length(p, n)) { /* the next one would begin in its middle */
      hv_say("%s is no module: it is longer than its header says", args->words[i]);
      return talk_end(&t, EXIT_FINDINGS);
    }
    buf_put(&body, p, n);
    if (i) buf_putc(&names, '/');
    buf_puts(&names, slash ? slash + 1 : args->words[i]);
  }
  buf_putc(&names, 0);
  char target[1100];
  int n = body.status || names.status ? -1 : snprintf(target, sizeof target, "/deploy?file=%s", hv_escape(&t.a, names.p));
  if (n < 0 || n >= (int)sizeof target) {
    hv_say("these are too many modules for one deployment");
    return talk_end(&t, EXIT_USAGE);
  }
  return talk_end(&t, post(args, &t, target, body.p, body.len));
}

int hv_rollback(const hv_args *args) {
  talk t;
  char target[1100];
  talk_init(&t);
  buf names; /* programs that share a connection go back together */
  buf_init(&names, &t.a, 65536);
  for (int i = 0; i < args->nwords; i++) {
    if (i) buf_putc(&names, '/');
    buf_puts(&names, args->words[i]);
  }
  buf_putc(&names, 0);
  const char *name = args->nwords && !names.status ? hv_escape(&t.a, names.p) : NULL, *to = args->to ? hv_escape(&t.a, args->to) : NULL;
  int n = snprintf(target, sizeof target, "/rollback?x=1%s%s%s%.300s", name ? "&name=" : "", name ? name : "", to ? "&to=" : "", to ? to : "");
  if (names.status || n >= (int)sizeof target) {
    hv_say("these are too many names");
    return talk_end(&t, EXIT_USAGE);
  }
  return talk_end(&t, post(args, &t, target, NULL, 0));
}

int hv_withdraw(const hv_args *args) {
  talk t;
  char target[1100];
  if (args->nwords != 1) {
    hv_say("withdraw needs the name of a module (hdwvm modules lists them)");
    return EXIT_USAGE;
  }
  talk_init(&t);
  snprintf(target, sizeof target, "/withdraw?name=%.400s", hv_escape(&t.a, args->words[0]));
  return talk_end(&t, post(args, &t, target, NULL, 0));
}

int hv_reload_now(const hv_args *args) {
  talk t;
  talk_init(&t);
  return talk_end(&t, post(args, &t, "/reload", NULL, 0));
}

int hv_forget(const hv_args *args) {
  talk t;
  val v;
  bool done;
  hv_args quiet = *args;
  char target[1100];
  const char *body;
  size_t len;
  quiet.json = false;
  if (args->nwords != 1) {
    hv_say("forget needs the name of a connection, workflow or listener");
    return EXIT_USAGE;
  }
  talk_init(&t);
  snprintf(target, sizeof target, "/forget?name=%.400s", hv_escape(&t.a, args->words[0]));
  int code = hv_get(&quiet, &t.a, target, &v, &done);
  if (code) return talk_end(&t, code);
  bool declared = !strcmp(hv_cell(&t.a, v, "declared"), "true");
  if (!args->json)
    printf("%s: %s deliveries wait, %s runs are not finished%s%s. %s\n", args->words[0], hv_cell(&t.a, v, "deliveries"), hv_cell(&t.a, v, "runs"),
           !strcmp(hv_cell(&t.a, v, "listener"), "true") ? ", resends of its messages are known" : "", !strcmp(hv_cell(&t.a, v, "once"), "true") ? ", keys of its `once by` are taken" : "",
           declared ? "It is declared: what is there then is discarded with the deployment that drops it." : "They are discarded now.");
  if (!args->yes) {
    hv_say("say --yes to do it");
    return talk_end(&t, EXIT_FINDINGS);
  }
  int status = hv_ask(args, &t.a, "POST", target, &body, &len);
  if (status == 200 && args->json) printf("%.*s\n", (int)len, body);
  if (status == 200) return talk_end(&t, EXIT_OK);
  if (status > 0) hv_refused(&t.a, body, len);
  return talk_end(&t, status < 0 ? EXIT_UNAVAILABLE : EXIT_FINDINGS);
}

/* ---- looking --------------------------------------------------------------------------------------------------------------------------- */

int hv_modules(const hv_args *args) {
  talk t;
  val rows;
  bool done;
  hv_table tab;
  talk_init(&t);
  int code = hv_get(args, &t.a, "/modules", &rows, &done);
  if (code || done) return talk_end(&t, code);
  hv_table_init(&tab, &t.a, 8, (const char *const[]){"MODULE", "STATE", "ID", "DEPLOYMENT", "SINCE", "WHO", "UNFINISHED", "FILE"});
  for (uint32_t i = 0; i < jv_count(rows); i++) {
    val r = jv_item(rows, i);
    hv_table_row(&tab, (const char *const[]){hv_cell(&t.a, r, "name"), hv_cell(&t.a, r, "state"), short_id(&t.a, r, "id"), short_id(&t.a, r, "deployment"), hv_time_cell(&t.a, r, "since"),
                                             hv_cell(&t.a, r, "who"), hv_cell(&t.a, r, "unfinished_runs"), hv_cell(&t.a, r, "file")});
  }
  hv_table_print(&tab);
  for (uint32_t i = 0; i < jv_count(rows); i++) {
    const char *reason = hv_cell(&t.a, jv_item(rows, i), "reason");
    if (reason[0]) printf("\n%s was refused: %s\n", hv_cell(&t.a, jv_item(rows, i), "file"), reason);
  }
  return talk_end(&t, EXIT_OK);
}

int hv_deployments(const hv_args *args) {
  talk t;
  val rows;
  bool done;
  char target[500] = "/deployments";
  hv_table tab;
  talk_init(&t);
  if (args->nwords) snprintf(target, sizeof target, "/deployments?name=%.400s", hv_escape(&t.a, args->words[0]));
  int code = hv_get(args, &t.a, target, &rows, &done);
  if (code || done) return talk_end(&t, code);
  hv_table_init(&tab, &t.a, 8, (const char *const[]){"SINCE", "MODULE", "ID", "DEPLOYMENT", "WHO", "UNFINISHED", "FILE", ""});
  for (uint32_t i = 0; i < jv_count(rows); i++) {
    val r = jv_item(rows, i);
    bool now = !strcmp(hv_cell(&t.a, r, "current"), "true"), gone = jv_get(r, "withdrawn").tag == VAL_BOOL;
    hv_table_row(&tab, (const char *const[]){hv_time_cell(&t.a, r, "since"), hv_cell(&t.a, r, "name"), gone ? "withdrawn" : short_id(&t.a, r, "id"), short_id(&t.a, r, "deployment"),
                                             hv_cell(&t.a, r, "who"), hv_cell(&t.a, r, "unfinished_runs"), hv_cell(&t.a, r, "file"), now ? "current" : ""});
  }
  hv_table_print(&tab);
  return talk_end(&t, EXIT_OK);
}

/* What happened at a listener besides messages, since the start. */
static void source_events(arena *a, val row) {
  static const char *const events[][2] = {{"duplicates", "resends"}, {"conflicts", "control ids used again with other content"}, {"refused", "refused"}, {"unparseable", "without a usable MSH"},
                                          {"unauthorised", "not authorised"}, {"lone_conditions", "with only one of MSH-15 and MSH-16"}, {"refused_connections", "connections refused"},
                                          {"junk_bytes", "bytes between frames"}, {"partial_frames", "frames cut off"}, {"oversize", "too long"}, {"violations", "violations of the protocol"},
                                          {"timeouts", "timeouts"}, {"tls_failures", "TLS failures"}};
  bool any = false;
  for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
    const char *n = hv_cell(a, row, events[i][0]);
    if (!n[0]) continue;
    if (any) printf(", %s %s", n, events[i][1]);
    else printf("%s: %s %s", hv_cell(a, row, "name"), n, events[i][1]);
    any = true;
  }
  if (any) printf("\n");
}

int hv_sources(const hv_args *args) {
  talk t;
  val rows;
  bool done;
  hv_table tab;
  talk_init(&t);
  int code = hv_get(args, &t.a, "/sources", &rows, &done);
  if (code || done) return talk_end(&t, code);
  hv_table_init(&tab, &t.a, 7, (const char *const[]){"NAME", "", "KIND", "STATE", "ADDRESS", "MESSAGES", "NETWORKS"});
  for (uint32_t i = 0; i < jv_count(rows); i++) {
    val r = jv_item(rows, i), nets = jv_get(r, jv_is(jv_get(r, "direction"), "in") ? "allow" : "networks");
    char where[700], list[300] = "";
    const char *port = hv_cell(&t.a, r, "port");
    snprintf(where, sizeof where, port[0] ? "%.600s:%s" : "%.600s", hv_cell(&t.a, r, "address"), port);
    for (uint32_t k = 0; k < jv_count(nets); k++) {
      const char *s = jv_text(&t.a, jv_item(nets, k));
      size_t n = strlen(list);
      snprintf(list + n, sizeof list - n, "%s%.60s", k ? ", " : "", s ? s : "");
    }
    hv_table_row(&tab, (const char *const[]){hv_cell(&t.a, r, "name"), hv_cell(&t.a, r, "direction"), hv_cell(&t.a, r, "kind"), hv_cell(&t.a, r, "state"),
                                             arena_dup(&t.a, where, strlen(where)), hv_cell(&t.a, r, "messages"), arena_dup(&t.a, list, strlen(list))});
  }
  hv_table_print(&tab);
  for (uint32_t i = 0; i < jv_count(rows); i++) source_events(&t.a, jv_item(rows, i));
  return talk_end(&t, EXIT_OK);
}
