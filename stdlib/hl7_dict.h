/* hl7_dict.h - the dictionary as the schema that HL7 messages are read with. */
#ifndef HDW_HL7_DICT_H
#define HDW_HL7_DICT_H
#include "hl7.h"

/* Constant; its user is NULL. The structure of a message is decided by code and event (MSH-9.1, MSH-9.2), then by MSH-9.3 when these
 * lead nowhere: senders get the structure id wrong more often than the event. */
extern const hl7_schema hl7_dict_schema;
/* Tree of a structure by its id in dict.h; NULL when there is none. */
const hl7_struct_node *hl7_dict_tree(int structure);

#endif
