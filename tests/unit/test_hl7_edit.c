#include "hl7_support.h"

#define HEAD "MSH|^~\\&|LAB|HOSP|HDW|RCV|20240115||ADT^A08^ADT_A01|C1|P|2.5.1\r"

static hl7_edit set(const char *path, val v) { return (hl7_edit){HL7_SET, path_of(path), v}; }
static val str(const char *s) { return val_cstr(s); }

static hdw_status try_with(rig *r, val base, const hl7_edit *e, unsigned n, const char **out) {
  val v;
  hl7_slice b;
  memset(&r->cx.err, 0, sizeof r->cx.err);
  hdw_status s = hl7_with(&r->cx, base, e, n, &v);
  if (s) return s;
  const hl7_node *node = hl7_of(v);
  assert_int_equal(hl7_of(base)->level, node->level);
  if (node->level == HL7_SEG) b = hl7_node_raw(node);
  else assert_int_equal(hl7_bytes(&r->a, node->m, &b), HDW_OK);
  *out = slice_str(r, b);
  return HDW_OK;
}

/* The part behind the head of `in` after one edit. */
static const char *edited(rig *r, const char *in, hl7_edit e) {
  char full[2000];
  const char *out;
  snprintf(full, sizeof full, HEAD "%s", in);
  hl7_msg *m = parse(r, arena_dup(&r->a, full, strlen(full)));
  hdw_status s = try_with(r, whole_message(r, m), &e, 1, &out);
  if (s) return hdw_status_name(s);
  assert_memory_equal(out, HEAD, strlen(HEAD));
  return out + strlen(HEAD);
}

static val list2(rig *r, val a, val b) {
  val *v = arena_alloc(&r->a, 2 * sizeof *v);
  v[0] = a;
  v[1] = b;
  return (val){.tag = VAL_LIST, .len = 2, .u.v = v};
}

static void test_fields(void **state) {
  rig *r = *state;
  assert_string_equal(edited(r, "PID|1||a~b||x|||\r", set("PID-8", str("M"))), "PID|1||a~b||x|||M\r");
  assert_string_equal(edited(r, "PID|1||a~b||x|||\r", set("PID-3", str("z"))), "PID|1||z||x|||\r");
  assert_string_equal(edited(r, "PID|1||a~b||x|||\r", set("PID-3", list2(r, str("p"), str("q|r")))), "PID|1||p~q\\F\\r||x|||\r");
  assert_string_equal(edited(r, "PID|1||a~b||x|||\r", set("PID-3", VAL_NONE)), "PID|1||||x|||\r");
  assert_string_equal(edited(r, "PID|1\r", set("PID-5", str("n"))), "PID|1||||n\r");
  assert_string_equal(edited(r, "PID|1\r", set("PID-5", VAL_NONE)), "PID|1\r");
  assert_string_equal(edited(r, "PID\r", set("PID-1", str("1"))), "PID|1\r");
  assert_string_equal(edited(r, "OBX|1|a\rOBX|2|b\r", set("OBX-2", str("c"))), "OBX|1|c\rOBX|2|c\r");
  assert_string_equal(edited(r, "PID|1\r", set("ZPV-2", str("z"))), "PID|1\rZPV||z\r");
  assert_string_equal(edited(r, "PID|1\r", set("ZPV-2", VAL_NONE)), "PID|1\r");
}

static void test_parts(void **state) {
  rig *r = *state;
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3.2", str("B"))), "PID|1||a^B^~d|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3.2.2", str("C^"))), "PID|1||a^b&C\\S\\^~d|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3[1].4.2", str("x"))), "PID|1||a^b&c^~d^^^&x|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3[1]", str("D"))), "PID|1||a^b&c^~D|e\r");
  assert_string_equal(edited(r, "PID|1||a|e\r", set("PID-3[2].1", str("z"))), "PID|1||a~~z|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3[1]", VAL_NONE)), "PID|1||a^b&c^|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3[0]", VAL_NONE)), "PID|1||~d|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3[7]", VAL_NONE)), "PID|1||a^b&c^~d|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3.1", VAL_NONE)), "PID|1||^b&c^~d|e\r");
  assert_string_equal(edited(r, "PID|1||a^b&c^~d|e\r", set("PID-3.9", VAL_NONE)), "PID|1||a^b&c^~d|e\r");
  assert_string_equal(edited(r, "PID|1\r", set("PID-5.2.2", str("x"))), "PID|1||||^&x\r");
}

