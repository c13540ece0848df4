// node fhirpath_peers.mjs ENGINE(fhirpath|medplum) FOLDER SECONDS    evaluations per second of expressions that are compiled once: lines "NAME FIGURE".
// Names that begin with W: the file is read anew (JSON.parse) each time and all expressions of that name are evaluated: one line for each name.
// The expressions come on standard input, "NAME FILE EXPRESSION" each; FOLDER has the files. Packages come from the folder in PEERS_NPM.
import { createRequire } from 'node:module';
import fs from 'node:fs';

const require = createRequire((process.env.PEERS_NPM ?? process.cwd()) + '/package.json');
const [engine, folder, seconds = '1'] = process.argv.slice(2);

function compiler() {
  if (engine === 'fhirpath') {
    const fp = require('fhirpath'), r4 = require('fhirpath/fhir-context/r4');
    return (x) => fp.compile(x, r4);
  }
  const { parseFhirPath, toTypedValue } = require('@medplum/core');
  return (x) => {
    const ast = parseFhirPath(x);
    return (r) => ast.eval({ variables: { '%context': toTypedValue(r) } }, [toTypedValue(r)]).map((v) => v.value);
  };
}

const compile = compiler(), files = {}, whole = {};
function measure(f) {
  for (const t = performance.now(); performance.now() - t < 200;) f();
  let best = 0;
  for (let turn = 0; turn < 5; turn++) {
    const t0 = performance.now(), until = t0 + (seconds * 1000) / 5;
    let k = 0;
    while (performance.now() < until) for (let i = 0; i < 4; i++, k++) f();
    best = Math.max(best, k / ((performance.now() - t0) / 1000));
  }
  return best.toFixed(1);
}
for (const line of fs.readFileSync(0, 'utf8').split('\n')) {
  const [, name, file, expr] = /^(\S+) (\S+) (.+)$/.exec(line) ?? [];
  if (!name) continue;
  if (name[0] === 'W') {
    (whole[name] ??= { file, list: [] }).list.push(compile(expr));
    continue;
  }
  const data = (files[file] ??= JSON.parse(fs.readFileSync(`${folder}/${file}`, 'utf8')));
  const f = compile(expr);
  console.log(name, f(data).length, measure(() => f(data)));
}
for (const [name, { file, list }] of Object.entries(whole)) {
  const text = fs.readFileSync(`${folder}/${file}`, 'utf8');
  const all = () => { const data = JSON.parse(text); let n = 0; for (const f of list) n += f(data).length; return n; };
  console.log(name, all(), measure(all));
}
