#!/usr/bin/env python3
"""Writes lib_files.inc: the library of .hdw files as C data, so that hdwc needs no files at run time. Usage: lib_c.py OUT ROOT FILE..."""
import os, sys
out, root, files = sys.argv[1], sys.argv[2], sys.argv[3:]
with open(out, "w", encoding="utf-8") as o:
    rows = []
    for i, f in enumerate(sorted(files)):
        data = open(f, "rb").read()
        o.write("static const unsigned char lib_file_%d[] = {\n" % i)
        for k in range(0, len(data), 64):
            o.write(",".join(map(str, data[k:k + 64])) + ",\n")
        o.write("0};\n")
        rows.append('  {"%s", lib_file_%d, %d},\n' % (os.path.relpath(f, root).replace(os.sep, "/"), i, len(data)))
    o.write("static const lib_row lib_rows[] = {\n%s  {NULL, NULL, 0},\n};\n" % "".join(rows))