static void test_H36_values_cannot_change_the_structure(void **state) {
  rig *r = *state;
  assert_string_equal(edited(r, "PID|1\r", set("PID-5", str("a\rPID|9||evil~^&\\"))),
                      "PID|1||||a\\X0D\\PID\\F\\9\\F\\\\F\\evil\\R\\\\S\\\\T\\\\E\\\r");
  hl7_msg *m = parse(r, "MSH:;~!%:A\rPID:1\r");
  hl7_edit e = set("PID-5.1", str("a:b;c|d!"));
  const char *out;
  assert_int_equal(try_with(r, whole_message(r, m), &e, 1, &out), HDW_OK);
  assert_string_equal(out, "MSH:;~!%:A\rPID:1::::a!F!b!S!c|d!E!\r");
}

static void test_types_of_values(void **state) {
  rig *r = *state;
  dec d;
  val v;
  tm_val t;
  assert_int_equal(dec_parse("1.50", 4, &d), HDW_OK);
  assert_int_equal(val_from_dec(&r->a, &d, &v), HDW_OK);
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", v)), "OBX|1|1.50\r");
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", val_int(-7))), "OBX|1|-7\r");
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", val_bool(true))), "OBX|1|Y\r");
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", val_bool(false))), "OBX|1|N\r");
  assert_int_equal(tm_parse_datetime("2024-02-29T10:30:05.12-06:00", 28, &t), HDW_OK);
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", val_from_time(VAL_DATETIME, &t))), "OBX|1|20240229103005.12-0600\r");
  assert_int_equal(tm_parse_date("2024-02", 7, &t), HDW_OK);
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", val_from_time(VAL_DATE, &t))), "OBX|1|202402\r");
  assert_int_equal(tm_parse_time("10:30:05", 8, &t), HDW_OK);
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", val_from_time(VAL_TIME, &t))), "OBX|1|103005\r");
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-5.5", (val){.tag = VAL_BIN, .len = 4, .u.s = "\x00\xFF|\r"})),
                      "OBX|1||||^^^^AP98DQ==\r");
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", str("\"\""))), "OBX|1|\"\"\r");
  val tpl[] = {str("a^|"), str("x^y"), str("&\\.br\\"), val_int(3), str("")};
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", (val){.tag = VAL_TPL, .len = 5, .u.v = tpl})), "OBX|1|a^\\F\\x\\S\\y&\\.br\\3\r");
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2.1", (val){.tag = VAL_TPL, .len = 5, .u.v = tpl})),
                      "OBX|1|a\\S\\\\F\\x\\S\\y&\\.br\\3\r");
  assert_string_equal(edited(r, "OBX|1\r", set("OBX-2", (val){.tag = VAL_OBJ})), "HDW_E_TYPE");
  assert_string_equal(r->cx.err.text, "OBX-2: a value of this type cannot stand here");
}

static void test_nodes_as_values(void **state) {
  rig *r = *state;
  hl7_msg *o = parse(r, "MSH:;%!+:A\rPID:1::a;b+c!S!!.br!!E!|^%d:x\r");
  val base = whole_message(r, o);
  assert_string_equal(edited(r, "PID|1||z\r", set("PID-3", get(r, base, "PID-3"))), "PID|1||a^b&c;\\.br\\!\\F\\\\S\\~d\r");
  assert_string_equal(edited(r, "PID|1||z\r", set("PID-3.4", get(r, base, "PID-3[0]"))), "PID|1||z^^^a\r");
  assert_string_equal(edited(r, "PID|1||z\r", set("PID-3.4.2", get(r, base, "PID-3[0].2"))), "PID|1||z^^^&b\r");
  assert_string_equal(edited(r, "PID|1||z\r", set("PID-3", get(r, base, "PID-3.2"))), "PID|1||b&c;\\.br\\!\\F\\\\S\\\r");
  assert_string_equal(edited(r, "PID|1||z\r", set("PID-5", get(r, base, "MSH-2"))), "PID|1||z||;%!+\r");
  assert_string_equal(edited(r, "PID|1||z\r", set("PID-3", get(r, base, "PID"))), "HDW_E_TYPE");
  hl7_msg *same = parse(r, HEAD "PID|1||a\\Xzz\\\\.br\\\\F\\^b|\"\"\r"); /* the same delimiters: byte for byte */
  assert_string_equal(edited(r, "PID|1\r", set("PID-3", get(r, whole_message(r, same), "PID-3"))), "PID|1||a\\Xzz\\\\.br\\\\F\\^b\r");
  assert_string_equal(edited(r, "PID|1\r", set("PID-3", get(r, whole_message(r, same), "PID-4"))), "PID|1||\"\"\r");
}

