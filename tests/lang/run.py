#!/usr/bin/env python3
"""Golden tests of the language; see README.md. run.py [--update] [NAME...]"""
import json, os, re, subprocess, sys
from decimal import Decimal
from pathlib import Path

here = Path(__file__).resolve().parent
hdwc = str(Path(os.environ.get("HDWC", "build/hdwc")).resolve())
update = "--update" in sys.argv
only = [a for a in sys.argv[1:] if not a.startswith("--")]
passed, failed = 0, []


def call(*args, cwd=None, stdin=None):
    return subprocess.run([hdwc, *map(str, args)], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=120)


def result(name, problem):
    global passed
    if problem:
        failed.append(name)
        print("FAIL %s\n%s" % (name, problem))
    else:
        passed += 1


def diff(want, got):
    import difflib
    return "\n".join(difflib.unified_diff(want.splitlines(), got.splitlines(), "expected", "printed", lineterm=""))[:6000]


def text_golden(folder, *command):
    for f in sorted((here / folder).glob("*.hdw")):
        if only and f.stem not in only:
            continue
        p = call(*command, f.name, cwd=f.parent)
        got, expect = p.stderr + p.stdout, f.with_suffix(".expect")
        got += "exit %d\n" % p.returncode
        if update:
            expect.write_text(got)
        want = expect.read_text() if expect.exists() else ""
        result("%s/%s" % (folder, f.stem), "" if want == got else diff(want, got))


def eval_golden():
    for f in sorted((here / "eval").glob("*.txt")):
        if only and f.stem not in only:
            continue
        rows, source, strict = [], None, False
        for number, line in enumerate(f.read_text().splitlines(), 1):
            words = line.split()
            if line.startswith("# input"):
                source = (words[2], str((f.parent / words[3]).resolve())) if len(words) == 4 else None
            elif line.startswith("# strict"):
                strict = words[-1] != "off"
            elif line.strip() and not line.startswith("#"):
                expr, _, want = line.rpartition(" => ")
                rows.append((number, {"id": number, "expr": expr.strip(), "strict": strict, **({source[0]: source[1]} if source else {})}, want.strip()))
        p = call("eval", "--batch", stdin="".join(json.dumps(r) + "\n" for _, r, _ in rows))
        answers = [json.loads(l, parse_float=Decimal) for l in p.stdout.splitlines()]
        if len(answers) != len(rows):
            result("eval/%s" % f.stem, "%d answers for %d lines\n%s" % (len(answers), len(rows), p.stderr))
            continue
        for (number, row, want), got in zip(rows, answers):
            if want.startswith("error"):
                code = want[5:].strip()
                ok = "error" in got and (not code or got["error"]["code"] == code)
            else:
                ok = "result" in got and same(json.loads(want, parse_float=Decimal), got["result"])
            shown = json.dumps(got.get("result", got.get("error")), default=str)
            result("eval/%s:%d" % (f.stem, number), "" if ok else "  %s\n  wanted %s\n  got    %s" % (row["expr"], want, shown))


def same(a, b):
    """Equal, digits of numbers included."""
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        return str(a) == str(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def part(want, got):
    """Every member of want is in got."""
    if isinstance(want, dict):
        return isinstance(got, dict) and all(k in got and part(v, got[k]) for k, v in want.items())
    if isinstance(want, list):
        return isinstance(got, list) and len(want) == len(got) and all(part(a, b) for a, b in zip(want, got))
    return same(want, got)


def run_golden():
    for f in sorted((here / "run").glob("*.hdw")):
        if only and f.stem not in only:
            continue
        args = ["run", f.name]
        for suffix, option in ((".hl7", "--message"), (".json", "--json"), (".mock", "--mock")):
            if f.with_suffix(suffix).exists():
                args += [option, f.with_suffix(suffix).name]
        p = call(*args, cwd=f.parent)
        expect = f.with_suffix(".expect")
        try:
            got = json.loads(p.stdout, parse_float=Decimal)
        except ValueError:
            result("run/%s" % f.stem, p.stderr + p.stdout)
            continue
        if update:
            keep = {k: got[k] for k in ("verdict", "status", "answer", "result", "run") if k in got}
            keep["effects"] = [{k: e[k] for k in ("path", "connection", "operation", "send", "attempt", "arguments", "result", "error") if k in e} for e in got["effects"]]
            text = json.dumps(keep, indent=2, default=lambda d: "decimal %s" % d)
            expect.write_text(re.sub(r'"decimal ([0-9.E+-]+)"', r"\1", text) + "\n")
        want = json.loads(expect.read_text(), parse_float=Decimal) if expect.exists() else None
        result("run/%s" % f.stem, "" if want is not None and part(want, got) else "wanted %s\ngot %s" % (want, p.stdout[:4000]))


text_golden("check", "check")
eval_golden()
run_golden()
text_golden("test", "test")
text_golden("cover", "test", "--coverage", "--listing")
print("%d passed, %d failed" % (passed, len(failed)))
sys.exit(1 if failed or not passed else 0)
