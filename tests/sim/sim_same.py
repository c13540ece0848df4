#!/usr/bin/env python3
"""The same seed gives the same history, event by event.

  sim_same.py HDWSIM [OTHER] [--seeds A..B] [--minutes M]

Runs the seeds twice, in processes that have other addresses, other rubbish in fresh memory and another environment; OTHER: another build of the same sources (other
optimisation, sanitizers), which must give the same, too. Compares the hash of every history: all events with their virtual times, what senders and receivers saw,
the daemon's log lines, and the store at the end. Where two differ: the first line of their traces that does."""
import os
import re
import subprocess
import sys


def run(program, args, other_world):
    env = dict(os.environ, MALLOC_PERTURB_='165', SIM_PADDING='x' * 3001) if other_world else dict(os.environ, MALLOC_PERTURB_='0')
    return subprocess.run([program, *args], capture_output=True, text=True, errors='replace', env=env, check=False).stdout


def hashes(program, args, other_world):
    said = run(program, [*args, '--jobs', '2', '--each'], other_world)
    found = dict(re.findall(r'^seed (\d+) (.*)$', said, re.M))
    if not found or 'FAILED' in said:
        print(said)
        sys.exit(f'{program} {" ".join(args)}: it says no hashes' if not found else 1)
    return found


def show(seed, minutes, one, other):
    """The first line in which two traces differ, with three before it."""
    a, b = (run(p, ['--seed', seed, '--minutes', minutes, '--trace'], w).splitlines() for p, w in (one, other))
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    for line in a[max(0, at - 3):at]:
        print('    ' + line[:300])
    print('  one   ' + (a[at] if at < len(a) else 'ends')[:300])
    print('  other ' + (b[at] if at < len(b) else 'ends')[:300])


def main(argv):
    options = {'--seeds': '1..6', '--minutes': '2'}
    programs = []
    while argv:
        word = argv.pop(0)
        if word in options and argv:
            options[word] = argv.pop(0)
        else:
            programs.append(word)
    if not 1 <= len(programs) <= 2 or any(p.startswith('-') for p in programs):
        sys.exit(__doc__)
    args = ['--seeds', options['--seeds'], '--minutes', options['--minutes']]
    one, other = (programs[0], False), (programs[-1], True)
    first, second = hashes(one[0], args, one[1]), hashes(other[0], args, other[1])
    differ = sorted((s for s in first if first[s] != second.get(s)), key=int)
    for s in differ:
        print(f'seed {s} DIFFERS: {first[s]}\n  and: {second.get(s)}')
        show(s, options['--minutes'], one, other)
    print(f'{len(first) - len(differ)} passed, {len(differ)} failed')
    return 1 if differ else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
