/* io_notify.c - telling the service manager how the daemon is: one datagram, without its library. Without $NOTIFY_SOCKET nothing happens. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "io_linux.h"

hdw_status io_linux_notify(const char *state) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (!path || (path[0] != '/' && path[0] != '@')) return HDW_OK;
  size_t n = strlen(path);
  if (n >= sizeof a.sun_path) return HDW_E_LIMIT;
  memcpy(a.sun_path, path, n);
  if (a.sun_path[0] == '@') a.sun_path[0] = 0; /* abstract */
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return HDW_E_IO;
  ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
  (void)close(fd);
  return sent < 0 ? HDW_E_IO : HDW_OK;
}
