#!/usr/bin/env python3
"""hdwc gen connector: documents of real servers become modules that check and are formatted; hostile documents become nothing else than text.
--update writes the golden modules anew; HDW_CONNECTOR_CORPUS names a folder with more documents, of which all have to do."""
import json, os, shutil, subprocess, sys, tempfile, unittest
from pathlib import Path

HDWC = str(Path(os.environ.get("HDWC", "build/hdwc")).resolve())
HERE = Path(__file__).resolve().parents[1] / "conformance" / "connectors"
GOLDEN = {"lantern-test-r4.json": [], "cms-bcda-bluebutton-stu3.json": ["--name", "bluebutton", "--ranges=value"], "cdc-reportstream-settings.yml": ["--name", "reportstream", "--auth", "oauth2"]}


def hdwc(*args):
    return subprocess.run([HDWC, *map(str, args)], capture_output=True, text=True, timeout=120)


def document(path):
    """Whether a file of a folder is one that a connector is made of (and not a part of one)."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(w in text for w in ('"CapabilityStatement"', '"Conformance"', '"openapi"', '"swagger"')) if path.suffix == ".json" else text.lstrip("\ufeff").startswith(("openapi:", "swagger:")) or "\nopenapi:" in text


class Base(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="hdw-gen-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def put(self, name, what):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(what if isinstance(what, str) else json.dumps(what))
        return path

    def make(self, path, *args, status=0):
        """The module as text; it checks, is formatted, and is the same when it is made again."""
        out = self.dir / "out"
        p = hdwc("gen", "connector", path, "-o", out, *args)
        self.assertEqual(p.returncode, status, p.stderr)
        if status:
            return p.stderr
        made = Path(next(line for line in p.stdout.splitlines() if line.endswith(".hdw")))
        check = hdwc("check", made)
        self.assertEqual(check.returncode, 0, f"{path}: {check.stdout[:2000]}")
        bad = [line for line in check.stdout.splitlines() if line.startswith("warning") and "W0901" not in line]
        self.assertEqual(bad, [], path)
        self.assertEqual(hdwc("fmt", "--check", made).stdout, "", path)
        again = hdwc("gen", "connector", path, "-o", out, "--check", *args)
        self.assertEqual((again.returncode, again.stdout), (0, ""), "made again it is the same")
        self.notes = p.stderr
        return made.read_text()

    def check(self, text, name="use.hdw"):
        p = hdwc("check", self.put("out/" + name, text))
        return p.returncode, p.stdout


class Documents(Base):
    def test_all_documents_give_modules_that_check(self):
        folders = [HERE / "documents"] + ([Path(os.environ["HDW_CONNECTOR_CORPUS"])] if "HDW_CONNECTOR_CORPUS" in os.environ else [])
        found = sorted(f for d in folders for f in d.rglob("*") if f.suffix in (".json", ".yml", ".yaml") and document(f))
        self.assertGreaterEqual(len(found), 5)
        for f in found:
            with self.subTest(f.name):
                shutil.rmtree(self.dir / "out", ignore_errors=True)
                self.make(f)

    def test_golden_modules(self):
        for name, options in GOLDEN.items():
            with self.subTest(name):
                text = self.make(HERE / "documents" / name, *options)
                self.assertEqual(text, (HERE / "expect" / (name.split(".")[0] + ".hdw")).read_text())

    def test_check_names_what_would_change(self):
        path = HERE / "documents" / "lantern-test-r4.json"
        self.make(path)
        made = self.dir / "out" / "lantern_test_r4.hdw"
        made.write_text(made.read_text() + "\n// mine\n")
        p = hdwc("gen", "connector", path, "-o", self.dir / "out", "--check")
        self.assertEqual(p.returncode, 1)
        self.assertIn("lantern_test_r4.hdw would change", p.stdout)

    def test_only_and_prefix(self):
        path = HERE / "documents" / "cms-bcda-bluebutton-stu3.json"
        text = self.make(path, "--only", "Patient", "--prefix", "bb")
        self.assertIn("action bbReadPatient(", text)
        self.assertNotRegex(text, "action [A-Za-z]*Coverage")
        self.assertIn("has nothing", self.make(path, "--only", "Nothing", status=1))

    def test_what_is_no_statement(self):
        self.assertIn("neither a CapabilityStatement nor", self.make(self.put("a.json", {}), status=1))
        self.assertIn("this is a Patient", self.make(self.put("b.json", {"resourceType": "Patient"}), status=1))
        self.assertIn("--smart", self.make(self.put("c.json", {"token_endpoint": "https://a.example/t"}), status=1))
        self.assertIn("d.json:1:2: no valid JSON", self.make(self.put("d.json", "{"), status=2))
        self.assertIn("e.yaml:2:", self.make(self.put("e.yaml", "a: [1\nb: 2\n"), status=2))
        self.assertEqual(hdwc("gen", "connector").returncode, 2)
        self.assertEqual(hdwc("gen", "nothing", "x").returncode, 2)


def server(resources=(), **more):
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": list(resources), **more}]}


def patient(*params, interactions=("read", "search-type")):
    return {"type": "Patient", "interaction": [{"code": c} for c in interactions], "searchParam": list(params)}


class Login(Base):
    def test_found(self):
        uris = {"extension": [{"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": [{"url": "token", "valueUri": "https://a.example/token"}]}]}
        text = self.make(self.put("a.json", server([patient()], security=uris)))
        self.assertIn("smart_backend(", text)
        self.assertIn("setting a_token: url = 'https://a.example/token'", text)
        self.assertIn("'system/Patient.read'", text)
        text = self.make(self.put("b.json", server([patient()], security={"service": [{"text": "Basic"}]})))
        self.assertIn("auth:    basic(b_user, secret('b_password'))", text)

    def test_smart_configuration(self):
        smart = self.put("smart.json", {"token_endpoint": "https://b.example/t", "capabilities": ["permission-v2"], "token_endpoint_auth_methods_supported": ["private_key_jwt"]})
        text = self.make(self.put("a.json", server([patient(interactions=("read", "create", "search-type"))])), "--smart", smart)
        self.assertIn("= 'https://b.example/t'", text)
        self.assertIn("'system/Patient.crs'", text)

    def test_schemes(self):
        for scheme, want in (({"type": "http", "scheme": "bearer"}, "bearer(secret('a_token'))"), ({"type": "apiKey", "in": "header", "name": "X-Key"}, "api_key(header: 'X-Key', key: secret('a_key'))"),
                             ({"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://a.example/t", "scopes": {"read": "x"}}}}, "scopes:        ['read']")):
            doc = {"openapi": "3.0.3", "info": {"title": "x", "version": "1"}, "paths": {}, "components": {"securitySchemes": {"k": scheme}}}
            self.assertIn(want, self.make(self.put("a.json", doc)))


class Against(Base):
    def setUp(self):
        super().setUp()
        own = {"name": "mbi", "type": "token"}
        self.put("out/m.json", server([patient({"name": "family", "type": "string"}, {"name": "birthdate", "type": "date"}, own), {"type": "Coverage", "interaction": [{"code": "read"}]}], operation=[{"name": "docref"}]))

    def calls(self, *lines, params="id: string, p: Patient, c: Coverage"):
        steps = "\n".join(f"  step s{i} = x.{line}" for i, line in enumerate(lines))
        return self.check(f"hdw 1\nsetting base: url\nconnection x = fhir(base: base) against('m.json')\naction a({params}): any? {{\n{steps}\n  return s0\n}}\n")

    def test_what_the_server_has(self):
        status, out = self.calls("search(Patient, family: 'a', 'family:exact': 'b', mbi: 'c', _count: 3, _include: 'Patient:organization')", "read(Coverage, id)", "operation('$docref', parameters: { a: 1 })")
        self.assertEqual(status, 0, out)

    def test_what_it_has_not(self):
        for call, say in (("search(Coverage, status: 'active')", "'x' does not support search of Coverage"), ("read(Observation, id)", "'x' does not serve Observation"), ("update(p)", "'x' does not support update of Patient"),
                          ("create(c)", "does not support create of Coverage"), ("search(Patient, given: 'a')", "'x' has no search parameter 'given' for Patient"),
                          ("everything(Patient, id)", "'x' has no operation 'everything'"), ("transaction({ resourceType: 'Bundle', type: 'transaction' })", "'x' does not support transaction")):
            status, out = self.calls(call)
            self.assertEqual(status, 1, call)
            self.assertIn(say, out)
            self.assertIn("m.json", out)
        self.assertIn("it has: family, birthdate, mbi", self.calls("search(Patient, given: 'a')")[1])
        self.assertIn("of Coverage it supports: read", self.calls("create(c)")[1])

    def test_statements_that_cannot_be_read(self):
        for name, text, say in (("a.json", "{", "no valid JSON"), ("b.json", "{}", "this is no CapabilityStatement"), ("c.json", '{"resourceType": "Conformance"}', "describes no server")):
            self.put("out/" + name, text)
            status, out = self.check(f"hdw 1\nsetting base: url\nconnection x = fhir(base: base) against('{name}')\n")
            self.assertEqual(status, 1)
            self.assertIn(say, out)
        self.assertIn("there is no file", self.check("hdw 1\nsetting base: url\nconnection x = fhir(base: base) against('none.json')\n")[1])
        self.assertIn("only a fhir connection", self.check("hdw 1\nsetting base: url\nconnection x = rest(base: base) against('m.json')\n")[1])

    def test_another_version_is_checked_against_the_server_alone(self):
        doc = {"resourceType": "Conformance", "fhirVersion": "1.0.2", "rest": [{"resource": [{"type": "MedicationOrder", "interaction": [{"code": "search-type"}], "searchParam": [{"name": "x", "type": "string"}]}]}]}
        self.put("out/d.json", doc)
        text = "hdw 1\nsetting base: url\nconnection x = fhir(base: base, version: DSTU2) against('d.json')\naction a(): any {\n  step s = x.search(MedicationOrder, %s: 'a')\n  return s\n}\n"
        self.assertEqual(self.check(text % "x")[0], 0)
        self.assertIn("no search parameter 'y'", self.check(text % "y")[1])


def api(paths, schemas=None, **more):
    return {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": paths, "components": {"schemas": schemas or {}}, **more}


def answer(schema):
    return {"responses": {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}}


class Schemas(Base):
    def test_kinds(self):
        pet = {"type": "object", "required": ["id", "name"], "properties": {
            "id": {"type": "integer", "format": "int64"}, "name": {"type": "string"}, "born": {"type": "string", "format": "date"}, "kind": {"type": "string", "enum": ["cat", "dog"]},
            "weight": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}, "friends": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}},
            "either": {"oneOf": [{"type": "string"}, {"type": "object"}]}, "maybe": {"type": ["string", "null"]}, "x-odd": {"type": "boolean"}, "div": {"type": "string"}, "Patient": {"type": "string"}}}
        named = {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "object", "properties": {"owner": {"type": "string"}}, "required": ["owner"]}]}
        text = self.make(self.put("shop.json", api({"/pets/{id}": {"get": {**answer({"$ref": "#/components/schemas/Owned"})}}}, {"Pet": pet, "Owned": named})))
        for line in ("id:      long", "born:    date?", "kind:    string?  // one of cat, dog", "friends: Pet*", "either:  any?", "maybe:   string?", "`x-odd`: boolean?", "div:     string?", "owner:   string\n"):
            self.assertIn(line, text)
        self.assertIn('shop.get("/pets/{id}")', text)

    def test_names_never_collide(self):
        get = answer({"type": "object", "properties": {"a": {"type": "string"}}})
        ps = [{"name": n, "in": "query", "schema": {"type": "string"}} for n in ("and", "or", "error", "extra", "answer", "x", "a-b", "a_b", "A-B", "1st", "for", "let", "ä", "")]
        text = self.make(self.put("x.json", api({"/Patient": {"get": {"operationId": "get Patient", "parameters": ps, **get}}, "/patient": {"get": {"operationId": "getPatient", **get}}, "/and": {"get": {"operationId": "and", **get}}})))
        self.assertIn("action getPatient(", text)
        self.assertIn("action getPatient_2(", text)
        self.assertIn("action and_(", text)

    def test_login_of_most_calls(self):
        schemes = {"basic": {"type": "basic"}, "token": {"type": "apiKey", "in": "header", "name": "Authorization"}}
        paths = {"/auth": {"post": {"security": [{"basic": []}], **answer({"type": "string"})}}, "/a": {"get": {"security": [{"token": []}], **answer({"type": "string"})}}, "/b": {"get": {"security": [{"token": []}], **answer({"type": "string"})}}}
        self.assertIn("auth: api_key(header: 'Authorization'", self.make(self.put("a.json", {"swagger": "2.0", "info": {"title": "t"}, "securityDefinitions": schemes, "paths": paths})))

    def test_resources_of_any_kind_keep_their_members(self):
        base = {"properties": {"resourceType": {"type": "string"}, "id": {"type": "string"}}}
        entry = {"type": "object", "properties": {"fullUrl": {"type": "string"}, "resource": {"$ref": "#/components/schemas/Resource"}, "patient": {"$ref": "#/components/schemas/Patient"}}}
        text = self.make(self.put("a.json", api({"/a": {"get": answer(entry)}}, {"Resource": base, "Patient": {"allOf": [{"$ref": "#/components/schemas/Resource"}, {"properties": {"text": {"type": "object"}}}]}})))
        self.assertIn("resource: any?", text)
        self.assertIn("patient:  any?", text)

    def test_files(self):
        self.put("all/api.yaml", "openapi: 3.0.3\ninfo: { title: t, version: '1' }\npaths:\n  /a:\n    $ref: paths/a.yaml\n")
        self.put("all/paths/a.yaml", "get:\n  responses:\n    '200':\n      description: ok\n      content:\n        application/json:\n          schema:\n            $ref: ../schemas/Tree.yaml\n")
        self.put("all/schemas/Tree.yaml", "type: object\nproperties:\n  name: { type: string }\n  kids: { type: array, items: { $ref: Tree.yaml } }\n  out: { $ref: ../../secret.yaml }\n  far: { $ref: 'https://a.example/x.yaml' }\n  abs: { $ref: /etc/passwd }\n")
        self.put("secret.yaml", "type: object\nproperties: { password: { type: string } }\n")
        text = self.make(self.dir / "all" / "api.yaml")
        self.assertIn("kids: Tree*", text)
        self.assertNotIn("password", text)
        self.assertIn("outside of the document's folder", self.notes)
        self.assertIn("references go to files beside the document", self.notes)

    def test_swagger_2(self):
        doc = {"swagger": "2.0", "info": {"title": "t"}, "host": "a.example", "basePath": "/v1", "schemes": ["https"], "securityDefinitions": {"b": {"type": "basic"}}, "definitions": {"A": {"type": "object", "properties": {"n": {"type": "integer"}}}},
               "paths": {"/a": {"post": {"parameters": [{"in": "body", "name": "a", "schema": {"$ref": "#/definitions/A"}}], "responses": {"200": {"schema": {"$ref": "#/definitions/A"}}}}}}}
        text = self.make(self.put("a.json", doc))
        self.assertIn("url = 'https://a.example/v1'", text)
        self.assertIn("action postA(body: A?): A {", text)

    def test_it_runs(self):
        self.put("shop.json", api({"/pets/{id}": {"get": {"operationId": "getPet", "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}], **answer({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})}}}))
        self.make(self.dir / "shop.json")
        main = self.put("out/main.hdw", "hdw 1\nuse shop\nlistener web = http(port: 8080)\nworkflow w on m = web.post('/a') {\n  step pet = getPet(m.body.id)\n  return { was: pet.name }\n}\n")
        p = hdwc("run", main, "--json", self.put("in.json", {"id": "7"}), "--mock", self.put("mock.json", {"shop.get": {"name": "Rex"}}))
        self.assertEqual(p.returncode, 0, p.stderr)
        out = json.loads(p.stdout)
        self.assertEqual(out["result"], {"was": "Rex"})
        self.assertEqual(out["effects"][0]["arguments"]["path"], "/pets/7")


class Hostile(Base):
    """Nothing of a document gets out of its string, its comment or its name."""
    EVIL = ["*/ } action evil() { step x.get('/') }\n", "'\n}\naction evil() {}\n//", "\\', evil: '", "a\r\nlisten", "\u2028action evil() {}", "\u202eevil", "{evil()}", "\"{evil}\"", "`evil`", "a\x00b", "<b>evil</b>", "\u0085evil", "é" * 300, "../../evil"]

    def no_code(self, text):
        lines = [line for line in text.split("\n") if not line.lstrip().startswith("//")]
        code = "\n".join(line.split("//")[0] if "'" not in line else line for line in lines)
        self.assertNotRegex(code, r"(?m)^\s*(action\s+evil\(\)\s*\{\s*\}|listener|workflow|action evil\(\) \{ step)")
        for bad in ("\r", "\u2028", "\u202e", "\x00", "\u0085"):
            self.assertNotIn(bad, text)

    def test_texts_of_a_statement(self):
        every, kinds = " ".join(self.EVIL), list(zip(self.EVIL, self.EVIL[1:]))
        params = [{"name": a, "type": b, "documentation": b} for a, b in kinds] + [{"name": f"p{i}", "type": "string", "documentation": e} for i, e in enumerate(self.EVIL)]
        doc = server([{"type": "Patient", "documentation": every, "interaction": [{"code": c} for c in ("read", "search-type", "create", every)], "operation": [{"name": a, "definition": b} for a, b in kinds], "searchParam": params}]
                     + [{"type": e, "interaction": [{"code": "read"}]} for e in self.EVIL],
                     security={"extension": [{"url": "x/oauth-uris", "extension": [{"url": "token", "valueUri": "https://a.example/" + every}]}]}, operation=[{"name": a} for a, _ in kinds])
        for evil in (every, self.EVIL[1], self.EVIL[-2]):
            doc.update({"date": evil, "publisher": evil, "title": evil, "software": {"name": evil, "version": evil}, "implementation": {"url": "https://" + evil, "description": evil}})
            self.no_code(self.make(self.put("metadata.json", doc)))

    def test_texts_of_an_api(self):
        every = " ".join(self.EVIL)
        shape = {"type": "object", "title": every, "description": every, "required": self.EVIL, "properties": {**{e: {"type": "string", "description": e} for e in self.EVIL}, "a": {"type": "string", "enum": self.EVIL, "description": every}}}
        paths, schemas = {}, {}
        for i, evil in enumerate(self.EVIL):
            op = {"operationId": evil, "summary": evil, "description": evil, "tags": [evil], "parameters": [{"name": evil, "in": w, "required": True, "description": evil, "schema": {"type": "string"}} for w in ("query", "header", "path")],
                  "requestBody": {"content": {"application/x+json; " + evil: {"schema": shape}}}, **answer({"$ref": "#/components/schemas/" + evil.replace("~", "~0").replace("/", "~1")})}
            paths[f"/{i}/{{" + evil.replace("/", "") + "}/b"] = {"post": op, "get": {**op, "requestBody": {}}}
            paths["/" + evil] = {"delete": {}}
            schemas[evil] = shape
        doc = api(paths, schemas, servers=[{"url": "https://a.example/" + every}])
        doc["info"] = {"title": every, "version": every}
        doc["components"]["securitySchemes"] = {e: {"type": "apiKey", "in": "header", "name": e} for e in self.EVIL}
        self.no_code(self.make(self.put("api.json", doc), "--name", "m"))

    def test_cycles_and_depth(self):
        self.make(self.put("a.json", api({"/a": {"get": answer({"$ref": "#/components/schemas/A"})}}, {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}})))
        self.assertIn("in a circle", self.notes)
        self.make(self.put("b.json", api({"/a": {"get": answer({"$ref": "#/components/schemas/A"})}}, {"A": {"allOf": [{"$ref": "#/components/schemas/A"}, {"properties": {"x": {"type": "string"}}}]}})))
        deep = {"type": "string"}
        for _ in range(70):
            deep = {"type": "array", "items": deep}
        self.make(self.put("c.json", api({"/a": {"get": answer(deep)}})))
        wide = {f"S{i}": {"allOf": [{"$ref": f"#/components/schemas/S{i + 1}"}] * 8} for i in range(20)}
        self.assertIn("more than", self.make(self.put("d.json", api({"/a": {"get": answer({"$ref": "#/components/schemas/S0"})}}, {**wide, "S20": {"properties": {"x": {"type": "string"}}}})), status=1))

    def test_yaml_bombs(self):
        bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
        self.assertIn("grows to more than", self.make(self.put("a.yaml", bomb), status=2))
        self.assertIn("inside of what it names", self.make(self.put("b.yaml", "a: &a [*a]\n"), status=2))
        self.assertIn("nested too deeply", self.make(self.put("c.yaml", "a: " + "[" * 400), status=2))
        self.make(self.put("d.yaml", "? {a: b}\n: c\n"), status=2)

    def test_words_of_a_server(self):
        """What an owner of the module reads: the server's words where they say something of this parameter, whole sentences, no markup."""
        same = "The client SHALL provide at least a code value and MAY provide both the system and code values."
        params = [{"name": n, "type": "token", "documentation": same} for n in ("a", "b", "c", "d")]
        params += [{"name": "_count", "type": "number", "documentation": "How many."}, {"name": "_format", "type": "token"}, {"name": "e", "type": "date", "documentation": "## Head\nThe date &ndash; of <b>it</b>. " + "And more of it. " * 9 + "\n\n* a list"}]
        together = {"url": "http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination", "extension": [{"url": "required", "valueString": "a"}, {"url": "required", "valueString": "e"}, {"url": "optional", "valueString": "b"}]}
        text = self.make(self.put("a.json", server([{**patient(*params, interactions=("search-type", "patch", "history-instance")), "extension": [together]}], implementation={"url": "https://a.example:PORT/r4"}, date="SOME_DAY")))
        self.assertNotIn("SHALL", text)
        self.assertIn("_count: integer?,", text)
        self.assertNotIn("_format", text)
        self.assertRegex(text, r"e: +dateRange\?, +// date: The date - of it\. And more of it\.( And more of it\.)*\n")
        self.assertIn("/// Together: a + e + (b).", text)
        self.assertIn("patch(Patient, id, set: set, remove: remove)", text)
        self.assertIn("action historyPatient(id: id): Patient* {", text)
        self.assertNotIn("PORT", text)
        self.assertIn("FHIR R4.\n", text)
        self.assertLessEqual(max(len(line) for line in text.split("\n")), 120)

    def test_scopes_of_other_versions(self):
        """A type that R4 does not have is a scope like others in a module of DSTU2, and a mistake in one of R4."""
        doc = {"resourceType": "Conformance", "fhirVersion": "1.0.2", "rest": [{"security": {"service": [{"text": "OAuth"}]}, "resource": [{"type": "MedicationOrder", "interaction": [{"code": "read"}]}]}]}
        self.assertIn("'system/MedicationOrder.read'", self.make(self.put("d.json", doc)))
        self.assertIn("W0317", self.check("hdw 1\nsetting u: url\nconnection x = fhir(base: u, auth: oauth2(token: u, client_id: 'a', client_secret: secret('s'), scopes: ['system/MedicationOrder.read']))\n")[1])

    def test_many_parameters(self):
        text = self.make(self.put("a.json", server([patient(*({"name": f"p{i}", "type": "string"} for i in range(90)))])))
        self.assertIn("p47:", text)
        self.assertNotIn("p48:", text)
        self.assertIn("42 of its 90 search parameters are left to 'extra'", self.notes)


def update():
    for name, options in GOLDEN.items():
        with tempfile.TemporaryDirectory() as d:
            hdwc("gen", "connector", HERE / "documents" / name, "-o", d, *options)
            shutil.copy(next(Path(d).glob("*.hdw")), HERE / "expect" / (name.split(".")[0] + ".hdw"))


if __name__ == "__main__":
    if "--update" in sys.argv:
        update()
    else:
        unittest.main(verbosity=1)
