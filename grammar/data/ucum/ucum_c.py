#!/usr/bin/env python3
"""Turns units.tsv into C tables for vm/unit.c. Run by the build: ucum_c.py OUT.inc"""
import os
import re
import sys
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import ctable  # noqa: E402

PREFIX = {'Y': 24, 'Z': 21, 'E': 18, 'P': 15, 'T': 12, 'G': 9, 'M': 6, 'k': 3, 'h': 2, 'da': 1, 'd': -1, 'c': -2, 'm': -3, 'u': -6, 'n': -9, 'p': -12, 'f': -15,
          'a': -18, 'z': -21, 'y': -24}
BASES = ['m', 's', 'g', 'rad', 'K', 'C', 'cd', 'mol']
METRIC, OFFSET = 1, 2


class Unit:
    def __init__(self, factor, dims, flags=0, offset=Fraction(0), arb=0):
        self.factor, self.dims, self.flags, self.offset, self.arb = factor, dims, flags, offset, arb


def load():
    rows = [x.rstrip('\n').split('\t') + [''] * 4 for x in open(os.path.join(HERE, 'units.tsv'), encoding='utf-8') if not x.startswith('#') and x.strip()]
    return {r[0]: r[1:4] for r in rows}


class Table:
    def __init__(self):
        self.rows, self.done, self.narb = load(), {}, 0

    def get(self, code):
        if code in self.done:
            return self.done[code]
        kind, value, unit = self.rows[code]
        if kind == 'b':
            u = Unit(Fraction(1), [int(b == code) for b in BASES], METRIC)
        elif kind[0] == 'a':
            if unit:
                arb = self.get(unit).arb
            else:
                self.narb += 1
                arb = self.narb
            u = Unit(Fraction(1), [0] * len(BASES), METRIC if kind == 'am' else 0, arb=arb)
        else:
            f, dims = self.term(unit)
            if kind == 'o':
                u = Unit(f, dims, OFFSET | METRIC, Fraction(value))
            else:
                u = Unit(Fraction(value) * f, dims, METRIC if kind == 'm' else 0)
        self.done[code] = u
        return u

    def atom(self, s):
        if s in self.rows:
            u = self.get(s)
            return u.factor, u.dims
        for n in (2, 1):
            if s[:n] in PREFIX and s[n:] in self.rows and self.get(s[n:]).flags & METRIC:
                u = self.get(s[n:])
                return u.factor * Fraction(10) ** PREFIX[s[:n]], u.dims
        raise KeyError(s)

    def term(self, s):
        f, dims, sign = Fraction(1), [0] * len(BASES), 1
        for op, part in re.findall(r'([./]?)([^./]+(?:(?<=\d)\.\d+)?)', s):
            sign = -1 if op == '/' else 1
            if re.fullmatch(r'[0-9.]+', part):
                f *= Fraction(part) ** sign
                continue
            m = re.fullmatch(r"((?:[A-Za-z_%'*^]|\[[^\]]*\])+)(-?[0-9]+)?", part)
            uf, ud = self.atom(m[1])
            e = sign * int(m[2] or 1)
            f *= uf ** e
            dims = [a + b * e for a, b in zip(dims, ud)]
        return f, dims


def split(f):
    """num * 10^exp / den with a den that 2 and 5 do not divide, num without trailing zeros."""
    num, den, exp = f.numerator, f.denominator, 0
    while den % 2 == 0 or den % 5 == 0:
        k = 10
        if den % 10:
            k = 2 if den % 2 == 0 else 5
        num, den, exp = num * (10 // k), den // k, exp - 1
    while num % 10 == 0:
        num, exp = num // 10, exp + 1
    return num, den, exp


def main():
    t, pool, out = Table(), ctable.Pool('unit_pool'), ['/* Generated from grammar/data/ucum: do not edit. */\n']
    rows = []
    for code in sorted(t.rows, key=lambda c: c.encode()):
        u = t.get(code)
        num, den, exp = split(u.factor)
        onum, oden, oexp = split(u.offset) if u.offset else (0, 1, 0)
        if num >= 10 ** 25 or den >= 2 ** 62:  # made of pi: rounded to 20 digits
            e = len(str(u.factor.numerator)) - len(str(u.factor.denominator)) - 20
            num, den, exp = split(Fraction(round(u.factor / Fraction(10) ** e)) * Fraction(10) ** e)
        assert den < 2 ** 62 and oden == 1 and oexp <= 0, (code, num, den)
        rows.append((pool.add(code), u.flags, u.arb, exp, onum, -oexp, f'{num >> 64}ull', f'{num & (2 ** 64 - 1)}ull', den, '{' + ','.join(map(str, u.dims)) + '}'))
    pool.emit(out)
    ctable.array(out, 'unit_row', 'unit_rows', rows)
    ctable.write(sys.argv[1], out)


if __name__ == '__main__':
    main()
