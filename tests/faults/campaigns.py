"""The campaigns of this folder, for tests/campaign.py: each runs a test of it long, looks at its last line, and gives (what was run, result, good).

--quick is what `./dev test` runs of it; --count so many (images, points, passes, damages, repeats); --seed draws others. What was finished is kept in build/campaign: a run that was
interrupted goes on there (faults)."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def run(cmd, a, pattern, slow='1'):
    """Runs it, shows what it says; the groups of the pattern in its last lines, and whether it was good."""
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, errors='replace', env=dict(os.environ, HDW_BIN=os.path.abspath(a.bin), HDW_SLOW=slow))
    said = None
    for line in p.stdout:
        if line.startswith('FAILED') or re.search(pattern, line):
            print(line.rstrip(), flush=True)
        said = re.search(pattern, line) or said
    return said, p.wait() == 0 and said is not None


def python(name, *args):
    return [sys.executable, '-B', os.path.join(HERE, name), *map(str, args)]


def powercut(a):
    n = 300 if a.quick else a.count or 50000
    said, good = run(python('disk.py', 'powercut', '--images', n, '--seed', a.seed), a, r'(\d+) images of (\d+) recordings, seed \d+, (\d+) acknowledged messages looked for, (\d+) violations')
    return f'{int(said[1]):,} images of disks after a power cut, {said[2]} recordings of the daemon, seed {a.seed}' if said else 'did not run', f'{int(said[3]):,} acknowledged messages looked for, {said[4]} violations' if said else 'FAILED', good


def faults(a):
    kept = os.path.join(ROOT, 'build', 'campaign')
    os.makedirs(kept, exist_ok=True)
    done = os.path.join(kept, 'faults.done')
    args = ['--points', 14 if a.quick else a.count or 0, '--seed', a.seed] + ([] if a.quick else ['--done', done])
    said, good = run(python('iofaults.py', *args), a, r'(\d+) of (\d+) points of (\d+) scenarios(?:, (\d+) before)?, ended with (.*), (\d+) violations')
    if good and not a.quick and not a.count:
        os.unlink(done)  # all of them: the next time from the beginning
    return f'{int(said[1]) + int(said[4] or 0):,} failing calls in {said[3]} scenarios ({int(said[2]):,} the last time), once and from then on' if said else 'did not run', f'ended with {said[5]}, {said[6]} violations' if said else 'FAILED', good


def oom(a):
    stride = 67 if a.quick else max(1, a.count or 1)
    said, good = run([os.path.join(a.debug, 'tests', 'oom'), '--stride', str(stride), '--offset', str(a.seed if stride > 1 else 0)], a, r'oom: (\d+) scenarios, (\d+) allocations, (\d+) passes, (\d+) violations')
    what = 'each' if stride == 1 else f'one in {stride}'
    return f'{said[1]} scenarios, {what} of {int(said[2]):,} allocations failing, alone and with all later ones (address sanitizer)' if said else 'did not run', f'{int(said[3]):,} passes, {said[4]} crashes, leaks or lost messages' if said else 'FAILED', good


def failing(a):
    stride = max(1, a.count or 1)
    said, good = run([os.path.join(a.debug, 'tests', 'failing'), '--stride', str(stride), '--offset', str(a.seed if stride > 1 else 0)] + (['--ways', 'first'] if a.quick else []), a,
                     r'failing: (\d+) scenarios, (\d+) calls, (\d+) passes, (\d+) violations')
    return f'{said[1]} scenarios of log and state, {"each" if stride == 1 else f"one in {stride}"} of {int(said[2]):,} calls failing in each way, alone and with all later ones (address sanitizer)' if said else 'did not run', f'{int(said[3]):,} passes, {said[4]} wrong answers, states or leaks' if said else 'FAILED', good


def damage(a):
    n = 150 if a.quick else a.count or 5000
    said, good = run(python('disk.py', 'damage', '--images', n, '--seed', a.seed), a, r'damage: (\d+) damages, seed \d+: (\d+) without effect or made good at once, (\d+) told, (\d+) ended the reading child, (\d+) states made again from the log with the same hash, (\d+) violations')
    return f'{int(said[1]):,} damages of log and state, seed {a.seed}' if said else 'did not run', f'{said[2]} without effect or made good at once, {said[3]} told, {said[4]} ended the reading child; {said[5]} states made again from the log with the same hash; {said[6]} wrong' if said else 'FAILED', good


def peers(a):
    n = 1 if a.quick else a.count or 20
    said, good = run(python('peers.py', '--repeat', n), a, r'peers: (\d+) rows of (\d+) protocols, (\d+) messages kept, (\d+) violations')
    return f'{int(said[1]):,} meetings with peers that misbehave, {said[2]} protocols' if said else 'did not run', f'{said[3]} messages accounted for, {said[4]} violations' if said else 'FAILED', good


def hardship(a):
    n = 1 if a.quick else a.count or 10
    said, good = run(python('hardship.py', '--rounds', n), a, r'hardship: (.*); (\d+) violations')
    return said[1] if said else 'did not run', f'everything acknowledged was delivered, {said[2]} violations' if said else 'FAILED', good


ALL = {'powercut': powercut, 'faults': faults, 'oom': oom, 'failing': failing, 'damage': damage, 'peers': peers, 'hardship': hardship}
