/* status.h - every error code of hdw, in one list.
 *
 * Functions that can fail return hdw_status: HDW_OK (0) or a negative code. A code says what class of
 * thing went wrong; the place (path, offset, count) is in the context's error record (vm_error). Texts never
 * carry clinical values. */
#ifndef HDW_STATUS_H
#define HDW_STATUS_H

#define HDW_STATUS_LIST(X)                                                    \
  X(HDW_OK, 0, "ok")                                                          \
  X(HDW_E_NOMEM, -1, "the memory limit is reached")                           \
  X(HDW_E_FUEL, -2, "the fuel limit is reached")                              \
  X(HDW_E_LIMIT, -3, "a limit is reached")                                    \
  X(HDW_E_SYNTAX, -4, "the input is malformed")                               \
  X(HDW_E_TYPE, -5, "a value has the wrong type")                             \
  X(HDW_E_CARD, -6, "a collection has the wrong number of items")             \
  X(HDW_E_RANGE, -7, "a value is out of range")                               \
  X(HDW_E_CHARSET, -8, "bytes are invalid in the declared character set")     \
  X(HDW_E_NOTFOUND, -9, "not found")                                          \
  X(HDW_E_EXISTS, -10, "exists already")                                      \
  X(HDW_E_IO, -11, "an input or output operation failed")                     \
  X(HDW_E_CORRUPT, -12, "stored data is damaged")                             \
  X(HDW_E_VERSION, -13, "the version is not supported")                       \
  X(HDW_E_DENIED, -14, "not permitted")                                       \
  X(HDW_E_TIMEOUT, -15, "the deadline has passed")                            \
  X(HDW_E_CLOSED, -16, "the connection is closed")                            \
  X(HDW_E_FULL, -17, "no space is left")                                      \
  X(HDW_E_INVALID, -18, "an argument is invalid")                             \
  X(HDW_E_UNSUPPORTED, -19, "not yet available in this version")              \
  X(HDW_E_AGAIN, -20, "more input is needed")                                 \
  X(HDW_E_DATA, -21, "data does not fit its declared type")                   \
  X(HDW_E_DIVERGED, -22, "a replay took another path than the record")

typedef enum hdw_status {
#define X(name, code, text) name = code,
  HDW_STATUS_LIST(X)
#undef X
} hdw_status;

/* The one-line English text of a code; never NULL. */
const char *hdw_status_text(hdw_status s);
/* The code's name, e.g. "HDW_E_TYPE"; never NULL. */
const char *hdw_status_name(hdw_status s);

#endif
