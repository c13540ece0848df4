/* hdwvm_main.c - commands and options. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "hdwvm.h"
#include "nearest.h"

const hv_command hv_commands[] = {
    {"serve", "--config hdw.json [--data DIR] [--check] [APP.hdwb...]", "Runs the daemon, without modules on what is deployed; --check validates modules, bindings and grants and ends.", hv_serve, HOLD_LATER},
    {"verify", "FILE.hdwb...", "Accepts or rejects modules, with the reason.", hv_verify, 0},
    {"config", "schema|init|check [APP.hdwb...]", "JSON Schema of hdw.json; a skeleton for a module's needs; check is serve --check.", hv_config, HOLD_LATER},
    {"deploy", "APP.hdwb...", "Gives the running daemon modules, new or in the place of those with their names: all of them or none.", hv_deploy, HOLD_NET},
    {"rollback", "[NAME...] [--to ID]", "Back to the version before, or to the one whose id begins so; of several modules together, or of none.", hv_rollback, HOLD_NET},
    {"withdraw", "NAME", "Takes a module out of service; its unfinished runs go on.", hv_withdraw, HOLD_NET},
    {"forget", "NAME [--yes]", "Gives up what is kept under the name of a connection, workflow or listener: waiting deliveries, unfinished runs, windows of duplicates and once-keys.", hv_forget, HOLD_NET},
    {"reload", "", "hdw.json, secrets, certificates and changed modules again, as SIGHUP does, with the problems shown here.", hv_reload_now, HOLD_NET},
    {"modules", "", "Modules in the daemon: current, earlier ones that runs still need, refused ones.", hv_modules, HOLD_NET},
    {"deployments", "[NAME]", "What was deployed, when and by whom.", hv_deployments, HOLD_NET},
    {"sources", "", "Listeners and connections: state, address, what they may reach.", hv_sources, HOLD_NET},
    {"status", "", "What the daemon is doing.", hv_status, HOLD_NET},
    {"messages", "[--patient P] [--control-id X] [--sender S] [--type T] [--state S] [--since T] [--until T] [--limit N] [--after ID]", "Inputs, newest first.", hv_messages, HOLD_NET},
    {"message", "ID | --control-id X [--reason TEXT]", "One input: what became of it, what waits for what, what to do next.", hv_message, HOLD_NET},
    {"runs", "[--state queued|running|waiting|parked|done|failed|dead|discarded] [--limit N]", "Runs; done and discarded ones are looked for in the latest 20,000 messages.", hv_runs, HOLD_NET},
    {"run", "ID [--until STEP|PATH|end]", "One run, step by step; --until: executed again up to there, with what its names held.", hv_run, HOLD_NET},
    {"dead", "", "Dead letters: runs and deliveries that a person must look at.", hv_dead, HOLD_NET},
    {"redrive", "ID | --sink S --workflow W --code C --since T | --all [--subject run|delivery] [--yes]", "Sends dead letters back into work.", hv_redrive, HOLD_NET},
    {"discard", "ID | --sink S --workflow W --code C --since T | --all [--subject run|delivery] [--reason TEXT] [--yes]", "Gives dead letters up.", hv_discard, HOLD_NET},
    {"reprocess", "MESSAGE | RUN --subject run | --workflow W --since T | --sink S --workflow W --code C --all [--yes]", "The same inputs again, on the current deployment; finished effects are taken over.", hv_reprocess, HOLD_NET},
    {"replay", "[MESSAGE...] [--with NEW.hdwb] --dry-run [--workflow W] [--since T] [--until T] [--limit N] [--values]", "Recorded messages through another version of a module (or once more through their own): what would be different? Nothing is performed.", hv_replay, 0},
    {"cancel", "RUN [--reason TEXT] [--yes]", "Stops a run that has not ended; what it sent stays sent.", hv_cancel, HOLD_NET},
    {"skip-lane", "SINK | LANE | ID [--subject run|delivery] [--yes]", "What a dead run or delivery holds up goes on without it.", hv_skip_lane, HOLD_NET},
    {"sinks", "", "Where deliveries go, and how it goes.", hv_sinks, HOLD_NET},
    {"connections", "", "The same as sinks.", hv_sinks, HOLD_NET},
    {"jwks", "", "Public keys of the smart_backend logins, as they are registered with a server.", hv_jwks, HOLD_NET},
    {"cache", "[clear CONNECTION | clear --all]", "Answers that cached(...) keeps, by connection, since the start how often they were used; clear forgets them.", hv_cache, HOLD_NET},
    {"pause", "SINK|WORKFLOW", "Holds everything that goes to a connection, or new runs of a workflow, until resume.", hv_pause, HOLD_NET},
    {"resume", "SINK|WORKFLOW", "Lets it go on.", hv_resume, HOLD_NET},
    {"lanes", "[--limit N]", "Lanes (order by) that are held by a failed or parked run, or where runs wait for their turn.", hv_lanes, HOLD_NET},
    {"loss", "[--sender S] [--limit N]", "What arrived and no workflow reads or drops, by sender and path, since the start (option loss).", hv_loss, HOLD_NET},
    {"limits", "", "Limits in force, with their meaning.", hv_limits, HOLD_NET},
    {"audit", "[--since T] [--who W] [--limit N] [--verify] [--fhir]", "Who did what; --verify checks the chain, --fhir prints AuditEvents (NDJSON).", hv_audit, HOLD_NET},
    {"check", "--data DIR", "Reads everything in a data folder or a backup, also beside a running daemon; says what is damaged.", hv_check, HOLD_LATER},
    {"backup", "--data DIR --to DIR", "Copies what is stored, also beside a running daemon; a second time only what is new.", hv_backup, HOLD_LATER},
    {"restore", "--from DIR --data DIR", "Makes a data folder out of a backup.", hv_restore, HOLD_LATER},
    {"follow", "--from DIR|SOCKET (or --url URL --token-file FILE [--ca FILE]) --data DIR", "A warm standby: copies a running daemon's log as it becomes durable. SIGUSR1 promotes.", hv_follow, HOLD_LATER},
    {"promote", "--data DIR", "Makes a standby's folder one that can be served.", hv_promote, HOLD_LATER},
    {"fence", "--term N --data DIR (or --url URL --token-file FILE) [--yes]", "Tells an old primary that a log of a newer term goes on elsewhere: it ends and is not served again.", hv_fence, HOLD_NET | HOLD_DATA},
    {"compact", "--data DIR [--config hdw.json]", "Lets go what retention allows and gives free pages back; the daemon must not run.", hv_compact, HOLD_LATER},
    {"export", "--data DIR [--since T]", "Messages and runs with their values as NDJSON: patients' data.", hv_export, 0},
    {"send", "FILE... --to HOST:PORT|URL", "Sends HL7 (MLLP or HTTP) or JSON and prints the answer.", hv_send, HOLD_NET},
    {NULL, NULL, NULL, NULL, 0},
};

static void usage(FILE *f) {
  fprintf(f, "hdwvm %s: the daemon of hdw\n\n", HDW_VERSION);
  for (const hv_command *c = hv_commands; c->name; c++) fprintf(f, "  hdwvm %-11s %s\n            %s\n", c->name, c->args, c->help);
  fprintf(f, "\nCommands that look into a daemon take --data DIR or --config hdw.json (default ./hdw.json), and --json.\n"
             "Over TCP: --url http(s)://HOST:PORT --token-file FILE (--ca FILE: authorities to trust instead of the system's). --reason TEXT says why values of messages are looked at.\n");
}

enum { OPT_TEXT, OPT_NUMBER, OPT_FLAG };
typedef struct option {
  const char *name;
  size_t at;
  int kind;
  uint64_t min, max;         /* OPT_NUMBER */
} option;
#define TEXT(name, field) {name, offsetof(hv_args, field), OPT_TEXT, 0, 0}
#define NUMBER(name, field, min, max) {name, offsetof(hv_args, field), OPT_NUMBER, min, max}
#define FLAG(name, field) {name, offsetof(hv_args, field), OPT_FLAG, 0, 0}
#define ANY_ID UINT64_C(999999999999999999)
static const option options[] = {
    TEXT("--config", config), TEXT("--data", data), TEXT("--to", to), TEXT("--state", state), TEXT("--control-id", control_id), TEXT("--sender", sender),
    TEXT("--patient", patient), TEXT("--since", since), NUMBER("--limit", limit, 1, 1000000), TEXT("--reason", reason), TEXT("--subject", subject), TEXT("--example", example),
    TEXT("--url", url), TEXT("--token-file", token_file), TEXT("--who", who), NUMBER("--after", after, 0, ANY_ID), TEXT("--until", until), TEXT("--type", type),
    TEXT("--sink", sink), TEXT("--workflow", workflow), TEXT("--code", code),
    TEXT("--from", from), TEXT("--with", with), FLAG("--dry-run", dry_run), FLAG("--values", values), TEXT("--ca", ca), NUMBER("--term", term, 1, ANY_ID),
    FLAG("--verify", verify), FLAG("--fhir", fhir),
    FLAG("--json", json), FLAG("--check", check), FLAG("--all", all), FLAG("--yes", yes), FLAG("--help", help), FLAG("-h", help), FLAG("--version", version),
};
enum { NOPTIONS = sizeof options / sizeof *options };

