/* charset.h - the character sets of HL7 table 0211 that this version converts, to and from UTF-8.
 *
 * Every set here is a superset of ASCII in which the bytes 0x00-0x7F never occur inside a longer sequence, so framing and splitting at
 * delimiters may work on bytes before anything is decoded (H-38). The multi-byte sets of East Asia are known by name and refused. */
#ifndef HDW_CHARSET_H
#define HDW_CHARSET_H
#include "arena.h"
#include "status.h"
#include <stdbool.h>
#include <stddef.h>

typedef enum charset_id {
  CHARSET_NONE = 0, /* not declared */
  CHARSET_ASCII,
  CHARSET_UTF8,
  CHARSET_8859_1,
  CHARSET_8859_2,
  CHARSET_8859_3,
  CHARSET_8859_4,
  CHARSET_8859_5,
  CHARSET_8859_6,
  CHARSET_8859_7,
  CHARSET_8859_8,
  CHARSET_8859_9,
  CHARSET_8859_10,
  CHARSET_8859_11,
  CHARSET_8859_13,
  CHARSET_8859_14,
  CHARSET_8859_15,
  CHARSET_1252,
  CHARSET_AUTO,  /* UTF-8 when the text is valid UTF-8, else Windows-1252 */
  CHARSET_UTF16, /* only by byte order mark, see charset_bom */
  CHARSET_UTF32,
  CHARSET_JIS, /* from here on: known and not converted. ISO IR14, IR87, IR159 (ISO-2022-JP) */
  CHARSET_GB18030,
  CHARSET_KSX1001,
  CHARSET_CNS11643,
  CHARSET_BIG5,
  CHARSET_UNKNOWN /* a name that nobody knows */
} charset_id;

/* A name of table 0211 or one of its spellings in the field ("8859/1", "ISO-8859-1", "UTF8", "UNICODE UTF-8"), any case. Empty:
 * CHARSET_NONE. */
charset_id charset_find(const char *name, size_t len);
/* The name that table 0211 has for it; never NULL. */
const char *charset_name(charset_id id);
/* True when charset_to_utf8 and charset_from_utf8 can convert it. */
bool charset_supported(charset_id id);
/* "GB 18030-2000 is not converted by this version", for a set that is not; never NULL. */
const char *charset_refusal(charset_id id);

/* Length of the longest prefix that is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
size_t charset_utf8_prefix(const char *s, size_t len);
/* True when no byte has its high bit set. */
bool charset_is_ascii(const char *s, size_t len);

/* Converts to UTF-8 into a. Bytes that are invalid in the set become U+FFFD and are counted in *bad (may be NULL). When nothing has to
 * change, *out is s itself. HDW_E_UNSUPPORTED for a set that is not converted, HDW_E_NOMEM, HDW_E_LIMIT over 2^31 bytes. */
hdw_status charset_to_utf8(arena *a, charset_id id, const char *s, size_t len, const char **out, size_t *out_len, size_t *bad);
/* Converts well-formed UTF-8 to the set. HDW_E_CHARSET at the first character that it lacks (*at: byte offset, may be NULL): never a '?'.
 */
hdw_status charset_from_utf8(arena *a, charset_id id, const char *s, size_t len, const char **out, size_t *out_len, size_t *at);

/* Byte order mark at the start: CHARSET_UTF8, CHARSET_UTF16, CHARSET_UTF32 or CHARSET_NONE; *mark_len its bytes. */
charset_id charset_bom(const char *s, size_t len, size_t *mark_len);
/* UTF-16 or UTF-32 text that begins with its mark -> UTF-8 without a mark; *bad counts replaced units. */
hdw_status charset_wide_to_utf8(arena *a, charset_id id, const char *s, size_t len, const char **out, size_t *out_len, size_t *bad);

#endif
