#!/usr/bin/env python3
"""Generated expressions (generate.py) on example resources: `hdwc eval --batch` beside fhirpath.js.

differential.py [--folder DIR] [--count EXPRESSIONS] [--files N] [--show N]
HDWC names the binary, PEERS_NPM the folder of `npm i fhirpath`. Without node or fhirpath.js nothing is run (status 77).
A difference must be explained by a line of differential.txt: KIND <tab> pattern over the expression <tab> pattern over "ours | theirs" <tab> reason.
KIND: accept (we give a result, they an error), reject (the other way round), value (results differ)."""
import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))
import generate  # noqa: E402

ROOT = here.parents[2]
CALENDAR = {"year", "month", "week", "day", "hour", "minute", "second", "millisecond"}


def number(v):
    return re.sub(r"e([+-])0*(\d)", lambda m: "e" + ("-" if m[1] == "-" else "") + m[2], "%.6e" % v)


def canon(v):
    if v is None:
        return "null"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (int, float, Decimal)):
        return number(v)
    if isinstance(v, str):
        return json.dumps(v, ensure_ascii=False)
    if isinstance(v, list):
        return "[" + ",".join(canon(x) for x in v) + "]"
    return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + canon(v[k]) for k in sorted(v) if not k.startswith("_")) + "}"


def item(x):
    v = x["value"]
    if x["type"] == "System.Quantity" and isinstance(v, dict):
        unit = v.get("unit", "1")
        v = f"{v['value']} {unit}" if "code" not in v and unit in CALENDAR else f"{v['value']} '{unit}'"
    if x["type"] == "System.Long":
        v = str(v)
    s = canon(v)
    return "sha1:" + hashlib.sha1(s.encode()).hexdigest() if len(s.encode("utf-16-le")) > 600 else s


def ours(hdwc, files, exprs):
    """Answers in order; a crash ends the run."""
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson", encoding="utf-8") as f:
        for path in files:
            for x in exprs:
                f.write(json.dumps({"fhir": str(path), "expr": x}) + "\n")
        f.flush()
        p = subprocess.Popen([hdwc, "eval", "--batch", "--typed"], stdin=open(f.name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        for line in p.stdout:
            row = json.loads(line, parse_float=Decimal)
            yield row["error"]["message"] if "error" in row else [item(x) for x in row["result"]]
        err = p.stderr.read()
        if p.wait():
            sys.exit("hdwc ended with status %d\n%s\n1 failed" % (p.returncode, err[-3000:]))


def theirs(files, exprs):
    p = subprocess.Popen(["node", str(here / "differential.mjs")] + [str(f) for f in files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    p.stdin.write(json.dumps(exprs))
    p.stdin.close()
    for line in p.stdout:
        row = json.loads(line)
        yield row["error"] if isinstance(row, dict) else row
    if p.wait():
        sys.exit("fhirpath.js ended with status %d\n1 failed" % p.returncode)


def quantity(s):
    m = re.fullmatch(r'"(-?[0-9.e+-]+) (\'[^\']*\'|[a-z]+)"', s)
    return (number(float(m[1])), m[2].rstrip("s") if m[2][0] != "'" else m[2]) if m else s


def same(x, a, b):
    if a == b:
        return True
    a, b = [quantity(s) for s in a], [quantity(s) for s in b]
    return a == b or (sorted(map(str, a)) == sorted(map(str, b)) and bool(re.search(r"\||union|combine|children|descendants|distinct|repeat|intersect|exclude", x)))


def explanations():
    out = []
    for n, line in enumerate((here / "differential.txt").read_text(encoding="utf-8").splitlines(), 1):
        if line and not line.startswith("#"):
            kind, expr, values, reason = line.split("\t")
            out.append([n, kind, re.compile(expr), re.compile(values, re.S), reason, 0])
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--folder", default=str(here.parent / "fhir-examples"))
    ap.add_argument("--count", type=int, default=2000)
    ap.add_argument("--files", type=int, default=0)
    ap.add_argument("--show", type=int, default=20)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    os.environ.setdefault("PEERS_NPM", str(ROOT / "build" / "peers"))
    if not shutil.which("node") or not Path(os.environ["PEERS_NPM"], "node_modules/fhirpath").is_dir():
        print("skipped: node or fhirpath.js is not there (PEERS_NPM)")
        return 77
    files = sorted(Path(a.folder).glob("*.json"))[: a.files or None]
    exprs, known, start = generate.expressions(files, a.count, a.seed), explanations(), time.monotonic()
    seen, total, differ, bad = {}, 0, 0, []
    pairs = zip(((f, x) for f in files for x in exprs), ours(os.environ.get("HDWC", "build/hdwc"), files, exprs), theirs(files, exprs), strict=True)
    for (f, x), mine, other in pairs:
        total += 1
        kind = "value" if isinstance(mine, list) and isinstance(other, list) else "accept" if isinstance(mine, list) else "reject" if isinstance(other, list) else None
        if kind is None or (kind == "value" and same(x, mine, other)):
            continue
        differ += 1
        both = "%s | %s" % (" ".join(mine) if isinstance(mine, list) else mine, " ".join(other) if isinstance(other, list) else other)
        why = next((e for e in known if e[1] == kind and e[2].search(x) and e[3].search(both)), None)
        if why:
            why[5] += 1
        elif (kind, x) not in seen:
            seen[kind, x] = True
            bad.append(f"{kind} {f.name}: {x}\n   {both[:220]}")
    for b in bad[: a.show]:
        print(b)
    for e in known:
        print("  %6d  %s" % (e[5], e[4]))
    print("%d evaluations, %d differ, %d expressions of these not explained; %.0f s" % (total, differ, len(bad), time.monotonic() - start))
    print("%d passed, %d failed" % (total - len(bad), len(bad)))
    return 1 if bad else 0


sys.exit(main())
