/* cached(…): how long an answer is kept, who asks, what is used when nobody can be asked, what a run sees again. */
#include "prog_rig.h"

enum { MAX_TOLD = 64 };
#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)

typedef struct world {
  unsigned asked;            /* calls of get */
  int status;                /* get fails with it; 0 = answers */
  int64_t delay_us;          /* of get */
  const char *value;
  unsigned told;             /* calls of post */
  char saw[MAX_TOLD][40];
  int post_status;
} world;

static engine_mock_verdict serve(prog *p, const engine_effect *f, arena *a, engine_mock_answer *out) {
  world *w = (world *)p->user;
  if (strstr(f->operation, "get")) {
    w->asked++;
    out->delay_us = w->delay_us;
    out->status = w->status;
    out->value = val_cstr(arena_dup(a, w->value, strlen(w->value)));
    return w->status ? MOCK_ERROR : MOCK_VALUE;
  }
  out->status = w->post_status;
  if (w->post_status) return MOCK_ERROR;
  val s = jv_get(f->request, "body");
  assert_true(w->told < MAX_TOLD && s.tag == VAL_STR);
  snprintf(w->saw[w->told++], sizeof w->saw[0], "%.*s", (int)s.len, s.u.s);
  out->value = VAL_NONE;
  return MOCK_VALUE;
}

static prog *begin(world *w, const char *cached, const char *more) {
  char text[1500];
  snprintf(text, sizeof text,
           "hdw 1\nlistener adt = mllp(port: 2575)\nconnection crm = rest(retry: retry(1, from: 1 second, to: 1 second), breaker: breaker(failures: 0, cooldown: 1 second))\n"
           "connection other = rest()\n"
           "workflow w on msg = adt.message(types: ['ADT^A01']) {\n  step x = %s\n%s  step other.post('/seen', body: x)\n  return { ok: true }\n}\n", cached, more);
  *w = (world){.value = "one"};
  return prog_new(text, serve, w, 0);
}

static void message(prog *p, int n) {
  char id[16];
  snprintf(id, sizeof id, "M%d", n);
  prog_submit(p, id, "4711", "");
}

static void test_an_answer_is_good_for_its_time_across_restarts(void **state) {
  (void)state;
  world w;
  prog *p = begin(&w, "cached(crm.get('/wards'), for: 1 day)", "");
  for (int i = 0; i < 5; i++) {
    message(p, i);
    prog_run_for(p, SECOND);
  }
  assert_int_equal(w.asked, 1);
  assert_int_equal(w.told, 5);
  prog_restart(p);
  w.value = "two";
  message(p, 5);
  prog_run_for(p, SECOND);
  assert_int_equal(w.asked, 1);
  assert_string_equal(w.saw[5], "one");
  prog_run_for(p, DAY);
  message(p, 6);
  prog_run_for(p, SECOND);
  assert_int_equal(w.asked, 2);
  assert_string_equal(w.saw[6], "two");
  engine_answers k;
  assert_true(engine_cache_of(p->e, "crm", &k));
  assert_int_equal(k.entries, 1);
  assert_false(engine_cache_of(p->e, "other", &k));
  prog_free(p);
}

static void test_other_arguments_are_another_question(void **state) {
  (void)state;
  world w;
  prog *p = begin(&w, "cached(crm.get('/wards', query: { part: disclose(msg.PID-4.1) }), for: 1 day)", "");
  for (int i = 0; i < 6; i++) {
    char id[16], part[16];
    snprintf(id, sizeof id, "M%d", i);
    snprintf(part, sizeof part, "P%d", i % 3);
    prog_submit(p, id, "4711", part);
    prog_run_for(p, SECOND);
  }
  assert_int_equal(w.asked, 3);
  engine_answers k;
  assert_true(engine_cache_of(p->e, "crm", &k));
  assert_int_equal(k.entries, 3);
  assert_int_equal(engine_cache_clear(p->e, "other"), 0);
  assert_int_equal(engine_cache_clear(p->e, "crm"), 3);
  prog_restart(p); /* forgotten for good */
  assert_false(engine_cache_of(p->e, "crm", &k));
  prog_free(p);
}

