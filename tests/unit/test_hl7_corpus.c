/* Every file of the corpus: split, parse, read, to JSON and back to the same bytes; and an acknowledgement that can be read. */
#include "hl7_support.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#define OWN "tests/conformance/hl7/corpus/"

typedef struct tally {
  unsigned files, messages, refused;
  const char *expected; /* lines "file: SEG-field at byte: text" of what must be refused; NULL = not checked */
} tally;

/* What the bytes become when line ends are normalised by H-32 and H-33, written without looking at the parser: lines, and those without a
 * segment name stay behind the segment before them. */
static size_t normal_form(const char *in, size_t len, char fs, char *out) {
  size_t o = 0, blank = 0;
  while (len && in[len - 1] && strchr("\n\x1C", in[len - 1])) len--; /* the end of the file is a line end, whatever it is */
  for (size_t n = len; n && in[n - 1] && strchr("\r\n\x1C", in[n - 1]); n--)
    if (in[n - 1] == '\r') len = n - 1;
  char term = memchr(in, '\r', len) ? '\r' : '\n';
  for (size_t i = 0; i < len;) {
    size_t e = i;
    while (e < len && in[e] != term) e++;
    size_t next = e + 1;
    while (term == '\r' && next < len && in[next] == '\n') next++;
    const char *p = in + i;
    size_t n = e - i;
    bool seg = n >= 3 && hl7_name(p, 3) && (n == 3 || p[3] == fs), rest = false;
    for (size_t k = i; k < len && !rest; k++) rest = !strchr(" \t\r\n\x0B\x1C", in[k]) || in[k] == 0;
    if (!rest) break;
    if (n == 0) blank++;
    else {
      if (o) out[o++] = '\r';
      if (!seg)
        for (; blank; blank--) out[o++] = '\r';
      blank = 0;
      memcpy(out + o, p, n);
      o += n;
    }
    i = next;
  }
  while (o && out[o - 1] == 0x1C) o--;
  out[o++] = '\r';
  return o;
}

static void one_message(rig *r, const char *file, const char *p, size_t n, tally *t) {
  hl7_msg *m;
  hl7_problem why = {0};
  hdw_status s = hl7_parse(&r->a, p, n, NULL, &m, &why);
  hl7_ack_opts ao = {.code = "AA", .control_id = "X", .now = {.prec = TM_DAY}};
  hl7_slice ack, bytes, back;
  assert_int_equal(hl7_ack(&r->a, p, n, &ao, &ack), HDW_OK);
  hl7_msg *am;
  hl7_ack_info info;
  assert_int_equal(hl7_parse(&r->a, ack.p, ack.len, NULL, &am, NULL), HDW_OK);
  assert_int_equal(hl7_ack_read(am, &info), HDW_OK);
  assert_int_equal(strlen(info.code), 2);
  if (s) {
    assert_true(why.text && why.text[0] && why.offset <= n);
    t->refused++;
    if (t->expected) {
      char line[600];
      snprintf(line, sizeof line, "%s: %s-%u at %u: %s\n", strstr(file, OWN) + strlen(OWN), why.seg, why.field, why.offset, why.text);
      if (!strstr(t->expected, line)) fail_msg("not expected: %s", line);
    }
    return;
  }
  t->messages++;
  assert_int_equal(hl7_bytes(&r->a, m, &bytes), HDW_OK);
  char *want = (char *)malloc(n + 2);
  size_t lead = 0;
  while (lead < n && strchr(" \t\r\n\x0B\xEF\xBB\xBF", p[lead])) lead++;
  size_t wn = normal_form(p + lead, n - lead, m->d.field, want);
  if (bytes.len != wn || memcmp(bytes.p, want, wn)) fail_msg("%s: bytes differ from the normal form", file);
  free(want);
  val doc, whole;
  assert_int_equal(hl7_to_json(&r->cx, m, &doc), HDW_OK);
  s = hl7_from_json(&r->cx, doc, &back);
  if (s || back.len != bytes.len || memcmp(back.p, bytes.p, back.len))
    fail_msg("%s: from-json(to-json(m)) differs: %s %s", file, hdw_status_name(s), r->cx.err.text);
  assert_int_equal(hl7_value(&r->a, m, &whole), HDW_OK);
  for (uint32_t k = 0; k < m->nsegs; k++)
    for (uint32_t f = 1; f <= hl7_field_count(m, k); f++) {
      hl7_path q = {.seg = m->segs[k].name, .rep = -1, .field = (uint16_t)f};
      val v;
      assert_int_equal(hl7_text_in(&r->cx, m, k, &q, &v), HDW_OK);
      if (v.tag == VAL_STR) assert_int_equal(charset_utf8_prefix(v.u.s, v.len), v.len);
    }
}

static void one_file(rig *r, const char *path, tally *t) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  fseek(f, 0, SEEK_END);
  size_t n = (size_t)ftell(f);
  rewind(f);
  char *in = (char *)malloc(n ? n : 1);
  assert_int_equal(fread(in, 1, n, f), n);
  fclose(f);
  hl7_batch *b;
  hl7_problem why = {0};
  t->files++;
  if (hl7_split(&r->a, in, n, &b, &why)) {
    assert_true(why.text && why.text[0]);
    one_message(r, path, in, n, t);
  } else {
    for (uint32_t i = 0; i < b->nparts; i++)
      if (b->parts[i].kind == HL7_PART_MESSAGE) one_message(r, path, in + b->parts[i].off, b->parts[i].len, t);
  }
  arena_reset(&r->a);
  free(in);
}

static void walk(rig *r, const char *dir, tally *t) {
  DIR *d = opendir(dir);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));) {
    char path[1024];
    struct stat st;
    if (e->d_name[0] == '.' || strstr(e->d_name, ".md") || strstr(e->d_name, ".tsv") || strstr(e->d_name, "LICENSE")) continue;
    snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    if (stat(path, &st)) continue;
    if (S_ISDIR(st.st_mode)) walk(r, path, t);
    else one_file(r, path, t);
  }
  closedir(d);
}

static void test_own_corpus(void **state) {
  tally t = {0};
  char *expected = test_read_file("tests/conformance/hl7/refused.txt", NULL);
  t.expected = expected;
  walk(*state, HDW_SOURCE_DIR "/tests/conformance/hl7/corpus", &t);
  print_message("%u files, %u messages, %u refused\n", t.files, t.messages, t.refused);
  unsigned want = 0;
  for (const char *c = expected; *c; c++) want += *c == '\n';
  assert_true(t.files >= 300);
  assert_int_equal(t.refused, want);
  free(expected);
}

/* The larger collection, where it is at hand. */
static void test_shared_corpus(void **state) {
  tally t = {0};
  const char *dir = getenv("HDW_HL7_CORPUS");
  walk(*state, dir ? dir : HDW_SOURCE_DIR "/../shared/corpus/hl7", &t);
  print_message("%u files, %u messages, %u refused\n", t.files, t.messages, t.refused);
  if (!t.files) skip();
  assert_true(t.refused * 30 <= t.files); /* literals with doubled escape characters, and fuzzers' finds */
}

int main(void) {
  const struct CMUnitTest tests[] = {T(test_own_corpus), T(test_shared_corpus)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
