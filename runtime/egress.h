/* egress.h - which addresses may be reached: one table for every outgoing connection, and lists of networks for listeners.
 *
 * Denied unless granted: loopback, private, shared, link-local (cloud metadata), multicast, reserved and documentation networks, and every form of
 * IPv6 that carries an IPv4 address (mapped, translated, 6to4, Teredo): such a form is judged twice, as itself and as the address it carries. The addresses at which clouds
 * hand out credentials are granted only by an entry of exactly that address.
 *
 * Every outgoing connection of the daemon goes through egress_pick (FHIR, REST, MLLP, traces), with all addresses that the name has, each time it is resolved; what connects
 * gets the addresses that it chose and no name. */
#ifndef HDW_EGRESS_H
#define HDW_EGRESS_H
#include <stdbool.h>
#include "io.h"

typedef struct net_cidr {
  uint8_t family;      /* IO_ADDR_IP4 or IO_ADDR_IP6 */
  uint8_t bits;
  uint8_t ip[16];
} net_cidr;
/* "10.0.0.0/8", "fd00::/8", "10.1.2.3" (= /32). Bits after the prefix must be 0. HDW_E_SYNTAX. */
hdw_status net_cidr_parse(const char *text, net_cidr *out);
bool net_cidr_has(const net_cidr *c, const io_addr *a);

typedef struct egress_policy {
  const net_cidr *grant; /* networks that a connection was granted although the table denies them */
  unsigned n_grant;
  bool private_networks; /* private, shared and loopback addresses need no grant */
} egress_policy;
/* policy NULL: no grants. Unix sockets and unknown families: no. */
bool egress_allowed(const egress_policy *policy, const io_addr *a);
/* The addresses that may be connected to, into out: all of them, or none when one of them is forbidden (a name that leads to a forbidden address as well is not trusted with
 * the others). *rule (may be NULL): the name of what forbids it. */
unsigned egress_pick(const egress_policy *policy, const io_addr *addrs, unsigned n, io_addr *out, unsigned cap, const char **rule);
/* Before anything is resolved: whether the host is an address by itself, or a name that always means one (localhost). host without brackets. */
bool egress_host(const char *host, uint16_t port, io_addr *out);
/* The name of the rule that denies the address without grants ("loopback", "private", ...), or NULL when none does. */
const char *egress_rule(const io_addr *a);
#endif
