"""FHIR servers that behave as vendors' do, as far as the adapters of stdlib/lib count on it: each is the test server with what is different."""
import re
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
        if kind == 'Coverage' and names - {'patient', 'beneficiary', '_id', '_count'}:
            raise Refusal(400, 'not-supported')  # as before the version of May 2024
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
    """Writes give no body: a create says where it is, a change only its version. A patch needs If-Match and takes listed operations only; conflicts are 409.
    Date ranges of Observations are closed ones."""
    PATCHES = re.compile(r'(replace /(gender|birthDate|maritalStatus|communication|extension)|(test|replace|remove) /(identifier|name|telecom|address)/[0-9]+(/[a-zA-Z]+)?)$')

    def write(self, h, part, query, value):
        if h.command == 'PATCH' and not h.headers.get('If-Match'):
            raise Refusal(412, 'conflict')
        if h.command == 'PATCH' and not all(self.PATCHES.match(f'{o["op"]} {o["path"]}') for o in value):
            raise Refusal(422, 'not-supported')
        try:
            status, value, headers = super().write(h, part, query, value)
        except Refusal as x:
            raise Refusal(409, 'conflict') if x.status == 412 else x
        if status == 201:
            headers = {**headers, 'Location': f'{self.url}/{value["resourceType"]}/{value["id"]}'}
        return status, None, headers

    def search(self, part, query, how, post=False):
        names = {n.split(':')[0] for n, _ in query}
        if part[-1] == 'Patient' and not names & {'_id', 'identifier', 'name', 'family', 'given', 'birthdate'}:
            raise Refusal(400, 'required')
        for name in ('date', '_lastUpdated'):
            ends = {v[:2] for n, v in query if n == name} & {'ge', 'gt', 'le', 'lt'}
            if part[-1] == 'Observation' and len(ends) == 1:
                raise Refusal(400, 'invalid')
        if {'date', '_lastUpdated'} <= names:
            raise Refusal(400, 'invalid')
        return super().search(part, query, how, post)


class Athena(FhirServer):
    """Searches name the practice and what the server's statement calls required; nothing is written; the day is as exact as _lastUpdated gets."""
    NEEDS = {'Patient': ({'_id'}, {'identifier'}, {'name'}, {'family', 'birthdate'}, {'family', 'gender'}, {'family', 'given'}),
             'Observation': ({'_id'}, {'patient'}), 'Encounter': ({'_id'}, {'patient'})}

    def search(self, part, query, how, post=False):
        names = {n.split(':')[0] for n, _ in query}
        if dict(query).get('ah-practice') != 'Organization/a-1.Practice-195900':
            raise Refusal(403, 'forbidden')
        if not any(s <= names for s in self.NEEDS[part[-1]]):
            raise Refusal(403, 'required')
        if any(n == '_lastUpdated' and not re.match(r'(eq|g[te]|l[te])?[0-9]{4}-[0-9]{2}-[0-9]{2}$', v) for n, v in query):
            raise Refusal(400, 'invalid')
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
