"""Expressions for the differential test: drawn from what the resources hold, with a fixed seed, so that the same folder gives the same expressions."""
import json
import random
import re
from pathlib import Path

ELEMENTS = Path(__file__).resolve().parents[3] / "grammar/data/fhir-r4/elements.tsv"
NUMBERS = ["0", "1", "2", "-3", "0.5", "1.50", "100", "2.718281828"]
TIMES = ["@2012-01-01", "@2014-05", "@2015", "@2013-04-02T09:30:10+01:00", "@2015-02-07T13:28:17.239Z", "@T12:00"]
STRINGS = ["'a'", "''", "'official'", "'final'", "'http'", "'-'", "'A'", "'é'", "' '"]
SPANS = ["1 day", "3 months", "2 years", "1 'h'", "30 minutes", "1.5 seconds", "2 weeks"]
QUANTITIES = ["1 'kg'", "10 'mg'", "5 'cm'", "72 '/min'", "1 day"]
TYPES = ["string", "code", "boolean", "integer", "decimal", "Quantity", "HumanName", "Coding", "CodeableConcept", "Reference", "Period", "uri", "dateTime", "Patient", "Observation"]
ANY = ["count()", "exists()", "empty()", "first()", "last()", "tail()", "skip(1)", "take(2)", "distinct()", "isDistinct()", "distinct().count()", "type().name", "children().count()",
       "descendants().count()", "hasValue()", "single()", "trace('t')", "not()", "all($this.exists())", "select($this)", "where($this is string)", "extension('http://x').empty()",
       "repeat(extension)", "ofType(string)", "ofType(code)", "children().type().name", "descendants().ofType(Coding).code", "combine(%context.id)", "union(%context.id)", "exclude(first())",
       "intersect(last())", "subsetOf(%context.descendants())", "supersetOf({})", "select($index)", "where($index = 0)", "toString()", "iif(exists(), 1, 2)", "aggregate($total + 1, 0)", "count() > 1"]
TEXT = ["upper()", "lower()", "length()", "startsWith('h')", "endsWith('n')", "contains('e')", "indexOf('e')", "substring(1)", "substring(0, 3)", "substring(2, 100)", "replace('e', '#')",
        "matches('^[a-z]+$')", "matchesFull('[A-Za-z ]+')", "replaceMatches('[0-9]+', 'N')", "split(' ').count()", "split('-')", "join('|')", "trim()", "toChars().count()", "toInteger()", "toDecimal()", "toBoolean()",
        "toDate()", "toDateTime()", "toTime()", "toQuantity()", "convertsToInteger()", "convertsToDecimal()", "convertsToDate()", "convertsToDateTime()", "convertsToTime()", "convertsToBoolean()",
        "convertsToQuantity()", "convertsToString()", "encode('hex')", "encode('base64')", "escape('html')", "lastIndexOf('e')", "is(string)", "is(String)", "is(System.String)", "is(FHIR.code)"]
MATH = ["abs()", "ceiling()", "floor()", "round()", "round(1)", "truncate()", "sqrt()", "ln()", "exp()", "log(10)", "power(2)", "toString()", "toInteger()", "toDecimal()", "convertsToInteger()", "is(decimal)", "is(integer)"]
COMPARE = ["=", "!=", "~", "!~", ">", "<", ">=", "<="]
LOGIC = ["and", "or", "xor", "implies"]
ARITHMETIC = ["+", "-", "*", "/", "div", "mod"]
BELOW = ["count()", "where($this is string).count()", "ofType(Reference).reference", "ofType(code)", "ofType(Coding).where(system.exists()).code", "where($this is Quantity).value",
         "type().name.distinct()", "ofType(Period).start", "ofType(dateTime) > @2013", "where(extension.exists()).count()", "id", "ofType(string).where(length() > 20).count()",
         "ofType(boolean).not()", "ofType(decimal) + 1"]


def choices():
    """JSON member names of choice elements: valueQuantity -> value."""
    out = {}
    for line in ELEMENTS.read_text().splitlines():
        c = line.split("\t")
        if len(c) > 1 and c[1].endswith("[x]"):
            name = c[1][:-3]
            for t in c[4].split(" "):
                t = re.sub(r"\(.*|@", "", t)
                out[name + t[:1].upper() + t[1:]] = name
    return out


def walk(v, path, found, choice):
    if isinstance(v, list):
        for x in v:
            walk(x, path, found, choice)
    elif isinstance(v, dict):
        found.setdefault(path, ("node", None))
        for k, x in v.items():
            if not k.startswith("_") and k != "resourceType" and path.count(".") < 6:
                walk(x, path + "." + choice.get(k, k), found, choice)
    else:
        found.setdefault(path, (type(v).__name__, v))


