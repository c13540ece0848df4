/* base64.h - base64 of RFC 4648: the standard alphabet (section 4) and the one for URLs and JWS (section 5).
 *
 * The URL form is written without padding and read with or without it. Reading is strict about what carries data: a character outside
 * the alphabet, a lone sixth of a byte, set bits after the last byte or wrong padding give HDW_E_SYNTAX. The standard form may be broken by
 * ASCII blanks and line ends (FHIR base64Binary, MIME in OBX-5); the URL form may not. */
#ifndef HDW_BASE64_H
#define HDW_BASE64_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "status.h"

/* Bytes that b64_encode(n) writes at most (exactly, in the standard form), and that b64_decode(n) writes at most. */
static inline size_t b64_encoded_max(size_t n) { return n / 3 * 4 + (n % 3 ? 4 : 0); }
static inline size_t b64_decoded_max(size_t n) { return n / 4 * 3 + 3; }

/* Writes the text of n bytes to out (no NUL) and returns its length. The caller keeps n below SIZE_MAX/2. */
size_t b64_encode(const uint8_t *p, size_t n, char *out, bool url);
/* Decodes n characters to out, which holds b64_decoded_max(n) bytes; *len is the number written. HDW_E_SYNTAX: *len is then 0.
 * out may be the place where s starts. */
hdw_status b64_decode(const char *s, size_t n, uint8_t *out, size_t *len, bool url);

#endif
