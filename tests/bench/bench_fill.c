/* bench_fill DIR COUNT: a new data folder whose state already holds COUNT duplicate keys of listener `adt` and one sender, as months of intake leave them. The
 * log stays empty: the keys point at inputs that are gone. */
#include <stdio.h>
#include <stdlib.h>
#include "io_linux.h"
#include "store_int.h"

int main(int argc, char **argv) {
  static io_mem m;
  io *x;
  store *s;
  store_info info;
  if (argc != 3) return fprintf(stderr, "usage: bench_fill DIR COUNT\n"), 2;
  io_mem_init(&m, 0);
  store_opts o = {.dir = argv[1], .map_bytes = (uint64_t)1 << 30};
  hdw_status st = io_linux_new(&m.m, &x);
  if (!st) st = store_open(x, &o, &info, &s);
  for (long i = 0, n = atol(argv[2]); !st && i < n; i++) {
    char key[100];
    uint8_t row[16];
    skey k;
    int len = snprintf(key, sizeof key, "ADTSYS\nGENHOSP\n%015ld", i);
    cod_w w = cod_writer(row, sizeof row);
    cod_put_u16(&w, 0);
    cod_put_var(&w, (uint64_t)i + 1);
    key_dedup(s, &k, cod_cstr("adt"), cod_bytes(key, (size_t)len));
    st = store_put(s, &k, row, w.len);
    if (!st && i % 50000 == 49999) st = store_pace(s);
  }
  if (!st) st = store_flush(s);
  if (st) return fprintf(stderr, "bench_fill: %s\n", hdw_status_text(st)), 1;
  store_close(s);
  io_linux_free(x);
  return 0;
}
