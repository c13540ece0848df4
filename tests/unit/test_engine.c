/* The engine on the simulated seam. */
#include "engine_rig.h"

/* ---- tests -------------------------------------------------------------------------------------------------------------------------- */

static void test_message_is_stored_answered_and_run(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 2, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "");
  assert_int_equal(r->nreplies, 0); /* nothing leaves before it is durable */
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 1);
  assert_string_equal(r->replies[0].code, "AA");
  assert_true(r->replies[0].last);
  assert_non_null(strstr(r->texts[0], "MSA|AA|M1"));
  assert_int_equal(r->ncalls, 2);
  assert_string_equal(r->calls[0].op, "crm/rest.post");
  assert_string_not_equal(r->calls[0].key, r->calls[1].key);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DONE);
  vm_outcome how;
  val v;
  assert_int_equal(engine_result(r->e, &row, &r->a, &how, &v), HDW_OK);
  assert_int_equal(v.tag, VAL_INT);
  assert_int_equal(v.u.i, 17);
  assert_true(engine_idle(r->e));
  rig_free(r);
}

static void test_H40_duplicate_gets_the_same_answer_and_no_second_run(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "");
  submit(r, "M1", "ADT^A01", ""); /* while the first is on its way to the disk */
  run_for(r, 1000000);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  restart(r);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 4);
  for (int i = 1; i < 4; i++) assert_string_equal(r->texts[i], r->texts[0]);
  assert_int_equal(r->ncalls, 1);
  rig_free(r);
}

static void test_H40_same_id_with_other_content_is_a_new_input(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  submit(r, "M1", "ADT^A01", "||||||8859/1");
  run_for(r, 1000000);
  engine_status st;
  engine_get_status(r->e, &st);
  assert_int_equal(st.conflicts, 1);
  assert_int_equal(st.inputs, 2);
  assert_int_equal(r->ncalls, 2);
  assert_string_not_equal(r->calls[0].key, r->calls[1].key);
  rig_free(r);
}

static void test_unmatched_is_stored_and_refused_with_200(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ORU^R01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AR");
  assert_non_null(strstr(r->texts[0], "200"));
  assert_true(r->replies[0].input > 0);
  assert_int_equal(r->ncalls, 0);
  rig_free(r);
  r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .unmatched = true});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AR");
  rig_free(r);
}

static void test_gate_rejects_with_its_own_code_and_text(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .reject = "AE"});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AE");
  assert_non_null(strstr(r->texts[0], "no medical record number"));
  assert_int_equal(r->ncalls, 0);
  /* AE may be tried again: the same input gets a further attempt, not the stored answer */
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 2);
  assert_int_equal(r->replies[1].input, r->replies[0].input);
  rig_free(r);
}

static void test_H24_missing_control_id_is_refused_with_101(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "", "ADT^A01", "");
  run_for(r, 1000000);
  assert_string_equal(r->replies[0].code, "AR");
  assert_non_null(strstr(r->texts[0], "101"));
  rig_free(r);
}

static void test_garbage_is_kept_as_failed(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  engine_source src = {.listener = "adt"};
  engine_submit_hl7(r->e, &src, "hello", 5, on_reply, r);
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 1);
  assert_string_equal(r->replies[0].code, "AR");
  store_counts n;
  store_get_counts(engine_store(r->e), &n);
  assert_int_equal(n.inputs_by_state[INPUT_FAILED], 1);
  rig_free(r);
}

static void test_transient_failure_parks_and_comes_back_with_the_same_key(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 2, .klass = MOD_CLASS_KEYED});
  script(r, 3, (int[]){0, 503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(the_run(r, 0).state, RUN_PARKED);
  assert_int_equal(r->ncalls, 2);
  run_for(r, 60000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  assert_int_equal(r->ncalls, 4); /* the first step is not performed again */
  assert_string_equal(r->calls[1].key, r->calls[2].key);
  assert_string_equal(r->calls[1].key, r->calls[3].key);
  assert_string_equal(r->calls[1].path, "2");
  rig_free(r);
}

static void test_permanent_failure_is_a_dead_letter_until_redriven(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .lane = true});
  script(r, 1, (int[]){422});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DEAD);
  submit(r, "M2", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 1); /* the lane holds */
  assert_int_equal(the_run(r, 1).state, RUN_QUEUED);
  assert_int_equal(engine_redrive(r->e, SUBJECT_RUN, row.id, "test", NULL, NULL), HDW_OK);
  run_for(r, 1000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  assert_int_equal(the_run(r, 1).state, RUN_DONE);
  assert_int_equal(r->ncalls, 3);
  assert_string_equal(r->calls[0].key, r->calls[1].key);
  assert_int_equal(engine_redrive(r->e, SUBJECT_RUN, row.id, "test", NULL, NULL), HDW_E_INVALID);
  rig_free(r);
}

