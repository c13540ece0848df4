#!/usr/bin/env python3
"""hdwc as a user calls it: exit statuses, formats, reproducible builds, lossless HL7, a new project. HDWC names the binary."""
import hashlib, json, os, shutil, subprocess, sys, tempfile, time, unittest
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path

HDWC = str(Path(os.environ.get("HDWC", "build/hdwc")).resolve())
ROOT = Path(__file__).resolve().parents[2]


def hdwc(*args, cwd=None, stdin="", text=True):
    return subprocess.run([HDWC, *map(str, args)], cwd=cwd, input=stdin, capture_output=True, text=text, timeout=120)


class Base(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="hdwc-test-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def put(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


class Files(Base):
    """A program reads files of its own folder and below: it is text from somewhere, and is compiled with somebody's rights."""

    def program(self, name, at="app"):
        self.put("secret.csv", "code,name\nA,x\n")
        self.put("app/lib/in.csv", "code,name\nA,x\n")
        return self.put(f"{at}/main.hdw", f"hdw 1\ntable t = csv('{name}', key: 'code')\n")

    def test_inside(self):
        self.assertEqual(hdwc("check", self.program("lib/in.csv")).returncode, 0)
        self.assertEqual(hdwc("check", self.program("../app/lib/in.csv")).returncode, 0)

    def test_the_project_is_the_folder_with_hdw_json(self):
        self.put("app/hdw.json", "{}")
        self.assertEqual(hdwc("check", self.program("../lib/in.csv", at="app/sub")).returncode, 0)

    def test_outside(self):
        os.makedirs(self.dir / "app")
        os.symlink("../secret.csv", self.dir / "app/link.csv")
        os.symlink("..", self.dir / "app/up")
        for name in ("/etc/passwd", "../secret.csv", "lib/../../secret.csv", self.dir / "secret.csv", "link.csv", "up/secret.csv"):
            p = hdwc("check", self.program(name))
            self.assertEqual(p.returncode, 1, name)
            absolute = str(name)[0] == "/"  # these are taken from the folder, too
            self.assertIn(f"there is no file '{name}'" if absolute else f"'{name}' lies outside of the program's folder", p.stderr + p.stdout)

    def test_a_folder_whose_name_only_begins_so(self):
        self.put("app2/in.csv", "code,name\nA,x\n")
        self.assertEqual(hdwc("check", self.program("../app2/in.csv")).returncode, 1)

    def test_samples_of_tests(self):
        self.put("app/in.json", '{"a": 1}')
        self.put("secret.json", '{"a": 1}')
        for name, code in (("in.json", 0), ("/etc/hostname", 1), ("../secret.json", 1)):
            self.put("app/t.hdw", f"hdw 1\ntest 'x' {{\n  let v = file('{name}')\n  expect v.a = 1\n}}\n")
            p = hdwc("test", self.dir / "app/t.hdw")
            self.assertEqual(p.returncode, code, p.stdout + p.stderr)
            if code:
                self.assertIn("there is no file", p.stdout + p.stderr)


class Usage(Base):
    def test_statuses(self):
        self.assertEqual(hdwc().returncode, 2)
        self.assertEqual(hdwc("--help").returncode, 0)
        self.assertEqual(hdwc("nonsense").returncode, 2)
        self.assertEqual(hdwc("check").returncode, 2)
        self.assertEqual(hdwc("check", "--nonsense", ".").returncode, 2)
        self.assertEqual(hdwc("check", self.dir / "none.hdw").returncode, 2)
        self.assertEqual(hdwc("check", self.dir).returncode, 2, "a folder without sources")
        self.assertEqual(hdwc("check", "--format=yaml", ".").returncode, 2)

    def test_every_command_has_help(self):
        for c in "check build run test fmt explain disasm eval hl7 new gen doc graph lsp".split():
            p = hdwc(c, "--help")
            self.assertEqual(p.returncode, 0, c)
            self.assertIn("usage: hdwc " + c, p.stdout)

    def test_what_is_not_there_yet_says_so(self):
        for c in ("doc", "graph", "lsp"):
            p = hdwc(c, "x")
            self.assertEqual(p.returncode, 2)
            self.assertIn("not yet available in this version", p.stderr)

    def test_version_names_libraries(self):
        p = hdwc("--version")
        self.assertEqual(p.returncode, 0)
        for name in ("hdwc ", "OpenSSL", "LMDB", "zstd", "utf8proc"):
            self.assertIn(name, p.stdout)

    def test_links_no_network_library(self):
        p = subprocess.run(["ldd", HDWC], capture_output=True, text=True)
        self.assertNotIn("libcurl", p.stdout)
        self.assertNotIn("libevent", p.stdout)

    def test_explain(self):
        self.assertIn("E0203", hdwc("explain", "e0203").stdout)
        self.assertEqual(hdwc("explain", "E9999").returncode, 2)


class Check(Base):
    def test_json_and_sarif(self):
        self.put("a.hdw", "hdw 1\nfn f(p: Patient): any* = p.nam\n")
        p = hdwc("check", "--format=json", "a.hdw", cwd=self.dir)
        self.assertEqual(p.returncode, 1)
        d = json.loads(p.stdout)
        self.assertEqual((d["errors"], d["diagnostics"][0]["code"], d["diagnostics"][0]["file"]), (1, "E0203", "a.hdw"))
        self.assertEqual(d["diagnostics"][0]["span"]["start"]["line"], 2)
        self.assertEqual(d["diagnostics"][0]["fixes"][0]["edits"][0]["text"], "name")
        s = json.loads(hdwc("check", "--format=sarif", "a.hdw", cwd=self.dir).stdout)
        self.assertEqual((s["version"], s["runs"][0]["results"][0]["ruleId"]), ("2.1.0", "E0203"))

    def test_strict_fails_on_warnings(self):
        self.put("a.hdw", "hdw 1\nfn f(x: string?): boolean? = x != 'a'\n")
        self.assertEqual(hdwc("check", self.dir).returncode, 0)
        self.assertEqual(hdwc("check", "--strict", self.dir).returncode, 1)

    def test_a_folder_is_checked_from_its_roots_and_findings_come_once(self):
        self.put("lib/names.hdw", "hdw 1\nfn bad(p: Patient): any* = p.nam\n")
        self.put("one.hdw", "hdw 1\nuse lib/names\nfn a(p: Patient): any* = bad(p)\n")
        self.put("two.hdw", "hdw 1\nuse lib/names\nfn a(p: Patient): any* = bad(p)\n")
        d = json.loads(hdwc("check", "--format=json", self.dir).stdout)
        self.assertEqual(d["errors"], 1, d)

    def test_a_circle_of_files_is_checked_too(self):
        self.put("a.hdw", "hdw 1\nuse b\nfn a(p: Patient): any* = p.nam\n")
        self.put("b.hdw", "hdw 1\nuse a\nfn b(p: Patient): any* = p.nane\n")
        self.assertEqual(json.loads(hdwc("check", "--format=json", self.dir).stdout)["errors"], 2)

    def test_use_reaches_the_project_folder(self):
        self.put("hdw.json", "{}")
        self.put("common/codes.hdw", "hdw 1\nmap sex(c: string): string { 'M': 'male', else: 'other' }\n")
        self.put("flows/in/a.hdw", "hdw 1\nuse common/codes\nfn f(): string = sex('M')\n")
        p = hdwc("check", self.dir / "flows")
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)

    def test_a_thousand_lines_are_checked_fast(self):
        fns = "".join("fn f%d(p: Patient, n: integer): string? = iif(n > %d, p.name.where(use = 'official').family.first(), p.id)\n" % (i, i) for i in range(1000))
        path = self.put("big.hdw", "hdw 1\n" + fns)
        took = []
        for _ in range(5):
            start = time.monotonic()
            self.assertEqual(hdwc("check", path).returncode, 0)
            took.append(time.monotonic() - start)
        self.assertLess(min(took), 2.0)
        print("check of 1,000 lines: %.1f ms" % (min(took) * 1000), file=sys.stderr)