static void test_one_asks_for_all(void **state) {
  (void)state;
  world w;
  prog *p = begin(&w, "cached(crm.get('/wards'), for: 1 day)", "");
  w.delay_us = 5 * SECOND;
  for (int i = 0; i < 20; i++) message(p, i);
  prog_run_for(p, 4 * SECOND);
  assert_int_equal(w.asked, 1);
  assert_int_equal(w.told, 0);
  prog_run_for(p, 4 * SECOND);
  assert_int_equal(w.asked, 1);
  assert_int_equal(w.told, 20);
  prog_free(p);
}

/* Runs that wait for longer leave memory. */
static void all_fail(int64_t delay_us, unsigned asked) {
  world w;
  prog *p = begin(&w, "cached(crm.get('/wards'), for: 1 day) on error use 'none'", "");
  w.delay_us = delay_us;
  w.status = 503;
  for (int i = 0; i < 20; i++) message(p, i);
  prog_run_for(p, 10 * SECOND);
  assert_in_range(w.asked, 2, asked); /* once, and once again as retry() says */
  assert_int_equal(w.told, 20);
  for (unsigned i = 0; i < w.told; i++) assert_string_equal(w.saw[i], "none");
  prog_free(p);
}

static void test_its_failure_is_that_of_all_who_wait(void **state) {
  (void)state;
  all_fail(SECOND, 2);
  all_fail(SECOND / 100, 20); /* each tries again at a time of its own, and some find nobody who asks */
}

/* The run is over, and its step with it, when the answer that it waited for does not come. */
static void test_its_failure_ends_all_who_wait(void **state) {
  (void)state;
  world w;
  prog *p = begin(&w, "cached(crm.get('/wards'), for: 1 day)", "");
  w.delay_us = SECOND / 100;
  w.status = 404;
  for (int i = 0; i < 20; i++) message(p, i);
  prog_run_for(p, 10 * SECOND);
  engine_status st;
  engine_get_status(p->e, &st);
  assert_int_equal(w.asked, 1);
  assert_int_equal(st.runs_dead, 20);
  prog_free(p);
}

static void test_whoever_asks_and_goes_leaves_it_to_the_next(void **state) {
  (void)state;
  world w;
  prog *p = begin(&w, "cached(crm.get('/wards'), for: 1 day)", "");
  w.delay_us = 5 * SECOND;
  message(p, 0);
  prog_run_for(p, SECOND);
  message(p, 1);
  prog_run_for(p, SECOND);
  assert_int_equal(w.asked, 1);
  (void)engine_discard(p->e, SUBJECT_RUN, prog_the_run(p, 0).id, "test", "cancelled", NULL, NULL);
  prog_restart(p); /* and a restart in the middle: both are asked for again, by one */
  prog_run_for(p, 20 * SECOND);
  assert_true(w.asked <= 3);
  assert_true(w.told >= 1);
  prog_free(p);
}

/* One run was answered; two days later the server fails, and the next one comes. */
static prog *two_days_later(world *w, const char *call) {
  prog *p = begin(w, call, "");
  message(p, 0);
  prog_run_for(p, SECOND);
  w->status = 503;
  prog_run_for(p, 2 * DAY);
  message(p, 1);
  prog_run_for(p, 10 * SECOND);
  return p;
}

static void test_an_old_answer_when_the_server_cannot_be_asked(void **state) {
  (void)state;
  world w;
  prog *p = two_days_later(&w, "cached(crm.get('/wards'), for: 1 day, stale: 3 days) on error use 'none'");
  assert_string_equal(w.saw[1], "one");
  assert_int_equal(w.asked, 3); /* it was asked first */
  w.status = 404;               /* an answer, and no other is better */
  message(p, 2);
  prog_run_for(p, 10 * SECOND);
  assert_string_equal(w.saw[2], "none");
  w.status = 503;
  prog_run_for(p, 3 * DAY);     /* too old even for that */
  message(p, 3);
  prog_run_for(p, 10 * SECOND);
  assert_string_equal(w.saw[3], "none");
  prog_free(p);
}

