"""The outside world of the demo and of tests: a small CRM over HTTP and a small receiver of HL7 over MLLP, each in a thread on a free port."""
import http.server
import json
import re
import socket
import socketserver
import threading


def quiet(request, client_address):
    """A peer that goes away in the middle, for a server's handle_error: daemons that are killed do that."""


class Crm:
    """POST /admits keeps the card and answers {"id": n}; the same Idempotency-Key gets the same answer. GET /admits lists them."""

    def __init__(self):
        crm = self
        self.cards, self.authorised, self.lock, self.ids, self.requests = [], True, threading.Lock(), {}, 0

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
                    crm.authorised = crm.authorised and self.headers.get('Authorization') == 'Bearer demo-token'
                    if key not in crm.ids:
                        crm.ids[key] = len(crm.ids) + 1
                        crm.cards.append((key, card))
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
