#include "hdwc.h"
int hc_test(hdwc *h, const hc_command *c, int argc, char **argv) { return hc_later(h, c, argc, argv); }
