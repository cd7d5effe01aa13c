// Methods (RFC 9110, 9): every token of at most 32 bytes except CONNECT reaches the server unchanged; rules see it; only methods
// that IANA registers as idempotent are retried. The list below is independent of that in src/.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, ok, snapshotOf } from './harness.ts'
import { fieldOf, statusOf } from './raw-connection.ts'

/** IANA, HTTP Method Registry, 2026-06-17: "Idempotent: yes". */
const IDEMPOTENT = [
  'ACL',
  'BASELINE-CONTROL',
  'BIND',
  'CHECKIN',
  'CHECKOUT',
  'COPY',
  'DELETE',
  'GET',
  'HEAD',
  'LABEL',
  'LINK',
  'MERGE',
  'MKACTIVITY',
  'MKCALENDAR',
  'MKCOL',
  'MKREDIRECTREF',
  'MKWORKSPACE',
  'MOVE',
  'OPTIONS',
  'ORDERPATCH',
  'PRI',
  'PROPFIND',
  'PROPPATCH',
  'PUT',
  'QUERY',
  'REBIND',
  'REPORT',
  'SEARCH',
  'TRACE',
  'UNBIND',
  'UNCHECKOUT',
  'UNLINK',
  'UNLOCK',
  'UPDATE',
  'UPDATEREDIRECTREF',
  'VERSION-CONTROL',
]
/** Methods registered as not idempotent, or not registered. */
const ONCE = ['LOCK', 'PATCH', 'POST', 'LIST', 'BAN', 'PURGE', 'RDG_OUT_DATA', 'BPROPFIND', 'SUBSCRIBE', 'M-SEARCH', 'get', 'Put']
const ODD = [...ONCE, 'BPROPPATCH', 'X', '!', "a#$%&'*+-.^_`|~9", '*', '0', 'HTTP', 'head', 'connect', 'A'.repeat(32)]

const open: { stop(): void }[] = []

async function edgeOf(...ports: number[]): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: ports } })
  open.push(edge)
  return edge
}

async function backendOf(answer: Parameters<typeof Backend.start>[0]): Promise<Backend> {
  const backend = await Backend.start(answer)
  open.push(backend)
  return backend
}

const echoes = () =>
  backendOf((request, connection) => connection.write(ok(`${request.startLine.split(' ')[0]} ${request.body.toString()}`)))
const resets = () => backendOf((_request, connection) => void connection.socket.resetAndDestroy())

test.after.each(async () => {
  for (const edge of open) if (edge instanceof Edge) await until('no request is in flight', () => edge.isIdle)
  for (const one of open.splice(0)) one.stop()
})

const bare = (method: string) => `${method} / HTTP/1.1\r\nHost: app.test\r\n\r\n`
const withBody = (method: string) => `${method} / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello`

test('every method of at most 32 token characters reaches the server unchanged, with its body', async () => {
  const backend = await echoes()
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  for (const method of [...ODD, ...IDEMPOTENT.filter(method => method !== 'HEAD')]) {
    client.write(bare(method))
    assert.is((await client.takeMessage()).body.toString(), `${method} `)
    client.write(withBody(method))
    assert.is((await client.takeMessage()).body.toString(), `${method} hello`)
  }
})

test('a method that arrives byte by byte is the same method', async () => {
  const backend = await echoes()
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  for (const byte of `\r\n${bare('rdg_Out.data')}`) {
    client.write(byte)
    await new Promise(resolve => setImmediate(resolve))
  }
  assert.is((await client.takeMessage()).body.toString(), 'rdg_Out.data ')
})

test('CONNECT is 405, a longer method 501, a malformed one 400; none reaches the server', async () => {
  const backend = await echoes()
  const edge = await edgeOf(backend.port)
  for (const [method, status] of [
    ['CONNECT', 405],
    ['A'.repeat(33), 501],
    ['a'.repeat(5000), 501],
    ['G<T', 400],
    ['G:T', 400],
    ['G/T', 400],
    ['"GET"', 400],
    ['GET\t', 400],
    ['G\x01T', 400],
    ['G\xc9T', 400],
    ['(GET)', 400],
  ] as const) {
    const client = await edge.client()
    client.write(bare(method) + bare('GET'))
    const answer = await client.takeMessage()
    assert.is(statusOf(answer), status, method.slice(0, 40))
    assert.is(fieldOf(answer.head, 'connection'), 'close')
    assert.is((await client.takeAll()).length, 0, 'only one response')
    client.destroy()
  }
  assert.is(backend.accepted, 0)
})

test('a reset before the response: idempotent methods are retried elsewhere, others get 502', async () => {
  for (const [methods, again] of [
    [IDEMPOTENT, true],
    [ONCE, false],
  ] as const) {
    for (const method of methods) {
      const bad = await resets()
      const other = await echoes()
      const edge = await edgeOf(bad.port, other.port)
      const statuses = []
      for (let i = 0; i < 2; i++) statuses.push(statusOf(await edge.ask(withBody(method), { noBody: method === 'HEAD' })))
      assert.equal(statuses.sort(), again ? [200, 200] : [200, 502], method)
      assert.ok(bad.requests.length >= 1, `${method}: at least one arrived here first`)
      if (again) assert.is(other.requests.length, 2, method)
      else assert.is(bad.requests.length + other.requests.length, 2, `${method} is never sent twice`)
    }
  }
})

test('a refused connect: nothing was sent, so any method goes to another server', async () => {
  const gone = await echoes()
  gone.stop()
  const other = await echoes()
  const edge = await edgeOf(gone.port, other.port)
  for (const method of ONCE) assert.is(statusOf(await edge.ask(withBody(method))), 200, method)
})

test('a rule can name a method that is in no registry', async () => {
  const [list, rest] = [await echoes(), await echoes()]
  const edge = await edgeOf(list.port)
  edge.apply(
    snapshotOf({
      list: {
        servers: [list.port],
        router: { matcher: { kind: 'method', methods: ['LIST', 'BPROPFIND', 'A'.repeat(32)] }, priority: 2 },
      },
      rest: { servers: [rest.port], router: { matcher: { kind: 'pathPrefix', prefixes: ['/'] } } },
    }),
  )
  for (const method of ['LIST', 'BPROPFIND', 'A'.repeat(32)]) await edge.ask(bare(method))
  for (const method of ['GET', 'list', 'LISTS']) await edge.ask(bare(method))
  assert.equal(
    [list, rest].map(backend => backend.requests.map(request => request.startLine.split(' ')[0])),
    [
      ['LIST', 'BPROPFIND', 'A'.repeat(32)],
      ['GET', 'list', 'LISTS'],
    ],
  )
})

test('log and access log have at most 32 bytes of a method', async () => {
  const backend = await echoes()
  const edge = await edgeOf(backend.port)
  for (const method of ['A'.repeat(32), 'B'.repeat(33), 'C'.repeat(20_000)]) await edge.ask(bare(method))
  const kept = [...edge.accessLog.map(line => line.split(' ')[0]!), ...edge.logs.map(entry => String(entry.fields.method))]
  assert.equal(kept.sort(), ['', '', '', '', 'A'.repeat(32)])
})

test.run()
