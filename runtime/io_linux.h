/* io_linux.h - the real side of the seam: libevent, Linux files, a thread for name resolution, libcurl for HTTP. */
#ifndef HDW_IO_LINUX_H
#define HDW_IO_LINUX_H
#include "io.h"

/* m must outlive the io. umask becomes 0077 and SIGPIPE is ignored. HDW_E_NOMEM, HDW_E_IO. */
hdw_status io_linux_new(mem *m, io **out);
/* After the loop has stopped and everything was closed. */
void io_linux_free(io *x);
/* "READY=1", "RELOADING=1", "STOPPING=1" to the service manager that started the process; nothing without one. (io_notify.c) HDW_E_IO, HDW_E_LIMIT. */
hdw_status io_linux_notify(const char *state);
/* The event base, for http_curl.c only. */
struct event_base *io_linux_base(io *x);
#endif
