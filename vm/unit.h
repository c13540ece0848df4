/* unit.h - units of measure by their UCUM codes: what they are made of, conversion and products, all exact.
 *
 * A code is a term of units with prefixes, exponents, '.', '/' and brackets; {annotations} do not count. The units themselves are data
 * (grammar/data/ucum). A factor to base units is num * 10^exp / den. Nothing allocates; a code that is not understood, or whose factor does not fit 128 bits,
 * is no unit and converts to itself only.
 *
 * Calendar words ("year", "month": FHIRPath's) are units of their own: a month has no length. "week" .. "millisecond" are the same as wk .. ms. */
#ifndef HDW_UNIT_H
#define HDW_UNIT_H
#include <stdbool.h>
#include "decimal.h"

enum { UNIT_BASES = 9, UNIT_TEXT_MAX = 200 };

typedef struct unit_def {
  dec_coef num, den;         /* > 0, without common factors */
  int32_t exp;
  int8_t dim[UNIT_BASES];    /* m s g rad K C cd mol, calendar month */
  int8_t arbitrary_exp;
  uint16_t arbitrary;        /* which arbitrary unit ([iU] ...), 0 = none */
  dec offset;                /* of temperatures: base = (value + offset) * factor */
  bool has_offset;
} unit_def;

/* months: year and month count as UCUM a and mo (equivalence). */
bool unit_parse(const char *code, size_t len, bool months, unit_def *out);
bool unit_same_kind(const unit_def *x, const unit_def *y);
/* Factors a and b such that x * a and y * b compare as the quantities x [u] and y [v] do, offsets aside. false when they do not fit. */
bool unit_ratio(const unit_def *u, const unit_def *v, dec *a, dec *b);
/* Dimensions as text for hashing, at most UNIT_TEXT_MAX bytes; "1" for a number. Returns the length. */
size_t unit_signature(const unit_def *u, char out[UNIT_TEXT_MAX]);
/* The code of x times (divide: by) y, equal units put together: cm2 / cm = cm. Its length, or 0 when there is none (too long, not understood). */
size_t unit_product(const char *x, size_t xlen, const char *y, size_t ylen, bool divide, char out[UNIT_TEXT_MAX]);

#endif
