/* host.h - the machine's host: natives of builtins.def, operators beyond the inline cases, and conversions to declared types. */
#ifndef HDW_HOST_H
#define HDW_HOST_H
#include "run.h"

/* Constant data; for vm_bind and vm_start. */
const vm_host *host_get(void);
/* Converts one item to the type named by a CHECK ("string", "date", "FHIR.Patient", "object", "message" ...). HDW_E_DATA when it does not
 * convert, *out empty when it holds nothing (HL7 null, absent components). */
hdw_status host_convert(vm_cx *cx, val item, const char *type, size_t len, val *out);

#endif
