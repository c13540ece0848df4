/* metrics.h - counters and histograms of the daemon, and their text (OpenMetrics 1.0, Prometheus 0.0.4): O-1 .. O-3.
 *
 * METRICS is the one table. Names begin with hdw_, units are seconds and bytes. Label values come from programs and configuration (workflow, connection,
 * listener, operation) and from codes of ours, never from messages, and there are at most METRICS_SERIES of them together: further ones are not made and are
 * counted. Gauges are asked for when somebody looks (metrics_gauge); counters and histograms live here.
 *
 * METRIC(id, kind, name, labels, "what it counts") */
#ifndef HDW_METRICS_H
#define HDW_METRICS_H
#include "arena.h"

#define METRICS(METRIC) \
  METRIC(INPUTS, COUNTER, "hdw_inputs", "listener,state", "Inputs stored, by the verdict of the gate.") \
  METRIC(INPUT_BYTES, COUNTER, "hdw_input_bytes", "listener", "Bytes of inputs stored.") \
  METRIC(ANSWERS, COUNTER, "hdw_answers", "code", "Acknowledgements (AA, AE ...) and HTTP statuses of inputs.") \
  METRIC(RUNS, COUNTER, "hdw_runs", "workflow,result", "Runs that ended.") \
  METRIC(PARKED, COUNTER, "hdw_runs_parked", "workflow,class", "Times that a run was put off.") \
  METRIC(RUN_SECONDS, HISTOGRAM, "hdw_run_duration_seconds", "workflow", "From the making of a run to its end.") \
  METRIC(ATTEMPTS, COUNTER, "hdw_attempts", "connection,operation,result", "Attempts at steps and deliveries.") \
  METRIC(RETRIES, COUNTER, "hdw_retries", "connection", "Attempts that were not the first.") \
  METRIC(STEP_SECONDS, HISTOGRAM, "hdw_attempt_duration_seconds", "connection,operation", "Duration of an attempt at a step or delivery.") \
  METRIC(ACTION_SECONDS, HISTOGRAM, "hdw_sensing_to_action_seconds", "workflow,connection", "From the arrival of an input to the success of a step or delivery.") \
  METRIC(UNREAD, COUNTER, "hdw_unread_fields", "listener", "Segments, fields and elements that came in an input and that no workflow reads or drops, each once for an input (option loss).") \
  METRIC(LOSSY, COUNTER, "hdw_lossy_inputs", "listener", "Inputs that had some of them.") \
  METRIC(BREAKER_OPENED, COUNTER, "hdw_breaker_openings", "connection", "Times that a breaker opened.")

enum { METRICS_SERIES = 2000, METRICS_LABELS = 3, METRICS_BUCKETS = 16, METRICS_LABEL = 120 };
typedef enum metric_id {
#define METRIC(id, kind, name, labels, help) M_##id,
  METRICS(METRIC)
#undef METRIC
  METRIC_COUNT
} metric_id;

typedef struct metrics metrics;
/* NULL: no memory. */
metrics *metrics_new(mem *m);
void metrics_free(metrics *x);
/* Labels in the order of the table; NULL and longer than METRICS_LABEL - 1 bytes: cut. x NULL: nothing happens. */
void metrics_add(metrics *x, metric_id id, uint64_t n, const char *l1, const char *l2, const char *l3);
void metrics_observe(metrics *x, metric_id id, int64_t us, const char *l1, const char *l2, const char *l3);
uint64_t metrics_dropped(const metrics *x);
/* Value of a counter, count of a histogram; 0 when it is not there. */
uint64_t metrics_value(const metrics *x, metric_id id, const char *l1, const char *l2, const char *l3);

/* ---- inputs over time ---- */
void metrics_tick(metrics *x, int64_t mono_us);            /* an input came */
uint64_t metrics_inputs(const metrics *x, int64_t mono_us, unsigned seconds); /* in the last so many: at most 86,400; beyond 60 by minutes */

/* ---- text ---- */
typedef struct metrics_out {
  buf *b;
  bool openmetrics;          /* else text 0.0.4 */
} metrics_out;
/* Everything that lives here. */
void metrics_write(const metrics *x, metrics_out *o);
/* A family of gauges: first its head, then its samples. unit: "seconds", "bytes" or NULL; it must end the name. */
void metrics_family(metrics_out *o, const char *name, const char *type, const char *unit, const char *help);
/* One sample; labels as name, value, ..., NULL. value: text of a number. */
void metrics_sample(metrics_out *o, const char *name, const char *value, ...) __attribute__((sentinel));
void metrics_sample_u64(metrics_out *o, const char *name, uint64_t value, const char *label, const char *of);
/* Microseconds as seconds. */
void metrics_sample_us(metrics_out *o, const char *name, int64_t us, const char *label, const char *of);
/* "# EOF" where it is due. */
void metrics_end(metrics_out *o);

#endif
