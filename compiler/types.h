/* types.h - static types of the language: a kind, what it refers to, a cardinality and labels.
 *
 * A path step multiplies cardinalities: (0..1 or 1..1) x (0..* ...) . The kinds follow what the machine can hold; FHIR, HL7 and payload types refer
 * to a row of their model by id. TY_ANY is the gradual escape for undeclared JSON; TY_ERR stands for something already reported and is silent. */
#ifndef HDW_TYPES_H
#define HDW_TYPES_H
#include <stdbool.h>
#include "arena.h"

typedef enum ty_kind {
  TY_ERR, TY_ANY, TY_NONE /* {} */, TY_BOOL, TY_INT, TY_LONG, TY_DEC, TY_STR, TY_DATE, TY_DATETIME, TY_TIME, TY_QTY, TY_BIN,
  TY_OBJECT,   /* an object literal: ref = shape list index of the compiler, -1 unknown */
  TY_PAYLOAD,  /* ref = declaration index */
  TY_FHIR,     /* ref = FHIR type id */
  TY_HL7_MSG,  /* ref = structure id or -1 (any message) */
  TY_HL7_GROUP,/* ref = dictionary node index */
  TY_HL7_SEG,  /* ref = segment id or -1 (Z segment); sub = declaration index of a segment declaration or -1 */
  TY_HL7,      /* a repetition or component: ref = data type id or -1; sub = segment id << 16 | field, or -1 */
  TY_ROW,      /* a row of a table: ref = declaration index */
  TY_DECL,     /* a connection, listener, workflow ... by name: ref = declaration index */
  TY_TYPE,     /* a type name as an argument */
  TY_SECRET, TY_HANDLE,
  TY_SYSTEM    /* ambient object: run, error ... : ref = which */
} ty_kind;

enum { TY_SUB_VARIES = -2 /* sub of what was converted from HL7's VARIES */, TY_SUB_MIXED = -3 /* sub of a string that may still be an HL7 value: one of several branches or items */ };
enum { TY_PHI = 1, TY_SECRET_LABEL = 2, TY_PARAM = 8 /* flows from a parameter: functions are label-polymorphic */, TY_SOFT = 4 /* in part from HL7 v2, where everything is optional: no warning that it may be missing */ };

typedef struct ty {
  uint8_t kind;
  uint8_t min;    /* 0 or 1 */
  bool many;      /* more than one is possible */
  uint8_t label;  /* TY_PHI, TY_SECRET_LABEL */
  uint16_t from;  /* the FHIR element that a Reference or a coded value is of: row + 1 of comp.choices, 0 = not known */
  uint16_t why;   /* where it may be empty, the first reason: a row of comp.whys; 0 = not known */
  int32_t ref, sub; /* TY_ANY: ref = a choice element of FHIR (comp.choices), or -1; TY_STR: sub = set of codes that FHIR binds the element to, or -1; TY_FHIR: sub = place in a profile (comp.pnodes), or -1 */
} ty;

static inline ty ty_make(ty_kind k, int min, bool many) { return (ty){.kind = (uint8_t)k, .min = (uint8_t)min, .many = many, .ref = -1, .sub = -1}; }
static inline ty ty_one(ty_kind k) { return ty_make(k, 1, false); }
static inline ty ty_opt(ty_kind k) { return ty_make(k, 0, false); }
static inline ty ty_card(ty t, int min, bool many) { t.min = (uint8_t)min; t.many = many; return t; }
static inline ty ty_label(ty t, uint8_t l) { t.label |= l; return t; }
static inline bool ty_is_number(ty t) { return t.kind == TY_INT || t.kind == TY_LONG || t.kind == TY_DEC; }
static inline bool ty_is_time(ty t) { return t.kind == TY_DATE || t.kind == TY_DATETIME || t.kind == TY_TIME; }
static inline bool ty_is_hl7(ty t) { return t.kind >= TY_HL7_MSG && t.kind <= TY_HL7; }
/* No static knowledge: anything goes. */
static inline bool ty_is_open(ty t) { return t.kind == TY_ERR || t.kind == TY_ANY; }

#endif
