/* watch.h - what the engine tells those who watch it: counters, and (trace.h) spans. One call at each place; none of them can fail or wait. */
#ifndef HDW_WATCH_H
#define HDW_WATCH_H
#include "engine_int.h"
#include "metrics.h"

/* An input is on its way to its record, which has the sequence seq; it is durable. */
void watch_input(const eng_message *m, const rec_input *r, uint64_t seq);
void watch_committed(engine *e, const rec_input *r, uint64_t seq, int64_t began_us);
/* Hex of the run's trace, for log lines. */
const char *watch_trace(engine *e, const store_run *r, char out[33]);
/* An answer leaves. */
void watch_answer(engine *e, const char *code);
/* A run ended or was put off. */
void watch_run_end(eng_run *r, uint8_t state);
void watch_run_park(eng_run *r, uint8_t fail_class);
/* An attempt begins, ended. */
void watch_call_start(eng_call *call);
void watch_call_done(eng_call *call);
void watch_breaker(eng_conn *c);

#endif
