#!/usr/bin/env python3
"""The official FHIRPath R4 suite through `hdwc eval --batch`. HDWC names the binary.

run.py [--list] [--write]   --list prints every failure; --write makes exclusions.txt anew, keeping reasons that are there."""
import json, os, re, subprocess, sys
import xml.etree.ElementTree as ET
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

here = Path(__file__).resolve().parent
hdwc = os.environ.get("HDWC", "build/hdwc")


def cases():
    names = {}
    for group in ET.parse(here / "tests-fhir-r4.xml").getroot().iter("group"):
        for t in group.findall("test"):
            e = t.find("expression")
            name = t.get("name")
            names[name] = names.get(name, 0) + 1
            if names[name] > 1:
                name += "#%d" % names[name]
            yield {
                "name": name, "group": group.get("name"), "expr": e.text or "", "invalid": e.get("invalid") or t.get("invalid"),
                "strict": t.get("mode") == "strict" or e.get("mode") == "strict" or e.get("invalid") == "semantic", "predicate": t.get("predicate") == "true",
                "input": re.sub(r"\.xml$", ".json", t.get("inputfile") or ""), "ordered": t.get("ordered") != "false",
                "outputs": [(o.get("type"), o.text or "") for o in t.findall("output")],
            }


def evaluate(tests):
    lines = []
    for i, t in enumerate(tests):
        row = {"id": i, "expr": t["expr"]}
        if t["input"]:
            row["fhir"] = str(here / "input-json" / t["input"])
        if t["strict"]:
            row["strict"] = True
        lines.append(json.dumps(row))
    p = subprocess.run([hdwc, "eval", "--batch"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=300)
    out = {}
    for line in p.stdout.splitlines():
        row = json.loads(line, parse_float=Decimal)
        out[row["id"]] = row
    if p.returncode or len(out) != len(tests):
        sys.exit("hdwc eval --batch gave %d of %d answers, status %d\n%s" % (len(out), len(tests), p.returncode, p.stderr[-3000:]))
    return [out[i] for i in range(len(tests))]


def instant(s):
    if not re.search(r"T.*(Z|[+-]\d\d:\d\d)$", s):
        return None
    try:
        return datetime.fromisoformat(s.replace("Z", "+00:00").replace("-00:00", "+00:00"))
    except ValueError:
        return None


def number(s):
    try:
        return Decimal(str(s))
    except InvalidOperation:
        return None


def quantity(v):
    if isinstance(v, dict):
        return number(v.get("value")), v.get("code") or v.get("unit") or "1"
    m = re.match(r"\s*(-?[0-9.]+)\s*(?:'([^']*)'|(\w+))?\s*$", str(v))
    return (number(m[1]), m[2] or m[3] or "1") if m else None


def unit(u):
    return {"day": "d", "hour": "h", "minute": "min", "second": "s", "week": "wk", "month": "mo", "year": "a"}.get(u.rstrip("s") if len(u) > 3 else u, u)


def same(kind, want, got):
    if isinstance(got, bool):
        return want.strip() == ("true" if got else "false")
    if kind is None and re.match(r"\s*-?[0-9.]+ '", want) or kind == "Quantity":
        a, b = quantity(want), quantity(got)
        return bool(a and b and a[0] == b[0] and unit(a[1]) == unit(b[1]))
    if isinstance(got, (int, Decimal)):
        return number(want.strip()) == number(got)
    if not isinstance(got, str):
        return False
    if kind in ("date", "dateTime", "time") or kind is None and want.startswith("@"):
        a = re.sub(r"^@T?", "", want.strip())
        return a == got or a.rstrip("T") == got or (instant(a) is not None and instant(a) == instant(got))
    return want == got or want.strip() == got


def verdict(t, row):
    """None when the case passes, else what is wrong."""
    if t["invalid"]:
        return None if "error" in row else "an error is expected (%s), it gives %s" % (t["invalid"], json.dumps(row["result"], default=str)[:60])
    if "error" in row:
        return "%s %s" % (row["error"]["code"], row["error"]["message"][:90])
    got = row["result"]
    if t["predicate"]:
        b = got[0] if len(got) == 1 and isinstance(got[0], bool) else len(got) > 0
        return None if not t["outputs"] or same("boolean", t["outputs"][0][1], b) else "as predicate %s" % b
    want = t["outputs"]
    ok = len(want) == len(got)
    if ok and t["ordered"]:
        ok = all(same(k, w, g) for (k, w), g in zip(want, got))
    elif ok:
        left = list(got)
        for k, w in want:
            hit = next((g for g in left if same(k, w, g)), None)
            ok = ok and hit is not None
            if hit is not None:
                left.remove(hit)
    return None if ok else "gives %s, not %s" % (json.dumps(got, default=str)[:70], json.dumps([w for _, w in want])[:60])


def exclusions():
    path = here / "exclusions.txt"
    out = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        if line and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            out[name] = reason.strip()
    return out


def spec():
    """Cases of spec.tsv that fail, and how many there are."""
    rows = [x.split("\t") for x in (here / "spec.tsv").read_text(encoding="utf-8").splitlines() if x and not x.startswith("#")]
    tests = []
    for expr, _ in rows:
        file = ""
        m = re.match(r"@(\S+\.json) (.*)", expr)
        if m:
            file, expr = m.groups()
        tests.append({"expr": expr.removeprefix("?"), "input": file, "strict": expr.startswith("?")})
    bad = []
    for (expr, want), row in zip(rows, evaluate(tests)):
        got = "!" if "error" in row else row["result"]
        if got != (want if want == "!" else json.loads(want, parse_float=Decimal)):
            bad.append("  %s\n      gives %s, not %s" % (expr, row["error"] if "error" in row else json.dumps(got, default=str), want))
    return bad, len(rows)


def main():
    tests = list(cases())
    bad = {}
    for t, row in zip(tests, evaluate(tests)):
        why = verdict(t, row)
        if why:
            bad[t["name"]] = (t, why)
    listed = exclusions()
    if "--write" in sys.argv:
        head = "# name reason: cases of the suite that fail. May only shrink.\n"
        (here / "exclusions.txt").write_text(head + "".join("%s %s\n" % (n, listed.get(n) or bad[n][1]) for n in bad))
        listed = exclusions()
    new = [n for n in bad if n not in listed]
    gone = [n for n in listed if n not in bad]
    groups = {}
    for n in bad if "--list" in sys.argv else new:
        t, why = bad[n]
        groups.setdefault(t["group"], []).append("  %s: %s\n      %s" % (n, " ".join(t["expr"].split())[:110], why))
    for g, rows in groups.items():
        print(g)
        print("\n".join(rows))
    for n in gone:
        print("%s is excluded but passes (or is no longer there): take it out of exclusions.txt" % n)
    wrong, n = spec()
    if wrong:
        print("spec.tsv")
        print("\n".join(wrong))
    print("score: cases of the FHIRPath specification: %d right, %d wrong" % (n - len(wrong), len(wrong)))
    print("score: official FHIRPath R4 suite: %d of %d right" % (len(tests) - len(bad), len(tests)))
    print("%d passed, %d failed, %d of them excluded" % (len(tests) - len(bad) + n - len(wrong), len(bad) + len(wrong), len(bad) - len(new)))
    return 1 if new or gone or wrong else 0


sys.exit(main())
