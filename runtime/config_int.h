/* config_int.h - what the files of the configuration share. Not for others. */
#ifndef HDW_CONFIG_INT_H
#define HDW_CONFIG_INT_H
#include "config.h"
#include "nearest.h"

/* " (did you mean 'x'?)" or "", in out. */
const char *config_hint(const nearest *n, char *out, size_t size);
void config_listener_defaults(config_listener_opts *o);
void config_conn_defaults(config_conn_opts *o);

#endif
