#!/usr/bin/env python3
"""Merges two HL7 v2 dictionaries (see SOURCES.md) into the text tables of this folder. Run by hand; its output is committed.

    make_dict.py FOLDER     FOLDER holds fernandojsg/<version>/*.json, fernandojsg/tables.json, panates/<version>.json

Rules of the merge: the canonical name, type, table and cardinality of a position are those of the latest version that has it; the names of older versions
become aliases of the same position unless a name already belongs to another position of the same segment or type (canonical names
first, then younger before older). A message structure has the form of the latest version that defines it.
"""
import json
import os
import re
import sys

VERSIONS = ['2.1', '2.2', '2.3', '2.3.1', '2.4', '2.5', '2.5.1', '2.6', '2.7', '2.7.1', '2.8']
PRIMITIVE = {'ST', 'ID', 'IS', 'TX', 'FT', 'TN', 'NM', 'SI', 'DT', 'TM', 'DTM', 'TS', 'GTS'}
# Names that the sources misspell (a digit 0 for the letter O, letters swapped).
MESSAGE_TYPOS = {'OMG_019': 'OMG_O19', 'OML_021': 'OML_O21', 'OML_033': 'OML_O33', 'OML_035': 'OML_O35', 'ORB_028': 'ORB_O28',
                 'QRV_Q17': 'QVR_Q17'}
# Structures of events that table 0354 of the source leaves out, from the chapters' own event lists.
EVENT_STRUCTURE = {'ORU^R31': 'ORU_R30', 'ORU^R32': 'ORU_R30', 'SIU^S27': 'SIU_S12', 'PPP^PCC': 'PPP_PCB', 'RSP^K24': 'RSP_K23',
                   'LSR^U13': 'LSU_U12', 'TCR^U11': 'TCU_U10', 'QSX^J02': 'QCN_J01', 'PIN^I07': 'RQI_I01'}
EVENT_STRUCTURE.update({'MFK^M%02d' % i: 'MFK_M01' for i in range(1, 18)})


def squeeze(s):
    return re.sub(r'\s+', ' ', s or '').strip()


def camel(name):
    """The standard's name as an identifier: 'Date/Time of Birth' -> dateTimeOfBirth."""
    s = re.sub(r'\(e\.g\.[^)]*\)', ' ', name).replace('(s)', 's')
    s = re.sub(r'(?<=[a-z]) s(?= |$)', 's', s).replace("'", '')  # 2.3.1 of the source lost its apostrophes
    s = re.sub(r'%', ' Percent ', s)
    words = [w.lower() for w in re.findall(r'[A-Za-z0-9]+', s)]
    if not words:
        return ''
    out = words[0] + ''.join(w[0].upper() + w[1:] for w in words[1:])
    return 'n' + out if out[0].isdigit() else out


def short_camel(name):
    """The same without what stands in brackets."""
    return camel(re.sub(r'\([^)]*\)', ' ', name.replace('(s)', 's')))


class Position:
    """One field or component through the versions."""

    def __init__(self):
        self.by = {}  # version index -> source record

    def add(self, v, rec):
        self.by[v] = rec

    @property
    def last(self):
        return self.by[max(self.by)]


def record(desc, typ, opt, rep, table):
    return {'name': re.sub(r'(?<=[a-z]) s(?= |$)', "'s", squeeze(desc)), 'type': typ, 'opt': opt, 'max': rep, 'table': table or 0}


def from_fernando(f):
    return record(f['desc'], f['datatype'], {1: 'O', 2: 'R', 3: 'C', 4: 'B'}.get(f['opt'], 'O'), f['rep'], f.get('table'))


def from_panates(f):
    return record(f['desc'], f['type'], f['opt'], 0 if f['rep'] == 'infinite' else f['rep'], f.get('table'))


def load(root):
    read = lambda *p: json.load(open(os.path.join(root, *p), encoding='utf-8'))
    data = []
    for v in VERSIONS:
        pan = read('panates', v + '.json')
        fer = {k: read('fernandojsg', v, k + '.json') for k in ('segments', 'fields', 'messages')} if v != '2.8' else None
        data.append((pan, fer))
    return data, read('fernandojsg', 'tables.json')


