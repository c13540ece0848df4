/* The audit trail's chain, and the table of views: who may call what (Z-6, O-12 .. O-14). */
#include "admin_int.h"
#include "audit.h"
#include "engine_rig.h"

static const shape_of_module plain = {.ack = NULL};

static void add(rig *r, const char *kind, const char *who) {
  audit_event ev = {.kind = kind, .who = who, .roles = "viewer", .action = "GET /messages/", .subject = "/messages/17", .query = "patient=4711", .reason = "a \"reason\"", .status = 200};
  assert_int_equal(audit_add(r->e, &ev, NULL, NULL), HDW_OK);
}

static audit_check verify(rig *r) {
  audit_check c;
  run_for(r, 1000000);
  assert_int_equal(audit_verify(engine_store(r->e), &r->a, &c), HDW_OK);
  return c;
}

static void test_O14_chain_is_whole_also_after_a_restart(void **state) {
  (void)state;
  rig *r = rig_new(&plain);
  audit_check c = verify(r);
  assert_int_equal(c.count, 0);
  assert_int_equal(c.bad, 0);
  for (int i = 0; i < 5; i++) add(r, "call", "uid:1");
  c = verify(r);
  assert_int_equal(c.count, 5);
  assert_int_equal(c.first, 1);
  assert_int_equal(c.bad, 0);
  assert_memory_equal(c.head, r->e->audit.head, REC_HASH);
  restart(r);
  add(r, "call", "uid:1");
  c = verify(r);
  assert_int_equal(c.count, 6);
  assert_int_equal(c.last, 6);
  assert_int_equal(c.bad, 0);
  rig_free(r);
}

static void append_raw(rig *r, const rec_audit *a) {
  cod_w w = eng_writer(r->e);
  assert_int_equal(rec_put_audit(&w, a), HDW_OK);
  assert_int_equal(eng_append_rec(r->e, REC_AUDIT, &w, NULL, 0, NULL, NULL, NULL), HDW_OK);
}

static void test_O14_foreign_and_missing_records_are_found(void **state) {
  (void)state;
  for (int gap = 0; gap < 2; gap++) {
    rig *r = rig_new(&plain);
    add(r, "call", "uid:1");
    add(r, "call", "uid:1");
    rec_audit a = {.number = gap ? 4 : 3, .time_us = 1, .kind = cod_cstr("call"), .who = cod_cstr("uid:2")};
    if (gap) memcpy(a.previous, r->e->audit.head, REC_HASH);
    append_raw(r, &a);
    audit_check c = verify(r);
    assert_int_equal(c.bad, gap ? 4 : 3);
    assert_true(c.why[0]);
    /* A number that is taken is not overwritten. */
    a.number = 1;
    append_raw(r, &a);
    assert_int_equal(verify(r).count, 3);
    rig_free(r);
  }
}

static void note_done(void *user) { *(bool *)user = true; }

/* O-16: the trail has its own time; what leaves it is named by a checkpoint that is part of the chain. */
static void test_O16_old_records_leave_and_the_chain_still_proves_what_stays(void **state) {
  (void)state;
  rig *r = rig_new(&plain);
  r->cfg.top.retain_audit_days = 10;
  for (int i = 0; i < 700; i++) {
    add(r, "call", "uid:1");
    if (i % 50 == 0) run_for(r, 100000);
  }
  (void)verify(r);
  io_sim_advance(r->io, INT64_C(86400000000) * 5);
  for (int i = 0; i < 20; i++) add(r, "call", "uid:2");
  (void)verify(r);
  for (int day = 6; day <= 30; day += 12) { /* on the sixth day nothing is over */
    bool done = false;
    io_sim_advance(r->io, INT64_C(86400000000) * (day == 6 ? 1 : 6));
    assert_int_equal(engine_retain(r->e, note_done, &done), HDW_OK);
    for (int i = 0; i < 50 && !done; i++) run_for(r, 1000000);
    assert_true(done);
    audit_check c = verify(r);
    assert_int_equal(c.bad, 0);
    if (day == 6) assert_true(c.first == 1 && c.count == 720 && !c.checkpoint);
    else {
      assert_true(c.first > 700 && c.checkpoint > c.first);
      assert_int_equal(c.count, c.last - c.first + 1);
    }
    if (day == 18) assert_int_equal(c.first, 701);
    uint8_t h1[32], h2[32];
    store_info si;
    assert_int_equal(store_hash(engine_store(r->e), h1), HDW_OK);
    assert_int_equal(store_rebuild(engine_store(r->e), &si), HDW_OK);
    assert_int_equal(store_hash(engine_store(r->e), h2), HDW_OK);
    assert_memory_equal(h1, h2, 32);
  }
  restart(r);
  add(r, "call", "uid:1");
  assert_int_equal(verify(r).bad, 0);
  rig_free(r);
}

