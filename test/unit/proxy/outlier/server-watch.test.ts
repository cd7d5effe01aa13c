import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { noteConnect, noteReachedBy } from '../../../../src/proxy/outlier/ejection.ts'
import { ServerWatch } from '../../../../src/proxy/outlier/server-watch.ts'
import { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { noTransport } from '../no-transport.ts'

function setUp(peers = true) {
  const told: string[] = []
  const watch = new ServerWatch(
    1000,
    {
      onEjection: (server, out, cause) => void told.push(`${server.id} ${out ? 'out' : 'in'} ${cause}`),
      onHealthReport: (server, cause) => void told.push(`${server.id} ${cause}`),
      onReachabilityQuery: server => void told.push(`${server.id} asked`),
      onReachable: server => void told.push(`${server.id} found`),
    },
    { onLost() {}, onSuspected() {}, onPeersQueried: () => {}, hasPeers: () => peers },
  )
  const sketch = { scheme: 'http', host: '127.0.0.1', port: 9, weight: 1, node: '', state: 'active' } as const
  const servers = ['one', 'two'].map(id => new UpstreamServer({ ...sketch, id }, 'app', noTransport))
  for (const server of servers) server.pool = { servers }
  const isOut = (server: UpstreamServer) => server.ejectedUntilMs > performance.now()
  return { told, watch, servers: servers as [UpstreamServer, UpstreamServer], isOut }
}

const word = (cause: string) => ({ cause, forMs: 5_000, times: 1, by: '' })

test('worker reports: time re-admits after 5xx, a connect after failed connects', () => {
  const { watch, servers, isOut } = setUp()
  const [one] = servers
  watch.failed(one, 'refused')
  watch.applyWorkerReport(one, false, word('time'))
  assert.ok(isOut(one), 'it refuses connects all the same')
  watch.applyWorkerReport(one, false, word('probe'))
  assert.not.ok(isOut(one))
  watch.applyWorkerReport(one, true, word('errors'))
  watch.applyWorkerReport(one, false, word('connect'))
  assert.ok(isOut(one), 'that it takes connects is no news')
  watch.applyWorkerReport(one, false, word('time'))
  assert.not.ok(isOut(one))
})

test('late responses seen by another worker eject at most half', () => {
  const { watch, servers, isOut } = setUp()
  for (const server of servers) watch.applyWorkerReport(server, true, word('late'))
  assert.equal(servers.map(isOut), [true, false])
})

test('peers are queried once a second, not for an ejected server or without peers', () => {
  const { told, watch, servers } = setUp()
  const [one, two] = servers
  watch.queryPeers(one)
  watch.queryPeers(one)
  watch.failed(two, 'timeout')
  watch.queryPeers(two)
  assert.equal(told, ['one asked', 'two out timeout'])
  const alone = setUp(false)
  alone.watch.queryPeers(alone.servers[0])
  alone.watch.failed(alone.servers[0], 'timeout')
  assert.equal(alone.told, ['one out timeout'])
  assert.is(alone.servers[0].reachReportsUntilMs, 0)
})

test('reports are awaited 500 ms from the query, unless one is known', () => {
  const { watch, servers } = setUp()
  const [one, two] = servers
  watch.queryPeers(one)
  watch.failed(one, 'timeout')
  assert.is(one.reachReportsUntilMs, one.peersQueriedMs + 500)
  noteReachedBy(two, performance.now(), 'p', 1000)
  watch.failed(two, 'timeout')
  assert.is(two.reachReportsUntilMs, 0)
  const refused = setUp()
  refused.watch.failed(refused.servers[0], 'refused')
  assert.is(refused.servers[0].reachReportsUntilMs, 0)
})

test('a successful check is reported to replicas; to workers only as re-admission', async () => {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  for (const [by, said] of [
    ['edge-2', 'one found'],
    ['', 'one in connect'],
  ] as const) {
    const { told, watch, servers } = setUp()
    servers[0].port = (listener.address() as AddressInfo).port
    watch.applyHealthReport(servers[0], { cause: 'doubt', forMs: 0, times: 1, by })
    while (told.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    assert.equal(told, [said])
  }
  listener.close()
})

test('a check for a peer does not suppress checks after a report', async () => {
  const { told, watch, servers } = setUp()
  const [one] = servers
  const listener = createServer(socket => socket.destroy()).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  one.port = (listener.address() as AddressInfo).port
  const heardOf = async (cause: string) => {
    watch.applyHealthReport(one, { cause, forMs: 0, times: 1, by: 'edge-2' })
    while (one.checking) await new Promise(resolve => setTimeout(resolve, 5))
  }
  await heardOf('asked')
  await heardOf('asked')
  assert.equal(told, ['one found'], 'one look for many questions')
  await heardOf('doubt')
  assert.equal(told, ['one found', 'one found'])
  listener.close()
})

test('a query drops old reachability answers', () => {
  const { watch, servers } = setUp()
  const [one, two] = servers
  noteReachedBy(one, performance.now() - 1200, 'a', 60_000)
  noteReachedBy(two, performance.now() - 500, 'a', 60_000)
  for (const server of servers) watch.queryPeers(server)
  assert.equal(one.reachedBy, [])
  assert.equal(two.reachedBy, ['a'])
})

test('a recent reachability answer survives a successful connect', () => {
  const { watch, servers } = setUp()
  const [one, two] = servers
  watch.queryPeers(one)
  noteReachedBy(one, performance.now(), 'a', 60_000)
  noteReachedBy(two, performance.now() - 1200, 'a', 60_000)
  for (const server of servers) noteConnect(server, performance.now(), 30)
  assert.equal(one.reachedBy, ['a'])
  assert.equal(two.reachedBy, [])
  watch.failed(one, 'timeout')
  assert.equal(one.reachedBy, ['a'], 'and the way is lost in the next moment')
})

test.run()
