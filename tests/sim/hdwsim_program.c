/* hdwsim_program.c - what the simulated hospital runs: the program in two versions, and its hdw.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "compiler.h"
#include "hdwsim_daemon.h"

/* %1$d: the version. Effects have their numbers in their paths (hdwsim.h). */
static const char program[] =
    "hdw 1\n"
    "listener adt = mllp(port: 2575)\n"
    "listener orm = mllp(port: 2576)\n"
    "listener web = http(port: 8080)\n"
    "connection crm = rest(base: 'http://127.0.0.1:9001', auth: oauth2(token: 'http://127.0.0.1:9005/token', client_id: 'hub', client_secret: secret('crm_secret')),\n"
    "  timeout: 5 seconds, retry: retry(2, from: 200 milliseconds, to: 2 seconds), breaker: breaker(failures: 5, cooldown: 8 seconds))\n"
    "connection emr = rest(base: 'http://127.0.0.1:9002', timeout: 5 seconds, rate: rate(50, per: 1 second))\n"
    "connection lab = rest(base: 'http://127.0.0.1:9003', timeout: 5 seconds)\n"
    "connection ehr = fhir(base: 'http://127.0.0.1:9004/r4', timeout: 5 seconds, retry: retry(2, from: 200 milliseconds, to: 2 seconds), breaker: breaker(failures: 4, cooldown: 6 seconds),\n"
    "  auth: smart_backend(client_id: 'hub', key: secret('ehr_key'), alg: 'ES256', token: 'http://127.0.0.1:9006/token', scopes: ['system/Patient.cruds', 'system/Basic.cruds', 'system/Organization.cruds']))\n"
    "connection drop = folder(path: 'drop', retry: retry(2, from: 500 milliseconds, to: 5 seconds))\n"
    "connection journal = folder(path: 'journal')\n"
    "connection ward = mllp(host: '127.0.0.1', port: 2599, timeout: 5 seconds)\n"
    "workflow admit on msg = adt.message(types: ['ADT^A01']) order by msg.PID-3.idNumber, msg.PID-18.idNumber {\n"
    "  let m = \"{msg.MSH-10}.{msg.PID-4.idNumber}\"\n"
    "  if msg.PID-8 = 'X' { reject('AR', 'not wanted here') }\n"
    "  step a = crm.post(\"/{m}/0\", body: { v: %1$d, u: uuid(), t: now() })\n"
    "  step seen = crm.get(\"/{m}/5\") on error where error.status = 404 use 'none'\n"
    "  step rows = parallel for x in [1, 2] limit 2 {\n"
    "    step b = crm.put(\"/{m}/{x}\", body: { v: %1$d, u: uuid(), a: a })\n"
    "    yield b\n"
    "  }\n"
    "%2$s"
    "  send emr.post(\"/{m}/3\", body: { v: %1$d, rows: rows })\n"
    "  send ward.message(msg.with(MSH-3: 'HUB%1$d'))\n"
    "  send drop.write(name: \"{m}.hl7\", content: \"v%1$d {m} %3$s end\")\n"
    "  return rows\n"
    "}\n"
    "workflow order on msg = orm.message(types: ['ORM^O01']) ack after run within 10 seconds else AE {\n"
    "  step r = lab.post(\"/{msg.MSH-10}.{msg.PID-4.idNumber}/0\", body: { v: %1$d })\n"
    "  return r\n"
    "}\n"
    "workflow note on msg = adt.message(types: ['ADT^A08']) once by msg.PID-3.idNumber within %4$s {\n"
    "  step n = crm.post(\"/{msg.MSH-10}.{msg.PID-4.idNumber}/0\", body: { v: %1$d, k: msg.PID-3.idNumber })\n"
    "  return n\n"
    "}\n"
    "action mark(id: string, m: string): string {\n"
    "  for attempt in range(1, 3) {\n"
    "    step pat = ehr.read(Patient, id)\n"
    "    if m in pat.identifier.value { return 'there' }\n"
    "    step saved = ehr.update(pat.with(identifier: pat.identifier.combine(Identifier(system: 'urn:m', value: m))), if_match: pat.meta.versionId)\n"
    "      on error where error.code = 'conflict' use {}\n"
    "    if saved.exists() { return 'written' }\n"
    "  }\n"
    "  return 'busy'\n"
    "}\n"
    "workflow chart on msg = adt.message(types: ['ADT^A31']) order by msg.PID-3.idNumber {\n"
    "  let m = \"{msg.MSH-10}.{msg.PID-4.idNumber}\"\n"
    "  step one = ehr.create(Basic(code: CodeableConcept(coding: Coding(system: 'urn:lane', code: msg.PID-3.idNumber), text: 'v%1$d'), identifier: Identifier(system: 'urn:m', value: m)),\n"
    "    if_none_exist: { identifier: token('urn:m', m) })\n"
    "  step marked = mark(msg.PID-18.idNumber, m)\n"
    "  step found = ehr.search(Basic, code: token('urn:lane', msg.PID-3.idNumber))\n"
    "  step patched = ehr.patch(Organization, msg.PID-18.idNumber, set: { name: m })\n"
    "  step ref = cached(lab.get('/ref'), for: 1 minute, stale: 5 minutes)\n"
    "  step both = ehr.transaction([\n"
    "    { resource: { resourceType: 'Basic', code: { text: 'x' }, identifier: [{ system: 'urn:t', value: \"{m}-1\" }] }, request: { method: 'POST', url: 'Basic', ifNoneExist: \"identifier=urn:t|{m}-1\" } },\n"
    "    { resource: { resourceType: 'Basic', code: { text: 'x' }, identifier: [{ system: 'urn:t', value: \"{m}-2\" }] }, request: { method: 'POST', url: 'Basic', ifNoneExist: \"identifier=urn:t|{m}-2\" } }])\n"
    "  step three = parallel for x in [1, 2, 3] limit 2 {\n"
    "    step p = ehr.create(Basic(code: CodeableConcept(text: 'v%1$d'), identifier: Identifier(system: 'urn:p', value: \"{m}-{x}\")), if_none_exist: { identifier: token('urn:p', \"{m}-{x}\") })\n"
    "    yield p.id\n"
    "  }\n"
    "  send ehr.create(Basic(code: CodeableConcept(text: \"v%1$d {found.match.count()} {marked} t{both.entry[0].id},{both.entry[1].id} r{ref.n} p{three.join(',')}\"), identifier: Identifier(system: 'urn:u', value: m)))\n"
    "  return marked\n"
    "}\n"
    "workflow intake on r = web.post('/intake') order by r.body.lane {\n"
    "  step a = crm.post(\"/{r.body.id}/0\", body: { v: %1$d, n: r.body.n, u: uuid() })\n"
    "  send emr.post(\"/{r.body.id}/3\", body: { v: %1$d, a: a })\n"
    "  send journal.append(name: 'lines', content: \"v%1$d {r.body.id} end\")\n"
    "  return a\n"
    "}\n";
