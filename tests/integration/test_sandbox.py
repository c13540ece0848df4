#!/usr/bin/env python3
"""What daemon and commands give up, seen from outside: the kernel's word on their filters, files and their modes, file descriptors, limits; the level in event, metric and status; and
what a reload says about a folder that was given up. The unit files are scored by systemd itself, and leave what the daemon needs."""
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
connection crm = rest()
workflow w
  on msg = adt.message(types: ['ADT^A01'])
{
  send out.write("a-{msg.MSH-10}.txt", "seen")
  send crm.post('/seen', body: { id: msg.MSH-10 })
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
    rig.wait_for(lambda: d.crm.to('/seen'), what='the request to a host by its name')
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


def held(pid):
    """The kernel's word on a process or its child."""
    try:
        family = [str(pid)] + open(f'/proc/{pid}/task/{pid}/children').read().split()
        return any(status(p, 'Seccomp') == '2' and status(p, 'NoNewPrivs') == '1' for p in family)
    except (OSError, StopIteration):
        return False


ARGS = {  # how each command of the table is called here; without a row: with --config alone. None: it holds itself otherwise
    'serve': None, 'follow': None, 'promote': None,
    'verify': ['app.hdwb'], 'config': ['check', 'app.hdwb'], 'deploy': ['app.hdwb'], 'rollback': ['w'], 'withdraw': ['x'], 'forget': ['x'], 'message': ['1'], 'run': ['1', '--until', 'end'], 'redrive': ['1'],
    'discard': ['1'], 'reprocess': ['1'], 'replay': ['--dry-run'], 'cancel': ['1'], 'skip-lane': ['1'], 'pause': ['x'], 'resume': ['x'], 'backup': ['--to', 'backup'],
    'restore': ['--from', 'old', '--data', 'new'], 'fence': ['--term', '1', '--yes'], 'compact': ['--data', 'old'], 'send': ['app.hdw', '--to', 'localhost:1'],
}


def test_every_command_is_held(d):
    """Each command stops where it has given everything up (test builds), and is looked at there."""
    if subprocess.run([rig.HDWVM, 'verify', 'app.hdwb'], cwd=d.dir, env=dict(os.environ, HDW_CRASH_AT='hold.done:1'), capture_output=True).returncode == 0:
        print('   no named places in this build')
        return
    subprocess.run([rig.HDWVM, 'backup', '--config', 'hdw.json', '--to', 'old'], cwd=d.dir, check=True, capture_output=True, timeout=60)
    names = re.findall(r'^  hdwvm ([a-z-]+)', subprocess.run([rig.HDWVM, '--help'], capture_output=True, text=True).stdout, re.M)
    assert len(names) > 30, names
    names = [n for n in names if ARGS.get(n, []) is not None]
    for i in range(0, len(names), 6):
        running = {n: subprocess.Popen([rig.HDWVM, n, *ARGS.get(n, []), *([] if n == 'restore' else ['--config', 'hdw.json'])], cwd=d.dir, env=dict(os.environ, HDW_PAUSE_AT='hold.done:30000000'),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for n in names[i:i + 6]}
        for n, p in running.items():
            try:
                rig.wait_for(lambda: held(p.pid) or p.poll() is not None, what=f'hdwvm {n} held')
                assert held(p.pid), f'hdwvm {n} ended without being held: {p.stderr.read()}'
            finally:
                for c in open(f'/proc/{p.pid}/task/{p.pid}/children').read().split() if p.poll() is None else []:
                    os.kill(int(c), 9)
                p.kill()
                p.wait()
                p.stderr.close()


def test_follow_is_held(d):
    f = subprocess.Popen([rig.HDWVM, 'follow', '--from', d.config['data'], '--data', 'standby'], cwd=d.dir, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in f.stderr:
            lines.append(line)
            if 'in step' in line:
                break
        assert any('held by landlock' in l or 'not held' in l for l in lines), lines
        if not any('not held by seccomp' in l for l in lines):
            for t in os.listdir(f'/proc/{f.pid}/task'):
                assert status(f'{f.pid}/task/{t}', 'Seccomp') == '2', 'a thread without the filter'
    finally:
        f.terminate()
        assert f.wait(timeout=30) == 0
        f.stderr.close()


def call_names():
    text = open(os.path.join(os.path.dirname(__file__), '..', '..', 'runtime', 'syscalls.def')).read()
    return set(re.findall(r'^(?:CALL|ONLY|OLD)\((\w+),', text, re.M))


def members(group, seen):
    """Calls of a set of systemd's."""
    out = subprocess.run(['systemd-analyze', 'syscall-filter', group], capture_output=True, text=True).stdout
    for w in re.findall(r'^ {4}(@?\w[\w-]*)$', out, re.M):
        if w.startswith('@'):
            members(w, seen)
        else:
            seen.add(w)
    return seen


def test_unit_leaves_what_the_daemon_needs(_):
    if subprocess.run(['sh', '-c', 'command -v systemd-analyze'], capture_output=True).returncode or not members('@default', set()):
        print('   no systemd-analyze here')
        return
    for unit in glob.glob(os.path.join(os.path.dirname(__file__), '..', '..', 'packaging', 'systemd', '*.service')):
        left = set()
        for line in re.findall(r'^SystemCallFilter=(.*)$', open(unit).read(), re.M):
            away = line.startswith('~')
            for w in line.lstrip('~').split():
                calls = members(w, set()) if w.startswith('@') else {w}
                left = left - calls if away else left | calls
        need = call_names() | {'landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self', 'seccomp', 'execve', 'prctl', 'epoll_create1', 'eventfd2', 'timerfd_create', 'close_range'}
        assert not need - left, f'{os.path.basename(unit)} takes away {sorted(need - left)}'


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
    crm = rig.HttpSink()
    d = rig.Daemon(PROGRAM, {'listeners': {'adt': {'port': 0}}, 'observe': {'port': 0}, 'connections': {'out': {'folder': 'out'}, 'crm': {'base': f'http://localhost:{crm.port}', 'grant': {'networks': ['127.0.0.0/8']}}}})
    d.crm = crm
    d.start()
    passed = failed = 0
    try:
        for name, f in sorted(((n, f) for n, f in globals().items() if n.startswith('test_')), key=lambda t: (t[0] == 'test_off_and_words', t[0].startswith('test_unit'))):
            try:
                if name == 'test_off_and_words':
                    assert d.stop() == 0
                f(d)
                passed += 1
                print('ok  ', name, flush=True)
            except Exception as e:
                failed += 1
                print("FAIL", name, repr(e))
    finally:
        d.close()
        crm.close()
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
