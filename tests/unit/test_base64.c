/* Base64: RFC 4648 vectors, both alphabets, refusals. */
#include <stdlib.h>
#include <string.h>
#include "base64.h"
#include "support.h"

static void test_RFC4648_vectors(void **state) {
  (void)state;
  static const char *const row[][3] = {{"", "", ""}, {"f", "Zg==", "Zg"}, {"fo", "Zm8=", "Zm8"}, {"foo", "Zm9v", "Zm9v"},
                                       {"foob", "Zm9vYg==", "Zm9vYg"}, {"fooba", "Zm9vYmE=", "Zm9vYmE"}, {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                                       {"\xfb\xff\xfe", "+//+", "-__-"}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++)
    for (int url = 0; url < 2; url++) {
      char text[16];
      uint8_t bytes[16];
      size_t n = b64_encode((const uint8_t *)row[i][0], strlen(row[i][0]), text, url), len = 99;
      assert_int_equal(n, strlen(row[i][1 + url]));
      assert_memory_equal(text, row[i][1 + url], n);
      assert_int_equal(b64_decode(text, n, bytes, &len, url), HDW_OK);
      assert_int_equal(len, strlen(row[i][0]));
      assert_memory_equal(bytes, row[i][0], len);
    }
}

static void test_every_length_comes_back(void **state) {
  (void)state;
  for (size_t n = 0; n < 300; n++)
    for (int url = 0; url < 2; url++) {
      uint8_t *p = (uint8_t *)malloc(n + 1), *q;
      for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(i * 37 + n);
      char *t = (char *)malloc(b64_encoded_max(n) + 1);
      size_t k = b64_encode(p, n, t, url), len;
      assert_true(k <= b64_encoded_max(n));
      q = (uint8_t *)malloc(b64_decoded_max(k));
      assert_int_equal(b64_decode(t, k, q, &len, url), HDW_OK);
      assert_int_equal(len, n);
      assert_memory_equal(q, p, n);
      assert_int_equal(b64_decode(t, k, (uint8_t *)t, &len, url), HDW_OK);
      assert_memory_equal(t, p, n);
      free(p), free(q), free(t);
    }
}

static void test_refused(void **state) {
  (void)state;
  static const struct { const char *text; int url; } row[] = {
      {"Zg", 0}, {"Zg=", 0}, {"Zg===", 0}, {"Z", 0}, {"Z===", 0}, {"=", 0}, {"====", 0}, {"Zh==", 0}, {"Zm9=", 0}, {"Zm9v=", 0}, {"Zg==Zg==", 0},
      {"Zm9-", 0}, {"Zm9_", 0}, {"Zm9*", 0}, {"Zm\xc3\xbc", 0}, {"Zg=x", 0}, {"Z", 1}, {"Zh", 1}, {"Zm9", 1}, {"Zm9+", 1}, {"Zm9/", 1}, {"Zm 9v", 1}, {"Zm9v\n", 1}, {"Zg=", 1}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    uint8_t out[16];
    size_t len = 99;
    if (b64_decode(row[i].text, strlen(row[i].text), out, &len, row[i].url) != HDW_E_SYNTAX) fail_msg("%s accepted", row[i].text);
    assert_int_equal(len, 0);
  }
}

static void test_blanks_in_the_standard_form(void **state) {
  (void)state;
  uint8_t out[32];
  size_t len;
  static const char s[] = " Zm9v\r\nYm\tFy Zg=\n= \n";
  assert_int_equal(b64_decode(s, sizeof s - 1, out, &len, false), HDW_OK);
  assert_int_equal(len, 7);
  assert_memory_equal(out, "foobarf", 7);
  assert_int_equal(b64_decode("Zg==", 4, out, &len, true), HDW_OK);
  assert_int_equal(len, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_RFC4648_vectors),
      cmocka_unit_test(test_every_length_comes_back),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_blanks_in_the_standard_form),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