static bool unknown(const char *what, const char *word, bool command) {
  nearest n;
  nearest_init(&n, word, strlen(word));
  if (command)
    for (const hv_command *c = hv_commands; c->name; c++) nearest_offer(&n, c->name, strlen(c->name));
  else
    for (int i = 0; i < NOPTIONS; i++) nearest_offer(&n, options[i].name, strlen(options[i].name));
  if (n.n) hv_say("there is no %s '%s' (did you mean '%s'?)", what, word, n.hit[0].name);
  else hv_say("there is no %s '%s'; hdwvm --help lists them", what, word);
  return false;
}

/* Digits alone: no sign, no space, no unit. */
static bool number_fits(const option *o, const char *s) {
  uint64_t n = 0;
  size_t k = 0;
  for (; k < 19 && s[k] >= '0' && s[k] <= '9'; k++) n = n * 10 + (uint64_t)(s[k] - '0');
  if (k && !s[k] && n >= o->min && n <= o->max) return true;
  if (o->max == ANY_ID) hv_say("%s takes a whole number%s, not '%.60s'", o->name, o->min ? " above 0" : "", s);
  else hv_say("%s takes a whole number from %llu to %llu, not '%.60s'", o->name, (unsigned long long)o->min, (unsigned long long)o->max, s);
  return false;
}