static void test_segments(void **state) {
  rig *r = *state;
  hl7_msg *o = parse(r, "MSH:;~\\&:A\rOBX:1:a;b\rOBX:2:c|d\rNTE:x\r");
  val base = whole_message(r, o);
  assert_string_equal(edited(r, "OBR|1\rOBX|9\rNTE|n\rOBX|8\rZZZ|1\r", set("OBX", get(r, base, "OBX"))),
                      "OBR|1\rOBX|1|a^b\rOBX|2|c\\F\\d\rNTE|n\rZZZ|1\r");
  assert_string_equal(edited(r, "OBR|1\r", set("OBX", get(r, base, "OBX"))), "OBR|1\rOBX|1|a^b\rOBX|2|c\\F\\d\r");
  assert_string_equal(edited(r, "OBR|1\rOBX|9\rNTE|n\r", set("OBX", VAL_NONE)), "OBR|1\rNTE|n\r");
  assert_string_equal(edited(r, "OBR|1\r", set("OBX", get(r, base, "NTE"))), "HDW_E_TYPE");
  assert_string_equal(edited(r, "OBR|1\r", set("MSH", VAL_NONE)), "HDW_E_CARD");
}

static void test_removals(void **state) {
  rig *r = *state;
  hl7_msg *m = parse(r, HEAD "PID|1||a~b~c||x^y\rZPV|1\rNK1|1\rNK1|2\r");
  val base = whole_message(r, m);
  const char *out;
  hl7_edit e[] = {{HL7_REMOVE, {0}, get(r, base, "ZPV")},
                  {HL7_REMOVE, {0}, get(r, base, "PID-3")},
                  {HL7_REMOVE, {0}, list2(r, val_item(get(r, base, "NK1"), 1), get(r, base, "PID-5.1"))}};
  assert_int_equal(try_with(r, base, e, 3, &out), HDW_OK);
  assert_string_equal(out, HEAD "PID|1||||^y\rNK1|1\r");
  hl7_edit by_path[] = {{HL7_REMOVE, path_of("NK1"), VAL_NONE}, {HL7_REMOVE, path_of("PID-3[1]"), VAL_NONE}};
  assert_int_equal(try_with(r, base, by_path, 2, &out), HDW_OK);
  assert_string_equal(out, HEAD "PID|1||a~~c||x^y\rZPV|1\r");
  val later; /* nodes of the message before still name its segments */
  hl7_edit first = set("PID-8", str("M"));
  assert_int_equal(hl7_with(&r->cx, base, &first, 1, &later), HDW_OK);
  assert_int_equal(try_with(r, later, e, 1, &out), HDW_OK);
  assert_string_equal(out, HEAD "PID|1||a~b~c||x^y|||M\rNK1|1\rNK1|2\r");
  hl7_edit bad = {HL7_REMOVE, {0}, str("x")};
  assert_int_equal(try_with(r, base, &bad, 1, &out), HDW_E_TYPE);
}

static void test_many_segments_take_linear_time(void **state) {
  rig *r = *state;
  enum { N = 100000 };
  char *in = arena_alloc(&r->a, N * 8 + 100), *p = in + sprintf(in, HEAD);
  for (int i = 0; i < N; i++) p += sprintf(p, "ZPV|%d\r", i % 10);
  hl7_msg *m = parse_n(r, in, (size_t)(p - in));
  val base = whole_message(r, m), all = get(r, base, "ZPV");
  const char *out;
  r->cx.fuel = 10 * N;
  hl7_edit remove = {HL7_REMOVE, {0}, all}, again = set("ZPV", all), none = set("ZPV", VAL_NONE);
  assert_int_equal(try_with(r, base, &remove, 1, &out), HDW_OK);
  assert_string_equal(out, HEAD);
  assert_int_equal(try_with(r, base, &none, 1, &out), HDW_OK);
  assert_string_equal(out, HEAD);
  assert_int_equal(try_with(r, base, &again, 1, &out), HDW_OK);
  assert_int_equal(strlen(out), (size_t)(p - in));
  hl7_edit head = {HL7_REMOVE, {0}, get(r, base, "MSH")};
  assert_int_equal(try_with(r, base, &head, 1, &out), HDW_E_INVALID);
}

