"""Peers of test_auth.py that are not ours: an OpenID provider from npm and nginx for TLS, both on loopback, both ended by the test; and a small CA."""
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

from rig import BIN, SLOW

HERE = os.path.dirname(os.path.abspath(__file__))
OIDC = 'oidc-provider@8.8.1'


def oidc_folder():
    """Where oidc-provider is installed, in the build folder; a text says why it is not."""
    if not shutil.which('node') or not shutil.which('npm'):
        return None, 'node and npm are not installed'
    folder = os.path.abspath(os.path.join(BIN, 'oidc'))
    if os.path.isdir(os.path.join(folder, 'node_modules', 'oidc-provider')):
        return folder, ''
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'package.json'), 'w') as f:
        f.write('{"private": true}\n')
    try:
        r = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', OIDC], cwd=folder, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return None, 'npm did not answer in time'
    return (folder, '') if r.returncode == 0 else (None, 'npm install oidc-provider failed: ' + r.stderr[-200:])


class Oidc:
    def __init__(self, folder, clients):
        self.p = subprocess.Popen(['node', os.path.join(HERE, 'oidc_server.mjs'), folder, json.dumps(clients)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.log = []
        line = self.p.stdout.readline()
        if not line.startswith('port'):
            self.close()
            raise AssertionError('the OpenID provider did not start: ' + line)
        self.url = f'http://127.0.0.1:{line.split()[1]}'
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        for line in self.p.stdout:
            if line.startswith(('refused', 'error')):
                self.log.append(line.strip())

    def introspect(self, token, basic):
        r = urllib.request.Request(self.url + '/token/introspection', f'token={token}'.encode(), {'Authorization': 'Basic ' + basic, 'Content-Type': 'application/x-www-form-urlencoded'})
        with urllib.request.urlopen(r, timeout=20) as a:
            return json.load(a)

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.p.stdout.close()


def openssl(folder, *args):
    subprocess.run(['openssl', *args], cwd=folder, check=True, capture_output=True, timeout=60)


class Ca:
    """NAME.pem signs what it is asked to; keys are P-256, so that they are made at once."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        openssl(folder, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key', '-out', f'{name}.pem', '-days', '2', '-subj', f'/CN={name}')
        os.chmod(os.path.join(folder, f'{name}.key'), 0o600)

    def sign(self, name, san='IP:127.0.0.1', days='2'):
        with open(os.path.join(self.folder, f'{name}.ext'), 'w') as f:
            f.write(f'subjectAltName={san}\n')
        openssl(self.folder, 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key', '-out', f'{name}.csr', '-subj', f'/CN={name}')
        openssl(self.folder, 'x509', '-req', '-in', f'{name}.csr', '-CA', f'{self.name}.pem', '-CAkey', f'{self.name}.key', '-CAcreateserial', '-out', f'{name}.pem', '-days', days,
                '-extfile', f'{name}.ext')
        os.chmod(os.path.join(self.folder, f'{name}.key'), 0o600)
        return name


class Nginx:
    """servers: (certificate, further lines); each has a port of its own in self.ports."""

    def __init__(self, folder, servers, answer='{"ok":true}'):
        self.folder, blocks = folder, []
        held = [socket.create_server(('127.0.0.1', 0)) for _ in servers]  # all at once, or one port may be drawn twice
        self.ports = [s.getsockname()[1] for s in held]
        for s in held:
            s.close()
        for (certificate, lines), port in zip(servers, self.ports):
            blocks.append(f"""server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/{certificate}.pem; ssl_certificate_key {folder}/{certificate}.key; {lines}
  default_type application/json; location / {{ return 200 '{answer}'; }} }}""")
        temps = ' '.join(f'{t}_temp_path {folder}/{t};' for t in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        with open(os.path.join(folder, 'nginx.conf'), 'w') as f:
            f.write(f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; events {{ worker_connections 64; }}\n"
                    f"http {{ access_log off; {temps}\n" + '\n'.join(blocks) + '\n}\n')
        self.p = subprocess.Popen([self.program(), '-c', os.path.join(folder, 'nginx.conf'), '-p', folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10 * SLOW
        for port in self.ports:
            while True:
                try:
                    socket.create_connection(('127.0.0.1', port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > end or self.p.poll() is not None:
                        self.close()
                        with open(os.path.join(folder, 'error.log')) as f:
                            raise AssertionError('nginx did not start: ' + f.read()[-500:])
                    time.sleep(0.05)

    @staticmethod
    def program():
        return shutil.which('nginx') or shutil.which('nginx', path='/usr/sbin')

    def close(self):
        if self.p.poll() is None:
            self.p.terminate()
        self.p.wait()
