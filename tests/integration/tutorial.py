#!/usr/bin/env python3
"""The tutorial of README.md, as written: its sh blocks run one after the other in one shell, in a copy of what they need. HDW_BIN names the
folder of hdwc and hdwvm; ./dev build is taken as done."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get('HDW_BIN', 'build'))
text = open(os.path.join(ROOT, 'README.md'), encoding='utf-8').read()
part = text[text.index('## Five minutes'):text.index('## What it promises')]
blocks = re.findall(r'```sh\n(.*?)```', part, re.S)
script = 'set -m\n' + '\n'.join(blocks)
script = script.replace('./dev build && export PATH="$PWD/build:$PATH"', f'export PATH="{BIN}:$PATH"')
# other tests may hold the tutorial's ports: use free ones of its own
import socket


def port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


mllp, http = port(), port()
script = script.replace('2575', mllp).replace('8080', http)
script = script.replace('cd hub  ', f'cd hub && sed -i "s/2575/{mllp}/; s/8080/{http}/" hdw.json main.hdw  ', 1)
want = ['there is no field 77|has no field 77', r'"verdict": "AA"', r'MSA\|AA\|', r'crm\s+rest', r'/admits .*"mrn":"4711"', r'admit\s+\d+\s+done|admit +.*done', r'rest\.post\s+delivered', r'1 messages?, .*: 0 the same, 1 differ', r'payload\.family +1 changed',
        r'POST /fhir/Procedure/_search -> 200', r'/bills .*"unpriced":\["Bedside swallow assessment"\]', r'chart +fhir +ok']
with tempfile.TemporaryDirectory(prefix='hdw-tutorial-') as tmp:
    os.makedirs(os.path.join(tmp, 'examples'))
    for name in ('crm.py', 'fhir.py'):
        shutil.copy(os.path.join(ROOT, 'examples', name), os.path.join(tmp, 'examples'))
    shutil.copytree(os.path.join(ROOT, 'examples', 'charges'), os.path.join(tmp, 'examples', 'charges'))
    os.makedirs(os.path.join(tmp, 'tests', 'integration'))
    shutil.copy(os.path.join(ROOT, 'tests', 'integration', 'fhir_server.py'), os.path.join(tmp, 'tests', 'integration'))
    config = os.path.join(tmp, 'examples', 'charges', 'hdw.json')
    text = open(config, encoding='utf-8').read()
    for old in ('2578', '8090', '8089'):
        new = port()
        text, script = text.replace(old, new), script.replace(old, new)
    with open(config, 'w', encoding='utf-8') as f:
        f.write(text)
    r = subprocess.run(['bash', '-c', script], cwd=tmp, capture_output=True, text=True, errors='replace', timeout=200)
out = r.stdout + r.stderr
missing = [w for w in want if not re.search(w, out)]
if missing or 'Traceback' in out or '-v' in sys.argv:
    print(out)
    print('missing:', missing)
passed, failed = len(want) - len(missing), len(missing)
print(f'{passed} passed, {failed} failed')
sys.exit(1 if failed else 0)