static const char more[] = "  step c = crm.post(\"/{m}/6\", body: { v: 2, rows: rows })\n";

static const char settings[] =
    "{\"secrets\":{\"crm_secret\":{\"file\":\"crm_secret\"},\"ehr_key\":{\"file\":\"ehr_key\"}},\"listeners\":{\"adt\":{\"port\":2575},\"orm\":{\"port\":2576},\"web\":{\"port\":8080}},"
    "\"connections\":{\"crm\":{\"private_networks\":true,\"in_flight\":%u},\"emr\":{\"private_networks\":true,\"on_dead\":\"hold\"},\"lab\":{\"private_networks\":true},\"ward\":{\"private_networks\":true},"
    "\"ehr\":{\"private_networks\":true,\"on_dead\":\"hold\"},\"drop\":{\"folder\":\"drop\",\"on_dead\":\"hold\"},\"journal\":{\"folder\":\"journal\",\"on_dead\":\"hold\",\"ambiguous\":\"stop\"}},"
    "\"active_runs\":%u,\"give_up_ms\":%u,\"min_free_bytes\":200000,\"log_segment_bytes\":65536,\"retain_inputs_bytes\":%u,\"retain_values_bytes\":%u,\"drain_ms\":3000,\"retain_every_ms\":20000}";

/* Of this world only. */
static const char crm_secret[] = "the/secret";
static const char ehr_key[] = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIJ9q+xqHj0bp1khmfKCIKcmV/qtP/6AxePhJDUc5GP7qoAoGCCqGSM49\nAwEHoUQDQgAEvEWAzKcfohQpMDj043+USBXZ8klX4WaPM+cFV57UHH9pxV+qh7W8\n"
                              "/JfA0VadQzGA2VjsCOJm0eP8Mcy2EANBJA==\n-----END EC PRIVATE KEY-----\n";

void program_secrets(config *c) {
  for (uint32_t i = 0; i < c->nsecrets; i++) {
    bool key = !strcmp(c->secrets[i].name, "ehr_key");
    c->secrets[i].value = key ? ehr_key : crm_secret;
    c->secrets[i].value_len = strlen(c->secrets[i].value);
  }
}

enum { FILLER = 700 /* a file has several sectors */, TEXT = 16384 };

static void compile(world *w, unsigned i, const char *within) {
  struct daemon_state *d = w->d;
  char *text = (char *)arena_alloc(&d->a, TEXT);
  diag_list l;
  comp_result r;
  char filler[FILLER + 1];
  memset(filler, '.', FILLER);
  filler[FILLER] = 0;
  snprintf(text, TEXT, program, (int)i + 1, i ? more : "", filler, within);
  comp_source s = {"sim.hdw", text, strlen(text)};
  comp_options o = {0};
  diag_init(&l, &d->a);
  if (comp_program(&d->a, &s, 1, &o, &l, &r) || !r.bytes) {
    for (const diag *x = l.first; x; x = x->next) fprintf(stderr, "%s\n", x->text);
    broken(w, "the program does not compile");
  }
  cod_sha256(r.bytes + MOD_HEADER_BYTES, r.len_bytes - MOD_HEADER_BYTES, NULL, 0, r.bytes + 16);
  d->mod[i] = r.bytes, d->len[i] = r.len_bytes;
}


void program_make(world *w) {
  struct daemon_state *d = w->d;
  static const struct { const char *text; int64_t us; } within[] = {{"20 seconds", 20 * SECOND}, {"3 minutes", 180 * SECOND}, {"2 days", 48 * 3600 * SECOND}};
  unsigned k = (unsigned)draw(w, 3);
  w->once_us = within[k].us;
  for (unsigned i = 0; i < 2; i++) compile(w, i, within[k].text);
  w->little = chance(w, 400);
  unsigned at_once = chance(w, 300) ? 1 : 16;
  polite_start(w, at_once);
  snprintf(d->settings, sizeof d->settings, settings, at_once, chance(w, 300) ? 2 + (unsigned)draw(w, 4) : 256, chance(w, 300) ? 60000u : 259200000u, w->little ? 20000u : 0u, w->little ? 40000u : 0u);
  d->suspend_us = chance(w, 500) ? 1000 : draw_time(w, 4 * SECOND);
}
