/* value.h - the 16-byte tagged, immutable value on which everything works.
 *
 *      0      1      2             4                    8                              16
 *      +------+------+-------------+--------------------+------------------------------+
 *      | tag  | flags|    aux      |        len         |  i / p (payload)             |
 *      +------+------+-------------+--------------------+------------------------------+
 *
 * A FHIRPath collection of one item IS that item; the empty collection is the immediate VAL_EMPTY; only two and more items make a
 * VAL_LIST. Inside documents (members of VAL_OBJ, items of a JSON array) a VAL_LIST may have any length and VAL_NULL may occur:
 * val_norm() turns a stored slot into a collection. Collections are flat.
 *
 * Strings are slices (of the retained input, of a module's constants or of the arena), not NUL-terminated.
 * Nothing is freed one by one: a value lives as long as its arena region, module or input.
 *
 * aux carries the model type of data that came from a model (FHIR type id; 0 = System type or untyped), so that ofType(), is and
 * choice elements work on what was read. For object keys aux is the key hash (val_key_hash), which makes a member look-up an integer compare. */
#ifndef HDW_VALUE_H
#define HDW_VALUE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "arena.h"
#include "datetime.h"
#include "decimal.h"
#include "status.h"

typedef enum val_tag {
  VAL_EMPTY = 0, /* the empty collection */
  VAL_BOOL,      /* i: 0 or 1 */
  VAL_INT,       /* i: FHIRPath Integer, -2^31 .. 2^31-1 */
  VAL_LONG,      /* i: 64 bits */
  VAL_DEC,       /* len: scale, i: coefficient; with VALF_BIG p: const dec * */
  VAL_STR,       /* p, len: UTF-8 bytes; with VALF_ESC the text of a JSON string with its escapes */
  VAL_DATE,      /* temporal: see val_time/val_get_time */
  VAL_DATETIME,
  VAL_TIME,
  VAL_QTY,       /* p: const val_quantity * */
  VAL_NUM,       /* p, len: text of a JSON number that nobody has looked at; val_norm makes INT, LONG or DEC of it */
  VAL_NULL,      /* JSON null, only inside documents */
  VAL_OBJ,       /* p: const val[2*len], key, value, key, value...; keys are VAL_STR with aux = hash */
  VAL_LIST,      /* p: const val[len] */
  VAL_BIN,       /* p, len: bytes */
  VAL_HL7,       /* p: const struct hl7_node *: message, group, segment, repetition, component (stdlib/hl7) */
  VAL_TPL,       /* p: const val[len], odd items literal text, even items holes: literal, hole, literal, ... (SEMANTICS 9) */
  VAL_HANDLE,    /* opaque: i */
  VAL_TYPE,      /* a type specifier: i: type code of the module's type table; p unused */
  VAL_BUILDER,   /* p: val_builder *: only in temporaries of the machine, never escapes */
  VAL_TAG_COUNT
} val_tag;

enum {
  VALF_BIG = 1,      /* VAL_DEC: p is a const dec * */
  VALF_ESC = 2,      /* VAL_STR from JSON: escapes not yet resolved */
  VALF_UNEVEN = 4,   /* VAL_LIST of a document: holds null, lists, raw numbers or escaped strings: normalise item by item */
  VALF_UNDERSCORE = 8, /* VAL_OBJ: has a key that begins with '_' (FHIR primitive extensions) */
  VALF_ARRAY = 16,   /* VAL_LIST/slot written as a JSON array even with 0 or 1 items */
  VALF_CALENDAR = 32, /* VAL_QTY: the unit is a calendar unit */
  VALF_TYPED = 64    /* VAL_STR: aux is a model type id (else it may be the hash of a key); other tags need no flag */
};

typedef struct val {
  uint8_t tag;
  uint8_t flags;
  uint16_t aux;
  uint32_t len;
  union {
    int64_t i;
    const void *p;
    const char *s;
    const struct val *v;
  } u;
} val;
_Static_assert(sizeof(val) == 16, "a value is 16 bytes");

typedef struct val_quantity {
  dec value;
  const char *unit;  /* calendar unit in singular ("day") or UCUM code */
  uint32_t unit_len;
} val_quantity;

typedef struct val_builder {
  val *v;
  uint32_t len, cap;
} val_builder;

#define VAL_NONE ((val){0})

