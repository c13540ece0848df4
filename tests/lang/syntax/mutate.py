#!/usr/bin/env python3
"""Damages correct programs by one token each, to measure error recovery: one mistake should give one report.

  mutate.py [--all] [--per N]    writes damaged programs to stdout, each as "KIND FILE LINE BYTES\\n" + text + "\\n"

Deterministic: the same programs give the same damages. tests/unit/test_parse.c reads the sample; for the whole table run
  mutate.py --all | test_parse --measure
"""
import glob
import os
import random
import re
import sys

TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\\n])*"|[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?|[<>!]=|!~|[^\sA-Za-z0-9_]""", re.S)
KINDS = ['delete', 'double', 'paren', 'brace', 'word', 'quote', 'swap']


def damage(kind, text, tokens, i):
    a, b = tokens[i].span()
    word = tokens[i].group()
    if kind == 'delete':
        return text[:a] + text[b:]
    if kind == 'double':
        return text[:b] + ' ' + word + text[b:]
    if kind == 'paren':
        return text[:a] + '( ' + text[a:]
    if kind == 'brace':
        return text[:a] + '} ' + text[a:]
    if kind == 'word':
        return text[:a] + 'zzz ' + text[a:]
    if kind == 'quote':
        return text[:a] + "'" + text[a:]
    if i + 1 >= len(tokens):
        return None
    c, d = tokens[i + 1].span()
    return text[:a] + text[c:d] + text[b:c] + word + text[d:]


def main():
    per = 120 if '--all' in sys.argv else 30
    if '--per' in sys.argv:
        per = int(sys.argv[sys.argv.index('--per') + 1])
    pick = random.Random(1)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'programs')
    out = sys.stdout.buffer
    for path in sorted(glob.glob(os.path.join(folder, '*.hdw'))):
        text = open(path, encoding='utf-8').read()
        tokens = [m for m in TOKEN.finditer(text) if not m.group().startswith(('//', '/*'))]
        for kind in KINDS:
            for i in sorted(pick.sample(range(2, len(tokens)), min(per, len(tokens) - 2))):
                damaged = damage(kind, text, tokens, i)
                if damaged is None or damaged == text:
                    continue
                line = text.count('\n', 0, tokens[i].start()) + 1
                data = damaged.encode()
                out.write(f'{kind} {os.path.basename(path)} {line} {len(data)}\n'.encode() + data + b'\n')


main()
