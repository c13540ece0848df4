#!/usr/bin/env python3
"""Writes codes1.hdw ... from the concept maps in tables/codesystems. Usage: make_codes.py   (in this folder; then hdwc fmt codes?.hdw)

A map to a FHIR code gives a string, a map to a concept a Coding. Rows without a code on one of the two sides say nothing that a program could do
and are left out, as are maps that no function of this library asks for (UNUSED)."""
import csv, glob, os, re
HERE = os.path.dirname(os.path.abspath(__file__))
# Maps whose target is an element of type code.
CODES = {"AddressType[Type]", "AddressType[Use]", "AdministrativeSex", "AllergenType[AllergyIntoleranceCategory]", "AllergySeverity[AllergyIntolerance.criticality]",
         "AllergySeverity[AllergyIntolerance.reaction.severity]", "AllergyType", "CompletionStatus", "Event[EncounterStatus]", "EventRelatedPeriod", "ExtendedPriorityCodes",
         "FillerStatusCodes[Appointment]", "NameAssemblyOrder", "NameType", "ObservationResultStatusCodesInterpretation", "OrderControlCode[ServiceRequest.status]", "OrderStatus",
         "PatientClass[EncounterStatus]", "PrincipalLanguageOfMessage", "ResultStatus[Non-Queries]", "TelecommunicationEquipmentType", "TelecommunicationUseCode",
         "TestServiceDefaultDurationUnits", "YesNoIndicator[AvailabilityStatus]"}
UNUSED = {"BodySite", "CountryCode", "EventType", "MessageStructure", "SegmentActionCode", "ParticipantOrganizationUnitType", "YesNoIndicator", "SpecimenRejectReason", "PreferredMethodOfContact",
          "NameAssemblyOrder", "TestServiceDefaultDurationUnits"}

HL7 = "http://terminology.hl7.org/CodeSystem/"

def quote(s): return "'" + s.replace("\\", "\\\\").replace("'", "\\'") + "'"
def name(n):
    w = re.split(r"[^A-Za-z0-9]+", n)
    return w[0][0].lower() + w[0][1:] + "".join(x[0].upper() + x[1:] for x in w[1:] if x)
def clean(s): return re.sub(r"\s+", " ", s.strip())

def rows(path):
    seen, out = set(), []
    for i, r in enumerate(csv.reader(open(path, newline="", encoding="utf-8")), 1):
        r = [clean(x) for x in r] + [""] * 12
        if i < 3: continue
        code, target, display, system = r[0], r[6], r[8], r[9]
        if display.startswith("http"): display, system = "", display # the display column is missing in some tables
        if not code or not target or code in seen or " " in target: continue
        if not system.startswith("http") and not system.startswith("urn:"): system = ""
        seen.add(code)
        out.append((i, code, target, display, system))
    return out

def functions():
    for path in sorted(glob.glob(os.path.join(glob.escape(HERE), "tables", "codesystems", "*.csv"))):
        n = os.path.basename(path)[:-4]
        rs = rows(path)
        if n in UNUSED or not rs: continue
        if n == "TelecommunicationEquipmentType": # one table, two elements: system, and use for what is mobile
            use = [r for r in rs if r[4].endswith("contact-point-use")]
            rs = [(i, c, "phone" if s.endswith("contact-point-use") else t, d, s) for i, c, t, d, s in rs]
            yield ["/// %s: use" % n, "map telecommunicationEquipmentUse(code: string?): string? {"] + ["  %s: %s," % (quote(c), quote(t)) for i, c, t, d, s in use] + ["}", ""]
        if n in CODES:
            out = ["/// %s" % n, "map %s(code: string?): string? {" % name(n)]
            groups = {}
            for i, c, t, d, s in rs: groups.setdefault(t, []).append(c)
            yield out + ["  %s: %s," % (", ".join(quote(c) for c in cs), quote(t)) for t, cs in groups.items()] + ["}", ""]
        else:
            out = ["/// %s" % n, "map %s(code: string?): Coding? {" % name(n)]
            for i, c, t, d, s in rs:
                out.append("  %s: term(%s, %s, %s)," % (quote(c), quote(s.replace(HL7, "")) if s else "{}", quote(t), quote(d) if d else "{}"))
            yield out + ["}", ""]

def main():
    head = ["hdw 1", "", "// Concept maps of the v2-to-FHIR guide, part %d. Written by make_codes.py from tables/codesystems; edit neither by hand.", ""]
    parts, n = [["fn term(system: string?, code: string, display: string?): Coding =", "  Coding(system: iif(system.contains(':'), system, \"%s{system}\"), code: code, display: display)" % HL7, ""]], 0
    for f in functions():
        if len(parts[-1]) + len(f) > 560: parts.append([])
        parts[-1] += f
    for i, p in enumerate(parts, 1):
        open(os.path.join(HERE, "codes%d.hdw" % i), "w", encoding="utf-8").write("\n".join(head + p[:-1]).replace("part %d", "part %d" % i, 1) + "\n")

main()
