#include "hl7_dict.h"
#include <string.h>
#include "dict.h"
#include "hl7_tables.inc"

const hl7_struct_node *hl7_dict_tree(int structure) {
  return structure >= 0 && structure < (int)(sizeof hl7_roots / sizeof *hl7_roots) ? &hl7_roots[structure] : NULL;
}

static int segment_of(uint32_t name) {
  char text[4];
  hl7_name_text(name, text);
  return dict_segment(text, 3);
}

static bool schema_field(const void *user, uint32_t seg, const char *name, size_t len, unsigned *field) {
  (void)user;
  *field = dict_field_by_alias(segment_of(seg), name, len);
  return *field != 0;
}

static bool schema_component(const void *user, uint32_t seg, unsigned field, unsigned comp, const char *name, size_t len, unsigned *position) {
  (void)user;
  int s = segment_of(seg);
  dict_info f;
  if (comp == 0) {
    *position = dict_field_component(s, field, name, len, NULL);
  } else {
    bool known = dict_field(s, field, &f) && dict_component(f.type, comp, &f);
    *position = known ? dict_component_by_name(f.type, name, len) : 0;
  }
  return *position != 0;
}

static const hl7_struct_node *schema_structure(const void *user, hl7_slice type, hl7_slice event, hl7_slice id, hl7_slice *name) {
  (void)user;
  int s = dict_structure_for(type.p, type.len, event.p, event.len);
  if (s < 0 && id.len > 0) s = dict_message(id.p, id.len);
  if (s < 0) return NULL;
  if (name) *name = (hl7_slice){dict_structure_name(s), (uint32_t)strlen(dict_structure_name(s))};
  return hl7_dict_tree(s);
}

const hl7_schema hl7_dict_schema = {.field = schema_field, .component = schema_component, .structure = schema_structure, .user = NULL};