static void test_handled_failure_is_recorded_and_replayed(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .try_ = true});
  script(r, 1, (int[]){404});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DONE);
  vm_outcome how;
  val v;
  assert_int_equal(engine_result(r->e, &row, &r->a, &how, &v), HDW_OK);
  assert_memory_equal(v.u.s, "handled", 7);
  rig_free(r);
}

static void test_restart_goes_on_without_repeating_what_is_recorded(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 3, .klass = MOD_CLASS_KEYED});
  script(r, 2, (int[]){0, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(r->ncalls, 2);
  restart(r);
  run_for(r, 60000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  assert_int_equal(r->ncalls, 4);
  assert_string_equal(r->calls[2].path, "2");
  assert_string_equal(r->calls[2].key, r->calls[1].key);
  rig_free(r);
}

static void test_send_goes_on_and_is_delivered_in_order(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 3, .klass = MOD_CLASS_KEYED, .send = true, .lane = true});
  script(r, 2, (int[]){503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE); /* it does not wait for its deliveries */
  run_for(r, 120000000);
  assert_int_equal(r->ncalls, 5);
  assert_true(r->calls[0].delivery);
  assert_string_equal(r->calls[0].path, "1");
  assert_string_equal(r->calls[2].path, "1");
  assert_string_equal(r->calls[2].key, r->calls[0].key);
  assert_string_equal(r->calls[3].path, "2");
  assert_string_equal(r->calls[4].path, "3");
  store_counts n;
  store_get_counts(engine_store(r->e), &n);
  assert_int_equal(n.deliveries_by_state[DELIVERY_DELIVERED], 3);
  rig_free(r);
}

static void test_restart_keeps_deliveries(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 2, .klass = MOD_CLASS_KEYED, .send = true});
  script(r, 4, (int[]){503, 503, 503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  restart(r);
  run_for(r, 300000000);
  store_counts n;
  store_get_counts(engine_store(r->e), &n);
  assert_int_equal(n.deliveries, 2);
  assert_int_equal(n.deliveries_by_state[DELIVERY_DELIVERED], 2);
  rig_free(r);
}

static void test_ack_after_run_waits_for_the_end(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .reply = true, .ack = "{\"after\":\"run\",\"within\":{\"$ms\":20000},\"else\":\"AE\"}"});
  script(r, 1, (int[]){503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 100000);
  assert_int_equal(r->nreplies, 0);
  submit(r, "M1", "ADT^A01", ""); /* the sender is impatient: it joins */
  run_for(r, 10000000);
  assert_int_equal(r->nreplies, 2);
  assert_non_null(strstr(r->texts[0], "PID|1||4711")); /* the replied message itself */
  assert_string_equal(r->texts[1], r->texts[0]);
  restart(r);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 3);
  assert_string_equal(r->texts[2], r->texts[0]);
  assert_int_equal(r->ncalls, 2);
  rig_free(r);
}

static void test_ack_after_run_answers_the_else_code_at_the_deadline(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .ack = "{\"after\":\"run\",\"within\":{\"$ms\":2000},\"else\":\"AE\"}"});
  script(r, 8, (int[]){503, 503, 503, 503, 503, 503, 503, 503});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 3000000);
  assert_int_equal(r->nreplies, 1);
  assert_string_equal(r->replies[0].code, "AE");
  run_for(r, 1200000000);
  assert_int_equal(the_run(r, 0).state, RUN_DONE);
  submit(r, "M1", "ADT^A01", ""); /* the outcome was stored all the same */
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 2);
  assert_string_equal(r->replies[1].code, "AA");
  assert_int_equal(r->ncalls, 9);
  rig_free(r);
}

