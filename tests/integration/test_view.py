#!/usr/bin/env python3
"""`hdwc view` as it is called: options, forms, lines that cannot be used, any number of lines in little memory. HDW_BIN names the folder."""
import csv
import io
import json
import os
import re
import subprocess
import tempfile
import unittest

import rig

VIEW = {'resource': 'Patient', 'status': 'active', 'select': [{'column': [
    {'name': 'id', 'path': 'getResourceKey()', 'type': 'string'}, {'name': 'born', 'path': 'birthDate', 'type': 'date'},
    {'name': 'names', 'path': 'name.family', 'type': 'string', 'collection': True}, {'name': 'weight', 'path': "extension('w').value.ofType(decimal)", 'type': 'decimal'}]}]}


class View(unittest.TestCase):
    def setUp(self):
        d = tempfile.TemporaryDirectory(prefix='hdw-view-')
        self.addCleanup(d.cleanup)
        self.dir = d.name

    def put(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w', newline='') as f:
            f.write(text if isinstance(text, str) else json.dumps(text))
        return path

    def view(self, *args, stdin='', view=VIEW):
        self.put('v.json', view)
        p = subprocess.run([rig.HDWC, 'view', 'v.json', *args], cwd=self.dir, input=stdin.encode(), capture_output=True, timeout=120)
        p.stdout, p.stderr = p.stdout.decode(), p.stderr.decode()
        return p

    def test_values(self):
        p = self.view(stdin='{"resourceType":"Patient","id":"a","birthDate":"1980-01","_birthDate":{"extension":[{"url":"x"}]},"name":[{"family":"O\\"N, é"},{"family":"B"}],'
                            '"extension":[{"url":"w","valueDecimal":1.500}]}\r\n\n{"resourceType":"Group","id":"g"}\n{"id":"b","resourceType":"Patient"}')
        self.assertEqual((p.returncode, p.stderr), (0, ''))
        self.assertEqual(p.stdout, '{"id":"Patient/a","born":"1980-01","names":["O\\"N, é","B"],"weight":1.500}\n{"id":"Patient/b","born":null,"names":[],"weight":null}\n')

    def test_csv(self):
        p = self.view('--format=csv', stdin='{"resourceType":"Patient","id":"a","name":[{"family":"O\\"N, é"}],"extension":[{"url":"w","valueDecimal":1.500}]}\n')
        rows = list(csv.reader(io.StringIO(p.stdout, newline='')))
        self.assertEqual(rows, [['id', 'born', 'names', 'weight'], ['Patient/a', '', '["O\\"N, é"]', '1.500']])

    def test_csv_quotes_what_needs_it(self):
        texts = ['plain', 'a,b', 'say "x"', 'two\nlines', 'cr\rlf\r\n', ' blank before', 'blank after ', 'é;\t|', "'", '=1+1']
        view = {'resource': 'Patient', 'select': [{'forEach': 'name', 'column': [{'name': 'n', 'path': 'family'}, {'name': 'i', 'path': '%rowIndex'}]}]}
        p = self.view('--format=csv', view=view, stdin=json.dumps({'resourceType': 'Patient', 'name': [{'family': t} for t in texts] + [{'text': 'no family'}]}))
        self.assertEqual((p.returncode, p.stderr), (0, ''))
        self.assertEqual(list(csv.reader(io.StringIO(p.stdout, newline=''))), [['n', 'i']] + [[t, str(i)] for i, t in enumerate(texts + [''])])
        one = {'resource': 'Patient', 'select': [{'forEach': 'name', 'column': [{'name': 'n', 'path': 'family'}]}]} # a row without any text is still a line
        p = self.view('--format=csv', view=one, stdin='{"resourceType":"Patient","name":[{"text":"a"},{"family":"b"}]}')
        self.assertEqual(p.stdout, 'n\n""\nb\n')

    def test_lines_that_cannot_be_used(self):
        good = '{"resourceType":"Patient","id":"a"}\n'
        p = self.view('--format=csv', 'x.ndjson', 'y.ndjson') if self.put('x.ndjson', good + '{"resourceType":\n' + good + '[1]\n7\n"\xff\n') and self.put('y.ndjson', '\n{}\n' + good) else None
        self.assertEqual(p.returncode, 1)
        self.assertEqual(p.stdout.splitlines()[1:], ['Patient/a,,[],'] * 3)
        places = [line.split(' ')[0] for line in p.stderr.splitlines()]
        self.assertEqual(places, ['x.ndjson:2:17:', 'x.ndjson:4:', 'x.ndjson:5:', 'x.ndjson:6:3:', 'y.ndjson:2:', 'hdwc:'])
        self.assertIn('5 lines could not be used', p.stderr)

    def test_a_fault_takes_all_rows_of_its_resource(self):
        view = {'resource': 'Patient', 'select': [{'forEach': 'name', 'column': [{'name': 'g', 'path': 'given'}]}]}
        p = self.view(view=view, stdin='{"resourceType":"Patient","name":[{"given":["a"]},{"given":["b","c"]}]}\n{"resourceType":"Patient","name":[{"given":["d"]}]}\n')
        self.assertEqual((p.returncode, p.stdout), (1, '{"g":"d"}\n'))
        self.assertIn("standard input:1: column 'g' has 2 values", p.stderr)

    def test_many_bad_lines_are_counted(self):
        p = self.view(stdin='x\n' * 1000)
        self.assertEqual(len(p.stderr.splitlines()), 22)
        self.assertIn('1000 lines', p.stderr)

    def test_use(self):
        self.assertEqual(self.view('nofile').returncode, 2)
        self.assertEqual(self.view('--format=xml').returncode, 2)
        self.assertEqual(self.view(view='{').returncode, 2)
        self.assertEqual(self.view('--check').stdout, '')
        wrong = dict(VIEW, where=[{'path': 'birthDat.exists()'}])
        p = self.view('--check', view=wrong)
        self.assertEqual(p.returncode, 0)
        self.assertIn("did you mean 'birthDate'?", p.stderr)
        p = self.view('--check', '--strict', view=wrong)
        self.assertEqual(p.returncode, 1)
        self.assertIn('v.json: where[0].path:1:1', p.stderr)

    def test_errors_of_structure_say_where(self):
        text = """{
  "resource": "Patient",
  "constant": [{"name": "1x", "valueString": "a"}],
  "select": [
    {"column": [{"name": "id", "path": "getResourceKey()"}, {"path": "id",
      "name": "4"}]},
    {"forEach": "name", "forEachOrNull": "name", "column": []},
    {"column": {"name": "z"}},
    {"column": [{"name": "id", "path": "id"}]}
  ]
}
"""
        def places(t):
            p = self.view('--check', view=t)
            return p.returncode, [line.split()[-1] for line in p.stderr.splitlines() if line.strip().startswith('-->')], p.stderr
        code, found, told = places(text)
        self.assertEqual(code, 1)
        self.assertEqual(found, ['v.json:3:25', 'v.json:6:15', 'v.json:8:16', 'v.json:9:27'], told)
        # what stands in the way of the next ones, mended
        code, found, told = places(text.replace('"1x"', '"x"').replace('"4"', '"four"').replace('{"name": "z"}', '[]').replace('"name": "id", "path": "id"', '"name": "i", "path": 7, "collection": 1'))
        self.assertEqual((code, found), (1, ['v.json:7:5', 'v.json:9:39', 'v.json:9:56']), told)

    def test_memory_does_not_grow(self):
        line = json.dumps({'resourceType': 'Patient', 'id': 'x', 'name': [{'family': 'F%d' % i, 'given': ['a'] * 20} for i in range(50)]}) + '\n'
        bad = line[:-9] + '\n'
        peaks = []
        self.put('v.json', VIEW)
        env = {**os.environ, 'ASAN_OPTIONS': 'quarantine_size_mb=1'} # of a build with the sanitizer: what was freed is not kept
        with open(os.devnull, 'w') as null:
            p = subprocess.Popen([rig.HDWC, 'view', 'v.json'], cwd=self.dir, stdin=subprocess.PIPE, stdout=null, stderr=null, env=env, text=True)
            for n in (100, 2000):
                for _ in range(n):
                    p.stdin.write(line + bad)
                p.stdin.flush()
                with open('/proc/%d/status' % p.pid) as f:
                    peaks.append(int(re.search(r'VmHWM:\s+(\d+) kB', f.read())[1]))
            p.stdin.close()
            self.assertEqual(p.wait(60), 1) # because of the damaged lines
        self.assertLess(peaks[1], peaks[0] + 4096, 'kB')

    def test_one_long_line(self):
        names = ','.join('{"family":"F%d"}' % i for i in range(200000))
        p = self.view(stdin='{"resourceType":"Patient","id":"long","name":[%s]}\n{"resourceType":"Patient","id":"b"}\n' % names)
        self.assertEqual((p.returncode, p.stderr), (0, ''))
        rows = [json.loads(line) for line in p.stdout.splitlines()]
        self.assertEqual([r['id'] for r in rows], ['Patient/long', 'Patient/b'])
        self.assertEqual((len(rows[0]['names']), rows[0]['names'][-1]), (200000, 'F199999'))


if __name__ == '__main__':
    unittest.main(verbosity=1)
