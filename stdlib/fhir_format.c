/* How primitives are written in JSON: the regular expressions of the R4 data types page as scanners, linear and without memory. */
#include <string.h>
#include "fhir.h"

static bool digit(char c) {
  return c >= '0' && c <= '9';
}

static bool alnum(char c) {
  return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* No characters below 32 but tab and line ends. */
static bool is_text(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)s[i] < 32 && !space(s[i])) return false;
  return len > 0;
}

/* No blank at either end, single blanks inside. */
static bool is_code(const char *s, size_t len) {
  if (len == 0 || space(s[0]) || space(s[len - 1])) return false;
  for (size_t i = 1; i < len; i++)
    if (space(s[i]) && space(s[i - 1])) return false;
  return is_text(s, len);
}

static bool is_id(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!alnum(s[i]) && s[i] != '-' && s[i] != '.') return false;
  return len >= 1 && len <= 64;
}

static bool is_uri(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)s[i] <= 32) return false;
  return len > 0;
}

/* urn:oid:2.16.840: first arc 0, 1 or 2, no leading zeros. */
static bool is_oid(const char *s, size_t len) {
  if (len < 9 || memcmp(s, "urn:oid:", 8) != 0 || s[8] < '0' || s[8] > '2') return false;
  size_t i = 9, arcs = 0;
  for (; i < len; arcs++) {
    if (s[i] != '.' || i + 1 >= len || !digit(s[i + 1])) return false;
    bool zero = s[++i] == '0';
    size_t from = i;
    while (i < len && digit(s[i])) i++;
    if (zero && i > from + 1) return false;
  }
  return arcs > 0;
}

/* urn:uuid: and 8-4-4-4-12 hexadecimal digits. */
static bool is_uuid(const char *s, size_t len) {
  if (len != 45 || memcmp(s, "urn:uuid:", 9) != 0) return false;
  for (size_t i = 9; i < len; i++) {
    bool dash = i == 17 || i == 22 || i == 27 || i == 32;
    if (dash ? s[i] != '-' : !digit(s[i]) && !(s[i] >= 'a' && s[i] <= 'f') && !(s[i] >= 'A' && s[i] <= 'F')) return false;
  }
  return true;
}

/* A time of day needs its seconds, a dateTime with a time its zone; second 60 (a leap second) is a legal instant. */
static bool is_time_form(fhir_format f, const char *s, size_t len) {
  tm_val t;
  char copy[TM_TEXT_MAX];
  size_t at = f == FHIR_FMT_TIME ? 6 : 17;
  if (f != FHIR_FMT_DATE && len < sizeof copy && len > at + 1 && memcmp(s + at, "60", 2) == 0) {
    memcpy(copy, s, len);
    memcpy(copy + at, "59", 2);
    s = copy;
  }
  if (f == FHIR_FMT_DATE) return tm_parse_date(s, len, &t) == HDW_OK;
  if (f == FHIR_FMT_TIME) return tm_parse_time(s, len, &t) == HDW_OK && t.prec >= TM_SECOND;
  if (tm_parse_datetime(s, len, &t) != HDW_OK || s[len - 1] == 'T') return false;
  return t.prec >= TM_SECOND ? t.has_zone : f == FHIR_FMT_DATETIME && t.prec <= TM_DAY;
}

/* Blanks are allowed anywhere; whole groups of four, padded at the end only. */
static bool is_base64(const char *s, size_t len) {
  size_t n = 0, pad = 0;
  for (size_t i = 0; i < len; i++) {
    if (space(s[i])) continue;
    n++;
    if (s[i] == '=')
      pad++;
    else if (pad || !(alnum(s[i]) || s[i] == '+' || s[i] == '/'))
      return false;
  }
  return n > 0 && n % 4 == 0 && pad <= 2;
}

/* One <div> element (its content is not looked at). */
static bool is_xhtml(const char *s, size_t len) {
  while (len && space(*s)) s++, len--;
  while (len && space(s[len - 1])) len--;
  if (len < 6 || memcmp(s, "<div", 4) != 0 || (s[4] != '>' && s[4] != '/' && !space(s[4]))) return false;
  return s[len - 1] == '>';
}

bool fhir_format_ok(fhir_format f, const char *s, size_t len) {
  switch (f) {
    case FHIR_FMT_STRING: return is_text(s, len);
    case FHIR_FMT_CODE: return is_code(s, len);
    case FHIR_FMT_ID: return is_id(s, len);
    case FHIR_FMT_URI: return is_uri(s, len);
    case FHIR_FMT_OID: return is_oid(s, len);
    case FHIR_FMT_UUID: return is_uuid(s, len);
    case FHIR_FMT_DATE: case FHIR_FMT_DATETIME: case FHIR_FMT_INSTANT: case FHIR_FMT_TIME: return is_time_form(f, s, len);
    case FHIR_FMT_BASE64: return is_base64(s, len);
    case FHIR_FMT_XHTML: return is_xhtml(s, len);
    case FHIR_FMT_NONE: case FHIR_FMT_BOOLEAN: case FHIR_FMT_INTEGER: case FHIR_FMT_UNSIGNED: case FHIR_FMT_POSITIVE: case FHIR_FMT_DECIMAL: return true;
  }
  return true;
}

const char *fhir_format_text(fhir_format f) {
  switch (f) {
    case FHIR_FMT_BOOLEAN: return "true or false, without quotes";
    case FHIR_FMT_INTEGER: return "a whole number of 32 bits, without quotes";
    case FHIR_FMT_UNSIGNED: return "a whole number from 0 on, without quotes";
    case FHIR_FMT_POSITIVE: return "a whole number from 1 on, without quotes";
    case FHIR_FMT_DECIMAL: return "a number, without quotes";
    case FHIR_FMT_STRING: return "a text that is not empty";
    case FHIR_FMT_CODE: return "a code: not empty, no blank at its ends, single blanks inside";
    case FHIR_FMT_ID: return "an id: 1 to 64 letters, digits, '-' and '.'";
    case FHIR_FMT_URI: return "a URI: not empty, no blanks";
    case FHIR_FMT_OID: return "an OID: urn:oid: and numbers with dots";
    case FHIR_FMT_UUID: return "a UUID: urn:uuid: and 8-4-4-4-12 hexadecimal digits";
    case FHIR_FMT_DATE: return "a date: YYYY, YYYY-MM or YYYY-MM-DD, and a day that exists";
    case FHIR_FMT_DATETIME: return "a date, or YYYY-MM-DDThh:mm:ss with its zone (Z or +hh:mm)";
    case FHIR_FMT_INSTANT: return "YYYY-MM-DDThh:mm:ss with its zone (Z or +hh:mm)";
    case FHIR_FMT_TIME: return "a time: hh:mm:ss";
    case FHIR_FMT_BASE64: return "base64";
    case FHIR_FMT_XHTML: return "an XHTML <div>";
    case FHIR_FMT_NONE: break;
  }
  return "";
}
