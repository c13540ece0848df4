#include "charset.h"
#include "charset_tables.h"
#include <string.h>

/* How a set of one byte per character maps: 0x80-0x9F and 0xA0-0xFF; NULL is the identity (ISO 8859-1). */
typedef struct half_map {
  const uint16_t *low, *high;
} half_map;

static bool half_of(charset_id id, half_map *m) {
  static const uint16_t *const high[] = {NULL,        half_8859_2, half_8859_3,  half_8859_4,  half_8859_5,  half_8859_6,  half_8859_7,
                                         half_8859_8, half_8859_9, half_8859_10, half_8859_11, half_8859_13, half_8859_14, half_8859_15};
  *m = (half_map){NULL, NULL};
  if (id == CHARSET_1252) m->low = half_1252;
  else if (id >= CHARSET_8859_1 && id <= CHARSET_8859_15) m->high = high[id - CHARSET_8859_1];
  else return false;
  return true;
}

static const struct spelling {
  const char *name; /* letters and digits only, upper case */
  charset_id id;
} spellings[] = {
    {"ASCII", CHARSET_ASCII},       {"USASCII", CHARSET_ASCII},      {"ISOIR6", CHARSET_ASCII},     {"ISO646", CHARSET_ASCII},
    {"7BIT", CHARSET_ASCII},        {"UNICODEUTF8", CHARSET_UTF8},   {"UTF8", CHARSET_UTF8},        {"UNICODE", CHARSET_UTF8},
    {"ISOIR192", CHARSET_UTF8},     {"UNICODEUTF16", CHARSET_UTF16}, {"UTF16", CHARSET_UTF16},      {"UNICODEUTF32", CHARSET_UTF32},
    {"UTF32", CHARSET_UTF32},       {"WINDOWS1252", CHARSET_1252},   {"CP1252", CHARSET_1252},      {"ANSI", CHARSET_1252},
    {"LATIN1", CHARSET_8859_1},     {"ISOIR100", CHARSET_8859_1},    {"ISOIR101", CHARSET_8859_2},  {"ISOIR109", CHARSET_8859_3},
    {"ISOIR110", CHARSET_8859_4},   {"ISOIR144", CHARSET_8859_5},    {"ISOIR127", CHARSET_8859_6},  {"ISOIR126", CHARSET_8859_7},
    {"ISOIR138", CHARSET_8859_8},   {"ISOIR148", CHARSET_8859_9},    {"ISOIR166", CHARSET_8859_11}, {"ISOIR203", CHARSET_8859_15},
    {"ISOIR13", CHARSET_JIS},       {"ISOIR14", CHARSET_JIS},        {"ISOIR87", CHARSET_JIS},      {"ISOIR159", CHARSET_JIS},
    {"JAS2020", CHARSET_JIS},       {"JISX0202", CHARSET_JIS},       {"ISO2022JP", CHARSET_JIS},    {"GB180302000", CHARSET_GB18030},
    {"GB18030", CHARSET_GB18030},   {"KSX1001", CHARSET_KSX1001},    {"ISOIR149", CHARSET_KSX1001}, {"CNS116431992", CHARSET_CNS11643},
    {"CNS11643", CHARSET_CNS11643}, {"BIG5", CHARSET_BIG5},
};

charset_id charset_find(const char *name, size_t len) {
  char t[24] = "";
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    char c = name[i];
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) {
      if (c == ' ' || c == '-' || c == '/' || c == '_' || c == '.' || c == ':') continue;
      return CHARSET_UNKNOWN;
    }
    if (n == sizeof t - 1) return CHARSET_UNKNOWN;
    t[n++] = c;
  }
  t[n] = 0;
  if (n == 0) return CHARSET_NONE;
  const char *part = strncmp(t, "ISO8859", 7) == 0 ? t + 7 : strncmp(t, "8859", 4) == 0 ? t + 4 : NULL;
  if (part && part[0] >= '1' && part[0] <= '9' && (!part[1] || (part[1] >= '0' && part[1] <= '9' && !part[2]))) {
    static const uint8_t ids[] = {0,
                                  CHARSET_8859_1,
                                  CHARSET_8859_2,
                                  CHARSET_8859_3,
                                  CHARSET_8859_4,
                                  CHARSET_8859_5,
                                  CHARSET_8859_6,
                                  CHARSET_8859_7,
                                  CHARSET_8859_8,
                                  CHARSET_8859_9,
                                  CHARSET_8859_10,
                                  CHARSET_8859_11,
                                  CHARSET_UNKNOWN,
                                  CHARSET_8859_13,
                                  CHARSET_8859_14,
                                  CHARSET_8859_15};
    int k = part[1] ? (part[0] - '0') * 10 + part[1] - '0' : part[0] - '0';
    return k < (int)sizeof ids ? (charset_id)ids[k] : CHARSET_UNKNOWN;
  }
  for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
    if (strcmp(t, spellings[i].name) == 0) return spellings[i].id;
  return CHARSET_UNKNOWN;
}

