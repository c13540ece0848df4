#!/usr/bin/env python3
"""Which rows of the guide's tables are in the library. Usage: coverage.py [--check]

Writes coverage.tsv: every row of tables/segments and tables/datatypes that names a FHIR element, with the function that has it or the reason why none
does. A row counts as done when a comment in the function of its table names it: `// r12`. --check writes nothing: it fails when the file is
stale, when a comment names a row that does not exist, or when more rows are missing than MOST_MISSING: that number may only shrink."""
import csv, glob, os, re, sys
HERE = os.path.dirname(os.path.abspath(__file__))
MOST_MISSING = 0

# Tables whose rows say the same as those of another: the function of the other serves both.
SAME = {"CE[CodeableConcept]": "CWE[CodeableConcept]", "CNE[CodeableConcept]": "CWE[CodeableConcept]", "CF[CodeableConcept]": "CWE[CodeableConcept]"}
# Tables that have no function of their own, and why.
TABLES = {}
# Single rows: (table, rows) and why.
ROWS = []

def clean(s): return re.sub(r"\s+", " ", s.strip())

def tables():
    for kind in ("datatypes", "segments"):
        for path in sorted(glob.glob(os.path.join(glob.escape(HERE), "tables", kind, "*.csv"))):
            for i, r in enumerate(csv.reader(open(path, newline="", encoding="utf-8")), 1):
                r = [clean(x) for x in r] + [""] * 20
                if i > 2 and (r[9] or r[10]): yield os.path.basename(path)[:-4], i, r

def named():
    """(table, row) -> function, from the comments of the .hdw files."""
    out = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(HERE), "*.hdw"))) + [os.path.join(HERE, "..", "v2.hdw")]:
        first, fn = "", ""
        for line in open(path, encoding="utf-8"):
            doc = re.match(r"///\s*(.*)", line)
            if doc:
                m = re.match(r"[A-Z0-9]+\[[^\]]+\]", doc.group(1))
                first = m.group(0) if m else ""
                continue
            head = re.match(r"(?:fn|map) (\w+)", line)
            if head: fn = head.group(1)
            note = re.search(r"//(.*)$", line)
            table = first
            for t in re.findall(r"[A-Z0-9]+\[[^\]]+\]|\br\d+\b", note.group(1) if note and "://" not in line[max(0, note.start() - 1):note.start() + 2] else ""):
                if t[0] == "r": out.setdefault((table, int(t[1:])), fn)
                else: table = t
            if re.match(r"[})]", line) or (head and line.rstrip()[-1:] not in "({,="): first = first if not re.match(r"[})]", line) else ""
    return out

def reason(t, i, r, done):
    if t in TABLES: return TABLES[t]
    for table, rows, why in ROWS:
        if re.fullmatch(table, t) and (rows is None or i in rows): return why
    if "extension?" in r[10] or "extention?" in r[10] or "extension?" in r[9] or r[10].startswith("/"): return "the guide names no element or extension yet"
    return "not yet"

def main():
    have, lines, missing, rows = named(), [], 0, set()
    for t, i, r in tables():
        rows.add((t, i))
        fn = have.get((t, i)) or have.get((SAME.get(t), i))
        missing += not fn
        lines.append("\t".join([t, str(i), r[1], r[9] or r[10], fn or "-", "" if fn else reason(t, i, r, have)]))
    text = "table\trow\tv2\tFHIR\tfunction\twhy not\n" + "\n".join(lines) + "\n"
    path, bad = os.path.join(HERE, "coverage.tsv"), 0
    for t, i in sorted(have):
        if t and (t, i) not in rows:
            print("a comment of %s names row %d of %s, which maps nothing" % (have[t, i], i, t)); bad = 1
    if "--check" in sys.argv:
        if open(path, encoding="utf-8").read() != text: print("coverage.tsv is stale: run coverage.py"); bad = 1
        if missing > MOST_MISSING: print("%d rows are missing, %d at most" % (missing, MOST_MISSING)); bad = 1
    else:
        open(path, "w", encoding="utf-8").write(text)
    print("%d of %d rows" % (len(lines) - missing, len(lines)))
    return bad

sys.exit(main())
