"""What the checks share: the list of files and the way to report. A check prints one line for each finding, "file:line: text", then
"N passed, N failed" (files or rows looked at), and exits 1 when there was a finding."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYERS = ('vm', 'grammar', 'stdlib', 'compiler', 'runtime')


def files(*suffixes, under=''):
    """Files of the repository (committed or new, not ignored) with one of these endings."""
    try:
        out = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '--', under or '.'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        names = out.splitlines()
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive without git
        names = [os.path.relpath(os.path.join(d, f), ROOT) for d, dirs, fs in os.walk(os.path.join(ROOT, under)) if '/build' not in d and '/.git' not in d for f in fs]
    return sorted(n for n in set(names) if n.endswith(suffixes) and os.path.isfile(os.path.join(ROOT, n)))


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8', errors='replace') as f:
        return f.read()


def product(*suffixes):
    """Files of the product itself, without tests."""
    return [f for f in files(*suffixes) if f.split('/')[0] in LAYERS]


class Report:
    def __init__(self):
        self.seen, self.bad, self.findings = 0, set(), 0

    def look(self, n=1):
        self.seen += n

    def fail(self, place, text):
        self.findings += 1
        self.bad.add(place.split(':')[0] if ':' in place else place)
        print(f'{place}: {text}')

    def warn(self, place, text):
        print(f'{place}: warning: {text}')

    def end(self):
        failed = min(max(len(self.bad), 1 if self.findings else 0), max(self.seen, 1))
        print(f'{max(self.seen - failed, 0)} passed, {failed} failed')
        sys.exit(1 if self.findings else 0)


def rows(table, *macros):
    """Rows of a .def table as (macro, [argument texts], line): strings joined and unquoted, other arguments as written."""
    text = read(table)
    out = []
    i, line = 0, 1
    names = tuple(m + '(' for m in macros)
    start = True
    while i < len(text):
        if text.startswith('/*', i):
            j = text.index('*/', i) + 2
            line += text.count('\n', i, j)
            i = j
            continue
        if start and text.startswith(names, i):
            j = text.index('(', i)
            macro, first = text[i:j], line
            args, j = arguments(text, j + 1)
            line += text.count('\n', i, j)
            out.append((macro, args, first))
            i = j
            continue
        start = text[i] == '\n'
        line += text[i] == '\n'
        i += 1
    return out


ESCAPES = {'n': '\n', 't': '\t', 'r': '\r', '\\': '\\', '"': '"', "'": "'", '0': '\0', '?': '?'}


def arguments(text, i):
    """Arguments of a macro call whose bracket ends before i; returns them and the index behind the closing bracket."""
    args, word, string, depth = [], '', None, 0
    while True:
        c = text[i]
        if c == '"':
            string = string or ''
            i += 1
            while text[i] != '"':
                if text[i] == '\\':
                    i += 1
                    string += ESCAPES.get(text[i], '\\' + text[i])
                else:
                    string += text[i]
                i += 1
        elif c in ',)' and depth == 0:
            args.append(string if string is not None else word.strip())
            word, string = '', None
            if c == ')':
                return args, i + 1
        else:
            depth += (c == '(') - (c == ')')
            word += c
        i += 1
