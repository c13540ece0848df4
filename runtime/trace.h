/* trace.h - traces: W3C trace context of inputs and requests, spans, and their export as OTLP over HTTP (O-5 .. O-7).
 *
 * The trace of an input is the one that its HTTP request came with, kept with its record; else one that derives from the record. The ids of spans derive from
 * what they are about, so that after a crash, and on a second look, they are the same, and nothing of it needs storage:
 *
 *   input (the listener) ── gate
 *         └── run (a workflow) ── attempts at steps and deliveries
 *
 * Spans carry names of programs and codes of ours: no addresses, no values, of paths only the literal parts. */
#ifndef HDW_TRACE_H
#define HDW_TRACE_H
#include "engine_int.h"

enum { TRACE_ID = 16, TRACE_SPAN = 8, TRACE_BYTES = TRACE_ID + TRACE_SPAN + 1, TRACE_TEXT = 56, TRACE_NAME = 64 };

typedef struct trace_ctx {
  uint8_t id[TRACE_ID];
  uint8_t parent[TRACE_SPAN]; /* zeros: none */
  uint8_t flags;
} trace_ctx;

/* A traceparent header: version 00, or a later one whose first fields are the same. False: malformed or all zeros, a new trace begins. */
bool trace_parse(const char *s, size_t n, trace_ctx *out);
/* "00-...-...-01" of a span. */
void trace_format(const trace_ctx *t, const uint8_t span[TRACE_SPAN], char out[TRACE_TEXT]);
/* As kept in rec_input.trace. */
void trace_pack(const trace_ctx *t, uint8_t out[TRACE_BYTES]);
/* The trace of an input. */
void trace_of_input(const store_input *in, trace_ctx *out);
/* The trace of a run: of its input, or its own. a: for the row. */
void trace_of_run(engine *e, const store_run *r, arena *a, trace_ctx *out);
/* Span ids. path and attempt as far as they matter. */
void trace_span(const trace_ctx *t, char kind, uint64_t id, const char *path, uint32_t attempt, uint8_t out[TRACE_SPAN]);
/* Trace and span of an attempt. False: its run is not there. */
bool trace_of_call(eng_call *call, trace_ctx *t, uint8_t span[TRACE_SPAN], uint8_t parent[TRACE_SPAN]);

/* ---- export ---- */

typedef struct trace_span_rec {
  uint8_t trace[TRACE_ID], span[TRACE_SPAN], parent[TRACE_SPAN];
  char kind;                  /* 'i' input, 'g' gate, 'r' run, 'a' attempt */
  bool failed;
  char name[TRACE_NAME];      /* workflow, operation, listener */
  char on[TRACE_NAME];        /* connection or workflow */
  char route[TRACE_NAME];     /* path with {} for what was filled in; "" */
  char code[16];              /* of the outcome */
  uint64_t ref;               /* id of the input, run or delivery */
  uint32_t attempt;
  int64_t from_us, to_us;     /* wall */
} trace_span_rec;

typedef struct tracer_stats {
  uint64_t queued, sent, dropped, failed; /* spans waiting; taken by the collector; thrown away because too many waited; refused or not sendable */
} tracer_stats;
/* Spans that wait, in a ring. Whoever sends them (otlp.c) embeds it. */
typedef struct tracer {
  trace_span_rec *ring;
  uint32_t cap, at, n;
  uint32_t batch, lost;       /* the oldest, of which a copy is on its way; of these pushed out of the ring meanwhile */
  bool busy;                  /* a sending is due or under way */
  tracer_stats st;
  void (*wake)(struct tracer *t);
  void (*close)(struct tracer *t);
} tracer;
/* OTLP over HTTP; the engine gets it in engine_opts and frees it. text (200 bytes) says what is wrong with the configuration. */
hdw_status otlp_new(io *x, const config_traces *o, tracer **out, char text[200]);
/* Never waits, never fails: the oldest goes when there is no room. t NULL: nothing happens. */
void tracer_add(tracer *t, const trace_span_rec *s);
void tracer_stats_get(const tracer *t, tracer_stats *out);
/* What waits is lost. */
void tracer_free(tracer *t);

#endif
