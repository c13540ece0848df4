#!/usr/bin/env python3
"""Which rows of the guide's tables are in the library. Usage: coverage.py [--check]

Writes coverage.tsv: every row of tables/segments and tables/datatypes that names a FHIR element, with the function that has it or the reason why none
does. A row counts as done when a comment in the function of its table names it: `// r12`. --check writes nothing: it fails when the file is
stale, when a comment names a row that does not exist, or when more rows are missing than MOST_MISSING: that number may only shrink."""
import csv, glob, os, re, sys
HERE = os.path.dirname(os.path.abspath(__file__))
MOST_MISSING = 510

# Tables whose rows another function or the language itself has.
SAME = {"CE[CodeableConcept]": "CWE[CodeableConcept]", "CNE[CodeableConcept]": "CWE[CodeableConcept]", "CF[CodeableConcept]": "CWE[CodeableConcept]"}
LANGUAGE = {"DR[dateTime]", "DTM[dateTime]", "DTM[Annotation-Time]", "TS[dateTime]", "ID[boolean]", "ID[code]", "ID[string]", "IS[code]", "IS[string]", "ST[CodeableConcept]", "ST[Identifier]",
            "FT[Annotation-Comment]", "CQ[decimal]", "MSG[code]", "ID[CodeableConcept]", "IS[CodeableConcept]", "ID[Coding]"}