static void test_H15_enhanced_mode_commits_first(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  submit(r, "M1", "ADT^A01", "|||AL|AL");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 2);
  assert_string_equal(r->replies[0].code, "CA");
  assert_false(r->replies[0].extra);
  assert_string_equal(r->replies[1].code, "AA");
  assert_true(r->replies[1].extra && r->replies[1].last);
  submit(r, "M2", "ADT^A01", "|||AL|NE");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 3);
  assert_string_equal(r->replies[2].code, "CA");
  assert_true(r->replies[2].last);
  submit(r, "M3", "ADT^A01", "|||NE|NE");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 4);
  assert_int_equal(r->replies[3].len, 0);
  rig_free(r);
}

static void test_H44_batch_gets_a_batch_of_answers(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  const char *b = "BHS|^~\\&|LAB|HOSP|HUB|HUB|20260101||||B1\r"
                  "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|M1|P|2.5.1\rPID|1||1\r"
                  "MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ORU^R01|M2|P|2.5.1\rPID|1||1\r"
                  "BTS|2\r";
  engine_source src = {.listener = "adt"};
  engine_submit_hl7(r->e, &src, b, strlen(b), on_reply, r);
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 1);
  assert_memory_equal(r->texts[0], "BHS|", 4);
  assert_non_null(strstr(r->texts[0], "MSA|AA|M1"));
  assert_non_null(strstr(r->texts[0], "MSA|AR|M2"));
  assert_non_null(strstr(r->texts[0], "BTS|2"));
  rig_free(r);
}

static void post(rig *r, const char *body, const char *key) { post_request(r->e, "application/json", "/intake", body, key, on_reply, r); }

static void test_request_is_accepted_with_its_id(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  post(r, "{\"a\":1}", NULL);
  post(r, "{\"a\":1}", "k1");
  run_for(r, 1000000);
  post(r, "{\"a\":1}", "k1");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 3);
  assert_int_equal(r->replies[0].http_status, 202);
  assert_string_equal(r->texts[1], r->texts[2]);
  assert_string_not_equal(r->texts[0], r->texts[1]);
  assert_int_equal(r->ncalls, 2);
  post(r, "{\"a\":", NULL);
  assert_int_equal(r->replies[3].http_status, 400);
  char allow[64];
  assert_int_equal(engine_route(r->e, "web", "POST", "/intake", allow), 2);
  assert_int_equal(engine_route(r->e, "web", "GET", "/intake", allow), 1);
  assert_string_equal(allow, "POST");
  assert_int_equal(engine_route(r->e, "web", "GET", "/other", allow), 0);
  assert_int_equal(engine_route(r->e, "web", "post", "/intake", allow), 1); /* methods are case-sensitive (RFC 9110 9.1) */
  assert_string_equal(allow, "POST");
  assert_int_equal(engine_route(r->e, "web", "POS", "/intake", allow), 1);
  assert_int_equal(engine_route(r->e, "web", "POSTS", "/intake", allow), 1);
  rig_free(r);
}

static void test_request_with_ack_after_run_returns_the_payload(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .ack = "{\"after\":\"run\",\"within\":{\"$ms\":2000},\"else\":\"AE\"}"});
  post(r, "{\"a\":1}", NULL);
  run_for(r, 1000000);
  assert_int_equal(r->replies[0].http_status, 200);
  assert_string_equal(r->texts[0], "17");
  script(r, 1, (int[]){400});
  post(r, "{\"a\":2}", NULL);
  run_for(r, 1000000);
  assert_int_equal(r->replies[1].http_status, 500);
  rig_free(r);
}

static void test_once_by_key_runs_once_within_its_time(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED, .once = true});
  submit(r, "M1", "ADT^A01", "");
  submit(r, "M2", "ADT^A01", ""); /* in one breath */
  run_for(r, 1000000);
  submit(r, "M3", "ADT^A01", "");
  run_for(r, 1000000);
  restart(r);
  submit(r, "M4", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->nreplies, 4);
  for (unsigned i = 0; i < 4; i++) assert_string_equal(r->replies[i].code, "AA");
  assert_int_equal(r->ncalls, 1);
  run_for(r, INT64_C(90000000000));
  submit(r, "M5", "ADT^A01", "");
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 2);
  rig_free(r);
}

