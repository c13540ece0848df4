/* model.h - the data models together, as the machine wants them: HL7 v2 for VAL_HL7, FHIR R4 for typed objects and for type names. */
#ifndef HDW_MODEL_H
#define HDW_MODEL_H
#include "native.h"

/* Constant; for vm_cx.model. A type name that belongs to the other model is known and simply not the item's type: an OBX is no Patient. */
extern const vm_model hdw_model;

#endif
