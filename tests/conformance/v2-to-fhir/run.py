#!/usr/bin/env python3
"""The library v2 (stdlib/lib/v2): messages to Bundles.

1. One message of each type (messages/) gives exactly the Bundle that was reviewed (bundles/). run.py --write writes them anew: read the difference.
2. Every message of the corpus (tests/conformance/hl7/corpus, and the folder HDW_HL7_CORPUS) that hdwc can read is converted without a fault.
3. Each Bundle: elements, cardinalities, types, required codes and formats are FHIR R4's, says hdwc fhir check, and so says a second checker that shares no
   code with it (fhir_check.py); references resolve; ids are unique; twice the same gives the same.
4. coverage.tsv says what is true, and no more rows are missing than it allows."""
import json, os, subprocess, sys, tempfile
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, HERE)
from fhir_check import Model, check_bundle, references
HDWC = os.environ.get("HDWC", os.path.join(ROOT, "build", "hdwc"))
TYPES = {"ADT", "ORU", "ORM", "OML", "VXU", "RDE", "SIU", "MDM", "DFT"}
MODEL = Model(os.path.join(ROOT, "grammar", "data", "fhir-r4"))
bad = 0
made = [] # (name, Bundle) of all that were converted

def fail(text):
    global bad
    bad += 1
    if bad < 40: print("FAIL " + text)

def convert(paths):
    """Bundle, or the error, of each path."""
    lines = "".join(json.dumps({"id": p, "hl7": p, "expr": "v2.toBundle($this)"}) + "\n" for p in paths)
    out = subprocess.run([HDWC, "eval", "--batch"], input=lines.encode(), capture_output=True, check=False).stdout.decode()
    for line in out.splitlines():
        yield json.loads(line)

def kind(path):
    """MSH-9.1 of the first message, or nothing."""
    text = open(path, "rb").read(4096).lstrip(b"\xef\xbb\xbf\r\n\x0b ")
    if text[:3] != b"MSH" or len(text) < 10: return ""
    f = text.replace(b"\n", b"\r").split(b"\r")[0].split(text[3:4])
    return f[8].split(text[4:5])[0].decode("latin-1") if len(f) > 8 else ""

def check(name, b):
    made.append((name, b))
    for x in check_bundle(MODEL, b)[:5]: fail("%s: %s" % (name, x))
    urls = [e["fullUrl"] for e in b.get("entry", [])]
    if len(set(urls)) != len(urls): fail("%s: a fullUrl stands twice" % name)
    for r in references(b):
        if r not in urls: fail("%s: %s leads nowhere" % (name, r))
    if b["entry"][0]["resource"]["resourceType"] != "MessageHeader": fail("%s: the first entry is no MessageHeader" % name)

def validate():
    """All Bundles by hdwc fhir check, one a line."""
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson", encoding="utf-8") as f:
        f.write("".join(json.dumps(b, ensure_ascii=False) + "\n" for _, b in made))
        f.flush()
        out = subprocess.run([HDWC, "fhir", "check", "--format=json", "--strict", f.name], capture_output=True, check=False)
        told = subprocess.run([HDWC, "fhir", "check", f.name], capture_output=True, check=False).stdout.decode().splitlines()[-1:]
    for line in out.stdout.decode().splitlines():
        x = json.loads(line)
        fail("%s: hdwc fhir check: %s: %s: %s" % (made[x.get("line", 1) - 1][0], x["severity"], x["path"], x["text"]))
    seen = told[0].split(": ")[-1] if told else out.stderr.decode()[:200]
    if out.returncode or not seen.startswith("%d resource" % len(made)): fail("hdwc fhir check: %d Bundles, but: %s" % (len(made), seen))

def golden():
    folder = os.path.join(HERE, "messages")
    names = sorted(os.listdir(folder))
    for o in convert([os.path.join(folder, n) for n in names]):
        name = os.path.basename(o["id"])
        if "error" in o: fail("%s: %s" % (name, o["error"]["message"])); continue
        text = json.dumps(o["result"][0], indent=1, ensure_ascii=False) + "\n"
        path = os.path.join(HERE, "bundles", name.replace(".hl7", ".json"))
        if "--write" in sys.argv: open(path, "w", encoding="utf-8").write(text)
        elif open(path, encoding="utf-8").read() != text: fail("%s: another Bundle than the reviewed one; --write writes it" % name)
        check(name, o["result"][0])
    return len(names)

def corpus():
    paths, n, refused = [], 0, 0
    folders = [os.path.join(HERE, "..", "hl7", "corpus")] + [x for x in [os.environ.get("HDW_HL7_CORPUS")] if x]
    for folder in folders:
        for at, _, files in os.walk(folder):
            paths += [os.path.join(at, f) for f in files if kind(os.path.join(at, f)) in TYPES]
    first = {}
    paths = sorted(paths)
    if "HDW_HL7_CORPUS" not in os.environ: paths = paths[::6] # enough for every change; all of them when a corpus is named
    for o in convert(paths):
        if "error" in o:
            if o["error"]["code"] == "E_INPUT": refused += 1 # no HL7 message
            else: fail("%s: %s" % (o["id"], o["error"]["message"]))
            continue
        n += 1
        check(o["id"], o["result"][0])
        if n % 20 == 0: first[o["id"]] = o["result"][0]
    for o in convert(sorted(first)):
        if o["result"][0] != first[o["id"]]: fail("%s: twice converted, two results" % o["id"])
    return n, refused

g = golden()
n, refused = corpus() if "--write" not in sys.argv else (0, 0)
validate()
bad += subprocess.run([sys.executable, "-B", os.path.join(ROOT, "stdlib", "lib", "v2", "coverage.py"), "--check"], check=False).returncode
print("score: v2-to-FHIR: %d reviewed Bundles, %d corpus messages (%d files are no message), %d failures" % (g, n, refused, bad))
sys.exit(bad > 0)
