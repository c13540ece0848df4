/* Units that can be compared without a unit library: calendar units and common metric multiples of UCUM; and case folding. */
#include "value.h"
#include "value_int.h"

/* A unit as factor times a base: value in base = value * num * 10^-scale. Calendar months and the definite durations are
 * different bases; UCUM a and mo (mean Gregorian) are bases of their own, near to years and months only for equivalence. */
typedef struct unit_row {
  const char *unit;
  const char *base;
  int64_t num;
  int32_t scale;
} unit_row;

static const unit_row UNITS[] = {
    {"year", "month", 12, 0}, {"month", "month", 1, 0},
    {"week", "ms", 604800000, 0}, {"day", "ms", 86400000, 0}, {"hour", "ms", 3600000, 0}, {"minute", "ms", 60000, 0},
    {"second", "ms", 1000, 0}, {"millisecond", "ms", 1, 0},
    {"wk", "ms", 604800000, 0}, {"d", "ms", 86400000, 0}, {"h", "ms", 3600000, 0}, {"min", "ms", 60000, 0},
    {"s", "ms", 1000, 0}, {"ms", "ms", 1, 0}, {"us", "ms", 1, 3},
    {"a", "mo_ucum", 12, 0}, {"mo", "mo_ucum", 1, 0},
    {"kg", "g", 1000, 0}, {"g", "g", 1, 0}, {"dg", "g", 1, 1}, {"mg", "g", 1, 3}, {"ug", "g", 1, 6}, {"ng", "g", 1, 9}, {"pg", "g", 1, 12},
    {"km", "m", 1000, 0}, {"m", "m", 1, 0}, {"dm", "m", 1, 1}, {"cm", "m", 1, 2}, {"mm", "m", 1, 3}, {"um", "m", 1, 6}, {"nm", "m", 1, 9},
    {"[in_i]", "m", 254, 4}, {"[ft_i]", "m", 3048, 4},
    {"L", "L", 1, 0}, {"l", "L", 1, 0}, {"dL", "L", 1, 1}, {"dl", "L", 1, 1}, {"cL", "L", 1, 2}, {"mL", "L", 1, 3}, {"ml", "L", 1, 3},
    {"uL", "L", 1, 6}, {"ul", "L", 1, 6}, {"fL", "L", 1, 15}, {"fl", "L", 1, 15},
    {"mol", "mol", 1, 0}, {"mmol", "mol", 1, 3}, {"umol", "mol", 1, 6}, {"nmol", "mol", 1, 9}, {"pmol", "mol", 1, 12},
    {"[lb_av]", "g", 45359237, 5}, {"[oz_av]", "g", 28349523125, 9},
};

static const unit_row *unit_find(const char *s, size_t n) {
  for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
    if (strlen(UNITS[i].unit) == n && memcmp(UNITS[i].unit, s, n) == 0) return &UNITS[i];
  return NULL;
}

static bool to_base(const val_quantity *q, const unit_row *u, dec *out) {
  dec f = {u->num, u->scale};
  dec v = dec_strip(&q->value);
  if (v.scale + f.scale > DEC_MAX_SCALE) return false; /* would round */
  return dec_mul(&v, &f, out) == HDW_OK;
}

static const char *base_of(const unit_row *u, bool loose) {
  return loose && strcmp(u->base, "mo_ucum") == 0 ? "month" : u->base;
}

bool val_qty_align(const val_quantity *qx, const val_quantity *qy, bool loose, dec *x, dec *y) {
  *x = qx->value;
  *y = qy->value;
  if (qx->unit_len == qy->unit_len && memcmp(qx->unit, qy->unit, qx->unit_len) == 0) return true;
  const unit_row *ux = unit_find(qx->unit, qx->unit_len), *uy = unit_find(qy->unit, qy->unit_len);
  if (!ux || !uy || strcmp(base_of(ux, loose), base_of(uy, loose)) != 0) return false;
  return to_base(qx, ux, x) && to_base(qy, uy, y);
}

void val_qty_canon(const val_quantity *q, dec *value, const char **unit, size_t *unit_len) {
  const unit_row *u = unit_find(q->unit, q->unit_len);
  *value = q->value;
  *unit = q->unit;
  *unit_len = q->unit_len;
  if (!u) return;
  *unit = u->base;
  *unit_len = strlen(u->base);
  /* what cannot be converted exactly hashes by its base alone, so that equal values still meet */
  if (!to_base(q, u, value)) *value = (dec){0, 0};
}

uint32_t val_fold(uint32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  if (c >= 0xc0 && c <= 0xde && c != 0xd7) return c + 32;
  if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177)) return c | 1;
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c + (c & 1);
  if (c == 0x178) return 0xff;
  if (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) return c + 32;
  if (c == 0x3c2) return 0x3c3;
  if (c >= 0x400 && c <= 0x40f) return c + 80;
  if (c >= 0x410 && c <= 0x42f) return c + 32;
  if ((c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf) || (c >= 0x4d0 && c <= 0x52f)) return c | 1;
  if (c >= 0x531 && c <= 0x556) return c + 48;
  if (c >= 0x1e00 && c <= 0x1eff && !(c >= 0x1e96 && c <= 0x1e9f)) return c | 1;
  return c;
}
