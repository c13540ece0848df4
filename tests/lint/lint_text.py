#!/usr/bin/env python3
"""Sizes, banned functions, marks of unfinished work, white space. A function of more than 80 lines gives the reason in the comment above it
("One screen too long because ..." in any words with "because" or "long")."""
import re
from lintlib import Report, files, product, read

MAX_FILE, WARN_FILE, MAX_FUNCTION, MAX_LINE = 1500, 600, 80, 280
# How each banned function is done here instead.
BANNED = {'strcpy': 'buf or memcpy', 'strcat': 'buf', 'strncpy': 'memcpy', 'strncat': 'buf', 'sprintf': 'snprintf or buf_putf', 'vsprintf': 'vsnprintf', 'gets': 'io',
          'strtok': 'a loop', 'atoi': 'a strict reader', 'atol': 'a strict reader', 'atoll': 'a strict reader', 'atof': 'decimal', 'strtod': 'decimal', 'system': 'nothing',
          'popen': 'nothing', 'alloca': 'the arena', 'rand': 'the seam', 'setjmp': 'status values', 'longjmp': 'status values', 'sscanf': 'a strict reader',
          'mktemp': 'the seam', 'tmpnam': 'the seam', 'assert': 'HDW_ASSERT or a status'}
BANNED_RE = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')
MARKS = re.compile(r'\b(TO' r'DO|FIX' r'ME|XX' r'X|HA' r'CK)\b')
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
HEAD = re.compile(r'^[A-Za-z_][^;=]*\([^;]*\)[^;=]*\{\s*(/\*.*\*/)?$')


def blank(m):
    return re.sub(r'[^\n]', ' ', m.group(0))


def functions(f, lines):
    start = None
    for i, line in enumerate(lines):
        if HEAD.match(line):
            start = i
        elif line.startswith('}') and start is not None:
            yield start, i - start + 1
            start = None


report = Report()
for f in product('.c', '.h', '.cc', '.re', '.y', '.def', '.py') + files('.c', '.h', '.cc', '.py', under='tests') + files('.sh', '.md', '.hdw', '.cmake') + files('dev'):
    report.look()
    text = read(f)
    lines = text.split('\n')
    code = f.endswith(('.c', '.h', '.cc', '.re', '.y'))
    if f.endswith(('.tsv', '.txt')) or '/corpus/' in f or '/conformance/' in f or '/syntax/' in f:
        continue
    if len(lines) > MAX_FILE and not f.startswith('docs/reference/'): # those are written by docs/gen.py
        report.fail(f, f'{len(lines)} lines; {MAX_FILE} at most')
    elif code and len(lines) > WARN_FILE and not f.startswith('tests/'):
        report.warn(f, f'{len(lines)} lines')
    if text and not text.endswith('\n'):
        report.fail(f, 'no line end at the end')
    for n, line in enumerate(lines, 1):
        if line.endswith((' ', '\t', '\r')) and not f.endswith('.md'):
            report.fail(f'{f}:{n}', 'white space at the end of the line')
        if code and '\t' in line:
            report.fail(f'{f}:{n}', 'a tab')
        if code and len(line) > MAX_LINE:
            report.fail(f'{f}:{n}', f'{len(line)} columns')
        if MARKS.search(line):
            report.fail(f'{f}:{n}', 'a mark of unfinished work')
    if not code:
        continue
    for start, n in functions(f, lines):
        above = ''
        i = start - 1
        while i >= 0 and lines[i].strip() and not lines[i].startswith('}'):
            above = lines[i] + above
            i -= 1
        if n > MAX_FUNCTION and not re.search(r'because|long|one switch|interpreter', above, re.I) and not f.startswith('tests/'):
            report.fail(f'{f}:{start + 1}', f'a function of {n} lines ({MAX_FUNCTION}) whose comment gives no reason')
    if f.startswith('tests/'):
        continue
    bare = COMMENT_OR_STRING.sub(blank, text)
    for m in BANNED_RE.finditer(bare):
        report.fail(f'{f}:{bare.count(chr(10), 0, m.start()) + 1}', f'{m.group(1)} is banned here: {BANNED[m.group(1)]}')
report.end()