const char *charset_name(charset_id id) {
  static const char *const names[] = {
      "",       "ASCII",          "UNICODE UTF-8",  "8859/1",   "8859/2",        "8859/3",    "8859/4",         "8859/5",  "8859/6",
      "8859/7", "8859/8",         "8859/9",         "8859/10",  "8859/11",       "8859/13",   "8859/14",        "8859/15", "WINDOWS-1252",
      "",       "UNICODE UTF-16", "UNICODE UTF-32", "ISO IR87", "GB 18030-2000", "KS X 1001", "CNS 11643-1992", "BIG-5",   ""};
  return (size_t)id < sizeof names / sizeof *names ? names[id] : "";
}

bool charset_supported(charset_id id) {
  half_map m;
  return id == CHARSET_ASCII || id == CHARSET_UTF8 || id == CHARSET_AUTO || half_of(id, &m);
}

const char *charset_refusal(charset_id id) {
  switch (id) {
  case CHARSET_UTF16: return "UTF-16 is read only by its byte order mark";
  case CHARSET_UTF32: return "UTF-32 is read only by its byte order mark";
  case CHARSET_JIS: return "the Japanese sets ISO IR14, IR87 and IR159 are not converted by this version";
  case CHARSET_GB18030: return "GB 18030-2000 is not converted by this version";
  case CHARSET_KSX1001: return "KS X 1001 is not converted by this version";
  case CHARSET_CNS11643: return "CNS 11643-1992 is not converted by this version";
  case CHARSET_BIG5: return "BIG-5 is not converted by this version";
  default: return "the character set named in MSH-18 is not known";
  }
}

bool charset_is_ascii(const char *s, size_t len) {
  size_t i = 0;
  for (; len - i >= 8; i += 8) {
    uint64_t w;
    memcpy(&w, s + i, 8);
    if (w & 0x8080808080808080u) return false;
  }
  for (; i < len; i++)
    if (s[i] & 0x80) return false;
  return true;
}

/* Length of the well-formed sequence at u, 0 when there is none; *cp its character. */
static unsigned utf8_one(const unsigned char *u, size_t len, uint32_t *cp) {
  unsigned c = u[0];
  if (c < 0x80) return *cp = c, 1;
  if (c < 0xC2 || c > 0xF4) return 0;
  unsigned n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (len < n) return 0;
  unsigned lo = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, hi = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
  if (u[1] < lo || u[1] > hi) return 0;
  uint32_t v = c & (n == 2 ? 0x1Fu : n == 3 ? 0x0Fu : 0x07u);
  for (unsigned i = 1; i < n; i++) {
    if ((u[i] & 0xC0) != 0x80) return 0;
    v = v << 6 | (u[i] & 0x3Fu);
  }
  *cp = v;
  return n;
}

size_t charset_utf8_prefix(const char *s, size_t len) {
  size_t i = 0;
  uint32_t cp;
  while (i < len) {
    if (!(s[i] & 0x80)) {
      i++;
      continue;
    }
    unsigned n = utf8_one((const unsigned char *)s + i, len - i, &cp);
    if (!n) break;
    i += n;
  }
  return i;
}

static size_t utf8_put(char *o, uint32_t cp) {
  if (cp < 0x80) return o[0] = (char)cp, 1;
  if (cp < 0x800) return o[0] = (char)(0xC0 | cp >> 6), o[1] = (char)(0x80 | (cp & 0x3F)), 2;
  if (cp < 0x10000) return o[0] = (char)(0xE0 | cp >> 12), o[1] = (char)(0x80 | (cp >> 6 & 0x3F)), o[2] = (char)(0x80 | (cp & 0x3F)), 3;
  o[0] = (char)(0xF0 | cp >> 18);
  o[1] = (char)(0x80 | (cp >> 12 & 0x3F));
  o[2] = (char)(0x80 | (cp >> 6 & 0x3F));
  o[3] = (char)(0x80 | (cp & 0x3F));
  return 4;
}

/* Character of one byte above 0x7F; 0 when the set has none. */
static uint32_t half_get(const half_map *m, unsigned c) {
  if (c < 0xA0) return m->low ? m->low[c - 0x80] : c;
  return m->high ? m->high[c - 0xA0] : c;
}

