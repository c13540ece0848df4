/* dict.h - the merged HL7 v2 dictionary, 2.1 to 2.8: segments, fields, data types, tables, message structures, events.
 *
 * One dictionary, not one per version (SEMANTICS 7): the canonical name, type and cardinality of a position are those of the latest version that has it;
 * every name that an older version gave it is an alias of the same position. Nothing here depends on MSH-12. Structures have the
 * form of the latest version that defines them; an event leads to its structure (ADT^A04 -> ADT_A01).
 *
 * Names by which programs call positions are the standard's names in camelCase: "ID Number" -> idNumber, "Date/Time of Birth" ->
 * dateTimeOfBirth, "Mother's Maiden Name" -> mothersMaidenName. They are compared exactly (case matters).
 *
 * Everything is constant data generated at build time from grammar/data/hl7v2 (MIT, sources named there); no function allocates or fails.
 * Ids are small indices, dense from 0, stable within one build only: never store them. "No such thing" is -1 (or false). Strings that come out are
 * NUL-terminated and live for ever. Lengths of names that go in are in bytes; they need no NUL. */
#ifndef HDW_DICT_H
#define HDW_DICT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "nearest.h"

/* Versions in order; since/until are indices into this list. */
enum { DICT_VERSIONS = 11 };
const char *dict_version_name(unsigned i);   /* 0 "2.1" ... 10 "2.8" */
int dict_version(const char *name, size_t len);

/* What a primitive data type is in the language (System types). */
typedef enum dict_kind {
  DICT_COMPOSITE = 0, /* has components */
  DICT_STRING,        /* ST ID IS TX FT TN GTS ... */
  DICT_DECIMAL,       /* NM */
  DICT_INTEGER,       /* SI */
  DICT_DATE,          /* DT */
  DICT_TIME,          /* TM */
  DICT_DATETIME,      /* DTM, TS (TS was composite up to 2.5.1: its first component is the time) */
  DICT_VARIES         /* VARIES: OBX-5, QPD-3 ..: decided by the data (OBX-2) */
} dict_kind;

/* One field of a segment, or one component of a data type. */
typedef struct dict_info {
  const char *name;        /* canonical name as the standard writes it: "Patient Identifier List" */
  const char *alias;       /* camelCase of it: "patientIdentifierList" */
  int16_t type;            /* data type id of the latest version */
  int16_t table;           /* HL7 table number, 0 = none */
  uint16_t max;            /* most repetitions the standard allows; 0 = unbounded. Never trusted when reading (SEMANTICS 7) */
  uint16_t pos;            /* 1-based position */
  char opt;                /* 'R' required, 'O' optional, 'C' conditional, 'B' kept for backward compatibility */
  uint8_t since, until;    /* first and last version that define the position */
} dict_info;

/* ---- Segments. */
int dict_segment_count(void);
int dict_segment(const char *name, size_t len);                       /* "PID" -> id, or -1 */
const char *dict_segment_name(int seg);                               /* "PID" */
const char *dict_segment_title(int seg);                              /* "Patient Identification" */
unsigned dict_field_count(int seg);                                   /* highest position */
/* Field n (1-based). False when the segment has no such field (gaps exist in withdrawn positions). */
bool dict_field(int seg, unsigned n, dict_info *out);
/* Position of the field with that alias (canonical or older), or 0. */
unsigned dict_field_by_alias(int seg, const char *name, size_t len);
/* Data type the field had in a version (index); -1 when it did not exist then. */
int dict_field_type_in(int seg, unsigned n, unsigned version);
/* Position of a component by name in the field's type, and failing that in the types older versions gave the field
 * (PID-2 was CX, is ST: PID-2.idNumber stays good). *type receives the type it was found in when not NULL. 0 = none. */
unsigned dict_field_component(int seg, unsigned n, const char *name, size_t len, int *type);

