"""A small FHIR R4 server on loopback: versions with ETag, conditional writes, searches in pages with _include, batches, OperationOutcomes; and, one request
at a time, everything that servers get wrong. Run by itself it serves until it is ended: fhir_server.py [PORT]."""
import base64
import copy
import email.utils
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse

CONTROL = {'_count', '_sort', '_include', '_revinclude', '_summary', '_elements', '_total', '_format', '_pretty'}
PREFIX = re.compile(r'^(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d{4}.*)$')


class Refusal(Exception):
    def __init__(self, status, code, expression=None, headers=None):
        self.status, self.code, self.expression, self.headers = status, code, expression, headers or {}


def outcome(code, expression=None, severity='error'):
    issue = {'severity': severity, 'code': code, 'diagnostics': 'MARKER-DIAGNOSTICS of the server'}
    if expression:
        issue['expression'] = [expression]
    return {'resourceType': 'OperationOutcome', 'issue': [issue]}


def split(value, by):
    """At separators that are not escaped; escapes stay."""
    return re.split(r'(?<!\\)' + re.escape(by), value)


def plain(value):
    return re.sub(r'\\([\\,$|])', r'\1', value)


def texts(x):
    """All strings below a value."""
    if isinstance(x, dict):
        return [t for v in x.values() for t in texts(v)]
    if isinstance(x, list):
        return [t for v in x for t in texts(v)]
    return [str(x).lower() if not isinstance(x, bool) else str(x).lower()]