def literal(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (int, float)):
        return repr(v) if "e" not in repr(v) else "1"
    s = str(v)
    if re.fullmatch(r"\d{4}(-\d\d){0,2}|\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)", s):
        return "@" + s
    return "'" + s[:40].replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"


def expressions(files, count, seed=1):
    rnd, choice, found = random.Random(seed), choices(), {}
    for f in files:
        r = json.loads(Path(f).read_text(encoding="utf-8"))
        walk(r, r.get("resourceType", "?"), found, choice)
    leaves = sorted(p for p, (k, _) in found.items() if k != "node" and "." in p)
    nodes = sorted(p for p, (k, _) in found.items() if k == "node" and "." in p)
    texts = [p for p in leaves if found[p][0] == "str"]
    numbers = [p for p in leaves if found[p][0] in ("int", "float")]
    times = [p for p in texts if literal(found[p][1]).startswith("@")]
    below = {}
    for p in leaves:
        below.setdefault(p.rsplit(".", 1)[0], []).append(p.rsplit(".", 1)[1])
    inner = sorted(p for p in below if "." in p)
    pick = rnd.choice

    def first(paths):
        return f"{pick(paths)}.first()"

    def leaf_test(p):
        sub = pick(below[p])
        return f"{sub} {pick(COMPARE)} {literal(found[p + '.' + sub][1])}"

    def shape():
        k = rnd.randrange(20)
        if k == 0:
            return pick(leaves + nodes)
        if k in (1, 2):
            return f"{pick(leaves + nodes)}.{pick(ANY)}"
        if k in (3, 4):
            return f"{pick(texts)}.{pick(TEXT)}"
        if k == 5:
            return f"{first(texts)}.{pick(TEXT)}"
        if k == 6 and numbers:
            return f"{first(numbers)}.{pick(MATH)}"
        if k == 7 and numbers:
            return f"{first(numbers)} {pick(ARITHMETIC)} {pick(NUMBERS)}"
        if k == 8:
            p = pick(leaves)
            return f"{p} {pick(COMPARE)} {literal(found[p][1])}"
        if k == 9:
            p = pick(inner)
            return f"{p}.where({leaf_test(p)}).{pick(below[p])}"
        if k == 10:
            p = pick(inner)
            return f"{p}.{pick(['all', 'exists', 'select', 'where'])}({leaf_test(p)})"
        if k == 11:
            p = pick(inner)
            return f"{p}.select({pick(below[p])} {pick(['|', '&', '=', '~'])} {pick(below[p])})"
        if k == 12 and times:
            return f"{first(times)} {pick(['+', '-'])} {pick(SPANS)}"
        if k == 13 and times:
            return f"{first(times)} {pick(COMPARE)} {pick(TIMES)}"
        if k == 14:
            return f"{pick(leaves)} {pick(['|', 'in', 'contains', '&', '='])} {pick(leaves)}"
        if k == 15:
            return f"({pick(leaves)}.exists() {pick(LOGIC)} {pick(nodes)}.{pick(['empty()', 'exists()', 'count() > 1'])})"
        if k == 16:
            return f"{pick(leaves)}.{pick(['is', 'as', 'ofType'])}({pick(TYPES)})"
        if k == 17:
            return pick([f"{pick(NUMBERS)} {pick(ARITHMETIC + ['=', '<', '~', '>='])} {pick(NUMBERS)}", f"{pick(STRINGS)}.{pick(TEXT)}",
                         f"{pick(STRINGS)} {pick(['&', '+', '=', '~', '<', 'in', 'contains'])} {pick(STRINGS)}", f"{pick(TIMES)} {pick(['+', '-'])} {pick(SPANS)}",
                         f"{pick(TIMES)} {pick(COMPARE)} {pick(TIMES)}", f"{pick(QUANTITIES)} {pick(COMPARE + ['+', '-', '*', '/'])} {pick(QUANTITIES)}",
                         f"({pick(NUMBERS)}).{pick(MATH)}", f"{pick(['true', 'false', '{}'])} {pick(LOGIC)} {pick(['true', 'false', '{}'])}"])
        if k == 18:
            p = pick(inner)
            return f"{p}.where({leaf_test(p)} {pick(LOGIC)} {leaf_test(p)}).count()"
        return f"{pick(['descendants()', 'children()', '%context.descendants()', '%resource'])}.{pick(BELOW)}"

    out = {}
    while len(out) < count:
        out.setdefault(shape())
    return list(out)
