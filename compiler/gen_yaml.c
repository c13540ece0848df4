/* gen_yaml.c - YAML into values, by libyaml's events.
 *
 * Kinds of plain scalars are those of YAML 1.2's core schema without octal and hexadecimal numbers: null, true, false, numbers, everything else text
 * ('yes', '2024-01-02' and '1.2.3' are texts). Quoted ones are text. Names of members are text whatever they look like. An alias is the value
 * itself, not a copy; an alias inside of what it names is refused, and so is a document that is small only because of its aliases. */
#include <string.h>
#include <yaml.h>
#include "gen.h"

enum { YAML_DEPTH = 200, YAML_VALUES = 4000000, YAML_ANCHORS = 4096 };

typedef struct frame {
  bool map;
  val *v;                    /* map: key, value, key ... */
  uint32_t n, cap;
  uint32_t weight;           /* values in it, aliases followed */
  int anchor;                /* that names it, -1 = none */
} frame;
typedef struct anchor { const char *name; val v; uint32_t weight; bool open; } anchor;
typedef struct yaml {
  arena *a;
  yaml_parser_t p;
  frame f[YAML_DEPTH];
  int depth;
  anchor *anchors; uint32_t nanchors, cap_anchors;
  uint64_t total;
  val root;
  bool done;
  const char *what;
  hdw_status status;
} yaml;

static void fail(yaml *y, hdw_status st, const char *what) {
  if (y->status) return;
  y->status = st;
  y->what = what;
}

/* ---- scalars */

static bool digits(const char *s, size_t n, size_t *i) {
  size_t from = *i;
  while (*i < n && s[*i] >= '0' && s[*i] <= '9') (*i)++;
  return *i > from;
}

/* A number as JSON writes it; others (+1, 01, .5, 0x1F, .inf) stay texts. */
static bool json_number(const char *s, size_t n) {
  size_t i = 0;
  if (i < n && s[i] == '-') i++;
  if (i < n && s[i] == '0') i++;
  else if (!digits(s, n, &i)) return false;
  if (i < n && s[i] == '.' && (i++, !digits(s, n, &i))) return false;
  if (i < n && (s[i] == 'e' || s[i] == 'E')) {
    i++;
    if (i < n && (s[i] == '+' || s[i] == '-')) i++;
    if (!digits(s, n, &i)) return false;
  }
  return i == n;
}

static bool is(const char *s, size_t n, const char *word) { return strlen(word) == n && memcmp(s, word, n) == 0; }

static val scalar(yaml *y, const yaml_event_t *e, bool key) {
  const char *s = (const char *)e->data.scalar.value;
  size_t n = e->data.scalar.length;
  bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !key;
  if (plain && (n == 0 || is(s, n, "~") || is(s, n, "null") || is(s, n, "Null") || is(s, n, "NULL"))) return (val){.tag = VAL_NULL};
  if (plain && (is(s, n, "true") || is(s, n, "True") || is(s, n, "TRUE"))) return val_bool(true);
  if (plain && (is(s, n, "false") || is(s, n, "False") || is(s, n, "FALSE"))) return val_bool(false);
  char *copy = arena_dup(y->a, s, n);
  if (!copy || n > UINT32_MAX / 2) { fail(y, copy ? HDW_E_LIMIT : HDW_E_NOMEM, "a text is too long"); return VAL_NONE; }
  val v = key ? val_key(copy, n) : val_str(copy, n);
  if (plain && json_number(s, n)) v.tag = VAL_NUM;
  return v;
}

/* ---- anchors */

static int anchor_new(yaml *y, const yaml_char_t *name) {
  if (!name) return -1;
  if (y->nanchors == YAML_ANCHORS) { fail(y, HDW_E_LIMIT, "too many anchors"); return -1; }
  if (y->nanchors == y->cap_anchors) {
    uint32_t cap = y->cap_anchors ? y->cap_anchors * 2 : 16;
    anchor *v = arena_grow(y->a, y->anchors, y->cap_anchors * sizeof *v, cap * sizeof *v);
    if (!v) { fail(y, HDW_E_NOMEM, "out of memory"); return -1; }
    y->anchors = v;
    y->cap_anchors = cap;
  }
  const char *copy = arena_dup(y->a, name, strlen((const char *)name));
  if (!copy) { fail(y, HDW_E_NOMEM, "out of memory"); return -1; }
  y->anchors[y->nanchors] = (anchor){.name = copy, .open = true};
  return (int)y->nanchors++;
}

static const anchor *anchor_find(const yaml *y, const char *name) {
  for (uint32_t i = y->nanchors; i > 0; i--) /* the latest of a name counts */
    if (strcmp(y->anchors[i - 1].name, name) == 0) return &y->anchors[i - 1];
  return NULL;
}

/* ---- building */

