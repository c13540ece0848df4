/* points.h - named places where a test build can be made to die.
 *
 * HDW_POINT("log.before_sync") compiles to nothing in real builds. With -DHDW_POINTS the environment variable
 * HDW_CRASH_AT=name:n kills the process with SIGKILL at the n-th pass of that place. */
#ifndef HDW_POINTS_H
#define HDW_POINTS_H
#ifdef HDW_POINTS
void hdw_point(const char *name);
#define HDW_POINT(name) hdw_point(name)
#else
#define HDW_POINT(name) ((void)0)
#endif
#endif
