/* Look-ups in the generated tables. Strings are offsets into one pool, so the tables need no relocation and stay in shared read-only pages. */
#include "dict.h"
#include <string.h>

/* A segment or a data type. */
typedef struct dict_owner {
  uint32_t name, title;
  uint16_t first_row, n_rows;      /* rows of its positions, one per position from 1 on */
  uint16_t first_alias, n_aliases; /* sorted by text */
  uint8_t kind, since, until;
} dict_owner;
typedef struct dict_row {
  uint32_t name, alias;            /* name 0: no such position */
  int16_t type, table;
  uint16_t max;
  uint8_t opt, since, until;
} dict_row;
typedef struct dict_alias {
  uint32_t name;
  uint16_t pos;
} dict_alias;
/* A type that older versions gave a row; sorted by row. */
typedef struct dict_older {
  uint16_t row;
  int16_t type;
  uint8_t since, until;
} dict_older;
typedef struct dict_struct {
  uint32_t name, title;
  uint16_t first;
  uint8_t n, since, until;
} dict_struct;
typedef struct dict_ev {
  uint32_t name;
  uint16_t structure;
} dict_ev;
typedef struct dict_tab {
  uint16_t table, first, n;
  uint32_t title;
} dict_tab;
typedef struct dict_code {
  uint32_t code, text;
} dict_code;

#include "dict_tables.inc"

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

static const char *const version_names[DICT_VERSIONS] = {"2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"};

/* Order of a NUL-terminated pool string against a word: bytes, then length. */
static int pool_cmp(uint32_t offset, const char *s, size_t len) {
  const char *p = dict_pool + offset;
  size_t n = strlen(p);
  int c = memcmp(p, s, n < len ? n : len);
  return c ? c : (n > len) - (n < len);
}

/* Every table of names begins with the offset of its sorted name. */
static int find_name(const void *table, size_t row_bytes, int n, const char *s, size_t len) {
  int lo = 0, hi = n;
  while (lo < hi) {
    int mid = (lo + hi) / 2;
    uint32_t offset;
    memcpy(&offset, (const char *)table + (size_t)mid * row_bytes, sizeof offset);
    int c = pool_cmp(offset, s, len);
    if (c == 0) return mid;
    if (c < 0)
      lo = mid + 1;
    else
      hi = mid;
  }
  return -1;
}

const char *dict_version_name(unsigned i) {
  return i < DICT_VERSIONS ? version_names[i] : "";
}

int dict_version(const char *name, size_t len) {
  for (int i = 0; i < DICT_VERSIONS; i++)
    if (strlen(version_names[i]) == len && memcmp(version_names[i], name, len) == 0) return i;
  return -1;
}

/* ---- What segments and data types share. */

static const dict_owner *segment_at(int seg) {
  return seg >= 0 && seg < COUNT(dict_segments) ? &dict_segments[seg] : NULL;
}

static const dict_owner *type_at(int dt) {
  return dt >= 0 && dt < COUNT(dict_types) ? &dict_types[dt] : NULL;
}

static const dict_row *row_of(const dict_owner *o, unsigned n) {
  if (!o || n < 1 || n > o->n_rows) return NULL;
  const dict_row *r = &dict_rows[o->first_row + n - 1];
  return r->name ? r : NULL;
}

static bool info_of(const dict_owner *o, unsigned n, dict_info *out) {
  const dict_row *r = row_of(o, n);
  if (!r) return false;
  *out = (dict_info){.name = dict_pool + r->name, .alias = dict_pool + r->alias, .type = r->type, .table = r->table, .max = r->max,
                     .pos = (uint16_t)n, .opt = (char)r->opt, .since = r->since, .until = r->until};
  return true;
}

static unsigned alias_of(const dict_owner *o, const char *name, size_t len) {
  if (!o) return 0;
  int i = find_name(&dict_aliases[o->first_alias], sizeof(dict_alias), o->n_aliases, name, len);
  return i < 0 ? 0 : dict_aliases[o->first_alias + i].pos;
}

