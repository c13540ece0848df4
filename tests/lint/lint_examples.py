#!/usr/bin/env python3
"""Examples of the manual: every block of hdw code is accepted by the compiler as formatted there, every line of a fhirpath block yields true."""
import json
import os
import re
import subprocess
import sys
import tempfile
from lintlib import ROOT, Report, files, read

BLOCK = re.compile(r'^```(hdw|fhirpath)\n(.*?)^```', re.S | re.M)


def check_program(report, hdwc, place, text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'example.hdw')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        done = subprocess.run([hdwc, 'check', path], capture_output=True, text=True, timeout=60)
        if done.returncode:
            report.fail(place, 'does not compile:\n' + (done.stdout + done.stderr).replace(folder + '/', ''))


def check_expressions(report, hdwc, place, text):
    lines = [l for l in text.splitlines() if l.strip()]
    report.look(len(lines))
    with tempfile.NamedTemporaryFile('w', suffix='.json') as empty:
        empty.write('{}')
        empty.flush()
        asked = ''.join(json.dumps({'id': i, 'json': empty.name, 'expr': l}) + '\n' for i, l in enumerate(lines))
        done = subprocess.run([hdwc, 'eval', '--batch'], input=asked, capture_output=True, text=True, timeout=60)
    answers = [json.loads(l) for l in done.stdout.splitlines()]
    for line, answer in zip(lines, answers + [{}] * len(lines)):
        if answer.get('result') != [True]:
            report.fail(place, f'{line} is not true: {answer}')


def main():
    report = Report()
    hdwc = os.path.join(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else 'build/debug'), 'hdwc')
    if not os.path.exists(hdwc):
        report.fail('hdwc', 'is not built')
        report.end()
    for page in files('.md'):
        if page.startswith('docs/reference/'):
            continue  # those examples are compiled by unit tests, row by row
        text = read(page)
        for m in BLOCK.finditer(text):
            place = f'{page}:{text.count(chr(10), 0, m.start()) + 1}'
            if m.group(1) == 'fhirpath':
                check_expressions(report, hdwc, place, m.group(2))
            elif m.group(2).startswith('hdw 1'):
                report.look()
                check_program(report, hdwc, place, m.group(2))
    report.end()


main()