hdw_status charset_to_utf8(arena *a, charset_id id, const char *s, size_t len, const char **out, size_t *out_len, size_t *bad) {
  size_t nbad = 0;
  if (bad) *bad = 0;
  if (!charset_supported(id)) return HDW_E_UNSUPPORTED;
  *out = s;
  *out_len = len;
  if (len > INT32_MAX) return HDW_E_LIMIT;
  if (charset_is_ascii(s, len)) return HDW_OK;
  if (id == CHARSET_UTF8 || id == CHARSET_AUTO) {
    if (charset_utf8_prefix(s, len) == len) return HDW_OK;
    if (id == CHARSET_AUTO) id = CHARSET_1252;
  }
  half_map m = {NULL, NULL};
  bool half = half_of(id, &m);
  char *p = (char *)arena_alloc(a, len * 3);
  if (!p) return HDW_E_NOMEM;
  size_t o = 0;
  for (size_t i = 0; i < len;) {
    unsigned char c = (unsigned char)s[i];
    uint32_t cp = 0;
    unsigned n = 1;
    if (c < 0x80) cp = c;
    else if (half) cp = half_get(&m, c);
    else if (id == CHARSET_UTF8 && (n = utf8_one((const unsigned char *)s + i, len - i, &cp)) == 0) n = 1, cp = 0;
    if (cp == 0 && c != 0) {
      cp = 0xFFFD;
      nbad++;
    }
    o += utf8_put(p + o, cp);
    i += n;
  }
  *out = p;
  *out_len = o;
  if (bad) *bad = nbad;
  return HDW_OK;
}

static bool half_put(const half_map *m, uint32_t cp, char *o) {
  if (cp >= 0x80 && cp <= 0xFF && half_get(m, cp) == cp) return *o = (char)cp, true;
  for (unsigned c = 0x80; c <= 0xFF; c++)
    if (half_get(m, c) == cp) return *o = (char)c, true;
  return false;
}

hdw_status charset_from_utf8(arena *a, charset_id id, const char *s, size_t len, const char **out, size_t *out_len, size_t *at) {
  if (!charset_supported(id)) return HDW_E_UNSUPPORTED;
  *out = s;
  *out_len = len;
  if (charset_is_ascii(s, len)) return HDW_OK;
  size_t i = charset_utf8_prefix(s, len);
  if (at) *at = i;
  if (i < len) return HDW_E_CHARSET;
  if (id == CHARSET_UTF8 || id == CHARSET_AUTO) return HDW_OK;
  half_map m = {NULL, NULL};
  bool half = half_of(id, &m);
  char *p = (char *)arena_alloc(a, len);
  if (!p) return HDW_E_NOMEM;
  size_t o = 0;
  uint32_t cp;
  for (i = 0; i < len; o++) {
    unsigned n = utf8_one((const unsigned char *)s + i, len - i, &cp);
    if (cp < 0x80) p[o] = (char)cp;
    else if (!half || !half_put(&m, cp, p + o)) {
      if (at) *at = i;
      return HDW_E_CHARSET;
    }
    i += n;
  }
  *out = p;
  *out_len = o;
  return HDW_OK;
}

charset_id charset_bom(const char *s, size_t len, size_t *mark_len) {
  const unsigned char *u = (const unsigned char *)s;
  *mark_len = 0;
  if (len >= 3 && u[0] == 0xEF && u[1] == 0xBB && u[2] == 0xBF) return *mark_len = 3, CHARSET_UTF8;
  if (len >= 4 && ((u[0] == 0xFF && u[1] == 0xFE && !u[2] && !u[3]) || (!u[0] && !u[1] && u[2] == 0xFE && u[3] == 0xFF)))
    return *mark_len = 4, CHARSET_UTF32;
  if (len >= 2 && ((u[0] == 0xFF && u[1] == 0xFE) || (u[0] == 0xFE && u[1] == 0xFF))) return *mark_len = 2, CHARSET_UTF16;
  return CHARSET_NONE;
}

/* One unit of 2 or 4 bytes. */
static uint32_t wide_unit(const unsigned char *u, unsigned size, bool little) {
  uint32_t v = 0;
  for (unsigned i = 0; i < size; i++) v = v << 8 | u[little ? size - 1 - i : i];
  return v;
}

hdw_status charset_wide_to_utf8(arena *a, charset_id id, const char *s, size_t len, const char **out, size_t *out_len, size_t *bad) {
  size_t mark, nbad = 0, o = 0;
  if ((id != CHARSET_UTF16 && id != CHARSET_UTF32) || charset_bom(s, len, &mark) != id) return HDW_E_INVALID;
  if (len > INT32_MAX) return HDW_E_LIMIT;
  const unsigned char *u = (const unsigned char *)s;
  bool little = u[0] == 0xFF;
  unsigned size = id == CHARSET_UTF16 ? 2 : 4;
  char *p = (char *)arena_alloc(a, len / size * 4 + 4);
  if (!p) return HDW_E_NOMEM;
  for (size_t i = mark; i < len; i += size) {
    uint32_t v = len - i < size ? 0xD800 : wide_unit(u + i, size, little);
    if (size == 2 && v >= 0xD800 && v < 0xDC00 && len - i >= 4) {
      uint32_t w = wide_unit(u + i + 2, 2, little);
      if (w >= 0xDC00 && w < 0xE000) {
        v = 0x10000 + ((v - 0xD800) << 10) + (w - 0xDC00);
        i += 2;
      }
    }
    if (v > 0x10FFFF || (v >= 0xD800 && v < 0xE000)) {
      v = 0xFFFD;
      nbad++;
    }
    o += utf8_put(p + o, v);
  }
  *out = p;
  *out_len = o;
  if (bad) *bad = nbad;
  return HDW_OK;
}