PROGRAM = """hdw 1
listener web = http(port: 8080)
workflow w on req = web.post('/x') ack after run within 5 seconds else AE { return { got: req.body.a } }
"""


class Build(Base):
    def test_same_sources_same_bytes_wherever_they_lie(self):
        for d in ("one", "two/deep"):
            self.put(d + "/app/main.hdw", PROGRAM)
        self.assertEqual(hdwc("build", "app", "-o", "a.hdwb", cwd=self.dir / "one").returncode, 0)
        self.assertEqual(hdwc("build", self.dir / "two/deep/app", "-o", self.dir / "b.hdwb").returncode, 0)
        a, b = (self.dir / "one/a.hdwb").read_bytes(), (self.dir / "b.hdwb").read_bytes()
        self.assertEqual(a, b)
        self.assertEqual(a[:4], b"HDWB")
        self.assertEqual(a[16:48], hashlib.sha256(a[48:]).digest())

    def test_errors_give_no_module(self):
        self.put("a.hdw", "hdw 1\nfn f(): string = 1\n")
        p = hdwc("build", self.dir, "-o", self.dir / "a.hdwb")
        self.assertEqual(p.returncode, 1)
        self.assertIn("E0209", p.stderr)
        self.assertFalse((self.dir / "a.hdwb").exists())

    def test_disasm(self):
        self.put("a.hdw", PROGRAM)
        hdwc("build", self.dir / "a.hdw", "-o", self.dir / "a.hdwb")
        self.assertIn("module ", hdwc("disasm", self.dir / "a.hdwb").stdout)
        self.put("bad.hdwb", b"HDWB" + b"\xff" * 100)
        self.assertEqual(hdwc("disasm", self.dir / "bad.hdwb").returncode, 1)


