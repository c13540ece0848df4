#!/usr/bin/env python3
"""Turns the FHIR R4 text tables of this folder into C tables for stdlib/fhir_model.c. Run by the build: fhir_c.py OUT.inc"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import ctable  # noqa: E402

KIND = {'primitive': 1, 'complex': 2, 'resource': 3, 'backbone': 4}
SYSTEM = {'': 0, 'Boolean': 1, 'String': 2, 'Integer': 3, 'Decimal': 4, 'Date': 5, 'DateTime': 6, 'Time': 7}
# fhir_format of stdlib/fhir.h
FORMAT = {n: i + 1 for i, n in enumerate('boolean integer unsignedInt positiveInt decimal string code id uri oid uuid date dateTime instant time base64Binary xhtml'.split())}
FORMAT |= {'markdown': FORMAT['string'], 'url': FORMAT['uri'], 'canonical': FORMAT['uri']}
SEARCH = {'number': 1, 'date': 2, 'string': 3, 'token': 4, 'reference': 5, 'composite': 6, 'quantity': 7, 'uri': 8, 'special': 9}
ABSTRACT, CHOICE, FLAGS = 1, 1, {'M': 2, 'S': 4, 'E': 8, 'P': 16}


def rows(name, columns):
    with open(os.path.join(HERE, name), encoding='utf-8') as f:
        return [(x.rstrip('\n').split('\t') + [''] * columns)[:columns] for x in f if not x.startswith('#')]


def key_hash(s):
    """val_key_hash of vm/value.h."""
    u = s.encode()
    return (len(u) * 2557 + u[0] * 31 + u[-1] * 769 + u[len(u) // 2] * 97) & 0xffff


SLOTS, NAMES = 1 << 14, 1 << 11  # sizes of the hash tables, at most 3/4 full


def slot_of(type_id, h, size):
    """slot_of of stdlib/fhir_model.c."""
    return ((type_id * 40503 ^ h * 34283) ^ h >> 5) & (size - 1)


def hashed(entries, size, empty):
    """Open addressing: entries are (where, row)."""
    table, n = [empty] * size, 0
    for at, row in entries:
        while table[at] != empty:
            at = (at + 1) % size
        table[at] = row
        n += 1
    assert n < size * 3 // 4, (n, size)
    return table


class Lists:
    """Lists of ids laid end to end; equal lists are stored once."""

    def __init__(self):
        self.all, self.at = [0], {(): 0}

    def add(self, ids):
        ids = tuple(ids)
        if ids not in self.at:
            self.at[ids] = len(self.all)
            self.all += ids
        return self.at[ids], len(ids)


LEVEL = {'S': 1, 'T': 2, 'I': 4, 'W': 8}
OUT, PART = 1, 2


def operation_rows(pool, ids):
    """Operations by resource and name, each with its parameters laid end to end."""
    ops, params = [], []
    for resource, name, levels, use, param, lo, hi, kind in rows('operations.tsv', 8):
        key = (pool.add(name), ids[resource])
        if not ops or ops[-1][:2] != key:
            ops.append((*key, len(params), 0, sum(LEVEL[c] for c in levels)))
        if use:
            params.append((pool.add(param), ids[kind] if kind else 0, int(lo), 0 if hi == '*' else int(hi), (OUT if use == 'out' else 0) | (PART if '.' in param else 0)))
            ops[-1] = (*ops[-1][:3], ops[-1][3] + 1, ops[-1][4])
    return ops, params


def code_rows(pool):
    """Sets in order of their urls; of each the codes in order, beside each the row of its system, twice, and 1 when the set has all of the system."""
    sets, systems = {}, ['']
    for url, system, how, text in rows('codes.tsv', 4):
        if system not in systems:
            systems.append(system)
        sets.setdefault(url, []).extend((c.encode(), 2 * systems.index(system) + (how == 'all')) for c in text.split(' '))
    set_rows, codes = [(0, 0, 0)], []
    for url in sets:
        set_rows.append((pool.add(url), len(codes), len(sets[url])))
        codes += [(pool.add(c.decode()), s) for c, s in sorted(sets[url])]
    return set_rows, codes, [pool.add(s) for s in systems], {u: i + 1 for i, u in enumerate(sets)}


def main():
    pool, lists, out = ctable.Pool('fhir_pool'), Lists(), ['/* Generated from grammar/data/fhir-r4: do not edit. */\n']
    types = sorted(rows('types.tsv', 5), key=lambda t: t[0].encode())
    ids = {t[0]: i + 1 for i, t in enumerate(types)}
    set_rows, codes, systems, set_id = code_rows(pool)
    by_type, searches, element_names = {}, {}, {}
    for owner, name, lo, hi, kinds, flags, code_set in rows('elements.tsv', 7):
        choice = name.endswith('[x]')
        name = name[:-3] if choice else name
        names, targets = [], []
        for k in kinds.split(' '):
            m = re.fullmatch(r'@?([A-Za-z0-9.]+)(?:\((.*)\))?', k)
            names.append(ids[m[1]])
            targets += [ids[t] for t in (m[2] or '').split('|') if t in ids and ids[t] not in targets]
        assert choice or len(names) == 1 or len(set(names)) == 1, (owner, name)
        bits = sum(b for f, b in FLAGS.items() if f in flags) | (CHOICE if choice else 0)
        names = list(dict.fromkeys(names))
        by_type.setdefault(owner, []).append((pool.add(name), key_hash(name), *lists.add(names), *lists.add(targets), set_id.get(code_set, 0),
                                              int(lo), 0 if hi == '*' else int(hi), bits, ids[owner]))
        element_names.setdefault(owner, []).append((name, names if choice else [], names[0]))
    for base, name, kind, targets, expression in rows('search.tsv', 5):
        searches.setdefault(base, []).append((name, SEARCH[kind], *lists.add(ids[t] for t in targets.split()), pool.add(expression)))
    type_rows, element_rows, search_rows = [(0,) * 10], [], []
    for name, kind, base, abstract, system in types:
        els = by_type.pop(name, [])
        sps = sorted(searches.pop(name, []), key=lambda s: s[0].encode())
        type_rows.append((pool.add(name), ids.get(base, 0), len(element_rows), len(els), len(search_rows), len(sps), KIND[kind],
                          ABSTRACT if abstract else 0, SYSTEM[system], FORMAT[name] if kind == 'primitive' else 0))
        element_rows += els
        search_rows += [(pool.add(s[0]), *s[1:]) for s in sps]
    assert not by_type and not searches, (by_type, searches)
    slots = []
    base_of, first_of = {t[0]: t[2] for t in types}, {t[0]: type_rows[ids[t[0]]][2] for t in types}
    for name, *_ in types:
        seen, owner = set(), name
        while owner:
            for k, (element, choices, plain) in enumerate(element_names.get(owner, [])):
                members = [(element, 0)] + [(element + types[c - 1][0][0].upper() + types[c - 1][0][1:], c) for c in choices]
                for member, c in members:
                    if member not in seen:
                        seen.add(member)
                        t = types[(c or choices[0] if choices else plain) - 1]
                        slots.append((slot_of(ids[name], key_hash(member), SLOTS),
                                      (pool.add(member), ids[name], first_of[owner] + k + 1, ids[t[0]], KIND[t[1]], SYSTEM[t[4]],
                                       (1 if c else 0) | (2 if choices and not c else 0) | (4 if t[1] == 'resource' and t[3] else 0), len(member))))
            owner = base_of[owner]
    ops, params = operation_rows(pool, ids)
    pool.emit(out)
    ctable.array(out, 'fhir_type_row', 'fhir_types', type_rows)
    ctable.array(out, 'fhir_element_row', 'fhir_elements', element_rows)
    ctable.array(out, 'fhir_search_row', 'fhir_searches', search_rows)
    ctable.array(out, 'fhir_set_row', 'fhir_sets', set_rows)
    ctable.array(out, 'fhir_code_row', 'fhir_codes', codes)
    ctable.array(out, 'uint32_t', 'fhir_systems', systems)
    ctable.array(out, 'uint16_t', 'fhir_lists', lists.all)
    ctable.array(out, 'fhir_member', 'fhir_members', hashed(slots, SLOTS, (0,) * 8))
    ctable.array(out, 'uint16_t', 'fhir_names', hashed([(slot_of(0, key_hash(t[0]), NAMES), ids[t[0]]) for t in types], NAMES, 0))
    ctable.array(out, 'fhir_operation_row', 'fhir_operations', ops)
    ctable.array(out, 'fhir_parameter_row', 'fhir_parameters', params)
    ctable.write(sys.argv[1], out)


main()