/* weight: values in v, aliases followed; more: those that were not counted yet. */
static void put(yaml *y, val v, uint32_t weight, uint32_t more, int at) {
  if (at >= 0) { y->anchors[at].v = v; y->anchors[at].weight = weight; y->anchors[at].open = false; }
  y->total += more;
  if (y->total > YAML_VALUES) { fail(y, HDW_E_LIMIT, "this grows to more than 4 million values"); return; }
  if (!y->depth) { y->root = v; y->done = true; return; }
  frame *f = &y->f[y->depth - 1];
  if (f->map && f->n % 2 == 0 && v.tag != VAL_STR) { fail(y, HDW_E_SYNTAX, "the name of a member is a text"); return; }
  if (f->n == f->cap) {
    uint32_t cap = f->cap ? f->cap * 2 : 8;
    val *x = arena_grow(y->a, f->v, f->cap * sizeof *x, cap * sizeof *x);
    if (!x) { fail(y, HDW_E_NOMEM, "out of memory"); return; }
    f->v = x;
    f->cap = cap;
  }
  f->v[f->n++] = v;
  f->weight += weight;
}

static void begin(yaml *y, bool map, const yaml_char_t *name) {
  if (y->depth == YAML_DEPTH) { fail(y, HDW_E_LIMIT, "this is nested too deeply"); return; }
  if (y->depth && y->f[y->depth - 1].map && y->f[y->depth - 1].n % 2 == 0) { fail(y, HDW_E_SYNTAX, "the name of a member is a text"); return; }
  int at = anchor_new(y, name);
  y->f[y->depth++] = (frame){.map = map, .weight = 1, .anchor = at};
}

/* Of members of the same name the first stays: a document that says one thing twice is read by others so or so, and none is a lie. */
static void end(yaml *y) {
  frame f = y->f[--y->depth];
  val v = {.tag = f.map ? VAL_OBJ : VAL_LIST, .flags = f.map ? 0 : VALF_ARRAY | VALF_UNEVEN, .len = f.map ? f.n / 2 : f.n, .u.v = f.v};
  for (uint32_t i = 0; f.map && i < f.n; i += 2)
    if (f.v[i].len && f.v[i].u.s[0] == '_') v.flags |= VALF_UNDERSCORE;
  put(y, v, f.weight, 1, f.anchor);
}

static void event(yaml *y, const yaml_event_t *e) {
  frame *f = y->depth ? &y->f[y->depth - 1] : NULL;
  switch (e->type) {
    case YAML_DOCUMENT_START_EVENT: if (y->done) fail(y, HDW_E_SYNTAX, "one document is expected, here begins another"); break;
    case YAML_SCALAR_EVENT: {
      int at = anchor_new(y, e->data.scalar.anchor);
      val v = scalar(y, e, f && f->map && f->n % 2 == 0);
      if (!y->status) put(y, v, 1, 1, at);
      break;
    }
    case YAML_ALIAS_EVENT: {
      const anchor *x = anchor_find(y, (const char *)e->data.alias.anchor);
      if (!x) fail(y, HDW_E_SYNTAX, "an alias of nothing");
      else if (x->open) fail(y, HDW_E_SYNTAX, "an alias inside of what it names");
      else {
        val v = x->v;
        if (f && f->map && f->n % 2 == 0 && v.tag == VAL_STR) v = val_key(v.u.s, v.len);
        put(y, v, x->weight, x->weight, -1);
      }
      break;
    }
    case YAML_SEQUENCE_START_EVENT: begin(y, false, e->data.sequence_start.anchor); break;
    case YAML_MAPPING_START_EVENT: begin(y, true, e->data.mapping_start.anchor); break;
    case YAML_SEQUENCE_END_EVENT: case YAML_MAPPING_END_EVENT: end(y); break;
    default: break;
  }
}

hdw_status gen_yaml(arena *a, const char *text, size_t len, val *out, gen_yaml_error *e) {
  yaml *y = arena_zalloc(a, 1, sizeof *y);
  *out = VAL_NONE;
  *e = (gen_yaml_error){0};
  if (!y || !yaml_parser_initialize(&y->p)) return HDW_E_NOMEM;
  y->a = a;
  yaml_parser_set_input_string(&y->p, (const unsigned char *)text, len);
  for (bool over = false; !over && !y->status;) {
    yaml_event_t ev;
    if (!yaml_parser_parse(&y->p, &ev)) {
      fail(y, y->p.error == YAML_MEMORY_ERROR ? HDW_E_NOMEM : HDW_E_SYNTAX, y->p.problem ? y->p.problem : "no YAML");
      *e = (gen_yaml_error){(uint32_t)y->p.problem_mark.line + 1, (uint32_t)y->p.problem_mark.column + 1, NULL};
      break;
    }
    event(y, &ev);
    over = ev.type == YAML_STREAM_END_EVENT;
    if (y->status) *e = (gen_yaml_error){(uint32_t)ev.start_mark.line + 1, (uint32_t)ev.start_mark.column + 1, NULL};
    yaml_event_delete(&ev);
  }
  if (!y->status && !y->done) fail(y, HDW_E_SYNTAX, "there is no document in it");
  e->what = y->what ? arena_dup(a, y->what, strlen(y->what)) : NULL;
  yaml_parser_delete(&y->p);
  if (!y->status) *out = y->root;
  return y->status;
}