class Fmt(Base):
    def test_formats_once_and_for_all(self):
        path = self.put("a.hdw", "hdw 1\nfn   f( x:integer ):integer=x+1\n")
        self.assertEqual(hdwc("fmt", "--check", path).returncode, 1)
        self.assertEqual(hdwc("fmt", path).returncode, 0)
        once = path.read_text()
        self.assertEqual(hdwc("fmt", "--check", path).returncode, 0)
        self.assertEqual(hdwc("fmt", path).stdout, "")
        self.assertEqual(path.read_text(), once)

    def test_a_file_with_mistakes_stays(self):
        path = self.put("a.hdw", "hdw 1\nfn f( = \n")
        self.assertEqual(hdwc("fmt", path).returncode, 1)
        self.assertEqual(path.read_text(), "hdw 1\nfn f( = \n")


class Eval(Base):
    def test_digits_are_kept(self):
        self.assertEqual(hdwc("eval", "1.10 + 2.20").stdout, "[3.30]\n")
        path = self.put("a.json", '{"a":1.500,"b":12345678901234567890.5}')
        self.assertEqual(hdwc("eval", "--json", path, "a | b").stdout, "[1.500,12345678901234567890.5]\n")

    def test_errors(self):
        p = hdwc("eval", "1 +")
        self.assertEqual((p.returncode, p.stdout), (1, ""))
        self.assertIn("E0101", p.stderr)
        self.assertEqual(hdwc("eval").returncode, 2)
        self.assertEqual(hdwc("eval", "--fhir", self.dir / "none.json", "id").returncode, 2)

    def test_strict(self):
        path = self.put("p.json", '{"resourceType":"Patient","id":"x"}')
        self.assertEqual(hdwc("eval", "--fhir", path, "nam").stdout, "[]\n")
        self.assertEqual(hdwc("eval", "--strict", "--fhir", path, "nam").returncode, 1)

    def test_typed(self):
        path = self.put("p.json", '{"resourceType":"Patient","name":[{"family":"X"}],"birthDate":"1980-01-01"}')
        got = json.loads(hdwc("eval", "--typed", "--fhir", path, "name | birthDate | 1").stdout)
        self.assertEqual([g["type"] for g in got], ["FHIR.HumanName", "FHIR.date", "System.Integer"])
        self.assertEqual(got[0]["value"], {"family": "X"})

    def test_batch(self):
        path = self.put("p.json", '{"resourceType":"Patient","id":"x"}')
        lines = [{"id": 1, "fhir": str(path), "expr": "id"}, {"id": "b", "expr": "1 +"}, {"id": None, "fhir": "/none", "expr": "id"}, {"id": 4, "expr": "1/0"}]
        p = hdwc("eval", "--batch", stdin="\n".join(json.dumps(l) for l in lines) + "\nno json\n")
        out = [json.loads(l) for l in p.stdout.splitlines()]
        self.assertEqual(p.returncode, 0)
        self.assertEqual(out[0], {"id": 1, "result": ["x"]})
        self.assertEqual((out[1]["id"], out[1]["error"]["code"]), ("b", "E0101"))
        self.assertTrue(out[2]["error"]["code"].startswith("E"))
        self.assertEqual(out[3], {"id": 4, "result": []})
        self.assertIn("error", out[4])

    def test_batch_time(self):
        p = hdwc("eval", "--batch", "--time", stdin='{"id":1,"expr":"(1|2|3).where($this > 1).count()"}\n')
        row = json.loads(p.stdout)
        self.assertEqual(row["result"], [2])
        self.assertTrue(0 < row["ns"] < 10**8)