def collect(data, kind, fkind, fkey):
    """name -> (title, {pos: Position}, versions). panates repeats names that a version no longer has; only what fernandojsg lists counts there."""
    out = {}
    for vi, (pan, fer) in enumerate(data):
        listed = set(fer[fkind]) if fer else set(data[vi - 1][1][fkind])
        for name, d in pan[kind].items():
            if kind == 'segments' and len(name) != 3:
                continue
            known = name in listed or not any(name in x[1][fkind] for x in data if x[1])
            if not known:
                continue
            e = out.setdefault(name, {'title': '', 'pos': {}, 'versions': []})
            e['title'] = squeeze(d.get('desc')) or e['title']
            e['versions'].append(vi)
            if fer and name in fer[fkind]:
                fields = {i: from_fernando(f) for i, f in enumerate(fer[fkind][name].get(fkey) or [], 1)}
            else:
                fields = {int(n): from_panates(f) for n, f in (d.get('fields') or {}).items()}
            for n, r in fields.items():
                p = e['pos'].setdefault(n, Position())
                # from 2.7 on the sources write ST where the standard says Varies (OBX-5, QPD-3, MFE-4 ...)
                if r['type'] == 'ST' and p.by and p.last['type'] == 'VARIES':
                    r['type'] = 'VARIES'
                p.add(vi, r)
    return out


def name_positions(e, where, notes):
    """Gives each position its alias and its old aliases; unique within the segment or type."""
    taken = {}
    for n in sorted(e['pos']):
        p = e['pos'][n]
        p.name = p.last['name']
        a = camel(p.name)
        if a in taken or not a:
            notes.append(f'{where}-{n}: alias {a!r} of {p.name!r} belongs to {taken.get(a)}')
            a = f'{a or "field"}{n}'
        p.alias = a
        p.old = []
        taken[a] = n
    offers = []
    for n in sorted(e['pos']):
        p = e['pos'][n]
        offers.append((99, n, short_camel(p.name)))
        for v, r in p.by.items():
            offers.append((v, n, camel(r['name'])))
            offers.append((v - 0.5, n, short_camel(r['name'])))
    for _, n, a in sorted(offers, key=lambda o: (-o[0], o[1])):
        if a and a not in taken:
            taken[a] = n
            e['pos'][n].old.append(a)


def older_types(p):
    """'CE:2.2-2.6 ID:2.1' when an older version had another type."""
    runs = []
    for v in sorted(p.by):
        t = p.by[v]['type']
        if runs and runs[-1][0] == t:
            runs[-1][2] = v
        else:
            runs.append([t, v, v])
    return ' '.join(f'{t}:{VERSIONS[a]}-{VERSIONS[b]}' for t, a, b in runs if t != p.last['type'])


def write_positions(path, things, notes, head):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(head)
        for name in sorted(things):
            e = things[name]
            name_positions(e, name, notes)
            vs = e['versions']
            f.write(f'{name}\t0\t{e["title"]}\t\t\t\t\t\t\t\t{VERSIONS[vs[0]]}\t{VERSIONS[vs[-1]]}\n')
            for n in sorted(e['pos']):
                p, r = e['pos'][n], e['pos'][n].last
                f.write('\t'.join([name, str(n), p.name, p.alias, ' '.join(p.old), r['type'], older_types(p), str(r['max'] or '*'), r['opt'],
                                   '%04d' % r['table'] if r['table'] else '', VERSIONS[min(p.by)], VERSIONS[max(p.by)]]) + '\n')


def tree(n, segments):
    """Source node -> list of (name, min, max, choice, children): a choice dissolves into its members."""
    if 'compounds' in n:
        names = [c['name'] for c in n['compounds']]
        if None in names:  # CCM_I21 lost the four names that its neighbours CCI_I22 and CCU_I20 have
            names = ['AIS', 'AIG', 'AIL', 'AIP']
        return [(name, 0, c['max'], True, []) for name, c in zip(names, n['compounds'])]
    kids = [k for c in n.get('children', []) for k in tree(c, segments)]
    name = re.sub(r'[^A-Z0-9]+', '_', n['name'].upper()).strip('_')
    if not kids and name not in segments and name != 'HXX':
        return []
    return [(name, n['min'], n['max'], False, kids)]