# Tables without a function, and why.
TABLES = {
    "CWE[Observation-SupportingInfo]": "Observation.code is left to the implementer",
    "CWE[PractitionerRole]": "in PRT[CareTeam] the role is the CodeableConcept of PRT-6 as a whole",
    "CX[RelatedPerson-Mother]": "which identifier links the mother is left to the implementer",
    "DG1[EpisodeOfCare]": "no message says that a diagnosis belongs to an episode of care; EpisodeOfCare.status cannot be known",
    "ED[DocumentReference]": "documents in an Observation stay its attachment; those of MDM are DocumentReference.content",
    "RP[DocumentReference]": "documents in an Observation stay its attachment; those of MDM are DocumentReference.content",
    "EI[Condition]": "Condition.assigner does not exist; the identifier is kept", "EI[Procedure]": "what it is part of is another message's procedure",
    "EI[Coding]": "no segment table uses it", "XCN[Patient]": "Depending on ROL-3: left to the implementer", "XCN[Annotation-Author]": "the Practitioner of XCN[Practitioner] is the author",
    "NA[SampledData]": "SampledData.origin and .period are required and not in the message; the numbers are kept as text",
    "MSH[Provenance-Transformation]": "who transforms, when and by which policy is the program's to say",
    "MSH[Encounter]": "visitStatus", "ORC[MedicationAdministration]": "no message table uses it", "PV1[Basic-EncounterHistory]": "a Basic resource of R5 extensions",
    "PRT[RelatedPerson]": "a participant with a role of table 0443 is a professional", "PRT[Patient-GeneralPractitioner-PractitionerRole]": "no message table uses it",
    "ROL[RelatedPerson]": "no message table uses it", "TQ[Task-ExecutionPeriod]": "no message table uses it", "TQ[Task-Priority]": "no message table uses it",
    "CWE[Timing-DurationUnit]": "no segment table uses it", "CWE[Duration]": "no segment table uses it", "TXA[Provenance]": "the roles that it gives agents are those of R5",
    "SCH[Provenance]": "Provenance.recorded is required and not in SCH; the enterer is a participant of the Appointment",
    "PRT[Device]": "fields of HL7 v2.8.2 and later, which the dictionary does not have",
}
# Single rows: tables (a pattern), rows (None: all that are left) and why.
ROWS = [
    (r"MSH\[MessageHeader\]", [37, 38], "fields of HL7 v2.9, which the dictionary does not have"),
    (r"MSH\[MessageHeader\]", [14, 23], "no code and no country: free text of the sender's security, and a country that is its organization's"),
    (r"MSH\[Bundle\]", [14], "left to the implementer"),
    (r"MSH\[Provenance-Source\]", None, "the message itself is kept by the daemon, not in the Bundle"),
    (r"HD\[MessageHeader.*\]", None, "an identifier is no name and no software"),
    (r"HD\[uri\]", None, "a namespace is no URI"), (r"MSG\[MessageHeader\]", [6], "the map gives URLs of structures, which are no MessageDefinition"),
    (r"PID\[Patient\]", [15, 37], "left to local extensions (US Core and others)"), (r"PID\[Patient\]", [32], "outside the US; row 31 is used"),
    (r"PID\[Patient\]", [36], "see CX[RelatedPerson-Mother]"), (r"NK1\[RelatedPerson\]", [43], "outside the US; row 42 is used"),
    (r"PID\[Appointment\]", None, "an R5 extension; the patient is a participant"), (r"OBR\[ServiceRequest\]", [19], "the code add-on is not in R4's value set"),
    (r"OBX.*", [25, 29, 33], "see NA[SampledData]; ED[DocumentReference]"), (r"OBX\[Observation-Component\]", None, "of the whole Observation: the function OBX_Observation has it"),
    (r"OBX\[Observation\]", [52], "CWE[PractitionerRole] or organization: the organization is used"), (r"OBX\[Observation\]", [58, 59], "the guide names no URL"),
    (r"OBX\[Observation\]", [74, 75, 76, 77, 78, 81, 82, 83, 84, 85, 86], "fields of HL7 v2.8.2 and later, which the dictionary does not have"),
    (r"OG\[.*", None, "OBX-4 is a string before v2.8.2"), (r"ORC\[ServiceRequest\]", [65, 66, 67], "a field of HL7 v2.9"),
    (r"CWE\[Identifier\]", None, "one identifier has one value; an Identifier has no name"), (r"PL\[Location\]", [6, 7], "the point of care has no code in location-physical-type"),
    (r"PL\[Location\]", None, "PL-11 names the authority of all parts; the parts name their own"), (r"NDL\[.*", None, "where the reporter was is not an element of PractitionerRole in use"),
    (r"CWE\[Device\]", None, "a code names one device, not a kind"),
    (r"EI\[Device-udiCarrier\]", None, "only the sender knows whether PRT-10 is what a UDI barcode says; it is the identifier"),
    (r"XON\[Location\]", [4], "the guide names no element or extension yet"), (r"PRT\[CareTeam\]", [9, 22, 27], "a participant with a role of table 0443 is a professional"),
    (r"PRT\[CareTeam\]", [23], "a PractitionerRole has no address"), (r"PRT\[CareTeam\]", [25, 30], "the address and telephone are the participant's: the person's where there is one"),
    (r"PRT\[(Device|PractitionerRole)\]", [19, 20, 21, 22, 23, 24, 25, 26] + list(range(31, 45)), "fields after PRT-15, which the dictionary does not have"),
    (r"NTE\[.*", [12, 15, 16], "a field of HL7 v2.9, which the dictionary does not have"), (r"OBR\[Specimen\]", [4], "only the sender knows whether the placer's number is the accession's"),
    (r"OBR\[Specimen\]", [17], "no code says that it is a duration"), (r"RXR\[MedicationRequest\]", [5], "the guide names no element or extension yet"),
    (r"SCH\[ServiceRequest\]", [35], "the map gives the status of an Appointment, which an order does not have"), (r"TQ\[.*", [5, 6, 7], "free text: when it can be parsed without doubt is left to the implementer"),
    (r"SN\[.*", None, "the extension originalText is not defined"), (r"ROL\[CareTeam\]", None, "left to the implementer"),
    (r"TXA\[DocumentReference\]", [10, 11], "FHIR R6"), (r"SFT\[Device\]", [3], "the guide has no code for software yet"), (r"PV2\[Encounter\]", [18], "a narrative is the author's"),
    (r"PV1\[Encounter\]", [83, 84, 85], "EpisodeOfCare.status is required and not in the message"), (r"XAD\[Address\]", [13, 14, 15], "the extension has no URL"),
    (r"XCN\[RelatedPerson\]|XCN\[PractitionerRole\]", None, "see XCN[Practitioner]"), (r"AI[GLP]\[Appointment\]", None, "an offset from a start that is another segment's"),
    (r"AIS\[Appointment\]", None, "a service is no participant; its time is the ServiceRequest's"), (r"AIS\[ServiceRequest\]", None, "AIS-11 and AIS-12 are codes, no identifiers"),
    (r"SCH\[Appointment\]", [16, 17, 22, 23], "the guide has no codes for the contacts yet"),
]

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
            note = re.search(r"(?:^|\s)//\s(.*)$", line)
            table = first
            for t in re.findall(r"[A-Z0-9]+\[[^\]]+\]|\br\d+\b|\b[A-Z]{3}_[A-Z0-9]{3}\b", note.group(1) if note else ""):
                if t[0] != "r": table = t
                elif "_" not in table: out.setdefault((table, int(t[1:])), fn) # rows of message tables are named for the reader only
            if re.fullmatch(r"[)}\]]+(  //.*)?", line.rstrip()): first = ""
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
        fn = have.get((t, i)) or have.get((SAME.get(t), i)) or ("(language)" if t in LANGUAGE else None)
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
