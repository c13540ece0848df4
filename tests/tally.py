#!/usr/bin/env python3
"""Counts test cases in ctest's JUnit reports: those of cmocka and unittest programs one by one, of scripts that end with
"N passed, N failed" as they say, anything else as one. Prints what failed, the lines "score: ..." that tests wrote and, as the last line,
"N passed, N failed"."""
import os
import re
import sys
import xml.etree.ElementTree as ET

SCORE = re.compile(r'^score: (.*)$', re.M)
SAID = re.compile(r'^(\d+) passed, (\d+) failed$', re.M)
CMOCKA_OK = re.compile(r'^\[  PASSED  \] (\d+) test', re.M)
CMOCKA_BAD = re.compile(r'^\[  FAILED  \] (?:\S+: )?(\d+) test', re.M)
UNITTEST = re.compile(r'^Ran (\d+) tests? in', re.M)
UNITTEST_BAD = re.compile(r'^FAILED \(([^)]*)\)', re.M)


def cases(out):
    """(passed, failed) that the output of one test program tells, or None."""
    said = SAID.findall(out)
    if said:
        return int(said[-1][0]), int(said[-1][1])
    if CMOCKA_OK.search(out):
        return sum(map(int, CMOCKA_OK.findall(out))), sum(map(int, CMOCKA_BAD.findall(out)))
    ran = UNITTEST.findall(out)
    if ran:
        bad = sum(int(n) for m in UNITTEST_BAD.findall(out) for k, n in re.findall(r'(\w+)=(\d+)', m) if k in ('failures', 'errors'))
        return sum(map(int, ran)) - bad, bad
    return None


def main(reports):
    passed, failed, names, scores = 0, 0, [], []
    for report in reports:
        if not os.path.exists(report):
            failed += 1
            names.append(f'{report} is missing: ctest did not run')
            continue
        for case in ET.parse(report).getroot().iter('testcase'):
            skipped = case.find('skipped')
            if skipped is not None and skipped.get('message', '').startswith('SKIP_'):
                continue
            ok = case.get('status') == 'run'
            out = case.findtext('system-out') or ''
            scores += SCORE.findall(out)
            p, f = cases(out) or (1 if ok else 0, 0)
            if not ok:
                f = max(f, 1)
                names.append(case.get('name'))
            passed += p
            failed += f
    for line in scores:
        print(line)
    for name in names:
        print('failed:', name)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
