/* hl7_head.c - the fields of MSH that decide what becomes of a message, from the first line alone. */
#include "hl7_int.h"

hdw_status hl7_head_read(const char *bytes, size_t len, hl7_head *out, hl7_problem *why) {
  memset(out, 0, sizeof *out);
  size_t n = len, lead = hl7_trim(bytes, &n), enc;
  const char *p = bytes + lead;
  hdw_status s = hl7_read_delims(p, n, &out->d, &enc, why);
  if (!s && p[0] != 'M') {
    s = HDW_E_SYNTAX;
    if (why) *why = (hl7_problem){.status = s, .code = 100, .severity = 'E', .text = "the message does not begin with MSH"};
  }
  if (s) {
    if (why) why->offset += (uint32_t)lead;
    return s;
  }
  const char *e = (const char *)memchr(p, '\r', n);
  if (!e) e = (const char *)memchr(p, '\n', n);
  const char *end = e ? e : p + n, *q = p + 4 + enc;
  hl7_slice f[19];
  f[2] = hl7_cut(p + 4, q);
  for (unsigned i = 3; i <= 18; i++) f[i] = (hl7_slice){end, 0};
  for (unsigned i = 3; i <= 18 && q < end; i++) {
    const char *r = q + 1 < end ? (const char *)memchr(q + 1, out->d.field, (size_t)(end - q - 1)) : NULL;
    f[i] = hl7_cut(q + 1, r ? r : end);
    q = f[i].p + f[i].len;
  }
  out->encoding = f[2];
  out->app = f[3];
  out->facility = f[4];
  out->to_app = f[5];
  out->to_facility = f[6];
  out->time = f[7];
  out->type = hl7_pick(&out->d, f[9], 0, 1, 1);
  out->event = hl7_pick(&out->d, f[9], 0, 2, 1);
  out->structure = hl7_pick(&out->d, f[9], 0, 3, 1);
  out->control_id = f[10];
  out->processing = f[11];
  out->version = f[12];
  out->sequence = f[13];
  out->continuation = f[14];
  out->accept_ack = hl7_pick(&out->d, f[15], 0, 1, 1);
  out->app_ack = hl7_pick(&out->d, f[16], 0, 1, 1);
  out->charset = hl7_pick(&out->d, f[18], 0, 0, 0);
  return HDW_OK;
}
