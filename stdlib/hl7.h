/* hl7.h - HL7 v2 messages: parse, read by path, edit, build, acknowledge, split batches, and the JSON form.
 *
 * A message is kept as the bytes it came in; everything else is a view. hl7_parse makes one table of segments
 *
 *      bytes  MSH|^~\&|LAB|...\rPID|1||4711^^^HOSP~88^^^SSA\rOBX|...
 *      segs   {MSH, off, len}  {PID, off, len}  {OBX, off, len}
 *      seps                    [off of each '|' of PID]           filled when PID is touched first
 *
 * and fields, repetitions, components and sub-components are slices found when somebody asks. Nothing here needs the dictionary: any
 * message type, any version and any Z-segment can be read by position (H-28). Names of components and groups come through `hl7_schema`,
 * which may be NULL.
 *
 * Lifetime: a message uses the bytes given to hl7_parse (or a copy in the arena when line ends had to be normalised) and memory of the
 * arena taken during hl7_parse only: regions released later do not hurt it. Reading fills its index, so one message belongs to one thread.
 *
 * Three states of a field (H-34): absent `||` is the empty collection; HL7 null `""` is an item whose text is empty and for which isNull()
 * is true; anything else is a value. Numbers H-nn are the requirements of the protocol page in docs. */
#ifndef HDW_HL7_H
#define HDW_HL7_H
#include "charset.h"
#include "native.h"

/* Limits: a message has less than 2 GiB and at most HL7_MAX_SEGMENTS segments. Field, component and sub-component numbers beyond
 * HL7_MAX_NUMBER cannot be named in an edit. */
enum { HL7_MAX_SEGMENTS = 1 << 22, HL7_MAX_NUMBER = 9999, HL7_GROUP_DEPTH = 7, HL7_MAX_WARNINGS = 256 };

/* A segment name in one integer. */
#define HL7_NAME(a, b, c) ((uint32_t)(unsigned char)(a) << 16 | (uint32_t)(unsigned char)(b) << 8 | (uint32_t)(unsigned char)(c))
enum { HL7_NO_SEGMENT = 0xFFFFFFFFu };
/* 0 when s is not [A-Z][A-Z0-9]{2}. */
uint32_t hl7_name(const char *s, size_t len);
/* Writes three letters and a NUL. */
void hl7_name_text(uint32_t name, char out[4]);

/* The delimiters of MSH-1 and MSH-2 (H-31). A role that MSH-2 leaves out holds the field separator, which cannot occur in a field:
 * comparing against it is always false. */
typedef struct hl7_delims {
  char field, comp, rep, esc, sub, trunc;
} hl7_delims;
extern const hl7_delims hl7_default_delims; /* |^~\& without truncation */

/* Some bytes; not NUL-terminated. */
typedef struct hl7_slice {
  const char *p;
  uint32_t len;
} hl7_slice;

/* What is wrong with a message, and where. `text` is a constant without clinical values (H-27). */
typedef struct hl7_problem {
  hdw_status status;
  uint16_t code;                  /* HL7 table 0357: 100 segment sequence, 101 required field, 102 data type, 103 table value, 200.. 207 */
  uint32_t offset;                /* bytes from the start of the input */
  char seg[4];                    /* "" when the place is not inside a segment */
  uint16_t seg_rep;               /* which segment of that name, from 1 */
  uint16_t field, rep, comp, sub; /* from 1; 0 = the whole */
  char severity;                  /* E, W or I */
  const char *text;
} hl7_problem;

/* Data warnings of reading; they never stop anything. A message gives HL7_MAX_WARNINGS of them at most. */
typedef enum hl7_warning_kind {
  HL7_W_CONTINUATION, /* H-33: a line without a segment name was appended to the field before it */
  HL7_W_CHARSET,      /* H-39: bytes invalid in the declared set became U+FFFD */
  HL7_W_CONVERT,      /* a value does not have the form of the type that was wanted: it reads as empty */
  HL7_W_NO_ZONE,      /* H-41: an instant without offset, and no zone is configured */
  HL7_W_BOTH_ENDS     /* a LF in a CR-terminated message is followed by what looks like a segment: it is data (H-32) */
} hl7_warning_kind;

