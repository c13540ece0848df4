#!/usr/bin/env python3
"""./dev demo: compiles examples/adt-to-crm and lab-router, starts hdwvm with a fresh data folder, a small CRM (HTTP), a small ward system and a small EMR (MLLP), sends real messages,
shows what came back and what arrived, and checks it. Exit 0: everything shown is what it should be. --stay leaves it running."""
import argparse
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

from peers import Crm, Ward

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPUS = 'tests/conformance/hl7/corpus/'
# What is sent: how (the listener), file, what it is, the expected code in MSA-1.
SENT = [
    ('mllp', CORPUS + 'CDCgov_trusted-intermediary/Other__001_ADT_A01.hl7', 'an admission', 'AA'),
    ('mllp', CORPUS + 'LinuxForHealth_hl7v2-fhir-converter/literals/IssueFixTest_java__L37.hl7', 'enhanced mode: CA at commit', 'CA'),
    ('http', CORPUS + 'microsoft_FHIR-Converter/data__SampleData__Hl7v2__ADT-A08-02.hl7', 'an update, over HTTP', 'AA'),
    ('mllp', 'examples/adt-to-crm/samples/adt-no-mrn.hl7', 'no record number: refused', 'AE'),
    ('labs', CORPUS + 'CDCgov_trusted-intermediary/TX__002_TX_ORU_R01.hl7', 'newborn screening results', 'CA'),
    ('labs', 'examples/lab-router/samples/oru-r01.hl7', 'a metabolic panel', 'AA'),
    ('mllp', CORPUS + 'CDCgov_trusted-intermediary/TX__002_TX_ORU_R01.hl7', 'a result on the wrong port', 'CR'),
    ('mllp', CORPUS + 'CDCgov_trusted-intermediary/Other__001_ADT_A01.hl7', 'the first one again', 'AA'),
]
CARDS = 3  # of these, admissions that become a card each
RESULTS = 2  # and results for the EMR


class Screen:
    def __init__(self):
        self.color = sys.stdout.isatty()
        self.problems = []
        self.width = shutil.get_terminal_size((120, 24)).columns - 2 if self.color else 120

    def paint(self, code, text):
        return f'\033[{code}m{text}\033[0m' if self.color else text

    def heading(self, text):
        print('\n' + self.paint('1;36', text))

    def line(self, text):
        plain = re.sub(r'\033\[[0-9;]*m', '', text)
        if len(plain) > self.width:
            text = plain[:self.width - 1] + '…'
        print('  ' + re.sub(r'[\x00-\x1a\x1c-\x1f\x7f]', ' ', text), flush=True)

    def check(self, ok, text):
        print('  ' + (self.paint('32', 'ok     ') if ok else self.paint('1;31', 'WRONG  ')) + text, flush=True)
        if not ok:
            self.problems.append(text)