class FhirServer:
    def __init__(self, port=0, base='/fhir', page=2, address='127.0.0.1'):
        self.base, self.page, self.lock = base, page, threading.RLock()
        self.versions = {}   # (type, id) -> list of versions; None = deleted
        self.requests, self.plans, self.snapshots, self.next_id = [], [], {}, 1000
        self.token = None    # wanted in Authorization, or one of:
        self.issued = set()  # ... those that /token gave (OAuth 2.0 client credentials)
        self.client = None   # who may have one: (id, secret); secret None = any
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do(self):
                outer.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

            def log_message(self, *a):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.server = Server((address, port), Handler)
        self.port = self.server.server_address[1]
        self.url = f'http://127.0.0.1:{self.port}{base}'
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- for tests

    def put(self, resource):
        """Stores a resource; a new version when it is there."""
        with self.lock:
            key = (resource['resourceType'], resource['id'])
            old = self.versions.setdefault(key, [])
            r = copy.deepcopy(resource)
            r['meta'] = dict(r.get('meta', {}), versionId=str(len(old) + 1), lastUpdated='2026-01-01T00:00:00Z')
            old.append(r)
            return r

    def get(self, kind, rid):
        v = self.versions.get((kind, rid), [])
        return v[-1] if v else None

    def plan(self, *behaviours, method=None, path=''):
        """The next requests that fit behave so, one behaviour each: 'ok', an int status, ('429', '3'), 'hang', 'html', 'truncated', 'text', 'ignore',
        'wrong_self', 'no_self', 'away', 'loop', 'no_body', or a function of the handler."""
        with self.lock:
            self.plans.append([method, path, list(behaviours)])

    def seen(self, method=None, path=None):
        with self.lock:
            return [r for r in self.requests if (not method or r['method'] == method) and (path is None or path in r['path'])]

    # ---- logins

    def give_token(self, h, body):
        form = dict(urllib.parse.parse_qsl(body.decode()))
        try:
            who, secret = base64.b64decode(h.headers.get('Authorization', '').removeprefix('Basic ')).decode().split(':', 1)
        except ValueError:
            who, secret = '', ''
        if h.command != 'POST' or form.get('grant_type') != 'client_credentials' or who != self.client[0] or self.client[1] not in (None, secret):
            return self.send(h, 401, {'error': 'invalid_client'})
        with self.lock:
            token = f'token-{len(self.issued) + 1}'
            self.issued.add(token)
        self.send(h, 200, {'access_token': token, 'token_type': 'Bearer', 'expires_in': 300, 'scope': form.get('scope', '')}, {'Cache-Control': 'no-store'})

    # ---- requests

    def behaviour(self, method, path):
        with self.lock:
            for p in self.plans:
                if p[2] and (not p[0] or p[0] == method) and p[1] in path:
                    return p[2].pop(0)
        return 'ok'

    def handle(self, h):
        body = h.rfile.read(int(h.headers.get('Content-Length', 0)))
        with self.lock:
            self.requests.append({'method': h.command, 'path': h.path, 'headers': dict(h.headers), 'body': body, 'time': time.monotonic()})
        how = self.behaviour(h.command, h.path)
        if callable(how):
            return how(h)
        if how == 'hang':
            time.sleep(20)
            return
        if isinstance(how, int) or isinstance(how, tuple):
            status = how if isinstance(how, int) else int(how[0])
            headers = {} if isinstance(how, int) else {'Retry-After': how[1]}
            return self.send(h, status, outcome('throttled' if status == 429 else 'transient' if status == 503 else 'exception'), headers)
        if how == 'html':
            return self.raw(h, 200, 'text/html', b'<html><body>Please log in</body></html>')
        if how == 'text':
            return self.raw(h, 200, 'text/plain', b'{"resourceType":"Patient","id":"1"}')
        if self.client and h.path == '/token':
            return self.give_token(h, body)
        if self.token and h.headers.get('Authorization', '')[7:] not in {self.token, *self.issued}:
            return self.send(h, 401, outcome('login'), {'WWW-Authenticate': 'Bearer'})
        try:
            with self.lock:
                status, value, headers = self.route(h, body, how)
        except Refusal as e:
            status, value, headers = e.status, outcome(e.code, e.expression), e.headers
        if how == 'truncated':
            return self.raw(h, 200, 'application/fhir+json', json.dumps(value).encode()[:-20])
        if how == 'no_body':
            value = None
        if how == 'lost':  # done, and nobody hears of it
            h.close_connection = True
            return
        self.send(h, status, value, headers)

    def send(self, h, status, value, headers=None):
        self.raw(h, status, 'application/fhir+json', b'' if value is None else json.dumps(value).encode(), headers)

    def raw(self, h, status, kind, out, headers=None):
        h.send_response(status)
        if out:
            h.send_header('Content-Type', kind)
        h.send_header('Content-Length', str(len(out)))
        for k, v in (headers or {}).items():
            h.send_header(k, v)
        h.end_headers()
        h.wfile.write(out)

    def route(self, h, body, how):
        u = urllib.parse.urlsplit(h.path)
        query = urllib.parse.parse_qsl(u.query, keep_blank_values=True)
        if not u.path.startswith(self.base):
            raise Refusal(404, 'not-found')
        part = [urllib.parse.unquote(p) for p in u.path[len(self.base):].split('/') if p]
        kind = h.headers.get('Content-Type', '')
        value = json.loads(body) if body and 'json' in kind else None
        if h.command == 'POST' and part and part[-1] == '_search':
            query += urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
            return self.search(part[:-1], query, how, post=True)
        if not part:
            return self.bundle(value) if h.command == 'POST' else self.snapshot(query, how)
        if part == ['metadata']:
            return 200, {'resourceType': 'CapabilityStatement', 'status': 'active', 'date': '2026-01-01', 'kind': 'instance', 'fhirVersion': '4.0.1', 'format': ['json']}, {}
        if part[-1][0] == '$':
            return self.operation(h.command, part, query, value, how)
        if part[-1] == '_history' or (len(part) == 4 and part[2] == '_history'):
            return self.history(part)
        if h.command == 'GET':
            return self.search(part, query, how) if len(part) in (1, 3) else self.read(part)
        return self.write(h, part, query, value)

    def live(self, kind, rid):
        v = self.versions.get((kind, rid))
        if not v:
            raise Refusal(404, 'not-found')
        if v[-1] is None:
            raise Refusal(410, 'deleted')
        return v[-1]

    @staticmethod
    def tag(r):
        return {'ETag': f'W/"{r["meta"]["versionId"]}"'}

    def read(self, part):
        r = self.live(*part)
        return 200, r, self.tag(r)

    def history(self, part):
        if len(part) == 4:
            v = self.versions.get((part[0], part[1]), [])
            n = int(part[3]) if part[3].isdigit() else 0
            if not 1 <= n <= len(v):
                raise Refusal(404, 'not-found')
            return 200, v[n - 1], self.tag(v[n - 1])
        entries = []
        for (kind, rid), v in self.versions.items():
            if kind == part[0] and (len(part) == 2 or rid == part[1]):
                entries += [{'fullUrl': f'{self.url}/{kind}/{rid}', **({'resource': r} if r else {}), 'request': {'method': 'PUT' if r else 'DELETE', 'url': f'{kind}/{rid}'}} for r in reversed(v)]
        return 200, {'resourceType': 'Bundle', 'type': 'history', 'total': len(entries), 'entry': entries}, {}

    # ---- searches

    def meets(self, r, name, value):
        base, _, modifier = name.partition(':')
        alternatives = [plain(v) for v in split(value, ',')]
        if base == '_id':
            return r['id'] in alternatives
        if base == '_lastUpdated':
            return True
        if base in ('identifier', 'code', 'status', 'gender'):
            have = r.get(base)
            have = have if isinstance(have, list) else [have]
            for v in split(value, ','):
                system, bar, code = [plain(x) for x in (v.rpartition('|') if '|' in v and not v.rpartition('|')[0].endswith('\\') else ('', '', v))]
                for x in have:
                    if isinstance(x, str) and x == code:
                        return True
                    if isinstance(x, dict):
                        codings = x.get('coding', [x])
                        if any((c.get('value') or c.get('code')) == code and (not bar or c.get('system', '') == system) for c in codings):
                            return True
            return False
        if base in ('patient', 'subject', 'beneficiary', 'encounter'):
            refs = [x.get('reference', '') for k, x in r.items() if isinstance(x, dict) and k in ('subject', 'patient', 'beneficiary', 'encounter', 'context')]
            return any(a in refs or f'Patient/{a}' in refs or f'Encounter/{a}' in refs for a in alternatives)
        if base in ('birthdate', 'date'):
            have = r.get('birthDate') or r.get('effectiveDateTime') or r.get('performedDateTime') or (r.get('period') or r.get('performedPeriod') or {}).get('start') or ''
            for a in alternatives:
                m = PREFIX.match(a)
                p, d = (m.group(1) or 'eq', m.group(2)) if m else ('eq', a)
                cut = have[:len(d)]
                if have and {'eq': cut == d, 'ne': cut != d, 'gt': cut > d, 'lt': cut < d, 'ge': cut >= d, 'le': cut <= d}.get(p, True):
                    return True
            return False
        return any(any(t.startswith(a.lower()) for t in texts(r)) for a in alternatives)

    def search(self, part, query, how, post=False):
        kind = part[-1]
        within = f'{part[0]}/{part[1]}' if len(part) == 3 else None
        names = [n for n, _ in query if n not in CONTROL]
        if how == 'ignore' and names:
            query = [q for q in query if q[0] != names[0]]
        found = [v[-1] for (k, _), v in sorted(self.versions.items()) if k == kind and v[-1]]
        for n, v in query:
            if n not in CONTROL:
                found = [r for r in found if self.meets(r, n, v)]
        if within:
            found = [r for r in found if within in texts_exact(r)]
        entries = [{'fullUrl': f'{self.url}/{r["resourceType"]}/{r["id"]}', 'resource': r, 'search': {'mode': 'match'}} for r in found]
        include = [v for n, v in query if n == '_include']
        count = int(next((v for n, v in query if n == '_count'), self.page))
        token = str(len(self.snapshots))
        shown = [(n, v) for n, v in query]
        self.snapshots[token] = (entries, count, include, urllib.parse.urlencode(shown), '/'.join(part))
        return self.page_of(token, 0, how, post)

    def included(self, entries, include):
        out, have = [], set()
        for e in entries:
            for i in include:
                x = e['resource'].get(i.split(':')[1]) or {}
                ref = x.get('reference', '')
                r = self.versions.get(tuple(ref.split('/')[:2]))
                if r and r[-1] and ref not in have:
                    have.add(ref)
                    out.append({'fullUrl': f'{self.url}/{ref}', 'resource': r[-1], 'search': {'mode': 'include'}})
        return out

    def page_of(self, token, n, how, post=False):
        entries, count, include, query, path = self.snapshots[token]
        here = entries[n * count:(n + 1) * count]
        link = []
        if how != 'no_self':
            q = 'wrong=1' if how == 'wrong_self' else query
            link.append({'relation': 'self', 'url': f'{self.url}/{path}' + (f'?{q}' if q and not post else '')})
        if (n + 1) * count < len(entries) or how == 'loop':
            to = 0 if how == 'loop' else n + 1
            origin = 'http://127.0.0.1:9' + self.base if how == 'away' else self.url
            link.append({'relation': 'next', 'url': f'{origin}?_getpages={token}&n={to}'})
        return 200, {'resourceType': 'Bundle', 'type': 'searchset', 'total': len(entries), 'link': link, 'entry': here + self.included(here, include)}, {}

    def snapshot(self, query, how):
        q = dict(query)
        if q.get('_getpages') not in self.snapshots:
            raise Refusal(410, 'not-found')
        return self.page_of(q['_getpages'], int(q['n']), how)

    # ---- writes

    def matching(self, kind, query):
        q = urllib.parse.parse_qsl(query, keep_blank_values=True) if isinstance(query, str) else query
        return [v[-1] for (k, _), v in self.versions.items() if k == kind and v[-1] and all(self.meets(v[-1], n, x) for n, x in q)]

    def create(self, r, if_none_exist=None):
        if if_none_exist is not None:
            hits = self.matching(r['resourceType'], if_none_exist)
            if len(hits) > 1:
                raise Refusal(412, 'multiple-matches')
            if hits:
                return 200, None, {**self.tag(hits[0]), 'Location': f'{self.url}/{r["resourceType"]}/{hits[0]["id"]}'}
        if r['resourceType'] == 'Patient' and r.get('gender') == 'refuse':
            raise Refusal(422, 'invalid', 'Patient.gender')
        self.next_id += 1
        made = self.put(dict(r, id=str(self.next_id)))
        return 201, made, {**self.tag(made), 'Location': f'{self.url}/{r["resourceType"]}/{made["id"]}/_history/1'}

    def update(self, kind, rid, r, if_match=None, create_only=False):
        old = self.get(kind, rid)
        if create_only and old:
            raise Refusal(412, 'conflict')
        if if_match is not None and (not old or if_match.replace('W/', '').strip('"') != old['meta']['versionId']):
            raise Refusal(412, 'conflict')
        if r.get('id') not in (None, rid):
            raise Refusal(400, 'invalid', f'{kind}.id')
        made = self.put(dict(r, id=rid))
        return (200 if old else 201), made, self.tag(made)

    def write(self, h, part, query, value):
        kind, rid = part[0], part[1] if len(part) > 1 else None
        if h.command == 'POST':
            return self.create(value, h.headers.get('If-None-Exist'))
        if not rid and not query:
            raise Refusal(405, 'not-supported')
        if not rid:
            hits = self.matching(kind, query)
            if len(hits) > 1:
                raise Refusal(412, 'multiple-matches')
            if not hits:
                return self.create(value) if h.command == 'PUT' else (204, None, {})
            rid = hits[0]['id']
        if h.command == 'PUT':
            return self.update(kind, rid, value, h.headers.get('If-Match'), h.headers.get('If-None-Match') == '*')
        if h.command == 'DELETE':
            self.live(kind, rid)
            if h.headers.get('If-Match') and h.headers['If-Match'].strip('W/"') != self.get(kind, rid)['meta']['versionId']:
                raise Refusal(412, 'conflict')
            self.versions[(kind, rid)].append(None)
            return 204, None, {}
        r = copy.deepcopy(self.live(kind, rid))
        if h.headers.get('If-Match') and h.headers['If-Match'].strip('W/"') != r['meta']['versionId']:
            raise Refusal(412, 'conflict')
        for op in value:
            at = r
            *way, last = op['path'].strip('/').split('/')
            for w in way:
                at = at[int(w)] if isinstance(at, list) else at[w]
            if op['op'] == 'test' and at.get(last) != op['value']:
                raise Refusal(422, 'invalid')
            if op['op'] in ('add', 'replace'):
                at[last] = op['value']
            if op['op'] == 'remove':
                del at[last]
        made = self.put(r)
        return 200, made, self.tag(made)

    def bundle(self, b):
        kind, entries, before = b['type'], [], copy.deepcopy(self.versions)
        for e in b['entry']:
            q, r = e['request'], e.get('resource')
            part = q['url'].split('?')[0].split('/')
            try:
                if q['method'] == 'POST':
                    status, value, headers = self.create(r, q.get('ifNoneExist'))
                elif q['method'] == 'PUT':
                    status, value, headers = self.update(part[0], part[1], r, q.get('ifMatch'))
                elif q['method'] == 'DELETE':
                    self.live(*part)
                    self.versions[tuple(part)].append(None)
                    status, value, headers = 204, None, {}
                else:
                    status, value, headers = self.read(part)
                entries.append({**({'resource': value} if value else {}), 'response': {'status': f'{status} x', **({'etag': headers['ETag']} if 'ETag' in headers else {}), **({'location': headers['Location']} if 'Location' in headers else {})}})
            except Refusal as x:
                if kind == 'transaction':
                    self.versions = before
                    raise
                entries.append({'response': {'status': str(x.status), 'outcome': outcome(x.code, x.expression)}})
        return 200, {'resourceType': 'Bundle', 'type': kind + '-response', 'entry': entries}, {}

    def operation(self, method, part, query, value, how):
        if part[-1] == '$everything':
            me = '/'.join(part[:2])
            found = [v[-1] for (k, i), v in sorted(self.versions.items()) if v[-1] and (f'{k}/{i}' == me or me in texts_exact(v[-1]))]
            token = str(len(self.snapshots))
            self.snapshots[token] = ([{'fullUrl': f'{self.url}/{r["resourceType"]}/{r["id"]}', 'resource': r} for r in found], self.page, [], '', '/'.join(part))
            return self.page_of(token, 0, how)
        if part[-1] == '$match':
            found = [v[-1] for (k, _), v in sorted(self.versions.items()) if k == 'Patient'][:1]
            return 200, {'resourceType': 'Bundle', 'type': 'searchset', 'entry': [{'resource': r, 'search': {'mode': 'match'}} for r in found]}, {}
        given = [{'name': n, 'valueString': v} for n, v in query] if method == 'GET' else (value or {}).get('parameter', [])
        return 200, {'resourceType': 'Parameters', 'parameter': [{'name': 'method', 'valueString': method}] + given}, {}


def texts_exact(x):
    if isinstance(x, dict):
        return [t for v in x.values() for t in texts_exact(v)]
    if isinstance(x, list):
        return [t for v in x for t in texts_exact(v)]
    return [x]


def http_date(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


if __name__ == '__main__':
    s = FhirServer(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f'FHIR at {s.url}', flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        s.close()
