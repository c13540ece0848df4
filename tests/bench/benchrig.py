"""What the benchmarks that start daemons share: options, the end of their children, the row of docs/reliability.md, the file of --json."""
import argparse
import json
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def parser():
    p = argparse.ArgumentParser()
    p.add_argument('--bin', default='build')
    p.add_argument('--json')
    p.add_argument('--record', action='store_true', help='adds a row to docs/reliability.md')
    p.add_argument('--folder', default='.', help='a folder on the disk to measure')
    p.add_argument('--seconds', type=float, default=3, help='of each round')
    p.add_argument('--rounds', type=int, default=3)
    return p


def end(*children):
    for p in children:
        p.send_signal(signal.SIGTERM)
    for p in children:
        p.wait(120)


def finish(a, name, how, rows, said):
    """how: what was done; said: what came out, for the row."""
    if a.record:
        sys.path.insert(0, os.path.dirname(HERE))
        from campaign import record
        record(f'bench {name}', f'{how}, load of the machine {os.getloadavg()[0]:.1f}', said)
    if a.json:
        with open(a.json, 'w') as f:
            json.dump({'bench': name, 'rows': rows}, f)