class Hl7(Base):
    MESSAGE = "MSH|^~\\&|A|B|C|D|20260101||ADT^A01^ADT_A01|1|P|2.5.1\rPID|1||1^^^X&1.2&ISO^MR~2||D\\T\\E^J||\"\"||||||a\\.br\\b\\X0D\\|\\Zx\\||\rZZZ|1|||\r"

    def round_trip(self, data):
        path = self.put("m.hl7", data)
        j = hdwc("hl7", "to-json", path, text=False, stdin=None)
        self.assertEqual(j.returncode, 0, j.stderr)
        back = hdwc("hl7", "from-json", "-", stdin=j.stdout, text=False)
        self.assertEqual(back.returncode, 0, back.stderr)
        return back.stdout

    def test_lossless(self):
        self.assertEqual(self.round_trip(self.MESSAGE), self.MESSAGE.encode())
        self.assertEqual(self.round_trip(self.MESSAGE.replace("\r", "\n")), self.MESSAGE.encode())
        latin = self.MESSAGE.replace("|2.5.1\r", "|2.5.1||||||8859/1\r").encode("latin1") + "NTE|1||Müller\r".encode("latin1")
        self.assertEqual(self.round_trip(latin), latin)

    def test_samples_of_the_repository(self):
        done = 0
        for f in sorted(ROOT.glob("tests/**/*.hl7"))[:60] + sorted(ROOT.glob("examples/**/*.hl7")):
            data = f.read_bytes()
            lines = data.replace(b"\r\n", b"\n")
            if data.count(b"MSH|") != 1 or not data.startswith(b"MSH") or b"\r" in lines and b"\n" in lines:
                continue  # where both occur, a lone LF is data
            if hdwc("hl7", "to-json", f, text=False, stdin=None).returncode:
                continue  # samples of malformed messages
            done += 1
            want = data.rstrip(b"\r\n").replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r"
            if b"\r\r" not in want and want.split(b"\r")[-2].strip():
                self.assertEqual(self.round_trip(data), want, f)
        self.assertGreater(done, 20)

    def test_check(self):
        p = hdwc("hl7", "check", self.put("m.hl7", self.MESSAGE))
        self.assertEqual(p.returncode, 0)
        self.assertIn("1 message, 0 errors", p.stdout)
        self.assertEqual(hdwc("hl7", "check", self.put("x.hl7", "no message")).returncode, 1)
        self.assertEqual(hdwc("hl7", "nonsense", "x").returncode, 2)


class Project(Base):
    def test_new_project_checks_tests_runs_and_builds(self):
        p = hdwc("new", self.dir / "hub")
        self.assertEqual(p.returncode, 0, p.stderr)
        hub = self.dir / "hub"
        p = hdwc("check", "--strict", ".", cwd=hub)
        self.assertEqual((p.returncode, p.stdout), (0, ""), p.stdout)
        self.assertEqual(hdwc("fmt", "--check", ".", cwd=hub).returncode, 0)
        p = hdwc("test", ".", cwd=hub)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        self.assertTrue(p.stdout.endswith("5 passed, 0 failed\n"), p.stdout)
        p = hdwc("run", "main.hdw", "--message", "samples/adt-a01.hl7", cwd=hub)
        out = json.loads(p.stdout, parse_float=Decimal)
        self.assertEqual((p.returncode, out["verdict"], out["result"]["family"]), (0, "AA", "SMITH"))
        self.assertEqual([(e["connection"], e["operation"], e["send"]) for e in out["effects"]], [("crm", "post", True)])
        self.assertEqual(hdwc("build", ".", "-o", "hub.hdwb", cwd=hub).returncode, 0)
        self.assertEqual(hdwc("new", hub).returncode, 1, "it does not overwrite")

    def test_no_scratch_is_left(self):
        tmp = self.dir / "tmp"
        tmp.mkdir()
        hdwc("new", self.dir / "hub")
        subprocess.run([HDWC, "test", "."], cwd=self.dir / "hub", env={**os.environ, "TMPDIR": str(tmp)}, capture_output=True, timeout=120)
        self.assertEqual(list(tmp.iterdir()), [])


