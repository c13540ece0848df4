#!/usr/bin/env python3
"""Long runs, each of which ends with a verdict and, with --record, a row in docs/reliability.md.

  campaign.py kill9 --bin DIR [--count KILLS | --seconds N] [--seed N] [--record]
      tests/faults/kill_ledger.py: the daemon is killed at drawn moments while senders keep a ledger, again and again; with --points BUILD every fourth round with that
      build (address sanitizer), where it dies at the named places of the sources.
  campaign.py scale --bin DIR [--count MESSAGES] [--part P,...] [--record]
      tests/scale.py: 10,000 silent connections, 2,000 slow ones, a backlog of MESSAGES (1,000,000), 100,000 parked runs,
      1 GB that is over.
  campaign.py fuzz --bin DIR [--seconds N] [--record]
      every fuzz target for N seconds.
  campaign.py sim --bin DIR [--count SEEDS] [--seed FIRST] [--record | --quick]
      hdwsim: histories of 20 simulated minutes, each drawn from a seed; an interrupted one goes on where it stopped (build/campaign-sim.json).
  campaign.py fhirpath --bin DIR [--folder DIR] [--count EXPRESSIONS] [--record]
      generated FHIRPath expressions on a folder of FHIR examples, beside fhirpath.js."""
import argparse
import datetime
import glob
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, 'docs', 'reliability.md')


def record(name, what, result):
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip() or 'unknown'
    row = f'| {datetime.date.today()} | {name} | {commit} | {what} | {result} |\n'
    with open(PAGE, 'a', encoding='utf-8') as f:
        f.write(row)
    print('recorded:', row.strip())


# ---- kill9 ---------------------------------------------------------------------------------------------------------------

def kill9(a):
    """tests/faults/kill_ledger.py again and again, with a seed of its own each time."""
    end, seed, kills, at_points, acked, doubles, worst, problems = time.monotonic() + a.seconds, a.seed, 0, 0, 0, 0, 0, []
    while kills < a.count if not a.seconds else time.monotonic() < end:
        some = min(100, a.count - kills) if not a.seconds else 100
        named = bool(a.points) and seed % 4 == 0
        done = subprocess.run([sys.executable, '-B', os.path.join(ROOT, 'tests/faults/kill_ledger.py'), '--kills', str(some), '--seed', str(seed)] + (['--points', '--senders', '4'] if named else []),
                              capture_output=True, text=True, errors='replace', env=dict(os.environ, HDW_BIN=os.path.abspath(a.points if named else a.bin), HDW_SLOW='3'))
        print(done.stdout.strip(), flush=True)
        said = re.search(r'(\d+) kills, (\d+) acknowledged, \d+ requests, (\d+) duplicates, ready after p50 \d+ ms, max (\d+) ms', done.stdout)
        if said:
            kills, acked, doubles, worst = kills + int(said[1]), acked + int(said[2]), doubles + int(said[3]), worst if named else max(worst, int(said[4]))
            at_points += int(said[1]) if named else 0
        if done.returncode or not said:
            problems += [l for l in done.stdout.splitlines() if 'FAILED' in l] or [f'seed {seed}: {(done.stderr.splitlines() or ["no verdict"])[-1]}']
        if not said:
            break
        seed += 1
    result = f'{doubles} repeated in flight with the same key, ready again after at most {worst} ms, ' + ('nothing lost' if not problems else 'FAILED: ' + '; '.join(problems[:3]))
    what = f'{kills} kills' + (f', {at_points} of them at named places' if at_points else '') + f', {acked} acknowledged, seeds {a.seed} to {seed - 1 if seed > a.seed else seed}'
    print(f'kill9: {what}: {result}')
    if a.record:
        record('kill9', what, result)
    print(f'{0 if problems else 1} passed, {1 if problems else 0} failed')
    return 1 if problems or not kills else 0


# ---- fuzz ----------------------------------------------------------------------------------------------------------------

