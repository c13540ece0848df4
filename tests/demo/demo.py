#!/usr/bin/env python3
"""./dev demo: compiles four of the examples, starts hdwvm with a fresh data folder, an EHR (FHIR), a CRM (HTTP), a ward system and an EMR (MLLP), all small, sends real messages,
shows what came back and what arrived, and checks it. Exit 0: everything shown is what it should be. --stay leaves it running."""
import argparse
import http.client
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

from peers import Crm, Ehr, Ward

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPUS = 'tests/conformance/hl7/corpus/'
# What is sent: how (the listener), file, what it is, the expected code in MSA-1.
SENT = [
    ('mllp', 'examples/adt-to-crm/samples/adt-a01.hl7', 'an admission; the EHR knows her', 'AA'),
    ('mllp', CORPUS + 'LinuxForHealth_hl7v2-fhir-converter/literals/IssueFixTest_java__L37.hl7', 'enhanced mode: CA at commit', 'CA'),
    ('http', CORPUS + 'CDCgov_trusted-intermediary/Other__001_ADT_A01.hl7', 'over HTTP; unknown to the EHR', 'AA'),
    ('mllp', 'examples/adt-to-crm/samples/adt-no-mrn.hl7', 'no record number: refused', 'AE'),
    ('labs', CORPUS + 'CDCgov_trusted-intermediary/TX__002_TX_ORU_R01.hl7', 'newborn screening results', 'CA'),
    ('labs', 'examples/lab-router/samples/oru-r01.hl7', 'a metabolic panel', 'AA'),
    ('mllp', CORPUS + 'CDCgov_trusted-intermediary/TX__002_TX_ORU_R01.hl7', 'a result on the wrong port', 'CR'),
    ('mllp', 'examples/charges/samples/adt-a03.hl7', 'a discharge', 'AA'),
    ('mllp', 'examples/adt-to-crm/samples/adt-a01.hl7', 'the first one again', 'AA'),
]
CARDS = 3  # of these, admissions that become a card each
RESULTS = 2  # and results for the EMR
EXAMPLES = ('adt-to-crm', 'lab-router', 'charges', 'patient-push')
EHR = [f'examples/{x}' for x in ('adt-to-crm/samples/patient.json', 'adt-to-crm/samples/coverage.json', 'charges/samples/encounter.json', 'charges/samples/procedures.json')]


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
        self.modules = [os.path.join(self.dir, name + '.hdwb') for name in EXAMPLES]
        self.config = os.path.join(self.dir, 'hdw.json')
        self.screen, self.crm, self.ward, self.emr = Screen(), Crm(), Ward(), Ward()
        self.ehr, self.pushed = Ehr([os.path.join(ROOT, f) for f in EHR]), []
        self.daemon, self.ports, self.log = None, {}, []

    def run(self, program, *args, timeout=30):
        return subprocess.run([program, *args], cwd=ROOT, capture_output=True, text=True, errors='replace', timeout=timeout)

    def compile(self):
        for module in self.modules:
            source = 'examples/' + os.path.basename(module)[:-len('.hdwb')]
            done = self.run(self.hdwc, 'build', source, '-o', module)
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
            self.screen.line(f'{source:21}  →  {os.path.getsize(module):,} bytes, ' + self.run(self.hdwvm, 'verify', module).stdout.replace(self.dir + '/', '').strip())

    def configure(self):
        secrets = {}
        for name, value in (('crm_token', 'demo-token'), ('ehr_token', 'ehr-token'), ('ehr_secret', 'ehr-secret'), ('billing_key', 'demo-key')):
            secrets[name] = {'file': os.path.join(self.dir, name)}
            with open(os.open(secrets[name]['file'], os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
                f.write(value + '\n')
        local = {'networks': ['127.0.0.1/32']}
        with open(self.config, 'w') as f:
            json.dump({'data': os.path.join(self.dir, 'data'),
                       'settings': {'crm_base': f'http://127.0.0.1:{self.crm.port}', 'billing_base': f'http://127.0.0.1:{self.crm.port}', 'ehr_base': self.ehr.url, 'ehr_login': f'http://127.0.0.1:{self.ehr.port}/token', 'mrn_system': 'urn:oid:2.16.840.1.113883.19.5'},
                       'listeners': {'adt': {'port': 0}, 'web': {'port': 0}, 'labs': {'port': 0}},
                       'connections': {'ehr': {'grant': local}, 'chart': {'grant': local}, 'crm': {'grant': local}, 'billing': {'grant': local}, 'ward': {'address': f'127.0.0.1:{self.ward.port}', 'grant': local},
                                       'emr': {'address': f'127.0.0.1:{self.emr.port}', 'grant': local}, 'research': {'address': f'127.0.0.1:{self.emr.port}', 'grant': local},
                                       'archive': {'folder': os.path.join(self.dir, 'archive')}},
                       'secrets': secrets}, f, indent=2)

    def start(self):
        self.daemon = subprocess.Popen([self.hdwvm, 'serve', '--config', self.config, *self.modules], cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0)
        ready = self.read_until_ready()
        if not ready or any('module_refused' in line for line in self.log):
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
        return wait_until(lambda: len(self.crm.cards) >= CARDS and len(self.crm.bills) >= 1 and len(self.ward.messages) >= CARDS and len(self.emr.messages) >= RESULTS, 10)

    def push(self):
        """PUT /contact, while somebody else changes the same patient at the EHR."""
        def faster(h):
            self.ehr.put(dict(self.ehr.get('Patient', 'okafor'), active=True))
            self.ehr.send(h, 412, {'resourceType': 'OperationOutcome', 'issue': [{'severity': 'error', 'code': 'conflict'}]})
        self.ehr.plan(faster, method='PUT')
        s = self.screen
        s.heading('Contact data from a portal: PUT /contact, and the caller waits for the outcome')
        for what in ('somebody else is faster', 'the same again'):
            c = http.client.HTTPConnection('127.0.0.1', self.ports['web'], timeout=30)
            c.request('PUT', '/contact', open(os.path.join(ROOT, 'examples/patient-push/samples/contact.json')), {'Content-Type': 'application/json'})
            answer = c.getresponse()
            self.pushed.append(answer.read().decode(errors='replace'))
            c.close()
            s.line(f'{what:24} →  {answer.status} {self.pushed[-1]}')

    def show_ehr(self):
        s = self.screen
        s.heading('What the EHR was asked (FHIR): what comes from a message goes in bodies, not in addresses')
        for method, path, status, found, if_match in self.ehr.answers:
            s.line(f'{method:4} {path:31} →  ' + s.paint('32' if status < 400 else '33', str(status)) + f'  {found}' + (f'If-Match: {if_match}' if if_match else ''))

    def show_arrivals(self):
        s = self.screen
        s.heading('What the CRM received (POST /admits)')
        for key, card in self.crm.cards:
            for line in textwrap.wrap(json.dumps(card, ensure_ascii=False), min(s.width, 110), subsequent_indent=' '):
                s.line(line)
            s.line(s.paint('2', f'Idempotency-Key: {key}'))
        s.heading('What billing received (POST /bills)')
        for _, bill in self.crm.bills:
            for line in textwrap.wrap(json.dumps(bill, ensure_ascii=False), min(s.width, 110), subsequent_indent=' '):
                s.line(line)
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
        s.check(any(c.get('mrn') == 'PATID1234' and c.get('birthDate') == '1961-06-15' and not c['known'] for _, c in self.crm.cards), 'PID-3 of type MR and PID-7 became mrn and birthDate where the EHR knows nobody')
        s.check(any(c.get('family') == 'Okafor-Hale' and c.get('payer') == 'Prairie Mutual' for _, c in self.crm.cards), 'name and payer are the EHR\'s where it does')
        s.check(len(self.ehr.issued) == 1, 'the EHR was logged in to once (OAuth 2.0), and the token served every lookup')
        s.check([a[2] for a in self.ehr.answers].count(503) == 1, 'the EHR was away for one request, which was made again')
        s.check([[c['code'] for c in b['charges']] for _, b in self.crm.bills] == [['168731009', '104177005']], 'the procedures in the period of the visit were charged')
        phones = [t['value'] for t in self.ehr.get('Patient', 'okafor')['telecom']]
        s.check('+1 217 555 0188' in phones and self.ehr.get('Patient', 'okafor').get('active'), 'the new phone number is in the EHR, and what was written in between is still there')
        s.check(len(self.pushed) == 2 and '"changed":true' in self.pushed[0] and '"changed":false' in self.pushed[1], 'the portal was told, and the second time nothing was written')
        s.check(len(self.ward.messages) == CARDS, f'{CARDS} messages reached the ward ({len(self.ward.messages)} came)')
        s.check(all('|HUB|' in m.split('\r')[0] and '\rPD1|' not in m for m in self.ward.messages), 'with MSH-3 set and PD1 removed')
        s.check(len(self.emr.messages) == RESULTS and all('|HUB|' in m.split('\r')[0] for m in self.emr.messages), f'{RESULTS} results reached the EMR ({len(self.emr.messages)} came)')
        s.check(any('OBX|1|NM|2345-7^' in m for m in self.emr.messages), 'with their codes in the first place')
        total = CARDS + RESULTS + 1 + len(self.pushed)
        s.check(len(runs) == total, f'{total} runs: neither the refused ones nor the repetition made one ({len(runs)} are stored)')

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
        self.ehr.close()
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
            s.line(f'a small EHR with FHIR R4 on {self.ehr.url}, which is busy for the first request')
            s.line(f'a small CRM on HTTP 127.0.0.1:{self.crm.port}, a small ward system and a small EMR on MLLP 127.0.0.1:{self.ward.port} and :{self.emr.port}')
            s.heading('Send')
            self.ehr.plan(503, method='POST', path='Patient/_search')
            self.send_all()
            self.push()
            self.show_ehr()
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
