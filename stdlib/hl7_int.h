/* hl7_int.h - what the files of the HL7 module share. */
#ifndef HDW_HL7_INT_H
#define HDW_HL7_INT_H
#include "hl7.h"

/* Where a segment stands in the message structure: child numbers from the root down. `fresh` is the outermost depth at which a new group
 * begins with this segment (1 = below the message), HL7_PLACE_NONE when none does. */
enum { HL7_PLACE_NONE = 0xFF };
typedef struct hl7_place {
  uint8_t depth, fresh;
  uint8_t path[HL7_GROUP_DEPTH + 1];
} hl7_place;

/* All of it is reserved by hl7_parse, so that reading never allocates what must outlive a region. */
struct hl7_index {
  hl7_segment *segs;
  uint32_t *seps; /* one slot for each field separator of the message */
  uint32_t used, cap;
  hl7_place *places; /* one for each segment */
  const hl7_struct_node *root;
  bool asked, placed; /* the schema was asked; places are filled */
  uint32_t warnings;  /* given so far */
  uint8_t charset;    /* resolved charset_id; CHARSET_AUTO = not yet */
};

static inline bool hl7_is_header(uint32_t name) {
  return name == HL7_NAME('M', 'S', 'H') || name == HL7_NAME('F', 'H', 'S') || name == HL7_NAME('B', 'H', 'S');
}
static inline hl7_slice hl7_cut(const char *p, const char *end) { return (hl7_slice){p, (uint32_t)(end - p)}; }
static inline bool hl7_slice_null(hl7_slice s) { return s.len == 2 && s.p[0] == '"' && s.p[1] == '"'; }
static inline bool hl7_slice_is(hl7_slice s, const char *z) { return s.len == strlen(z) && memcmp(s.p, z, s.len) == 0; }

/* Delimiters from the head at p: three letters, MSH-1, MSH-2. *enc_len is the length of MSH-2. */
hdw_status hl7_read_delims(const char *p, size_t len, hl7_delims *d, size_t *enc_len, hl7_problem *why);
/* Offset of the first byte that is not a byte order mark, blank, line end or MLLP start; and length without MLLP end and line ends behind.
 */
size_t hl7_trim(const char *p, size_t *len);
/* Takes the bytes as they are: a segment table for text that is known to be well-formed (the output of an edit). */
hdw_status hl7_parse_own(arena *a, const char *bytes, size_t len, const hl7_msg *like, const hl7_delims *d, charset_id cs, bool fragment,
                         hl7_msg **out);

/* Part of a field: rep from 0, comp and sub from 1 or 0 for the whole. p of the result is inside the field even when it is empty. */
hl7_slice hl7_pick(const hl7_delims *d, hl7_slice field, uint32_t rep, uint32_t comp, uint32_t sub);
/* Number of parts that a delimiter makes of s: 1 when s is empty or has none. */
uint32_t hl7_parts(hl7_slice s, char delim, char none);
/* Next part of s: cuts at delim; false when s is used up. Start with *rest = s; a null rest.p ends it. */
static inline bool hl7_next(hl7_slice *rest, char delim, hl7_slice *part) {
  if (!rest->p) return false;
  const char *q = rest->len ? (const char *)memchr(rest->p, delim, rest->len) : NULL;
  if (!q) {
    *part = *rest;
    rest->p = NULL;
    return true;
  }
  *part = hl7_cut(rest->p, q);
  *rest = (hl7_slice){q + 1, rest->len - part->len - 1};
  return true;
}
/* Bytes as written in one message, rewritten for the delimiters and the character set of another; structure and formatting sequences are
 * kept. HDW_E_DATA when the target lacks a separator that is needed. */
hdw_status hl7_translate(buf *b, const hl7_delims *from, charset_id fcs, const hl7_delims *to, charset_id tcs, hl7_slice raw);
/* True when raw means the same in both. */
bool hl7_same_form(const hl7_delims *a, charset_id acs, const hl7_delims *b, charset_id bcs, hl7_slice raw);
charset_id hl7_charset(const hl7_msg *m);
/* Decoded text of a slice of m; counts fuel, warns of bad bytes. Empty and "" give VAL_EMPTY. */
hdw_status hl7_slice_text(vm_cx *cx, const hl7_msg *m, hl7_slice raw, const hl7_node *where, val *out);
void hl7_warn(const hl7_msg *m, hl7_warning_kind kind, const hl7_problem *where);
/* The same at a node; works the place out only when somebody listens. text is a constant. */
void hl7_warn_at(const hl7_node *n, hl7_warning_kind kind, const char *text);
hdw_status hl7_node_new(arena *a, const hl7_node *n, val *out);
/* Edits and new messages: a list of segments that is changed in place and then joined. */
enum { HL7_EDIT_MAX_BYTES = 64 << 20 };
typedef struct hl7_edit_seg {
  uint32_t name, orig; /* orig: index in the message that is edited, HL7_NO_SEGMENT for new ones */
  hl7_slice text;      /* without line end */
} hl7_edit_seg;
typedef struct hl7_draft {
  vm_cx *cx;
  const hl7_msg *base; /* NULL for a new message */
  hl7_delims d;
  hl7_slice enc; /* MSH-2 */
  charset_id cs;
  hl7_edit_seg *segs;
  uint32_t n, cap;
  const hl7_struct_node *order; /* where segments that are added belong; NULL = at the end */
  uint32_t last;                /* index of the segment added last */
} hl7_draft;
hdw_status hl7_draft_add(hl7_draft *e, uint32_t at, hl7_edit_seg seg);
hdw_status hl7_draft_edit(hl7_draft *e, const hl7_edit *edit);
/* Joins to a message; fragment: the draft is one segment. */
hdw_status hl7_draft_done(hl7_draft *e, bool fragment, hl7_msg **out);
/* When edits set MSH-18, converts the draft to that set, so that edits are written in it. */
hdw_status hl7_draft_charset(hl7_draft *e, const hl7_edit *edits, unsigned n);
/* Position for a segment that is added. */
uint32_t hl7_draft_place(const hl7_draft *e, uint32_t name);

/* Range of segments of a message, group or segment node; false for other nodes. */
bool hl7_range(const hl7_node *n, uint32_t *from, uint32_t *to);
const hl7_struct_node *hl7_root(const hl7_msg *m);

#endif
