/* gen.c - the way through the generator, and what its parts share: notes, texts of the document as comments and literals, the head of a module. */
#include "gen_int.h"
#include "fmt.h"
#include <stdarg.h>
#include <stdio.h>

/* ---- errors and notes */

__attribute__((format(printf, 2, 0))) static const char *format(gen *g, const char *f, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, f, ap);
  char *p = n < 0 ? NULL : arena_alloc(g->a, (size_t)n + 1);
  if (p) vsnprintf(p, (size_t)n + 1, f, again);
  else if (!g->status) g->status = HDW_E_NOMEM;
  va_end(again);
  return p ? p : "";
}

const char *gen_fmt(gen *g, const char *f, ...) {
  va_list ap;
  va_start(ap, f);
  const char *s = format(g, f, ap);
  va_end(ap);
  return s;
}

void gen_fail(gen *g, hdw_status st, const char *f, ...) {
  if (g->status) return;
  g->status = st;
  if (st == HDW_E_NOMEM) return;
  va_list ap;
  va_start(ap, f);
  str t = gen_line(g, str_of(format(g, f, ap)), 300);
  va_end(ap);
  g->r->error = arena_dup(g->a, t.p, t.len);
}

void gen_note(gen *g, const char *f, ...) {
  enum { NOTES_MAX = 200 };
  if (g->r->nnotes > NOTES_MAX) return;
  if (g->r->nnotes == g->cap_notes) {
    uint32_t cap = g->cap_notes ? g->cap_notes * 2 : 16;
    const char **v = arena_grow(g->a, (void *)g->r->notes, g->cap_notes * sizeof *v, cap * sizeof *v);
    if (!v) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
    g->r->notes = v;
    g->cap_notes = cap;
  }
  va_list ap;
  va_start(ap, f);
  str t = gen_line(g, str_of(g->r->nnotes == NOTES_MAX ? "and more" : format(g, f, ap)), 300);
  va_end(ap);
  const char *s = arena_dup(g->a, t.p, t.len);
  if (!s) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return; }
  for (uint32_t i = 0; i < g->r->nnotes; i++)
    if (strcmp(g->r->notes[i], s) == 0) return;
  g->r->notes[g->r->nnotes++] = s;
}

bool gen_step(gen *g) {
  if (g->status) return false;
  if (++g->work > GEN_WORK_MAX) gen_fail(g, HDW_E_LIMIT, "references lead through the document more than %d times", GEN_WORK_MAX);
  return !g->status;
}

/* ---- reading the document */

const val *gen_get(val obj, const char *name) { return obj.tag == VAL_OBJ ? val_obj_get(obj, val_key(name, strlen(name))) : NULL; }

val gen_list(val obj, const char *name) {
  const val *v = gen_get(obj, name);
  return v && v->tag == VAL_LIST ? *v : (val){.tag = VAL_LIST};
}

val gen_obj(val obj, const char *name) {
  const val *v = gen_get(obj, name);
  return v && v->tag == VAL_OBJ ? *v : VAL_NONE;
}

str gen_str(gen *g, const val *v) {
  val x;
  if (!v || v->tag != VAL_STR) return (str){0};
  if (!(v->flags & VALF_ESC)) return (str){v->u.s, v->len};
  if (val_norm(g->a, *v, &x) || x.tag != VAL_STR) { gen_fail(g, HDW_E_NOMEM, "out of memory"); return (str){0}; }
  return (str){x.u.s, x.len};
}

str gen_text(gen *g, val obj, const char *name) { return gen_str(g, gen_get(obj, name)); }

bool gen_true(val obj, const char *name) {
  const val *v = gen_get(obj, name);
  return v && v->tag == VAL_BOOL && v->u.i;
}

bool gen_wanted(const gen *g, str name) {
  for (uint32_t i = 0; i < g->o->nonly; i++)
    if (str_is(name, g->o->only[i])) return true;
  return g->o->nonly == 0;
}

/* ---- texts as comments and literals */

/* Length of what stands at s[i] when it may not stand in a comment: controls, line ends of Unicode (U+0085, U+2028/9), marks that turn the direction of
 * text or have no width (U+200B-F, U+202A-E, U+2060-9, U+FEFF); so a comment reads as what it is. 0: it may. */
