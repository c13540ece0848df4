/* builtin.c - builtins.def as tables: signatures are small texts, read when they are asked for. A malformed row is a bug that test_builtins finds. */
#include "comp_int.h"
#include <string.h>

typedef struct raw { uint8_t kind, inl, what, klass; bool later; const char *conn, *sig, *doc, *example; } raw;
enum { NOW = 0, LATER = 1, READ = MOD_CLASS_READ, IDEMPOTENT = MOD_CLASS_IDEMPOTENT, KEYED = MOD_CLASS_KEYED, UNSAFE = MOD_CLASS_UNSAFE, LOCAL = MOD_CLASS_LOCAL };

static const raw rows[] = {
#define FUNCTION(c, s, since, d, x) {BI_FUNCTION, IN_NONE, 0, 0, false, "", s, d, x},
#define INLINE(id, s, since, d, x) {BI_INLINE, IN_##id, 0, 0, false, "", s, d, x},
#define OPERATION(kind, klass, avail, s, since, d, x) {BI_OPERATION, IN_NONE, 0, klass, avail, kind, s, d, x},
#define DECLARE(what, avail, s, since, d, x) {BI_DECLARE, IN_NONE, BI_##what, 0, avail, "", s, d, x},
#include "builtins.def"
};

typedef struct reader { const char *p; } reader;

static void blank(reader *r) { while (*r->p == ' ') r->p++; }
static bool eat(reader *r, char ch) {
  blank(r);
  if (*r->p != ch) return false;
  r->p++;
  return true;
}
static const bool word_char[256] = {['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['_'] = true};
static str word(reader *r) {
  blank(r);
  str s = {r->p, 0};
  while (word_char[(uint8_t)*r->p]) r->p++;
  s.len = (size_t)(r->p - s.p);
  return s;
}

static const struct { const char *name; uint8_t kind, special; } type_words[] = {
    {"any", TY_ANY, SP_NONE}, {"boolean", TY_BOOL, SP_NONE}, {"integer", TY_INT, SP_NONE}, {"long", TY_LONG, SP_NONE}, {"decimal", TY_DEC, SP_NONE},
    {"string", TY_STR, SP_NONE}, {"date", TY_DATE, SP_NONE}, {"dateTime", TY_DATETIME, SP_NONE}, {"time", TY_TIME, SP_NONE}, {"quantity", TY_QTY, SP_NONE},
    {"T", TY_ANY, SP_T}, {"expr", TY_ANY, SP_EXPR}, {"type", TY_TYPE, SP_TYPE}, {"path", TY_STR, SP_PATH}, {"query", TY_STR, SP_QUERY},
    {"url", TY_STR, SP_URL}, {"text", TY_STR, SP_TEXT}, {"json", TY_ANY, SP_JSON}, {"duration", TY_QTY, SP_DURATION}, {"message", TY_HL7_MSG, SP_MESSAGE},
    {"helper", TY_ANY, SP_HELPER}, {"secret", TY_SECRET, SP_SECRET},
};

static void type(reader *r, ty *t, uint8_t *sp, bool *optional) {
  str w = word(r);
  *t = ty_one(TY_ANY);
  *sp = SP_NONE;
  for (size_t i = 0; w.len && i < sizeof type_words / sizeof *type_words; i++)
    if (*w.p == type_words[i].name[0] && str_is(w, type_words[i].name)) {
      *t = ty_one((ty_kind)type_words[i].kind);
      *sp = type_words[i].special;
      break;
    }
  *optional = false;
  if (eat(r, '*')) { t->min = 0; t->many = true; }
  if (eat(r, '?')) { t->min = 0; *optional = true; }
}

static void params(reader *r, sig *s) {
  if (eat(r, ')')) return;
  do {
    blank(r);
    if (strncmp(r->p, "...", 3) == 0) { r->p += 3; s->rest = true; continue; }
    sig_param *p = &s->p[s->n < SIG_MAX ? s->n++ : SIG_MAX - 1];
    p->name = word(r);
    eat(r, ':');
    type(r, &p->type, &p->special, &p->optional);
  } while (eat(r, ','));
  eat(r, ')');
}

/* [recv '.'] name ( params ) [: result]; the receiver of a trigger is its listener's kind. Reads the name; dot: behind the receiver, else NULL. */
static str name_of(const char *text, const char **dot) {
  reader r = {text};
  *dot = NULL;
  for (const char *p = text, *paren = strchr(text, '('); p < paren; p++)
    if (*p == '.') *dot = r.p = p + 1;
  return word(&r);
}

/* The rest of the signature, when somebody asks for the row: a compilation uses few of them. */
static const bi *whole(const bi_table *t, uint32_t i) {
  bi *b = &t->rows[i];
  sig *s = &b->sig;
  const char *dot;
  bool opt;
  if (b->whole) return b;
  reader r = {b->text};
  name_of(b->text, &dot);
  if (dot && !(b->kind == BI_DECLARE && b->what == BI_TRIGGER)) {
    s->has_recv = true;
    type(&r, &s->recv.type, &s->recv.special, &s->recv.optional);
  }
  r.p = s->name.p + s->name.len;
  eat(&r, '(');
  params(&r, s);
  s->ret = ty_opt(TY_ANY);
  if (eat(&r, ':')) type(&r, &s->ret, &s->ret_special, &opt);
  b->whole = true;
  return b;
}

static str row_name(const void *user, uint32_t row) { return ((const bi_table *)user)->rows[row].sig.name; }

hdw_status bi_build(arena *a, bi_table *t) {
  t->n = sizeof rows / sizeof *rows;
  t->rows = arena_zalloc(a, t->n, sizeof *t->rows);
  if (!t->rows) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < t->n; i++) {
    const raw *x = &rows[i];
    bi *b = &t->rows[i];
    const char *dot;
    b->kind = x->kind, b->inl = x->inl, b->what = x->what, b->klass = x->klass, b->later = x->later, b->conn = x->conn, b->doc = x->doc, b->example = x->example, b->text = x->sig;
    b->sig.name = name_of(x->sig, &dot);
    if (dot && x->kind == BI_DECLARE && x->what == BI_TRIGGER && !(b->conn = arena_dup(a, x->sig, (size_t)(dot - 1 - x->sig)))) return HDW_E_NOMEM;
  }
  for (uint32_t i = 0; i < t->n; i++)
    if (t->rows[i].kind <= BI_INLINE && !name_add(a, &t->functions, t->rows[i].sig.name, i, row_name, t)) return HDW_E_NOMEM;
  return HDW_OK;
}

const bi *bi_function(const bi_table *t, str name) {
  uint32_t i = name_find(&t->functions, name, row_name, t);
  return i == MOD_NO_INDEX ? NULL : whole(t, i);
}

const bi *bi_operation(const bi_table *t, const char *conn, str name) {
  for (uint32_t i = 0; i < t->n; i++)
    if (t->rows[i].kind == BI_OPERATION && strcmp(t->rows[i].conn, conn) == 0 && str_eq(t->rows[i].sig.name, name)) return whole(t, i);
  return NULL;
}

const bi *bi_declare(const bi_table *t, bi_what what, const char *conn, str name) {
  for (uint32_t i = 0; i < t->n; i++)
    if (t->rows[i].kind == BI_DECLARE && t->rows[i].what == what && (!conn || strcmp(t->rows[i].conn, conn) == 0) && str_eq(t->rows[i].sig.name, name)) return whole(t, i);
  return NULL;
}
