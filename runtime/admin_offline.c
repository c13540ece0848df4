/* admin_offline.c - the same views without a daemon: whoever may read the data folder may see what is in it. */
#include "admin_int.h"

int admin_offline(engine *e, const config *cfg, const char *target, arena *a, buf *b) {
  static admin_who owner = {.name = "owner", .roles = ADMIN_ALL, .owner = true, .known = true};
  admin ad = {.io = e->io, .e = e, .cfg = cfg};
  const char *mark = strchr(target, '?');
  size_t n = mark ? (size_t)(mark - target) : strlen(target);
  char *path = arena_dup(a, target, n);
  admin_query q = {.ad = &ad, .a = a, .b = b, .who = &owner, .path = path, .values = true};
  if (mark) q.query = (http_str){mark + 1, strlen(mark + 1)};
  for (const admin_view *v = admin_views; path && v->path; v++) {
    size_t len = strlen(v->path);
    bool below = v->path[len - 1] == '/';
    if (strcmp(v->method, "GET") || (below ? strncmp(path, v->path, len) != 0 : strcmp(path, v->path) != 0)) continue;
    q.rest = path + len, q.view = v;
    return v->fn(&q);
  }
  return 404;
}
