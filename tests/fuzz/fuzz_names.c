/* Names in certificates of peers. The first byte: bit 0 the rest is a certificate in DER; else names, one after the other: what it is (bits 0-3; bit 7: it belongs to the
 * subject), how long, its bytes; bit 1: the subject alternative names are these bytes as they are instead.
 *
 * Held: what comes out are printable characters, each name ended by a line feed; a name counts exactly when the certificate has it, as a name of its kind and
 * with every byte of it, so "good.example" is not to be had by "good.example\0.evil.example"; who a client is follows from that alone. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include "rig.h"
#include "engine_int.h"
#include "tls.h"

enum { NAMES = 24 };
typedef struct made {
  int type[NAMES];
  const uint8_t *p[NAMES];
  size_t len[NAMES];
  unsigned n;
} made;

static bool printable(const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (p[i] < 0x20 || p[i] > 0x7e) return false;
  return n > 0 && n < TLS_NAME_BYTES;
}

static void add_subject(X509 *x, uint8_t kind, const uint8_t *p, size_t n) {
  static const int types[] = {V_ASN1_UTF8STRING, V_ASN1_PRINTABLESTRING, V_ASN1_T61STRING, V_ASN1_BMPSTRING, V_ASN1_UNIVERSALSTRING, V_ASN1_IA5STRING, V_ASN1_OCTET_STRING};
  static const int fields[] = {NID_commonName, NID_organizationName, NID_pkcs9_emailAddress};
  X509_NAME_add_entry_by_NID(X509_get_subject_name(x), fields[(kind >> 4) % 3], types[kind % 7], p, (int)n, -1, (kind >> 6) & 1 ? -1 : 0);
}

static void add_name(GENERAL_NAMES *g, made *m, uint8_t kind, const uint8_t *p, size_t n) {
  static const int types[] = {GEN_DNS, GEN_URI, GEN_EMAIL, GEN_IPADD};
  int type = types[kind % 4];
  GENERAL_NAME *one = GENERAL_NAME_new();
  ASN1_STRING *s = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  ASN1_STRING_set(s, p, (int)n);
  GENERAL_NAME_set0_value(one, type, s);
  sk_GENERAL_NAME_push(g, one);
  m->type[m->n] = type, m->p[m->n] = p, m->len[m->n++] = n;
}

/* NULL: the bytes are none. */
static X509 *certificate(feed *f, made *m) {
  size_t n;
  uint8_t how = feed_byte(f);
  m->n = 0;
  if (how & 1) {
    const unsigned char *p = f->p;
    return d2i_X509(NULL, &p, (long)f->n);
  }
  X509 *x = X509_new();
  if (how & 2) {
    ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
    ASN1_STRING_set(s, f->p, (int)f->n);
    X509_EXTENSION *e = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, s);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(s);
    return x;
  }
  GENERAL_NAMES *g = GENERAL_NAMES_new();
  while (f->n > 1 && m->n < NAMES) {
    uint8_t kind = feed_byte(f), want = feed_byte(f);
    const uint8_t *p = feed_bytes(f, want >= 250 ? (size_t)want + 30 : want, &n);
    if (kind & 0x80) add_subject(x, kind & 0x7f, p, n);
    else add_name(g, m, kind, p, n);
  }
  X509_add1_ext_i2d(x, NID_subject_alt_name, g, 0, X509V3_ADD_APPEND);
  GENERAL_NAMES_free(g);
  return x;
}

static bool line_is(const char *sans, const char *p, size_t n) {
  for (const char *end; *sans && (end = strchr(sans, '\n')); sans = end + 1)
    if ((size_t)(end - sans) == n && !memcmp(sans, p, n)) return true;
  return false;
}

/* A client known as this name is let in when the certificate has it, and only then. */
static void let_in(const char *sans, const char *name) {
  char rule[TLS_NAME_BYTES + 16], identity[REC_NAME_MAX + 1];
  const char *rules[] = {rule};
  eng_listener l = {0};
  config_listener_opts o = {0};
  snprintf(rule, sizeof rule, "ann=%s", name);
  l.o = &o;
  o.clients.v = rules, o.clients.n = 1;
  bool in = eng_auth_peer(&l, sans, identity);
  demand(in == line_is(sans, name, strlen(name)) && !strcmp(identity, in ? "ann" : ""));
}

static void look(const X509 *x, const made *m) {
  char san[TLS_NAME_BYTES], subject[TLS_NAME_BYTES], sans[TLS_NAMES_BYTES];
  tls_names_of(x, san, subject, sans);
  size_t n = strlen(sans), room = 0;
  demand(n < TLS_NAMES_BYTES && (!n || sans[n - 1] == '\n') && (!subject[0] || printable((const uint8_t *)subject, strlen(subject))));
  demand(!san[0] || (printable((const uint8_t *)san, strlen(san)) && line_is(sans, san, strlen(san))));
  const char *first = NULL;
  for (unsigned i = 0; i < m->n; i++) {
    bool name = m->type[i] != GEN_IPADD && printable(m->p[i], m->len[i]);
    if (name && !first) first = (const char *)m->p[i], demand(strlen(san) == m->len[i] && !memcmp(san, first, m->len[i]));
    if (name && room + m->len[i] + 2 <= TLS_NAMES_BYTES) room += m->len[i] + 1, demand(line_is(sans, (const char *)m->p[i], m->len[i]));
  }
  demand(!m->n || (n == room && (first || !san[0])));
  for (const char *p = sans, *end; *p; p = end + 1) {
    char one[TLS_NAME_BYTES];
    end = strchr(p, '\n');
    demand(printable((const uint8_t *)p, (size_t)(end - p)));
    snprintf(one, sizeof one, "%.*s", (int)(end - p), p);
    let_in(sans, one);
  }
  let_in(sans, "good.example");
  demand(!ERR_peek_error());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  feed f = {data, size};
  made m;
  if (!size || size > 16384) return 0;
  X509 *x = certificate(&f, &m);
  ERR_clear_error();
  if (x) look(x, &m);
  X509_free(x);
  return 0;
}