static void offer(nearest *n, uint32_t offset) {
  nearest_offer(n, dict_pool + offset, strlen(dict_pool + offset));
}

static void offer_aliases(nearest *n, const dict_owner *o) {
  if (!o) return;
  for (unsigned i = 1; i <= o->n_rows; i++) /* canonical names first: of two equally near ones they win */
    if (row_of(o, i)) offer(n, row_of(o, i)->alias);
  for (unsigned i = 0; i < o->n_aliases; i++) offer(n, dict_aliases[o->first_alias + i].name);
}

/* ---- Segments. */

int dict_segment_count(void) {
  return COUNT(dict_segments);
}

int dict_segment(const char *name, size_t len) {
  return find_name(dict_segments, sizeof(dict_owner), COUNT(dict_segments), name, len);
}

const char *dict_segment_name(int seg) {
  return segment_at(seg) ? dict_pool + segment_at(seg)->name : "";
}

const char *dict_segment_title(int seg) {
  return segment_at(seg) ? dict_pool + segment_at(seg)->title : "";
}

unsigned dict_field_count(int seg) {
  return segment_at(seg) ? segment_at(seg)->n_rows : 0;
}

bool dict_field(int seg, unsigned n, dict_info *out) {
  return info_of(segment_at(seg), n, out);
}

unsigned dict_field_by_alias(int seg, const char *name, size_t len) {
  return alias_of(segment_at(seg), name, len);
}

