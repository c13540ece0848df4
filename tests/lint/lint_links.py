#!/usr/bin/env python3
"""Links of the pages: files and headings that they name exist. Folder READMEs have at most fifteen lines, ARCHITECTURE.md is one page."""
import os
import re
import urllib.parse
from lintlib import ROOT, Report, files, read

LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
FOLDERS = ('grammar', 'vm', 'stdlib', 'compiler', 'runtime', 'examples', 'tests', 'editors', 'docs')


def anchors(text):
    text = re.sub(r'^```.*?^```', '', text, flags=re.S | re.M)
    return {re.sub(r'[^\w\- ]', '', h.lower().replace('`', '')).strip().replace(' ', '-') for h in re.findall(r'^#+\s+(.*)$', text, re.M)}


report = Report()
for f in files('.md'):
    report.look()
    text = read(f)
    plain = re.sub(r'^```.*?^```', lambda m: '\n' * m.group(0).count('\n'), text, flags=re.S | re.M)
    plain = re.sub(r'`[^`\n]*`', '', plain)
    for m in LINK.finditer(plain):
        target = urllib.parse.unquote(m.group(1))
        place = f'{f}:{plain.count(chr(10), 0, m.start()) + 1}'
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        full = os.path.normpath(os.path.join(ROOT, os.path.dirname(f), path)) if path else os.path.join(ROOT, f)
        if not os.path.exists(full):
            report.fail(place, f'there is no {target}')
        elif anchor and full.endswith('.md') and anchor not in anchors(open(full).read()):
            report.fail(place, f'there is no heading #{anchor} in {path or f}')
for folder in FOLDERS:
    name = folder + '/README.md'
    if not os.path.exists(os.path.join(ROOT, name)):
        report.fail(name, 'every folder has a README.md')
    elif read(name).count('\n') > 15:
        report.fail(name, 'more than fifteen lines')
if read('ARCHITECTURE.md').count('\n') > 90:
    report.fail('ARCHITECTURE.md', 'more than one page (90 lines)')
report.end()