static bool read_args(int argc, char **argv, hv_args *a) {
  for (int i = 1; i < argc; i++) {
    char *arg = argv[i], *eq;
    if (arg[0] != '-' || !arg[1]) {
      if (!a->command) a->command = arg;
      else if (a->nwords < HV_MAX_WORDS) a->words[a->nwords++] = arg;
      continue;
    }
    eq = strchr(arg, '=');
    size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
    const option *o = NULL;
    for (int k = 0; k < NOPTIONS && !o; k++)
      if (strlen(options[k].name) == n && !strncmp(options[k].name, arg, n)) o = &options[k];
    if (!o) return unknown("option", arg, false);
    void *at = (char *)a + o->at;
    if (o->kind == OPT_FLAG) *(bool *)at = true;
    else if (eq) *(const char **)at = eq + 1;
    else if (i + 1 < argc) *(const char **)at = argv[++i];
    else {
      hv_say("%s needs a value", arg);
      return false;
    }
    if (o->kind == OPT_NUMBER && !number_fits(o, *(const char **)at)) return false;
  }
  return true;
}

int main(int argc, char **argv) {
  hv_args a = {0};
  signal(SIGPIPE, SIG_IGN);
  if (!read_args(argc, argv, &a)) return EXIT_USAGE;
  if (!a.command && a.version) a.command = "version";
  if (!a.command || !strcmp(a.command, "help") || (a.help && !a.command)) {
    usage(a.help || a.command ? stdout : stderr);
    return a.help || a.command ? EXIT_OK : EXIT_USAGE;
  }
  if (a.version || !strcmp(a.command, "version")) {
    printf("hdwvm %s\n", HDW_VERSION);
    return EXIT_OK;
  }
  for (const hv_command *c = hv_commands; c->name; c++) {
    if (strcmp(c->name, a.command)) continue;
    if (a.help) {
      printf("hdwvm %s %s\n\n%s\n", c->name, c->args, c->help);
      return EXIT_OK;
    }
    if (!(c->hold & HOLD_LATER) && !hv_hold(&a, c->hold)) return EXIT_FINDINGS;
    int code = c->run(&a);
    return code == EXIT_OK && hv_was_offline && c->run == hv_status ? EXIT_UNAVAILABLE : code;
  }
  unknown("command", a.command, true);
  return EXIT_USAGE;
}
