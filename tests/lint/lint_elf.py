#!/usr/bin/env python3
"""Hardening of the programs as built: PIE, full RELRO, no executable stack, stack protector, no RPATH, no text relocations, no segment that is both
writable and executable; in release builds checked string functions, control-flow marks."""
import os
import re
import subprocess
import sys
from lintlib import Report


def readelf(*args):
    return subprocess.run(['readelf', '-W', *args], capture_output=True, text=True).stdout


def check(report, path, release):
    head, segments, dynamic = readelf('-h', path), readelf('-l', path), readelf('-d', path)
    symbols = readelf('--dyn-syms', path)
    rules = {
        'not a position independent executable': 'Type:' in head and 'DYN' in head and 'PIE' in dynamic,
        'no RELRO segment': 'GNU_RELRO' in segments,
        'not bound at start (no full RELRO)': 'NOW' in dynamic,
        'an executable stack': re.search(r'GNU_STACK.*\bRW\s', segments) is not None,
        'a segment that is writable and executable': not re.search(r'LOAD.*\bRWE\b', segments),
        'an RPATH or RUNPATH': 'RPATH' not in dynamic and 'RUNPATH' not in dynamic,
        'text relocations': 'TEXTREL' not in dynamic,
        'no stack protector': '__stack_chk_fail' in symbols,
    }
    if release:
        rules['no control-flow marks (-fcf-protection)'] = 'IBT' in readelf('-n', path) or os.uname().machine != 'x86_64'
        rules['no checked string functions (_FORTIFY_SOURCE)'] = '_chk' in re.sub('__stack_chk_fail', '', symbols)
    for text, ok in rules.items():
        report.look()
        if not ok:
            report.fail(f'{path} ({text})', 'is ' + text if text.startswith('not') else 'has ' + text)


report = Report()
for build in sys.argv[1:] or ['build/debug', 'build']:
    for program in ('hdwc', 'hdwvm'):
        path = os.path.join(build, program)
        if os.path.exists(path):
            check(report, path, 'libasan' not in readelf('-d', path))
report.end()
