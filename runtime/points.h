/* points.h - named places where a test build can be made to die.
 *
 * HDW_POINT("log.before_sync") compiles to nothing in real builds. With -DHDW_POINTS, and in builds with the address sanitizer, the environment variable
 * HDW_CRASH_AT=name:n kills the process with SIGKILL at the n-th pass of that place, HDW_PAUSE_AT=name:us,... holds whoever passes it for so long. tests/faults/kill_ledger.py --points goes through all of them. */
#ifndef HDW_POINTS_H
#define HDW_POINTS_H
#if defined(__SANITIZE_ADDRESS__) && !defined(HDW_POINTS)
#define HDW_POINTS
#endif
#ifdef HDW_POINTS
void hdw_point(const char *name);
#define HDW_POINT(name) hdw_point(name)
#else
#define HDW_POINT(name) ((void)0)
#endif
#endif
