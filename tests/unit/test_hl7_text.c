#include "hl7_support.h"

static const char *decoded(rig *r, const hl7_delims *d, charset_id cs, const char *raw) {
  val v;
  size_t n = strlen(raw);
  assert_int_equal(hl7_decode(&r->a, d, cs, (hl7_slice){rig_exact(r, raw, n), (uint32_t)n}, &v, NULL), HDW_OK);
  return str_of(r, v);
}

static hdw_status encode(rig *r, const hl7_delims *d, charset_id cs, const char *s, size_t n, unsigned flags, hl7_slice *out) {
  buf b;
  buf_init(&b, &r->a, 1 << 20);
  hdw_status st = hl7_encode(&b, d, cs, s, n, flags);
  *out = (hl7_slice){b.p ? b.p : "", (uint32_t)b.len};
  return st;
}

static const char *encoded(rig *r, const hl7_delims *d, const char *s, unsigned flags) {
  hl7_slice o;
  assert_int_equal(encode(r, d, CHARSET_UTF8, s, strlen(s), flags, &o), HDW_OK);
  return slice_str(r, o);
}

static void test_H35_decoder_one_pass(void **state) {
  rig *r = *state;
  hl7_delims d = {'|', '^', '~', '\\', '&', '#'};
  static const struct {
    const char *raw, *want;
  } t[] = {
      {"plain", "plain"},
      {"\\F\\\\S\\\\T\\\\R\\\\E\\\\P\\", "|^&~\\#"},
      {"a\\L\\b", "a#b"},
      {"\\X0D\\\\X0A\\", "\r\n"},
      {"\\X0D0A\\", "\r\n"},
      {"4\\5 re.", "4\\5 re."},
      {"a\\E\\", "a\\"},
      {"\\E\\X09\\E\\", "\\X09\\"},
      {"a\\", "a\\"},
      {"\\\\", "\\\\"},
      {"\\\\F\\", "\\|"},
      {"\\F", "\\F"},
      {"\\Xzz\\", "\\Xzz\\"},
      {"\\X0\\", "\\X0\\"},
      {"\\X\\", "\\X\\"},
      {"\\.br\\x\\.sp+3\\", "\\.br\\x\\.sp+3\\"},
      {"\\H\\bold\\N\\", "\\H\\bold\\N\\"},
      {"\\C2842\\\\M2470FF\\", "\\C2842\\\\M2470FF\\"},
      {"\\Zxy\\F\\", "\\Zxy\\F\\"},
      {"\\.br\\F\\S\\", "\\.br\\F^"},
      {"C:\\dir\\F\\x", "C:\\dir|x"},
      {"\\f\\", "\\f\\"},
      {"\\XC3A4\\", "\xC3\xA4"},
      {"\xC3\\XA4\\", "\xC3\xA4"},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    const char *got = decoded(r, &d, CHARSET_UTF8, t[i].raw);
    if (strcmp(got, t[i].want)) fail_msg("%s: %s, want %s", t[i].raw, got, t[i].want);
  }
  assert_string_equal(decoded(r, &d, CHARSET_8859_1, "\\XE4\\\xE4"), "\xC3\xA4\xC3\xA4");
  d.trunc = '|';
  assert_string_equal(decoded(r, &d, CHARSET_UTF8, "\\P\\"), "\\P\\");
  d.sub = '|';
  assert_string_equal(decoded(r, &d, CHARSET_UTF8, "\\T\\"), "\\T\\");
  hl7_delims colon = {':', ';', '%', '!', '+', ':'};
  assert_string_equal(decoded(r, &colon, CHARSET_UTF8, "!F!!S!!T!!R!!E!\\F\\"), ":;+%!\\F\\");
}

