#!/usr/bin/env python3
"""Adapters against servers that behave as the vendors' do, cached(...) and its command against the daemon."""
import http.client
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import HDWVM, Daemon  # noqa: E402
from vendor_servers import Athena, Cerner, Epic, Hapi  # noqa: E402

PROGRAM = '''hdw 1
use epic
use cerner
use athena
use hapi
setting practice: string
connection hospital = epic()
connection clinic = epic(quirks: { rates: { Observation: 20 } })
connection millennium = cerner()
connection group = athena(parameters: { 'ah-practice': practice })
connection store = hapi()
listener web = http(port: 8080)
workflow epics on req = web.post('/epic') ack after run within 30 seconds else AE {
  let b = req.body
  step pat = hospital.patientBy('urn:a', b.value.toString())
  step none = hospital.patientBy('urn:a', 'nobody')
  if pat.id.empty() { reply({ id: 'none' }) }
  step labs = hospital.labs(coalesce(pat.id, ''))
  step more = hospital.labs(coalesce(pat.id, ''), @2026-02-01T00:00:00Z)
  step cov = hospital.coverages(coalesce(pat.id, ''))
  reply({ id: pat.id, none: none.exists(), labs: labs.id, fresh: more.id, insured: cov.id })
}
workflow paced on req = web.post('/paced') ack after run within 30 seconds else AE {
  let b = req.body
  for n in range(1, 10) { step x = clinic.labs('17') }
  reply({ ok: true })
}
workflow cerners on req = web.post('/cerner') ack after run within 30 seconds else AE {
  let b = req.body
  step pat = millennium.patientBy('urn:a', b.value.toString())
  step now = millennium.changePatient(coalesce(pat.id, ''), { gender: 'female' })
  step labs = millennium.labs(coalesce(pat.id, ''), @2026-02-01T00:00:00Z)
  step fresh = millennium.labsChanged(coalesce(pat.id, ''), @2026-02-01T00:00:00Z)
  step made = millennium.create(Patient(identifier: [Identifier(system: 'urn:a', value: 'new')]))
  reply({ version: now.meta.versionId, gender: now.gender, labs: labs.id, fresh: fresh.id, made: made.id, first: made.meta.versionId })
}
workflow athenas on req = web.post('/athena') ack after run within 30 seconds else AE {
  let b = req.body
  step pat = group.patientBy('urn:a', b.value.toString())
  step fresh = group.labsChanged(coalesce(pat.id, ''), @2026-02-01)
  reply({ id: pat.id, fresh: fresh.id })
}
workflow hapis on req = web.post('/hapi') ack after run within 30 seconds else AE {
  let b = req.body
  step before = store.patientBy('urn:a', b.value.toString())
  step made = store.ensurePatient(Patient(identifier: [Identifier(system: 'urn:a', value: b.value)]), 'urn:a', b.value.toString())
  step after = store.patientBy('urn:a', b.value.toString())
  reply({ before: before.exists(), after: after.id })
}
workflow wards on req = web.post('/wards') ack after run within 30 seconds else AE {
  let b = req.body
  step found = cached(store.search(Location, status: 'active'), for: 1 day, stale: 1 day)
  reply({ n: found.match.count() })
}
'''