static inline val val_bool(bool b) { return (val){.tag = VAL_BOOL, .u.i = b}; }
static inline val val_int(int64_t i) { return (val){.tag = VAL_INT, .u.i = i}; }
static inline val val_long(int64_t i) { return (val){.tag = VAL_LONG, .u.i = i}; }
static inline val val_str(const char *s, size_t len) { return (val){.tag = VAL_STR, .len = (uint32_t)len, .u.s = s}; }
static inline val val_cstr(const char *s) { return val_str(s, strlen(s)); }
static inline bool val_is_empty(val v) { return v.tag == VAL_EMPTY; }

/* Number of items of a normalised collection, and item i (no bounds check). */
static inline uint32_t val_count(val v) { return v.tag == VAL_LIST ? v.len : v.tag != VAL_EMPTY; }
static inline val val_item(val v, uint32_t i) { return v.tag == VAL_LIST ? v.u.v[i] : v; }

/* Hash of an object key, kept in aux of key values. */
static inline uint16_t val_key_hash(const char *s, size_t n) {
  if (n == 0) return 0;
  const unsigned char *u = (const unsigned char *)s;
  return (uint16_t)(n * 2557u + u[0] * 31u + u[n - 1] * 769u + u[n / 2] * 97u);
}
static inline val val_key(const char *s, size_t n) {
  return (val){.tag = VAL_STR, .aux = val_key_hash(s, n), .len = (uint32_t)n, .u.s = s};
}

/* Slot of an object or document array -> collection: null and empty lists become empty, a list of one its item, nested lists are flattened,
 * raw numbers become INT/LONG/DEC (kept as VAL_NUM when they do not fit 128 bits), escapes are resolved. Allocates in a; HDW_E_NOMEM. */
hdw_status val_norm(arena *a, val slot, val *out);
/* True when val_norm(slot) is slot itself (the fast path). */
static inline bool val_is_norm(val v) {
  return v.tag != VAL_NUM && v.tag != VAL_NULL && !(v.flags & (VALF_ESC | VALF_UNEVEN)) && !(v.tag == VAL_LIST && v.len < 2);
}

/* Member of one object: the raw slot, or NULL. key.aux must be its hash. Escaped keys in the document are compared unescaped. */
const val *val_obj_get(val obj, val key);
/* Member name on a collection: on every object item, results normalised and flattened. Items that are no objects give nothing. */
hdw_status val_member(arena *a, val coll, val key, val *out);

/* Decimals, temporals, quantities. */
hdw_status val_from_dec(arena *a, const dec *d, val *out);
dec val_get_dec(val v);                               /* of VAL_DEC, VAL_INT, VAL_LONG */
val val_from_time(val_tag tag, const tm_val *t);      /* VAL_DATE, VAL_DATETIME, VAL_TIME */
tm_val val_get_time(val v);
hdw_status val_from_qty(arena *a, const dec *value, const char *unit, size_t unit_len, bool calendar, val *out);

/* Builders of collections: push flattens lists and skips empty. */
hdw_status val_push(arena *a, val_builder *b, val v);
hdw_status val_reserve(arena *a, val_builder *b, uint32_t more);  /* room for so many items, which may then be written at b->v[b->len++] */
val val_build(val_builder *b);                        /* normalised collection of what was pushed */

/* FHIRPath equality (=) of two collections; *out: 1 true, 0 false, -1 unknown (empty). Order matters; empty on either side is unknown. */
hdw_status val_equal(arena *a, val x, val y, int *out);
/* FHIRPath equivalence (~): always true or false; order, case and white space of strings do not matter. */
hdw_status val_equivalent(arena *a, val x, val y, bool *out);
/* Ordering of two single items; HDW_E_TYPE when they cannot be compared; *known false when precision leaves it open. */
hdw_status val_compare(val x, val y, int *cmp, bool *known);
/* Conversion to text as FHIRPath toString() (of a single item); HDW_E_TYPE for objects and lists. */
hdw_status val_to_str(arena *a, val v, val *out);
/* Seeded hash for distinct(), union and tables; equal values (val_equal true) hash alike. */
uint64_t val_hash(uint64_t seed, val v);
/* Name of a value's System type ("Boolean", "String" ...) for messages and type(). */
const char *val_type_name(val v);

#endif
