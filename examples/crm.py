#!/usr/bin/env python3
"""A CRM of a few lines for trying things out: prints what is POSTed to it and answers {"id": n}. Usage: crm.py [PORT]"""
import http.server
import json
import sys


class Crm(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    count = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        Crm.count += 1
        print(f'{self.path} {body.decode(errors="replace")}', flush=True)
        answer = json.dumps({'id': Crm.count}).encode()
        self.send_response(201)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


try:
    http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Crm).serve_forever()
except KeyboardInterrupt:
    pass
