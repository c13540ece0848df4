/* hdwvm_offline.c - looking into a data folder whose daemon does not run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "admin.h"
#include "hdwvm.h"
#include "hl7_dict.h"
#include "host.h"
#include "io_linux.h"
#include "model.h"
#include "points.h"

bool hv_was_offline;

bool hv_offline(const hv_args *a, arena *ar, const char *target, int *status, const char **body, size_t *len) {
  char admin_path[200], text[200];
  const char *dir = hv_data_dir(a, ar, admin_path);
  config *cfg = (config *)arena_zalloc(ar, 1, sizeof *cfg);
  engine *e;
  io *x;
  buf b;
  if (!cfg || a->url || io_linux_new(ar->mem, &x)) return false;
  config_init(cfg, ar);
  engine_opts o = {.dir = dir, .config = cfg, .host = host_get(), .model = &hdw_model, .schema = &hl7_dict_schema, .read_only = true};
  hv_damage_tell(dir);
  bool ok = !engine_open(x, &o, &e, text);
  HDW_POINT("hold.offline");
  if (ok) {
    buf_init(&b, ar, 256 << 20);
    *status = admin_offline(e, cfg, target, ar, &b);
    buf_putc(&b, 0);
    ok = !b.status;
    *body = b.p, *len = ok ? b.len - 1 : 0;
    engine_close(e);
    hv_was_offline |= ok;
    if (ok) hv_say("the daemon is not running: showing what is stored in %s", dir);
  }
  io_linux_free(x);
  return ok;
}
