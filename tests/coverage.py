#!/usr/bin/env python3
"""What the tests reach: lines and branches by folder, and every branch not reached in the files that promise all of them.

  coverage.py --build DIR [--run PATTERN] [--fresh] [--files] [--list] [--only]      ./dev coverage
  coverage.py --build DIR --counted TARGET --programs NAME... [--list]               the test coverage/log

DIR is a build of the preset coverage; with --counted any build: only the objects of that target count, which are compiled with counters, under these programs alone. --run PATTERN runs the tests of that name first (ctest -R), --fresh forgets what earlier runs counted, --files prints each file,
--list every branch not reached, --only leaves out everything but the files below.

The files of tests/coverage.txt are to promise every branch: what is in there stands between the bytes that come in and the acknowledgement that goes out. The number behind a file, if
there is one, is how many of its branches may be missed as yet: it may only become smaller; a second one the same for the programs of coverage/log. A branch that nothing can take stands there too, with its reason."""
import argparse
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, 'tests', 'coverage.txt')
FOLDERS = ('vm', 'grammar', 'stdlib', 'compiler', 'runtime')

ARGUMENTS = {'failing': ['--ways', 'first']}


def table():
    """({file: branches that may be missed}, {(file, text of the line): [how many branches, reason]}, {file: the same under the programs of coverage/log})."""
    files, rows, quick = {}, {}, {}
    with open(TABLE, encoding='utf-8') as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if not line or line.startswith('#'):
                continue
            if re.fullmatch(r'\S+( +\d+){0,2}', line):
                word = line.split()
                files[word[0]] = int((word + ['-1'])[1])
                if len(word) == 3:
                    quick[word[0]] = int(word[2])
                continue
            part = [x.strip() for x in line.split(' | ')]
            if len(part) != 4 or not part[1].isdigit():
                sys.exit(f'{TABLE}:{n}: file | branches | text of the line | reason')
            rows[part[0], part[2]] = [int(part[1]), part[3]]
    return files, rows, quick


def gcov(objects):
    """What gcov says of some objects, as a list of documents; the counters stay where they are."""
    out = subprocess.run(['gcov', '--branch-probabilities', '--json-format', '--stdout', *objects], capture_output=True, text=True, cwd=ROOT)
    return [json.loads(x) for x in out.stdout.splitlines() if x.startswith('{')]


def counted(build, wanted, target=''):
    """{file: {(line, function): [executions, [how often each branch]]}} over all objects of the build that hold one of the files."""
    objects = []
    for at, _, names in os.walk(build):
        for name in names if not target or f'/{target}.dir' in at else ():
            if name.endswith('.gcno'):
                path = os.path.join(at, name)
                source = name[:-len('.gcno')]
                if wanted(source[:-2] if source.endswith('.o') else source):
                    objects.append(path[:-len('.gcno')] + '.gcda' if os.path.exists(path[:-len('.gcno')] + '.gcda') else path)
    files = collections.defaultdict(dict)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for doc in [d for part in pool.map(gcov, [objects[i:i + 20] for i in range(0, len(objects), 20)]) for d in part]:
            for file in doc['files']:
                name = os.path.relpath(os.path.join(doc['current_working_directory'], file['file']), ROOT)
                if name.startswith('..') or not name.endswith('.c'):
                    continue
                have = files[name]
                for l in file['lines']:
                    row = have.setdefault((l['line_number'], l.get('function_name', '')), [0, [0] * len(l['branches'])])
                    row[0] += l['count']
                    row[1] = [x + b['count'] for x, b in zip(row[1], l['branches'])] if row[1] else [b['count'] for b in l['branches']]
    return files


def share(taken, total):
    return f'{taken:6} of {total:6} {100 * taken / max(1, total):6.2f} %'


def figures(lines):
    """(lines reached, lines, branches reached, branches). A line of a template or a macro that stands in several functions counts once in each."""
    return (sum(1 for c, _ in lines.values() if c), len(lines), sum(1 for _, b in lines.values() for x in b if x), sum(len(b) for _, b in lines.values()))


