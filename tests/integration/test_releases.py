#!/usr/bin/env python3
"""Stores of earlier releases and formats (tests/releases/*.tar.gz): this build opens them, says of them what they said, does in every recorded run what is recorded, goes on
where they ended, and loses nothing when it is killed while it takes them over. What is of a later format than this build is refused in words.

HDW_ALL=1: killed at every write, before it and half way through it, instead of at some."""
import glob
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import HDWVM, HttpSink, MllpSink, SLOW, wait_for

RELEASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'releases')
KILLAT, PRELOAD = os.environ.get('HDW_KILLAT', ''), os.environ.get('HDW_PRELOAD', '')
KILLS = 0 if os.environ.get('HDW_ALL') else 4
KILLED = (-signal.SIGKILL, 137)  # 137: behind the sandbox (killat.c)


def crc32c(data, crc=0, table=[]):
    if not table:
        for n in range(256):
            for _ in range(8):
                n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
            table.append(n)
    crc ^= 0xffffffff
    for b in data:
        crc = table[(crc ^ b) & 255] ^ crc >> 8
    return crc ^ 0xffffffff


class Store:
    """A copy of a release's folder, with a daemon now and then."""

    def __init__(self, archive):
        self.dir, self.name = tempfile.mkdtemp(prefix='hdw-release-'), os.path.basename(archive)
        with tarfile.open(archive) as t:
            t.extractall(self.dir, filter='fully_trusted')
        self.data = os.path.join(self.dir, 'data')
        with open(os.path.join(self.dir, 'expected.json'), encoding='utf-8') as f:
            self.expected = json.load(f)
        with open(os.path.join(self.dir, 'hdw.json'), encoding='utf-8') as f:
            self.config = json.load(f)
        # The stores grow old: nothing of them may be over because of that.
        self.config.update(retain_inputs_days=36500, retain_values_days=36500, retain_runs_days=36500, retain_audit_days=36500, give_up_ms=31536000000)
        self.ports(1, 1, 1)

    def ports(self, crm, slow, ward):
        for name, port in (('crm', crm), ('slow', slow)):
            self.config['connections'][name]['base'] = f'http://127.0.0.1:{port}'
        self.config['connections']['ward']['address'] = f'127.0.0.1:{ward}'
        with open(os.path.join(self.dir, 'hdw.json'), 'w', encoding='utf-8') as f:
            json.dump(self.config, f)

    def run(self, *args, code=0, timeout=60):
        r = subprocess.run([HDWVM, *args], cwd=self.dir, capture_output=True, text=True, timeout=timeout * SLOW)
        if code is not None and r.returncode != code:
            raise AssertionError(f'{args}: {r.returncode}\n{r.stdout}{r.stderr}')
        return r

    def ask(self, *args, **kw):
        return json.loads(self.run(*args, '--json', **kw).stdout)

    def serve(self, killed_at=None, half=False, count=None):
        """Until it is ready (the process) or dead (None)."""
        env = dict(os.environ)
        if killed_at is not None:
            env.update(LD_PRELOAD=' '.join(p for p in (PRELOAD, KILLAT) if p), KILLAT=str(killed_at), ASAN_OPTIONS='verify_asan_link_order=0')
            env.update({k: v for k, v in (('KILLAT_HALF', '1' if half else None), ('KILLAT_OUT', count)) if v})
        p = subprocess.Popen([HDWVM, 'serve', '--config', 'hdw.json'], cwd=self.dir, stderr=subprocess.PIPE, text=True, env=env)
        said = []
        for line in p.stderr:
            said.append(line)
            if line.startswith('hdwvm: ready'):
                return p
        p.wait()
        p.stderr.close()
        if killed_at is not None and p.returncode in KILLED:
            return None
        raise AssertionError(f'{p.returncode}: {"".join(said[-20:])}')

    def end(self, p, how=signal.SIGTERM):
        p.send_signal(how)
        p.wait(timeout=30 * SLOW)
        p.stderr.close()

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def same(was, now, path=''):
    """What a release said is said still; a later one may say more."""
    if isinstance(was, dict) and isinstance(now, dict):
        return [d for k, v in was.items() for d in same(v, now.get(k), f'{path}.{k}')]
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return [d for i, v in enumerate(was) for d in same(v, now[i], f'{path}[{i}]')]
    return [] if was == now else [f'{path}: {was!r} -> {now!r}']