def structures(data, segments, notes):
    msgs = {}
    for vi, (pan, fer) in enumerate(data):
        src = fer or data[vi - 1][1]
        for key, m in src['messages'].items():
            key = MESSAGE_TYPOS.get(key, key)
            kids = [k for c in m['segments']['segments'] for k in tree(c, segments)]
            if kids:
                old = msgs.get(key)
                msgs[key] = {'title': squeeze(m['desc']), 'tree': kids, 'since': old['since'] if old else vi, 'until': vi}
    return msgs


def events(msgs, table354, notes):
    """'ADT^A04' -> 'ADT_A01'."""
    ev = {}
    for s, text in table354.items():
        if s in msgs:
            for e in re.findall(r'[A-Z0-9]{3}', text):
                if s != 'ACK':
                    ev.setdefault(s.split('_')[0] + '^' + e, s)
    ev['RPI^I04'] = 'RPI_I04'
    ev.update({k: v for k, v in EVENT_STRUCTURE.items() if v in msgs})
    for key in sorted(msgs):
        code = key.replace('_', '^')
        if '_' not in key or code in ev:
            continue
        same = [s for s in set(ev.values()) if s.split('_')[0] == key.split('_')[0] and msgs[s]['tree'] == msgs[key]['tree']]
        ev[code] = min(same) if same else key
    ev.pop('PPG^PCC', None)
    ev['ACK'] = 'ACK'
    ev['ORU'] = 'ORU_R01'
    return ev


def put_tree(f, kids, depth):
    for name, lo, hi, choice, sub in kids:
        mark = {(1, 1): '', (0, 1): '?', (0, 0): '*', (1, 0): '+'}.get((lo, hi), '{%d,%d}' % (lo, hi))
        f.write('  ' * depth + ('|' if choice else '') + name + mark + (' {' if sub else '') + '\n')
        if sub:
            put_tree(f, sub, depth + 1)
            f.write('  ' * depth + '}\n')


def main():
    root, out = sys.argv[1], os.path.dirname(os.path.abspath(__file__))
    data, tables = load(root)
    notes = []
    segments = collect(data, 'segments', 'segments', 'fields')
    types = collect(data, 'types', 'fields', 'subfields')
    head = '# {0}\tposition\tname\talias\tolder aliases\ttype\tolder types\tmax\topt\ttable\tsince\tuntil   (position 0: the {0} itself)\n'
    write_positions(os.path.join(out, 'segments.tsv'), segments, notes, head.format('segment'))
    write_positions(os.path.join(out, 'datatypes.tsv'), types, notes, head.format('type'))
    msgs = structures(data, segments, notes)
    ev = events(msgs, tables['354']['values'], notes)
    with open(os.path.join(out, 'structures.txt'), 'w', encoding='utf-8') as f:
        f.write('# ID since until title, then its segments and groups { }: none = exactly one, ? at most one, * any, + one or more, | one of a choice\n')
        for s in sorted(set(ev.values())):
            m = msgs[s]
            f.write(f'{s} {VERSIONS[m["since"]]} {VERSIONS[m["until"]]} {m["title"]}\n')
            put_tree(f, m['tree'], 1)
    with open(os.path.join(out, 'events.txt'), 'w', encoding='utf-8') as f:
        f.write('# code^event structure\n')
        for k in sorted(ev):
            f.write(f'{k} {ev[k]}\n')
    with open(os.path.join(out, 'tables.tsv'), 'w', encoding='utf-8') as f:
        f.write('# table\tcode\ttext   (code empty: the name of the table)\n')
        for t in sorted(tables, key=int):
            f.write(f'{int(t):04d}\t\t{squeeze(tables[t]["desc"])}\n')
            for code in sorted(tables[t]['values']):
                if code.strip() and '...' not in code:
                    f.write(f'{int(t):04d}\t{squeeze(code)}\t{squeeze(tables[t]["values"][code])}\n')
    for n in notes:
        print(n)
    print(len(segments), 'segments', len(types), 'types', len(set(ev.values())), 'structures', len(ev), 'events')


main()
