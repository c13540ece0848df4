/* What a receiver answers: any bytes, and a real acknowledgement with bytes changed, through the parser and the reader of acknowledgements. Its slices can be read to their ends,
 * its code is one that we know or none. */
#include <stdlib.h>
#include <string.h>
#include "hl7.h"
#include "hl7_dict.h"

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }
static void must(bool ok) { if (!ok) abort(); }

/* Every byte is there (the text may be a converted copy of the answer). */
static unsigned touched;
static void touch(hl7_slice s) {
  for (size_t i = 0; i < s.len; i++) touched += (unsigned char)s.p[i];
}

static void read_one(const char *bytes, size_t n) {
  mem m = {get, put, NULL};
  arena a;
  hl7_msg *msg;
  hl7_ack_info k;
  hl7_opts o = {.schema = &hl7_dict_schema};
  char *t = malloc(n + 1);
  memcpy(t, bytes, n);
  arena_init(&a, &m, 1 << 24);
  if (hl7_parse(&a, t, n, &o, &msg, NULL) == HDW_OK && hl7_ack_read(msg, &k) == HDW_OK) {
    static const char *const codes[] = {"", "AA", "AE", "AR", "CA", "CE", "CR"};
    bool known = false;
    for (int i = 0; i < 7; i++) known |= !strcmp(k.code, codes[i]);
    must(known);
    touch(k.control_id), touch(k.text), touch(k.own_id);
    for (uint32_t i = 0; i < k.nerrors && i < 8; i++) touch(k.errors[i].location), touch(k.errors[i].code), touch(k.errors[i].severity), touch(k.errors[i].text);
  }
  arena_free(&a);
  free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char real[] = "MSH|^~\\&|R|R|S|S|20260101||ACK^A01^ACK|77|P|2.5.1\rMSA|AE|42|no|||207^x^HL70357\rERR|PID^1^3|PID^1^3^1|101^Required^HL70357|E|||text\rERR||PID^1^5|102|W\r";
  char text[sizeof real + 64];
  read_one((const char *)data, size);
  memcpy(text, real, sizeof real);
  size_t n = sizeof real - 1;
  for (size_t i = 0; i + 2 < size && i < 90; i += 3) { /* position, what, byte */
    size_t at = data[i] % n;
    if (data[i + 1] & 1) text[at] = (char)data[i + 2];
    else if (data[i + 1] & 2) memmove(text + at, text + at + 1, --n - at);
    else if (n + 1 < sizeof text) memmove(text + at + 1, text + at, n++ - at), text[at] = (char)data[i + 2];
  }
  read_one(text, n);
  return 0;
}
