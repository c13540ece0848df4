"""Helpers of the scripts that turn schema text into C tables: one string pool, arrays of integers, nothing that needs relocation."""


class Pool:
    """Interned NUL-terminated strings; offset 0 is the empty string."""

    def __init__(self, name):
        self.name, self.parts, self.at, self.size = name, [], {}, 0
        self.add('')

    def add(self, s):
        if s not in self.at:
            b = s.encode('utf-8') + b'\0'
            self.at[s] = self.size
            self.parts.append(b)
            self.size += len(b)
        return self.at[s]

    def emit(self, out):
        out.append(f'static const char {self.name}[{self.size}] =\n')
        line = ''
        for p in self.parts:
            # \000 in full, so that a digit that follows is not taken into the escape
            line += ''.join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else f'\\{c:03o}' for c in p)
            if len(line) > 150:
                out.append(f'"{line}"\n')
                line = ''
        # the array's size is the exact number of bytes: the literal's own NUL is the last string's
        assert line.endswith('\\000') or not line
        if line:
            out.append(f'"{line[:-4]}"\n')
        else:
            out[-1] = out[-1][:-6] + '"\n'
        out.append(';\n')


def array(out, ctype, name, items):
    """items: integers, or rows (sequences of integers) for arrays of structs."""
    out.append(f'static const {ctype} {name}[{max(1, len(items))}] = {{\n')
    line = ''
    for i in items or [0]:
        line += ('{' + ','.join(str(x) for x in i) + '}' if isinstance(i, (tuple, list)) else str(i)) + ','
        if len(line) > 150:
            out.append(line + '\n')
            line = ''
    out.append(line + '};\n')


def write(path, out):
    with open(path, 'w', encoding='ascii') as f:
        f.write(''.join(out))
