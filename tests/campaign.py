#!/usr/bin/env python3
"""Long runs, each of which ends with a verdict and, with --record, a row in docs/reliability.md.

  campaign.py kill9 --bin DIR [--count KILLS | --seconds N] [--seed N] [--record]
      tests/faults/kill_ledger.py: the daemon is killed at drawn moments while senders keep a ledger, again and again; with --points BUILD every fourth round with that
      build (address sanitizer), where it dies at the named places of the sources.
  campaign.py scale --bin DIR [--count MESSAGES] [--part P,...] [--record]
      tests/scale.py: 10,000 silent connections, 2,000 slow ones, a backlog of MESSAGES (1,000,000), 100,000 parked runs,
      1 GB that is over.
  campaign.py fuzz --bin DIR [--seconds N] [--idle N] [--target NAME,...] [--keep] [--resume] [--quick] [--record]
      every fuzz target for N seconds, or until it found nothing new for --idle seconds (campaign_fuzz.py).
  campaign.py verifier --bin DIR [--count MODULES | --seconds N] [--resume] [--quick] [--record]
      generated programs and changed modules beside a second, slow machine (campaign_verifier.py).
  campaign.py canaries --bin DIR [--debug DIR] [--target NAME,...] [--resume] [--quick] [--record]
      every breakage of tests/canaries.txt turns red what is named beside it (campaign_canaries.py).
  campaign.py soak --bin DIR [--seconds N] [--quick] [--record]
      mixed load for N seconds: memory, descriptors, nothing dead (campaign_soak.py).
  campaign.py sim --bin DIR [--count SEEDS] [--seed FIRST] [--quick] [--record]
      hdwsim: histories of 20 simulated minutes, each drawn from a seed; an interrupted one goes on where it stopped (campaign_sim.py).
  campaign.py powercut|faults|oom|failing|damage|peers|hardship --bin DIR [--debug DIR] [--count N] [--seed N] [--quick] [--record]
      tests/faults/campaigns.py: disks after a power cut; failing calls; memory that fails; calls below log and store that fail; damaged folders; peers that misbehave; clock, signals, memory. --quick: what ./dev test runs of it.
  campaign.py slow --bin DIR [--quick] [--record]
      of scale, the silent and the slow connections.
  campaign.py fhirpath --bin DIR [--folder DIR] [--count EXPRESSIONS] [--record]
      generated FHIRPath expressions on a folder of FHIR examples, beside fhirpath.js."""
import argparse
import ast
import collections
import datetime
import importlib
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
    a.count = a.count or (20 if a.quick else 100)
    end, seed, kills, at_points, acked, doubles, worst, problems = time.monotonic() + a.seconds, a.seed, 0, 0, 0, 0, 0, []
    places = collections.Counter()
    while kills < a.count if not a.seconds else time.monotonic() < end:
        some = min(100, a.count - kills) if not a.seconds else 100
        named = bool(a.points) and (seed % 4 == 0 or a.quick)
        done = subprocess.run([sys.executable, '-B', os.path.join(ROOT, 'tests/faults/kill_ledger.py'), '--kills', str(some), '--seed', str(seed)] + (['--points', '--senders', '4'] if named else [] if a.quick else ['--ready', '1']),
                              capture_output=True, text=True, errors='replace', env=dict(os.environ, HDW_BIN=os.path.abspath(a.points if named else a.bin), HDW_SLOW='3'))
        print(done.stdout.strip(), flush=True)
        said = re.search(r'(\d+) kills, (\d+) acknowledged, \d+ requests, (\d+) duplicates, ready after p50 \d+ ms, max (\d+) ms', done.stdout)
        if said:
            kills, acked, doubles, worst = kills + int(said[1]), acked + int(said[2]), doubles + int(said[3]), worst if named else max(worst, int(said[4]))
            at_points += int(said[1]) if named else 0
        for count_at in re.findall(r'died at \d+ of \d+ places: (\{.*\})', done.stdout):
            places.update(ast.literal_eval(count_at))
        if done.returncode or not said:
            problems += [l for l in done.stdout.splitlines() if 'FAILED' in l] or [f'seed {seed}: {(done.stderr.splitlines() or ["no verdict"])[-1]}']
        if not said:
            break
        seed += 1
    never = sorted(x for x, n in places.items() if not n)
    if places:
        print('deaths at named places:', ', '.join(f'{x} {n}' for x, n in sorted(places.items())))
    if never and at_points >= 4 * len(places):
        problems.append('never died at ' + ', '.join(never))
    result = f'{doubles} repeated in flight with the same key, ' + (f'ready again after at most {worst} ms, ' if worst else '') + ('nothing lost' if not problems else 'FAILED: ' + '; '.join(problems[:3]))
    what = f'{kills} kills' + (f', {at_points} of them at {len(places) - len(never)} of {len(places)} named places' if at_points else '') + f', {acked} acknowledged, seeds {a.seed} to {seed - 1 if seed > a.seed else seed}'
    print(f'kill9: {what}: {result}')
    if a.record:
        record('kill9', what, result)
    print(f'{0 if problems else 1} passed, {1 if problems else 0} failed')
    return 1 if problems or not kills else 0


