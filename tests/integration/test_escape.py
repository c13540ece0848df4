#!/usr/bin/env python3
"""Data that tries to become structure: each value of VALUES arrives in a message, goes through a template into a path, a query, a header, a body, a file name and a field of another message,
and what comes out at the other side has the shape that the program wrote. Nothing may arrive anywhere else, nor outside of the sink's folder."""
import json
import os
import sys
import urllib.parse

import rig

PROGRAM = """hdw 1
listener adt = mllp(port: 2575)
connection crm = rest()
connection ward = mllp()
connection out = folder()
workflow w
  on msg = adt.message(types: ['ADT^A01'])
{
  let v = msg.PID-5.1.first()
  step a = crm.get("/p/{v}") on error use { x: 'refused' }
  step b = crm.get("/q?id={v}&z=1") on error use { x: 'refused' }
  step c = crm.get("/h", headers: { 'X-Id': v }) on error use { x: 'refused' }
  step d = crm.post("/b", body: { v: v }) on error use { x: 'refused' }
  step e = out.write("f-{v}.txt", 'content') on error use { x: 'refused' }
  step f = ward.message(ADT_A01(MSH-9: msg.MSH-9, MSH-10: msg.MSH-10, PID-3.1: 'x', PID-5.1: v, PID-8: 'F')) on error use { x: 'refused' }
}
"""
# As they stand in the value itself; HL7's escapes are made by escaped().
VALUES = ['plain', '../../etc/passwd', '..', '/etc/passwd', '//evil.example/x', 'https://evil.example/', '\\\\evil\\x', '@evil.example', 'a?admin=1', 'a#fragment', 'a&admin=1', 'a;b=c', 'a%2e%2e%2fb', '%00', '%0d%0a',
          'a\r\nX-Evil: 1', 'a\nZZZ|1', 'a\rZZZ|1|2', 'a|b^c&d~e\\f', '\x0bMSH|^~\\&|', '\x1c\r', 'a b', "'; drop table x; --", '{"x":1}', '","x":"', '<script>', '${HOME}', '`id`', '$(id)', 'é漢\u202e\u2028', 'a' * 3000, '{v}', '\\X0D\\',
          '.', '...', '~root', 'CON', '-rf', 'a/../../b', '\t', '\x7f', ' lead', 'trail ', '‥／‥']
ESCAPES = {'|': '\\F\\', '^': '\\S\\', '&': '\\T\\', '~': '\\R\\', '\\': '\\E\\'}


def escaped(v):
    out = ''
    for c in v:
        out += ESCAPES.get(c) or (f'\\X{ord(c):02X}\\' if ord(c) < 32 or ord(c) == 127 else c)
    return out


def unescaped(field):
    for c, e in ESCAPES.items():
        if c != '\\':
            field = field.replace(e, c)
    return field.replace('\\E\\', '\\')


class Look:
    def __init__(self):
        self.bad = []

    def that(self, holds, value, what):
        if not holds:
            self.bad.append(f'{value[:40]!r}: {what}')


def look_at_requests(look, value, requests):
    for r in requests:
        path, _, query = r['path'].partition('?')
        parts = path.split('/')
        look.that(path in ('/q', '/h', '/b') or (len(parts) == 3 and parts[1] == 'p' and parts[2] not in ('', '.', '..')), value, f'path {r["path"]!r}')
        if path.startswith('/p/'):
            look.that(urllib.parse.unquote(parts[2]) == value and not query, value, f'path {r["path"]!r}')
        if path == '/q':
            look.that(urllib.parse.parse_qsl(query, keep_blank_values=True, separator='&') == [('id', value), ('z', '1')] or '+' in value, value, f'query {query!r}')
        look.that(not any(h.lower() == 'x-evil' for h in r['headers']), value, f'headers {r["headers"]}')
        if path == '/b':
            look.that(json.loads(r['body']) == {'v': value}, value, f'body {r["body"][:200]!r}')


def look_at_files(look, value, folder, around, before):
    for name in os.listdir(folder):
        if not name.startswith('.'):
            look.that(name.startswith('f-') and name.endswith('.txt') and os.path.isfile(os.path.join(folder, name)), value, f'file {name!r}')
    look.that(set(os.listdir(around)) == before, value, f'beside the folder: {set(os.listdir(around)) - before}')


def look_at_messages(look, value, messages):
    for m in messages:
        segments = [s for s in m.split('\r') if s]
        look.that([s[:3] for s in segments] == ['MSH', 'PID'], value, f'segments {[s[:8] for s in segments]}')
        fields = segments[-1].split('|')
        look.that(len(fields) == 9 and fields[3].startswith('x') and fields[8] == 'F', value, f'fields {fields[:9]}')


def main():
    crm, ward, look = rig.HttpSink(), rig.MllpSink(), Look()
    crm.answer = lambda r: (200, {'x': 'y'}, {})
    grant = {'grant': {'networks': ['127.0.0.0/8']}}
    d = rig.Daemon(PROGRAM, {'listeners': {'adt': {'port': 0}}, 'connections': {'crm': {'base': f'http://127.0.0.1:{crm.port}', **grant}, 'ward': {'address': f'127.0.0.1:{ward.port}', **grant}, 'out': {'folder': 'out'}}})
    d.start()
    sent = 0
    try:
        m = rig.Mllp(d.ports['adt'])
        os.makedirs(os.path.join(d.dir, 'out'), exist_ok=True)
        before = set(os.listdir(d.dir))
        for i, value in enumerate(VALUES):
            crm.requests.clear()
            ward.messages.clear()
            text = rig.adt(f'e{i}').replace('SMITH^JOHN', escaped(value))
            code = rig.ack_code(m.ask(text))
            look.that(code == 'AA', value, f'acknowledged with {code}')
            rig.wait_for(lambda: not any(d.ask('status')['runs'].get(k) for k in ('queued', 'running', 'waiting')), what=f'the end of the run of {value[:40]!r}')
            look_at_requests(look, value, list(crm.requests))
            look_at_files(look, value, os.path.join(d.dir, 'out'), d.dir, before)
            look_at_messages(look, value, list(ward.messages))
            sent += len(crm.requests) + len(ward.messages)
            if value == 'plain':
                look.that(len(crm.requests) == 4 and len(ward.messages) == 1, value, 'not everything arrived')
        m.close()
        look.that(not d.ask('dead'), '-', f'dead: {d.ask("dead")}')
    finally:
        d.close()
        crm.close()
        ward.close()
    for b in look.bad:
        print('FAIL', b)
    print(f'{len(VALUES)} values, {sent} requests and messages\n{0 if look.bad else 1} passed, {len(look.bad)} failed')
    sys.exit(1 if look.bad else 0)


if __name__ == '__main__':
    main()
