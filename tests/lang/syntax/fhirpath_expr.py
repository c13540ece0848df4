#!/usr/bin/env python3
"""fhirpath_expr.py SUITE.xml > fhirpath-expr.txt: the expressions of an official FHIRPath test suite, for the parser's test.

Each expression is preceded by a line "## NAME" ("## NAME reject" when the published grammar does not accept it) and ends before the next.
"""
import sys
import xml.etree.ElementTree as ET

# Not in the grammar: an unfinished operator, an unclosed comment, a Time with a zone.
REJECTED = {'2 + 2 /', '2 + 2 /* not finished', '@T14:34:28Z.is(Time)', '@T14:34:28+10:00.is(Time)'}

print('Expressions of the official FHIRPath test suite for FHIR R4, r4/fhirpath/tests-fhir-r4.xml of https://github.com/FHIR/fhir-test-cases')
print('at commit 2dee8a0f8fa0b948b4cd28f0edfc34a0322318fe (Apache-2.0; FHIR content CC0). Made by fhirpath_expr.py.')
for test in ET.parse(sys.argv[1]).getroot().iter('test'):
    for e in test.iter('expression'):
        text = e.text or ''
        print('## ' + test.get('name', '?').replace(' ', '_') + (' reject' if text.strip() in REJECTED else ''))
        print(text)
