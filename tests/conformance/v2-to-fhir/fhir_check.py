"""Structural check of FHIR R4 JSON against grammar/data/fhir-r4: elements, cardinalities, types, required codes, formats of primitives."""
import os, re
HERE = os.path.dirname(os.path.abspath(__file__))
FORMAT = {"date": r"\d{4}(-\d\d(-\d\d)?)?", "dateTime": r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?",
          "instant": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "time": r"\d\d:\d\d:\d\d(\.\d+)?", "code": r"[^\s]+(\s[^\s]+)*",
          "id": r"[A-Za-z0-9\-.]{1,64}", "uri": r"\S+", "url": r"\S+", "canonical": r"\S+", "oid": r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+", "uuid": r"urn:uuid:[0-9a-f-]{36}",
          "base64Binary": r"(\s*([0-9a-zA-Z+/=]){4}\s*)+", "string": r"[\s\S]*\S[\s\S]*", "markdown": r"[\s\S]*\S[\s\S]*"}
NUMBERS = {"integer": int, "unsignedInt": int, "positiveInt": int, "decimal": (int, float)}

class Model:
    def __init__(self, folder):
        self.base, self.system, self.kind, self.elements, self.codes = {}, {}, {}, {}, {}
        for line in open(os.path.join(folder, "types.tsv"), encoding="utf-8"):
            if line[0] == "#": continue
            name, kind, base, abstract, system = (line.rstrip("\n").split("\t") + [""] * 5)[:5]
            self.base[name], self.kind[name], self.system[name] = base, kind, system
        for line in open(os.path.join(folder, "elements.tsv"), encoding="utf-8"):
            if line[0] == "#": continue
            owner, name, lo, hi, types, flags, codes = (line.rstrip("\n").split("\t") + [""] * 7)[:7]
            self.elements.setdefault(owner, {})[name] = (int(lo), hi, types.split(), "" if set(flags) & {"E", "P"} else codes)  # required bindings only
        for line in open(os.path.join(folder, "codes.tsv"), encoding="utf-8"):
            if line[0] != "#":
                url, _, _, codes = line.rstrip("\n").split("\t")
                self.codes.setdefault(url, set()).update(codes.split())

    def of(self, t):
        out = {}
        base = self.base.get(t) or ("BackboneElement" if "." in t else "")
        if base: out.update(self.of(base))
        out.update(self.elements.get(t, {}))
        return out

    def find(self, t, member):
        """(element, type) of a JSON member."""
        for name, e in self.of(t).items():
            plain = name[:-3] if name.endswith("[x]") else name
            if name == member: return name, e, e[2][0]
            if plain != name or len(e[2]) > 1:
                for x in e[2]:
                    x = x.split("(")[0]
                    if member == plain + x[0].upper() + x[1:]: return name, e, x
        return None

def check(m, value, t, path, out):
    t = t.split("(")[0].lstrip("@")
    if t in ("Resource", "DomainResource"): t = value.get("resourceType", "?") if isinstance(value, dict) else "?"
    if m.kind.get(t) == "primitive":
        if t == "boolean":
            if not isinstance(value, bool): out.append(path + ": no boolean")
        elif t in NUMBERS:
            if isinstance(value, bool) or not isinstance(value, NUMBERS[t]) or (t == "positiveInt" and value < 1) or (t == "unsignedInt" and value < 0): out.append("%s: no %s" % (path, t))
        elif not isinstance(value, str) or not re.fullmatch(FORMAT.get(t, r"[\s\S]*"), value): out.append("%s: no %s: %r" % (path, t, str(value)[:40]))
        return
    if not isinstance(value, dict): return out.append(path + ": no object")
    if not value: return out.append(path + ": an empty object")
    seen = {}
    for k, v in value.items():
        if k == "resourceType": continue
        f = m.find(t, k.lstrip("_"))
        if not f: out.append("%s.%s: no such element in %s" % (path, k, t)); continue
        name, (lo, hi, types, codes), ty = f
        if hi == "*" and not isinstance(v, list): out.append("%s.%s: no list" % (path, k)); continue
        if hi != "*" and isinstance(v, list): out.append("%s.%s: a list" % (path, k)); continue
        seen.setdefault(name, set()).add(k.lstrip("_"))
        items = v if isinstance(v, list) else [v]
        if not items: out.append("%s.%s: an empty list" % (path, k))
        for x in items:
            if k[0] == "_": check(m, x, "Element", path + "." + k, out); continue
            check(m, x, ty, path + "." + k, out)
            url = codes.split("|")[0]
            if url in m.codes and isinstance(x, str) and x not in m.codes[url]: out.append("%s.%s: %r is not in %s" % (path, k, x, url))
    for name, (lo, hi, types, codes) in m.of(t).items():
        if lo and name not in seen: out.append("%s: %s is missing" % (path, name))
        if len(seen.get(name, ())) > 1: out.append("%s: %s is there in two types" % (path, name))

def check_bundle(m, b):
    out = []
    check(m, b, "Bundle", "Bundle", out)
    return out

def references(o):
    """All Reference.reference of a resource that are no logical ones."""
    if isinstance(o, dict):
        if isinstance(o.get("reference"), str): yield o["reference"]
        for v in o.values(): yield from references(v)
    elif isinstance(o, list):
        for v in o: yield from references(v)
