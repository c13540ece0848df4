/* Any bytes into the CSV reader: it answers, moves forward, and each row fits its header. The first byte chooses options. */
#include <stdlib.h>
#include "csv.h"
#include "json.h"

static void *get(mem *m, size_t n) { return (void)m, malloc(n); }
static void put(mem *m, void *p, size_t n) { (void)m, (void)n, free(p); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  csv_opts o = {.header = data[0] & 1, .short_rows = data[0] & 2, .no_quotes = data[0] & 4, .delimiter = data[0] & 8 ? ';' : 0};
  mem m = {get, put, NULL};
  arena a;
  csv_rows it;
  csv_error err = {0};
  arena_init(&a, &m, 0);
  hdw_status st = csv_init(&it, &a, (const char *)data + 1, size - 1, &o, &err);
  while (st == HDW_OK || st == HDW_E_SYNTAX || st == HDW_E_CARD) {
    val row;
    size_t before = it.pos;
    st = csv_next(&it, &a, &row, &err);
    if (st == HDW_E_NOTFOUND) break;
    if (it.pos <= before || it.pos > it.len || (st != HDW_OK && err.offset > it.len)) abort();
    if (st != HDW_OK) continue;
    if (o.header ? row.tag != VAL_OBJ || row.len > it.name_count : row.tag != VAL_LIST || row.len == 0) abort();
    buf b;
    buf_init(&b, &a, 1 << 26);
    if (json_write(row, &b, NULL) != HDW_OK) abort();
  }
  arena_free(&a);
  return 0;
}
