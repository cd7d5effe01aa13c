// Paths between client and server over real sockets: trailing slashes that a rule does not name, and the encoding of the rest of a
// stripped path.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Snapshot } from '../../src/config/model.ts'
import { parseRule } from '../../src/rules/traefik-v1.ts'
import { until } from '../until.ts'
import { Backend, Edge, ok, type ServiceSketch, snapshotOf } from './harness.ts'
import { fieldOf, type Message, statusOf } from './raw-connection.ts'
import { cutOff, pairOf, stopAll as stopRelays } from './relay-edges.ts'

let backend: Backend
let edge: Edge | null = null

test.before(async () => {
  backend = await Backend.start((_request, connection) => connection.write(ok()))
})

test.after.each(async () => {
  await until('no request is in flight', () => edge?.isIdle !== false)
  edge?.stop()
  edge = null
  await stopRelays()
})

test.after(() => backend.stop())

/** An edge with one service and this rule. */
function ruled(rule: string, more: Partial<ServiceSketch> = {}): Snapshot {
  const parsed = parseRule(rule)
  if (!parsed.ok) throw new Error(parsed.message)
  const { matcher } = parsed
  const middlewares = Object.fromEntries(parsed.middlewares.map(m => [m.kind, m]))
  const router = { matcher, middlewares: Object.keys(middlewares) }
  return snapshotOf({ app: { servers: [backend.port], ...more, router } }, middlewares)
}

async function start(
  rule: string,
  more: Partial<ServiceSketch> = {},
  options: Parameters<typeof Edge.start>[1] = {},
): Promise<Edge> {
  edge = await Edge.start({ app: { servers: [backend.port] } }, options)
  edge.apply(ruled(rule, more))
  return edge
}

const ask = (target: string, method = 'GET', rest = ''): Promise<Message> =>
  edge!.ask(`${method} ${target} HTTP/1.1\r\nHost: app.test\r\n${rest === '' ? '\r\n' : rest}`, { noBody: method === 'HEAD' })

const lastTarget = (): string => backend.requests.at(-1)!.startLine.split(' ')[1]!

test('/x/ is redirected to /x for the rule Path:/x, with its query and without a server', async () => {
  await start('Path:/x')
  const before = backend.requests.length
  for (const [target, location] of [
    ['/x/', '/x'],
    ['/x/?a=1&b=/', '/x?a=1&b=/'],
    ['/%78/', '/%78'],
    ['http://app.test/x/?q', '/x?q'],
  ] as const) {
    const answer = await ask(target)
    assert.is(statusOf(answer), 301, target)
    assert.is(fieldOf(answer.head, 'location'), location)
  }
  assert.is(backend.requests.length, before)
  assert.is(statusOf(await ask('/x')), 200)
  assert.is(statusOf(await ask('/x//')), 404)
  assert.is(edge!.accessLog[0], 'GET app.test /x/ 301')
  assert.equal(
    edge!.logs.filter(line => line.level === 'warn'),
    [],
  )
})

test('HEAD gets 301 without a body, POST 308, and the connection stays usable', async () => {
  await start('Path:/x')
  const head = await ask('/x/', 'HEAD')
  assert.is(statusOf(head), 301)
  assert.is(head.body.length, 0)
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) assert.is(statusOf(await ask('/x/', method)), 308, method)
  const posted = await ask('/x/', 'POST', 'Content-Length: 5\r\n\r\nhello')
  assert.is(statusOf(posted), 308)
  assert.is(fieldOf(posted.head, 'location'), '/x')
  const client = await edge!.client()
  client.write('GET /x/ HTTP/1.1\r\nHost: app.test\r\n\r\nGET /x HTTP/1.1\r\nHost: app.test\r\n\r\n')
  assert.is(statusOf(await client.takeMessage()), 301)
  assert.is(statusOf(await client.takeMessage()), 200)
})

