#!/usr/bin/env python3
"""Writes natives.inc from builtins.def: the native table of the machine, sorted by name, and prototypes. Usage: natives.py builtins.def natives.inc"""
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
rows = {}
# Natives that keep no memory but in their result (vm_native_row.pure): computation on values; not what asks the embedder or reads and builds HL7.
def pure(c):
    return c.startswith("fp_") or (c.startswith("std_") and not c.startswith("std_hl7_") and c not in ("std_setting", "std_run"))
for c, sig in re.findall(r'^FUNCTION\((\w+), "((?:[^"\\]|\\.)*)"', text, re.M):
    head = sig[:sig.index("(")]
    params = sig[sig.index("(") + 1:sig.index(")")].strip()
    rows[head.split(".")[-1].strip()] = (c, ("." in head) + (params.count(",") + 1 if params else 0))
for c, name, nargs in re.findall(r'^INTERNAL\((\w+), "((?:[^"\\]|\\.)*)", (\d+)', text, re.M):
    rows[name] = (c, int(nargs))
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for c in sorted({c for c, _ in rows.values()}):
        out.write("hdw_status %s(vm_cx *cx, const val *args, unsigned n, val *out);\n" % c)
    out.write("static const vm_native_row natives[] = {\n")
    for name in sorted(rows, key=lambda s: s.encode()):
        out.write('  {"%s", %s, %d, %s},\n' % ((name,) + rows[name] + ("true" if pure(rows[name][0]) else "false",)))
    out.write("};\n")
