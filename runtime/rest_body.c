/* rest_body.c - bodies of REST requests beside JSON, text, HL7 and bytes: forms, NDJSON, multipart. */
#include <stdio.h>
#include "json.h"
#include "rest_call.h"

static hdw_status form(eng_call *call, buf *b, val o) {
  bool first = true;
  if (o.tag != VAL_OBJ) return HDW_E_TYPE;
  for (uint32_t i = 0; i < o.len; i++) {
    val k = o.u.v[2 * i], v;
    hdw_status s = val_norm(call->a, o.u.v[2 * i + 1], &v);
    for (uint32_t j = 0; !s && j < val_count(v); j++) {
      size_t len = 0;
      const char *t = eng_arg_bytes(call->a, val_item(v, j), NULL, &len);
      if (!t) return HDW_E_TYPE;
      if (!first) buf_putc(b, '&');
      first = false;
      eng_percent(b, k.u.s, k.len, "");
      buf_putc(b, '=');
      eng_percent(b, t, len, "");
    }
    if (s) return s;
  }
  return HDW_OK;
}

static hdw_status ndjson(buf *b, val v) {
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; !s && i < val_count(v); i++) {
    s = json_write(val_item(v, i), b, NULL);
    buf_putc(b, '\n');
  }
  return s;
}

/* A name in a header: quotes and line ends as browsers write them. */
static void quoted(buf *b, const char *s, size_t n) {
  buf_putc(b, '"');
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '"') buf_puts(b, "%22");
    else if ((unsigned char)s[i] < ' ') buf_putf(b, "%%%02X", (unsigned char)s[i]);
    else buf_putc(b, s[i]);
  }
  buf_putc(b, '"');
}

static bool visible(const char *s) {
  for (; *s; s++)
    if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f) return false;
  return true;
}

/* A part: a text, bytes, another value as JSON; or {content, filename, type}. */
static hdw_status part(eng_call *call, buf *b, val k, val v) {
  arena *a = call->a;
  val content = v.tag == VAL_OBJ ? jv_get(v, "content") : VAL_NONE;
  const char *file = content.tag == VAL_EMPTY ? NULL : jv_text(a, jv_get(v, "filename")), *type = content.tag == VAL_EMPTY ? NULL : jv_text(a, jv_get(v, "type"));
  if (content.tag != VAL_EMPTY) v = content;
  bool text = v.tag == VAL_STR || v.tag == VAL_TPL;
  if (!type) type = text ? NULL : v.tag == VAL_BIN ? "application/octet-stream" : v.tag == VAL_OBJ || v.tag == VAL_LIST ? "application/json" : NULL;
  if (type && !visible(type)) return HDW_E_INVALID;
  buf_puts(b, "Content-Disposition: form-data; name=");
  quoted(b, k.u.s, k.len);
  if (file) buf_puts(b, "; filename="), quoted(b, file, strlen(file));
  if (type) buf_putf(b, "\r\nContent-Type: %.200s", type);
  buf_puts(b, "\r\n\r\n");
  if (v.tag == VAL_BIN) buf_put(b, v.u.s, v.len);
  else if (v.tag == VAL_OBJ || v.tag == VAL_LIST) return json_write(v, b, NULL);
  else {
    size_t len = 0;
    const char *t = eng_arg_bytes(a, v, NULL, &len);
    if (!t) return HDW_E_TYPE;
    buf_put(b, t, len);
  }
  return HDW_OK;
}

/* The boundary comes from the idempotency key, so that a second attempt sends the same bytes; no part may hold it. */
static hdw_status multipart(eng_call *call, buf *b, val o, const char **type) {
  char *t = (char *)arena_alloc(call->a, 120);
  if (!t) return HDW_E_NOMEM;
  if (o.tag != VAL_OBJ) return HDW_E_TYPE;
  for (uint32_t i = 0; i < o.len; i++) {
    val v;
    buf one;
    buf_init(&one, call->a, 64 << 20);
    hdw_status s = val_norm(call->a, o.u.v[2 * i + 1], &v);
    if (!s) s = part(call, &one, o.u.v[2 * i], v);
    if (s || one.status) return s ? s : (hdw_status)one.status;
    if (memmem(one.p, one.len, call->idem, strlen(call->idem))) return HDW_E_DATA;
    buf_putf(b, "--hdw-%s\r\n", call->idem);
    buf_put(b, one.p, one.len);
    buf_puts(b, "\r\n");
  }
  buf_putf(b, "--hdw-%s--\r\n", call->idem);
  snprintf(t, 120, "multipart/form-data; boundary=hdw-%s", call->idem);
  *type = t;
  return HDW_OK;
}

hdw_status rest_other_body(eng_call *call, buf *b, const char **type) {
  val v;
  *type = NULL;
  if ((v = jv_get(call->request, "form")).tag != VAL_EMPTY) {
    *type = "application/x-www-form-urlencoded";
    return form(call, b, v);
  }
  if ((v = jv_get(call->request, "ndjson")).tag != VAL_EMPTY) {
    *type = "application/x-ndjson";
    hdw_status s = val_norm(call->a, v, &v);
    return s ? s : ndjson(b, v);
  }
  v = jv_get(call->request, "multipart");
  return v.tag == VAL_EMPTY ? HDW_OK : multipart(call, b, v, type);
}