/* Called from within reading functions; must not call back into this module. */
typedef struct hl7_hooks {
  void (*warn)(void *user, hl7_warning_kind kind, const hl7_problem *where);
  /* The offset of a local time that was sent without one; false = none configured. NULL likewise. */
  bool (*zone)(void *user, const tm_val *local, int16_t *zone_min);
  void *user;
} hl7_hooks;

/* A message structure: the root is a group. Trees are constant data made from the dictionary. */
typedef struct hl7_struct_node hl7_struct_node;
struct hl7_struct_node {
  const char *name; /* "PID" or "PATIENT_RESULT" */
  bool is_group, repeats, required;
  uint8_t n; /* children; at most 255, depth at most HL7_GROUP_DEPTH: what goes beyond is ignored */
  const hl7_struct_node *children;
};

/* What the dictionary answers. Any function may be NULL. `user` is handed through. */
typedef struct hl7_schema {
  /* Position of a field by its name: ("PID", "dateTimeOfBirth") -> 7. */
  bool (*field)(const void *user, uint32_t seg, const char *name, size_t len, unsigned *field);
  /* Position of a component (comp = 0) or sub-component (comp = its component) of a field by name: ("PID", 3, 0, "idNumber") -> 1. */
  bool (*component)(const void *user, uint32_t seg, unsigned field, unsigned comp, const char *name, size_t len, unsigned *position);
  /* Structure of a message by MSH-9 (type, event, structure id; the latter two may have len 0), and the id to write in MSH-9.3. */
  const hl7_struct_node *(*structure)(const void *user, hl7_slice type, hl7_slice event, hl7_slice id, hl7_slice *name);
  const void *user;
} hl7_schema;

typedef enum hl7_eol {
  HL7_EOL_AUTO = 0, /* H-32: CR when the message has one, else LF; a LF in a CR-terminated message is data */
  HL7_EOL_CR,       /* only CR */
  HL7_EOL_ANY       /* CR, CRLF, and every LF before a segment name */
} hl7_eol;

typedef struct hl7_opts {
  hl7_eol eol;
  bool strict;              /* H-33, H-39: a line without a name, and invalid bytes, are errors */
  charset_id charset;       /* when MSH-18 is absent; CHARSET_NONE = CHARSET_AUTO */
  charset_id force_charset; /* overrides MSH-18 (HTTP, H-48); CHARSET_NONE = do not */
  const hl7_hooks *hooks;   /* may be NULL; must outlive the message */
  const hl7_schema *schema; /* may be NULL; must outlive the message */
} hl7_opts;

/* Private to this module from here on but for name and count: use the functions. */
typedef struct hl7_segment {
  uint32_t name, off, len; /* without line end */
  uint32_t sep_at, nsep;   /* slice of hl7_index.seps; sep_at HL7_NO_SEGMENT = not touched yet */
} hl7_segment;
typedef struct hl7_index hl7_index;

typedef struct hl7_msg {
  const char *bytes; /* first byte of MSH */
  uint32_t len, nsegs;
  const hl7_segment *segs;
  hl7_index *index; /* what reading fills */
  hl7_delims d;
  uint8_t charset; /* charset_id of the bytes; CHARSET_AUTO until somebody reads text that is not ASCII */
  bool ascii;      /* no byte above 0x7F after MSH-2 */
  bool no_escapes; /* no escape character after MSH-2 */
  bool fragment;   /* a single segment made by hl7_build_segment or by an edit of one */
  const hl7_hooks *hooks;
  const hl7_schema *schema;
} hl7_msg;

typedef enum hl7_level { HL7_MSG = 0, HL7_GROUP, HL7_SEG, HL7_FIELD, HL7_COMP, HL7_SUB } hl7_level;

/* What a value of tag VAL_HL7 points to. HL7_FIELD is one repetition of a field. */
typedef struct hl7_node {
  const hl7_msg *m;
  uint32_t off, len;         /* slice of m->bytes (HL7_FIELD and below; HL7_SEG: with the name) */
  uint32_t seg;              /* index in m->segs; HL7_GROUP: the first one */
  uint32_t seg_end;          /* HL7_GROUP: one behind the last */
  uint32_t rep;              /* from 0 */
  uint16_t field, comp, sub; /* from 1; 0 above that level. Counters stop at 65535 */
  uint8_t level;             /* hl7_level */
  uint8_t depth;             /* HL7_GROUP: of the group, 1 = below the message */
} hl7_node;

static inline const hl7_node *hl7_of(val v) { return v.tag == VAL_HL7 ? (const hl7_node *)v.u.p : NULL; }

