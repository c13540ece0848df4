#!/usr/bin/env python3
"""man.py PROGRAM: a manual page made from what PROGRAM --help says, on standard output."""
import os
import subprocess
import sys


def roff(text):
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return '\\&' + text if text[:1] in ".'" else text


def main():
    path = sys.argv[1]
    name = os.path.basename(path)
    lines = subprocess.run([path, '--help'], capture_output=True, text=True, check=True, timeout=60).stdout.rstrip().splitlines()
    title = lines[0].split(': ', 1)
    print(f'.TH {name.upper()} 1 "" "{roff(title[0])}"')
    print('.SH NAME')
    print(f'{name} \\- {roff(title[-1])}')
    print('.SH SYNOPSIS')
    print(f'.B {name}\n.I command\n.RI [ arguments ]')
    print('.SH COMMANDS')
    print('.nf')
    for line in lines[1:]:
        print(roff(line))
    print('.fi')
    print('.SH FILES')
    print('.I hdw.json\n.br\n.I /usr/share/doc/hdw\\-daemon\n.SH SEE ALSO\n.BR hdwc (1), hdwvm (1)')


main()
