"""campaign.py fuzz --bin DIR [--seconds N] [--idle N] [--target NAME,...] [--resume] [--quick] [--keep]

Every fuzz target in rounds, until it found no new edge for --idle seconds (or for --seconds in all, 60 by default). What it found is kept in build/fuzz/corpus; --keep merges it into
tests/fuzz/corpus, made as small as it can be (at most 120 files of at most 4 KiB each, the smallest first). --resume goes on with the targets and counts of an interrupted run."""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

from campaign_state import ROOT, State

# -entropic=0: with it libFuzzer counts every feature of every input, which for targets with many features is most of the time (hl7: half of it, gen, parse, check: nine tenths).
FILES_MAX, BYTES_MAX = 120, 4096


def targets(a):
    names = [os.path.basename(p)[5:] for p in sorted(glob.glob(os.path.join(a.bin, 'fuzz_*'))) if os.access(p, os.X_OK) and not os.path.isdir(p) and '.' not in os.path.basename(p)]
    return [n for n in names if not a.target or n in a.target.split(',')]


def folders(a, name):
    corpus, seeds = os.path.join(a.bin, '..', 'corpus', name), os.path.join(ROOT, 'tests/fuzz/corpus', name)
    os.makedirs(corpus, exist_ok=True)
    return corpus, seeds


def call(a, name, options, dirs):
    return subprocess.run([os.path.join(a.bin, 'fuzz_' + name), '-entropic=0', '-max_len=16384', '-timeout=10', '-rss_limit_mb=2048', f'-artifact_prefix={a.bin}/crash-{name}-'] + options + dirs,
                          capture_output=True, text=True, errors='replace')


def rounds(a, name, t, save):
    """Runs a target until nothing new comes; t: its row of the state."""
    corpus, seeds = folders(a, name)
    dirs = [corpus] + ([seeds] if os.path.isdir(seeds) else [])
    limit, idle = (5 if a.quick else a.seconds or 60), a.idle
    while t['seconds'] < limit and t['idle'] < idle:
        slice_s = max(1, min(60, limit - t['seconds']))
        began = time.monotonic()
        done = call(a, name, [f'-seed={a.seed + t["rounds"]}', f'-max_total_time={slice_s}', '-print_final_stats=1'], dirs)
        runs = int((re.search(r'number_of_executed_units:\s*(\d+)', done.stderr) or [0, 0])[1])
        edges = max([int(x) for x in re.findall(r'cov: (\d+)', done.stderr)] or [0])
        slow = int((re.search(r'slowest_unit_time_sec:\s*(\d+)', done.stderr) or [0, 0])[1])
        took = max(1, round(time.monotonic() - began))
        t.update(runs=t['runs'] + runs, seconds=t['seconds'] + took, rounds=t['rounds'] + 1, idle=0 if edges > t['edges'] else t['idle'] + took, edges=max(edges, t['edges']), slowest=max(slow, t['slowest']))
        if done.returncode:
            t['bad'] = ' '.join(l.strip() for l in done.stderr.splitlines() if 'SUMMARY' in l or 'Test unit' in l)[:300] or f'ended with {done.returncode}'
        save()
        if done.returncode:
            break


def keep(a, name):
    """New edges only, smallest inputs first, beside what is there already. The number of files that came."""
    corpus, seeds = folders(a, name)
    os.makedirs(seeds, exist_ok=True)
    with tempfile.TemporaryDirectory() as small:
        for f in os.listdir(seeds):
            shutil.copy(os.path.join(seeds, f), small)
        had = set(os.listdir(small))
        with tempfile.TemporaryDirectory() as short:
            for f in os.listdir(corpus):
                if os.path.getsize(os.path.join(corpus, f)) <= BYTES_MAX:
                    shutil.copy(os.path.join(corpus, f), short)
            call(a, name, ['-merge=1'], [small, short])
        new = sorted((f for f in os.listdir(small) if f not in had), key=lambda f: os.path.getsize(os.path.join(small, f)))[:max(0, FILES_MAX - len(had))]
        for f in new:
            shutil.copy(os.path.join(small, f), os.path.join(seeds, f))
    return len(new)


def run(a, record):
    s = State('fuzz', a.resume, targets={})
    names, one_at_a_time = targets(a), threading.Lock()
    for name in names:
        s['targets'].setdefault(name, {'runs': 0, 'seconds': 0, 'rounds': 0, 'idle': 0, 'edges': 0, 'slowest': 0, 'bad': ''})

    def save():
        with one_at_a_time:
            s.save()

    def one(name):
        t = s['targets'][name]
        rounds(a, name, t, save)
        kept = keep(a, name) if a.keep and not t['bad'] else 0
        print(f'{name:16} {t["runs"]:>13,} executions {t["runs"] / max(1, t["seconds"]):>9,.0f}/s {t["edges"]:>7,} edges, none new for {t["idle"]} s, slowest input {t["slowest"]} s'
              + (f', {kept} inputs kept' if a.keep else '') + (f'  FAILED {t["bad"]}' if t['bad'] else ''), flush=True)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # each target has its own corpus
        list(pool.map(one, names))
    all_of = [s['targets'][n] for n in names]
    bad = [n for n in names if s['targets'][n]['bad']]
    result = f'{sum(t["runs"] for t in all_of):,} executions, {sum(t["edges"] for t in all_of):,} edges, {len(bad)} findings' + (': ' + ' '.join(bad) if bad else '')
    print('fuzz:', result)
    if a.record:
        record('fuzz', f'{len(names)} targets ({" ".join(names)}), {min([t["seconds"] for t in all_of] or [0])} to {max([t["seconds"] for t in all_of] or [0])} s each', result)
    print(f'{len(names) - len(bad)} passed, {len(bad)} failed')
    return 1 if bad or not names else 0