/* ---- Data types. */
int dict_datatype_count(void);
int dict_datatype(const char *name, size_t len);                      /* "CX" -> id, or -1 */
const char *dict_datatype_name(int dt);
const char *dict_datatype_title(int dt);                              /* "Extended Composite ID with Check Digit" */
dict_kind dict_datatype_kind(int dt);
bool dict_is_primitive(int dt);                                       /* kind is neither DICT_COMPOSITE nor DICT_VARIES */
unsigned dict_component_count(int dt);                                /* highest position; 0 for primitives (2 for TS) */
bool dict_component(int dt, unsigned n, dict_info *out);
unsigned dict_component_by_name(int dt, const char *name, size_t len);/* position, or 0 */

/* ---- Message structures. A structure is a tree; nodes are indices into one array shared by all structures (equal sub-trees are stored
 * once, so a node has no parent). */
typedef struct dict_node {
  uint16_t name;        /* dict_node_name() gives the text */
  int16_t seg;          /* segment id, or -1 for a group */
  uint16_t first;       /* index of the first child */
  uint8_t n;            /* number of children; 0 for a segment */
  uint8_t min;          /* 0 or 1 .. */
  uint8_t max;          /* 0 = unbounded */
  uint8_t flags;        /* DICT_NODE_* */
} dict_node;
enum { DICT_NODE_GROUP = 1, DICT_NODE_CHOICE = 2 /* one of the neighbours with this flag occurs */ };

int dict_structure_count(void);
int dict_structure(const char *name, size_t len);                     /* a structure's own id: "ADT_A01", "ORU_R01", "ACK" */
const char *dict_structure_name(int s);
const char *dict_structure_title(int s);                              /* "Admit/Visit Notification" */
void dict_structure_span(int s, uint8_t *since, uint8_t *until);
/* Children of the root: *n nodes from the returned index on. */
uint16_t dict_structure_root(int s, unsigned *n);
const dict_node *dict_node_at(uint16_t index);
const char *dict_node_name(const dict_node *d);
/* First child of that name in first .. first+n-1, or NULL. */
const dict_node *dict_node_child(uint16_t first, unsigned n, const char *name, size_t len);
/* Whether a segment may occur anywhere in the structure. */
bool dict_structure_has(int s, int seg);
/* Path of groups to the first node (document order) whose name is given (a segment or a group): writes node indices from the outermost group to
 * the node itself, returns the depth, 0 when it does not occur, never more than DICT_DEPTH_MAX. */
enum { DICT_DEPTH_MAX = 8 };
unsigned dict_structure_path(int s, const char *name, size_t len, uint16_t path[DICT_DEPTH_MAX]);

/* ---- Events. */
/* Whether any version has code^event ("ADT", "A04"). An event_len of 0 asks whether the code exists alone (ACK). */
bool dict_event(const char *code, size_t code_len, const char *event, size_t event_len);
/* Structure of code^event: ADT, A04 -> ADT_A01. Any event of ACK gives ACK. -1 when unknown. */
int dict_structure_for(const char *code, size_t code_len, const char *event, size_t event_len);
/* A message type as programs name it, a structure id or CODE_EVENT: "ADT_A08" -> structure ADT_A01, "RSP_K21" -> itself. -1 when unknown. */
int dict_message(const char *name, size_t len);
int dict_event_count(void);
/* Event i as text "ADT^A04" and its structure. */
const char *dict_event_name(int i, int *structure);

/* ---- Tables. Codes are compared exactly. */
bool dict_table_exists(unsigned table);
const char *dict_table_title(unsigned table);                         /* "Administrative Sex", NULL when unknown */
const char *dict_table(unsigned table, const char *code, size_t len); /* text of a code ("Female"), NULL when not in the table */
unsigned dict_table_size(unsigned table);
bool dict_table_code(unsigned table, unsigned i, const char **code, const char **text);

/* ---- Did you mean: offer every name of a kind. */
void dict_nearest_segment(nearest *n);
void dict_nearest_field(nearest *n, int seg);                         /* camelCase aliases */
void dict_nearest_component(nearest *n, int dt);
void dict_nearest_message(nearest *n);                                /* structure ids and CODE_EVENT names */
void dict_nearest_event(nearest *n);                                  /* "ADT^A01" */
void dict_nearest_node(nearest *n, uint16_t first, unsigned count);   /* children of a structure or group */

#endif
