/* std_int.h - natives that are no part of FHIRPath: templates, JSON, hashes, sorting, typed objects, and HL7 v2 access for generated code. */
#ifndef HDW_STD_INT_H
#define HDW_STD_INT_H
#include "fhir_validate.h"
#include "native.h"

/* OP_TEXT: a template as plain text. A hole with several items is joined by ", "; an empty one adds nothing. */
hdw_status std_text(vm_cx *cx, const val *args, unsigned n, val *out);
/* Adds the problems of a report as objects {severity, rule, path, text}. */
hdw_status std_report(arena *a, val_builder *b, const fhir_report *r);

#endif