static void test_H36_encoder_escapes_for_the_target(void **state) {
  rig *r = *state;
  hl7_delims d = hl7_default_delims;
  assert_string_equal(encoded(r, &d, "a|b^c&d~e\\f\rg\nh", 0), "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f\\X0D\\g\\X0A\\h");
  assert_string_equal(encoded(r, &d, "x\rPID|1||evil", 0), "x\\X0D\\PID\\F\\1\\F\\\\F\\evil");
  assert_string_equal(encoded(r, &d, "a\r\nb\nc\r", HL7_ENC_BR), "a\\.br\\b\\.br\\c\\.br\\");
  assert_string_equal(encoded(r, &d, "a\nb\\.br\\c\\H\\", HL7_ENC_KEEP_LF | HL7_ENC_KEEP_FORMAT), "a\nb\\.br\\c\\H\\");
  assert_string_equal(encoded(r, &d, "\\.br\\ \\X09\\ \\F\\ \\Z|\\", HL7_ENC_KEEP_FORMAT),
                      "\\.br\\ \\E\\X09\\E\\ \\E\\F\\E\\ \\E\\Z\\F\\\\E\\");
  assert_string_equal(encoded(r, &d, "\\.br\\", 0), "\\E\\.br\\E\\");
  assert_string_equal(encoded(r, &d, "a#b", 0), "a#b");
  d.trunc = '#';
  assert_string_equal(encoded(r, &d, "a#b", 0), "a\\P\\b");
  hl7_delims colon = {':', ';', '%', '!', '+', ':'};
  assert_string_equal(encoded(r, &colon, "a|b:c;d", 0), "a|b!F!c!S!d");
}

static void test_H36_what_cannot_be_escaped_is_an_error(void **state) {
  rig *r = *state;
  hl7_delims d = {'|', '^', '~', '|', '|', '|'};
  hl7_slice o;
  assert_int_equal(encode(r, &d, CHARSET_UTF8, "a^b", 3, 0, &o), HDW_E_DATA);
  assert_int_equal(encode(r, &d, CHARSET_UTF8, "a\rb", 3, 0, &o), HDW_E_DATA);
  assert_int_equal(encode(r, &d, CHARSET_UTF8, "a&b\\", 4, 0, &o), HDW_OK);
  assert_string_equal(slice_str(r, o), "a&b\\");
}

static void test_H38_unmappable_character_is_an_error(void **state) {
  rig *r = *state;
  hl7_slice o;
  assert_int_equal(encode(r, &hl7_default_delims, CHARSET_8859_1, "\xE2\x82\xAC", 3, 0, &o), HDW_E_CHARSET);
  assert_int_equal(encode(r, &hl7_default_delims, CHARSET_ASCII, "\xC3\xA4", 2, 0, &o), HDW_E_CHARSET);
  assert_int_equal(encode(r, &hl7_default_delims, CHARSET_8859_15, "\xE2\x82\xAC", 3, 0, &o), HDW_OK);
  assert_true(o.len == 1 && (unsigned char)o.p[0] == 0xA4);
  assert_int_equal(encode(r, &hl7_default_delims, CHARSET_UTF8, "\xFF", 1, 0, &o), HDW_E_CHARSET);
}

/* decode(encode(x)) = x for every set of delimiters, and the encoded text holds no delimiter, CR or LF that could break a field. */
static void test_H36_decode_of_encode_is_identity(void **state) {
  rig *r = *state;
  static const char chars[] = "|^~\\&#:;%!+\r\nFSTRELPXHNCMZ.br0A9zx ";
  static const hl7_delims sets[] = {
      {'|', '^', '~', '\\', '&', '|'}, {'|', '^', '~', '\\', '&', '#'}, {':', ';', '%', '!', '+', ':'}, {'#', '\\', '&', '|', '~', '^'}};
  uint64_t seed = 42;
  for (int i = 0; i < 200000; i++) {
    const hl7_delims *d = &sets[i % 4];
    char s[24];
    size_t n = 0;
    for (; n < (size_t)i % 23; n++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      s[n] = chars[(seed >> 33) % (sizeof chars - 1)];
    }
    unsigned flags = (unsigned)(i / 4) % 2 ? HL7_ENC_KEEP_FORMAT : 0;
    arena_mark here = arena_here(&r->a);
    hl7_slice o;
    val v;
    assert_int_equal(encode(r, d, CHARSET_UTF8, s, n, flags, &o), HDW_OK);
    for (uint32_t k = 0; k < o.len; k++)
      assert_true(o.p[k] != d->field && o.p[k] != d->comp && o.p[k] != d->rep && o.p[k] != d->sub && o.p[k] != '\r' && o.p[k] != '\n');
    assert_int_equal(hl7_decode(&r->a, d, CHARSET_UTF8, o, &v, NULL), HDW_OK);
    assert_int_equal(v.len, n);
    assert_memory_equal(v.u.s, s, n);
    arena_release(&r->a, here);
  }
}

