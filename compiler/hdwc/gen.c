/* gen.c - hdwc gen connector: reads the document and what it refers to, writes the module, says what was left out. */
#include "gen.h"
#include <string.h>
#include "hdwc.h"
#include "json.h"

enum { DOC_MAX = 64 << 20, FILES_TOTAL_MAX = 256 << 20, JSON_DEPTH = 300, ONLY_MAX = 200 };

typedef struct reader {
  hdwc *h;
  const char *root;          /* folder of the document: nothing else is read */
  size_t total;
  struct seen { const char *path; val doc; } *seen;
  uint32_t n, cap;
} reader;

static bool json_text(const char *s, size_t n) {
  size_t i = 0;
  if (n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0) i = 3;
  while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n')) i++;
  return i < n && (s[i] == '{' || s[i] == '[');
}

/* JSON or YAML, told apart by the first character: what begins with a brace and is no JSON is named by JSON's mistake. */
static hdw_status parse(hdwc *h, const char *path, const char *text, size_t len, val *doc, bool say) {
  if (len > DOC_MAX) {
    if (say) hc_say("%s is bigger than %d MB", path, DOC_MAX >> 20);
    return HDW_E_LIMIT;
  }
  if (json_text(text, len)) {
    json_reader r;
    json_error e = {0};
    json_opts o = {.max_depth = JSON_DEPTH, .duplicate_keys = JSON_DUP_KEEP};
    json_reader_init(&r, &h->mem.m);
    hdw_status st = json_read(&r, &h->a, text, len, &o, doc, &e);
    json_reader_free(&r);
    if (st && say) hc_say("%s:%u:%u: no valid JSON: expected %s", path, e.line, e.column, e.expected ? e.expected : hdw_status_text(st));
    return st;
  }
  gen_yaml_error e;
  hdw_status st = gen_yaml(&h->a, text, len, doc, &e);
  if (st && say) hc_say("%s:%u:%u: no valid YAML: %s", path, e.line, e.column, e.what ? e.what : hdw_status_text(st));
  return st;
}

static bool below(const char *dir, const char *path) {
  size_t n = strlen(dir);
  return strncmp(dir, path, n) == 0 && (path[n] == '/' || n == 1);
}

static hdw_status load(void *user, const char *from, const char *ref, const char **path, val *doc) {
  reader *r = user;
  const char *real = hc_real(&r->h->a, hc_join(&r->h->a, hc_dirname(&r->h->a, from), ref)), *text;
  size_t len;
  if (!real) return HDW_E_NOTFOUND;
  if (!below(r->root, real)) return HDW_E_DENIED;
  *path = real;
  for (uint32_t i = 0; i < r->n; i++)
    if (strcmp(r->seen[i].path, real) == 0) { *doc = r->seen[i].doc; return HDW_OK; }
  hdw_status st = hc_read(&r->h->a, real, &text, &len);
  if (!st && (r->total += len) > FILES_TOTAL_MAX) st = HDW_E_LIMIT;
  if (!st) st = parse(r->h, real, text, len, doc, false);
  if (st) return st;
  if (r->n == r->cap) {
    uint32_t cap = r->cap ? r->cap * 2 : 32;
    struct seen *v = arena_grow(&r->h->a, r->seen, r->cap * sizeof *v, cap * sizeof *v);
    if (!v) return HDW_E_NOMEM;
    r->seen = v;
    r->cap = cap;
  }
  r->seen[r->n++] = (struct seen){real, *doc};
  return HDW_OK;
}

