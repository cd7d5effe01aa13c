// The chaos scenarios rely on the load generator: it must detect every kind of wrong answer, and reroute only requests that were not
// sent.

import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answer } from '../swarm/backend/answer.ts'
import { LoadGenerator, type LoadPlan, type LoadReport } from '../swarm/load/generator.ts'

const RUN_MS = 300

interface Stage {
  readonly port: number
  close(): Promise<void>
}

function stage(server: Server | ReturnType<typeof createTcpServer>): Promise<Stage> {
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise(done => {
            server.close(() => done())
            if ('closeAllConnections' in server) server.closeAllConnections()
          }),
      })
    })
  })
}

/** A correct backend whose answer can be changed; null closes the connection without an answer. */
function backend(spoil: (body: string) => string | null = body => body, status = 200): Promise<Stage> {
  return stage(
    createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const body = spoil(answer('tested', request, Buffer.concat(chunks)))
        if (body === null) request.socket.destroy()
        else response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body)
      })
    }),
  )
}

async function load(ports: readonly number[], plan: Partial<LoadPlan> = {}, leaving = -1): Promise<LoadReport> {
  const generator = new LoadGenerator({
    edges: ports.map((port, index) => ({ name: `edge${index}`, address: '127.0.0.1', port, leaving: index === leaving })),
    targets: [
      { service: 'tested', host: 'tested', method: 'GET', bodyBytes: 0 },
      { service: 'tested', host: 'tested', method: 'POST', bodyBytes: 3000 },
    ],
    rps: 100,
    ...plan,
  })
  await delay(RUN_MS)
  return generator.stop()
}

test('correct answers to GET and POST: no failure', async () => {
  const server = await backend()
  const report = await load([server.port])
  await server.close()
  assert.equal(report.failed, 0, JSON.stringify(report))
  assert.ok(report.requests >= 20, `${report.requests} requests`)
  assert.ok(report.p50Ms > 0 && report.p50Ms <= report.p99Ms && report.p99Ms <= report.maxMs)
})

const SPOILT: readonly (readonly [string, (body: string) => string | null, number, string])[] = [
  ['another service', body => body.replace('tested', 'other'), 200, 'wrong-service'],
  ["another request's answer", body => body.replace(/"nonce":"\d+"/, '"nonce":"x"'), 200, 'wrong-body'],
  ['a shortened request body', body => body.replace(/"length":\d+/, '"length":7'), 200, 'wrong-body'],
  ['a changed request body', body => body.replace(/"sha256":"../, '"sha256":"zz'), 200, 'wrong-body'],
  ['missing filler', body => body.replace('xxx', ''), 200, 'wrong-body'],
  ['no JSON', () => 'hello', 200, 'wrong-body'],
  ['502 with the right body', body => body, 502, 'status-502'],
  ['a connection closed without an answer', () => null, 200, 'closed'],
]

for (const [name, spoil, status, kind] of SPOILT) {
  test(`${name}: every request fails`, async () => {
    const server = await backend(spoil, status)
    const report = await load([server.port])
    await server.close()
    assert.equal(report.failedBy, { [kind]: report.requests })
    assert.equal(report.failed, report.requests)
    assert.ok(report.samples.length > 0 && report.samples.length <= 50)
  })
}

test('bytes after the answer: a failure', async () => {
  const server = await stage(
    createTcpServer(socket => {
      socket.on('error', () => {})
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}surplus'))
    }),
  )
  const report = await load([server.port])
  await server.close()
  assert.equal(report.failedBy, { 'bad-response': report.requests })
})

test('a refused connection: a failure, unless the edge is leaving and another one answers', async () => {
  const gone = await backend()
  await gone.close()
  const server = await backend()
  const strict = await load([gone.port, server.port])
  assert.ok(strict.failed > 0)
  assert.equal(strict.failedBy, { 'connect-refused': strict.failed })
  assert.equal(strict.rerouted, 0)
  const told = await load([gone.port, server.port], {}, 0)
  await server.close()
  assert.equal(told.failed, 0, JSON.stringify(told.samples))
  assert.ok(told.rerouted > 0)
})

test('a leaving edge cuts off a request that was sent: a failure', async () => {
  const rude = await backend(() => null)
  const server = await backend()
  const report = await load([rude.port, server.port], {}, 0)
  await Promise.all([rude.close(), server.close()])
  assert.ok(report.failed > 0)
  assert.equal(report.rerouted, 0)
})

test('slow answers: the schedule does not wait, latency counts from the due time', async () => {
  const held = await stage(
    createServer((request, response) => {
      request.resume()
      setTimeout(() => {
        const body = answer('tested', request, Buffer.alloc(0))
        response.writeHead(200, { 'content-length': Buffer.byteLength(body) }).end(body)
      }, 1000)
    }),
  )
  const report = await load([held.port], { targets: [{ service: 'tested', host: 'tested', method: 'GET', bodyBytes: 0 }] })
  await held.close()
  assert.ok(report.requests >= 20, `${report.requests} requests`)
  assert.equal(report.failed, 0, JSON.stringify(report.samples[0]))
  assert.ok(report.p50Ms >= 990, `p50 ${report.p50Ms} ms`)
  assert.equal(report.delayed, report.requests)
})

test.run()
