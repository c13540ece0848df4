/* fp_int.h - the FHIRPath natives: one C function per function and operator of FHIRPath N1 (and ours), and what they share.
 *
 * All are vm_native: args[0] is the receiver or left operand, *out one normalised collection. Common rules, which each row below only
 * deviates from where it says so: an empty receiver or argument gives {}; several items where one is wanted is HDW_E_CARD; an item
 * of a type that the function does not know is HDW_E_TYPE; results that overflow are {}. Model nodes (HL7 components, FHIR
 * primitives kept as objects) count as the System value they hold. Results lose the model type of their input unless they are its items.
 * Functions that take an expression (where, select, iif ...) are compiled in place and not here. */
#ifndef HDW_FP_INT_H
#define HDW_FP_INT_H
#include "native.h"

#define FP_NATIVES(X)                                                                                                          \
  /* fp_ops.c: operators */                                                                                                    \
  X(fp_add) X(fp_sub) X(fp_mul) X(fp_div) X(fp_idiv) X(fp_mod) X(fp_concat) X(fp_neg)                                          \
  X(fp_eq) X(fp_ne) X(fp_equiv) X(fp_nequiv) X(fp_lt) X(fp_le) X(fp_gt) X(fp_ge)                                               \
  X(fp_and) X(fp_or) X(fp_xor) X(fp_implies) X(fp_not) X(fp_in) X(fp_contains_item)                                            \
  /* fp_math.c */                                                                                                              \
  X(fp_abs) X(fp_ceiling) X(fp_floor) X(fp_round) X(fp_sqrt) X(fp_exp) X(fp_ln) X(fp_log) X(fp_power) X(fp_truncate)           \
  X(fp_precision) X(fp_low_boundary) X(fp_high_boundary)                                                                       \
  /* fp_coll.c */                                                                                                              \
  X(fp_empty) X(fp_exists) X(fp_count) X(fp_first) X(fp_last) X(fp_tail) X(fp_skip) X(fp_take) X(fp_single)                    \
  X(fp_distinct) X(fp_is_distinct) X(fp_union) X(fp_combine) X(fp_intersect) X(fp_exclude) X(fp_subset_of) X(fp_superset_of)   \
  X(fp_all_true) X(fp_any_true) X(fp_all_false) X(fp_any_false) X(fp_index) X(fp_sum) X(fp_min) X(fp_max) X(fp_avg)            \
  X(fp_children) X(fp_descendants) X(fp_has_value) X(fp_get_value) X(fp_type)                                                  \
  /* fp_conv.c */                                                                                                              \
  X(fp_to_boolean) X(fp_to_integer) X(fp_to_long) X(fp_to_decimal) X(fp_to_string) X(fp_to_date) X(fp_to_date_time)            \
  X(fp_to_time) X(fp_to_quantity) X(fp_converts_to_boolean) X(fp_converts_to_integer) X(fp_converts_to_long)                   \
  X(fp_converts_to_decimal) X(fp_converts_to_string) X(fp_converts_to_date) X(fp_converts_to_date_time)                        \
  X(fp_converts_to_time) X(fp_converts_to_quantity)                                                                            \
  /* fp_time.c */                                                                                                              \
  X(fp_now) X(fp_today) X(fp_time_of_day) X(fp_year_of) X(fp_month_of) X(fp_day_of) X(fp_hour_of) X(fp_minute_of)              \
  X(fp_second_of) X(fp_millisecond_of) X(fp_date_of) X(fp_time_of) X(fp_timezone_offset_of)                                    \
  /* fp_fhir.c, fp_resolve.c, fp_html.c */                                                                                    \
  X(fp_resolve) X(fp_conforms_to) X(fp_member_of) X(fp_subsumes) X(fp_subsumed_by) X(fp_check_modifiers)                       \
  X(fp_element_definition) X(fp_html_checks)                                                                                   \
  /* fp_string.c, fp_regex.c, fp_encode.c */                                                                                   \
  X(fp_index_of) X(fp_last_index_of) X(fp_substring) X(fp_starts_with) X(fp_ends_with) X(fp_contains) X(fp_upper) X(fp_lower)  \
  X(fp_replace) X(fp_length) X(fp_to_chars) X(fp_trim) X(fp_split) X(fp_join) X(fp_digits)                                     \
  X(fp_matches) X(fp_matches_full) X(fp_replace_matches) X(fp_encode) X(fp_decode) X(fp_escape) X(fp_unescape)

#define X(name) hdw_status name(vm_cx *cx, const val *args, unsigned n, val *out);
FP_NATIVES(X)
#undef X

/* Bound of any string that a native makes. */
enum { FP_TEXT_MAX = 64 << 20 };

/* What a model node holds, as System values; other values unchanged. For collections item by item. */
hdw_status fp_system(vm_cx *cx, val v, val *out);
/* The System value of a collection of at most one item (*out may be VAL_EMPTY). HDW_E_CARD names the function `what`. */
hdw_status fp_one(vm_cx *cx, val v, const char *what, val *out);
/* The same, wanting a string or nothing. */
hdw_status fp_text(vm_cx *cx, val v, const char *what, val *out);
/* The same, wanting an Integer (or a Long that fits int64) or nothing; *has is false for nothing. */
hdw_status fp_int(vm_cx *cx, val v, const char *what, int64_t *out, bool *has);
/* Boolean by singleton evaluation: 1, 0, -1 for nothing; one item that is no boolean counts as true. */
hdw_status fp_bool3(vm_cx *cx, val v, const char *what, int *out);
/* Both operands as single System values ready to be compared or computed with: text of an HL7 node becomes a number or a date when the other
 * side is one ({} when it does not convert), a FHIR Quantity becomes a System Quantity. */
hdw_status fp_pair(vm_cx *cx, const val *args, const char *what, val *x, val *y);
/* A FHIR Quantity object as System Quantity; HDW_E_TYPE when it is none, has no value, or a comparator: <5 is no quantity. */
hdw_status fp_quantity_of(vm_cx *cx, val obj, val *out);
/* "%s: unsupported operand types" and the like. */
hdw_status fp_type_error(vm_cx *cx, const char *what, val v);
/* Whole number as Integer when it fits 32 bits and `wide` is false, else Long. */
val fp_whole(int64_t i, bool wide);
/* Decimal result: HDW_E_RANGE of an operation becomes {}. */
hdw_status fp_dec_out(vm_cx *cx, hdw_status s, const dec *d, val *out);

static inline bool fp_is_num(val v) { return v.tag == VAL_INT || v.tag == VAL_LONG || v.tag == VAL_DEC; }
static inline bool fp_is_whole(val v) { return v.tag == VAL_INT || v.tag == VAL_LONG; }
static inline bool fp_is_time(val v) { return v.tag == VAL_DATE || v.tag == VAL_DATETIME || v.tag == VAL_TIME; }
/* True when the value may hold something else than it is (fp_system would change it). */
static inline bool fp_is_model(val v) { return v.tag == VAL_HL7 || (v.tag == VAL_OBJ && v.aux != 0); }

#endif
