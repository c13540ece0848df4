/* egress.c - the table of networks that are not reached without a grant. Pure; see egress.h. */
#include "egress.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits) {
  unsigned whole = bits / 8, rest = bits % 8;
  return memcmp(a, b, whole) == 0 && (!rest || (uint8_t)((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

hdw_status net_cidr_parse(const char *text, net_cidr *out) {
  char host[64], addr[72];
  const char *slash = strchr(text, '/');
  size_t n = slash ? (size_t)(slash - text) : strlen(text);
  memset(out, 0, sizeof *out);
  if (!n || n >= sizeof host || memchr(text, '[', n)) return HDW_E_SYNTAX;
  memcpy(host, text, n);
  host[n] = 0;
  bool six = strchr(host, ':') != NULL;
  size_t k = 0;
  if (six) addr[k++] = '[';
  memcpy(addr + k, host, n);
  k += n;
  if (six) addr[k++] = ']';
  memcpy(addr + k, ":1", 3);
  io_addr a;
  if (io_addr_parse(addr, &a)) return HDW_E_SYNTAX;
  unsigned max = a.family == IO_ADDR_IP4 ? 32 : 128, bits = max;
  if (slash) {
    const char *p = slash + 1;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1])) return HDW_E_SYNTAX;
    for (bits = 0; *p >= '0' && *p <= '9' && bits <= max; p++) bits = bits * 10 + (unsigned)(*p - '0');
    if (*p || bits > max) return HDW_E_SYNTAX;
  }
  for (unsigned i = bits; i < max; i++)
    if (a.ip[i / 8] & (0x80u >> (i % 8))) return HDW_E_SYNTAX;
  out->family = a.family;
  out->bits = (uint8_t)bits;
  memcpy(out->ip, a.ip, sizeof out->ip);
  return HDW_OK;
}

bool net_cidr_has(const net_cidr *c, const io_addr *a) { return c->family == a->family && prefix_equal(c->ip, a->ip, c->bits); }

typedef struct net_rule {
  uint8_t bits, ip[16];
  const char *name;
} net_rule;

/* Where clouds hand out credentials, names and keys to whoever asks: AWS (also for tasks and in IPv6), Azure's host, Google's IPv6, Alibaba, Oracle. */
static const net_rule metadata4[] = {
    {32, {169, 254, 169, 254}, "a cloud's metadata"}, {32, {169, 254, 170, 2}, "a cloud's metadata"}, {32, {169, 254, 170, 23}, "a cloud's metadata"}, {32, {168, 63, 129, 16}, "a cloud's metadata"},
    {32, {100, 100, 100, 200}, "a cloud's metadata"}, {32, {192, 0, 0, 192}, "a cloud's metadata"}};
static const net_rule metadata6[] = {
    {128, {0xfd, 0, 0x0e, 0xc2, [14] = 2, 0x54}, "a cloud's metadata"}, {128, {0xfd, 0, 0x0e, 0xc2, [15] = 0x23}, "a cloud's metadata"}, {128, {0xfd, 0x20, 0, 0xce, [14] = 2, 0x54}, "a cloud's metadata"}};

/* RFC 6890 and successors: special-purpose registries, plus multicast. */
static const net_rule deny4[] = {
    {8, {0}, "this network"},           {8, {10}, "private"},
    {10, {100, 64}, "shared"},          {8, {127}, "loopback"},
    {16, {169, 254}, "link-local"},     {12, {172, 16}, "private"},
    {24, {192, 0, 0}, "reserved"},      {24, {192, 0, 2}, "documentation"},
    {24, {192, 88, 99}, "reserved"},    {16, {192, 168}, "private"},
    {15, {198, 18}, "benchmark"},       {24, {198, 51, 100}, "documentation"},
    {24, {203, 0, 113}, "documentation"},{4, {224}, "multicast"},
    {32, {255, 255, 255, 255}, "broadcast"}, {4, {240}, "reserved"},
};
static const net_rule deny6[] = {
    {128, {0}, "unspecified"},
    {128, {[15] = 1}, "loopback"},
    {96, {[10] = 0xff, 0xff}, "IPv4-mapped"},
    {96, {0}, "IPv4-compatible"},
    {96, {0, 0x64, 0xff, 0x9b}, "translated"},
    {48, {0, 0x64, 0xff, 0x9b, 0, 1}, "translated"},
    {64, {1}, "discard"},
    {32, {0x20, 1, 0, 0}, "Teredo"},
    {23, {0x20, 1}, "reserved"},
    {32, {0x20, 1, 0x0d, 0xb8}, "documentation"},
    {20, {0x3f, 0xff}, "documentation"},
    {16, {0x20, 2}, "6to4"},
    {16, {0x5f}, "reserved"},
    {7, {0xfc}, "private"},
    {10, {0xfe, 0x80}, "link-local"},
    {10, {0xfe, 0xc0}, "site-local"},
    {8, {0xff}, "multicast"},
};

