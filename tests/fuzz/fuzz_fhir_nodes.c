/* Any JSON, taken as a resource or (first byte) as any FHIR type: every member and child is reachable, every item has a type or none, and what the
 * model gives can be asked for its type and its System value. */
#include <stdlib.h>
#include <string.h>
#include "fhir.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *get(mem *m, size_t n) {
  (void)m;
  return malloc(n);
}

static void put(mem *m, void *p, size_t n) {
  (void)m, (void)n;
  free(p);
}

static void look(vm_cx *cx, val coll, int depth) {
  for (uint32_t i = 0; i < val_count(coll); i++) {
    val item = val_item(coll, i), v;
    const char *space, *name;
    bool yes;
    fhir_model_type(item, &space, &name);
    if (strcmp(space, "FHIR") == 0) {
      hdw_status s = fhir_model_is(cx, item, name, strlen(name), &yes);
      if (s != HDW_OK || !yes) abort();
    }
    if (fhir_model_system(cx, item, &v) != HDW_OK || depth > 12) return;
    if (item.tag != VAL_OBJ) continue;
    for (uint32_t k = 0; k < item.len; k++)
      if (fhir_model_member(cx, item, item.u.v[2 * k], &v) != HDW_OK) return;
    fhir_element_info e;
    for (unsigned k = 0; fhir_element_at(item.aux, k, &e); k++)
      if (fhir_model_member(cx, item, val_key(e.name, strlen(e.name)), &v) != HDW_OK) return;
    if (fhir_model_children(cx, item, &v) != HDW_OK) return;
    look(cx, v, depth + 1);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  mem m = {get, put, NULL};
  arena a;
  arena_init(&a, &m, 8u << 20);
  json_reader r;
  json_reader_init(&r, &m);
  val v;
  if (json_read(&r, &a, (const char *)data + 1, size - 1, NULL, &v, NULL) == HDW_OK) {
    vm_cx cx = {.a = &a, .fuel = 100000};
    val resource = fhir_adopt(v);
    look(&cx, resource.aux ? resource : fhir_as(v, (uint16_t)(data[0] * 3 + 1)), 0);
  }
  json_reader_free(&r);
  arena_free(&a);
  return 0;
}
