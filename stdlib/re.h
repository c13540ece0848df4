/* re.h - regular expressions in linear time (RE2 behind a C interface).
 *
 * Syntax is RE2's: Perl-like without back-references and look-around. Dot matches line ends, as FHIRPath wants. A pattern is compiled with
 * a bound on its program; matching takes time in proportion to the text. Both fail with a status, never with an exception. */
#ifndef HDW_RE_H
#define HDW_RE_H
#include <stdbool.h>
#include <stddef.h>
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Patterns longer than this and programs larger than that are refused (HDW_E_LIMIT). Groups beyond RE_GROUPS are not reported. */
enum { RE_PATTERN_MAX = 8192, RE_PROGRAM_MAX_BYTES = 1 << 20, RE_GROUPS = 10 };

typedef struct re re;

/* Compiled patterns between calls: at most RE_KEPT of at most RE_KEPT_BYTES each, a new one takes the place of an older one. So patterns that stand in a
 * program are compiled once, and its memory is bounded by RE_KEPT * RE_PROGRAM_MAX_BYTES whatever patterns the data bring. For one thread. */
enum { RE_KEPT = 32, RE_KEPT_BYTES = 512 };
typedef struct re_cache re_cache;
/* NULL when there is no memory: nothing is kept then. */
re_cache *re_cache_new(void);
void re_cache_free(re_cache *c);

/* HDW_E_SYNTAX for a malformed pattern, HDW_E_LIMIT, HDW_E_NOMEM. *out is given back with re_done before the next re_make. cache may be NULL. */
hdw_status re_make(re_cache *cache, const char *pattern, size_t len, re **out);
/* Frees r unless the cache keeps it. */
void re_done(re *r);

/* A match and its groups as offsets; -1 for groups that took no part. at[0], at[1] is the whole match. */
typedef struct re_match {
  long at[2 * RE_GROUPS];
} re_match;

/* Searches text from offset from on. *found. m may be NULL. HDW_E_LIMIT when the matcher runs out of its memory. */
hdw_status re_find(const re *r, const char *text, size_t len, size_t from, bool full, bool *found, re_match *m);
/* Number of the group with that name, -1 when there is none. */
int re_group(const re *r, const char *name, size_t len);

#ifdef __cplusplus
}
#endif
#endif
