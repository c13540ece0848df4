"""campaign.py verifier --bin DIR [--count MODULES | --seconds N] [--seed N] [--resume] [--quick]

Generated programs and changed modules (tests/sim/vm_mutants.c, with sanitizers): what the verifier accepts runs in the machine and in the slow, checking one beside it. One program
for every ten modules. In parts of 100,000, so that a run can be stopped and resumed."""
import os
import re
import subprocess
import time

from campaign_state import State

SAID = re.compile(r'(\d+) programs \((\d+) verified\), (\d+) changed modules \((\d+) loaded, (\d+) verified\), (\d+) runs, (\d+) compared to their end, (\d+) instructions, (\d+) differ')


def run(a, record):
    program = os.path.join(a.bin, 'tests', 'vm_mutants')
    want = 20_000 if a.quick else a.count if a.count > 100 else 10_000_000
    s = State('verifier', a.resume, first=a.seed, seed=a.seed, programs=0, modules=0, loaded=0, verified=0, runs=0, compared=0, instructions=0, problems=[])
    end = time.monotonic() + a.seconds if a.seconds else None
    while s['modules'] < want and not s['problems'] and not (end and time.monotonic() >= end):
        part = min(100_000, want - s['modules'])
        left = ['--seconds', str(max(1, int(end - time.monotonic())))] if end else []
        done = subprocess.run([program, '--seed', str(s['seed']), '--programs', str(part // 10), '--mutants', str(part)] + left, capture_output=True, text=True, errors='replace')
        said = SAID.search(done.stdout)
        if done.returncode or not said:
            why = [l for l in done.stdout.splitlines() + done.stderr.splitlines() if 'DIFFERS' in l or 'ERROR' in l or 'runtime error' in l]
            s['problems'] = why[:3] or [f'seed {s["seed"]}: ended with {done.returncode}']
        if said:
            n = [int(x) for x in said.groups()]
            for key, add in zip(('programs', 'modules', 'loaded', 'verified', 'runs', 'compared', 'instructions'), (n[0], n[2], n[3], n[4], n[5], n[6], n[7])):
                s[key] += add
            s['seed'] += n[2]
        s.save()
        print(f'verifier: {s["modules"]:,} of {want:,} modules, {s["verified"]:,} verified, {s["compared"]:,} runs compared', flush=True)
    what = f'{s["programs"]:,} generated programs and {s["modules"]:,} changed modules ({s["loaded"]:,} loaded, {s["verified"]:,} verified), seeds {s["first"]} to {s["seed"] - 1}'
    result = f'{s["runs"]:,} runs beside the slow machine, {s["compared"]:,} to their end, {s["instructions"]:,} instructions, 0 sanitizer reports, 0 differences' if not s['problems'] else 'FAILED: ' + '; '.join(s['problems'])
    print(f'verifier: {what}: {result}')
    if a.record:
        record('verifier', what, result)
    print(f'{0 if s["problems"] else 1} passed, {1 if s["problems"] else 0} failed')
    return 1 if s['problems'] or not s['modules'] else 0
