#include "hl7_support.h"
#include "json.h"

static val to_json(rig *r, const char *in) {
  val v;
  assert_int_equal(hl7_to_json(&r->cx, parse(r, in), &v), HDW_OK);
  return v;
}

static const char *printed(rig *r, val v) {
  buf b;
  buf_init(&b, &r->a, 1 << 24);
  assert_int_equal(json_write(v, &b, NULL), HDW_OK);
  buf_putc(&b, 0);
  return b.p;
}

/* Through the text: written, read again, and turned into a message. */
static hdw_status back(rig *r, const char *json, hl7_slice *out) {
  json_reader rd;
  json_error err;
  val v;
  memset(&r->cx.err, 0, sizeof r->cx.err);
  json_reader_init(&rd, &r->mem.m);
  hdw_status s = json_read(&rd, &r->a, json, strlen(json), NULL, &v, &err);
  json_reader_free(&rd);
  if (s) fail_msg("json: %s at %zu", err.expected, err.offset);
  return hl7_from_json(&r->cx, v, out);
}

static void round_trip(rig *r, const char *in, const char *want) {
  hl7_slice out;
  const char *json = printed(r, to_json(r, in));
  hdw_status s = back(r, json, &out);
  if (s) fail_msg("%s: %s", json, r->cx.err.text);
  assert_string_equal(slice_str(r, out), want);
}

static void test_form(void **state) {
  rig *r = *state;
  assert_string_equal(
      printed(r, to_json(r, "MSH|^~\\&|A||\rPID|1||7^^^H&1.2&ISO^MR~8|a\\T\\b|\"\"|c&d\rZZZ\r")),
      "{\"hl7\":{\"delimiters\":\"|^~\\\\&\"},\"segments\":[{\"name\":\"MSH\",\"fields\":[\"|\",\"^~\\\\&\",\"A\",null,null]},"
      "{\"name\":\"PID\",\"fields\":[\"1\",null,{\"repeats\":[[\"7\",null,null,[\"H\",\"1.2\",\"ISO\"],\"MR\"],\"8\"]},\"a&b\","
      "\"\\\"\\\"\",[[\"c\",\"d\"]]]},"
      "{\"name\":\"ZZZ\",\"fields\":[]}]}");
  assert_string_equal(printed(r, to_json(r, "MSH|^~\\&#|x\\Xzz\\|5 # 6|\\.br\\y|a\nb\r")),
                      "{\"hl7\":{\"delimiters\":\"|^~\\\\&#\"},\"segments\":[{\"name\":\"MSH\",\"fields\":[\"|\",\"^~\\\\&#\",{\"raw\":"
                      "\"x\\\\Xzz\\\\\"},\"5 # 6\",\"\\\\.br\\\\y\",\"a\\nb\"]}]}");
}

static void test_round_trips(void **state) {
  rig *r = *state;
  static const char *const same[] = {
      "MSH|^~\\&|\r",
      "MSH|^~\\&\r",
      "MSH|^~\\&|^|~|&|^&~^|a^|^a|a~|~a|a&|&a|\r",
      "MSH|^~\\&|\\F\\\\S\\\\T\\\\R\\\\E\\|\\X41\\|\\x|\\|\\\\|\\.br\\|\\E\\.br\\E\\|\\H\\a\\N\\|\"\"|\"\r",
      "MSH|^~\\&|a\rb|c\rdef^g\rOBX|1\nPID|\r",
      "MSH:;~\\%:A;b%c:|^&:\rPID:x\r",
      "MSH|^|a~b\\c&d^e|\r",
      "MSH|^~\\&#|a#|\\P\\|\\L\\\r",
      "MSH|^~\\&||\rPID\rPID|\rPID||\r",
      "MSH|^~\\&|M\xC3\xBCller \xF0\x9F\x98\x80|\xC3\r",
      "MSH|^~\\&|M\xFCller|\xFF\r",
      "MSH|^~\\&|M\xFCller|||||||||||||||8859/1~ASCII\r",
      "MSH|^~\\&|\xB1|\\XB1\\||||||||||||||8859/2\r",
      "MSH|^~\\&|\xFF^\xC3\xA4|||||||||||||||UNICODE UTF-8\r",
      "MSH|^~\\&|\x01\x02\x7F\t |\r",
      "MSH|^~\\&|x|||||||||||||||GB 18030-2000\r",
      "FHS|^~\\&|a\r",
      "MSH|^~\\&\rPID\r",
  };
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) round_trip(r, same[i], same[i]);
  round_trip(r, "\x0BMSH|^~\\&|a\r\nPID|1\r\n\r\nOBX|1\r\n\x1C\r", "MSH|^~\\&|a\rPID|1\rOBX|1\r");
  round_trip(r, "MSH|^~\\&|a\nPID|1\nmore", "MSH|^~\\&|a\rPID|1\rmore\r");
}

