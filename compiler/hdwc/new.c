#include "hdwc.h"
int hc_new(hdwc *h, const hc_command *c, int argc, char **argv) { return hc_later(h, c, argc, argv); }
