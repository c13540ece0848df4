"""FHIR servers that behave as vendors' do, as far as the adapters of stdlib/lib count on it: each is the test server with what is different."""
import time

from fhir_server import FhirServer, Refusal, outcome


class Epic(FhirServer):
    """Searches need certain parameters together; a result without matches holds an OperationOutcome; no deletes, patches, versions."""

    def search(self, part, query, how, post=False):
        names, kind = {n.split(':')[0] for n, _ in query}, part[-1]
        if kind == 'Patient' and not (names & {'_id', 'identifier'} or {'family', 'given', 'birthdate'} <= names):
            raise Refusal(400, 'required')
        if kind == 'Observation' and not ('_id' in names or ('patient' in names and names & {'category', 'code'})):
            raise Refusal(400, 'required')
        status, bundle, headers = super().search(part, query, how, post)
        if not bundle['entry']:
            warning = outcome('processing', severity='warning')
            bundle['entry'] = [{'resource': warning, 'search': {'mode': 'outcome'}}]
        return status, bundle, headers

    def history(self, part):
        raise Refusal(404, 'not-supported')

    def write(self, h, part, query, value):
        if h.command in ('DELETE', 'PATCH'):
            raise Refusal(405, 'not-supported')
        return super().write(h, part, query, value)


class Cerner(FhirServer):
    """Writes give no body and only a Location; a patch needs If-Match."""

    def write(self, h, part, query, value):
        if h.command == 'PATCH' and not h.headers.get('If-Match'):
            raise Refusal(412, 'conflict')
        status, value, headers = super().write(h, part, query, value)
        if status == 200 and value:
            headers = {**headers, 'Location': f'{self.url}/{value["resourceType"]}/{value["id"]}'}
        return status, None, headers

    def search(self, part, query, how, post=False):
        names = {n.split(':')[0] for n, _ in query}
        if part[-1] == 'Patient' and not names & {'_id', 'identifier', 'name', 'family', 'given', 'birthdate'}:
            raise Refusal(422, 'required')
        return super().search(part, query, how, post)


class Athena(FhirServer):
    """Every search names the practice; nothing is written."""

    def search(self, part, query, how, post=False):
        if dict(query).get('ah-practice') != 'Organization/a-1.Practice-195900':
            raise Refusal(403, 'forbidden')
        return super().search(part, [q for q in query if q[0] != 'ah-practice'], how, post)

    def write(self, h, part, query, value):
        raise Refusal(403, 'not-supported')


class Hapi(FhirServer):
    """The results of a search are used again for a minute, unless the request says no-cache."""

    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.results = {}

    def handle(self, h):
        self.fresh = 'no-cache' in h.headers.get('Cache-Control', '')
        super().handle(h)

    def search(self, part, query, how, post=False):
        key = (tuple(part), tuple(query))
        if not self.fresh and key in self.results and time.monotonic() - self.results[key][0] < 60:
            return self.results[key][1]
        found = super().search(part, query, how, post)
        self.results[key] = (time.monotonic(), found)
        return found