def fuzz(a):
    seconds, total, bad, names = a.seconds or 60, 0, [], []
    for program in sorted(glob.glob(os.path.join(a.bin, 'fuzz_*'))):
        if not os.access(program, os.X_OK) or os.path.isdir(program) or '.' in os.path.basename(program):
            continue
        name = os.path.basename(program)[5:]
        names.append(name)
        corpus, seeds = os.path.join(a.bin, '..', 'corpus', name), os.path.join(ROOT, 'tests/fuzz/corpus', name)
        os.makedirs(corpus, exist_ok=True)
        done = subprocess.run([program, f'-max_total_time={seconds}', '-timeout=10', '-rss_limit_mb=2048', '-print_final_stats=1', f'-artifact_prefix={a.bin}/crash-{name}-',
                               corpus] + ([seeds] if os.path.isdir(seeds) else []), capture_output=True, text=True, errors='replace')
        runs = int((re.search(r'number_of_executed_units:\s*(\d+)', done.stderr) or [0, 0])[1])
        total += runs
        print(f'{name:16} {runs:>12,} executions  {runs / seconds:>10,.0f}/s  {"ok" if done.returncode == 0 else "FAILED"}', flush=True)
        if done.returncode:
            bad.append(name)
            print('\n'.join(l for l in done.stderr.splitlines() if 'ERROR' in l or 'SUMMARY' in l or 'Test unit' in l))
    result = f'{total:,} executions, {len(bad)} findings' + (': ' + ' '.join(bad) if bad else '')
    print('fuzz:', result)
    if a.record:
        record('fuzz', f'{len(names)} targets ({" ".join(names)}), {seconds} s each', result)
    print(f'{len(names) - len(bad)} passed, {len(bad)} failed')
    return 1 if bad or not names else 0


# ---- scale ----------------------------------------------------------------------------------------------------------------

def scale(a):
    os.environ['HDW_BIN'] = os.path.abspath(a.bin)
    sys.path.insert(0, os.path.join(ROOT, 'tests'))
    import scale as s
    problems = []

    def row(what, result, ok):
        print(f'scale: {what}: {result}{"" if ok else ": FAILED"}', flush=True)
        if not ok:
            problems.append(what)
        if a.record:
            record('scale', what, result if ok else result + ': FAILED')

    parts = a.part.split(',') if a.part else ['idle', 'loris', 'backlog', 'parked', 'retention']
    for part in parts:
        scale_part(a, s, part, row)
    print(f'{len(parts) - len(problems)} passed, {len(problems)} failed')
    return 1 if problems else 0


def scale_part(a, s, part, row):
    if part == 'idle':
        r = s.idle(10_000)
        row('10,000 silent connections, half HTTP, half MLLP', f'RssAnon {r["rss_anon_kb"] / 1024:.1f} MiB, {r["bytes_each"]:,.0f} bytes each, {r["cpu_percent"]:.1f} % of a processor while nothing happens',
            r['rss_anon_kb'] < 65536 + 8 * 10_000 and r['bytes_each'] < 8192 and r['answer'] == '202' and r['cpu_percent'] < 5)
    elif part == 'loris':
        r = s.loris(2000)
        row('2,000 connections that send a head byte by byte beside 8 good clients', f'{r["beside_per_s"]:,.0f} requests/s beside {r["alone_per_s"]:,.0f} without them in the same minutes, ratio {r["ratio"]:.2f}',
            r['ratio'] > 0.5)
    elif part == 'backlog':
        r = s.backlog(a.count if a.count > 100 else 1_000_000)
        row(f'{r["messages"]:,} messages waiting for a sink, kill -9, start', f'taken at {r["taken_per_s"]:,.0f}/s, RssAnon {r["rss_anon_full_kb"] / 1024:.1f} MiB full, {r["rss_anon_restarted_kb"] / 1024:.1f} after the start, '
            f'{r["rss_anon_drained_kb"] / 1024:.1f} at the end, ready after {r["ready_s"] * 1000:.0f} ms, {r["waiting"]:,} still there, first delivery {r["first_delivery_s"]:.1f} s after the sink came, '
            f'drained at {r["drained_per_s"]:,.0f}/s', r['waiting'] == r['messages'])
    elif part == 'parked':
        r = s.parked(a.count if a.count > 100 else 100_000)
        row(f'{r["runs"]:,} runs parked at a step whose server is away, kill -9, start', f'RssAnon {r["rss_anon_full_kb"] / 1024:.1f} MiB full, {r["rss_anon_restarted_kb"] / 1024:.1f} after the start, '
            f'{r["rss_anon_done_kb"] / 1024:.1f} at the end, done at {r["done_per_s"]:,.0f}/s', r['rss_anon_full_kb'] < 102400)
    else:
        r = s.retention(1_000_000_000)
        row(f'{r["messages"]:,} messages of 100 KB, then their time is over', f'the log takes {r["before"] / 1e6:,.0f} MB before and {r["after"] / 1e6:,.0f} MB after (the last segment is 67 MB), '
            f'freed in {r["seconds"]:.0f} s while it serves, RssAnon {r["rss_anon_kb"] / 1024:.1f} MiB', r['before'] - r['after'] > 900_000_000 and r['answer'] == '202')


