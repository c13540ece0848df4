#!/usr/bin/env python3
"""Makes the text tables of this folder from the FHIR R4 definitions (see SOURCES.md). Run by hand; its output is committed.

    make_fhir.py FOLDER     FOLDER holds Bundle-{types,resources,searchParams,valuesets,valueset-expansions}.json.gz

types.tsv      name, kind, base, abstract, System type of the value of a primitive
elements.tsv   what a type adds to its base: type, element, min, max, types with reference targets, flags, required code set
operations.tsv  resource, operation, where it is called, a row for each parameter
search.tsv     resource, parameter, type, targets, expression relative to that resource
codes.tsv      value sets with at most CODES_MAX codes whose expansion is complete, a row for each code system in them
"""
import gzip
import json
import os
import re
import sys

CODES_MAX = 500
PLAIN_MAX = 60  # of required bindings: whatever the code system
SYSTEM = {'boolean': 'Boolean', 'integer': 'Integer', 'positiveInt': 'Integer', 'unsignedInt': 'Integer', 'decimal': 'Decimal', 'date': 'Date',
          'dateTime': 'DateTime', 'instant': 'DateTime', 'time': 'Time'}
PROFILE = 'http://hl7.org/fhir/StructureDefinition/'
FHIR_TYPE = PROFILE + 'structuredefinition-fhir-type'


def load(root, name):
    with gzip.open(os.path.join(root, f'Bundle-{name}.json.gz')) as f:
        return [e['resource'] for e in json.load(f)['entry']]


def definitions(root):
    out = []
    for r in load(root, 'types') + load(root, 'resources'):
        if r['resourceType'] == 'StructureDefinition' and r['kind'] != 'logical':
            out.append(r)
    return out


def element_type(t, path):
    """Type of an element as text: 'string', 'Reference(Patient|Group)'."""
    code = t['code']
    if code.startswith('http://hl7.org/fhirpath/'):
        code = next(x.get('valueUrl') or x.get('valueUri') for x in t['extension'] if x['url'] == FHIR_TYPE)
    if path == 'Resource.id':
        code = 'id'  # 4.0.1 says string here and id in its schema and its prose
    targets = [u[len(PROFILE):] for u in t.get('targetProfile', []) if u.startswith(PROFILE)]
    return code + (f'({"|".join(targets)})' if targets else '')


def write(name, head, rows):
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, name), 'w', encoding='utf-8') as f:
        f.write('# ' + head + '\n')
        for r in rows:
            f.write('\t'.join(str(c) for c in r).rstrip('\t') + '\n')


def model(defs):
    types, elements, used = [], [], set()
    for d in defs:
        name, constraint = d['name'], d.get('derivation') == 'constraint'
        kind = {'primitive-type': 'primitive', 'complex-type': 'complex', 'resource': 'resource'}[d['kind']]
        base = d.get('baseDefinition', '').split('/')[-1]
        system = SYSTEM.get(name, 'String') if kind == 'primitive' else ''
        types.append((name, kind, base, 'abstract' if d.get('abstract') else '', system))
        if constraint or kind == 'primitive':
            continue
        rows = d['snapshot']['element'][1:]
        inner = {e['path'] for e in rows} & {e['path'].rsplit('.', 1)[0] for e in rows}
        for e in rows:
            path = e['path']
            if e['base']['path'] != path:
                continue
            flags = ('M' if e.get('isModifier') else '') + ('S' if e.get('isSummary') else '')
            b = e.get('binding', {})
            code_set = b.get('valueSet', '').split('|')[0]
            if b.get('strength') == 'required':
                used.add(code_set)
            elif b.get('strength') in ('extensible', 'preferred'):
                flags += b['strength'][0].upper()
            else:
                code_set = ''
            if path in inner:
                types.append((path, 'backbone', e['type'][0]['code'], '', ''))
                kinds = '@' + path
            elif 'contentReference' in e:
                kinds = '@' + e['contentReference'].split('#')[1]
            else:
                kinds = ' '.join(element_type(t, path) for t in e['type'])
            elements.append((*path.rsplit('.', 1), e['min'], e['max'], kinds, flags, code_set))
    return types, elements, used


def expansion_codes(contains, out):
    for c in contains:
        if 'code' in c and not c.get('abstract'):
            out.add((c.get('system', ''), c['code']))
        expansion_codes(c.get('contains', []), out)
    return out


def free(system):
    """Code systems of HL7 and of the internet: what others own stays theirs."""
    return 'hl7.org' in system or system.startswith('urn:') or not system


