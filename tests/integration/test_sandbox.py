#!/usr/bin/env python3
"""What the daemon gives up, seen from outside: the kernel's word on its filters, files and their modes, file descriptors, limits; the level in event, metric and status; and
what a reload says about a folder that was given up. The unit files are scored by systemd itself."""
import glob
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request

import rig

PROGRAM = """hdw 1
listener adt = mllp(port: 2575)
connection out = folder()
workflow w
  on msg = adt.message(types: ['ADT^A01'])
{
  send out.write("a-{msg.MSH-10}.txt", "seen")
}
"""


def status(pid, key):
    return next(l.split(':')[1].strip() for l in open(f'/proc/{pid}/status') if l.startswith(key + ':'))


def event(d, name):
    return [json.loads(l) for l in d.log if f'"event":"{name}"' in l]


def test_level_is_reported_and_true(d):
    e = event(d, 'sandbox')[0]
    files, calls = 'no landlock' not in e['held'], 'no seccomp' not in e['held']
    metrics = urllib.request.urlopen(f'http://127.0.0.1:{d.ports["observe"]}/metrics', timeout=20).read().decode()
    assert f'hdw_sandbox{{part="files"}} {int(files)}' in metrics and f'hdw_sandbox{{part="calls"}} {int(calls)}' in metrics, e
    assert d.ask('status')['sandbox'] == {(True, True): 'files, calls', (True, False): 'files', (False, True): 'calls', (False, False): 'nothing'}[files, calls]
    if calls:
        assert status(d.p.pid, 'Seccomp') == '2' and status(d.p.pid, 'NoNewPrivs') == '1'
        for t in os.listdir(f'/proc/{d.p.pid}/task'):
            assert status(f'{d.p.pid}/task/{t}', 'Seccomp') == '2', 'a thread without the filter'
    print(f'   level: {e["held"]}')


def test_limits_modes_and_descriptors(d):
    assert re.search(r'Max core file size\s+0\s+0', open(f'/proc/{d.p.pid}/limits').read())
    assert status(d.p.pid, 'Umask') == '0077'
    for at, folders, files in os.walk(d.config['data']):
        for f in folders + files + ['.']:
            st = os.lstat(os.path.join(at, f))
            assert stat.S_IMODE(st.st_mode) & 0o077 == 0, f'{at}/{f} is open to others: {oct(st.st_mode)}'
    for fd in os.listdir(f'/proc/{d.p.pid}/fd'):
        if int(fd) > 2:
            flags = int(re.search(r'flags:\s*(\d+)', open(f'/proc/{d.p.pid}/fdinfo/{fd}').read())[1], 8)
            assert flags & os.O_CLOEXEC, f'descriptor {fd} ({os.readlink(f"/proc/{d.p.pid}/fd/{fd}")}) is inherited'


def test_it_works_and_gives_up_folders(d):
    m = rig.Mllp(d.ports['adt'])
    assert rig.ack_code(m.ask(rig.adt('1'))) == 'AA'
    rig.wait_for(lambda: os.path.exists(os.path.join(d.dir, 'out', 'a-1.txt')), what='the file of the sink')
    if not event(d, 'sandbox')[0]['held'].startswith('landlock'):
        return
    elsewhere = tempfile.mkdtemp(prefix='hdw-elsewhere-', dir='/var/tmp')
    old = d.config['connections']['out']['folder']
    d.config['connections']['out']['folder'] = elsewhere
    d.write_config()
    r = subprocess.run([rig.HDWVM, 'reload', '--config', 'hdw.json'], cwd=d.dir, capture_output=True, text=True, timeout=60)
    os.rmdir(elsewhere)
    assert r.returncode and 'gave up all folders' in r.stdout + r.stderr, r.stdout + r.stderr
    d.config['connections']['out']['folder'] = old
    d.write_config()
    r = subprocess.run([rig.HDWVM, 'reload', '--config', 'hdw.json'], cwd=d.dir, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stdout + r.stderr
    assert rig.ack_code(m.ask(rig.adt('2'))) == 'AA'
    m.close()


def test_canaries_bite(d):
    """The look at the end of every test (rig.Daemon.close) finds what it looks for."""
    d.look_for_canaries('\n'.join(d.log), 'log')
    for text in ('a line\nPID|1||SMITH^JOHN', '{"why":"JOHN"}'):
        try:
            d.look_for_canaries(text, 'here')
        except AssertionError:
            continue
        raise AssertionError('a canary was not seen')


def test_off_and_words(d):
    d.config['sandbox'] = 'off'
    d.start()
    e = event(d, 'sandbox')[-1]
    assert 'no landlock (off), no seccomp (off)' in e['held'] and e['level'] == 'info'
    assert d.ask('status')['sandbox'] == 'nothing' and status(d.p.pid, 'Seccomp') == '0'
    assert d.stop() == 0
    d.config['sandbox'] = 'maybe'
    d.write_config()
    r = subprocess.run([rig.HDWVM, 'serve', '--check', '--config', 'hdw.json', 'app.hdwb'], cwd=d.dir, capture_output=True, text=True, timeout=60)
    assert r.returncode and 'sandbox: on, require or off is expected' in r.stderr, r.stderr
    d.config['sandbox'] = 'on'


def test_unit_files(_):
    if subprocess.run(['sh', '-c', 'command -v systemd-analyze'], capture_output=True).returncode:
        print('   no systemd-analyze here')
        return
    for unit in glob.glob(os.path.join(os.path.dirname(__file__), '..', '..', 'packaging', 'systemd', '*.service')):
        out = subprocess.run(['systemd-analyze', 'security', '--offline=true', unit], capture_output=True, text=True).stdout
        score = re.search(r'Overall exposure level for \S+: ([\d.]+)', out)
        if not score:
            print('   this systemd-analyze knows no --offline')
            return
        print(f'   {os.path.basename(unit)}: {score[1]}')
        assert float(score[1]) <= 1.5, f'{unit}: {score[1]}'


def main():
    d = rig.Daemon(PROGRAM, {'listeners': {'adt': {'port': 0}}, 'connections': {'out': {'folder': 'out'}}, 'observe': {'port': 0}})
    d.start()
    failed = 0
    try:
        for name, f in [(n, f) for n, f in globals().items() if n.startswith('test_')]:
            try:
                if name == 'test_off_and_words':
                    assert d.stop() == 0
                f(d)
                print('ok  ', name)
            except Exception as e:
                failed += 1
                print("FAIL", name, repr(e))
    finally:
        d.close()
    print(f'{6 - failed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