static size_t unwanted(str s, size_t i) {
  const unsigned char *u = (const unsigned char *)s.p + i;
  size_t left = s.len - i;
  if (u[0] < ' ' || u[0] == 127) return 1;
  if (u[0] == 0xC2 && left > 1 && u[1] >= 0x80 && u[1] <= 0x9F) return 2;
  if (u[0] == 0xE2 && left > 2 && u[1] == 0x80 && ((u[2] >= 0x8B && u[2] <= 0x8F) || (u[2] >= 0xA8 && u[2] <= 0xAE))) return 3;
  if (u[0] == 0xE2 && left > 2 && u[1] == 0x81 && u[2] >= 0xA0 && u[2] <= 0xA9) return 3;
  if (u[0] == 0xEF && left > 2 && u[1] == 0xBB && u[2] == 0xBF) return 3;
  return 0;
}

/* <p>, </b>, <br/>: markup of a text that will not be shown as HTML. 0: none begins here. */
static size_t tag_at(str s, size_t i) {
  if (s.p[i] != '<' || i + 2 >= s.len) return 0;
  char c = s.p[i + 1];
  if (c != '/' && !(c >= 'a' && c <= 'z')) return 0;
  size_t n = 2;
  while (i + n < s.len && n < 200 && s.p[i + n] != '>' && s.p[i + n] != '<') n++;
  return i + n < s.len && s.p[i + n] == '>' ? n + 1 : 0;
}

/* &ndash; and its like, as what they mean in plain letters. 0: none begins here. */
static size_t entity_at(str s, size_t i, char *c) {
  static const struct { const char *name; char c; } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&#39;", '\''}, {"&rsquo;", '\''}, {"&nbsp;", ' '}, {"&ndash;", '-'}, {"&mdash;", '-'}};
  for (size_t k = 0; k < sizeof known / sizeof *known; k++)
    if (str_starts((str){s.p + i, s.len - i}, known[k].name)) { *c = known[k].c; return strlen(known[k].name); }
  return 0;
}

/* Where a text that is too long ends: behind a sentence, a word, or at least a whole character. */
static void cut(buf *b, size_t max) {
  size_t n = max, word = max, sentence = max, least = max / 3 + 3;
  while (n && ((unsigned char)b->p[n] & 0xC0) == 0x80) n--;
  while (word > max / 2 && b->p[word] != ' ') word--;
  while (sentence > least && !(b->p[sentence - 1] == '.' && b->p[sentence] == ' ' && b->p[sentence - 3] != '.')) sentence--; /* not "i.e. " */
  if (sentence > least) { b->len = sentence; return; }
  b->len = word > max / 2 ? word : n;
  buf_puts(b, "...");
}

/* <b>, </a> and their like stand inside of a sentence; others part words. */
static bool inline_tag(str s, size_t i) {
  static const char *const known[] = {"b", "i", "u", "a", "em", "strong", "code", "span", "tt"};
  size_t from = i + 1 + (s.p[i + 1] == '/'), n = 0;
  while (s.p[from + n] >= 'a' && s.p[from + n] <= 'z') n++; /* ends at '>' */
  for (size_t k = 0; k < sizeof known / sizeof *known; k++)
    if (str_is((str){s.p + from, n}, known[k])) return true;
  return false;
}

str gen_line(gen *g, str s, size_t max) {
  buf b;
  buf_init(&b, g->a, max + 64);
  bool gap = false;
  for (size_t i = 0; i < s.len && b.len <= max + 4; i++) {
    size_t skip = unwanted(s, i);
    if (!skip && (skip = tag_at(s, i)) && inline_tag(s, i)) { i += skip - 1; continue; }
    if (!skip && s.p[i] == '*' && i + 1 < s.len && s.p[i + 1] == '*') { i++; continue; } /* **bold** */
    if (skip || s.p[i] == ' ') {
      gap = b.len > 0;
      i += skip ? skip - 1 : 0;
      continue;
    }
    if (gap) buf_putc(&b, ' ');
    gap = false;
    char c = s.p[i];
    size_t entity = c == '&' ? entity_at(s, i, &c) : 0;
    if (entity) i += entity - 1;
    buf_putc(&b, c);
  }
  if (b.len > max) cut(&b, max);
  if (b.status) gen_fail(g, (hdw_status)b.status, "out of memory");
  return (str){b.p ? b.p : "", b.len};
}

