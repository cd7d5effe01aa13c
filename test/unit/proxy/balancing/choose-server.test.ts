// A session on a server that is unreachable from here: its requests are relayed through a peer that reports that it reaches the
// server, and through no other.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Service } from '../../../../src/config/model.ts'
import { findServer } from '../../../../src/proxy/balancing/choose-server.ts'
import { cookieValueOf } from '../../../../src/proxy/balancing/sticky-cookie.ts'
import type { Sweep } from '../../../../src/proxy/forward/deadlines.ts'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { noteFailure, noteReachedBy } from '../../../../src/proxy/outlier/ejection.ts'
import type { RelayPeer } from '../../../../src/proxy/peers/relay-peer.ts'
import { Relays } from '../../../../src/proxy/peers/relays.ts'
import { RuntimeService } from '../../../../src/proxy/runtime-service.ts'
import type { FailureCause, UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { noTransport } from '../no-transport.ts'
import { requestHead } from '../sessions/heads.ts'

const NOW = 10_000
const SERVICE: Service = {
  name: 'shop',
  balancer: 'wrr',
  sticky: null,
  learn: null,
  breaker: null,
  outliers: { errors: 0 },
  healthCheck: null,
  maxConn: null,
  timeouts: { responseHeaderMs: null, stallMs: null },
  provider: 'swarm',
  source: 'shop',
  servers: ['a', 'b', 'c'].map(id => ({ id, scheme: 'http', host: '127.0.0.1', port: 9, weight: 1, state: 'active', node: id })),
}
const STICKY: Service = { ...SERVICE, sticky: { name: 'goose', secure: false, httpOnly: false, sameSite: null } }
const LEARNED: Service = { ...SERVICE, learn: { from: 'cookie', name: 'sid', ttlMs: 60_000, size: 100, drain: 'move' } }
const KINDS = [STICKY, LEARNED]

/** A request of a session on server `a`, two peers, and functions that show where it goes. */
function setting(config: Service) {
  const sweep = { now: NOW } as Sweep
  const relays = new Relays(noTransport, sweep, { onReach: () => undefined })
  relays.setPeers(
    ['p', 'q'].map(id => ({ id, name: `edge-${id}`, addresses: [{ host: '127.0.0.1', port: 9 }], unreachable: [] })),
  )
  const service = new RuntimeService(config, 0, { current: 'key', others: [] }, noTransport, false)
  const [a] = service.servers as readonly [UpstreamServer]
  const cookie = config.sticky === null ? 'sid=1234' : `goose=${cookieValueOf('key', 'shop', 'a')}`
  if (service.sessions !== null) {
    service.sessions.hash.of('1234', 0, 4)
    service.sessions.bind(-1, service.sessions.hash.high, service.sessions.hash.low, a, NOW / 1000)
  }
  const x = new Exchange({} as Downstream, 'web')
  x.service = service
  x.req = requestHead([`Cookie: ${cookie}`])
  const lose = (cause: FailureCause = 'timeout') => {
    for (let i = 0; i < 3; i++) noteFailure(a, NOW, cause)
  }
  const goes = () => {
    const server = findServer(x, relays, sweep.now)
    return server?.isPeer ? server.peerName : (server?.id ?? null)
  }
  /** True if the session is bound to the server that gets the request. */
  const binds = () => x.session.binds || !x.addedToResponse.isEmpty
  return { sweep, relays, service, a, x, lose, goes, binds }
}

test('a session on a server that a peer reaches: relayed through it, not rebound', () => {
  for (const config of KINDS) {
    const { a, lose, goes, binds } = setting(config)
    assert.is(goes(), 'a')
    lose()
    noteReachedBy(a, NOW, 'q', 60_000)
    for (let i = 0; i < 3; i++) assert.is(goes(), 'edge-q')
    assert.not.ok(binds())
  }
})

test('no valid reachability report: the session moves', () => {
  for (const config of KINDS) {
    const { sweep, a, lose, goes, binds } = setting(config)
    lose()
    const other = goes()
    assert.ok(other === 'b' || other === 'c')
    assert.ok(binds())
    noteReachedBy(a, NOW, 'q', 60_000)
    noteReachedBy(a, NOW, 'p', 0)
    assert.is(goes(), 'edge-q', 'another one takes back its own word')
    noteReachedBy(a, NOW, 'q', 0)
    assert.is(goes(), other)
    noteReachedBy(a, NOW, 'q', 500)
    sweep.now = NOW + 501
    assert.is(goes(), other)
    noteReachedBy(a, sweep.now, 'gone', 60_000)
    assert.is(goes(), other)
  }
})

test('ejected for responses, not ejected, or a peer already tried: not relayed', () => {
  for (const config of KINDS) {
    for (const cause of ['refused', 'reset'] as const) {
      const { a, lose, goes } = setting(config)
      noteReachedBy(a, NOW, 'q', 60_000)
      assert.is(goes(), 'a')
      lose(cause)
      assert.not.match(goes() ?? '', /edge/)
    }
    const { a, x, lose, goes } = setting(config)
    lose()
    noteReachedBy(a, NOW, 'q', 60_000)
    x.fromPeer = true
    assert.not.match(goes() ?? '', /edge/)
  }
})

test('several peers reach the server: the less busy one, then the other', () => {
  for (const config of KINDS) {
    const { relays, a, lose, goes } = setting(config)
    lose()
    noteReachedBy(a, NOW, 'p', 60_000)
    noteReachedBy(a, NOW, 'q', 60_000)
    const [p, q] = relays.peers as readonly [RelayPeer, RelayPeer]
    p.inFlight = 2
    q.inFlight = 1
    assert.is(goes(), 'edge-q')
    q.inFlight = 3
    assert.is(goes(), 'edge-p')
    p.noteDeclined('shop', NOW)
    assert.is(goes(), 'edge-q')
    relays.setPeers([{ id: 'q', name: 'edge-q', addresses: [{ host: '127.0.0.1', port: 9 }], unreachable: [] }])
    assert.is(goes(), 'edge-q')
    relays.setPeers([{ id: 'q', name: 'edge-q', addresses: [{ host: '127.0.0.1', port: 9 }], unreachable: ['shop'] }])
    assert.not.match(goes() ?? '', /edge/)
  }
})

test('a peer that handed the service back or cannot reach it is skipped', () => {
  for (const config of KINDS) {
    const { relays, a, x, lose, goes, binds } = setting(config)
    lose()
    noteReachedBy(a, NOW, 'q', 60_000)
    const peer = relays.peers[1]!
    peer.noteDeclined('shop', NOW)
    x.attempt.tried = [peer]
    assert.not.match(goes() ?? '', /edge/)
    assert.ok(binds())
    x.attempt.tried = null
    assert.not.match(goes() ?? '', /edge/)
  }
})

test('failed connect to a server that is not ejected: relayed too', () => {
  for (const config of KINDS) {
    const { relays, a, x, goes } = setting(config)
    noteReachedBy(a, NOW, 'q', 60_000)
    x.attempt.tried = [a]
    assert.not.match(goes() ?? '', /edge/, 'it was not the connect that failed')
    x.attempt.failedConnects = 1
    assert.is(goes(), 'edge-q')
    assert.ok(relays.canRelay(x))
  }
})

test('reports still awaited: another server gets the request, the session stays', () => {
  for (const config of KINDS) {
    const { sweep, a, lose, goes, binds } = setting(config)
    lose()
    a.reachReportsUntilMs = NOW + 500
    const other = goes()
    assert.ok(other === 'b' || other === 'c')
    assert.not.ok(binds())
    sweep.now = NOW + 501
    assert.is(goes(), other)
    assert.ok(binds())
  }
})

test('a request without a session goes to a server, whatever peers reach', () => {
  const { a, x, lose, goes } = setting(STICKY)
  x.req = requestHead([])
  lose()
  noteReachedBy(a, NOW, 'q', 60_000)
  for (let i = 0; i < 6; i++) assert.not.match(goes() ?? '', /edge/)
})

test.run()
