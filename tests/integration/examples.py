#!/usr/bin/env python3
"""Every example: checked strictly, formatted, tested, built twice to the same bytes, run on its sample, and accepted with its hdw.json;
views give the rows that lie beside them.
HDWC and HDWVM name the binaries."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HDWC = os.path.abspath(os.environ.get('HDWC', 'build/hdwc'))
HDWVM = os.path.abspath(os.environ.get('HDWVM', 'build/hdwvm'))
passed = failed = 0


def run(*args, cwd):
    return subprocess.run(args, cwd=cwd, capture_output=True, text=True, errors='replace', timeout=120)


def case(name, ok, why=''):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print(f'FAILED {name}\n{why}')


def example(name, out):
    d = os.path.join(ROOT, 'examples', name)
    src = f'{name}.hdw'
    r = run(HDWC, 'check', '--strict', src, cwd=d)
    case(f'{name}: check --strict', r.returncode == 0, r.stdout + r.stderr)
    r = run(HDWC, 'fmt', '--check', src, cwd=d)
    case(f'{name}: fmt --check', r.returncode == 0, r.stdout + r.stderr)
    r = run(HDWC, 'test', src, cwd=d)
    case(f'{name}: test', r.returncode == 0 and ', 0 failed' in r.stdout, r.stdout + r.stderr)
    modules = []
    for i in range(2):
        m = os.path.join(out, f'{name}{i}.hdwb')
        r = run(HDWC, 'build', src, '-o', m, cwd=d)
        modules.append(open(m, 'rb').read() if r.returncode == 0 else None)
    case(f'{name}: the same bytes twice', modules[0] and modules[0] == modules[1], r.stdout + r.stderr)
    text = open(os.path.join(d, 'README.md'), encoding='utf-8').read()
    sample = re.search(rf'hdwc run {name}/{name}.hdw --(?:message|json) {name}/samples/(\S+)', text).group(1)
    mocks = ['--mock', 'samples/mocks.json'] if os.path.exists(os.path.join(d, 'samples/mocks.json')) else []
    r = run(HDWC, 'run', src, '--json' if sample.endswith('.json') else '--message', f'samples/{sample}', *mocks, cwd=d)
    case(f'{name}: run', r.returncode == 0 and '"verdict"' in r.stdout, r.stdout + r.stderr)
    # secrets are the operator's: made here, beside a copy of the configuration
    work = os.path.join(out, name)
    os.makedirs(os.path.join(work, 'secrets'))
    shutil.copy(os.path.join(d, 'hdw.json'), work)
    for s in ('crm_token', 'portal_key', 'fhir_token', 'ehr_token', 'ehr_secret', 'billing_key'):
        with open(os.open(os.path.join(work, 'secrets', s), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
            f.write('x')
    r = run(HDWVM, 'serve', '--check', '--config', 'hdw.json', os.path.join(out, f'{name}0.hdwb'), cwd=work)
    case(f'{name}: serve --check', r.returncode == 0, r.stdout + r.stderr)


def views(name):
    d = os.path.join(ROOT, 'examples', name)
    for v in sorted(f[:-len('.view.json')] for f in os.listdir(d) if f.endswith('.view.json')):
        r = run(HDWC, 'view', '--strict', '--format=csv', f'{v}.view.json', 'samples/patients.ndjson', cwd=d)
        want = open(os.path.join(d, 'samples', f'{v}.csv'), encoding='utf-8', newline='').read()
        case(f'{name}: {v}', r.returncode == 0 and r.stdout == want and not r.stderr, r.stdout + r.stderr)


with tempfile.TemporaryDirectory(prefix='hdw-examples-') as tmp:
    for e in sorted(os.listdir(os.path.join(ROOT, 'examples'))):
        if os.path.exists(os.path.join(ROOT, 'examples', e, f'{e}.hdw')):
            example(e, tmp)
        elif os.path.isdir(os.path.join(ROOT, 'examples', e)):
            views(e)
print(f'{passed} passed, {failed} failed')
sys.exit(1 if failed else 0)
