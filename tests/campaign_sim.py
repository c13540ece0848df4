"""`./dev campaign sim`: tests/sim/hdwsim over thousands of seeds."""
import hashlib
import json
import os
import re
import subprocess
import sys
import time


def run(a, record):
    """tests/sim/hdwsim in portions, with what was done so far kept beside the build."""
    program, state = os.path.join(a.bin, 'tests/hdwsim'), os.path.join(a.bin, 'campaign-sim.json')
    count, minutes = (8, 5) if a.quick else (a.count if a.count > 100 else 5000, 20)
    with open(program, 'rb') as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    done = {'program': digest, 'first': a.seed, 'next': a.seed, 'seconds': 0.0, 'simulated': 0.0, 'failed': [], 'sums': {}}
    if not a.quick and os.path.exists(state):
        with open(state, encoding='utf-8') as f:
            old = json.load(f)
        if old['first'] == a.seed and old.get('program') == digest:  # what another build did says nothing about this one
            done = old
            print(f'sim: goes on with seed {done["next"]}', flush=True)
    names = ('messages', 'acknowledged', 'sent again', 'attempts outside', 'deaths', 'disk faults', 'deployments')
    while done['next'] < done['first'] + count:
        last = min(done['next'] + 100, done['first'] + count) - 1
        began = time.monotonic()
        ran = subprocess.run([program, '--seeds', f'{done["next"]}..{last}', '--minutes', str(minutes), '--jobs', str(os.cpu_count() or 1)], capture_output=True, text=True, errors='replace')
        done['seconds'] += time.monotonic() - began
        said = re.search(r'(\d+) seeds, (\d+) simulated minutes', ran.stdout)
        if not said:
            print(ran.stdout, ran.stderr, sep='')
            done['failed'].append(f'no verdict for seeds {done["next"]}..{last}')
            break
        done['simulated'] += float(said[2])
        for n in names:
            done['sums'][n] = done['sums'].get(n, 0) + int(re.search(r'(\d+) ' + n, ran.stdout)[1])
        for line in ran.stdout.splitlines():
            if 'FAILED' in line:
                done['failed'].append(line)
                print(line, flush=True)
        done['next'] = last + 1
        print(f'sim: seeds {done["first"]} to {last}: {len(done["failed"])} failed', flush=True)
        if not a.quick:
            with open(state, 'w', encoding='utf-8') as f:
                json.dump(done, f)
    other = os.path.join(a.bin, 'debug/tests/hdwsim')
    same = subprocess.run([sys.executable, '-B', os.path.join(os.path.dirname(__file__), 'sim/sim_same.py'), program, *([other] if os.path.exists(other) else []), '--seeds', f'{a.seed}..{a.seed + (1 if a.quick else 9)}',
                           '--minutes', str(minutes)], capture_output=True, text=True, errors='replace')
    if same.returncode:
        print(same.stdout, same.stderr, sep='')
        done['failed'].append('a seed gives two histories')
    speed = done['simulated'] * 60 / max(done['seconds'], 0.001)
    what = f'seeds {done["first"]} to {done["next"] - 1}, {minutes} simulated minutes each and until everything drained: ' + ', '.join(f'{done["sums"].get(n, 0):,} {n}' for n in names)
    result = f'{speed:,.0f} times real time, ' + (f'{len(done["failed"])} failed: ' + '; '.join(done['failed'][:3]) if done['failed'] else 'every promise held')
    print(f'sim: {what}: {result}')
    if a.record and not a.quick:
        record('sim', what, result)
    if not a.quick and os.path.exists(state):
        os.remove(state)
    print(f'{done["next"] - done["first"] - len(done["failed"])} passed, {len(done["failed"])} failed')
    return 1 if done['failed'] else 0
