/* value_int.h - shared by the value_*.c files, and with stdlib/fp_*.c for unit conversion and case folding. */
#ifndef HDW_VALUE_INT_H
#define HDW_VALUE_INT_H
#include "unit.h"
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

/* Magnitudes of two quantities brought to one unit (*x and *y), exact; false when the units do not convert. Calendar units convert within {year, month} and
 * within {week .. millisecond}, which are UCUM's wk .. ms. With loose (equivalence), year and month also count as UCUM's a and mo. */
bool val_qty_align(const val_quantity *qx, const val_quantity *qy, bool loose, dec *x, dec *y);
/* Magnitude of q in another unit; false when there is no conversion. */
bool val_qty_in(const val_quantity *q, const char *to, size_t len, dec *out);
/* Of two units that can be added: -1 when that of p is the finer one (or the same), 1 when that of q is; 0 when they cannot. */
int val_qty_finer(const val_quantity *p, const val_quantity *q);
/* Magnitude and kind of unit for hashing: quantities that val_qty_align makes equal give the same. Returns the length of the text. */
size_t val_qty_canon(const val_quantity *q, dec *value, char unit_text[UNIT_TEXT_MAX]);

/* Equality of n bytes without a call when they are few, as names are. */
static inline bool val_bytes_equal(const char *a, const char *b, size_t n) {
  uint64_t x, y;
  uint32_t v, w;
  if (n > 16) return memcmp(a, b, n) == 0;
  if (n >= 8) {
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    if (x != y) return false;
    memcpy(&x, a + n - 8, 8);
    memcpy(&y, b + n - 8, 8);
    return x == y;
  }
  if (n >= 4) {
    memcpy(&v, a, 4);
    memcpy(&w, b, 4);
    if (v != w) return false;
    memcpy(&v, a + n - 4, 4);
    memcpy(&w, b + n - 4, 4);
    return v == w;
  }
  while (n && a[n - 1] == b[n - 1]) n--;
  return n == 0;
}

/* Simple lower case of one code point: Latin, Greek, Cyrillic, Armenian. Enough for equivalence; stdlib's lower() is complete. */
uint32_t val_fold(uint32_t cp);

#endif