# ---- fhirpath ------------------------------------------------------------------------------------------------------------

def fhirpath(a):
    count = a.count if a.count > 100 else 2000
    done = subprocess.run([sys.executable, '-B', os.path.join(ROOT, 'tests/conformance/fhirpath/differential.py'), '--folder', a.folder, '--count', str(count), '--seed', str(a.seed)],
                          capture_output=True, text=True, env=dict(os.environ, HDWC=os.path.abspath(os.path.join(a.bin, 'hdwc'))))
    print(done.stdout, done.stderr, sep='')
    said = re.search(r'(\d+) evaluations, (\d+) differ, (\d+) expressions of these not explained', done.stdout)
    if said and a.record:
        record('fhirpath', f'{count} expressions, {said[1]} evaluations beside fhirpath.js', f'{said[2]} differ, {said[3]} expressions not explained')
    return done.returncode


# ---- sim ------------------------------------------------------------------------------------------------------------------

def sim(a):
    """tests/sim/hdwsim in portions, with what was done so far kept beside the build."""
    program, state = os.path.join(a.bin, 'tests/hdwsim'), os.path.join(a.bin, 'campaign-sim.json')
    count, minutes = (8, 5) if a.quick else (a.count if a.count > 100 else 5000, 20)
    done = {'first': a.seed, 'next': a.seed, 'count': count, 'seconds': 0.0, 'simulated': 0.0, 'failed': [], 'sums': {}}
    if not a.quick and os.path.exists(state):
        with open(state, encoding='utf-8') as f:
            old = json.load(f)
        if old['count'] == count and old['first'] == a.seed:
            done = old
            print(f'sim: goes on with seed {done["next"]}', flush=True)
    names = ('messages', 'acknowledged', 'sent again', 'attempts outside', 'deaths', 'disk faults', 'deployments')
    while done['next'] < done['first'] + count:
        last = min(done['next'] + 100, done['first'] + count) - 1
        began = time.monotonic()
        run = subprocess.run([program, '--seeds', f'{done["next"]}..{last}', '--minutes', str(minutes), '--jobs', str(os.cpu_count() or 1)], capture_output=True, text=True, errors='replace')
        done['seconds'] += time.monotonic() - began
        said = re.search(r'(\d+) seeds, (\d+) simulated minutes', run.stdout)
        if not said:
            print(run.stdout, run.stderr, sep='')
            done['failed'].append(f'no verdict for seeds {done["next"]}..{last}')
            break
        done['simulated'] += float(said[2])
        for n in names:
            done['sums'][n] = done['sums'].get(n, 0) + int(re.search(r'(\d+) ' + n, run.stdout)[1])
        for line in run.stdout.splitlines():
            if 'FAILED' in line:
                done['failed'].append(line)
                print(line, flush=True)
        done['next'] = last + 1
        print(f'sim: seeds {done["first"]} to {last}: {len(done["failed"])} failed', flush=True)
        if not a.quick:
            with open(state, 'w', encoding='utf-8') as f:
                json.dump(done, f)
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


def main():
    p = argparse.ArgumentParser()
    p.add_argument('campaign', choices=('kill9', 'scale', 'fuzz', 'fhirpath', 'sim'))
    p.add_argument('--bin', required=True)
    p.add_argument('--count', type=int, default=100)
    p.add_argument('--seconds', type=int, default=0)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--folder', default=os.path.join(ROOT, 'tests/conformance/fhir-examples'))
    p.add_argument('--points')
    p.add_argument('--part', help='of scale: idle, loris, backlog, parked, retention; several with commas')
    p.add_argument('--record', action='store_true')
    p.add_argument('--quick', action='store_true', help='sim: some seconds')
    a = p.parse_args()
    sys.exit({'kill9': kill9, 'scale': scale, 'fuzz': fuzz, 'fhirpath': fhirpath, 'sim': sim}[a.campaign](a))


if __name__ == '__main__':
    main()