static void test_rate_spaces_requests(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 6, .klass = MOD_CLASS_KEYED, .conn_args = ",\"rate\":{\"$call\":\"rate\",\"args\":{\"requests\":2,\"per\":{\"$ms\":1000}}}"});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 400000);
  assert_int_equal(r->ncalls, 2);
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 4);
  run_for(r, 1000000);
  assert_int_equal(r->ncalls, 6);
  rig_free(r);
}

static void test_open_breaker_takes_no_attempts(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED,
                                      .conn_args = ",\"breaker\":{\"$call\":\"breaker\",\"args\":{\"failures\":2,\"cooldown\":{\"$ms\":600000}}}"});
  script(r, 2, (int[]){503, 503});
  submit(r, "M1", "ADT^A01", "");
  submit(r, "M2", "ADT^A01", "");
  run_for(r, 300000000);
  submit(r, "M3", "ADT^A01", "");
  run_for(r, 200000000);
  assert_int_equal(r->ncalls, 2); /* nothing goes out while it is open */
  run_for(r, 400000000);
  assert_int_equal(r->ncalls, 5);
  for (unsigned i = 0; i < 3; i++) assert_int_equal(the_run(r, i).state, RUN_DONE);
  rig_free(r);
}

static void test_inline_retries_come_before_parking(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED,
                                      .conn_args = ",\"retry\":{\"$call\":\"retry\",\"args\":{\"times\":2,\"from\":{\"$ms\":100},\"to\":{\"$ms\":200}}}"});
  script(r, 2, (int[]){503, 429});
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  store_run row = the_run(r, 0);
  assert_int_equal(row.state, RUN_DONE);
  assert_int_equal(row.attempts, 0); /* it never parked */
  assert_int_equal(r->ncalls, 3);
  assert_int_equal(r->calls[2].attempt, 3);
  rig_free(r);
}

static void test_changed_module_is_refused(void **state) {
  (void)state;
  rig *r = rig_new(&(shape_of_module){.steps = 1, .klass = MOD_CLASS_KEYED});
  mod_error err;
  r->mod[r->mod_len - 1] ^= 1;
  assert_int_equal(engine_load(r->e, "x", r->mod, r->mod_len, &err), HDW_E_CORRUPT);
  r->mod[r->mod_len - 1] ^= 1;
  assert_int_equal(engine_load(r->e, "x", r->mod, r->mod_len, &err), HDW_E_EXISTS);
  rig_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_message_is_stored_answered_and_run),
      cmocka_unit_test(test_H40_duplicate_gets_the_same_answer_and_no_second_run),
      cmocka_unit_test(test_H40_same_id_with_other_content_is_a_new_input),
      cmocka_unit_test(test_unmatched_is_stored_and_refused_with_200),
      cmocka_unit_test(test_gate_rejects_with_its_own_code_and_text),
      cmocka_unit_test(test_H24_missing_control_id_is_refused_with_101),
      cmocka_unit_test(test_garbage_is_kept_as_failed),
      cmocka_unit_test(test_transient_failure_parks_and_comes_back_with_the_same_key),
      cmocka_unit_test(test_permanent_failure_is_a_dead_letter_until_redriven),
      cmocka_unit_test(test_handled_failure_is_recorded_and_replayed),
      cmocka_unit_test(test_restart_goes_on_without_repeating_what_is_recorded),
      cmocka_unit_test(test_send_goes_on_and_is_delivered_in_order),
      cmocka_unit_test(test_restart_keeps_deliveries),
      cmocka_unit_test(test_ack_after_run_waits_for_the_end),
      cmocka_unit_test(test_ack_after_run_answers_the_else_code_at_the_deadline),
      cmocka_unit_test(test_H15_enhanced_mode_commits_first),
      cmocka_unit_test(test_H44_batch_gets_a_batch_of_answers),
      cmocka_unit_test(test_request_is_accepted_with_its_id),
      cmocka_unit_test(test_request_with_ack_after_run_returns_the_payload),
      cmocka_unit_test(test_once_by_key_runs_once_within_its_time),
      cmocka_unit_test(test_rate_spaces_requests),
      cmocka_unit_test(test_open_breaker_takes_no_attempts),
      cmocka_unit_test(test_inline_retries_come_before_parking),
      cmocka_unit_test(test_changed_module_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