/* A place: PID-3[0].4.1 is {PID, 3, 0, 4, 1}. field 0 = the segment itself, rep -1 = all repetitions, comp 0 = the whole repetition. */
typedef struct hl7_path {
  uint32_t seg;
  int32_t rep;
  uint16_t field, comp, sub;
} hl7_path;
/* Reads "PID-3[0].4.1" (also "PID"); HDW_E_SYNTAX. For tools and tests: the compiler has its own token. */
hdw_status hl7_path_parse(const char *s, size_t len, hl7_path *out);

/* ---- parse ------------------------------------------------------------------------------------------------------------------------------
 */

/* Parses one message (or one of FHS, BHS with what follows). Blanks, line ends, a byte order mark and MLLP bytes around it are skipped;
 * UTF-16 and UTF-32 are accepted by byte order mark. opts may be NULL. On failure *why (may be NULL) says what and where: HDW_E_SYNTAX
 * malformed, HDW_E_UNSUPPORTED a character set that is not converted, HDW_E_CHARSET (strict), HDW_E_LIMIT, HDW_E_NOMEM. */
hdw_status hl7_parse(arena *a, const char *bytes, size_t len, const hl7_opts *opts, hl7_msg **out, hl7_problem *why);

/* The segments of MSH that a listener needs, found without building anything: raw slices of the input (not decoded), empty when absent.
 * HDW_E_SYNTAX when there is no usable MSH at the start (after the bytes that hl7_parse would skip). */
typedef struct hl7_head {
  hl7_delims d;
  hl7_slice encoding;                           /* MSH-2 as written */
  hl7_slice app, facility, to_app, to_facility; /* MSH-3 .. MSH-6 */
  hl7_slice time, type, event, structure;       /* MSH-7, MSH-9.1, .2, .3 */
  hl7_slice control_id, processing, version;    /* MSH-10, 11, 12 */
  hl7_slice sequence, continuation;             /* MSH-13, 14 */
  hl7_slice accept_ack, app_ack, charset;       /* MSH-15, 16, 18 */
} hl7_head;
hdw_status hl7_head_read(const char *bytes, size_t len, hl7_head *out, hl7_problem *why);

/* Bytes of the message with every segment ended by one CR. */
hdw_status hl7_bytes(arena *a, const hl7_msg *m, hl7_slice *out);

/* ---- read -------------------------------------------------------------------------------------------------------------------------------
 */

/* The message as a value. */
hdw_status hl7_value(arena *a, const hl7_msg *m, val *out);
/* First segment of that name at or after index `from`, or HL7_NO_SEGMENT. */
uint32_t hl7_find(const hl7_msg *m, uint32_t name, uint32_t from);
/* Number of fields of a segment as written (MSH-1 counts). */
uint32_t hl7_field_count(const hl7_msg *m, uint32_t seg);
/* A field as written, all repetitions, not decoded. Beyond the end: empty. */
hl7_slice hl7_field_raw(const hl7_msg *m, uint32_t seg, uint32_t field);
/* A (sub)component as written: rep from 0; comp, sub from 1 or 0 for the whole. */
hl7_slice hl7_raw(const hl7_msg *m, uint32_t seg, uint32_t field, uint32_t rep, uint32_t comp, uint32_t sub);
/* The bytes of a node as written (segments with their name). */
hl7_slice hl7_node_raw(const hl7_node *n);

/* Segments of that name, in message order: `msg.PID`. base: message, group or segment node(s). */
hdw_status hl7_segments(vm_cx *cx, val base, uint32_t name, val *out);
/* A path on message, group or segment node(s) (H-42): every matching segment, every repetition. Empty places give nothing, with one
 * exception: empty repetitions before the last non-empty one are items, so that an item's number is its repetition. Beyond the end is
 * empty. A component of a primitive is the value itself for number 1, empty for others. */
hdw_status hl7_get(vm_cx *cx, val base, const hl7_path *p, val *out);
/* `.n` on HL7 value(s): field n of a segment, component n of a repetition, sub-component n of a component. */
hdw_status hl7_child(vm_cx *cx, val base, unsigned n, val *out);

/* Decoded text of the first place that p names, without making a node: the first segment, repetition p->rep (or 0), component p->comp (or
 * 1), sub-component p->sub (or 1). Empty for absent and for HL7 null. This is what typed loads use. */