test('the redirect names the path that the client requested, also if the rule strips it', async () => {
  await start('PathStrip:/x/;AddPrefix:/y')
  const answer = await ask('/x')
  assert.is(statusOf(answer), 301)
  assert.is(fieldOf(answer.head, 'location'), '/x/')
  assert.is(statusOf(await ask('/x/')), 200)
  assert.is(lastTarget(), '/y/')
})

test('a redirect never leads to another host', async () => {
  await start('Path:/{any:.+}y/')
  const answer = await ask('//evil.test/y')
  assert.is(statusOf(answer), 301)
  assert.is(fieldOf(answer.head, 'location'), '/.//evil.test/y/')
})

test('with --keep-trailing-slash /x/ does not match Path:/x', async () => {
  await start('Path:/x', {}, { keepTrailingSlash: true })
  assert.is(statusOf(await ask('/x/')), 404)
  assert.is(statusOf(await ask('/x')), 200)
})

test('the rest of a stripped path keeps its encoding; rules see the normal form', async () => {
  for (const [rule, target, sent] of [
    ['PathPrefixStrip:/api', '/api/%41', '/%41'],
    ['PathPrefixStrip:/api', '/%61p%69/%41?%41', '/%41?%41'],
    ['PathPrefixStrip:/api', '/api/%7Eme/%2F%2f/a%20b', '/%7Eme/%2F%2f/a%20b'],
    ['PathPrefixStrip:/api', '/api%41', '/%41'],
    ['PathPrefixStrip:/api', '/api', '/'],
    ['PathPrefixStrip:/api/A', '/api/%41/%42', '/%42'],
    ['PathStrip:/api/A', '/api/%41', '/'],
    ['PathPrefixStripRegex:/{v:v[0-9]}', '/v%31/%41', '/%41'],
    ['PathPrefixStrip:/api;AddPrefix:/x', '/api/%41', '/x/%41'],
    // A replaced path has none of the client's encoding.
    ['PathPrefixStrip:/api;ReplacePathRegex:^/(.*) /y/$1', '/api/%41', '/y/A'],
    ['PathPrefixStrip:/api', 'http://app.test/api/%41?q', '/%41?q'],
  ] as const) {
    await start(rule)
    assert.is(statusOf(await ask(target)), 200, `${rule} ${target}`)
    assert.is(lastTarget(), sent, `${rule} ${target}`)
    edge!.stop()
  }
})

test('encoded characters do not bypass a rule, whatever is sent to the server', async () => {
  await start('PathPrefixStrip:/api;Method:GET')
  assert.is(statusOf(await ask('/%61pi/%41')), 200)
  assert.is(statusOf(await ask('/api/%2e%2e/x')), 400)
})

test('a stripped prefix leaves no dot segment', async () => {
  const before = backend.requests.length
  for (const [rule, target] of [
    ['PathPrefixStrip:/api', '/api../x'],
    ['PathPrefixStrip:/api;AddPrefix:/public', '/api../secret'],
    ['PathPrefixStrip:/api', '/api%2e%2e/x'],
    ['PathPrefixStrip:/api', '/api.'],
    ['PathPrefixStripRegex:/{v:v[0-9]}', '/v1..%2fx'],
    ['ReplacePathRegex:^/api(.*) /public/$1', '/api../x'],
  ] as const) {
    await start(rule)
    assert.is(statusOf(await ask(target)), 400, `${rule} ${target}`)
    edge!.stop()
  }
  assert.is(backend.requests.length, before)
  await start('PathPrefixStrip:/api')
  assert.is(statusOf(await ask('/api/.well-known/x')), 200)
  assert.is(lastTarget(), '/.well-known/x')
})

test('a relayed request keeps the encoding of the rest of a stripped path', async () => {
  const { from } = await pairOf([backend.port], {})
  const { servers } = cutOff([backend.port]).app!
  from.apply(ruled('PathPrefixStrip:/api', { servers }))
  assert.is(statusOf(await from.ask('GET /api/%41?%41 HTTP/1.1\r\nHost: app.test\r\n\r\n')), 200)
  assert.is(lastTarget(), '/%41?%41')
})

test.run()
