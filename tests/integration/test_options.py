#!/usr/bin/env python3
"""Every row of runtime/options.def: its bounds are accepted, what is beyond them, of another type or misspelt is reported with its place.

What a row does is tested where it does it; here, that the table and the daemon agree."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lint'))
from lintlib import rows
from rig import HDWC, HDWVM

PROGRAM = '''hdw 1
listener adt = mllp()
connection crm = rest()
workflow w on msg = adt.message(types: ['ADT^A01']) { send crm.post('/x', body: { id: msg.MSH-10 }) }
'''
PLACE = {'TOP': (), 'LISTENER': ('listeners', 'adt'), 'TLS': ('listeners', 'adt', 'tls'), 'CONNECTION': ('connections', 'crm'), 'ROLE': ('roles',), 'CLIENT_TLS': ('connections', 'crm', 'tls'),
         'ADMIN_HTTP': ('admin_http',), 'OBSERVE': ('observe',), 'TRACES': ('traces',)}
NEEDED = {'admin_http': {'port': 0}, 'observe': {'port': 0}, 'traces': {'endpoint': 'http://127.0.0.1:4318/v1/traces'}}
CHOICES = {'unmatched': ['reject', 'accept'], 'conflict': ['accept', 'reject'], 'ambiguous': ['retry', 'stop'], 'on_dead': ['hold', 'skip'], 'hl7_answer': ['required', 'any'], 'log_level': ['debug', 'info', 'warn', 'error'],
           'ack': ['normal', 'original', 'immediate', 'none'], 'ack_lone': ['never', 'always'], 'ack_type': ['version', 'plain', 'event'], 'unparseable': ['answer', 'close'], 'duplicates': ['key', 'content'],
           'batch_ack': ['all', 'errors', 'messages'], 'batch_counts': ['reject', 'warn'], 'charset': ['', '8859/1', 'UNICODE UTF-8']}
ITEM = {'ROLE': 'uid:1'}  # of a list; else a network
ITEMS = {'closed_on': '12-25', 'reactions': '206=retry', 'ack_codes': 'AE=AA', 'basic': 'lab=token', 'bearer': 'lab=token', 'clients': 'lab=lab.example.org'}


class Options(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.source, cls.module, cls.config = (os.path.join(cls.folder.name, n) for n in ('app.hdw', 'app.hdwb', 'hdw.json'))
        with open(cls.source, 'w') as f:
            f.write(PROGRAM)
        subprocess.run([HDWC, 'build', cls.source, '-o', cls.module], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def problems(self, macro, name, value):
        """Lines that serve --check gives about this option when it has this value."""
        config = {'data': os.path.join(self.folder.name, 'data'), 'listeners': {'adt': {'port': 2575}}, 'connections': {'crm': {'base': 'https://crm.example.org'}}}
        if macro == 'TLS':
            config['listeners']['adt']['tls'] = {'cert': 'cert.pem', 'key': 'key.pem'}
        if name in ('basic', 'bearer'):
            config['secrets'] = {'token': {'file': self.config}}
        if name == 'clients':
            config['listeners']['adt']['tls'] = {'cert': 'cert.pem', 'key': 'key.pem', 'client_ca': 'ca.pem'}
        if macro == 'CLIENT_TLS':
            config['connections']['crm']['tls'] = {}
        at = config
        for key in PLACE[macro]:
            at = at.setdefault(key, dict(NEEDED.get(key, {})))
        at[name] = value
        with open(self.config, 'w') as f:
            json.dump(config, f)
        done = subprocess.run([HDWVM, 'serve', '--check', '--config', self.config, self.module], capture_output=True, text=True, timeout=60)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        lines = [l for l in done.stderr.splitlines() if name in l.split(': ', 1)[-1]]
        self.assertTrue(done.returncode == 1 or not lines, lines)
        return lines

    def good(self, macro, name, value):
        self.assertEqual(self.problems(macro, name, value), [], f'{macro} {name} = {str(value)[:60]}')

    def bad(self, macro, name, value):
        self.assertTrue(self.problems(macro, name, value), f'{macro} {name} = {str(value)[:60]} is accepted')

    def test_every_row(self):
        for macro, (kind, name, _, low, high, _), _ in rows('runtime/options.def', *PLACE):
            with self.subTest(option=name):
                low, high = int(low), int(high)
                if kind == 'INT':
                    self.good(macro, name, low)
                    self.good(macro, name, high)
                    self.bad(macro, name, low - 1)
                    self.bad(macro, name, high + 1)
                    self.bad(macro, name, '1')
                    self.bad(macro, name, 1.5)
                elif kind == 'TEXT':
                    self.bad(macro, name, 'x' * (high + 1))
                    self.bad(macro, name, 1)
                    if name in CHOICES:
                        for choice in CHOICES[name]:
                            self.good(macro, name, choice)
                        self.bad(macro, name, 'sometimes')
                elif kind == 'BOOL':
                    self.good(macro, name, True)
                    self.bad(macro, name, 'true')
                else:
                    item = ITEMS.get(name, ITEM.get(macro, '10.0.0.0/8'))
                    self.good(macro, name, [item])
                    self.bad(macro, name, [item] * (high + 1))
                    self.bad(macro, name, item)
                    if name in ITEMS:
                        self.bad(macro, name, ['nobody'])

    def test_misspelt_names_are_reported_in_every_section(self):
        for macro in PLACE:
            self.bad(macro, 'max_imput_bytez', 1)


unittest.main()
