#!/usr/bin/env python3
"""Branch coverage of some sources under some programs that were compiled with --coverage; fails below 100 %.

  cover.py --build DIR --sources FILE... --programs NAME...   NAME is a program in DIR and the name of its CMake target

A branch that no input can take is written as such in the source: the line ends with a comment that begins with 'cannot happen'."""
import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile


def counts(build, program, source, where):
    """[(line, [branch counts])] of the source in one program."""
    objects = os.path.join(build, 'CMakeFiles', program + '.dir')
    for at, _, files in os.walk(objects):
        for f in files:
            if f.endswith(os.path.basename(source) + '.gcno'):
                data = os.path.join(at, f[:-5] + '.gcda')
                subprocess.run(['gcov', '--branch-probabilities', '--json-format', '--object-file', data, source], cwd=where, check=True, capture_output=True)
                out = [g for g in os.listdir(where) if g.endswith('.gcov.json.gz')]
                found = []
                for g in out:
                    with gzip.open(os.path.join(where, g)) as z:
                        doc = json.load(z)
                    os.unlink(os.path.join(where, g))
                    for file in doc['files']:
                        if file['file'].endswith('/' + os.path.relpath(source)):
                            found += [(l['line_number'], l.get('function_name', ''), l['count'], [b['count'] for b in l['branches']]) for l in file['lines']]
                return found
    sys.exit(f'cover.py: no counters of {source} in {objects}')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--sources', nargs='+', required=True)
    p.add_argument('--programs', nargs='+', required=True)
    a = p.parse_args()
    build = os.path.abspath(a.build)
    for program in a.programs:
        for at, _, files in os.walk(os.path.join(build, 'CMakeFiles', program + '.dir')):
            for f in files:
                if f.endswith('.gcda'):
                    os.unlink(os.path.join(at, f))
        done = subprocess.run([os.path.join(build, program)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'{program} fails\n{done.stdout[-2000:]}{done.stderr[-2000:]}')
    missed = 0
    for source in a.sources:
        text = open(source, encoding='utf-8').read().split('\n')
        lines = {}
        with tempfile.TemporaryDirectory() as where:
            for program in a.programs:
                for number, fn, count, branches in counts(build, program, os.path.abspath(source), where):
                    have = lines.setdefault((number, fn), [0, [0] * len(branches)])
                    have[0] += count
                    have[1] = [x + y for x, y in zip(have[1], branches)]
        total = taken = 0
        for (number, _), (count, branches) in sorted(lines.items()):
            if 'cannot happen' in text[number - 1]:
                continue
            total += len(branches)
            taken += sum(1 for b in branches if b)
            if not count or not all(branches):
                print(f'{source}:{number}: {"never executed" if not count else f"{sum(1 for b in branches if not b)} of {len(branches)} branches never taken"}: {text[number - 1].strip()[:150]}')
                missed += 1
        print(f'{source}: {taken} of {total} branches, {100 * taken / max(1, total):.2f} %')
    print('0 passed, 1 failed' if missed else '1 passed, 0 failed')
    sys.exit(1 if missed else 0)


if __name__ == '__main__':
    main()
