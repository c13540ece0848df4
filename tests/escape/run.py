#!/usr/bin/env python3
"""The programs of programs.txt, one by one: refused by the checker with the code they name, or compiled and run by hdwc run (no network), with what they name in its answer, or
without it. run.py [TEXT]: those whose title holds TEXT."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HDWC = os.path.abspath(os.environ.get('HDWC', 'build/hdwc'))
AROUND = """hdw 1
listener adt = mllp(port: 2575)
connection crm = rest(base: 'https://crm.example', auth: bearer(secret('token')))
connection ward = mllp()
connection out = folder(path: 'out')
workflow w
  on msg = adt.message(types: ['ADT^A01'])
{
BODY
}
"""
MESSAGE = 'MSH|^~\\&|LAB|HOSP|HUB|HUB|20260101120000||ADT^A01|42|P|2.5.1\rPID|1||ID^^^HOSP^MR||SMITH^JOHN\r'


def cases():
    title, lines = None, []
    for line in open(os.path.join(HERE, 'programs.txt'), encoding='utf-8'):
        if line.startswith('== '):
            if title:
                yield title, lines
            title, lines = line[3:].strip(), []
        elif title:
            lines.append(line.rstrip('\n'))
    yield title, lines


def judge(lines, where):
    """None, or what went wrong."""
    how, _, what = lines[0].removeprefix('must: ').partition(' ')
    lines, pid = lines[1:], '4711'
    if lines[0].startswith('as: '):
        pid, lines = lines[0][4:], lines[1:]
    text = '\n'.join(lines).strip() + '\n'
    if not text.startswith('hdw 1'):
        text = AROUND.replace('BODY', text)
    with open(os.path.join(where, 'app.hdw'), 'w', encoding='utf-8') as f:
        f.write(text)
    with open(os.path.join(where, 'in.hl7'), 'w', encoding='utf-8', newline='') as f:
        f.write(MESSAGE.replace('ID^', pid + '^'))
    call = ['check', 'app.hdw'] if how == 'check' else ['run', 'app.hdw', '--message', 'in.hl7']
    done = subprocess.run([HDWC] + call, cwd=where, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    if done.returncode < 0 or 'Sanitizer' in said:
        return f'it crashed: {said[-500:]}'
    if how == 'check':
        return None if done.returncode and f'error[{what}]' in said else f'not refused with {what}: {said[:600]}'
    if what.startswith('no '):
        return None if '"verdict"' in said and what[3:] not in said else f'{what[3:]!r} is in it, or it did not run: {said[:1500]}'
    return None if what in said else f'{what!r} is not in it: {said[:1500]}'


def main():
    only, passed, failed = sys.argv[1] if len(sys.argv) > 1 else '', 0, 0
    for title, lines in cases():
        if only not in title:
            continue
        with tempfile.TemporaryDirectory() as where:
            wrong = judge(lines, where)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if wrong:
            print(f'FAIL {title}\n     {wrong}')
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