static const char *part(rig *r, const char *in, const char *name, uint32_t nth) {
  char full[2000];
  val v;
  hl7_slice b;
  snprintf(full, sizeof full, HEAD "%s", in);
  hl7_msg *m = parse(r, arena_dup(&r->a, full, strlen(full)));
  hdw_status s = hl7_cut_part(&r->cx, whole_message(r, m), hl7_name(name, strlen(name)), nth, &v);
  if (s) return hdw_status_name(s);
  if (v.tag == VAL_EMPTY) return "";
  assert_int_equal(hl7_bytes(&r->a, hl7_of(v)->m, &b), HDW_OK);
  assert_memory_equal(b.p, HEAD, strlen(HEAD));
  return slice_str(r, (hl7_slice){b.p + strlen(HEAD), (uint32_t)(b.len - strlen(HEAD))});
}

static void test_parts_of_a_message_about_several(void **state) {
  rig *r = *state;
  const char *in = "EVN|1\rPID|1||a\rPV1|1\rPID|2\rPV1|2|I\rOBX|2\r";
  val v;
  assert_string_equal(part(r, in, "PID", 0), "EVN|1\rPID|1||a\rPV1|1\r");
  assert_string_equal(part(r, in, "PID", 1), "EVN|1\rPID|2\rPV1|2|I\rOBX|2\r");
  assert_string_equal(part(r, in, "PID", 2), "");
  assert_string_equal(part(r, in, "PID", UINT32_MAX), "");
  assert_string_equal(part(r, in, "ZZZ", 0), "");
  assert_string_equal(part(r, in, "no segment", 0), "");
  assert_int_equal(hl7_cut_part(&r->cx, str("PID"), hl7_name("PID", 3), 0, &v), HDW_E_TYPE);
}

static void test_untouched_bytes_stay(void **state) {
  rig *r = *state;
  const char *in = "\x0BMSH|^~\\&#|A||||\r\nPID|1||a~~||\\Xzz\\|||\r\nNTE|1|text\r\nmore^~\r\n\r\nOBX||\n|x||\r\nZZZ\r\n\x1C\r";
  hl7_msg *m = parse(r, in);
  hl7_edit e = set("OBX-5", str("v"));
  const char *out;
  assert_int_equal(try_with(r, whole_message(r, m), &e, 1, &out), HDW_OK);
  assert_string_equal(out, "MSH|^~\\&#|A||||\rPID|1||a~~||\\Xzz\\|||\rNTE|1|text\rmore^~\rOBX||\n|x||v\rZZZ\r");
}

static void test_a_head_of_delimiters_alone(void **state) {
  rig *r = *state;
  hl7_msg *m = parse(r, "MSH|^~\\&\rPID|x\r");
  hl7_edit e[] = {set("ZZ1-1", str("z")), set("MSH-4", str("f"))};
  const char *out;
  assert_int_equal(try_with(r, whole_message(r, m), e, 1, &out), HDW_OK);
  assert_string_equal(out, "MSH|^~\\&\rPID|x\rZZ1|z\r");
  assert_int_equal(try_with(r, whole_message(r, m), e, 2, &out), HDW_OK);
  assert_string_equal(out, "MSH|^~\\&||f\rPID|x\rZZ1|z\r");
}

static void test_segment_as_base(void **state) {
  rig *r = *state;
  hl7_msg *m = parse(r, HEAD "OBX|1|TX|a||x\rOBX|2|TX|b||y\r");
  val obx = val_item(get(r, whole_message(r, m), "OBX"), 1), v;
  const char *out;
  hl7_edit e[] = {set("OBX-5", str("n|")), set("OBX-11", str("C"))};
  assert_int_equal(try_with(r, obx, e, 2, &out), HDW_OK);
  assert_string_equal(out, "OBX|2|TX|b||n\\F\\||||||C");
  assert_int_equal(hl7_with(&r->cx, obx, e, 2, &v), HDW_OK);
  assert_string_equal(joined(r, get(r, v, "OBX-5")), "n|");
  hl7_edit back = set("OBX", v);
  assert_int_equal(try_with(r, whole_message(r, m), &back, 1, &out), HDW_OK);
  assert_string_equal(out, HEAD "OBX|2|TX|b||n\\F\\||||||C\r");
  hl7_edit wrong = set("PID-5", str("n"));
  assert_int_equal(try_with(r, obx, &wrong, 1, &out), HDW_E_INVALID);
  assert_int_equal(try_with(r, get(r, obx, "OBX-3"), e, 1, &out), HDW_E_TYPE);
}