class Tests(Base):
    def setUp(self):
        super().setUp()
        self.put("a.hdw", "hdw 1\nfn f(x: integer): integer = x + 1\ntest 'good' { expect f(1) = 2 }\ntest 'bad <&>' { expect f(1) = 3 }\n"
                 "test 'rows'(a: integer, b: integer) {\n  case 1, 2\n  case 2, 2\n  expect f(a) = b\n}\n")

    def test_text(self):
        p = hdwc("test", self.dir)
        self.assertEqual(p.returncode, 1)
        self.assertTrue(p.stdout.endswith("2 passed, 2 failed\n"), p.stdout)

    def test_filter(self):
        p = hdwc("test", self.dir, "--filter", "good")
        self.assertEqual((p.returncode, p.stdout.splitlines()[-1]), (0, "1 passed, 0 failed"))

    def test_json(self):
        d = json.loads(hdwc("test", "--format=json", self.dir).stdout)
        self.assertEqual((d["passed"], d["failed"]), (2, 2))
        bad = next(t for t in d["tests"] if t["status"] == "failed")
        self.assertEqual((bad["failures"][0]["left"], bad["failures"][0]["right"], bad["failures"][0]["line"]), ("2", "3", 4))

    def test_junit(self):
        s = ET.fromstring(hdwc("test", "--format=junit", self.dir).stdout).find("testsuite")
        self.assertEqual((s.get("tests"), s.get("failures")), ("4", "2"))
        self.assertIn("bad <&>", [c.get("name") for c in s.findall("testcase")])

    def test_a_program_that_does_not_compile_fails(self):
        self.put("b.hdw", "hdw 1\nfn g(): string = 1\n")
        p = hdwc("test", self.dir)
        self.assertEqual(p.returncode, 1)
        self.assertIn("1 program does not compile", p.stdout)

    def test_no_tests_is_said(self):
        p = hdwc("test", self.dir, "--filter", "nothing")
        self.assertEqual(p.returncode, 0)
        self.assertIn("no test has 'nothing' in its name", p.stderr)


class Story(Base):
    """A failed case tells what happened, in each form."""
    samples = ROOT / "tests/lang/test"

    def test_json(self):
        d = json.loads(hdwc("test", "--format=json", "fails_story.hdw", cwd=self.samples).stdout)
        trace = d["tests"][0]["trace"]
        self.assertEqual([t["kind"] for t in trace], ["when", "step", "send", "log", "after", "send", "restart", "when", "run"])
        step = trace[1]
        self.assertEqual((step["operation"], step["workflow"], step["attempt"], step["mock"]), ("drop.write", "forward", 1, "drop"))
        self.assertRegex(step["at"], r"^lib/people\.hdw:\d+:\d+$")
        self.assertEqual(trace[2]["error"], "the receiver answered AE")
        self.assertEqual(trace[5]["delay_ms"], 2000)

    def test_junit(self):
        s = ET.fromstring(hdwc("test", "--format=junit", "fails_story.hdw", cwd=self.samples).stdout).find("testsuite")
        out = s.findall("testcase")[1].find("system-out").text
        self.assertIn("step crm.post", out)
        self.assertIn("exists already", out)

    def test_differences_of_messages(self):
        d = json.loads(hdwc("test", "--format=json", "fails_messages.hdw", cwd=self.samples).stdout)
        self.assertEqual(d["tests"][0]["failures"][0]["differences"], ['at PID-3[1].1: "88-99" is not "88-98"', 'at PID-5.1: "SMITH" is not "SMYTH"'])


class Coverage(Base):
    program = ROOT / "tests/lang/cover/choices.hdw"

    def test_json(self):
        c = json.loads(hdwc("test", "--coverage", "--format=json", self.program).stdout)["coverage"]
        f = c["files"][0]
        self.assertEqual((f["lines"], f["reached"]), (18, 12))
        self.assertEqual((f["hits"]["15"], f["hits"]["17"]), (1, 0))
        self.assertEqual(len(c["never_performed"]), 2)

    def test_lcov(self):
        out = self.dir / "cover.info"
        p = hdwc("test", "--lcov", out, self.program)
        self.assertEqual(p.returncode, 0, p.stderr)
        text = out.read_text()
        self.assertIn("DA:15,1\n", text)
        self.assertIn("DA:17,0\n", text)
        self.assertIn("LF:18\nLH:12\nend_of_record\n", text)

    def test_counting_changes_nothing(self):
        plain = hdwc("test", ".", cwd=ROOT / "tests/lang/test").stdout.splitlines()
        counted = hdwc("test", "--coverage", ".", cwd=ROOT / "tests/lang/test").stdout.splitlines()
        self.assertEqual(plain[:len(plain)], counted[:len(plain)])


class Speed(Base):
    def test_a_thousand_cases(self):
        shutil.copytree(ROOT / "tests/lang/test/lib", self.dir / "lib")
        cases = "".join("test 'case %d' {\n  mock crm.get  = error(404)\n  mock crm.post = { id: 'P-%d' }\n  when person({ id: '%d', name: 'A' })\n"
                        "  expect result.id = 'P-%d'\n}\n" % (i, i, i, i) for i in range(200))
        self.put("many.hdw", "hdw 1\nuse lib/people\n" + cases)
        begin = time.time()
        p = hdwc("test", self.dir / "many.hdw")
        self.assertEqual(p.stdout.splitlines()[-1], "200 passed, 0 failed")
        self.assertLess(time.time() - begin, 60)


if __name__ == "__main__":
    unittest.main(verbosity=1)