hdw_status hl7_text(vm_cx *cx, const hl7_msg *m, const hl7_path *p, val *out);
/* The same, in segment number `seg`, whose name must be p->seg (no look-up). */
hdw_status hl7_text_in(vm_cx *cx, const hl7_msg *m, uint32_t seg, const hl7_path *p, val *out);
/* Texts of all places of p in order, without empty ones. */
hdw_status hl7_text_all(vm_cx *cx, const hl7_msg *m, const hl7_path *p, val *out);
/* Decoded text of one node: of a composite its first sub-component (SEMANTICS 7); of a segment, group or message HDW_E_TYPE. */
hdw_status hl7_node_text(vm_cx *cx, const hl7_node *n, val *out);
/* The whole of a repetition or component, delimiters included, each part decoded: `A^B` stays `A^B`. */
hdw_status hl7_node_whole(vm_cx *cx, const hl7_node *n, val *out);
bool hl7_node_is_null(const hl7_node *n);
/* Writes "PID-3[0].4.1" of a node (for messages; no values). Returns the length, less than size. */
size_t hl7_node_place(const hl7_node *n, char *out, size_t size);

/* ---- escapes and characters
 * --------------------------------------------------------------------------------------------------------------- */

enum {
  HL7_ENC_KEEP_FORMAT = 1, /* leave \.br\, \H\, \N\, \C..\, \M..\, \Z..\ in the value as the sequences they are */
  HL7_ENC_KEEP_LF = 2,     /* LF stays LF instead of \X0A\ */
  HL7_ENC_BR = 4           /* LF, CR and CRLF become \.br\ */
};
/* Escapes to text in one pass from left to right (H-35) and to UTF-8: \F\ \S\ \T\ \R\ \E\ \P\ (\L\) and \Xhh..\; formatting sequences stay
 * verbatim, a lone escape character is literal. *bad counts replaced bytes (may be NULL). *out may be raw.p itself. */
hdw_status hl7_decode(arena *a, const hl7_delims *d, charset_id cs, hl7_slice raw, val *out, size_t *bad);
/* Appends text escaped for these delimiters and in this character set (H-36): every delimiter, CR, LF. HDW_E_CHARSET for a character the
 * set lacks, HDW_E_DATA when an escape is needed and the message has no escape character. */
hdw_status hl7_encode(buf *b, const hl7_delims *d, charset_id cs, const char *utf8, size_t len, unsigned flags);

/* ---- conversion by target type (SEMANTICS 7)
 * ---------------------------------------------------------------------------------------------- */

/* Natives: args[0] is a collection of HL7 values or strings. What does not convert is left out, with one HL7_W_CONVERT each.
 * TS, DT, DTM -> date or dateTime with its precision; NM (and SN without comparator) -> decimal or integer; ID/IS Y, N -> boolean. */
