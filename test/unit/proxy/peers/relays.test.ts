// Which way a request goes: to a server of its service, or through a peer.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Service } from '../../../../src/config/model.ts'
import type { Sweep } from '../../../../src/proxy/forward/deadlines.ts'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { Relays } from '../../../../src/proxy/peers/relays.ts'
import { RuntimeService } from '../../../../src/proxy/runtime-service.ts'
import { noTransport } from '../no-transport.ts'

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
  servers: ['a', 'b'].map(id => ({ id, scheme: 'http', host: '127.0.0.1', port: 9, weight: 1, state: 'active', node: id })),
}

function setting() {
  const sweep = { now: 1000 } as Sweep
  const relays = new Relays(noTransport, sweep, { onReach: () => undefined })
  relays.setPeers([{ id: 'p', name: 'edge-2', addresses: [{ host: '127.0.0.1', port: 9 }], unreachable: [] }])
  const service = new RuntimeService(SERVICE, 0, { current: 'key', others: [] }, noTransport, false)
  const x = new Exchange({} as Downstream, 'web')
  x.service = service
  return { relays, service, x }
}

test('a request is relayed after two failed connects, not earlier', () => {
  const { relays, x } = setting()
  x.attempt.failedConnects = 1
  assert.is(relays.peerFor(x), null)
  x.attempt.failedConnects = 2
  assert.is(relays.peerFor(x)?.peerName, 'edge-2')
  x.fromPeer = true
  assert.is(relays.peerFor(x), null)
})

test('a request is not relayed while another server responds: peers may be cut off too', () => {
  const { relays, service, x } = setting()
  x.attempt.failedConnects = 2
  const [first, second] = service.servers
  if (first === undefined || second === undefined) throw new Error('two servers')
  second.answers = 5
  assert.is(relays.peerFor(x), null)
  assert.not.ok(relays.canRelay(x))
  second.failures = 1
  assert.ok(relays.canRelay(x))
  second.failures = 0
  second.ejectedUntilMs = 2000
  assert.ok(relays.canRelay(x))
  second.ejectedUntilMs = 0
  x.attempt.tried = [second]
  assert.ok(relays.canRelay(x))
})

test.run()
