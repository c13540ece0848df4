/* view_keys.c - keys of SQL on FHIR: what joins the rows of one view with those of another.
 *
 * The key of a resource is "Type/id"; that of a reference the "Type/id" it names, so the two are equal where one points to the other. A reference
 * that names no resource that way (a contained one, urn:uuid, a search, an identifier alone) has no key. */
#include "fhir.h"
#include "fp_int.h"
#include <string.h>

hdw_status std_resource_key(vm_cx *cx, const val *args, unsigned n, val *out);
hdw_status std_reference_key(vm_cx *cx, const val *args, unsigned n, val *out);

enum { ID_MAX = 64 };

static hdw_status member_text(vm_cx *cx, val obj, const char *name, val *out) {
  const val *slot = val_obj_get(obj, val_key(name, strlen(name)));
  *out = VAL_NONE;
  if (!slot || slot->tag != VAL_STR) return HDW_OK;
  return val_norm(cx->a, *slot, out);
}

static hdw_status key(vm_cx *cx, const char *type, size_t type_len, const char *id, size_t id_len, val_builder *b) {
  buf t;
  buf_init(&t, cx->a, 256);
  buf_put(&t, type, type_len);
  buf_putc(&t, '/');
  buf_put(&t, id, id_len);
  return t.status ? (hdw_status)t.status : val_push(cx->a, b, val_str(t.p, t.len));
}

static bool id_ok(const char *s, size_t n) {
  if (n == 0 || n > ID_MAX) return false;
  for (size_t i = 0; i < n; i++) {
    char c = s[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.')) return false;
  }
  return true;
}

hdw_status std_resource_key(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val_builder b = {0};
  hdw_status s = HDW_OK;
  for (uint32_t i = 0; i < val_count(args[0]) && !s; i++) {
    val item = val_item(args[0], i), type, id;
    if (item.tag != VAL_OBJ) continue;
    if ((s = member_text(cx, item, "resourceType", &type)) || (s = member_text(cx, item, "id", &id))) return s;
    if (type.tag == VAL_STR && id.tag == VAL_STR && type.len <= ID_MAX && id_ok(id.u.s, id.len)) s = key(cx, type.u.s, type.len, id.u.s, id.len, &b);
    if (!s) s = vm_charge(cx, 4);
  }
  *out = val_build(&b);
  return s;
}

/* The last Type/id of a relative or absolute reference, without a version. */
static bool parts(const char *s, size_t len, const char **type, size_t *type_len, const char **id, size_t *id_len) {
  static const char history[] = "/_history/";
  for (size_t i = 0; i + sizeof history - 1 <= len; i++)
    if (memcmp(s + i, history, sizeof history - 1) == 0) { len = i; break; }
  size_t slash = len;
  while (slash && s[slash - 1] != '/') slash--;
  if (slash < 2) return false;
  size_t start = slash - 1;
  while (start && s[start - 1] != '/') start--;
  *type = s + start;
  *type_len = slash - 1 - start;
  *id = s + slash;
  *id_len = len - slash;
  return id_ok(*id, *id_len) && fhir_resource(*type, *type_len);
}

hdw_status std_reference_key(vm_cx *cx, const val *args, unsigned n, val *out) {
  (void)n;
  val_builder b = {0};
  hdw_status s = HDW_OK;
  val want = args[1];
  if (want.tag != VAL_EMPTY && want.tag != VAL_STR) return vm_fail(cx, HDW_E_TYPE, "getReferenceKey takes a type of resource");
  if (want.tag == VAL_STR && want.len > 5 && memcmp(want.u.s, "FHIR.", 5) == 0) want = val_str(want.u.s + 5, want.len - 5);
  for (uint32_t i = 0; i < val_count(args[0]) && !s; i++) {
    val item = val_item(args[0], i), ref;
    const char *type, *id;
    size_t type_len, id_len;
    if (item.tag != VAL_OBJ) continue;
    if ((s = member_text(cx, item, "reference", &ref)) || (s = vm_charge(cx, 4 + ref.len / 16))) return s;
    if (ref.tag != VAL_STR || !parts(ref.u.s, ref.len, &type, &type_len, &id, &id_len)) continue;
    if (want.tag == VAL_STR && (want.len != type_len || memcmp(want.u.s, type, type_len) != 0)) continue;
    s = key(cx, type, type_len, id, id_len, &b);
  }
  *out = val_build(&b);
  return s;
}