str gen_prose(str s) {
  size_t i = 0, end = 0;
  while (i < s.len) {
    size_t n = 0, first;
    while (i + n < s.len && s.p[i + n] != '\n') n++;
    for (first = i; first < i + n && (s.p[first] == ' ' || s.p[first] == '\r'); first++) {}
    bool blank = first == i + n, item = !blank && first + 1 < i + n && strchr("*-+", s.p[first]) && s.p[first + 1] == ' ', heading = !blank && strchr("#|", s.p[first]);
    if (end && (blank || item || heading)) break;
    if (!end && (blank || heading)) { /* not yet begun */
      i += n < s.len - i ? n + 1 : n;
      s.p += i, s.len -= i, i = 0;
      continue;
    }
    end = i + n;
    i += n < s.len - i ? n + 1 : n;
  }
  s.len = end;
  while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\r')) s.len--;
  if (s.len && s.p[s.len - 1] == ':') { /* of a list that is left out */
    size_t n = s.len;
    while (n && !(s.p[n - 1] == '.' && (s.p[n] == ' ' || s.p[n] == '\n'))) n--;
    s.len = n ? n : s.len - 1;
  }
  return s;
}

size_t gen_comment_width(size_t name, size_t type) {
  enum { WIDTH = 120, SIGNS = 13, LEAST = 24, MOST = 80 }; /* two spaces, "name: type,", two spaces, "// ", "..." */
  size_t used = name + type + SIGNS;
  return used + LEAST > WIDTH ? LEAST : WIDTH - used < MOST ? WIDTH - used : MOST;
}

void gen_doc_comment(gen *g, buf *b, str s, size_t max) {
  enum { WIDTH = 112 };
  str t = gen_line(g, s, max);
  for (size_t i = 0; i < t.len;) {
    size_t n = t.len - i;
    if (n > WIDTH) {
      n = WIDTH;
      while (n > WIDTH / 2 && t.p[i + n] != ' ') n--;
      if (t.p[i + n] != ' ') for (n = WIDTH; i + n < t.len && t.p[i + n] != ' '; n++) {}
    }
    buf_puts(b, "/// ");
    buf_put(b, t.p + i, n);
    buf_putc(b, '\n');
    i += n;
    while (i < t.len && t.p[i] == ' ') i++;
  }
}

void gen_quote(buf *b, str s) {
  buf_putc(b, '\'');
  for (size_t i = 0; i < s.len; i++) {
    size_t bad = unwanted(s, i);
    if (s.p[i] == '\'' || s.p[i] == '\\') { buf_putc(b, '\\'); buf_putc(b, s.p[i]); }
    else if (bad == 1) buf_putf(b, "\\u%04x", (unsigned char)s.p[i]);
    else if (bad == 2) { buf_putf(b, "\\u00%02x", (unsigned char)s.p[i + 1]); i++; }
    else if (bad == 3) {
      unsigned cp = ((unsigned)(s.p[i] & 0x0F) << 12) | ((unsigned)(s.p[i + 1] & 0x3F) << 6) | (unsigned)(s.p[i + 2] & 0x3F);
      buf_putf(b, "\\u%04x", cp);
      i += 2;
    } else buf_putc(b, s.p[i]);
  }
  buf_putc(b, '\'');
}

/* Characters that a path may not hold as they are are percent-encoded by the request, not here. */
void gen_template(buf *b, str s) {
  for (size_t i = 0; i < s.len; i++) {
    size_t bad = unwanted(s, i);
    if (bad) { i += bad - 1; continue; }
    if (strchr("{}\"\\", s.p[i]) && s.p[i]) buf_putc(b, '\\');
    buf_putc(b, s.p[i]);
  }
}

/* ---- the module */

bool gen_good_address(str s) {
  if (!str_starts(s, "https://") && !str_starts(s, "http://")) return false;
  for (size_t i = 0; i < s.len; i++)
    if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("{}\"'\\<>", s.p[i])) return false;
  size_t host = s.p[4] == 's' ? 8 : 7, n = host;
  while (n < s.len && !strchr("/:", s.p[n])) n++;
  if (n < s.len && s.p[n] == ':')
    for (size_t i = n + 1; i < s.len && s.p[i] != '/'; i++)
      if (s.p[i] < '0' || s.p[i] > '9') return false;
  return s.len < 500 && n > host;
}