/* A beginning that is cut off without a checkpoint is found. */
static void test_O14_a_missing_beginning_is_found(void **state) {
  (void)state;
  rig *r = rig_new(&plain);
  rec_audit a = {.number = 5, .time_us = 1, .kind = cod_cstr("call"), .who = cod_cstr("uid:2"), .previous = {1}};
  append_raw(r, &a);
  audit_check c = verify(r);
  assert_int_equal(c.bad, 5);
  /* A checkpoint with another hash does not vouch for it. */
  rec_audit cp = {.number = 6, .time_us = 1, .kind = cod_cstr("checkpoint"), .who = cod_cstr("daemon"), .until = 4, .until_hash = {2}};
  memcpy(cp.previous, c.head, REC_HASH);
  append_raw(r, &cp);
  c = verify(r);
  assert_int_equal(c.bad, 5);
  cp.number = 7, cp.until_hash[0] = 1;
  memcpy(cp.previous, c.head, REC_HASH);
  append_raw(r, &cp);
  c = verify(r);
  assert_int_equal(c.bad, 0);
  assert_int_equal(c.checkpoint, 7);
  rig_free(r);
}

static bool first_one(const rec_audit *a, cod_str bytes, void *user) {
  (void)bytes;
  *(rec_audit *)user = *a;
  return false;
}

static void test_O12_audit_event_has_its_fields(void **state) {
  (void)state;
  rig *r = rig_new(&plain);
  rec_audit a;
  buf b;
  add(r, "phi_read", "uid:1 (ann)");
  run_for(r, 1000000);
  assert_int_equal(store_list_audit(engine_store(r->e), 0, true, &r->a, first_one, &a), HDW_OK);
  buf_init(&b, &r->a, 65536);
  audit_fhir(&b, &a, "hdwvm", true);
  buf_putc(&b, 0);
  static const char *const want[] = {"\"resourceType\":\"AuditEvent\"", "\"code\":\"rest\"", "\"code\":\"read\"", "\"action\":\"R\"", "\"outcome\":\"0\"", "110153", "110152",
                                     "\"requestor\":true", "uid:1 (ann)", "a \\\"reason\\\"", "/messages/17", "\"query\":\"cGF0aWVudD00NzEx\"", "\"recorded\":\"2026-01-01T"};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++)
    if (!strstr(b.p, want[i])) fail_msg("%s is not in %s", want[i], b.p);
  b.len = 0;
  audit_fhir(&b, &a, "hdwvm", false);
  buf_putc(&b, 0);
  assert_null(strstr(b.p, "cGF0aWVudD00NzEx"));
  rig_free(r);
}

/* Nothing that changes something is open to those who may only look, and nothing at all to nobody. */
static void test_Z6_table_of_views(void **state) {
  (void)state;
  for (const admin_view *v = admin_views; v->path; v++) {
    assert_true(!strcmp(v->method, "GET") || !strcmp(v->method, "POST"));
    assert_non_null(v->fn);
    assert_true(v->roles & ADMIN_ALL);
    if (!strcmp(v->method, "POST")) {
      assert_false(v->roles & (ADMIN_OPEN | ADMIN_QUIET));
      assert_true(!(v->roles & ADMIN_VIEWER) || !strcmp(v->path, "/find"));
    }
    for (const admin_view *w = admin_views; w < v; w++) assert_false(!strcmp(v->path, w->path) && !strcmp(v->method, w->method));
  }
}

/* A parameter that is no number, or none that can be, is an error that names it: never another question's answer. */
static void test_bad_numbers_are_refused(void **state) {
  (void)state;
  static const struct { const char *target; int status; const char *text; } t[] = {
      {"/messages?limit=0", 400, "limit: a whole number from 1 to 1000000"}, {"/messages?limit=1000001", 400, "limit"}, {"/messages?limit=ten", 400, "limit"},
      {"/messages?limit=1000000", 200, "["}, {"/messages?after=-1", 400, "after: a whole number is expected"}, {"/messages?after=99999999999999999999", 400, "after"},
      {"/messages?since=2026-01-01", 400, "since"}, {"/messages?until=1x", 400, "until"}, {"/messages?limit=", 400, "limit"}, {"/messages?after=0", 200, "["},
      {"/runs?limit=1e3", 400, "limit"}, {"/runs?limit=200000", 200, "["}, {"/runs?state=lost", 400, "state is one of"}, {"/runs?state=done", 200, "\"state\":\"done\""}, {"/runs?state=done&limit=1", 200, "\"state\":\"done\""}, {"/runs?state=discarded", 200, "[]"},
      {"/runs?state=dead", 200, "[]"}, {"/dead?limit=x", 400, "limit"}, {"/dead?limit=1", 200, "["},
      {"/lanes?limit=-5", 400, "limit"}, {"/audit?limit=0", 400, "limit"}, {"/audit?after=%20", 400, "after"}, {"/audit?since=yesterday", 400, "since"}, {"/audit?limit=5&after=3", 200, "["}};
  rig *r = rig_new(&plain);
  submit(r, "M1", "ADT^A01", "");
  run_for(r, 1000000);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    buf b;
    buf_init(&b, &r->a, 1 << 20);
    int status = admin_offline(r->e, r->e->o.config, t[i].target, &r->a, &b);
    buf_putc(&b, 0);
    if (status != t[i].status || !strstr(b.p, t[i].text)) fail_msg("%s: %d %s", t[i].target, status, b.p);
  }
  rig_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_numbers_are_refused),
      cmocka_unit_test(test_O14_chain_is_whole_also_after_a_restart),
      cmocka_unit_test(test_O14_foreign_and_missing_records_are_found),
      cmocka_unit_test(test_O16_old_records_leave_and_the_chain_still_proves_what_stays),
      cmocka_unit_test(test_O14_a_missing_beginning_is_found),
      cmocka_unit_test(test_O12_audit_event_has_its_fields),
      cmocka_unit_test(test_Z6_table_of_views),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
