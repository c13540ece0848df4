#!/usr/bin/env python3
"""Every row of the four tables has its documentation, an example where the table has one, and a test that names it."""
import os
import re
import subprocess
import sys
import tempfile
from lintlib import ROOT, Report, files, read, rows

report = Report()
tests = '\n'.join(read(f) for f in files('.c', '.h', '.py', '.hdw', '.txt', '.json', under='tests') if '/lint/' not in f)


def need(ok, place, text):
    if not ok:
        report.fail(place, text)


def sentence(text):
    return len(text) > 3 and text[-1] in '.?!)' or text.endswith("'")


# builtins: test_compile.c compiles the example of every row; a native has a test of its own or one of its name.
seen = set()
for macro, a, line in rows('stdlib/builtins.def', 'FUNCTION', 'INLINE', 'OPERATION', 'DECLARE', 'INTERNAL'):
    report.look()
    place = f'stdlib/builtins.def:{line}'
    if macro == 'INTERNAL':
        need(sentence(a[3]), place, f'{a[1]} has no sentence')
        continue
    doc, example = a[-2], a[-1]
    signature = a[{'FUNCTION': 1, 'INLINE': 1, 'OPERATION': 3, 'DECLARE': 2}[macro]]
    need(sentence(doc), place, f'{signature} has no sentence')
    need(example, place, f'{signature} has no example')
    name = re.match(r'(?:[\w*?+]+\.)?(\w+)\(', signature)
    need(name, place, f'{signature} is no signature')
    need(name and name.group(1) in example, place, f'the example of {signature} does not use it')
    key = (macro, a[0] if macro in ('OPERATION', 'DECLARE') else '', signature.split('(')[0])
    need(key not in seen, place, f'{signature} stands twice')
    seen.add(key)
need('builtins.def' in tests, 'stdlib/builtins.def', 'no test runs the examples')

# opcodes: a unit test names it, or the compiler emits it for a program whose results are tested.
NO_TEST = {'NOP': 'never emitted', 'NOT': 'the compiler calls the native not()', 'LOADKX': 'needs more than 65,536 constants', 'ONCE': "'once by' is not yet available"}


def emitted(hdwc):
    words = set()
    with tempfile.TemporaryDirectory() as folder:
        module = os.path.join(folder, 'm.hdwb')
        for program in files('.hdw', under='examples') + files('.hdw', under='tests/lang/run') + files('.hdw', under='tests/lang/test'):
            if subprocess.run([hdwc, 'build', program, '-o', module], cwd=ROOT, capture_output=True).returncode == 0:
                listing = subprocess.run([hdwc, 'disasm', module], capture_output=True, text=True, errors='replace').stdout
                words.update(re.findall(r'^ +\d+  ([A-Z0-9]+)\b', listing, re.M))
    return words


hdwc = os.path.join(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else 'build/debug'), 'hdwc')
used = emitted(hdwc) if os.path.exists(hdwc) else set()
for macro, a, line in rows('vm/opcodes.def', 'OPCODE'):
    report.look()
    need(sentence(a[5]), f'vm/opcodes.def:{line}', f'{a[0]} has no sentence')
    need(a[0] in used or a[0] in NO_TEST or re.search(rf'\bOP_{a[0]}\b', tests), f'vm/opcodes.def:{line}', f'no tested program needs {a[0]}')

codes = []
for macro, a, line in rows('compiler/diags.def', 'DIAG'):
    report.look()
    place = f'compiler/diags.def:{line}'
    need(a[2] and not a[2].endswith('.'), place, f'{a[0]} has no title')
    need(len(a[3]) > 20, place, f'{a[0]} has no page')
    need((a[4] == 'NULL') == (a[5] == 'NULL'), place, f'{a[0]} has one of two examples')
    codes.append(a[0])
need(codes == sorted(set(codes)), 'compiler/diags.def', 'rows are not sorted, or a number is used twice')
need('diags.def' in tests, 'compiler/diags.def', 'no test compiles the examples')

need('options.def' in tests, 'runtime/options.def', 'no test goes through the options')
for macro, a, line in rows('runtime/options.def', 'TOP', 'LISTENER', 'TLS', 'CONNECTION', 'CLIENT_TLS'):
    report.look()
    place = f'runtime/options.def:{line}'
    need(sentence(a[5]), place, f'{a[1]} has no sentence')
report.end()
