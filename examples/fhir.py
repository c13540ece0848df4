#!/usr/bin/env python3
"""A small FHIR server for trying things out: prints what is asked of it. It begins with the resources of these JSON files (resources or Bundles).
Usage: fhir.py [PORT [FILE.json...]]"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests', 'integration'))
try:
    from fhir_server import FhirServer  # noqa: E402
except ImportError:
    sys.exit('fhir.py stands on the FHIR server of the tests: run it where it is in the repository, ../tests/integration/fhir_server.py beside it')


class Printing(FhirServer):
    def send(self, h, status, value, headers=None):
        print(f'{h.command} {h.path} -> {status}', flush=True)
        super().send(h, status, value, headers)


def load(server, files):
    for name in files:
        with open(name, encoding='utf-8') as f:
            value = json.load(f)
        entries = value.get('entry', []) if value.get('resourceType') == 'Bundle' else [{'resource': value}]
        for r in (e.get('resource', {}) for e in entries):
            if r.get('resourceType') and r.get('id'):
                server.put(r)


if __name__ == '__main__':
    s = Printing(int(sys.argv[1]) if len(sys.argv) > 1 else 8090)
    s.client = ('hub', None)  # POST /token gives anybody who calls itself so a token, but none is wanted
    load(s, sys.argv[2:])
    print(f'FHIR at {s.url}, with {len(s.versions)} resources', flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        s.close()