static bool word(const char *s) {
  if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')) || strlen(s) > 30) return false;
  for (; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_')) return false;
  return true;
}

/* "Patient,Coverage" */
static uint32_t split(arena *a, const char *s, const char **v) {
  uint32_t n = 0;
  while (s && *s && n < ONLY_MAX) {
    size_t k = strcspn(s, ",");
    if (k) v[n++] = hc_text(a, "%.*s", (int)k, s);
    s += k + (s[k] == ',');
  }
  return n;
}

/* The same command again: options in one order, the document by its name alone. */
static const char *command(arena *a, const gen_options *o, const char *auth, const char *ranges, const char *only, const char *smart) {
  return hc_text(a, "hdwc gen connector %s%s%s%s%s%s%s%s%s%s%s%s%s", hc_basename(o->file), o->name ? " --name " : "", o->name ? o->name : "", o->prefix ? " --prefix " : "", o->prefix ? o->prefix : "",
                 strcmp(auth, "found") ? " --auth " : "", strcmp(auth, "found") ? auth : "", strcmp(ranges, "both") ? " --ranges " : "", strcmp(ranges, "both") ? ranges : "", only ? " --only " : "",
                 only ? only : "", smart ? " --smart " : "", smart ? hc_basename(smart) : "");
}

/* Writes a file, or with `check` only compares it. *changed: it is another now. */
static bool put(hdwc *h, const char *path, const buf *b, bool check, bool *changed) {
  const char *old;
  size_t len;
  bool same = hc_exists(path, NULL) && !hc_read(&h->a, path, &old, &len) && len == b->len && memcmp(old, b->p, len) == 0;
  if (same) return true;
  *changed = true;
  if (check) { printf("%s would change\n", path); return true; }
  if (!hc_write(&h->a, path, b->p, b->len)) return false;
  printf("%s\n", path);
  return true;
}

static int made(hdwc *h, const gen_result *r, const char *dir, bool check) {
  bool changed = false;
  for (uint32_t i = 0; i < r->nnotes; i++) fprintf(stderr, "note: %s\n", r->notes[i]);
  if (!check && !hc_mkdir(dir)) return EXIT_USAGE;
  if (!put(h, hc_join(&h->a, dir, hc_text(&h->a, "%s.hdw", r->name)), &r->text, check, &changed)) return EXIT_USAGE;
  if (r->capability.len && !put(h, hc_join(&h->a, dir, hc_text(&h->a, "%s.capability.json", r->name)), &r->capability, check, &changed)) return EXIT_USAGE;
  if (check) return changed ? EXIT_FINDINGS : EXIT_OK;
  fprintf(stderr, "%u action%s, %u payload%s%s\n", r->nactions, r->nactions == 1 ? "" : "s", r->npayloads, r->npayloads == 1 ? "" : "s", changed ? "" : "; nothing changed");
  return EXIT_OK;
}

int hc_gen(hdwc *h, const hc_command *c, int argc, char **argv) {
  static const char *const auths[] = {"found", "none", "basic", "bearer", "api_key", "oauth2", "smart_backend", NULL}, *const ranges[] = {"both", "value", NULL};
  const char *dir = NULL, *auth = "found", *range = "both", *name = NULL, *prefix = NULL, *only = NULL, *smart = NULL, *text, *list[ONLY_MAX];
  bool check = false;
  const hc_option options[] = {{"o", NULL, &dir}, {"auth", NULL, &auth}, {"ranges", NULL, &range}, {"name", NULL, &name}, {"prefix", NULL, &prefix}, {"only", NULL, &only}, {"smart", NULL, &smart}, {"check", &check, NULL}};
  hc_args args;
  int status, how, wide;
  size_t len;
  val doc, login;
  if (!hc_parse(h, c, argc, argv, options, sizeof options / sizeof *options, &args, &status)) return status;
  if (args.n != 2 || strcmp(args.v[0], "connector") != 0) return hc_usage(c, args.n && strcmp(args.v[0], "connector") ? "'%s' is nothing that can be made: connector" : "one document, please", args.n ? args.v[0] : "");
  if (!dir) return hc_usage(c, "where to? -o DIR");
  if ((how = hc_choice(auth, auths)) < 0) return hc_usage(c, "there is no way to log in '%s': found, none, basic, bearer, api_key, oauth2, smart_backend", auth);
  if ((wide = hc_choice(range, ranges)) < 0) return hc_usage(c, "--ranges is both or value, not '%s'", range);
  if (name && !word(name)) return hc_usage(c, "'%s' cannot be the name of a connection: letters, digits and _, at most 30", name);
  if (prefix && !word(prefix)) return hc_usage(c, "'%s' cannot begin a name: letters, digits and _, at most 30", prefix);
  if (!hc_read_say(&h->a, args.v[1], &text, &len) || parse(h, args.v[1], text, len, &doc, true)) return EXIT_USAGE;
  if (smart && (!hc_read_say(&h->a, smart, &text, &len) || parse(h, smart, text, len, &login, true))) return EXIT_USAGE;
  bool in = strcmp(args.v[1], "-") == 0;
  reader r = {.h = h};
  const char *real = in ? NULL : hc_real(&h->a, args.v[1]);
  gen_loader l = {load, &r};
  r.root = real ? hc_dirname(&h->a, real) : "";
  gen_options o = {.file = in ? "-" : args.v[1], .path = real ? real : "-", .name = name, .prefix = prefix, .auth = (gen_auth)how, .ranges = wide == 0, .only = list, .nonly = split(&h->a, only, list),
                   .smart = smart ? &login : NULL, .loader = real ? &l : NULL};
  o.command = command(&h->a, &o, auth, range, only, smart);
  gen_result out;
  hdw_status st = gen_connector(&h->a, doc, &o, &out);
  if (st) {
    hc_say("%s: %s", args.v[1], out.error ? out.error : hdw_status_text(st));
    return st == HDW_E_INVALID || st == HDW_E_LIMIT ? EXIT_FINDINGS : EXIT_USAGE;
  }
  return made(h, &out, dir, check);
}