class Adapters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = {'hospital': Epic(), 'clinic': Epic(), 'millennium': Cerner(), 'group': Athena(), 'store': Hapi()}
        local = {'networks': ['127.0.0.0/8']}
        cls.d = Daemon(PROGRAM, {'settings': {'practice': 'Organization/a-1.Practice-195900'}, 'listeners': {'web': {'port': 0}}, 'observe': {'port': 0},
                                 'connections': {n: {'base': s.url, 'grant': local} for n, s in cls.s.items()}})
        for s in cls.s.values():
            s.put({'resourceType': 'Patient', 'id': '17', 'gender': 'unknown', 'identifier': [{'system': 'urn:a', 'value': '4711'}]})
            for i, status in enumerate(('cancelled', 'active')):
                s.put({'resourceType': 'Coverage', 'id': f'c{i}', 'status': status, 'beneficiary': {'reference': 'Patient/17'}, 'payor': [{'display': 'x'}]})
            s.put({'resourceType': 'Location', 'id': 'w1', 'status': 'active'})
            for i, day in enumerate(('2026-01-01', '2026-03-01')):
                s.put({'resourceType': 'Observation', 'id': f'o{i}', 'status': 'final', 'code': {'text': 'x'}, 'category': [{'coding': [{'code': 'laboratory'}]}],
                       'subject': {'reference': 'Patient/17'}, 'effectiveDateTime': day + 'T10:00:00Z'})
        cls.d.start()

    @classmethod
    def tearDownClass(cls):
        cls.d.close()
        for s in cls.s.values():
            s.close()

    def call(self, name, **body):
        return self.d.call(name, **body)

    def test_epic(self):
        self.assertEqual(self.call('epic', value='4711'), {'id': '17', 'none': False, 'labs': ['o0', 'o1'], 'fresh': ['o1'], 'insured': ['c1']})

    def test_requests_of_one_resource_have_their_own_pace(self):
        self.call('paced')
        at = [r['time'] for r in self.s['clinic'].requests]
        self.assertEqual(len(at), 10)
        self.assertGreater(at[-1] - at[0], 0.4)  # nine gaps of 50 ms

    def test_cerner(self):
        got = self.call('cerner', value='4711')
        made = got.pop('made')
        self.assertEqual(got, {'version': '2', 'gender': 'female', 'labs': ['o1'], 'fresh': ['o0', 'o1'], 'first': '1'})
        self.assertIn(('Patient', made), self.s['millennium'].versions)
        patch = self.s['millennium'].seen('PATCH')[0]
        self.assertEqual(patch['headers']['If-Match'], 'W/"1"')
        self.assertEqual(json.loads(patch['body']), [{'op': 'replace', 'path': '/gender', 'value': 'female'}])

    def test_athena_names_the_practice(self):
        self.assertEqual(self.call('athena', value='4711'), {'id': '17', 'fresh': ['o0', 'o1']})
        self.assertIn(b'_lastUpdated=ge2026-02-01', self.s['group'].requests[-1]['body'])
        self.assertIn(b'ah-practice=Organization/a-1.Practice-195900', self.s['group'].requests[-1]['body'])

    def test_hapi_does_not_see_old_results(self):
        got = self.call('hapi', value='99')
        self.assertFalse(got['before'])
        self.assertTrue(got['after'])
        self.assertIn(b'_count=100', self.s['store'].seen('POST', '_search')[0]['body'])

    def test_kept_answers(self):
        s = self.s['store']
        for _ in range(3):
            self.assertEqual(self.call('wards'), {'n': 1})
        self.assertEqual(len(s.seen('GET', '/Location')), 1)
        self.d.stop()
        self.d.start()
        self.assertEqual(self.call('wards'), {'n': 1})
        self.assertEqual(len(s.seen('GET', '/Location')), 1)
        row = self.d.ask('cache')[0]
        self.assertEqual((row['connection'], row['answers'], row['hits'], row['asked']), ('store', 1, 1, 0))
        c = http.client.HTTPConnection('127.0.0.1', self.d.ports['observe'], timeout=20)
        c.request('GET', '/metrics')
        self.assertIn(b'hdw_cache_calls_total{connection="store",how="kept"} 1', c.getresponse().read())
        c.close()
        self.assertEqual(self.d.ask('cache', 'clear', 'store')['done'], 1)
        self.assertEqual(self.call('wards'), {'n': 1})
        self.assertEqual(len(s.seen('GET', '/Location')), 2)
        r = subprocess.run([HDWVM, 'cache', 'clear', '--config', 'hdw.json'], cwd=self.d.dir, capture_output=True, text=True, timeout=60)
        self.assertIn('cache clear CONNECTION', r.stderr)


if __name__ == '__main__':
    unittest.main()
