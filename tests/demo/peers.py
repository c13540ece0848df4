"""The outside world of the demo and of tests: a small CRM over HTTP, a small receiver of HL7 over MLLP and an EHR that speaks FHIR, each in a thread on a free port."""
import http.server
import json
import os
import re
import socket
import socketserver
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
from fhir_server import FhirServer  # noqa: E402


def quiet(request, client_address):
    """A peer that goes away in the middle, for a server's handle_error: daemons that are killed do that."""


class Crm:
    """POST /admits keeps the card and answers {"id": n}; the same Idempotency-Key gets the same answer. GET /admits lists them. /bills are kept apart, under an X-Api-Key."""

    def __init__(self):
        crm = self
        self.cards, self.bills, self.authorised, self.lock, self.ids, self.requests = [], [], True, threading.Lock(), {}, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def answer(self, code, value):
                body = json.dumps(value).encode()
                self.send_response(code)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                card = json.loads(self.rfile.read(int(self.headers.get('Content-Length') or 0)))
                key = self.headers.get('Idempotency-Key') or ''
                with crm.lock:
                    crm.requests += 1
                    bill = self.path == '/bills'
                    crm.authorised = crm.authorised and (self.headers.get('X-Api-Key') == 'demo-key' if bill else self.headers.get('Authorization') == 'Bearer demo-token')
                    if key not in crm.ids:
                        crm.ids[key] = len(crm.ids) + 1
                        (crm.bills if bill else crm.cards).append((key, card))
                self.answer(201, {'id': crm.ids[key]})

            def do_GET(self):
                with crm.lock:
                    self.answer(200, [card for _, card in crm.cards])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads, self.server.handle_error = True, quiet
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Ward:
    """Keeps every message and answers AA."""

    def __init__(self):
        ward = self
        self.messages = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                data = b''
                while True:
                    try:
                        part = self.request.recv(65536)
                    except OSError:
                        return
                    if not part:
                        return
                    data += part
                    while True:
                        m = re.search(rb'\x0b(.*?)\x1c\r', data, re.S)
                        if not m:
                            break
                        data = data[m.end():]
                        text = m.group(1).decode('utf-8', 'replace')
                        ward.messages.append(text)
                        msh = text.split('\r')[0].split('|')
                        ack = f'MSH|^~\\&|WARD||HUB||20260101000000||ACK|{len(ward.messages)}|P|2.5.1\rMSA|AA|{msh[9]}\r'
                        self.request.sendall(b'\x0b' + ack.encode() + b'\x1c\r')

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, address_family = True, True, socket.AF_INET

        self.server = Server(('127.0.0.1', 0), Handler)
        self.server.handle_error = quiet
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Ehr(FhirServer):
    """A FHIR server with some patients in it, which remembers how it answered."""

    def __init__(self, files):
        super().__init__()
        self.token, self.answers, self.client = 'ehr-token', [], ('hub', 'ehr-secret')
        for name in files:
            with open(name, encoding='utf-8') as f:
                value = json.load(f)
            for r in [e['resource'] for e in value['entry']] if value['resourceType'] == 'Bundle' else [value]:
                self.put(r)

    def send(self, h, status, value, headers=None):
        found = f'{len(value.get("entry", []))} found' if value and value.get('resourceType') == 'Bundle' else ''
        with self.lock:
            self.answers.append((h.command, h.path, status, found, h.headers.get('If-Match')))
        super().send(h, status, value, headers)