hdw_status hl7_to_string(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status hl7_to_whole(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status hl7_to_date(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status hl7_to_datetime(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status hl7_to_time(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status hl7_to_decimal(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status hl7_to_int(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status hl7_to_bool(vm_cx *cx, const val *args, unsigned n, val *out);
/* isNull(): true when the item is HL7 null, false for other items, empty for empty. */
hdw_status hl7_is_null(vm_cx *cx, const val *args, unsigned n, val *out);

/* ---- model hooks (vm_model for VAL_HL7)
 * --------------------------------------------------------------------------------------------------- */

/* Message or group: segments or groups by name. Segment: field by name. Repetition and component: component by name. Unknown: empty. */
hdw_status hl7_model_member(vm_cx *cx, val item, val key, val *out);
hdw_status hl7_model_is_type(vm_cx *cx, val item, const char *type, size_t len, bool *out);
/* Text as a string; absent and HL7 null give empty. */
hdw_status hl7_model_to_system(vm_cx *cx, val item, val *out);
/* Groups of that name directly below a message or group, in order: ranges of segments matched greedily against the structure; segments that
 * do not fit (Z-segments, unknown, out of order) stay in the group that is open. Without a structure: empty. */
hdw_status hl7_group(vm_cx *cx, val base, const char *name, size_t len, val *out);
/* Says which structure a message has (else the schema is asked with MSH-9 at first use). */
void hl7_set_structure(hl7_msg *m, const hl7_struct_node *root);

/* ---- edit and build
 * ----------------------------------------------------------------------------------------------------------------------- */

typedef enum hl7_edit_op {
  HL7_SET,   /* path := value */
  HL7_REMOVE /* what value's nodes are (segments, groups; fields and parts are cleared), or, if value is empty, what path names */
} hl7_edit_op;

/* HL7_SET, by path:
 *   PID            value: segment nodes; they replace all PID in place, or are appended at the end. Empty removes all.
 *   PID-3          all repetitions := one per item of value; empty clears the field
 *   PID-3[1]       that repetition (missing ones before it become empty); one item
 *   PID-3.4, .4.1  the component of the first (or indexed) repetition; one item
 * A path names every segment of that name. A segment that is missing is appended to the message when the value is not empty.
 * Values: text, numbers, booleans (Y/N), dates and times (HL7 form), binary (base64), and HL7 nodes, which are copied as they were written,
 * with delimiters and character set translated to the target's. */
typedef struct hl7_edit {
  hl7_edit_op op;
  hl7_path path;
  val value;
} hl7_edit;

/* Applies edits in order to a message or a segment and gives a new one (value of the same level). Bytes that no edit touches stay as they
 * are, trailing delimiters included; line ends become CR. Setting MSH-18 converts the message. Errors: HDW_E_CARD several items where one
 * is wanted, HDW_E_TYPE, HDW_E_CHARSET, HDW_E_DATA, HDW_E_INVALID a path that cannot be (MSH-1), HDW_E_LIMIT over 64 MiB. */
hdw_status hl7_with(vm_cx *cx, val base, const hl7_edit *edits, unsigned n, val *out);
/* A copy of the message with what stands before its first segment of that name, and with the nth of them (from 0) and what follows up to the next.
 * VAL_EMPTY when there is none. */
hdw_status hl7_cut_part(vm_cx *cx, val base, uint32_t name, uint32_t nth, val *out);

typedef struct hl7_build_defaults {
  tm_val now;                       /* MSH-7, with its zone */
  const char *control_id;           /* MSH-10; not NULL */
  const char *version;              /* MSH-12; NULL = 2.5.1 */
  const hl7_struct_node *structure; /* order of segments; NULL = order of first mention */
  const hl7_schema *schema;         /* for MSH-9.3; NULL = the name as it stands when it has an underscore */
  const hl7_hooks *hooks;
} hl7_build_defaults;
/* A new message. name: "ADT_A08" (event or structure; MSH-9 = type^event^structure), "ACK". MSH-11 is P; whatever edits say about MSH wins.
 */
hdw_status hl7_build_message(vm_cx *cx, const char *name, size_t len, const hl7_edit *edits, unsigned n, const hl7_build_defaults *defaults,
                             val *out);
/* A new segment of that name, default delimiters, UTF-8. */
hdw_status hl7_build_segment(vm_cx *cx, uint32_t name, const hl7_edit *edits, unsigned n, val *out);

/* ---- acknowledgements (H-14 .. H-27)
 * ------------------------------------------------------------------------------------------------------ */

typedef enum hl7_outcome { HL7_OK, HL7_ERROR, HL7_REJECT } hl7_outcome;
/* What is owed for a message (H-14, H-15): code NULL = nothing is sent. Original mode: accept NULL, app AA/AE/AR.
 * lone_as_al: when only one of MSH-15/16 is set, the other counts as AL instead of NE. *lone says that it was so (lint). */
typedef struct hl7_ack_plan {
  bool enhanced, lone;
  const char *accept, *app;
} hl7_ack_plan;
void hl7_plan_ack(const hl7_head *h, hl7_outcome outcome, bool lone_as_al, hl7_ack_plan *out);

typedef struct hl7_ack_opts {
  const char *code;          /* AA AE AR CA CE CR */
  const char *text;          /* MSA-3 and user message; constant English, no values (H-27); may be NULL */
  const hl7_problem *errors; /* one ERR each (2.5 and later) or one repetition of ERR-1 (before) */
  unsigned nerrors;
  const char *control_id; /* own MSH-10; required, unique */
  tm_val now;             /* MSH-7 */
  int structure;          /* MSH-9: 0 by version (plain ACK to 2.3.x, ACK^event^ACK from 2.4), 1 plain, 2 with event */
  bool expected_sequence; /* MSA-4 is written */
  int64_t sequence;
  const hl7_head *head;   /* of the input, when it has been read; else NULL */
} hl7_ack_opts;
/* Builds the acknowledgement of an input from its raw bytes; the input need not parse further than its MSH, any field of which may be empty
 * (H-23). A missing MSH-10 turns AA/AE into AR (CA/CE into CR) with ERR 101 at MSH-10 (H-24). No usable MSH: default delimiters, AR with
 * `errors`. Ends with CR. */
hdw_status hl7_ack(arena *a, const char *in, size_t in_len, const hl7_ack_opts *o, hl7_slice *out);

typedef struct hl7_ack_error {
  hl7_slice location;             /* as written: ERR-2, or the first components of ERR-1 */
  hl7_slice code, severity, text; /* raw */
} hl7_ack_error;
typedef struct hl7_ack_info {
  char code[3];            /* "" = no MSA-1 that we know: treat as unknown (H-20) */
  hl7_slice control_id;    /* MSA-2, raw */
  hl7_slice text;          /* MSA-3, raw */
  hl7_slice own_id;        /* MSH-10 of the acknowledgement */
  uint32_t nerrors;        /* all of them; the first 8 are in errors */
  hl7_ack_error errors[8]; /* both ERR layouts (H-26) */
} hl7_ack_info;
/* Slices point into m. HDW_E_NOTFOUND when there is no MSA. */
hdw_status hl7_ack_read(const hl7_msg *m, hl7_ack_info *out);

/* ---- batches and files (H-43 .. H-45)
 * ----------------------------------------------------------------------------------------------------- */

typedef enum hl7_part_kind { HL7_PART_MESSAGE, HL7_PART_FHS, HL7_PART_BHS, HL7_PART_BTS, HL7_PART_FTS, HL7_PART_JUNK } hl7_part_kind;
typedef struct hl7_part {
  hl7_part_kind kind;
  uint32_t off, len; /* in the input, line end of the last segment included, MLLP bytes not */
  uint32_t line;     /* from 1 */
  uint32_t batch;    /* number of the BHS it is under, from 1; 0 = none */
  bool continued;    /* MESSAGE: MSH-14 is set or it ends with a DSC segment (H-45): not complete in itself */
} hl7_part;
typedef struct hl7_batch {
  const char *bytes;
  hl7_part *parts;
  uint32_t nparts, nmessages, nbatches;
  bool has_envelope; /* any of FHS, BHS, BTS, FTS */
  bool counts_wrong; /* some BTS-1 or FTS-1 contradicts what is there; `problem` says where */
  hl7_problem problem;
} hl7_batch;
/* Splits an input at every MSH that begins a line; a single message is a batch of one. Lines before the first segment are JUNK.
 * HDW_E_SYNTAX when there is neither MSH nor FHS nor BHS. */
hdw_status hl7_split(arena *a, const char *bytes, size_t len, hl7_batch **out, hl7_problem *why);

/* Answer to a batch (H-44): BHS (delimiters and parties of the received BHS swapped; BHS-11 = control_id, BHS-12 = BHS-11 received), the
 * given acknowledgements, BTS with their count. `batch` is the number of the BHS in b, from 1. Zero acknowledgements are legal. */
hdw_status hl7_batch_ack(arena *a, const hl7_batch *b, uint32_t batch, const hl7_slice *acks, unsigned nacks, const char *control_id,
                         const tm_val *now, hl7_slice *out);

/* ---- JSON form
 * ---------------------------------------------------------------------------------------------------------------------------- */

/* A document for json_write, without loss:
 *   {"hl7": {"delimiters": "|^~\\&", "charset": "8859/1"},            charset only when it is not UTF-8 or ASCII
 *    "segments": [{"name": "PID", "fields": [null, "x", ["SMITH", "J"], {"repeats": ["a", ["b", ["c", "d"]]]}]}]}
 * A field is null (absent), text, an array of components (each null, text or an array of sub-components) or {"repeats": [...]}.
 * fields[0] is field 1. Text is decoded where encoding it again gives the same bytes; else it is {"raw": text} (escapes as written), or
 * {"bytes": base64} when it is not text in the message's character set. */
hdw_status hl7_to_json(vm_cx *cx, const hl7_msg *m, val *out);
/* The way back; every segment ends with CR. HDW_E_TYPE and HDW_E_DATA name the place in cx->err. */
hdw_status hl7_from_json(vm_cx *cx, val doc, hl7_slice *out);

#endif
