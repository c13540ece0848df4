#include "zone.h"
#include <stdio.h>
#include <string.h>

enum { ZONE_FILE_MAX = 256 << 10, ZONE_NAME_MAX = 64 };

struct zone {
  uint32_t n;              /* changes */
  int64_t *at;             /* Unix seconds of each change, rising */
  int16_t *offset_min;     /* from that change on */
  int16_t first_min;       /* before the first change */
};

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static int64_t be64(const uint8_t *p) { return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4)); }

/* [+-]hh:mm or [+-]hhmm. */
static bool fixed(const char *s, int16_t *min) {
  int d[4], n = 0;
  if (s[0] != '+' && s[0] != '-') return false;
  for (const char *p = s + 1; *p; p++) {
    if (*p == ':' && n == 2 && p == s + 3) continue;
    if (*p < '0' || *p > '9' || n == 4) return false;
    d[n++] = *p - '0';
  }
  if (n != 4 || d[0] * 10 + d[1] > 14 || d[2] > 5) return false;
  *min = (int16_t)((s[0] == '-' ? -1 : 1) * ((d[0] * 10 + d[1]) * 60 + d[2] * 10 + d[3]));
  return true;
}

static bool name_ok(const char *s) {
  size_t n = strlen(s);
  if (n == 0 || n > ZONE_NAME_MAX || s[0] == '/' || strstr(s, "..")) return false;
  for (; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("/_+-", *s))) return false;
  return true;
}

/* One data block: header counts, then 4- or 8-byte times. *size is the block's length, header included. */
static hdw_status block(arena *a, const uint8_t *p, size_t len, unsigned time_bytes, zone *z, size_t *size) {
  if (len < 44 || memcmp(p, "TZif", 4) != 0) return HDW_E_CORRUPT;
  uint64_t isut = be32(p + 20), isstd = be32(p + 24), leap = be32(p + 28), times = be32(p + 32), types = be32(p + 36), chars = be32(p + 40);
  uint64_t want = 44 + times * time_bytes + times + types * 6 + chars + leap * (time_bytes + 4) + isstd + isut;
  if (want > len || types == 0 || types > 256) return HDW_E_CORRUPT;
  *size = (size_t)want;
  if (!z) return HDW_OK;
  const uint8_t *t = p + 44, *index = t + times * time_bytes, *info = index + times;
  z->n = (uint32_t)times;
  z->at = (int64_t *)arena_alloc(a, times * sizeof *z->at);
  z->offset_min = (int16_t *)arena_alloc(a, times * sizeof *z->offset_min);
  if (!z->at || !z->offset_min) return HDW_E_NOMEM;
  z->first_min = (int16_t)((int32_t)be32(info) / 60);
  for (uint32_t i = 0; i < times; i++) {
    if (index[i] >= types) return HDW_E_CORRUPT;
    z->at[i] = time_bytes == 8 ? be64(t + i * 8) : (int64_t)(int32_t)be32(t + i * 4);
    int32_t off = (int32_t)be32(info + index[i] * 6);
    if (off < -90000 || off > 90000 || (i && z->at[i] <= z->at[i - 1])) return HDW_E_CORRUPT;
    z->offset_min[i] = (int16_t)(off / 60);
  }
  return HDW_OK;
}

hdw_status zone_load(io *x, arena *a, const char *name, zone **out) {
  zone *z = (zone *)arena_zalloc(a, 1, sizeof *z);
  if (!z) return HDW_E_NOMEM;
  *out = z;
  if (fixed(name, &z->first_min)) return HDW_OK;
  if (!name_ok(name)) return HDW_E_NOTFOUND;
  char path[160];
  snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
  io_stat_info info;
  int fd;
  if (io_stat(x, path, &info) || info.size_bytes > ZONE_FILE_MAX || io_open(x, path, IO_O_READ, &fd)) return HDW_E_NOTFOUND;
  uint8_t *p = (uint8_t *)arena_alloc(a, (size_t)info.size_bytes + 1);
  size_t got = 0, size = 0;
  hdw_status s = p ? io_pread(x, fd, p, (size_t)info.size_bytes, 0, &got) : HDW_E_NOMEM;
  io_fclose(x, fd);
  if (s) return s;
  if (got > 4 && p[4] >= '2') { /* version 2 and later: a block with 64-bit times follows the old one */
    s = block(a, p, got, 4, NULL, &size);
    return s ? s : block(a, p + size, got - size, 8, z, &size);
  }
  return block(a, p, got, 4, z, &size);
}

int16_t zone_offset_at(const zone *z, int64_t unix_s) {
  uint32_t lo = 0, hi = z->n;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    if (z->at[mid] <= unix_s) lo = mid + 1; else hi = mid;
  }
  return lo ? z->offset_min[lo - 1] : z->first_min;
}

int16_t zone_offset(const zone *z, const tm_val *local) {
  tm_val utc = *local;
  int64_t us = 0;
  utc.has_zone = true;
  utc.zone_min = 0;
  if (tm_to_unix_us(&utc, &us)) return z->first_min;
  int64_t s = us / 1000000;
  int16_t off = zone_offset_at(z, s - (int64_t)z->first_min * 60);
  int16_t later = zone_offset_at(z, s - (int64_t)off * 60);
  return zone_offset_at(z, s - (int64_t)later * 60) == later ? later : off;
}
