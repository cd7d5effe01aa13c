// Bad clients, one of each kind, against a running `skein run`: each gets its status or is cut off, while another client is served.
// The details of each rule are tested in process (data-plane-*.test.ts).

import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { RawConnection } from './raw-connection.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, Replica } from './skein-process.ts'

const CHUNK = Buffer.alloc(64 * 1024, 'x')
const seen: string[] = []
let heldUp = 0
const backend = createServer((request, response) => {
  seen.push(`${request.method} ${request.url}`)
  if (request.url === '/endless') return flood(response)
  let size = 0
  request.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  request.on('end', () => response.end(`read ${size}`))
})
await new Promise<void>(resolve => backend.listen(0, '127.0.0.1', resolve))

function flood(response: ServerResponse): void {
  heldUp++
  response.once('close', () => heldUp--)
  const more = (): void => {
    while (!response.destroyed && response.write(CHUNK)) {}
  }
  response.on('drain', more)
  more()
}

const manager = await ScriptedManager.start({
  name: 'app',
  labels: { 'traefik.port': String((backend.address() as AddressInfo).port), 'traefik.frontend.rule': 'Host:app.test' },
})
const timeouts = ['--request-header-timeout', '1s', '--stall-timeout', '1s', '--max-body-bytes', '200MB']
const replica = await Replica.start(['--manager', manager.endpoint, ...timeouts])
const clients: RawConnection[] = []

test.before(async () => void (await replica.answers('app.test', 200)))
test.after(async () => {
  for (const client of clients) client.destroy()
  const { code, err } = await replica.stop()
  endAll()
  closeManagers()
  backend.close()
  backend.closeAllConnections()
  assert.is(code, 0, err)
  assert.not.match(replica.out, /"level":"(?:error|fatal)"/)
})

async function client(): Promise<RawConnection> {
  const opened = await RawConnection.open(replica.web)
  clients.push(opened)
  return opened
}

const head = (line: string, fields = ''): string => `${line}\r\nHost: app.test\r\n${fields}\r\n`

async function neighbourIsServed(): Promise<void> {
  assert.is((await replica.get('app.test', '/neighbour')).status, 200)
}

/** Sends bytes. @returns the status of the response, and whether the connection was closed after it */
async function send(text: string): Promise<{ status: number; closes: boolean; body: string }> {
  const own = await client()
  own.write(text)
  const answer = await own.takeMessage()
  const closes = /\r\nconnection: close\r\n/i.test(answer.head)
  return { status: Number(answer.startLine.split(' ')[1]), closes, body: answer.body.toString() }
}

const MANY = Array.from({ length: 500 }, (_, i) => `X-${i}: y\r\n`).join('')

for (const [what, text, status] of [
  ['a header of a megabyte', head('GET /bad HTTP/1.1', `X: ${'y'.repeat(1024 * 1024)}\r\n`), 431],
  ['five hundred headers', head('GET /bad HTTP/1.1', MANY), 431],
  ['a target of a megabyte', head(`GET /bad${'y'.repeat(1024 * 1024)} HTTP/1.1`), 414],
  ['a method that is not a token', head('G<T /bad HTTP/1.1'), 400],
  ['bytes that are no HTTP', '\u0016\u0003\u0001\u0002\r\n\r\n', 400],
  ['another version', head('GET /bad HTTP/3.0'), 505],
  ['two lengths', `${head('POST /bad HTTP/1.1', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n')}0\r\n\r\n`, 400],
  ['two different lengths', `${head('POST /bad HTTP/1.1', 'Content-Length: 5\r\nContent-Length: 6\r\n')}hello`, 400],
  ['a malformed chunk', `${head('POST /bad HTTP/1.1', 'Transfer-Encoding: chunked\r\n')}zz\r\n`, 400],
  ['a bare line feed', 'GET /bad HTTP/1.1\nHost: app.test\n\n', 400],
  ['no host', 'GET /bad HTTP/1.1\r\n\r\n', 400],
  ['two hosts', head('GET /bad HTTP/1.1', 'Host: app.test\r\n'), 400],
  ['dot segments', head('GET /a/../bad HTTP/1.1'), 400],
  ['encoded dot segments', head('GET /a/%2e%2e/bad HTTP/1.1'), 400],
] as const) {
  test(`${what}: ${status}, and nothing reaches a server`, async () => {
    const before = seen.length
    const answer = await send(text)
    assert.is(answer.status, status)
    assert.ok(answer.closes, 'the connection is closed')
    assert.match(answer.body, /[\w-]+/)
    assert.not.ok(seen.slice(before).some(line => line.includes('bad')))
    await neighbourIsServed()
  })
}

test('unusual but valid requests are served: absolute target, encoded slashes, any short method', async () => {
  assert.is((await send(head('PROPFIND /rare HTTP/1.1'))).status, 200)
  assert.is((await send(head(`${'B'.repeat(33)} /bad HTTP/1.1`))).status, 501)
  assert.is((await send('GET http://app.test/absolute HTTP/1.1\r\nHost: other.test\r\n\r\n')).status, 200)
  assert.is((await send(head('GET /a%2Fb%2fc HTTP/1.1'))).status, 200)
  assert.ok(seen.includes('GET /absolute'))
  assert.ok(
    seen.some(line => /^GET \/a%2Fb%2f/.test(line)),
    seen.at(-1),
  )
})

test('hundreds of unusual methods add no line to the metrics', async () => {
  const lines = async () => (await (await fetch(`http://127.0.0.1:${replica.admin}/metrics`)).text()).split('\n').length
  const before = await lines()
  // The backend is Node's own server, which refuses methods that it does not know.
  for (let i = 0; i < 300; i++) assert.is((await send(head(`LIST-${i} /odd HTTP/1.1`))).status, 400)
  assert.is(await lines(), before)
})

test('200 clients that send their heads slowly get 408 in time and do not disturb other clients', async () => {
  const slow = await Promise.all(Array.from({ length: 200 }, client))
  for (const [index, own] of slow.entries()) own.write(`GET /bad HTTP/1.1\r\nX-${index}: `)
  const drip = setInterval(() => {
    for (const own of slow) if (!own.closed) own.write('y')
  }, 200)
  try {
    await neighbourIsServed()
    const answer = await slow[0]?.takeMessage()
    assert.match(answer?.startLine ?? '', /^HTTP\/1\.1 408 /)
    await until('all are cut off', () => slow.every(own => own.ended || own.closed))
    await neighbourIsServed()
  } finally {
    clearInterval(drip)
  }
})

test('a body of 100 MB is streamed; one beyond the limit gets 413', async () => {
  const size = 100 * 1024 * 1024
  const own = await client()
  own.write(head('POST /large HTTP/1.1', `Content-Length: ${size}\r\n`))
  const chunk = Buffer.alloc(1024 * 1024, 'x')
  for (let sent = 0; sent < size; sent += chunk.length) {
    if (!own.socket.write(chunk)) await new Promise(resolve => own.socket.once('drain', resolve))
    if (sent % (20 * chunk.length) === 0) await neighbourIsServed()
  }
  const answer = await own.takeMessage()
  assert.is(answer.body.toString(), `read ${size}`)
  assert.is((await send(head('POST /bad HTTP/1.1', 'Content-Length: 300000000\r\n'))).status, 413)
})

test('a client that never reads is cut off in time, and its server is released', async () => {
  const own = await client()
  own.socket.pause()
  own.write(head('GET /endless HTTP/1.1'))
  await neighbourIsServed()
  await until('the server has the request', () => heldUp > 0)
  await until('the server is released', () => heldUp === 0)
  await neighbourIsServed()
})

test.run()
