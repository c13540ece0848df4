/* dispatch_drivers.c - the kinds of connection that the daemon has. A program that does not name engine_drivers does not link them: hdwc. */
#include "engine_int.h"

const struct eng_driver *const *engine_drivers(void) {
  static const eng_driver *const all[] = {&eng_driver_rest, &eng_driver_fhir, &eng_driver_mllp, &eng_driver_folder, NULL};
  return all;
}