static void test_H37_charset_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    charset_id id;
  } t[] = {
      {"", CHARSET_NONE},
      {"ASCII", CHARSET_ASCII},
      {"8859/1", CHARSET_8859_1},
      {"8859/9", CHARSET_8859_9},
      {"8859/15", CHARSET_8859_15},
      {"8859-1", CHARSET_8859_1},
      {"ISO-8859-1", CHARSET_8859_1},
      {"iso_8859-15", CHARSET_8859_15},
      {"UNICODE UTF-8", CHARSET_UTF8},
      {"UTF-8", CHARSET_UTF8},
      {"utf8", CHARSET_UTF8},
      {"UNICODE", CHARSET_UTF8},
      {"UNICODE UTF-16", CHARSET_UTF16},
      {"UNICODE UTF-32", CHARSET_UTF32},
      {"ISO IR6", CHARSET_ASCII},
      {"ISO IR14", CHARSET_JIS},
      {"ISO IR87", CHARSET_JIS},
      {"ISO IR159", CHARSET_JIS},
      {"GB 18030-2000", CHARSET_GB18030},
      {"KS X 1001", CHARSET_KSX1001},
      {"CNS 11643-1992", CHARSET_CNS11643},
      {"BIG-5", CHARSET_BIG5},
      {"Windows-1252", CHARSET_1252},
      {"8859/12", CHARSET_UNKNOWN},
      {"8859/16", CHARSET_UNKNOWN},
      {"8859/99", CHARSET_UNKNOWN},
      {"8859", CHARSET_UNKNOWN},
      {"latin\xFF", CHARSET_UNKNOWN},
      {"a name that is longer than any name can be", CHARSET_UNKNOWN},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    assert_int_equal(charset_find(t[i].name, strlen(t[i].name)), t[i].id);
    assert_int_equal(charset_supported(t[i].id), t[i].id != CHARSET_NONE && t[i].id <= CHARSET_AUTO);
    if (t[i].id != CHARSET_UNKNOWN) assert_int_equal(charset_find(charset_name(t[i].id), strlen(charset_name(t[i].id))), t[i].id);
  }
}

static void test_H37_every_byte_of_every_set_round_trips(void **state) {
  rig *r = *state;
  for (charset_id id = CHARSET_8859_1; id <= CHARSET_1252; id++)
    for (int c = 0; c < 256; c++) {
      char b = (char)c;
      const char *u, *back;
      size_t un, bn, bad;
      assert_int_equal(charset_to_utf8(&r->a, id, &b, 1, &u, &un, &bad), HDW_OK);
      assert_int_equal(charset_utf8_prefix(u, un), un);
      if (bad) continue;
      assert_int_equal(charset_from_utf8(&r->a, id, u, un, &back, &bn, NULL), HDW_OK);
      assert_true(bn == 1 && back[0] == b);
    }
}

static void test_utf8_is_checked_strictly(void **state) {
  (void)state;
  static const struct {
    const char *s;
    size_t ok;
  } t[] = {
      {"a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 10},
      {"\xC0\x80", 0},
      {"\xE0\x80\x80", 0},
      {"\xED\xA0\x80", 0},
      {"\xF4\x90\x80\x80", 0},
      {"\xF4\x8F\xBF\xBF", 4},
      {"x\xC3", 1},
      {"\xE2\x82", 0},
      {"\xF0\x9F\x98", 0},
      {"\x80", 0},
      {"\xF5\x80\x80\x80", 0},
      {"\xF0\x8F\xBF\xBF", 0},
      {"\xC3\x28", 0},
  };
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) assert_int_equal(charset_utf8_prefix(t[i].s, strlen(t[i].s)), t[i].ok);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      T(test_H35_decoder_one_pass),
      T(test_H36_encoder_escapes_for_the_target),
      T(test_H36_what_cannot_be_escaped_is_an_error),
      T(test_H38_unmappable_character_is_an_error),
      T(test_H36_decode_of_encode_is_identity),
      T(test_H37_charset_names),
      T(test_H37_every_byte_of_every_set_round_trips),
      T(test_utf8_is_checked_strictly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
