/* std_int.h - natives that are no part of FHIRPath: templates, JSON, hashes, sorting, typed objects, and HL7 v2 access for generated code. */
#ifndef HDW_STD_INT_H
#define HDW_STD_INT_H
#include "native.h"

/* OP_TEXT: a template as plain text. A hole with several items is joined by ", "; an empty one adds nothing. */
hdw_status std_text(vm_cx *cx, const val *args, unsigned n, val *out);

#endif
