/* fuzz_hl7 - any bytes as an HL7 input: split, parse, paths, groups, JSON and back, edits, acknowledgement.
 *
 * Stated along the way: from-json(to-json(m)) gives the bytes of m; parsing those again gives the same; an edit of one field leaves the
 * number of segments alone and is read back; an acknowledgement of anything can be parsed and has an MSA. */
#include "hl7.h"
#include "hl7_dict.h"
#include "vm.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) ((x) ? (void)0 : abort())

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static void warn(void *user, hl7_warning_kind kind, const hl7_problem *where) {
  (void)user;
  (void)kind;
  CHECK(where->text != NULL);
}

static bool same(hl7_slice a, hl7_slice b) { return a.len == b.len && memcmp(a.p, b.p, a.len) == 0; }

/* Reads fields of all segments; `pick` chooses which part of them in this run. */
static void read_some(vm_cx *cx, const hl7_msg *m, uint8_t pick) {
  val whole, v, t;
  CHECK(hl7_value(cx->a, m, &whole) == HDW_OK);
  for (uint32_t k = 0; k < m->nsegs && k < 64; k++)
    for (uint32_t f = 1; f <= hl7_field_count(m, k) + 1 && f < 40; f++) {
      if ((k * 5 + f) % 8 != pick % 8 && m->nsegs > 2) continue;
      hl7_path p = {.seg = m->segs[k].name, .rep = -1, .field = (uint16_t)f};
      CHECK(hl7_text_in(cx, m, k, &p, &t) == HDW_OK);
      if (t.tag == VAL_STR) CHECK(charset_utf8_prefix(t.u.s, t.len) == t.len);
      if (k > 3 && hl7_find(m, p.seg, 0) != k) continue; /* the collections of a name, once */
      CHECK(hl7_get(cx, whole, &p, &v) == HDW_OK);
      for (uint32_t i = 0; i < val_count(v) && i < 2; i++) {
        val item = val_item(v, i), part;
        CHECK(hl7_node_text(cx, hl7_of(item), &t) == HDW_OK);
        for (unsigned c = 1; c < 4; c++) CHECK(hl7_child(cx, item, c, &part) == HDW_OK);
        CHECK(hl7_to_datetime(cx, &item, 1, &t) == HDW_OK && hl7_to_decimal(cx, &item, 1, &t) == HDW_OK &&
              hl7_to_whole(cx, &item, 1, &t) == HDW_OK);
      }
      p.comp = 2;
      p.sub = 1;
      CHECK(hl7_text_all(cx, m, &p, &t) == HDW_OK && hl7_get(cx, whole, &p, &v) == HDW_OK);
    }
  static const char *const groups[] = {"PATIENT_RESULT", "ORDER_OBSERVATION", "OBSERVATION", "ORDER", "INSURANCE"};
  CHECK(hl7_group(cx, whole, groups[pick % 5], strlen(groups[pick % 5]), &v) == HDW_OK);
  CHECK(hl7_group(cx, v, "OBSERVATION", 11, &v) == HDW_OK);
}

static void edit(vm_cx *cx, const hl7_msg *m, const uint8_t *data, size_t size) {
  val whole, out, t;
  size_t n = size < 24 ? size : 24;
  if (charset_utf8_prefix((const char *)data, n) != n || n == 0) return;
  hl7_edit e = {HL7_SET, {HL7_NAME('Z', 'Z', '9'), -1, (uint16_t)(1 + size % 9), 0, 0}, val_str((const char *)data, n)};
  if (size % 3) e.path.comp = 1;
  CHECK(hl7_value(cx->a, m, &whole) == HDW_OK);
  bool had = hl7_find(m, e.path.seg, 0) != HL7_NO_SEGMENT;
  if (had || hl7_with(cx, whole, &e, 1, &out)) return;
  const hl7_msg *made = hl7_of(out)->m;
  CHECK(made->nsegs == m->nsegs + 1);
  e.path.rep = 0;
  CHECK(hl7_text(cx, made, &e.path, &t) == HDW_OK);
  if (n == 2 && memcmp(data, "\"\"", 2) == 0) return;
  CHECK(t.len == n && memcmp(t.u.s, data, n) == 0);
}

static void one(arena *a, const char *p, size_t n, const hl7_opts *o, const uint8_t *data, size_t size) {
  hl7_msg *m, *again;
  hl7_problem why = {0};
  vm_cx cx = {.a = a, .fuel = INT64_MAX};
  hl7_ack_opts ao = {.code = "AE", .control_id = "F1", .now = {.prec = TM_DAY}, .errors = &why, .text = "refused"};
  hdw_status s = hl7_parse(a, p, n, o, &m, &why);
  ao.nerrors = s != HDW_OK;
  hl7_slice ack, bytes, back;
  hl7_ack_info info;
  CHECK(hl7_ack(a, p, n, &ao, &ack) == HDW_OK);
  CHECK(hl7_parse(a, ack.p, ack.len, NULL, &again, NULL) == HDW_OK && hl7_ack_read(again, &info) == HDW_OK && info.code[0] == 'A');
  if (s) {
    CHECK(why.text && why.offset <= n);
    return;
  }
  read_some(&cx, m, (uint8_t)(data[0] >> 4 ^ size));
  val doc;
  CHECK(hl7_bytes(a, m, &bytes) == HDW_OK && hl7_to_json(&cx, m, &doc) == HDW_OK);
  CHECK(hl7_from_json(&cx, doc, &back) == HDW_OK && same(bytes, back));
  if (o->eol == HL7_EOL_AUTO && hl7_parse(a, bytes.p, bytes.len, NULL, &again, NULL) == HDW_OK && again->nsegs == m->nsegs)
    CHECK(hl7_bytes(a, again, &back) == HDW_OK && same(bytes, back));
  if (!o->strict) edit(&cx, m, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > 16384) return 0;
  mem heap = {get, put, NULL};
  arena a;
  hl7_hooks hooks = {.warn = warn};
  hl7_opts o = {.eol = (hl7_eol)(data[0] % 3), .strict = data[0] & 8, .hooks = &hooks, .schema = &hl7_dict_schema};
  const char *p = (const char *)data + 1;
  size_t n = size - 1;
  arena_init(&a, &heap, 0);
  hl7_batch *b, none = {0};
  hl7_problem why;
  if (hl7_split(&a, p, n, &b, &why) == HDW_OK) {
    for (uint32_t i = 0; i < b->nparts && i < 4; i++) {
      CHECK((size_t)b->parts[i].off + b->parts[i].len <= n);
      if (b->parts[i].kind == HL7_PART_MESSAGE) one(&a, p + b->parts[i].off, b->parts[i].len, &o, data, size);
    }
  } else {
    b = &none;
  }
  if (data[0] & 4 || b->nparts != 1) one(&a, p, n, &o, data, size);
  arena_free(&a);
  return 0;
}
