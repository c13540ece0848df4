/* smart.h - scopes of SMART: CONTEXT/TYPE.RIGHTS (HL7/smart-app-launch, scopes-and-launch-context). The compiler compares those that a program asks for with its calls,
 * the engine those that a login granted with each call.
 *
 * RIGHTS is read, write or * (version 1), or some of the letters cruds in this order (version 2), with ?param=value behind for a part of the type's resources. */
#ifndef HDW_SMART_H
#define HDW_SMART_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SMART_C = 1, SMART_R = 2, SMART_U = 4, SMART_D = 8, SMART_S = 16, SMART_ALL = 31 };

typedef struct smart_scope {
  const char *type;          /* in the text: Patient, *; {0} when none was found */
  size_t type_len;
  uint8_t rights;            /* SMART_*; 0 unless it is whole */
  bool v1, part;
} smart_scope;

typedef enum smart_form {
  SMART_IS,
  SMART_IS_NOT,              /* openid, launch/patient, api.read: another kind of scope */
  SMART_BAD_FORM,            /* begins as one of SMART's: no type or no rights */
  SMART_BAD_RIGHTS           /* none, unknown, twice or in another order */
} smart_form;

smart_form smart_scope_read(const char *p, size_t n, smart_scope *out);
/* The right of a letter of cruds; 0 = none. */
uint8_t smart_right(char letter);
/* Letters of rights, in order. */
const char *smart_letters(uint8_t rights, char out[6]);
/* Those of `rights` on resources of this type that a list of scopes (space between them) does not grant. One with ?param=value counts as if it was without: the server
 * knows better. *any: whether there is a scope of SMART in the list at all; without one the list says nothing about rights. */
uint8_t smart_missing(const char *scopes, const char *type, uint8_t rights, bool *any);
#endif
