"""campaign.py canaries --bin DIR [--debug DIR] [--target NAME,...] [--resume] [--quick] [--record]

Every breakage of tests/canaries.txt, in the build with the sanitizers (--debug): what is named beside it must turn red with it, and be green without it. --quick: without the rows that
are slow and without hdwsim's (sim/canaries of ./dev test has those). --resume: rows that were red are not run again. Also looked at: each HDW_BROKEN of the sources has a row or is one of
hdwsim's, no row is of a breakage that is nowhere, and the release build (--bin) has nothing of them in it."""
import glob
import json
import os
import re
import subprocess

from campaign_state import ROOT, State

TABLE = os.path.join(ROOT, 'tests', 'canaries.txt')
SIM, SEEDS = ['--minutes', '3', '--jobs', '2'], 80


def read(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def rows():
    """(name, what is wrong, kind, what to run, slow, tries)."""
    out = []
    for line in read(TABLE).splitlines():
        if line.strip() and not line.startswith('#'):
            name, what, how = (x.strip() for x in line.split('|'))
            words = how.split()
            slow, tries = 'slow' in words, 8 if 'race' in words else 1
            words = [w for w in words if w not in ('slow', 'race')]
            out.append((name, what, words[0], words[1:], slow, tries))
    listed = {r[0] for r in out}
    sim = re.search(r'canaries\[\] = \{(.*?)\}', read(os.path.join(ROOT, 'tests/sim/hdwsim.c')), re.S)
    out += [(name, 'hdwsim says it', 'sim', [], False, 1) for name in re.findall(r'"([^"]+)"', sim[1]) if name not in listed]
    return out


def used():
    """Names in the sources."""
    names = set()
    for folder in ('runtime', 'compiler', 'stdlib', 'vm', 'tests/faults', 'tests/sim'):
        for f in glob.glob(os.path.join(ROOT, folder, '**', '*.[ch]'), recursive=True):
            names |= set(re.findall(r'HDW_BROKEN\("([a-z._]+)"\)', read(f))) if not f.endswith('points.h') else set()
    return names | set(re.findall(r"BROKEN == '([a-z._]+)'", read(os.path.join(ROOT, 'tests/faults/disk.py'))))


def table_problems(a, table):
    listed = {r[0] for r in table}
    bad = [f'{n}: no row in tests/canaries.txt' for n in sorted(used() - listed)] + [f'{n}: nothing in the sources is broken by it' for n in sorted(listed - used())]
    for program in ('hdwc', 'hdwvm'):
        path = os.path.join(a.bin, program)
        if os.path.exists(path) and os.path.realpath(a.bin) != os.path.realpath(a.debug):
            with open(path, 'rb') as f:
                code = f.read()
            bad += [f'{program}: {n} is in the release build' for n in sorted(listed | {'HDW_BREAK', 'HDW_CRASH_AT'}) if b'\0' + n.encode() + b'\0' in code]
    return bad


def tests(a):
    """What ctest would run, by name; it is run here, so that this can itself be one of its tests."""
    said = subprocess.run(['ctest', '--test-dir', a.debug, '--show-only=json-v1'], capture_output=True, text=True, check=True)
    return {t['name']: t for t in json.loads(said.stdout)['tests'] if t.get('command')}


def ran(a, kind, args, name=None):
    """True: green. None: it did not run at all."""
    env = dict(os.environ)
    env.pop('HDW_BREAK', None)
    if name:
        env['HDW_BREAK'] = name
    if kind == 'sim':
        for first in range(1, SEEDS if name else 2, 16):  # most are found by the first ones
            options = ['--seeds', f'{first}..{first + 15}'] + SIM + args + (['--break', name] if name else [])
            done = subprocess.run([os.path.join(a.debug, 'tests', 'hdwsim')] + options, capture_output=True, text=True, errors='replace', env=env)
            if done.returncode or not re.search(r'\d+ seeds, ', done.stdout):
                return False if re.search(r'\d+ seeds, ', done.stdout) else None
        return True
    test = tests(a).get(args[0])
    if not test or not os.path.exists(test['command'][0]):
        return None
    more = {p['name']: p['value'] for p in test['properties']}
    env.update(x.split('=', 1) for x in more.get('ENVIRONMENT', []))
    try:
        return subprocess.run(test['command'], cwd=more.get('WORKING_DIRECTORY', a.debug), env=env, capture_output=True, timeout=2 * more.get('TIMEOUT', 300)).returncode == 0
    except subprocess.TimeoutExpired:
        return None


def run(a, record):
    s = State('canaries', a.resume, done=[], green=[])
    table = rows()
    bad = table_problems(a, table)
    chosen = [r for r in table if (not a.target or r[0] in a.target.split(',')) and not (a.quick and (r[4] or r[2] == 'sim'))]
    for name, what, kind, args, _, tries in chosen:
        key, without = f'{name} {kind} {" ".join(args)}', f'{kind} {" ".join(args)}'
        if key in s['done']:
            continue
        if without not in s['green']:
            if not ran(a, kind, args):
                bad.append(f'{without}: not green without a breakage')
                print(bad[-1], flush=True)
                continue
            s['green'] = s['green'] + [without]
        green = True
        while green and tries:
            green, tries = ran(a, kind, args, name), tries - 1
        print(f'{name:18} {without:32} {"STAYED GREEN" if green else "did not run" if green is None else "red"}: {what}', flush=True)
        if green is False:
            s['done'] = s['done'] + [key]
        else:
            bad.append(f'{name}: {without} {"stayed green" if green else "did not run"}')
        s.save()
    for x in bad:
        print('FAILED:', x)
    names = {r[0] for r in chosen}
    what = f'{len(names)} breakages, {len(chosen)} tests beside them, in the build with sanitizers; the release build looked at for them'
    result = 'each turned its tests red, each test was green without' if not bad else 'FAILED: ' + '; '.join(bad[:3])
    print(f'canaries: {what}: {result}')
    if a.record:
        record('canaries', what, result)
    print(f'{len(chosen) - len(bad)} passed, {len(bad)} failed')
    return 1 if bad or not chosen else 0
