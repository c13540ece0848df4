#!/usr/bin/env python3
"""Who may know whom: an include of a header of a folder that is not below, or of another folder's *_int.h, is a finding."""
import os
import re
from lintlib import Report, files, product, read

MAY = {'vm': (), 'grammar': ('vm',), 'stdlib': ('vm',), 'compiler': ('grammar', 'stdlib', 'vm'), 'runtime': ('stdlib', 'vm'),
       'compiler/hdwc': ('compiler', 'runtime', 'grammar', 'stdlib', 'vm')}
# Internal headers that one other layer may see, because their first line says so.
SHARED = {('stdlib', 'vm/value_int.h')}  # unit conversion and case folding for fp_*.c
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def layer(name):
    return 'compiler/hdwc' if name.startswith('compiler/hdwc/') else name.split('/')[0]


report = Report()
owner = {}
for h in product('.h', '.def'):
    if os.path.basename(h) in owner:
        report.fail(h, f'the name of this header is taken by {owner[os.path.basename(h)]}')
    owner[os.path.basename(h)] = h
for f in product('.c', '.h', '.cc', '.re', '.y'):
    report.look()
    for m in INCLUDE.finditer(read(f)):
        target = owner.get(os.path.basename(m.group(1)))
        if target is None:
            continue  # generated, of the same layer: include paths see to that
        mine, theirs, line = layer(f), layer(target), read(f).count('\n', 0, m.start()) + 1
        if mine == theirs:
            continue
        if theirs not in MAY[mine]:
            report.fail(f'{f}:{line}', f'{mine} may not know {theirs} ({m.group(1)})')
        elif target.endswith('_int.h') and (mine, target) not in SHARED:
            report.fail(f'{f}:{line}', f'{m.group(1)} is internal to {theirs}')
report.end()
