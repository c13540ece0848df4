/* json.h - JSON of the data path: reading into values, NDJSON, writing.
 *
 * The reader is strict RFC 8259 in UTF-8 and loses nothing: numbers keep their text, strings stay slices of the input with their escapes,
 * members keep their order. The text must outlive the values that were read from it; everything else is in the arena.
 *
 *   {"a": [1, "x\n"], "_b": null}
 *
 *   VAL_OBJ  len 2, VALF_UNDERSCORE        pairs contiguous in the arena
 *     VAL_STR a (aux = val_key_hash)  -> VAL_LIST len 2, VALF_ARRAY|VALF_UNEVEN
 *                                          VAL_NUM 1       slice of the text
 *                                          VAL_STR x\n     slice of the text, VALF_ESC
 *     VAL_STR _b                      -> VAL_NULL
 *
 * Member names with escapes are resolved while reading (they then live in the arena), so that a name has one spelling and one hash:
 * keys never carry VALF_ESC. Strings with VALF_ESC have valid escapes only: what resolves them cannot fail but for memory.
 * VALF_UNEVEN is set on a list that holds null, lists, raw numbers or escaped strings.
 *
 * Beyond the grammar, refused: invalid UTF-8 (overlong forms, surrogates, above U+10FFFF), escapes of lone surrogates (they have no UTF-8
 * form), a member name that occurs twice in an object (an option keeps both), more than one value. A byte order mark at the start is skipped.
 * Nesting is limited; nothing here recurses. Time is linear in the input, whatever the keys are. */
#ifndef HDW_JSON_H
#define HDW_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "status.h"
#include "value.h"

enum { JSON_DEPTH_DEFAULT = 128, JSON_DEPTH_MAX = 100000 };

typedef enum json_dup { JSON_DUP_REJECT = 0, JSON_DUP_KEEP } json_dup;

typedef struct json_opts {
  uint32_t max_depth;       /* containers open at once; 0 = JSON_DEPTH_DEFAULT; at most JSON_DEPTH_MAX */
  size_t max_bytes;         /* longest text; 0 = 4 GiB - 1, which is also the most */
  json_dup duplicate_keys;
  uint64_t seed;            /* of the table that finds equal names in big objects; random when texts come from outside */
} json_opts;

typedef struct json_error {
  size_t offset;            /* of the offending byte, from the start of the text */
  uint32_t line, column;    /* from 1; columns count characters */
  const char *expected;     /* constant English text: what should have stood there, or which limit was met */
} json_error;

/* Working memory of a reader, kept from one text to the next. One reader serves one text at a time. */
typedef struct json_frame json_frame;
typedef struct json_reader {
  mem *mem;
  val *stack;               /* items of the open containers */
  size_t stack_cap;
  json_frame *frames;       /* the open containers */
  size_t frame_cap;
  uint32_t *table;          /* hash table of an object's names */
  size_t table_cap;
} json_reader;

/* Takes no memory yet. */
void json_reader_init(json_reader *r, mem *m);
/* Gives everything back. The reader can be used again. */
void json_reader_free(json_reader *r);

/* Reads exactly one value, with white space around it. opts NULL: defaults. err may be NULL; it is filled when the result is not HDW_OK.
 * HDW_E_SYNTAX, HDW_E_CHARSET (not UTF-8), HDW_E_LIMIT (depth, length), HDW_E_EXISTS (a name twice), HDW_E_NOMEM. After an error *out is
 * VAL_EMPTY and the arena may hold unreferenced pieces; callers that go on release to a mark. */
hdw_status json_read(json_reader *r, arena *a, const char *text, size_t len, const json_opts *opts, val *out, json_error *err);
/* Reads the first value of a stream of values with white space between them; *used is where it ended, so that text + *used is the rest.
 * A number at the end of the text counts as complete. Only white space left: HDW_E_NOTFOUND, *used = len. */
hdw_status json_read_one(json_reader *r, arena *a, const char *text, size_t len, const json_opts *opts, size_t *used, val *out, json_error *err);

/* Lines of NDJSON: one value per line, LF or CRLF, blank lines skipped, the last line with or without its end. */
typedef struct json_lines {
  const char *text;
  size_t len, pos;          /* pos: start of the next line */
  uint64_t line;            /* number of the line read last, from 1 */
} json_lines;
void json_lines_init(json_lines *it, const char *text, size_t len);
/* Next value. HDW_E_NOTFOUND after the last. Other errors as json_read, with err->offset and err->line in the whole text (line stops at
 * UINT32_MAX); the iterator is then behind the bad line, so that the caller may go on. */
hdw_status json_lines_next(json_lines *it, json_reader *r, arena *a, const json_opts *opts, val *out, json_error *err);

/* Appends an HL7 node (VAL_HL7) as JSON. */
typedef hdw_status (*json_hl7_fn)(void *user, val node, buf *out);

typedef struct json_wopts {
  bool pretty;              /* two blanks a level, one blank after ':' and a line end after each item; no line end at the end */
  bool keep_empty;          /* members whose value is the empty collection are written as null; else they are left out */
  uint32_t max_depth;       /* 0 = JSON_DEPTH_DEFAULT */
  json_hl7_fn hl7;          /* NULL: VAL_HL7 is HDW_E_TYPE */
  void *hl7_user;
} json_wopts;

/* Appends the value to b. opts NULL: compact, defaults. The output is always valid JSON in valid UTF-8:
 *   VAL_EMPTY null; VAL_BOOL, VAL_INT, VAL_LONG, VAL_NULL as they are; VAL_DEC with all its digits, VAL_NUM its text; VAL_STR a string;
 *   VAL_DATE, VAL_DATETIME, VAL_TIME a string in the FHIR form; VAL_QTY {"value":n,"unit":"mg","code":"mg"}, a calendar unit {"value":n,
 *   "unit":"day"}; VAL_LIST an array; VAL_OBJ an object; a single value with VALF_ARRAY an array of it, VAL_EMPTY with VALF_ARRAY [];
 *   VAL_BIN a string in base64; VAL_TPL a string of its parts joined; VAL_TYPE, VAL_HANDLE, VAL_BUILDER: HDW_E_TYPE.
 * Escaped are quote, backslash, U+0000..001F, U+2028, U+2029; bytes that are not UTF-8 become U+FFFD. VALF_ESC strings are copied
 * as they were read. HDW_E_LIMIT (depth, or b's maximum), HDW_E_NOMEM; b then holds an unfinished text. */
hdw_status json_write(val v, buf *b, const json_wopts *opts);
/* Appends s as a JSON string with its quotes, by the same rules. */
void json_write_str(buf *b, const char *s, size_t len);

#endif