def code_sets(root):
    """Codes of each complete expansion by their systems; the second: those that may be kept for any binding."""
    sets, open_ = {}, set()
    for v in load(root, 'valueset-expansions') + load(root, 'valuesets'):
        if v['resourceType'] != 'ValueSet' or 'expansion' not in v:
            continue
        x = v['expansion']
        codes = expansion_codes(x.get('contains', []), set())
        if any(re.search(r'\s', c) for _, c in codes) or not 0 < len(codes) <= CODES_MAX or any(e['url'].endswith(('toocostly', 'unclosed')) for e in x.get('extension', [])):
            continue
        sets[v['url']] = codes
        if all(free(s) for s, _ in codes):
            open_.add(v['url'])
    return sets, open_


def concepts(list_, out):
    for c in list_:
        if not any(p.get('code') in ('abstract', 'notSelectable') and p.get('valueBoolean') for p in c.get('property', [])):
            out.add(c['code'])
        concepts(c.get('concept', []), out)
    return out


def systems(root):
    """All codes of the code systems that are defined in full."""
    return {c['url']: concepts(c.get('concept', []), set()) for b in ('valuesets', 'v2-valuesets', 'v3-valuesets') for c in load(root, b)
            if c['resourceType'] == 'CodeSystem' and c.get('content') == 'complete'}


def code_row_list(root, sets, kept):
    out, defined = [], systems(root)
    for u in sorted(kept):
        for s in sorted({t for t, _ in sets[u]}):
            codes = {c for t, c in sets[u] if t == s}
            out.append((u, s, 'all' if s in defined and defined[s] <= codes else 'part', ' '.join(sorted(codes))))
    return out


def part_of(expression, base):
    """The members of a union that begin with the base, relative to it: 'A.x | B.y' of B -> 'y'; the base alone stays."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(expression):
        depth += (c == '(') - (c == ')')
        if c == '|' and depth == 0:
            parts.append(expression[start:i].strip())
            start = i + 1
    parts.append(expression[start:].strip())
    mine = [p for p in parts if re.match(r'\(*' + base + r'\b', p)]
    return re.sub(r'\b' + base + r'\.', '', ' | '.join(mine or parts))


def search(root, resources):
    rows = []
    for p in load(root, 'searchParams'):
        targets = p.get('target', [])
        if len(targets) > len(resources) - 3:
            targets = ['Resource']
        for base in p['base']:
            rows.append((base, p['code'], p['type'], ' '.join(sorted(targets)), part_of(re.sub(r'\s+', ' ', p.get('expression', '')), base)))
    return sorted(rows)


def parameter_rows(head, p, prefix=''):
    kind = 'Resource' if p.get('type') == 'Any' else p.get('type', '')
    if p.get('searchType') == 'reference':
        kind = 'Reference'  # a string that says which resource, or a reference to it
    rows = [(*head, p['use'], prefix + p['name'], p['min'], p['max'], kind)]
    for part in p.get('part', []):
        rows += parameter_rows(head, part | {'use': p['use']}, prefix + p['name'] + '.')
    return rows


def operations(root):
    """Level of an operation: S [base]/$x, T [base]/Patient/$x, I [base]/Patient/1/$x; W when it changes something."""
    rows = []
    for o in load(root, 'resources'):
        if o['resourceType'] != 'OperationDefinition':
            continue
        level = ''.join(c for c, w in zip('STIW', ('system', 'type', 'instance', 'affectsState')) if o.get(w))
        for r in o['resource']:
            head = (r, o['code'], level)
            mine = [x for p in o.get('parameter', []) for x in parameter_rows(head, p)]
            rows += mine or [head]
    return sorted(rows, key=lambda r: r[:2])


def main():
    root = sys.argv[1]
    defs = definitions(root)
    sets, kept = code_sets(root)
    types, elements, required = model(defs)
    kept |= {u for u in required if u in sets and len(sets[u]) <= PLAIN_MAX}
    elements = [e if e[6] in kept else (*e[:5], e[5].rstrip('EP'), '') for e in elements]
    resources = [t[0] for t in types if t[1] == 'resource']
    rows = search(root, resources)
    write('types.tsv', 'name\tkind\tbase\tabstract\tSystem type', types)
    write('elements.tsv', 'type\telement\tmin\tmax\ttypes (@ a structure defined here)\tflags: M modifier, S summary, E extensible, P preferred\tcode set, required unless E or P', elements)
    write('search.tsv', 'resource\tparameter\ttype\ttargets\texpression', rows)
    write('codes.tsv', 'value set\tsystem\tof its codes\tcodes', code_row_list(root, sets, kept))
    calls = operations(root)
    write('operations.tsv', 'resource\toperation\tlevels: S system, T type, I instance, W it changes something\tuse\tparameter\tmin\tmax\ttype, none with parts', calls)
    print(len(types), 'types', len(elements), 'elements', len(rows), 'search parameters', len(kept), 'code sets', len({c[:2] for c in calls}), 'operations')


main()