void gen_head(gen *g, buf *b, const char *kind, str base, const char *version, str about) {
  bool known = gen_good_address(base);
  buf_putf(b, "/// Where the server is: the operator binds it in hdw.json.%s\nsetting %.*s_base: url", known ? " The document says:" : "", STR(g->conn));
  if (known) {
    buf_puts(b, " = ");
    gen_quote(b, base);
  }
  buf_putc(b, '\n');
  gen_auth_settings(g, b);
  buf_putc(b, '\n');
  gen_doc_comment(g, b, about, 600);
  buf_putf(b, "connection %.*s = %s(\nbase: %.*s_base,\n", STR(g->conn), kind, STR(g->conn));
  if (version) buf_putf(b, "version: %s,\n", version);
  gen_auth_arg(g, b);
  buf_puts(b, ")");
}

static void comment_line(gen *g, buf *b, const char *what, str s) {
  str t = gen_line(g, s, 200);
  if (t.len) buf_putf(b, "// %s%.*s\n", what, STR(t));
}

static hdw_status finish(gen *g, buf *head) {
  buf all;
  buf_init(&all, g->a, GEN_TEXT_MAX);
  buf_puts(&all, "hdw 1\n\n");
  comment_line(g, &all, "Made by ", str_of(g->o->command ? g->o->command : "hdwc gen connector"));
  buf_puts(&all, "// Do not edit: make it again.\n\n");
  if (head->len) buf_put(&all, head->p, head->len);
  if (g->body.len) buf_put(&all, g->body.p, g->body.len);
  if (g->status) return g->status;
  if (all.status || head->status || g->body.status) {
    if (all.status == HDW_E_LIMIT || g->body.status == HDW_E_LIMIT) gen_fail(g, HDW_E_LIMIT, "the module would be more than %d MB", GEN_TEXT_MAX >> 20);
    else gen_fail(g, HDW_E_NOMEM, "out of memory");
    return g->status;
  }
  hdw_status st = fmt_source(g->a, all.p, all.len, &g->r->text);
  if (st == HDW_E_SYNTAX) { g->r->text = all; gen_fail(g, HDW_E_UNSUPPORTED, "the module does not parse: this is a mistake of hdwc"); }
  else if (st) gen_fail(g, st, "the module is too big to be formatted");
  return g->status;
}

hdw_status gen_connector(arena *a, val doc, const gen_options *o, gen_result *out) {
  gen g = {.a = a, .o = o, .r = out, .auth = o->auth};
  memset(out, 0, sizeof *out);
  buf_init(&out->text, a, GEN_TEXT_MAX);
  buf_init(&out->capability, a, GEN_TEXT_MAX);
  buf_init(&g.body, a, GEN_TEXT_MAX);
  buf head;
  buf_init(&head, a, GEN_TEXT_MAX);
  gen_doc_add(&g, o->path ? o->path : "", doc);
  str type = gen_text(&g, doc, "resourceType");
  bool fhir = str_is(type, "CapabilityStatement") || str_is(type, "Conformance");
  if (fhir) gen_fhir(&g, doc, &head);
  else if (gen_get(doc, "openapi") || gen_get(doc, "swagger")) gen_api(&g, doc, &head);
  else if (type.len) gen_fail(&g, HDW_E_INVALID, "this is a %.*s: a connector is made of a CapabilityStatement, a Conformance or an OpenAPI document", STR(gen_line(&g, type, 60)));
  else if (gen_get(doc, "token_endpoint") || gen_get(doc, "authorization_endpoint")) gen_fail(&g, HDW_E_INVALID, "this says how to log in, not what the server does: give it with --smart beside the server's metadata");
  else gen_fail(&g, HDW_E_INVALID, "this is neither a CapabilityStatement nor an OpenAPI document: it has no 'resourceType', 'openapi' or 'swagger'");
  out->name = gen_fmt(&g, "%.*s", STR(g.conn));
  return g.status ? g.status : finish(&g, &head);
}
