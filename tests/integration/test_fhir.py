#!/usr/bin/env python3
"""FHIR connections through the real daemon against fhir_server.py: operations, searches, conditional writes, and what servers get wrong (PROTOCOLS 2a, 7)."""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from fhir_server import FhirServer, http_date
from rig import ack_code, adt, Daemon, Mllp, wait_for

HEAD = '''hdw 1
listener web = http()
connection epic = fhir(auth: bearer(secret('token')), timeout: 2 seconds, retry: retry(2, from: 20 milliseconds, to: 50 milliseconds), breaker: breaker(failures: 0, cooldown: 1 second))
'''


def workflow(name, body, params='on req = web.post'):
    """Answers with what body leaves in x, or with the error."""
    return f"workflow {name} {params}('/{name}') ack after run within 25 seconds else AE {{\n  let b = req.body\n{body}\n}}\n"


ERR = " on error { reply({ failed: true, status: error.status, code: error.code, class: error.class, message: error.message }) }\n"
PAGES = "action pages_of(): any* {\n  step got = for page in epic.pages(Patient, gender: 'female') { yield page.match.id.join('+') }\n  return got\n}\n"
PROGRAM = HEAD + PAGES + ''.join([
    workflow('read', "  step x = epic.read(Patient, b.id.toString())" + ERR + "  reply({ id: x.id, birth: x.birthDate, version: x.meta.versionId, year: x.birthDate.yearOf() })"),
    workflow('vread', "  step x = epic.vread(Patient, b.id.toString(), b.version.toString())" + ERR + "  reply({ gender: x.gender })"),
    workflow('find', "  step x = epic.search(Patient, identifier: token('urn:a', b.value.toString()), max: 3)" + ERR + "  reply({ ids: x.match.id, total: x.total })"),
    workflow('all', "  step x = epic.search(Patient, gender: 'female')" + ERR + "  reply({ ids: x.match.id, total: x.total, more: x.more })"),
    workflow('few', "  step x = epic.search(Patient, gender: 'female', max: 3)" + ERR + "  reply({ ids: x.match.id })"),
    workflow('firstpage', "  step x = epic.search(Patient, gender: 'female', pages: 1)" + ERR + "  reply({ ids: x.match.id, more: x.more })"),
    workflow('born', "  step x = epic.search(Patient, birthdate: { ge: b.from.toString().toDate(), lt: @2000-01-01 })" + ERR + "  reply({ ids: x.match.id })"),
    workflow('cov', "  step x = epic.search(Coverage, patient: b.patient, status: 'active', _include: ['Coverage:beneficiary'])" + ERR + "  reply({ n: x.match.count(), ids: x.match.id, people: x.include.id })"),
    workflow('name', "  step x = epic.search(Patient, 'family:exact': b.name.toString())" + ERR + "  reply({ ids: x.match.id })"),
    workflow('within', "  step x = epic.search(Coverage, within: \"Patient/{b.id}\")" + ERR + "  reply({ ids: x.match.id })"),
    workflow('loop', "  step got = pages_of()" + ERR + "  reply({ pages: got })"),
    workflow('twopages', "  step got = for page in epic.pages(Patient, gender: 'female') limit 2 { yield page.number }\n  reply({ pages: got })"),
    workflow('create', "  step x = epic.create(Patient(gender: b.gender, identifier: [Identifier(system: 'urn:a', value: b.value)]))" + ERR + "  reply({ id: x.id, version: x.meta.versionId })"),
    workflow('ensure', "  step x = epic.create(Patient(identifier: [Identifier(system: 'urn:a', value: b.value)]), if_none_exist: { identifier: token('urn:a', b.value.toString()) })" + ERR + "  reply({ id: x.id, version: x.meta.versionId })"),
    workflow('update', "  step x = epic.update(Patient(id: b.id, gender: b.gender), if_match: b.version)" + ERR + "  reply({ id: x.id, version: x.meta.versionId })"),
    workflow('upsert', "  step x = epic.update(Patient(gender: b.gender, identifier: [Identifier(system: 'urn:a', value: b.value)]), match: { identifier: token('urn:a', b.value.toString()) })" + ERR + "  reply({ id: x.id, version: x.meta.versionId })"),
    workflow('patch', "  step x = epic.patch(Patient, b.id.toString(), set: { gender: b.gender, active: true }, remove: ['birthDate'])" + ERR + "  reply({ version: x.meta.versionId, gender: x.gender, birth: x.birthDate, active: x.active })"),
    workflow('delete', "  step epic.delete(Patient, b.id.toString())" + ERR + "  reply({ gone: true })"),
    workflow('history', "  step x = epic.history(Patient, b.id.toString())" + ERR + "  reply({ versions: x.match.meta.versionId, n: x.entry.count() })"),
    workflow('everything', "  step x = epic.everything(Patient, b.id.toString())" + ERR + "  reply({ n: x.match.count() })"),
    workflow('operation', "  step x = epic.operation('$match', Patient, resource: Patient(gender: 'male'), count: 3)" + ERR + "  reply({ n: x.entry.count() })"),
    workflow('own', "  step x = epic.operation('$rank', on: Patient, parameters: { who: b.who, certain: true, codes: ['a', 'b'] })" + ERR + "  reply(x)"),
    workflow('safely', "  step x = epic.operation('rank', on: Observation, parameters: { max: 1, certain: true, no: false }, safe: true)" + ERR + "  reply(x)"),
    workflow('ofone', "  step x = epic.operation('$rank', on: Patient, id: b.id, parameters: { who: 'a' })" + ERR + "  reply(x)"),
    workflow('batch', "  step x = epic.batch([Patient(id: 'b1', gender: 'male'), Patient(gender: b.gender)])" + ERR + "  reply({ statuses: x.entry.status, failed: x.failed.count() })"),
    workflow('transaction', "  step x = epic.transaction([Patient(id: 't1', gender: 'male'), Patient(gender: b.gender)])" + ERR + "  reply({ statuses: x.entry.status, ids: x.entry.id })"),
    workflow('resolve', "  step x = epic.resolve(b.reference)" + ERR + "  reply({ id: x.id })"),
    workflow('metadata', "  step x = epic.capabilities()" + ERR + "  reply({ version: x.fhirVersion })"),
])