static void test_from_json_refuses(void **state) {
  rig *r = *state;
#define DOC(segs) "{\"hl7\":{\"delimiters\":\"|^~\\\\&\"},\"segments\":[" segs "]}"
  static const struct {
    const char *json;
    hdw_status s;
    const char *text;
  } t[] = {
      {"{}", HDW_E_TYPE, "an object with hl7.delimiters and segments is wanted"},
      {"[1]", HDW_E_TYPE, NULL},
      {DOC(""), HDW_E_TYPE, NULL},
      {"{\"hl7\":{\"delimiters\":\"||\"},\"segments\":[{\"name\":\"MSH\",\"fields\":[]}]}", HDW_E_DATA,
       "hl7.delimiters: there are no encoding characters"},
      {"{\"hl7\":{\"delimiters\":\"|^~AB\"},\"segments\":[{\"name\":\"MSH\",\"fields\":[]}]}", HDW_E_DATA, NULL},
      {"{\"hl7\":{\"delimiters\":\"|^~\\\\&#!\"},\"segments\":[{\"name\":\"MSH\",\"fields\":[]}]}", HDW_E_DATA, NULL},
      {"{\"hl7\":{\"delimiters\":\"|^\"},\"segments\":[{\"name\":\"PID\",\"fields\":[[[\"a\",\"b\"]]]}]}", HDW_E_DATA,
       "segments[0].fields[0]: the message has no sub-component separator"},
      {"{\"hl7\":{\"delimiters\":\"|^\"},\"segments\":[{\"name\":\"PID\",\"fields\":[{\"repeats\":[\"a\",\"b\"]}]}]}", HDW_E_DATA,
       "segments[0].fields[0]: the message has no repetition separator"},
      {DOC("{\"name\":\"pid\",\"fields\":[]}"), HDW_E_TYPE, "segments[0]: an object with name and fields is wanted"},
      {DOC("{\"name\":\"PID\"}"), HDW_E_TYPE, NULL},
      {DOC("{\"name\":\"PID\",\"fields\":[null,true]}"), HDW_E_TYPE, "segments[0].fields[1]: text, null or an array is wanted"},
      {DOC("{\"name\":\"PID\",\"fields\":[{\"raw\":\"a|b\"}]}"), HDW_E_DATA, "segments[0].fields[0]: raw text contains a delimiter"},
      {DOC("{\"name\":\"PID\",\"fields\":[{\"raw\":\"a\\rOBX\"},\"x\"]}"), HDW_E_DATA,
       "segments[0].fields[1]: raw text would begin a segment"},
      {DOC("{\"name\":\"PID\",\"fields\":[{\"bytes\":\"****\"}]}"), HDW_E_DATA, "segments[0].fields[0]: bytes are not base64"},
      {DOC("{\"name\":\"PID\",\"fields\":[{\"bytes\":\"fA==\"}]}"), HDW_E_DATA, "segments[0].fields[0]: raw text contains a delimiter"},
      {DOC("{\"name\":\"PID\",\"fields\":[{\"other\":1}]}"), HDW_E_TYPE, NULL},
      {DOC("{\"name\":\"PID\",\"fields\":[{\"repeats\":1}]}"), HDW_E_TYPE, NULL},
      {DOC("{\"name\":\"MSH\",\"fields\":[\"|\",\"^~\\\\!\"]}"), HDW_E_DATA,
       "segments[0].fields[1]: not the delimiters that the document states"},
      {DOC("{\"name\":\"MSH\",\"fields\":[\"|\",\"^~\\\\&\\rPID\",\"x\"]}"), HDW_E_DATA, NULL},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    hl7_slice out;
    assert_int_equal(back(r, t[i].json, &out), t[i].s);
    if (t[i].text) assert_string_equal(r->cx.err.text, t[i].text);
  }
  hl7_slice out; /* what a hand may write: numbers, short forms, text that needs escapes */
  assert_int_equal(back(r,
                        DOC("{\"name\":\"MSH\",\"fields\":[null,null,\"A|B\"]},{\"name\":\"PID\",\"fields\":[1,[\"x\"],{\"repeats\":[\"y\"]"
                            "},1.50,\"a\\rOBX|1\"]}"),
                        &out),
                   HDW_OK);
  assert_string_equal(slice_str(r, out), "MSH|^~\\&|A\\F\\B\rPID|1|x|y|1.50|a\\X0D\\OBX\\F\\1\r");
}

int main(void) {
  const struct CMUnitTest tests[] = {T(test_form), T(test_round_trips), T(test_from_json_refuses)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