static void test_refusals(void **state) {
  rig *r = *state;
  assert_string_equal(edited(r, "PID|1\r", set("MSH-1", str("!"))), "HDW_E_INVALID");
  assert_string_equal(edited(r, "PID|1\r", set("MSH-2", str("!"))), "HDW_E_INVALID");
  assert_string_equal(edited(r, "PID|1\r", set("PID-3.1", list2(r, str("a"), str("b")))), "HDW_E_CARD");
  assert_string_equal(edited(r, "PID|1\r", set("PID-3[0]", list2(r, str("a"), str("b")))), "HDW_E_CARD");
  assert_string_equal(edited(r, "PID|1\r", (hl7_edit){HL7_SET, {.seg = HL7_NAME('P', 'I', 'D'), .rep = -1, .field = 65000}, str("a")}),
                      "HDW_E_LIMIT");
  hl7_msg *m = parse(r, "MSH|^|A\rPID|1\r");
  const char *out;
  hl7_edit e = set("PID-2.1.2", str("x")), f = set("PID-2", list2(r, str("a"), str("b"))), g = set("PID-2", str("a^b")),
           h = set("PID-2[1]", str("a"));
  assert_int_equal(try_with(r, whole_message(r, m), &e, 1, &out), HDW_E_DATA);
  assert_int_equal(try_with(r, whole_message(r, m), &f, 1, &out), HDW_E_DATA);
  assert_int_equal(try_with(r, whole_message(r, m), &g, 1, &out), HDW_E_DATA);
  assert_int_equal(try_with(r, whole_message(r, m), &h, 1, &out), HDW_E_DATA);
}

static void test_H38_charset_of_the_target(void **state) {
  rig *r = *state;
  hl7_msg *m = parse(r, "MSH|^~\\&|M\xFCller|||||||||||||||8859/1\rPID|1\r");
  const char *out;
  hl7_edit e[] = {set("PID-5", str("Gr\xC3\xB6\xC3\x9F"
                                   "e")),
                  set("PID-6", str("\xE2\x82\xAC"))};
  assert_int_equal(try_with(r, whole_message(r, m), e, 1, &out), HDW_OK);
  assert_string_equal(out, "MSH|^~\\&|M\xFCller|||||||||||||||8859/1\rPID|1||||Gr\xF6\xDF"
                           "e\r");
  assert_int_equal(try_with(r, whole_message(r, m), e, 2, &out), HDW_E_CHARSET);
  hl7_edit utf[] = {e[0], e[1], set("MSH-18", str("UNICODE UTF-8"))};
  assert_int_equal(try_with(r, whole_message(r, m), utf, 3, &out), HDW_OK);
  assert_string_equal(out, "MSH|^~\\&|M\xC3\xBCller|||||||||||||||UNICODE UTF-8\rPID|1||||Gr\xC3\xB6\xC3\x9F"
                           "e|\xE2\x82\xAC\r");
  hl7_edit to[] = {set("MSH-18", str("ASCII"))};
  assert_int_equal(try_with(r, whole_message(r, m), to, 1, &out), HDW_E_CHARSET);
  to[0] = set("MSH-18", str("BIG-5"));
  assert_int_equal(try_with(r, whole_message(r, m), to, 1, &out), HDW_E_UNSUPPORTED);
  hl7_msg *u = parse(r, HEAD "PID|1||\xC3\xA4\r"); /* a node from a message in another set */
  hl7_edit n = set("PID-5", get(r, whole_message(r, u), "PID-3"));
  assert_int_equal(try_with(r, whole_message(r, m), &n, 1, &out), HDW_OK);
  assert_non_null(strstr(out, "PID|1||||\xE4\r"));
}

static const char *built(rig *r, const char *name, const hl7_edit *e, unsigned n, hl7_build_defaults *d) {
  val v;
  hl7_slice b;
  d->control_id = "ID1";
  assert_int_equal(tm_make(2024, 1, 15, 10, 30, 5, 0, TM_SECOND, &d->now), HDW_OK);
  d->now.has_zone = true;
  hdw_status s = hl7_build_message(&r->cx, name, strlen(name), e, n, d, &v);
  if (s) return hdw_status_name(s);
  assert_int_equal(hl7_bytes(&r->a, hl7_of(v)->m, &b), HDW_OK);
  return slice_str(r, b);
}

