/* reads.h - which parts of its input a workflow reads: a data flow over the verified code of a module.
 *
 * Every register holds a set of places of the input while the code is followed: MEMBER and hl7.get go from a place to a part of it, copies, loops and
 * calls hand places on, and whatever looks at a value (a comparison, a text, an object that is made of it, an argument of an effect) reads the places it was given.
 *
 *   R1 = hl7.get(R0, PID-5)     R1: {PID-5}
 *   R2 = MEMBER(R0, 'OBX')      R2: {OBX}
 *   EFFECT send(R0)             the whole message is read
 *   R3 = R1 & ''                PID-5 is read
 *
 * The answer errs towards "read": what cannot be followed counts as read with everything below it. A condition on a place (exists, empty, if) reads a field but not
 * the fields of a segment. Functions are followed with all places that any of their callers gives them. `drop` marks its places as dropped.
 *
 * HL7: the root is the message (its groups are the same place), below it segments by name, below them fields by number; what lies deeper is its field.
 * JSON: the root is the value, below it members by name; lists are no level. A path of more than READS_DEPTH names is its beginning. */
#ifndef HDW_READS_H
#define HDW_READS_H
#include "module.h"

enum { READS_DEPTH = 12, READS_NODES = 20000 };
typedef enum reads_kind { READS_HL7, READS_JSON } reads_kind;
enum {
  READS_ALL = 1,      /* with everything below */
  READS_SEEN = 2,     /* the place itself: whether it is there, or its own primitive value */
  READS_DROPPED = 4   /* declared as dropped, with everything below */
};

typedef struct reads_node {
  const char *name;   /* segment or member, in the module or the arena; NULL for a field of HL7 */
  uint32_t len;
  uint16_t field;     /* from 1; 0 = none */
  uint8_t marks, depth;
  uint32_t first, next; /* child, sibling; 0 = none */
} reads_node;

typedef struct reads {
  reads_node *v;      /* v[0] is the root */
  uint32_t n;
} reads;

/* What function func (of one parameter, the input) and all it calls read. m is verified. Everything lives in a. HDW_E_NOMEM. */
hdw_status reads_of(arena *a, const module *m, uint32_t func, reads_kind kind, reads *out);
/* Child by name or field; 0 when there is none. */
uint32_t reads_child(const reads *r, uint32_t node, const char *name, size_t len, uint16_t field);

#endif
