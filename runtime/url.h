/* url.h - URLs of outgoing requests: one parser (curl's URL API) behind one strict gate.
 *
 * What a reader and a server could take differently is refused: user names, fragments, backslashes, white space, control and 8-bit characters,
 * percent signs in the host, other schemes. Hosts come back in lower case, without a trailing dot, numeric forms (0x7f.1, 2130706433) as addresses. */
#ifndef HDW_URL_H
#define HDW_URL_H
#include <stdbool.h>
#include "arena.h"
#include "io.h"

enum { URL_MAX_BYTES = 16 << 10 };

typedef struct url {
  bool https;
  const char *host;      /* name or address, no brackets, NUL-terminated */
  uint16_t port;         /* written or the scheme's */
  bool is_addr;          /* host is an address: addr is set (port too) and must be judged by the egress policy */
  io_addr addr;
  const char *target;    /* path and query as written (escapes kept), begins with '/', never empty */
  const char *path;      /* the path alone, escapes kept */
  const char *query;     /* after '?', NULL when there is none */
} url;

/* An absolute http or https URL. Texts are in the arena. HDW_E_SYNTAX, HDW_E_LIMIT (too long), HDW_E_NOMEM. */
hdw_status url_parse(arena *a, const char *text, size_t len, url *out);
/* A reference (absolute, //host, /path, ?query or relative) against base: RFC 3986, section 5. The result went through the same gate. */
hdw_status url_resolve(arena *a, const url *base, const char *ref, size_t len, url *out);
/* Same scheme, host and port: credentials may go along. */
bool url_same_origin(const url *a, const url *b);
/* The URL as text, NUL-terminated; the port only when it is not the scheme's. NULL: no memory. */
char *url_text(arena *a, const url *u);
/* Joins a base URL with path segments and parameters, each percent-encoded on its own, so that no value can change host, path depth or parameters (PROTOCOLS F-2):
 * "http://h/fhir/" + {"Patient", "a/b"} + {"name": "x&y"} = "http://h/fhir/Patient/a%2Fb?name=x%26y". Segments "." and ".." and empty ones are refused: HDW_E_DATA. */
typedef struct url_param {
  const char *name, *value;
  size_t name_len, value_len;
} url_param;
typedef struct url_segment {
  const char *p;
  size_t len;
} url_segment;
hdw_status url_build(arena *a, const url *base, const url_segment *seg, size_t nseg, const url_param *par, size_t npar, url *out);
/* Percent-encodes everything but unreserved characters. */
void url_escape(buf *b, const char *p, size_t len);

#endif