static const hl7_struct_node *adt_only(const void *user, hl7_slice type, hl7_slice event, hl7_slice id, hl7_slice *name) {
  static const hl7_struct_node root = {"ADT_A01", true, false, false, 0, NULL};
  (void)user;
  (void)type;
  (void)id;
  if (event.len != 3 || memcmp(event.p, "A08", 3) != 0) return NULL;
  *name = (hl7_slice){"ADT_A01", 7};
  return &root;
}

static void test_building(void **state) {
  rig *r = *state;
  hl7_build_defaults d = {0};
  hl7_schema sc = {.structure = adt_only};
  hl7_edit e[] = {set("PID-5.1", str("DOE")), set("MSH-3", str("HUB")), set("PID-3", list2(r, str("1"), str("2"))),
                  set("EVN-1", str("A08"))};
  assert_string_equal(built(r, "ACK", NULL, 0, &d), "MSH|^~\\&|||||20240115103005+0000||ACK|ID1|P|2.5.1\r");
  assert_string_equal(built(r, "RSP_K21", e, 2, &d), "MSH|^~\\&|HUB||||20240115103005+0000||RSP^K21^RSP_K21|ID1|P|2.5.1\rPID|||||DOE\r");
  d.schema = &sc;
  d.version = "2.8";
  assert_string_equal(built(r, "ADT_A08", e, 4, &d),
                      "MSH|^~\\&|HUB||||20240115103005+0000||ADT^A08^ADT_A01|ID1|P|2.8\rPID|||1~2||DOE\rEVN|A08\r");
  static const hl7_struct_node group[] = {{"OBR", false, false, true, 0, NULL}, {"NTE", false, true, false, 0, NULL}};
  static const hl7_struct_node kids[] = {{"MSH", false, false, true, 0, NULL},
                                         {"EVN", false, false, true, 0, NULL},
                                         {"PID", false, false, true, 0, NULL},
                                         {"NTE", false, true, false, 0, NULL},
                                         {"G", true, true, false, 2, group}};
  static const hl7_struct_node root = {"ADT_A01", true, false, false, 5, kids};
  d.structure = &root;
  hl7_edit f[] = {set("OBR-1", str("1")), set("NTE-3", str("n")), set("PID-5.1", str("DOE")), set("ZZZ-1", str("z")),
                  set("EVN-1", str("A08"))};
  assert_string_equal(strchr(built(r, "ADT_A08", f, 5, &d), '\r') + 1, "EVN|A08\rPID|||||DOE\rZZZ|z\rOBR|1\rNTE|||n\r");
  d.structure = NULL;
  hl7_edit u = set("PID-5.1", str("M\xC3\xBCller")), latin[] = {u, set("MSH-18", str("8859/1"))}, bad[] = {set("MSH-18", str("BIG-5"))};
  assert_non_null(strstr(built(r, "ADT_A08", &u, 1, &d), "|2.8||||||UNICODE UTF-8\rPID|||||M\xC3\xBCller\r"));
  assert_non_null(strstr(built(r, "ADT_A08", latin, 2, &d), "|2.8||||||8859/1\rPID|||||M\xFCller\r"));
  assert_string_equal(built(r, "ADT_A08", bad, 1, &d), "HDW_E_UNSUPPORTED");
  val seg;
  hl7_edit x[] = {set("OBX-3.1", str("718-7")), set("OBX-5", val_int(5))};
  assert_int_equal(hl7_build_segment(&r->cx, HL7_NAME('O', 'B', 'X'), x, 2, &seg), HDW_OK);
  assert_string_equal(slice_str(r, hl7_node_raw(hl7_of(seg))), "OBX|||718-7||5");
  hl7_edit y = set("OBX", seg);
  assert_non_null(strstr(built(r, "ORU_R01", &y, 1, &d), "|2.8\rOBX|||718-7||5\r"));
  assert_int_equal(hl7_build_segment(&r->cx, HL7_NAME('M', 'S', 'H'), NULL, 0, &seg), HDW_E_INVALID);
  assert_int_equal(hl7_build_segment(&r->cx, HL7_NAME('O', 'B', 'X'), e, 1, &seg), HDW_E_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      T(test_fields),
      T(test_parts),
      T(test_H36_values_cannot_change_the_structure),
      T(test_types_of_values),
      T(test_nodes_as_values),
      T(test_segments),
      T(test_removals),
      T(test_many_segments_take_linear_time),
      T(test_parts_of_a_message_about_several),
      T(test_untouched_bytes_stay),
      T(test_segment_as_base),
      T(test_a_head_of_delimiters_alone),
      T(test_refusals),
      T(test_H38_charset_of_the_target),
      T(test_building),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
