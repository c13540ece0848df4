/* points.h - named places where a test build can be made to die.
 *
 * HDW_POINT("log.before_sync") compiles to nothing in real builds. With -DHDW_POINTS, and in builds with the address sanitizer, the environment variable
 * HDW_CRASH_AT=name:n kills the process with SIGKILL at the n-th pass of that place, HDW_PAUSE_AT=name:us,... holds whoever passes it for so long.
 * tests/faults/kill_ledger.py --points goes through all of them.
 *
 * HDW_BROKEN("ack.early") is false in real builds. In these, HDW_BREAK=ack.early in the environment makes it true: the daemon is then wrong at that place, on
 * purpose, and a test that does not turn red proves nothing. `hdwsim --canaries` lists the names. */
#ifndef HDW_POINTS_H
#define HDW_POINTS_H
#if defined(__SANITIZE_ADDRESS__) && !defined(HDW_POINTS) && !defined(HDW_COVERAGE) /* a breakage is a branch that nobody takes */
#define HDW_POINTS
#endif
#ifdef HDW_POINTS
#include <stdbool.h>
void hdw_point(const char *name);
/* Asked first at every point; the simulation decides there (tests/sim). */
extern void (*hdw_point_hook)(const char *name);
/* The breakage that HDW_BREAK=NAME or the simulation asks for: a canary. */
bool hdw_broken(const char *name);
extern const char *hdw_break;
#define HDW_POINT(name) hdw_point(name)
#define HDW_BROKEN(name) hdw_broken(name)
#else
#define HDW_POINT(name) ((void)0)
#define HDW_BROKEN(name) 0
#endif
/* Before _exit, in builds that count what the tests reach (./dev coverage): writes down what was counted so far, which _exit would forget. */
#ifdef HDW_COVERAGE
void __gcov_dump(void);
#define HDW_COUNTED() __gcov_dump()
#else
#define HDW_COUNTED() ((void)0)
#endif
#endif
