#!/usr/bin/env python3
"""Turns the HL7 v2 text tables of this folder into C tables for stdlib/dict.c. Run by the build: dict_c.py DICT.inc HL7.inc

DICT.inc has the whole dictionary for stdlib/dict.c; HL7.inc the message structures once more as the linked trees that stdlib/hl7.h wants."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import ctable  # noqa: E402

VERSIONS = ['2.1', '2.2', '2.3', '2.3.1', '2.4', '2.5', '2.5.1', '2.6', '2.7', '2.7.1', '2.8']
VERSION = {v: i for i, v in enumerate(VERSIONS)}
KINDS = {'COMPOSITE': 0, 'STRING': 1, 'DECIMAL': 2, 'INTEGER': 3, 'DATE': 4, 'TIME': 5, 'DATETIME': 6, 'VARIES': 7}
KIND_OF = {'ST': 'STRING', 'ID': 'STRING', 'IS': 'STRING', 'TX': 'STRING', 'FT': 'STRING', 'TN': 'STRING', 'GTS': 'STRING', 'NM': 'DECIMAL',
           'SI': 'INTEGER', 'DT': 'DATE', 'TM': 'TIME', 'DTM': 'DATETIME', 'TS': 'DATETIME', 'VARIES': 'VARIES'}


def lines(name):
    with open(os.path.join(HERE, name), encoding='utf-8') as f:
        return [x.rstrip('\n') for x in f if not x.startswith('#') and x.strip()]


def read_positions(name):
    """-> {name: (title, since, until, {pos: row})}, row = the columns from 'name' on."""
    out = {}
    for x in lines(name):
        c = x.split('\t')
        if c[1] == '0':
            out[c[0]] = (c[2], VERSION[c[10]], VERSION[c[11]], {})
        else:
            out[c[0]][3][int(c[1])] = c[2:]
    return out


class Gen:
    def __init__(self):
        self.pool = ctable.Pool('dict_pool')
        self.segs, self.types = read_positions('segments.tsv'), read_positions('datatypes.tsv')
        self.type_id = {t: i for i, t in enumerate(sorted(self.types))}
        self.seg_id = {s: i for i, s in enumerate(sorted(self.segs))}
        self.rows, self.aliases, self.older = [], [], []
        self.out = ['/* Generated from grammar/data/hl7v2: do not edit. */\n']

    def positions(self, things):
        """Owner table: (name, title, first row, positions, first alias, aliases, kind, since, until)."""
        owners = []
        for name in sorted(things):
            title, since, until, pos = things[name]
            first, first_alias, names = len(self.rows), len(self.aliases), {}
            for n in range(1, max(pos, default=0) + 1):
                if n not in pos:
                    self.rows.append((0, 0, 0, 0, 0, 0, 0, 0))
                    continue
                fname, alias, old, typ, older, most, opt, table, lo, hi = pos[n]
                for t in older.split():
                    t, span = t.split(':')
                    a, b = span.split('-')
                    self.older.append((len(self.rows), self.type_id[t], VERSION[a], VERSION[b]))
                self.rows.append((self.pool.add(fname), self.pool.add(alias), self.type_id[typ], int(table or '0'), 0 if most == '*' else int(most),
                                  ord(opt), VERSION[lo], VERSION[hi]))
                for a in [alias] + old.split():
                    assert a not in names, (name, a)
                    names[a] = n
            for a in sorted(names, key=lambda s: s.encode()):
                self.aliases.append((self.pool.add(a), names[a]))
            kind = KINDS[KIND_OF.get(name, 'COMPOSITE')]
            owners.append((self.pool.add(name), self.pool.add(title), first, max(pos, default=0), first_alias, len(self.aliases) - first_alias,
                           kind, since, until))
        return owners

    def structures(self):
        """Nodes in one array; equal lists of children are stored once."""
        nodes, lists, names, structs = [], {}, {}, []

        def place(kids):
            key = tuple((n, lo, hi, fl, place(sub), len(sub)) for n, lo, hi, fl, sub in kids)
            if not key:
                return 0
            if key not in lists:
                lists[key] = len(nodes)
                for n, lo, hi, fl, at, count in key:
                    name = names.setdefault(n, len(names))
                    nodes.append((name, -1 if fl & 1 else self.seg_id.get(n, -1), at, count, lo, hi, fl))
            return lists[key]

        stack = []
        mark = {'': (1, 1), '?': (0, 1), '*': (0, 0), '+': (1, 0)}
        trees = []
        for x in lines('structures.txt'):
            if x[0] != ' ':
                sid, a, b, title = (x + ' ').split(' ', 3)
                stack = [[]]
                trees.append((sid, title.strip(), VERSION[a], VERSION[b], stack[0]))
            elif x.strip() == '}':
                stack.pop()
            else:
                m = re.fullmatch(r'(\|?)([A-Z][A-Z0-9_]*)(\?|\*|\+|\{(\d+),(\d+)\}|)( \{)?', x.strip())
                lo, hi = mark[m[3]] if m[3] in mark else (int(m[4]), int(m[5]))
                kids = []
                stack[-1].append((m[2], lo, hi, (1 if m[6] else 0) | (2 if m[1] else 0), kids))
                if m[6]:
                    stack.append(kids)
        for sid, title, a, b, kids in sorted(trees, key=lambda t: t[0].encode()):
            structs.append((self.pool.add(sid), self.pool.add(title), place(kids), len(kids), a, b))
        self.struct_id = {t[0]: i for i, t in enumerate(sorted(trees, key=lambda t: t[0].encode()))}
        assert len(nodes) < 65536
        self.node_ids = names
        return structs, nodes, [self.pool.add(n) for n in names]

    def linked(self, path, structs, nodes):
        """The trees as hl7_struct_node: roots in the order of dict_structs."""
        name = {i: n for n, i in self.node_ids.items()}
        row = lambda n, group, repeats, required, count, at: (
            f'"{n}"', group, repeats, required, count, f'hl7_nodes+{at}' if count else 'NULL')
        out = ['/* Generated from grammar/data/hl7v2: do not edit. */\n', f'static const hl7_struct_node hl7_nodes[{len(nodes)}];\n']
        ctable.array(out, 'hl7_struct_node', 'hl7_nodes',
                     [row(name[n], fl & 1, int(hi != 1), int(lo > 0), count, at) for n, _, at, count, lo, hi, fl in nodes])
        ctable.array(out, 'hl7_struct_node', 'hl7_roots',
                     [row(s, 1, 0, 1, n, at) for s, (_, _, at, n, _, _) in zip(sorted(self.struct_id, key=self.struct_id.get), structs)])
        ctable.write(path, out)

    def run(self, path, linked_path):
        segs = self.positions(self.segs)
        types = self.positions(self.types)
        structs, nodes, node_names = self.structures()
        events = sorted((x.split() for x in lines('events.txt')), key=lambda e: e[0].encode())
        tables, codes = [], []
        for x in lines('tables.tsv'):
            t, code, text = x.split('\t')
            if code == '':
                tables.append([int(t), self.pool.add(text), []])
            else:
                tables[-1][2].append((code, text))
        rows = []
        for t, title, cs in sorted(tables):
            rows.append((t, len(codes), len(cs), title))
            codes += [(self.pool.add(c), self.pool.add(x)) for c, x in sorted(cs, key=lambda c: c[0].encode())]
        ev = [(self.pool.add(a), self.struct_id[b]) for a, b in events]
        messages = [self.pool.add(a.replace('^', '_')) for a, _ in events if '^' in a]
        o = self.out
        self.pool.emit(o)  # every string is in by now
        ctable.array(o, 'dict_owner', 'dict_segments', segs)
        ctable.array(o, 'dict_owner', 'dict_types', types)
        ctable.array(o, 'dict_row', 'dict_rows', self.rows)
        ctable.array(o, 'dict_alias', 'dict_aliases', self.aliases)
        ctable.array(o, 'dict_older', 'dict_olders', self.older)
        ctable.array(o, 'dict_struct', 'dict_structs', structs)
        ctable.array(o, 'dict_node', 'dict_nodes', nodes)
        ctable.array(o, 'uint32_t', 'dict_node_names', node_names)
        ctable.array(o, 'dict_ev', 'dict_events', ev)
        ctable.array(o, 'uint32_t', 'dict_msgs', messages)
        ctable.array(o, 'dict_tab', 'dict_tabs', rows)
        ctable.array(o, 'dict_code', 'dict_codes', codes)
        ctable.write(path, o)
        self.linked(linked_path, structs, nodes)


Gen().run(sys.argv[1], sys.argv[2])
