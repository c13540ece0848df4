/* zone.h - time zones by name: what offset a local time had. Read once from the system's zone files (TZif, RFC 8536), or given as a fixed offset.
 *
 * Needed where a sender writes local times without offset (H-41): the zone of its declaration says what they mean, never the machine's own. */
#ifndef HDW_ZONE_H
#define HDW_ZONE_H
#include "datetime.h"
#include "io.h"

typedef struct zone zone;

/* "America/Chicago", "UTC" or "+01:00". HDW_E_NOTFOUND: there is no such zone; HDW_E_CORRUPT: its file is damaged; HDW_E_NOMEM. Lives in a. */
hdw_status zone_load(io *x, arena *a, const char *name, zone **out);
/* Offset of a local time. In the hour that occurs twice the later offset (standard time) is taken; in the hour that is skipped the one before the change. */
int16_t zone_offset(const zone *z, const tm_val *local);
/* Offset in minutes at an instant. */
int16_t zone_offset_at(const zone *z, int64_t unix_s);

#endif