static const char *find(const net_rule *t, size_t n, const uint8_t *ip) {
  for (size_t i = 0; i < n; i++)
    if (prefix_equal(t[i].ip, ip, t[i].bits)) return t[i].name;
  return NULL;
}

static const char *metadata_rule(const io_addr *a) {
  if (a->family == IO_ADDR_IP4) return find(metadata4, sizeof metadata4 / sizeof *metadata4, a->ip);
  return a->family == IO_ADDR_IP6 ? find(metadata6, sizeof metadata6 / sizeof *metadata6, a->ip) : NULL;
}

const char *egress_rule(const io_addr *a) {
  const char *m = metadata_rule(a);
  if (m) return m;
  if (a->family == IO_ADDR_IP4) return find(deny4, sizeof deny4 / sizeof *deny4, a->ip);
  if (a->family == IO_ADDR_IP6) {
    const char *r = find(deny6, sizeof deny6 / sizeof *deny6, a->ip);
    if (r) return r;
    /* Today's IPv6 unicast is 2000::/3; what is handed out tomorrow is denied until this table knows it. */
    return (a->ip[0] & 0xe0) == 0x20 ? NULL : "unassigned";
  }
  return "not an internet address";
}

/* The IPv4 address that an IPv6 address carries. */
static bool carried(const io_addr *a, io_addr *v4) {
  static const uint8_t mapped[12] = {[10] = 0xff, 0xff}, compatible[12] = {0}, nat64[12] = {0, 0x64, 0xff, 0x9b}, local64[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
  memset(v4, 0, sizeof *v4);
  v4->family = IO_ADDR_IP4;
  v4->port = a->port;
  if (!memcmp(a->ip, mapped, 12) || !memcmp(a->ip, compatible, 12) || !memcmp(a->ip, nat64, 12) || !memcmp(a->ip, local64, 6)) memcpy(v4->ip, a->ip + 12, 4);
  else if (a->ip[0] == 0x20 && a->ip[1] == 2) memcpy(v4->ip, a->ip + 2, 4);
  else if (a->ip[0] == 0x20 && a->ip[1] == 1 && !a->ip[2] && !a->ip[3]) /* Teredo: the client's address, inverted */
    for (int i = 0; i < 4; i++) v4->ip[i] = (uint8_t)~a->ip[12 + i];
  else return false;
  return true;
}

static bool granted(const egress_policy *p, const io_addr *a) {
  const char *rule = egress_rule(a);
  bool exactly = metadata_rule(a) != NULL;
  if (p && p->private_networks && !exactly && rule && (!strcmp(rule, "private") || !strcmp(rule, "shared") || !strcmp(rule, "loopback"))) return true;
  for (unsigned i = 0; p && i < p->n_grant; i++)
    if (net_cidr_has(&p->grant[i], a) && (!exactly || p->grant[i].bits == (a->family == IO_ADDR_IP4 ? 32 : 128))) return true;
  return false;
}

bool egress_allowed(const egress_policy *policy, const io_addr *a) {
  io_addr v4;
  if (a->family != IO_ADDR_IP4 && a->family != IO_ADDR_IP6) return false;
  if (egress_rule(a) && !granted(policy, a)) return false;
  /* ::1 and :: look like compatible forms; a grant of exactly them is meant as such. */
  if (a->family == IO_ADDR_IP6 && carried(a, &v4) && v4.ip[0]) return !egress_rule(&v4) || granted(policy, &v4);
  return true;
}

unsigned egress_pick(const egress_policy *policy, const io_addr *addrs, unsigned n, io_addr *out, unsigned cap, const char **rule) {
  for (unsigned i = 0; i < n; i++)
    if (!egress_allowed(policy, &addrs[i])) {
      io_addr v4;
      const char *why = egress_rule(&addrs[i]);
      if (!why && carried(&addrs[i], &v4)) why = egress_rule(&v4);
      if (rule) *rule = why ? why : "not allowed";
      return 0;
    }
  for (unsigned i = 0; i < n && i < cap; i++) out[i] = addrs[i];
  return n < cap ? n : cap;
}

bool egress_host(const char *host, uint16_t port, io_addr *out) {
  char text[300];
  size_t n = strlen(host);
  if (n && host[n - 1] == '.') n--;
  if (!n || n > 250) return false;
  bool local = (n == 9 && !strncasecmp(host, "localhost", 9)) || (n > 10 && !strncasecmp(host + n - 10, ".localhost", 10));
  snprintf(text, sizeof text, strchr(host, ':') ? "[%.*s]:%u" : "%.*s:%u", local ? 9 : (int)n, local ? "127.0.0.1" : host, port);
  return io_addr_parse(text, out) == HDW_OK;
}
