/* admin_int.h - one view is one function: it appends JSON to b and gives the HTTP status. */
#ifndef HDW_ADMIN_INT_H
#define HDW_ADMIN_INT_H
#include "admin.h"
#include "engine_int.h"

struct admin {
  io *io;
  engine *e;
  const config *cfg;
  http_server *http;
  char path[120];
};

typedef struct admin_query {
  admin *ad;
  arena *a;
  http_str query;
  const char *rest;          /* behind the view's path: the id */
  buf *b;
} admin_query;

typedef struct admin_view {
  const char *path;          /* "/runs/" with a rest, "/runs" without */
  int (*get)(admin_query *q);
} admin_view;
extern const admin_view admin_views[];

/* A parameter's value, NULL when absent. */
const char *admin_param(const admin_query *q, const char *name);
bool admin_id(const char *s, uint64_t *out);
/* "key": forms; first decides about the comma and is cleared. */
void admin_key(buf *b, bool *first, const char *key);
void admin_text(buf *b, bool *first, const char *key, const char *s, size_t n);
void admin_number(buf *b, bool *first, const char *key, uint64_t n);
void admin_time(buf *b, bool *first, const char *key, int64_t us);
void admin_value(buf *b, bool *first, const char *key, val v);
const char *admin_run_state(uint8_t s);
const char *admin_input_state(uint8_t s);
const char *admin_delivery_state(uint8_t s);
const char *admin_effect_state(uint8_t s);
const char *admin_class(uint8_t c);

/* Views of admin_runs.c. */
int admin_runs(admin_query *q);
int admin_run(admin_query *q);
int admin_dead(admin_query *q);
void admin_run_row(admin_query *q, const store_run *r);
void admin_delivery_row(admin_query *q, uint64_t id, bool with_values);
/* Every dead run and delivery, for redrive --all. */
typedef struct admin_subject { uint8_t subject; uint64_t id; } admin_subject;
uint32_t admin_all_dead(admin *ad, admin_subject *out, uint32_t cap);

#endif
