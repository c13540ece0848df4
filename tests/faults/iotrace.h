/* iotrace.h - what iofault.c records and powercut.c reads: records one after the other, in the order of what happened, each followed by len bytes. */
#ifndef HDW_IOTRACE_H
#define HDW_IOTRACE_H
#include <stdint.h>

enum {
  T_OPEN = 1,       /* file = number from here on; bytes: path. Not for files that are only read */
  T_NEW,            /* file was made by that open */
  T_OPEN_DIR,       /* as T_OPEN, of a folder */
  T_WRITE,          /* off, bytes */
  T_WRITE_SYNCED,   /* the same on a descriptor whose writes are durable at once (these bytes, nothing that came before) */
  T_SYNC,           /* everything written to the file so far is durable */
  T_SYNC_DIR,       /* every change of names in the folder so far is durable */
  T_TRUNC,          /* length off */
  T_EXTEND,         /* at least length off, new bytes read as zero */
  T_RENAME,         /* "from\0to\0" */
  T_UNLINK,         /* path */
  T_MKDIR,          /* path */
  T_ACK,            /* bytes: an acknowledgement is about to leave */
  T_FAULT           /* a call was made to fail; file = its class, bytes: path of the file, or what is known of it */
};

typedef struct iotrace {
  uint8_t op, zero[3];
  uint32_t file;
  uint64_t off;
  uint32_t len, zero2;
} iotrace;
#endif
