/* decimal.h - exact decimals: a 128-bit coefficient and a scale. Clinical decimals never pass through a double.
 *
 * value = coef * 10^-scale, 0 <= scale <= DEC_MAX_SCALE, |coef| < 10^38. 1.00 is {100, 2} and stays so: equality ignores
 * trailing zeros, printing keeps them. Operations that overflow return HDW_E_RANGE (FHIRPath: empty). */
#ifndef HDW_DECIMAL_H
#define HDW_DECIMAL_H
#include <stddef.h>
#include <stdint.h>
#include "status.h"

enum { DEC_MAX_SCALE = 28, DEC_TEXT_MAX = 48 };
typedef __int128 dec_coef;
typedef struct dec {
  dec_coef coef;
  int32_t scale;
} dec;

/* [+-]?digits[.digits][(e|E)[+-]digits]; HDW_E_SYNTAX for anything else, HDW_E_RANGE if digits do not fit. */
hdw_status dec_parse(const char *s, size_t len, dec *out);
/* Writes at most DEC_TEXT_MAX bytes, no exponent, no NUL; returns the length. */
size_t dec_format(const dec *d, char *out);
dec dec_from_i64(int64_t v);
/* HDW_E_RANGE when it is no whole number or does not fit. */
hdw_status dec_to_i64(const dec *d, int64_t *out);
int dec_cmp(const dec *a, const dec *b);                       /* -1, 0, 1 */
hdw_status dec_add(const dec *a, const dec *b, dec *out);      /* scale = max of both */
hdw_status dec_sub(const dec *a, const dec *b, dec *out);
hdw_status dec_mul(const dec *a, const dec *b, dec *out);      /* scale = sum, reduced when it does not fit */
/* Quotient: exact when it terminates within DEC_MAX_SCALE, else rounded half up there. Divisor 0: HDW_E_RANGE. */
hdw_status dec_div(const dec *a, const dec *b, dec *out);
hdw_status dec_idiv(const dec *a, const dec *b, dec *out);     /* truncated toward zero */
hdw_status dec_mod(const dec *a, const dec *b, dec *out);
hdw_status dec_round(const dec *a, int32_t digits, dec *out);  /* half up (away from zero) */
dec dec_trunc(const dec *a);
dec dec_floor(const dec *a);
dec dec_ceil(const dec *a);
dec dec_neg(const dec *a);
/* Without trailing zeros of the fraction. */
dec dec_strip(const dec *a);
/* Digits after the point without trailing zeros, for equivalence. */
int32_t dec_precision(const dec *a);

#endif
