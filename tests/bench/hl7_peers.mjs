// node hl7_peers.mjs PACKAGE FILE [SECONDS]    prints messages per second: parse and read, one thread, in process.
// ADT: ten fields. ORU: the same ten and OBX-3.1, OBX-5, OBX-6.1 of every OBX. Packages come from the folder in PEERS_NPM.
import { createRequire } from 'node:module';
import fs from 'node:fs';

const require = createRequire((process.env.PEERS_NPM ?? process.cwd()) + '/package.json');
const [name, file, seconds = '2'] = process.argv.slice(2);
const text = fs.readFileSync(file, 'utf8');
const isOru = text.includes('ORU^R01');

const peers = {
  'hl7parser'() {
    const h = require('hl7parser');
    return (t) => {
      const m = h.create(t.slice(0, -1)), g = (p) => m.get(p).toString();
      const out = [g('MSH.9.1'), g('MSH.10'), g('PID.3[0].1'), g('PID.5[0].1'), g('PID.5[0].2'), g('PID.7'), g('PID.8'), g('PID.11.5'), g('PV1.2'), g('PV1.7.1')];
      if (isOru) m.get('OBX').forEach((s) => out.push(s.get('OBX.3.1').toString(), s.get('OBX.5').toString(), s.get('OBX.6.1').toString()));
      return out;
    };
  },
  'simple-hl7'() {
    const hl7 = require('simple-hl7'), parser = new hl7.Parser();
    return (t) => {
      const m = parser.parse(t), pid = m.getSegment('PID'), pv1 = m.getSegment('PV1');
      const out = [m.header.getComponent(7, 1), m.header.getField(8), pid.getComponent(3, 1), pid.getComponent(5, 1), pid.getComponent(5, 2), pid.getField(7), pid.getField(8), pid.getComponent(11, 5),
        pv1.getField(2), pv1.getComponent(7, 1)];
      if (isOru) for (const s of m.getSegments('OBX')) out.push(s.getComponent(3, 1), s.getField(5), s.getComponent(6, 1));
      return out;
    };
  },
  'hl7'() {
    const h = require('hl7');
    return (t) => {
      const by = {}, obx = [];
      for (const s of h.parseString(t)) if (s[0] === 'OBX') obx.push(s); else by[s[0]] ??= s;
      const c = (f, i, j) => f[i]?.[0]?.[j] ?? '';
      const { MSH, PID, PV1 } = by;
      const out = [c(MSH, 9, 0), c(MSH, 10, 0), c(PID, 3, 0), c(PID, 5, 0), c(PID, 5, 1), c(PID, 7, 0), c(PID, 8, 0), c(PID, 11, 4), c(PV1, 2, 0), c(PV1, 7, 0)];
      if (isOru) for (const f of obx) out.push(c(f, 3, 0), c(f, 5, 0), c(f, 6, 0));
      return out;
    };
  },
  '@medplum/core'() {
    const { Hl7Message } = require('@medplum/core');
    return (t) => {
      const m = Hl7Message.parse(t), msh = m.getSegment('MSH'), pid = m.getSegment('PID'), pv1 = m.getSegment('PV1');
      const out = [msh.getComponent(9, 1), msh.getField(10).toString(), pid.getComponent(3, 1), pid.getComponent(5, 1), pid.getComponent(5, 2), pid.getField(7).toString(), pid.getField(8).toString(),
        pid.getComponent(11, 5), pv1.getField(2).toString(), pv1.getComponent(7, 1)];
      if (isOru) for (const s of m.getAllSegments('OBX')) out.push(s.getComponent(3, 1), s.getField(5).toString(), s.getComponent(6, 1));
      return out;
    };
  },
  'hl7-standard'() {
    const HL7 = require('hl7-standard');
    return (t) => {
      const m = new HL7(t);
      m.transform();
      const out = ['MSH.9.1', 'MSH.10.1', 'PID.3.1', 'PID.5.1', 'PID.5.2', 'PID.7.1', 'PID.8.1', 'PID.11.5', 'PV1.2.1', 'PV1.7.1'].map((p) => m.get(p));
      if (isOru) for (const s of m.getSegments('OBX')) out.push(s.get('OBX.3.1'), s.get('OBX.5.1'), s.get('OBX.6.1'));
      return out;
    };
  },
  'node-hl7-client'() {
    const { Message } = require('node-hl7-client');
    return (t) => {
      const m = new Message({ text: t }), g = (p) => m.get(p).toString();
      const out = [g('MSH.9.1'), g('MSH.10'), m.get('PID.3').get(0).get(1).toString(), g('PID.5.1'), g('PID.5.2'), g('PID.7'), g('PID.8'), m.get('PID.11').get(5).toString(), g('PV1.2'), g('PV1.7.1')];
      if (isOru) m.get('OBX').forEach((s) => out.push(s.get('3.1').toString(), s.get('5').toString(), s.get('6.1').toString()));
      return out;
    };
  },
};

const read = peers[name]();
if (process.env.SHOW) {
  console.log(read(text));
  process.exit(0);
}
const messages = Array.from({ length: 512 }, (_, i) => text.replace(/(MSG|LAB)00001/, (_m, p) => p + String(10000 + i)));
for (const m of messages) Buffer.from(m); // flat strings, as they come from a socket
let sink = 0, n = 0;
for (const t = performance.now(); performance.now() - t < 500;) for (let i = 0; i < 64; i++) sink += read(messages[i]).length;
let best = 0;
for (const end = performance.now() + seconds * 1000; performance.now() < end;) { // the best round, as on our side
  const start = performance.now();
  for (let i = 0; i < 512; i++) sink += read(messages[n++ & 511]).length;
  best = Math.max(best, 512 / ((performance.now() - start) / 1000));
}
console.log(best.toFixed(0), sink > 0 ? '' : 'nothing read');