def wait_until(what, seconds):
    """True as soon as what() is, False after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return bool(what())


class Demo:
    def __init__(self, bin_dir):
        self.hdwc, self.hdwvm = os.path.join(bin_dir, 'hdwc'), os.path.join(bin_dir, 'hdwvm')
        self.dir = tempfile.mkdtemp(prefix='hdw-demo-')
        self.modules = [os.path.join(self.dir, name + '.hdwb') for name in ('adt-to-crm', 'lab-router')]
        self.config = os.path.join(self.dir, 'hdw.json')
        self.screen, self.crm, self.ward, self.emr = Screen(), Crm(), Ward(), Ward()
        self.daemon, self.ports, self.log = None, {}, []

    def run(self, program, *args, timeout=30):
        return subprocess.run([program, *args], cwd=ROOT, capture_output=True, text=True, errors='replace', timeout=timeout)

    def compile(self):
        for module in self.modules:
            source = 'examples/' + os.path.basename(module)[:-len('.hdwb')]
            done = self.run(self.hdwc, 'build', source, '-o', module)
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
            self.screen.line(f'{source:19}  →  {os.path.getsize(module):,} bytes, ' + self.run(self.hdwvm, 'verify', module).stdout.replace(self.dir + '/', '').strip())

    def configure(self):
        secret = os.path.join(self.dir, 'crm_token')
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
            f.write('demo-token\n')
        local = {'networks': ['127.0.0.1/32']}
        with open(self.config, 'w') as f:
            json.dump({'data': os.path.join(self.dir, 'data'),
                       'settings': {'crm_base': f'http://127.0.0.1:{self.crm.port}'},
                       'listeners': {'adt': {'port': 0}, 'web': {'port': 0}, 'labs': {'port': 0}},
                       'connections': {'crm': {'grant': local}, 'ward': {'address': f'127.0.0.1:{self.ward.port}', 'grant': local},
                                       'emr': {'address': f'127.0.0.1:{self.emr.port}', 'grant': local}, 'research': {'address': f'127.0.0.1:{self.emr.port}', 'grant': local},
                                       'archive': {'folder': os.path.join(self.dir, 'archive')}},
                       'secrets': {'crm_token': {'file': secret}}}, f, indent=2)

    def start(self):
        self.daemon = subprocess.Popen([self.hdwvm, 'serve', '--config', self.config, *self.modules], cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0)
        ready = self.read_until_ready()
        if not ready:
            raise SystemExit('hdwvm did not start:\n' + '\n'.join(self.log[-10:]))
        self.ports = {name: int(port) for name, port in re.findall(r'(\w+)=\S*?:(\d+)', ready)}
        threading.Thread(target=self.drain, daemon=True).start()

    def read_until_ready(self):
        end = time.monotonic() + 15
        while time.monotonic() < end and self.daemon.poll() is None:
            if select.select([self.daemon.stderr], [], [], 0.2)[0]:
                line = self.daemon.stderr.readline().decode(errors='replace').strip()
                self.log.append(line)
                if 'ready' in line:
                    return line
        return None

    def drain(self):
        for line in self.daemon.stderr:
            self.log.append(line.decode(errors='replace').strip())

    def send_all(self):
        s = self.screen
        for how, path, what, want in SENT:
            to = f'http://127.0.0.1:{self.ports["web"]}/hl7' if how == 'http' else f'127.0.0.1:{self.ports["labs" if how == "labs" else "adt"]}'
            head = open(os.path.join(ROOT, path), errors='replace').read(2000).replace('\n', '\r').split('\r')[0].split('|')
            done = self.run(self.hdwvm, 'send', path, '--to', to)
            answer = {l[:3]: l.split('|') for l in done.stdout.splitlines()}
            msa, err = answer.get('MSA', ['', '?']), answer.get('ERR', [])
            text = next((f for f in [*reversed(err), *msa[3:]] if f), '')
            code = msa[1] if len(msa) > 1 else '?'
            s.line(f'{"HTTP" if how == "http" else "MLLP"}  {head[8][:7]:7}  {head[9][:12]:12}  →  ' + s.paint('32' if code in ('AA', 'CA') else '33', code) + f'  {what:28} {text}')
            if code != want:
                s.check(False, f'the answer to {os.path.basename(path)} should be {want}: {done.stdout.strip()} {done.stderr.strip()}')
        return wait_until(lambda: len(self.crm.cards) >= CARDS and len(self.ward.messages) >= CARDS and len(self.emr.messages) >= RESULTS, 10)

    def show_arrivals(self):
        s = self.screen
        s.heading('What the CRM received (POST /admits)')
        for key, card in self.crm.cards:
            for line in textwrap.wrap(json.dumps(card, ensure_ascii=False), min(s.width, 110), subsequent_indent=' '):
                s.line(line)
            s.line(s.paint('2', f'Idempotency-Key: {key}'))
        s.heading('What the ward received (MLLP)')
        for message in self.ward.messages:
            for segment in message.split('\r'):
                if segment.startswith(('MSH', 'PID', 'PV1')):
                    s.line(segment)
        s.heading('What the EMR received (MLLP): LOINC first, the lab\'s code second')
        for message in self.emr.messages:
            segments = message.split('\r')
            lines = [x for x in segments if x.startswith('OBX')]
            for segment in [segments[0], *lines[:2]]:
                s.line(segment)
            s.line(s.paint('2', f'… {len(lines) - 2} more OBX'))

    def show_state(self):
        s = self.screen
        s.heading('hdwvm messages')
        self.show('messages')
        s.heading('hdwvm runs')
        self.show('runs')
        s.heading('hdwvm sinks')
        self.show('sinks')
        runs = json.loads(self.run(self.hdwvm, 'runs', '--json', '--config', self.config).stdout or '[]')
        runs = runs if isinstance(runs, list) else next((v for v in runs.values() if isinstance(v, list)), [])
        if runs:
            number = str(runs[-1]['id'])
            s.heading(f'hdwvm run {number}')
            self.show('run', number)
        return runs

    def show(self, *words):
        done = self.run(self.hdwvm, *words, '--config', self.config)
        for line in (done.stdout + done.stderr).rstrip('\n').split('\n'):
            self.screen.line(line)
        if done.returncode:
            self.screen.check(False, f'hdwvm {" ".join(words)} ends with {done.returncode}')

    def verify(self, runs):
        s = self.screen
        s.heading('Checked')
        s.check(len(self.crm.cards) == CARDS, f'{CARDS} cards reached the CRM, each once ({len(self.crm.cards)} came)')
        s.check(len({k for k, _ in self.crm.cards}) == len(self.crm.cards) and all(k for k, _ in self.crm.cards), 'each with an idempotency key of its own')
        s.check(self.crm.authorised, 'with the bearer token that stands in no source and no configuration')
        s.check(any(c.get('mrn') == 'PATID1234' and c.get('birthDate') == '1961-06-15' for _, c in self.crm.cards), 'PID-3 of type MR and PID-7 became mrn and birthDate')
        s.check(len(self.ward.messages) == CARDS, f'{CARDS} messages reached the ward ({len(self.ward.messages)} came)')
        s.check(all('|HUB|' in m.split('\r')[0] and '\rPD1|' not in m for m in self.ward.messages), 'with MSH-3 set and PD1 removed')
        s.check(len(self.emr.messages) == RESULTS and all('|HUB|' in m.split('\r')[0] for m in self.emr.messages), f'{RESULTS} results reached the EMR ({len(self.emr.messages)} came)')
        s.check(any('OBX|1|NM|2345-7^' in m for m in self.emr.messages), 'with their codes in the first place')
        s.check(len(runs) == CARDS + RESULTS, f'{CARDS + RESULTS} runs: neither the refused ones nor the repetition made one ({len(runs)} are stored)')

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(15)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        code = self.daemon.returncode if self.daemon else None
        self.crm.close()
        self.ward.close()
        self.emr.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        return code

    def main(self, stay):
        s = self.screen
        try:
            s.heading('Compile')
            self.compile()
            self.configure()
            s.heading('Start')
            self.start()
            s.line(f'hdwvm listens for HL7 on MLLP 127.0.0.1:{self.ports["adt"]} (admissions) and :{self.ports["labs"]} (results), and on HTTP 127.0.0.1:{self.ports["web"]}/hl7')
            s.line(f'a small CRM on HTTP 127.0.0.1:{self.crm.port}, a small ward system and a small EMR on MLLP 127.0.0.1:{self.ward.port} and :{self.emr.port}')
            s.heading('Send')
            self.send_all()
            self.show_arrivals()
            runs = self.show_state()
            self.verify(runs)
            if stay:
                self.stay()
        finally:
            code = self.stop()
        s.check(code == 0, 'hdwvm stopped cleanly')
        if s.problems:
            print('\nThe last lines of the log:')
            for line in self.log[-15:]:
                s.line(line)
            return 1
        print('\n' + s.paint('1;32', 'Everything arrived.'))
        return 0

    def stay(self):
        s = self.screen
        s.heading('Left running (Ctrl-C ends it)')
        s.line(f'send HL7 over MLLP    {self.hdwvm} send FILE --to 127.0.0.1:{self.ports["adt"]}')
        s.line(f'send HL7 over HTTP    curl --data-binary @FILE -H "Content-Type: application/hl7-v2" http://127.0.0.1:{self.ports["web"]}/hl7')
        s.line(f'look into it          {self.hdwvm} messages --config {self.config}')
        s.line(f'what the CRM has      http://127.0.0.1:{self.crm.port}/admits')
        try:
            while self.daemon.poll() is None:
                time.sleep(0.5)
        except KeyboardInterrupt:
            print()


def main():
    p = argparse.ArgumentParser(description='The whole product once, end to end.')
    p.add_argument('--bin', default='build', help='folder of hdwc and hdwvm')
    p.add_argument('--stay', action='store_true', help='leave it running and print the addresses')
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return Demo(os.path.abspath(a.bin)).main(a.stay)


sys.exit(main())
