/* support.h - what unit tests share: memory from malloc with a limit and a failing mode, and files read whole. */
#ifndef HDW_TEST_SUPPORT_H
#define HDW_TEST_SUPPORT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "arena.h"

/* A mem on malloc. fail_after: -1 never, n = the n-th get from now on returns NULL (once; fail_more times more before it). live_bytes must be 0 at the end of a test. */
typedef struct test_mem {
  mem m;
  size_t live_bytes;
  long fail_after, fail_more;
} test_mem;
void test_mem_init(test_mem *t);
/* Whole file, NUL-terminated (not counted), from malloc; fails the test when it cannot be read. path is relative to the source folder. */
char *test_read_file(const char *path, size_t *len);
/* The cells of one row of a table that is written as text, "a > b > c": n of them, each in its place in the buffer; fails the test when there are more or fewer. */
void test_cells(const char *row, char room[1024], const char **v, unsigned n);

#endif
