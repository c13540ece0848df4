#!/usr/bin/env python3
"""The SQL-on-FHIR v2 tests, and more of their kind (more/), through `hdwc view`. HDWC names the binary. run.py [--list] [FILE...]"""
import csv, io, json, os, subprocess, sys, tempfile
from decimal import Decimal
from pathlib import Path

here = Path(__file__).resolve().parent
hdwc = os.environ.get("HDWC", "build/hdwc")


def loads(s):
    return json.loads(s, parse_float=Decimal)


def view(path, resources, *options):
    return subprocess.run([hdwc, "view", str(path), *options], input=resources, capture_output=True, text=True, timeout=60)


def key(row):
    return json.dumps(row, sort_keys=True, default=float)


def cell(v):
    """A value as CSV shows it."""
    if v is None:
        return ""
    return v if isinstance(v, str) else json.dumps(v, separators=(",", ":"), default=float)


def as_csv(path, lines, columns, rows):
    p = view(path, lines, "--format=csv")
    got = list(csv.reader(io.StringIO(p.stdout, newline="")))
    want = [[cell(r.get(c)) for c in columns] for r in rows]
    if p.returncode or not got or got[0] != columns or got[1:] != want:
        return "as CSV: status %d, %s, not %s" % (p.returncode, got, [columns] + want)
    return None


def verdict(test, resources, path):
    """None when the case passes, else what is wrong."""
    path.write_text(json.dumps(test["view"]))
    lines = "".join(json.dumps(r) + "\n" for r in resources)
    p = view(path, lines)
    if "Sanitizer" in p.stderr or p.returncode not in (0, 1, 2):
        return "crash: " + p.stderr[:2000]
    if test.get("expectError"):
        return None if p.returncode else "an error is expected, it gives %s" % p.stdout[:200]
    if p.returncode:
        return "status %d: %s" % (p.returncode, p.stderr[:600])
    got = [loads(line) for line in p.stdout.splitlines()]
    want = loads(json.dumps(test["expect"]))
    if "expectCount" in test and len(got) != test["expectCount"]:
        return "%d rows, not %d" % (len(got), test["expectCount"])
    if sorted(map(key, got)) != sorted(map(key, want)):
        return "gives %s, not %s" % (p.stdout[:700], json.dumps(test["expect"])[:700])
    columns = list(got[0]) if got else test.get("expectColumns")
    if "expectColumns" in test and columns != test["expectColumns"]:
        return "columns %s, not %s" % (columns, test["expectColumns"])
    return as_csv(path, lines, columns, got) if got else None


def exclusions():
    out = {}
    for line in (here / "exclusions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            out[name] = reason
    return out


def main():
    files = [Path(f) for f in sys.argv[1:] if not f.startswith("--")] or sorted(here.glob("*.json")) + sorted(here.glob("more/*.json"))
    listed, bad, total = exclusions(), {}, 0
    with tempfile.TemporaryDirectory() as d:
        for f in files:
            suite = json.loads(f.read_text())
            for t in suite["tests"]:
                total += 1
                why = verdict(t, suite["resources"], Path(d) / "view.json")
                if why:
                    bad["%s/%s" % (f.relative_to(here).with_suffix("") if f.is_relative_to(here) else f.stem, t["title"])] = why
    new = [n for n in bad if n not in listed]
    gone = [n for n in listed if n not in bad]
    for n in bad if "--list" in sys.argv else new:
        print("%s: %s" % (n, bad[n]))
    for n in gone:
        print("%s is excluded but passes (or is no longer there): take it out of exclusions.txt" % n)
    print("score: SQL on FHIR: %d of %d views right" % (total - len(bad), total))
    print("%d passed, %d failed, %d of them excluded" % (total - len(bad), len(bad), len(bad) - len(new)))
    return 1 if new or gone else 0


sys.exit(main())