def missing(name, lines, rows, used):
    """Lines of the file with branches that were not reached and that the table does not explain: [(line, text, reached, branches)]."""
    with open(os.path.join(ROOT, name), encoding='utf-8') as f:
        text = f.read().split('\n')
    found = []
    for (number, _), (count, branches) in sorted(lines.items()):
        away = sum(1 for b in branches if not b)
        if count and not away:
            continue
        say = text[number - 1].strip()
        row = rows.get((name, say))
        if row and count and away <= row[0]:
            used[name, say] = max(away, used.get((name, say), 0))
            continue
        found.append((number, say, len(branches) - away if count else 0, len(branches)))
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', default=os.path.join(ROOT, 'build', 'coverage'))
    p.add_argument('--run')
    p.add_argument('--fresh', action='store_true')
    p.add_argument('--files', action='store_true')
    p.add_argument('--only', action='store_true')
    p.add_argument('--list', action='store_true')
    p.add_argument('--counted', default='', help='only objects of the target of this name')
    p.add_argument('--programs', nargs='*', default=[], help='programs of DIR that are run first')
    a = p.parse_args()
    build = os.path.abspath(a.build)
    promised, rows, quick = table()
    if a.counted:
        promised, a.only = quick, True
    if a.fresh:
        for at, _, names in os.walk(build):
            for n in names if not a.counted or f'/{a.counted}.dir' in at else ():
                if n.endswith('.gcda'):
                    os.unlink(os.path.join(at, n))
    failed = []
    if a.run:
        done = subprocess.run(['ctest', '--test-dir', build, '-R', a.run, '-j', '2', '--timeout', '900', '--output-on-failure'], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace')
        failed = re.findall(r'Test +#\d+: (\S+) \.*\**(?:Failed|Timeout|Subprocess aborted|Not Run|Exception)', done.stdout)
        if failed:
            print(done.stdout[-6000:])
        print(re.findall(r'\d+% tests passed.*', done.stdout)[-1:] or done.stdout[-500:])
    def one(program):
        done = subprocess.run([os.path.join(build, program)] + ARGUMENTS.get(program, []), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace')
        return program, done.returncode, done.stdout[-1500:] + done.stderr[-1500:]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for program, code, said in pool.map(one, sorted(a.programs, key=lambda x: x not in ARGUMENTS)):
            if code:
                failed.append(program)
                print(f'{program} fails: {said}')
    wanted = {os.path.basename(x) for x in promised}
    files = counted(build, (lambda s: s in wanted) if a.only else (lambda s: True), a.counted)
    total = [0] * 4
    if not a.only:
        for folder in FOLDERS:
            sums = [0] * 4
            for name in sorted(files):
                if name.split('/')[0] == folder:
                    f = figures(files[name])
                    sums = [x + y for x, y in zip(sums, f)]
                    if a.files:
                        print(f'  {name:34} lines {share(f[0], f[1])}   branches {share(f[2], f[3])}')
            total = [x + y for x, y in zip(total, sums)]
            print(f'{folder:36} lines {share(sums[0], sums[1])}   branches {share(sums[2], sums[3])}')
        print(f'{"all":36} lines {share(total[0], total[1])}   branches {share(total[2], total[3])}')
    used, taken, count, away, bad = {}, 0, 0, 0, False
    for name, allowed in promised.items():
        if name not in files:
            print(f'{name}: nothing is known of it; is it built?')
            bad = True
            continue
        f = figures(files[name])
        taken, count = taken + f[2], count + f[3]
        lines = missing(name, files[name], rows, used)
        missed = sum(of - have for _, _, have, of in lines)
        away += missed
        if missed > allowed >= 0 or a.list:
            for number, text, have, of in lines:
                print(f'{name}:{number}: {f"{have} of {of} branches" if of else "never executed"}: {text[:140]}')
        if allowed < 0:
            print(f'{name}: {missed} of {f[3]} branches are not reached')
        elif missed > allowed:
            print(f'{name}: {missed} branches are not reached, tests/coverage.txt allows {allowed}: a test is missing for what is new')
            bad = True
        elif missed < allowed:
            print(f'{name}: {missed} branches are not reached, fewer than the {allowed} of tests/coverage.txt')
    for (name, text), r in rows.items():
        if name in files and text not in open(os.path.join(ROOT, name), encoding='utf-8').read():
            print(f'tests/coverage.txt: {name} has no line "{text[:80]}" any more: take the row out')
            bad = True
    explained = sum(used.values())
    print(f'coverage: {taken} of {count} branches of {len(promised)} files of store, log and acknowledgement ({100 * (taken + explained) / max(1, count):.1f} % with {explained} that nothing can take), {away} not reached'
          + ('' if a.only else f'; all code {100 * total[0] / max(1, total[1]):.1f} % of {total[1]} lines, {100 * total[2] / max(1, total[3]):.1f} % of {total[3]} branches'))
    bad = bad or bool(failed)
    print('0 passed, 1 failed' if bad else '1 passed, 0 failed')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