FINAL = ('done', 'failed', 'dead', 'discarded')


class Releases(unittest.TestCase):
    def setUp(self):
        self.archives = sorted(glob.glob(os.path.join(RELEASES, '*.tar.gz')))
        self.assertGreaterEqual(len(self.archives), 2)

    def each(self):
        for archive in self.archives:
            s = Store(archive)
            self.addCleanup(s.close)
            yield s

    def restored(self, s):
        """The state folded by this build."""
        new = os.path.join(s.dir, 'folded')
        s.run('restore', '--from', 'data', '--data', new)
        return new

    def check_finished(self, s, data):
        for run in s.expected['run']:
            if run['state'] in FINAL and all(d['state'] != 'pending' for d in run.get('deliveries', [])):
                self.assertEqual(same(run, s.ask('run', str(run['id']), '--data', data)), [])

    def test_what_is_in_there_is_said_as_it_was(self):
        for s in self.each():
            new = self.restored(s)
            self.assertEqual(s.ask('check', '--data', new)['result'], 'good')
            for view in ('messages', 'runs'):
                self.assertEqual(same(s.expected[view], s.ask(view, '--limit', '1000', '--data', new)), [])
            self.assertEqual(same(s.expected['dead'], s.ask('dead', '--data', new)), [])
            self.check_finished(s, new)

    def test_every_recorded_run_does_what_is_recorded(self):
        for s in self.each():
            new = self.restored(s)
            a = s.ask('replay', '--dry-run', '--data', new, '--config', 'hdw.json')
            self.assertEqual((a['messages'], a['same'], a['differ'], a['differences']), (len(s.expected['messages']), 17, 0, []))
            self.assertEqual({k: v for k, v in a['not_compared'].items() if v}, {'unfinished': 2, 'refused': 1})
            for given, changed in (('next.hdwb', 6), ('app.hdwb', 3)):  # six runs are of the older module, three of the newer
                b = s.ask('replay', '--with', given, '--dry-run', '--data', new, '--config', 'hdw.json', code=1)
                self.assertEqual({d['path']: d['changed'] for d in b['differences']}, dict.fromkeys(('payload.family', 'send crm.post.body.family', 'step crm.post.body.name'), changed), b)

    def test_work_goes_on_where_it_ended(self):
        for s in self.each():
            crm, slow, ward = HttpSink(), HttpSink(), MllpSink()
            crm.answer = slow.answer = lambda r: (200, {'id': 5, 'total': 1, 'version': 2}, {})
            s.ports(crm.port, slow.port, ward.port)
            p = s.serve()
            try:
                waited = [r['id'] for r in s.expected['runs'] if r['state'] not in FINAL]
                self.assertEqual(len(waited), 2)
                wait_for(lambda: sum(r['state'] == 'done' for r in s.ask('runs', '--config', 'hdw.json') if r['id'] in waited) == 2, seconds=60, what='the runs that waited for a connection and for a time that is long over')
                self.assertEqual(ward.messages, [])  # it is paused still
                s.run('resume', 'ward', '--config', 'hdw.json')
                wait_for(lambda: len(ward.messages) == 2, what='what waited')
                self.assertEqual([r['path'] for r in slow.requests], ['/leave', '/leave'])
                self.assertEqual({r['path'] for r in crm.requests if r['key'] in s.expected['requests_by_key']}, {'/leave'})  # what was refused for the moment, under its key; nothing is done twice
            finally:
                s.end(p)
                for sink in (crm, slow, ward):
                    sink.close()
            self.assertEqual(s.ask('check', '--data', 'data')['result'], 'good')
            a = s.ask('replay', '--dry-run', '--config', 'hdw.json')
            self.assertEqual((a['same'], a['differ']), (19, 0), a)
            self.check_finished(s, 'data')

    @unittest.skipUnless(KILLAT, 'HDW_KILLAT names the library that kills')
    def test_killed_at_writes_while_it_takes_over(self):
        for s in self.each():
            whole = os.path.join(s.dir, 'whole')
            shutil.copytree(s.data, whole)
            count = os.path.join(s.data, 'count')  # the daemon may write nowhere else
            p = s.serve(killed_at=0, count=count)
            time.sleep(0.5 * SLOW)  # what is written behind
            s.end(p, signal.SIGKILL)
            with open(count, encoding='utf-8') as f:
                writes = int(f.read())
            self.assertGreater(writes, 10)
            chosen = [(at, half) for at in range(1, writes + 1) for half in (False, True)]
            if KILLS:
                chosen = [chosen[i] for i in sorted(random.Random(7).sample(range(len(chosen)), KILLS))]
            died = 0
            for at, half in chosen:
                shutil.rmtree(s.data)
                shutil.copytree(whole, s.data)
                p = s.serve(killed_at=at, half=half)
                if p:  # a write behind the beginning
                    try:
                        died += p.wait(timeout=SLOW) in KILLED
                        p.stderr.close()
                    except subprocess.TimeoutExpired:
                        s.end(p, signal.SIGKILL)
                else:
                    died += 1
                self.assertNotEqual(s.ask('check', '--data', 'data', code=None)['log']['result'], 'damaged')
                s.end(s.serve())
                self.assertEqual(s.ask('check', '--data', 'data')['result'], 'good', (at, half))
                a = s.ask('replay', '--dry-run', '--config', 'hdw.json')
                self.assertGreaterEqual(a['same'], 17, (at, half, a))
                self.assertEqual(a['differ'], 0, (at, half, a))
            self.check_finished(s, 'data')
            print(f'{s.name}: {writes} writes, killed at {died} of {len(chosen)}', file=sys.stderr)
            self.assertGreaterEqual(died, len(chosen) // 2)

    # ---- later formats ----

    def segment(self, s):
        return sorted(glob.glob(os.path.join(s.data, 'log', '*.seg')))[0]

    def test_a_log_of_a_later_format_is_refused(self):
        s = Store(self.archives[0])
        path = self.segment(s)
        with open(path, 'r+b') as f:
            head = bytearray(f.read(128))
            struct.pack_into('<H', head, 8, 2)
            struct.pack_into('<I', head, 124, crc32c(head[:124]))
            f.seek(0)
            f.write(head)
        with open(path, 'rb') as f:
            before = f.read()
        for args in (('serve', '--config', 'hdw.json'), ('restore', '--from', 'data', '--data', 'new'), ('compact', '--config', 'hdw.json')):
            said = s.run(*args, code=None)
            self.assertNotEqual(said.returncode, 0)
            self.assertRegex(said.stderr, r'(written|made) by a later hdwvm', args)
        self.assertEqual(s.ask('check', '--data', 'data', code=None)['log']['result'], 'unreadable')
        with open(path, 'rb') as f:
            self.assertEqual(before, f.read())  # nothing is touched
        s.close()

    def test_records_of_a_later_version_are_refused(self):
        for name, at, value in (('version', 1, 2), ('type', 0, 99)):
            s = Store(self.archives[0])
            path = self.segment(s)
            with open(path, 'r+b') as f:
                data = bytearray(f.read())
                meta, body = struct.unpack_from('<II', data, 128 + 24)
                size = (32 + meta + body + 4 + 7) // 8 * 8
                data[128 + at] = value
                seed = crc32c(bytes(data[32:48]) + struct.pack('<I', 128))
                struct.pack_into('<I', data, 128 + size - 4, crc32c(data[128:128 + size - 4], seed))
                f.seek(0)
                f.write(data)
            os.unlink(os.path.join(s.data, 'state.mdb'))
            said = s.run('serve', '--config', 'hdw.json', code=None)
            self.assertNotEqual(said.returncode, 0, name)
            self.assertRegex(said.stderr, r'(written|made) by a later hdwvm', name)
            s.close()

    def test_a_module_and_a_state_of_a_later_format(self):
        s = Store(self.archives[0])
        with open(os.path.join(s.dir, 'app.hdwb'), 'r+b') as f:
            f.seek(4)
            f.write(struct.pack('<H', 2))
        self.assertRegex(s.run('verify', 'app.hdwb', code=1).stderr + s.run('verify', 'app.hdwb', code=1).stdout, r'module format 2, this version reads 1')
        self.assertIn('module format 2', s.run('replay', '--with', 'app.hdwb', '--dry-run', '--data', self.restored(s), code=1).stderr)
        s.close()


if __name__ == '__main__':
    unittest.main(verbosity=2)