/* First row of dict_olders that belongs to row, or the end. */
static int older_first(unsigned row) {
  int lo = 0, hi = COUNT(dict_olders);
  while (lo < hi) {
    int mid = (lo + hi) / 2;
    if (dict_olders[mid].row < row)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

int dict_field_type_in(int seg, unsigned n, unsigned version) {
  const dict_row *r = row_of(segment_at(seg), n);
  if (!r || version < r->since || version > r->until) return -1;
  unsigned row = (unsigned)(r - dict_rows);
  for (int i = older_first(row); i < COUNT(dict_olders) && dict_olders[i].row == row; i++)
    if (version >= dict_olders[i].since && version <= dict_olders[i].until) return dict_olders[i].type;
  return r->type;
}

unsigned dict_field_component(int seg, unsigned n, const char *name, size_t len, int *type) {
  const dict_row *r = row_of(segment_at(seg), n);
  if (!r) return 0;
  unsigned pos = alias_of(type_at(r->type), name, len);
  int found = r->type;
  unsigned row = (unsigned)(r - dict_rows);
  int first = older_first(row), end = first;
  while (end < COUNT(dict_olders) && dict_olders[end].row == row) end++;
  while (!pos && end > first) { /* younger versions first */
    found = dict_olders[--end].type;
    pos = alias_of(type_at(found), name, len);
  }
  if (pos && type) *type = found;
  return pos;
}

/* ---- Data types. */

int dict_datatype_count(void) {
  return COUNT(dict_types);
}

int dict_datatype(const char *name, size_t len) {
  return find_name(dict_types, sizeof(dict_owner), COUNT(dict_types), name, len);
}

const char *dict_datatype_name(int dt) {
  return type_at(dt) ? dict_pool + type_at(dt)->name : "";
}

const char *dict_datatype_title(int dt) {
  return type_at(dt) ? dict_pool + type_at(dt)->title : "";
}

dict_kind dict_datatype_kind(int dt) {
  return type_at(dt) ? (dict_kind)type_at(dt)->kind : DICT_COMPOSITE;
}

bool dict_is_primitive(int dt) {
  dict_kind k = dict_datatype_kind(dt);
  return k != DICT_COMPOSITE && k != DICT_VARIES;
}

unsigned dict_component_count(int dt) {
  return type_at(dt) ? type_at(dt)->n_rows : 0;
}

bool dict_component(int dt, unsigned n, dict_info *out) {
  return info_of(type_at(dt), n, out);
}

unsigned dict_component_by_name(int dt, const char *name, size_t len) {
  return alias_of(type_at(dt), name, len);
}

/* ---- Structures. */

static const dict_struct *struct_at(int s) {
  return s >= 0 && s < COUNT(dict_structs) ? &dict_structs[s] : NULL;
}

int dict_structure_count(void) {
  return COUNT(dict_structs);
}

int dict_structure(const char *name, size_t len) {
  return find_name(dict_structs, sizeof(dict_struct), COUNT(dict_structs), name, len);
}

const char *dict_structure_name(int s) {
  return struct_at(s) ? dict_pool + struct_at(s)->name : "";
}

const char *dict_structure_title(int s) {
  return struct_at(s) ? dict_pool + struct_at(s)->title : "";
}

void dict_structure_span(int s, uint8_t *since, uint8_t *until) {
  const dict_struct *d = struct_at(s);
  *since = d ? d->since : 0;
  *until = d ? d->until : 0;
}

uint16_t dict_structure_root(int s, unsigned *n) {
  const dict_struct *d = struct_at(s);
  *n = d ? d->n : 0;
  return d ? d->first : 0;
}

const dict_node *dict_node_at(uint16_t index) {
  return index < COUNT(dict_nodes) ? &dict_nodes[index] : NULL;
}

const char *dict_node_name(const dict_node *d) {
  return d && d->name < COUNT(dict_node_names) ? dict_pool + dict_node_names[d->name] : "";
}

const dict_node *dict_node_child(uint16_t first, unsigned n, const char *name, size_t len) {
  for (unsigned i = first; i < first + n && i < (unsigned)COUNT(dict_nodes); i++)
    if (pool_cmp(dict_node_names[dict_nodes[i].name], name, len) == 0) return &dict_nodes[i];
  return NULL;
}

/* Walks a structure in document order without recursion: the stack holds what is left of each open group. */
typedef struct walk {
  struct { uint16_t at, end; } level[DICT_DEPTH_MAX];
  unsigned depth;
} walk;

static void walk_open(walk *w, uint16_t first, unsigned n) {
  if (n > 0 && w->depth < DICT_DEPTH_MAX) {
    w->level[w->depth].at = first;
    w->level[w->depth++].end = (uint16_t)(first + n);
  }
}

/* Next node, or NULL at the end. While the node is current, level[0..depth-1].at - of the groups around it and of itself - has
 * already moved on by one; walk_down enters the node's children. */
static const dict_node *walk_next(walk *w) {
  while (w->depth > 0) {
    unsigned top = w->depth - 1;
    if (w->level[top].at < w->level[top].end) return &dict_nodes[w->level[top].at++];
    w->depth--;
  }
  return NULL;
}

bool dict_structure_has(int s, int seg) {
  walk w = {.depth = 0};
  unsigned n;
  uint16_t first = dict_structure_root(s, &n);
  walk_open(&w, first, n);
  for (const dict_node *d; seg >= 0 && (d = walk_next(&w)); walk_open(&w, d->first, d->n))
    if (d->seg == seg) return true;
  return false;
}

unsigned dict_structure_path(int s, const char *name, size_t len, uint16_t path[DICT_DEPTH_MAX]) {
  walk w = {.depth = 0};
  unsigned n;
  uint16_t first = dict_structure_root(s, &n);
  walk_open(&w, first, n);
  for (const dict_node *d; (d = walk_next(&w)); walk_open(&w, d->first, d->n))
    if (pool_cmp(dict_node_names[d->name], name, len) == 0) {
      for (unsigned i = 0; i < w.depth; i++) path[i] = (uint16_t)(w.level[i].at - 1);
      return w.depth;
    }
  return 0;
}

/* ---- Events. */

/* Index of "code^event" (or the code alone) in dict_events, or -1. */
static int event_find(const char *code, size_t code_len, const char *event, size_t event_len) {
  char key[16];
  if (code_len == 0 || code_len + event_len + 1 > sizeof key) return -1;
  memcpy(key, code, code_len);
  size_t n = code_len;
  if (event_len > 0) {
    key[n++] = '^';
    memcpy(key + n, event, event_len);
    n += event_len;
  }
  return find_name(dict_events, sizeof(dict_ev), COUNT(dict_events), key, n);
}

static bool is_ack(const char *code, size_t len) {
  return len == 3 && memcmp(code, "ACK", 3) == 0;
}

bool dict_event(const char *code, size_t code_len, const char *event, size_t event_len) {
  if (event_find(code, code_len, event, event_len) >= 0) return true;
  if (!is_ack(code, code_len)) return false;
  for (int i = 0; i < COUNT(dict_events); i++) { /* an acknowledgement repeats the event of any message */
    const char *caret = strchr(dict_pool + dict_events[i].name, '^');
    if (caret && strlen(caret + 1) == event_len && memcmp(caret + 1, event, event_len) == 0) return true;
  }
  return false;
}

int dict_structure_for(const char *code, size_t code_len, const char *event, size_t event_len) {
  if (is_ack(code, code_len)) event_len = 0;
  int i = event_find(code, code_len, event, event_len);
  return i < 0 ? -1 : dict_events[i].structure;
}

int dict_message(const char *name, size_t len) {
  const char *u = memchr(name, '_', len);
  if (u) {
    size_t code_len = (size_t)(u - name);
    int s = dict_structure_for(name, code_len, u + 1, len - code_len - 1);
    if (s >= 0) return s;
  }
  return dict_structure(name, len);
}

int dict_event_count(void) {
  return COUNT(dict_events);
}

const char *dict_event_name(int i, int *structure) {
  if (i < 0 || i >= COUNT(dict_events)) return NULL;
  if (structure) *structure = dict_events[i].structure;
  return dict_pool + dict_events[i].name;
}

/* ---- Tables. */

static const dict_tab *table_at(unsigned table) {
  int lo = 0, hi = COUNT(dict_tabs);
  while (lo < hi) {
    int mid = (lo + hi) / 2;
    if (dict_tabs[mid].table == table) return &dict_tabs[mid];
    if (dict_tabs[mid].table < table)
      lo = mid + 1;
    else
      hi = mid;
  }
  return NULL;
}

bool dict_table_exists(unsigned table) {
  return table_at(table) != NULL;
}

const char *dict_table_title(unsigned table) {
  const dict_tab *t = table_at(table);
  return t ? dict_pool + t->title : NULL;
}

const char *dict_table(unsigned table, const char *code, size_t len) {
  const dict_tab *t = table_at(table);
  if (!t) return NULL;
  int i = find_name(&dict_codes[t->first], sizeof(dict_code), t->n, code, len);
  return i < 0 ? NULL : dict_pool + dict_codes[t->first + i].text;
}

unsigned dict_table_size(unsigned table) {
  const dict_tab *t = table_at(table);
  return t ? t->n : 0;
}

bool dict_table_code(unsigned table, unsigned i, const char **code, const char **text) {
  const dict_tab *t = table_at(table);
  if (!t || i >= t->n) return false;
  *code = dict_pool + dict_codes[t->first + i].code;
  *text = dict_pool + dict_codes[t->first + i].text;
  return true;
}

/* ---- Did you mean. */

void dict_nearest_segment(nearest *n) {
  for (int i = 0; i < COUNT(dict_segments); i++) offer(n, dict_segments[i].name);
}

void dict_nearest_field(nearest *n, int seg) {
  offer_aliases(n, segment_at(seg));
}

void dict_nearest_component(nearest *n, int dt) {
  offer_aliases(n, type_at(dt));
}

void dict_nearest_message(nearest *n) {
  for (int i = 0; i < COUNT(dict_structs); i++) offer(n, dict_structs[i].name);
  for (int i = 0; i < COUNT(dict_msgs); i++) offer(n, dict_msgs[i]);
}

void dict_nearest_event(nearest *n) {
  for (int i = 0; i < COUNT(dict_events); i++) offer(n, dict_events[i].name);
}

void dict_nearest_node(nearest *n, uint16_t first, unsigned count) {
  for (unsigned i = first; i < first + count && i < (unsigned)COUNT(dict_nodes); i++) offer(n, dict_node_names[dict_nodes[i].name]);
}