static void test_without_stale_there_is_no_old_answer(void **state) {
  (void)state;
  world w;
  prog *p = two_days_later(&w, "cached(crm.get('/wards'), for: 1 day) on error use 'none'");
  assert_string_equal(w.saw[1], "none");
  prog_free(p);
}

static void test_a_run_sees_again_what_it_saw(void **state) {
  (void)state;
  world w;
  prog *p = begin(&w, "cached(crm.get('/wards'), for: 1 hour)", "");
  w.post_status = 503;         /* its second step waits for two days */
  message(p, 0);
  prog_run_for(p, 2 * SECOND);
  assert_int_equal(w.asked, 1);
  prog_run_for(p, DAY);
  w.value = "two";
  message(p, 1);               /* the answer is another one by now */
  prog_run_for(p, 2 * SECOND);
  assert_int_equal(w.asked, 2);
  prog_restart(p);
  w.post_status = 0;
  prog_run_for(p, DAY);
  assert_int_equal(w.told, 2);
  assert_int_equal(w.asked, 2);
  assert_true(!strcmp(w.saw[0], "one") || !strcmp(w.saw[1], "one"));
  assert_true(!strcmp(w.saw[0], "two") || !strcmp(w.saw[1], "two"));
  prog_free(p);
}

static void test_what_is_kept_has_a_bound(void **state) {
  (void)state;
  world w;
  static char big[20000];
  memset(big, 'x', sizeof big - 1);
  prog *p = begin(&w, "cached(crm.get('/wards', query: { part: disclose(msg.PID-4.1) }), for: 1 day)", "");
  p->cfg.top.cache_bytes = 100000;
  w.value = big;
  for (int i = 0; i < 12; i++) {
    char id[16], part[16];
    snprintf(id, sizeof id, "M%d", i);
    snprintf(part, sizeof part, "P%d", i);
    prog_submit(p, id, "4711", part);
    prog_run_for(p, SECOND);
  }
  engine_answers k;
  assert_true(engine_cache_of(p->e, "crm", &k));
  assert_true(k.bytes <= 100000);
  assert_int_equal(k.entries, 4);
  assert_int_equal(w.asked, 12);
  prog_submit(p, "again", "4711", "P11"); /* the newest stays */
  prog_run_for(p, SECOND);
  assert_int_equal(w.asked, 12);
  p->cfg.top.cache_bytes = 40000;
  prog_restart(p);                         /* less room: the oldest are gone */
  assert_true(engine_cache_of(p->e, "crm", &k));
  assert_int_equal(k.entries, 1);
  p->cfg.top.cache_bytes = 0;
  prog_restart(p);
  assert_false(engine_cache_of(p->e, "crm", &k));
  prog_submit(p, "off", "4711", "P11");
  prog_run_for(p, SECOND);
  assert_int_equal(w.asked, 13);
  prog_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_answer_is_good_for_its_time_across_restarts),
      cmocka_unit_test(test_other_arguments_are_another_question),
      cmocka_unit_test(test_one_asks_for_all),
      cmocka_unit_test(test_its_failure_is_that_of_all_who_wait),
      cmocka_unit_test(test_its_failure_ends_all_who_wait),
      cmocka_unit_test(test_whoever_asks_and_goes_leaves_it_to_the_next),
      cmocka_unit_test(test_an_old_answer_when_the_server_cannot_be_asked),
      cmocka_unit_test(test_without_stale_there_is_no_old_answer),
      cmocka_unit_test(test_a_run_sees_again_what_it_saw),
      cmocka_unit_test(test_what_is_kept_has_a_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
