// node differential.mjs FILE...   Evaluates with fhirpath.js (folder in PEERS_NPM) every expression of standard input (a JSON array) on every file: a line of JSON each, [canonical items] or
// {"error": text}. Items are canonical as in differential.py.
import { createRequire } from 'node:module';
import { createHash } from 'node:crypto';
import fs from 'node:fs';

const require = createRequire(process.env.PEERS_NPM + '/package.json');
const fp = require('fhirpath'), r4 = require('fhirpath/fhir-context/r4');

function canon(v) {
  if (v === null || v === undefined) return 'null';
  if (typeof v === 'bigint') v = Number(v);
  if (typeof v === 'number') return v.toExponential(6).replace('e+', 'e');
  if (typeof v !== 'object') return JSON.stringify(v);
  if (Array.isArray(v)) return '[' + v.map(canon).join(',') + ']';
  if (typeof v.toJSON === 'function') return canon(v.toJSON());
  return '{' + Object.keys(v).filter((k) => v[k] !== undefined && k[0] !== '_').sort().map((k) => JSON.stringify(k) + ':' + canon(v[k])).join(',') + '}';
}
const short = (s) => (s.length > 300 ? 'sha1:' + createHash('sha1').update(s, 'utf8').digest('hex') : s);

const compiled = JSON.parse(fs.readFileSync(0, 'utf8')).map((x) => {
  try { return fp.compile(x, r4, { traceFn: () => {} }); } catch (e) { return String(e.message ?? e).slice(0, 120); }
});
for (const file of process.argv.slice(2)) {
  const data = JSON.parse(fs.readFileSync(file, 'utf8'));
  const lines = compiled.map((f) => {
    if (typeof f === 'string') return JSON.stringify({ error: f });
    try { return JSON.stringify(f(data, { resource: data, rootResource: data }).map((v) => short(canon(v)))); } catch (e) { return JSON.stringify({ error: String(e.message ?? e).slice(0, 120) }); }
  });
  fs.writeSync(1, lines.join('\n') + '\n');
}
