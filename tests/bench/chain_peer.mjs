// The work of bench_chain in node: a POST becomes three calls of a FHIR server, one after the other, by fetch. Nothing is stored.
//   node chain_peer.mjs BASE
import http from 'node:http'

const base = process.argv[2]
const get = async (path) => {
  const r = await fetch(base + path, { headers: { accept: 'application/fhir+json' } })
  if (!r.ok) throw new Error(`HTTP ${r.status}`)
  return r.json()
}
const server = http.createServer((req, res) => {
  const parts = []
  req.on('data', (d) => parts.push(d))
  req.on('end', async () => {
    try {
      const body = JSON.parse(Buffer.concat(parts))
      const p = await get(`/Patient/${encodeURIComponent(body.id)}`)
      const found = await get(`/Coverage?beneficiary=${encodeURIComponent(p.id)}`)
      const again = await get(`/Patient/${encodeURIComponent(p.id)}`)
      const out = JSON.stringify({ family: again.name[0].family, plans: found.entry.filter((e) => e.resource.status === 'active').length })
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(out) })
      res.end(out)
    } catch (e) {
      res.writeHead(500)
      res.end()
    }
  })
})
server.keepAliveTimeout = 60000
server.listen(0, '127.0.0.1', () => console.log(`port=${server.address().port}`))