FAULTS = ('powercut', 'faults', 'oom', 'failing', 'damage', 'peers', 'hardship')


# ---- faults --------------------------------------------------------------------------------------------------------------

def fault(a):
    sys.path.insert(0, os.path.join(ROOT, 'tests', 'faults'))
    import campaigns
    what, result, good = campaigns.ALL[a.campaign](a)
    print(f'{a.campaign}: {what}: {result}')
    if a.record:
        record(a.campaign, what, result if good else result + ': FAILED')
    print(f'{int(good)} passed, {int(not good)} failed')
    return 0 if good else 1


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


def slow(a):
    """Of scale: what is silent or slow."""
    a.part = 'slow' if a.quick else 'idle,slow'
    return scale(a)


def scale_part(a, s, part, row):
    if part == 'slow':
        n = a.count or (300 if a.quick else 10_000)
        r = s.loris(n, seconds=1 if a.quick else 5)
        row(f'{n:,} connections that send a head byte by byte beside 8 good clients', f'{r["beside_per_s"]:,.0f} requests/s beside {r["alone_per_s"]:,.0f} without them in the same minutes, ratio {r["ratio"]:.2f}',
            r['ratio'] > (0.5 if a.quick else 0.8))
    elif part == 'idle':
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


# Campaigns in files of their own: campaign_NAME.py with run(arguments, record).
ELSEWHERE = ('canaries', 'fuzz', 'sim', 'soak', 'verifier')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('campaign', choices=('kill9', 'scale', 'slow', 'fhirpath', *FAULTS, *ELSEWHERE))
    p.add_argument('--bin', required=True)
    p.add_argument('--debug', default=os.path.join(ROOT, 'build', 'debug'), help='the build with the address sanitizer')
    p.add_argument('--quick', action='store_true', help='what ./dev test runs of it')
    p.add_argument('--count', type=int, default=0, help='0 = as much as the campaign is made for')
    p.add_argument('--seconds', type=int, default=0)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--folder', default=os.path.join(ROOT, 'tests/conformance/fhir-examples'))
    p.add_argument('--points')
    p.add_argument('--part', help='of scale: idle, loris, backlog, parked, retention; several with commas')
    p.add_argument('--idle', type=int, default=3600, help='of fuzz: seconds without a new edge that end a target')
    p.add_argument('--target', help='of fuzz and canaries: only these, with commas')
    p.add_argument('--keep', action='store_true', help='of fuzz: what is new goes to tests/fuzz/corpus')
    p.add_argument('--resume', action='store_true', help='goes on where an interrupted run stopped')
    p.add_argument('--record', action='store_true')
    a = p.parse_args()
    a.record = a.record and not a.quick
    if a.campaign in ELSEWHERE:
        sys.exit(importlib.import_module('campaign_' + a.campaign).run(a, record))
    sys.exit({'kill9': kill9, 'scale': scale, 'slow': slow, 'fhirpath': fhirpath}.get(a.campaign, fault)(a))


if __name__ == '__main__':
    main()
