/* value_int.h - shared by the value_*.c files, and with stdlib/fp_*.c for unit conversion and case folding. */
#ifndef HDW_VALUE_INT_H
#define HDW_VALUE_INT_H
#include "value.h"

/* Recursion bound of everything that walks nested objects and lists. */
enum { VAL_DEPTH_MAX = 200 };

/* val_equal and val_equivalent, taking one of *steps for each pair of members or items that is compared: HDW_E_FUEL when there are none left.
 * Without steps they stop with HDW_E_LIMIT after some millions. */
hdw_status val_equal_within(arena *a, val x, val y, int64_t *steps, int *out);
hdw_status val_equivalent_within(arena *a, val x, val y, int64_t *steps, bool *out);

/* Iterator over the unescaped bytes of a JSON string. */
typedef struct val_unesc {
  const unsigned char *s, *end;
} val_unesc;
/* The next bytes of the unescaped text into w (room for 4); returns their number, 0 at the end. */
size_t val_unesc_next(val_unesc *u, unsigned char *w);

/* A VALF_ESC string with its escapes resolved; other strings as they are. Malformed escapes become U+FFFD. */
hdw_status val_unescape(arena *a, val v, val *out);
/* True when the unescaped text of v (VALF_ESC) is s. Allocates nothing. */
bool val_esc_equal(val v, const char *s, size_t len);

/* Units of two quantities brought to one: true when both magnitudes are now in the same unit (*x and *y changed).
 * Calendar units convert within {year, month} and within {week .. millisecond}; UCUM codes wk d h min s ms count as their
 * calendar twins. With loose (equivalence), UCUM a and mo also count as year and month. */
bool val_qty_align(const val_quantity *qx, const val_quantity *qy, bool loose, dec *x, dec *y);
/* Magnitude and a canonical unit for hashing: quantities that val_qty_align makes equal give the same. */
void val_qty_canon(const val_quantity *q, dec *value, const char **unit, size_t *unit_len);

/* Simple lower case of one code point: Latin, Greek, Cyrillic, Armenian. Enough for equivalence; stdlib's lower() is complete. */
uint32_t val_fold(uint32_t cp);

#endif