class Fhir(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = FhirServer()
        cls.s.token = 'the-token'
        cls.d = Daemon(PROGRAM, {'secrets': {'token': {'file': 'token'}}, 'listeners': {'web': {'port': 0}}, 'connections': {'epic': {'base': cls.s.url, 'grant': {'networks': ['127.0.0.0/8']}}}})
        with open(os.open(os.path.join(cls.d.dir, 'token'), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
            f.write('the-token')
        cls.d.start()

    @classmethod
    def tearDownClass(cls):
        cls.d.close()
        cls.s.close()

    def setUp(self):
        s = self.s
        s.versions, s.requests, s.plans = {}, [], []
        s.put({'resourceType': 'Patient', 'id': '17', 'gender': 'female', 'birthDate': '1990-01-02', 'name': [{'family': 'Smith'}], 'identifier': [{'system': 'urn:a', 'value': '4711'}]})
        for i in range(4):
            s.put({'resourceType': 'Patient', 'id': f'p{i}', 'gender': 'female', 'birthDate': f'200{i + 1}'})
        s.put({'resourceType': 'Coverage', 'id': 'c1', 'status': 'active', 'beneficiary': {'reference': 'Patient/17'}})
        s.put({'resourceType': 'Coverage', 'id': 'c2', 'status': 'cancelled', 'beneficiary': {'reference': 'Patient/17'}})

    def call(self, name, **body):
        return self.d.call(name, **body)

    # ---- operations

    def test_F10_read_and_vread(self):
        self.assertEqual(self.call('read', id='17'), {'id': '17', 'birth': '1990-01-02', 'version': '1', 'year': 1990})
        r = self.s.seen('GET')[-1]
        self.assertIn('application/fhir+json', r['headers']['Accept'])
        self.assertEqual(r['headers']['Authorization'], 'Bearer the-token')
        self.s.put({'resourceType': 'Patient', 'id': '17', 'gender': 'male'})
        self.assertEqual(self.call('vread', id='17', version='1'), {'gender': 'female'})
        self.assertEqual(self.call('vread', id='17', version='2'), {'gender': 'male'})

    def test_F10_gone_is_not_missing(self):
        self.call('delete', id='17')
        self.assertEqual(self.call('read', id='17')['status'], 410)
        self.assertEqual(self.call('read', id='18')['status'], 404)
        self.assertEqual(self.call('read', id='18')['code'], 'not-found')

    def test_F2_ids_and_values_cannot_leave_their_place(self):
        for bad in ('../Observation', 'a/b', '17?_format=xml', '.', '..', 'a#b', '%2e%2e'):
            self.call('read', id=bad)
        for r in self.s.requests:
            self.assertRegex(r['path'], r'^/fhir/Patient/[^/?#]+$')
        self.s.requests.clear()
        self.call('find', value='47|11,12\\$&x=1')
        self.assertEqual(self.s.requests[0]['body'], b'identifier=urn:a%7C47%5C%7C11%5C,12%5C%5C%5C%24%26x%3D1')

    def test_F3_phi_goes_by_post_and_all_pages_are_merged(self):
        self.assertEqual(self.call('find', value='4711'), {'ids': ['17'], 'total': 1})
        r = self.s.requests[0]
        self.assertEqual((r['method'], r['path']), ('POST', '/fhir/Patient/_search'))
        self.assertEqual(self.call('all'), {'ids': ['17', 'p0', 'p1', 'p2', 'p3'], 'total': 5, 'more': False})
        self.assertEqual(self.s.seen('GET')[0]['path'], '/fhir/Patient?gender=female')
        self.assertEqual(len(self.s.seen('GET')), 3)

    def test_too_many_is_an_error_and_pages_is_a_limit(self):
        self.assertEqual(self.call('few')['code'], 'too_many')
        self.assertEqual(self.call('firstpage'), {'ids': ['17', 'p0'], 'more': True})

    def test_F8_a_range_is_the_parameter_twice(self):
        self.assertEqual(self.call('born', **{'from': '1980-01-01'}), {'ids': ['17']})
        self.assertEqual(self.s.requests[0]['body'], b'birthdate=ge1980-01-01&birthdate=lt2000-01-01')

    def test_F6_includes_are_apart_from_matches(self):
        self.assertEqual(self.call('cov', patient='17'), {'n': 1, 'ids': ['c1'], 'people': '17'})

    def test_a_parameter_without_a_value_finds_nothing(self):
        self.assertEqual(self.call('cov')['n'], 0)
        self.assertEqual(self.s.requests, [])

    def test_F3_compartments(self):
        self.assertEqual(self.call('within', id='17')['ids'], ['c1', 'c2'])
        self.assertIn('/fhir/Patient/17/Coverage', self.s.requests[0]['path'])

    def test_pages_one_step_each(self):
        self.assertEqual(self.call('loop'), {'pages': ['17+p0', 'p1+p2', 'p3']})
        self.assertEqual(self.call('twopages'), {'pages': [0, 1]})

    def test_F11_create_with_and_without_a_body_in_the_answer(self):
        self.assertEqual(self.call('create', gender='male', value='1')['version'], '1')
        self.s.plan('no_body', method='POST')
        got = self.call('create', gender='male', value='2')
        self.assertEqual(got, {'id': str(self.s.next_id), 'version': '1'})

    def test_F12_conditional_create(self):
        made = self.call('ensure', value='55')
        self.assertEqual(self.call('ensure', value='55')['id'], made['id'])
        self.assertEqual(self.call('ensure', value='4711'), {'id': '17', 'version': '1'})
        self.s.put({'resourceType': 'Patient', 'id': 'x', 'identifier': [{'system': 'urn:a', 'value': '4711'}]})
        got = self.call('ensure', value='4711')
        self.assertEqual((got['status'], got['code'], got['class']), (412, 'multiple-matches', 'permanent'))

    def test_F13_if_match_conflicts(self):
        for version in ('1', '"2"', 'W/"3"'):
            got = self.call('update', id='17', gender='male', version=version)
            self.assertEqual(got['id'], '17')
        got = self.call('update', id='17', gender='male', version='1')
        self.assertEqual((got['status'], got['code'], got['class']), (412, 'conflict', 'permanent'))
        self.s.plan(409, method='PUT')
        self.assertEqual(self.call('update', id='17', gender='male', version='4')['code'], 'conflict')
        self.assertEqual(self.s.seen('PUT')[0]['headers']['If-Match'], 'W/"1"')
        self.assertEqual(self.call('update', id='17', gender='male', version='a b')['code'], 'bad_version')
        self.assertEqual(self.call('update', id='17', gender='male', version={'a': 1})['code'], 'bad_version')  # not an update without condition
        self.assertEqual(self.call('update', id='17', gender='male', version=1)['code'], 'conflict')

    def test_F14_conditional_update(self):
        self.assertEqual(self.call('upsert', gender='male', value='4711'), {'id': '17', 'version': '2'})
        self.assertEqual(self.call('upsert', gender='male', value='99')['version'], '1')

    def test_F15_patch_applies_again_when_another_was_faster(self):
        done = []

        def faster(h):
            done.append(1)
            self.s.put({'resourceType': 'Patient', 'id': '17', 'gender': 'female', 'birthDate': '1991', 'active': False})
            self.s.send(h, 412, {'resourceType': 'OperationOutcome', 'issue': [{'severity': 'error', 'code': 'conflict'}]})
        self.s.plan(faster, faster, method='PATCH')
        got = self.call('patch', id='17', gender='other')
        self.assertEqual(got, {'version': '4', 'gender': 'other', 'active': True})
        self.assertEqual(len(self.s.seen('PATCH')), 3)
        ops = json.loads(self.s.seen('PATCH')[-1]['body'])
        self.assertEqual(ops[0], {'op': 'test', 'path': '/meta/versionId', 'value': '3'})
        self.assertEqual(self.s.seen('PATCH')[-1]['headers']['If-Match'], 'W/"3"')
        self.call('patch', id='17', gender='other')  # nothing to do
        self.assertEqual(len(self.s.seen('PATCH')), 3)

    def test_F15_patch_gives_up_and_falls_back(self):
        self.s.plan(412, 412, 412, 412, method='PATCH')
        self.assertEqual(self.call('patch', id='17', gender='other')['status'], 412)
        self.assertEqual(len(self.s.seen('PATCH')), 4)
        self.s.plan(405, method='PATCH')
        self.assertEqual(self.call('patch', id='17', gender='other')['gender'], 'other')
        self.assertEqual(self.s.seen('PUT')[0]['headers']['If-Match'], 'W/"1"')

    def test_delete_twice_is_done(self):
        self.assertEqual(self.call('delete', id='17'), {'gone': True})
        self.assertEqual(self.call('delete', id='17'), {'gone': True})

    def test_F17_history_and_everything(self):
        self.call('update', id='17', gender='male', version='1')
        self.assertEqual(self.call('history', id='17'), {'versions': ['2', '1'], 'n': 2})
        self.assertEqual(self.call('everything', id='17'), {'n': 3})

    def test_operations(self):
        self.assertEqual(self.call('operation'), {'n': 1})
        sent = json.loads(self.s.seen('POST')[-1]['body'])
        self.assertEqual([(p['name'], p.get('valueInteger'), 'resource' in p) for p in sent['parameter']], [('resource', None, True), ('count', 3, False)])
        self.assertEqual(self.call('own', who='x'), {'method': 'POST', 'who': 'x', 'certain': True, 'codes': ['a', 'b']})
        self.assertEqual(self.call('safely'), {'method': 'GET', 'max': '1', 'certain': 'true', 'no': 'false'})
        self.assertIn('/fhir/Observation/$rank?max=1&certain=true&no=false', [r['path'] for r in self.s.requests])
        self.assertEqual(self.call('ofone', id='17'), {'method': 'POST', 'who': 'a'})
        self.assertEqual(self.s.requests[-1]['path'], '/fhir/Patient/17/$rank')
        self.assertEqual(self.call('ofone')['code'], 'no_id')  # and is not asked of all patients
        self.assertEqual(self.s.requests[-1]['path'], '/fhir/Patient/17/$rank')
        self.assertEqual(self.call('metadata'), {'version': '4.0.1'})

    def test_F16_batch_and_transaction(self):
        self.assertEqual(self.call('batch', gender='refuse'), {'statuses': [201, 422], 'failed': 1})
        self.assertEqual(self.s.requests[-1]['path'], '/fhir')
        self.assertEqual(self.call('transaction', gender='male')['statuses'], [201, 201])
        got = self.call('transaction', gender='refuse')
        self.assertEqual((got['status'], got['code'], got['class']), (422, 'invalid', 'permanent'))

    def test_F10_references_are_followed_on_this_server_only(self):
        self.assertEqual(self.call('resolve', reference={'reference': 'Patient/17'}), {'id': '17'})
        self.assertEqual(self.call('resolve', reference=f'{self.s.url}/Patient/17/_history/1'), {'id': '17'})
        other = FhirServer()
        for bad in (f'http://127.0.0.1:{other.port}/fhir/Patient/17', 'https://example.org/Patient/1', '#p', 'urn:uuid:1', f'http://127.0.0.1:{self.s.port}/other/Patient/17', 'http://a@127.0.0.1/x', 'Patient/../x'):
            self.assertTrue(self.call('resolve', reference=bad)['failed'], bad)
        self.assertEqual(other.requests, [])
        other.close()

    # ---- what servers get wrong

    def test_F21_a_read_survives_429_503_500_and_a_cut_connection(self):
        for how in ((429, '0'), 503, 500, 502, 'lost', 'truncated_length'):
            self.s.plan(how if how != 'truncated_length' else 'lost', method='GET')
            self.assertEqual(self.call('read', id='17')['id'], '17', how)

    def test_F22_retry_after_in_seconds_and_as_a_date(self):
        for text in ('1', None):
            self.s.requests.clear()
            self.s.plan((429, text or http_date(3)), method='GET')
            self.assertEqual(self.call('read', id='17')['id'], '17')
            self.assertGreater(self.s.requests[1]['time'] - self.s.requests[0]['time'], 0.6)

    def test_F21_a_create_whose_outcome_is_unknown_is_not_repeated(self):
        self.s.plan('lost', method='POST')
        got = self.call('create', gender='male', value='7')
        self.assertEqual(got['class'], 'ambiguous')
        self.assertEqual(len(self.s.seen('POST')), 1)
        self.s.plan(500, method='POST')
        self.assertEqual(self.call('create', gender='male', value='8')['class'], 'ambiguous')
        self.s.plan((429, '0'), method='POST')  # refused: it can be
        self.assertEqual(self.call('create', gender='male', value='9')['version'], '1')
        self.s.plan('lost', method='POST')      # conditional: it can be
        self.assertEqual(self.call('ensure', value='77')['version'], '1')
        self.assertEqual(len([v for (k, _), v in self.s.versions.items() if v[-1] and v[-1].get('identifier', [{}])[0].get('value') == '77']), 1)

    def test_timeouts(self):
        self.s.plan('hang', method='GET')
        begin = time.monotonic()
        self.assertEqual(self.call('read', id='17')['id'], '17')
        self.assertGreater(time.monotonic() - begin, 1.5)

    def test_F9_an_ignored_parameter_is_an_error(self):
        self.s.plan('ignore', path='_search')
        got = self.call('find', value='4711')
        self.assertEqual(got.get('code'), 'too_many')  # by POST the self link of this server says nothing; max does
        self.s.plan('ignore', path='gender')
        got = self.call('all')
        self.assertEqual((got['code'], got['class']), ('search_param_ignored', 'data'))
        self.assertIn("'gender'", got['message'])
        self.s.plan('wrong_self', path='gender')
        self.assertEqual(self.call('all')['code'], 'search_param_ignored')
        self.s.plan('no_self', path='gender')
        self.assertEqual(len(self.call('all')['ids']), 5)

    def test_F5_pages_that_lead_away_or_in_circles(self):
        self.s.plan('away', path='gender')
        self.assertEqual(self.call('all')['code'], 'next_origin')
        self.s.plan('loop', 'loop', 'loop', 'loop', 'loop', 'loop', 'loop', 'loop')
        self.assertEqual(self.call('all')['code'], 'page_loop')
        self.s.plans.clear()
        self.s.plan(*['loop'] * 20)
        self.assertEqual(self.call('loop')['code'], 'page_loop')

    def test_F20_what_is_no_fhir(self):
        self.s.plan('html', method='GET')
        self.assertEqual(self.call('read', id='17')['code'], 'not_fhir')
        self.s.plan('text', method='GET')
        self.assertEqual(self.call('read', id='17')['code'], 'not_fhir')
        self.s.plan('truncated', method='GET')
        self.assertEqual(self.call('read', id='17')['class'], 'data')
        self.s.plan(lambda h: self.s.raw(h, 502, 'text/html', b'<html>bad gateway'), method='GET')
        self.assertEqual(self.call('read', id='17')['id'], '17')
        self.s.plan(lambda h: self.s.send(h, 200, {'resourceType': 'Observation', 'id': '17', 'status': 'final'}), method='GET')
        self.assertEqual(self.call('read', id='17')['code'], 'wrong_type')

    def test_F20_outcomes_name_code_and_place_and_no_values(self):
        got = self.call('create', gender='refuse', value='4711')
        self.assertEqual((got['status'], got['code'], got['class']), (422, 'invalid', 'permanent'))
        self.assertIn('Patient.gender', got['message'])
        self.assertNotIn('MARKER', json.dumps(got))
        self.assertNotIn('MARKER', '\n'.join(self.d.log))

    def test_401_is_final(self):
        self.s.plan(lambda h: self.s.send(h, 401, None), method='GET')
        got = self.call('read', id='17')
        self.assertEqual((got['status'], got['class']), (401, 'permanent'))
        self.assertEqual(len(self.s.requests), 1)

    def test_connections_show_what_happens(self):
        self.s.plan((429, '0'), method='GET')
        self.call('read', id='17')
        c = next(x for x in self.d.ask('connections') if x['name'] == 'epic')
        self.assertEqual((c['kind'], c['state']), ('fhir', 'ok'))
        self.assertGreaterEqual(c['throttled'], 1)
        self.assertGreater(c['requests'], c['throttled'])


HARD = '''hdw 1
listener adt = mllp(port: 2575)
connection epic = fhir(timeout: 1 second, retry: retry(3, from: 50 milliseconds, to: 200 milliseconds), breaker: breaker(failures: 3, cooldown: 1 second))
workflow admit on msg = adt.message(types: ['ADT^A01']) {
  step p = epic.read(Patient, '17')
  step u = epic.update(Patient(id: '17', gender: 'male'), if_match: '1')
    on error where error.code = 'conflict' { log('another was faster') }
  step again = epic.read(Patient, '17')
  step made = epic.create(Patient(gender: 'female'))
  return { id: made.id }
}
'''


class Hardships(unittest.TestCase):
    def setUp(self):
        self.s = FhirServer()
        for _ in range(2):
            self.s.put({'resourceType': 'Patient', 'id': '17', 'gender': 'female'})
        self.d = Daemon(HARD, {'listeners': {'adt': {'port': 0}}, 'connections': {'epic': {'base': self.s.url, 'grant': {'networks': ['127.0.0.1/32']}}}}).start()
        self.m = Mllp(self.d.ports['adt'])

    def tearDown(self):
        self.m.close()
        self.d.close()
        self.s.close()

    def connection(self):
        return self.d.ask('connections')[0]

    def until(self, state, seconds=20):
        return self.d.ask('run', wait_for(lambda: self.ended(state), seconds, f'a run that is {state}')[0]['id'])

    def ended(self, state):
        return [r for r in self.d.runs() if r['state'] == state]

    def test_R4_R5_a_run_survives_429_503_412_and_a_timeout_in_turn(self):
        self.s.plan((429, '1'), 503, 'ok', 'hang', method='GET')
        begin = time.monotonic()
        self.assertEqual(ack_code(self.m.ask(adt('C1'))), 'AA')
        wait_for(lambda: self.connection()['state'] == 'asked to wait', 5, 'the wait that the server asked for')
        run = self.until('done')
        self.assertGreater(time.monotonic() - begin, 1.8)
        steps = {s['path']: s for s in run['journal']}
        self.assertEqual([(s['state'], s.get('attempts', 1)) for _, s in sorted(steps.items())], [('done', 3), ('failed', 1), ('done', 2), ('done', 1)])
        self.assertIn('412', json.dumps(steps['1']))
        c = self.connection()
        self.assertEqual((c['state'], c['throttled'], c['failed'], c['in_flight']), ('ok', 1, 4, 0))
        self.assertEqual(len(self.s.seen('POST')), 1)

    def test_R5_an_open_breaker_parks_runs_without_attempts_and_one_probe_frees_them(self):
        self.s.plan(*[503] * 7, method='GET')  # five runs at once open it; what is left are probes that find it still down
        for i in range(5):
            self.m.ask(adt(f'B{i}'))
        wait_for(lambda: len(self.ended('done')) == 5, 30, 'all runs')
        self.assertTrue(any('breaker_open' in line for line in self.d.log))
        gets = [r['time'] for r in self.s.seen('GET')]
        self.assertEqual(len(gets), 7 + 10)
        self.assertGreaterEqual(len([1 for a, b in zip(gets, gets[1:]) if b - a > 0.7]), 2)
        self.assertEqual(self.connection()['state'], 'ok')
        self.assertEqual(len(self.s.seen('POST')), 5)

    def test_R4_a_create_that_hangs_is_a_dead_letter_that_says_so(self):
        self.s.plan('hang', method='POST')
        self.m.ask(adt('D1'))
        run = self.until('dead')
        self.assertEqual(len(self.s.seen('POST')), 1)
        dead = self.d.ask('dead')[0]
        self.assertEqual(dead['class'], 'ambiguous')
        self.assertEqual([s['state'] for s in run['journal']], ['done', 'failed', 'done', 'failed'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
