#!/usr/bin/env python3
"""REST connections through the real daemon: bodies of all kinds, lists in pages by each strategy, guards."""
import email
import os
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from rig import Daemon, HttpSink

KINDS = {
    'link': "next_link('paging.next', items: 'results')",
    'header': 'link_header()',
    'cursor': "by_cursor('meta.cursor', parameter: 'cursor', items: 'results')",
    'offset': "by_offset('offset', size: 2, items: 'results')",
    'number': "by_page('page', first: 1, items: 'results')",
}
ERR = ' on error { reply({ failed: true, status: error.status, code: error.code, class: error.class }) }\n'
PROGRAM = 'hdw 1\nlistener web = http()\nconnection plain = rest(retry: retry(1, from: 20 milliseconds, to: 20 milliseconds))\npayload Contact { id: integer  name: string }\n'
for name, how in KINDS.items():
    PROGRAM += f"connection by_{name} = rest(page: {how})\n"
    PROGRAM += f"action all_{name}(): any* {{\n  step got = for page in by_{name}.pages('/list', kind: 'x') {{ yield page.items.id.join('+') }}\n  return got\n}}\n"
    PROGRAM += f"workflow {name} on req = web.post('/{name}') ack after run within 20 seconds else AE {{\n  step x = all_{name}(){ERR}  reply({{ pages: x }})\n}}\n"
for name, body in {'form': "form: { a: req.body.a, b: ['1', '2'] }", 'ndjson': "ndjson: [{ a: 1 }, { b: req.body.a }]",
                   'multipart': "multipart: { note: req.body.a, file: { content: { x: 1 }, filename: 'a\".json' } }"}.items():
    PROGRAM += f"workflow {name} on req = web.post('/{name}') ack after run within 20 seconds else AE {{\n  step x = plain.post('/{name}', {body}){ERR}  reply({{ ok: true }})\n}}\n"
PROGRAM += f"workflow typed on req = web.post('/typed') ack after run within 20 seconds else AE {{\n  step x: Contact = plain.get('/contact'){ERR}  reply({{ name: x.name }})\n}}\n"


class Rest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sink = HttpSink()
        to = {'base': f'http://127.0.0.1:{cls.sink.port}', 'private_networks': True}
        cls.d = Daemon(PROGRAM, {'listeners': {'web': {'port': 0}}, 'connections': {c: to for c in ['plain', *('by_' + k for k in KINDS)]}}).start()

    @classmethod
    def tearDownClass(cls):
        cls.d.close()
        cls.sink.close()

    def setUp(self):
        self.sink.requests.clear()

    def call(self, name, **body):
        return self.d.call(name, **body)

    def lists(self, r):
        """Five items, two a page, in whichever way is asked."""
        u = urllib.parse.urlsplit(r['path'])
        q = dict(urllib.parse.parse_qsl(u.query))
        at = int(q.get('offset', q.get('cursor', (int(q['page']) - 1) * 2 if 'page' in q else q.get('at', 0))))
        items = [{'id': i} for i in range(at, min(at + 2, 5))]
        more = at + 2 < 5
        q['at'] = at + 2
        to = f'/list?{urllib.parse.urlencode(q)}'
        headers = {'Link': f'</list?x=1>; rel="first", <{to}>; rel="next"'} if more else {}
        return 200, {'results': items, 'paging': {'next': to if more else None}, 'meta': {'cursor': str(at + 2) if more else None}}, headers

    def test_each_way_of_paging(self):
        self.sink.answer = self.lists
        for kind in ('link', 'cursor', 'offset', 'number'):
            self.sink.requests.clear()
            got = self.call(kind)
            self.assertEqual(got, {'pages': ['0+1', '2+3', '4']}, kind)
            self.assertTrue(all('kind=x' in r['path'] for r in self.sink.requests), kind)
        self.sink.answer = lambda r: (200, self.lists(r)[1]['results'], self.lists(r)[2])
        self.assertEqual(self.call('header'), {'pages': ['0+1', '2+3', '4']})
        apart = lambda h: dict(zip(('Link', 'link'), h['Link'].split(', '))) if h else h  # a header for each link
        self.sink.answer = lambda r: (200, self.lists(r)[1]['results'], apart(self.lists(r)[2]))
        self.assertEqual(self.call('header'), {'pages': ['0+1', '2+3', '4']})

    def test_pages_that_lead_away_or_in_circles(self):
        other = HttpSink()
        self.sink.answer = lambda r: (200, {'results': [{'id': 1}], 'paging': {'next': f'http://127.0.0.1:{other.port}/list'}}, {})
        self.assertEqual(self.call('link')['code'], 'next_origin')
        self.assertEqual(other.requests, [])
        other.close()
        self.sink.answer = lambda r: (200, {'results': [{'id': 1}], 'paging': {'next': '/list?a=1'}}, {})
        self.assertEqual(self.call('link')['code'], 'page_loop')
        self.sink.answer = lambda r: (200, {'results': [{'id': 1}], 'meta': {'cursor': 'a' if r['path'].endswith('b') else 'b'}}, {})
        self.assertEqual(self.call('cursor')['code'], 'page_loop')
        self.assertLess(len(self.sink.requests), 12)

    def test_bodies(self):
        self.sink.answer = lambda r: (200, {}, {})
        self.assertEqual(self.call('form', a='x&y=1\r\n+ü'), {'ok': True})
        r = self.sink.to('/form')[0]
        self.assertEqual(r['headers']['Content-Type'], 'application/x-www-form-urlencoded')
        self.assertEqual(urllib.parse.parse_qsl(r['body'].decode()), [('a', 'x&y=1\r\n+ü'), ('b', '1'), ('b', '2')])
        self.assertEqual(self.call('ndjson', a='q'), {'ok': True})
        self.assertEqual(self.sink.to('/ndjson')[0]['body'], b'{"a":1}\n{"b":"q"}\n')
        self.assertEqual(self.call('multipart', a='text'), {'ok': True})
        r = self.sink.to('/multipart')[0]
        parts = email.message_from_bytes(b'Content-Type: ' + r['headers']['Content-Type'].encode() + b'\r\n\r\n' + r['body']).get_payload()
        self.assertEqual([(p.get_param('name', header='content-disposition'), p.get_content_type(), p.get_payload().strip()) for p in parts],
                         [('note', 'text/plain', 'text'), ('file', 'application/json', '{"x":1}')])

    def test_a_declared_type_checks_the_answer(self):
        self.sink.answer = lambda r: (200, {'id': 1, 'name': 'A'}, {})
        self.assertEqual(self.call('typed'), {'name': 'A'})

    def test_R4_a_post_over_a_kept_connection_is_sent_once(self):
        self.sink.answer = lambda r: (200, {}, {})
        self.call('form', a='1')
        self.sink.requests.clear()
        self.sink.answer = lambda r: (503, {}, {}) if len(self.sink.requests) == 1 else (200, {}, {})
        self.assertEqual(self.call('form', a='2'), {'ok': True})
        self.assertEqual(len({r['key'] for r in self.sink.requests}), 1)
        self.assertEqual(len(self.sink.requests), 2)


if __name__ == '__main__':
    unittest.main(verbosity=2)
