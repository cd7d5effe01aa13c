// Services that a replica relays, by the reports of its data workers.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RelayedServices } from '../../../src/workers/relayed-services.ts'

const over = (service: string, through = 'edge-2', cause = 'timeout') =>
  ({ kind: 'serviceReach', service, reachable: false, cause, through }) as const
const back = (service: string) => ({ kind: 'serviceReach', service, reachable: true, cause: '', through: '' }) as const

test("a service is relayed from the first worker's report until the last one withdraws", () => {
  let now = 1000
  let relayed = 10
  const relaying = new RelayedServices(
    () => now,
    () => relayed,
  )
  assert.equal(relaying.note(0, over('shop')), { kind: 'relayed', cause: 'timeout', through: 'edge-2' })
  assert.is(relaying.note(1, over('shop')), null)
  now = 3500
  assert.equal(relaying.reports().get('shop'), { service: 'shop', through: 'edge-2', sinceMs: 2500, cause: 'timeout' })
  relayed = 52
  assert.is(relaying.note(0, back('shop')), null)
  assert.is(relaying.note(0, back('shop')), null)
  assert.equal(relaying.note(1, back('shop')), { kind: 'reachable', forMs: 2500, requests: 42 })
  assert.is(relaying.reports().size, 0)
  assert.is(relaying.note(1, back('shop')), null)
})

test('another peer is a change; a worker without a peer is not', () => {
  const relaying = new RelayedServices(
    () => 0,
    () => 0,
  )
  relaying.note(0, over('shop', ''))
  assert.is(relaying.reports().get('shop')?.through, '')
  assert.equal(relaying.note(1, over('shop', 'edge-3', 'silence')), { kind: 'peerChanged', cause: 'silence', through: 'edge-3' })
  assert.is(relaying.note(0, over('shop', '')), null)
  assert.is(relaying.reports().get('shop')?.through, 'edge-3')
})

test('the reports of an ended worker and of a removed service are dropped', () => {
  const relaying = new RelayedServices(
    () => 0,
    () => 0,
  )
  relaying.note(0, over('a'))
  relaying.note(0, over('b'))
  relaying.note(1, over('b'))
  assert.equal(
    relaying.forgetWorker(0).map(([service, change]) => [service, change.kind]),
    [['a', 'reachable']],
  )
  assert.equal(relaying.causes(), [['b', 'timeout']])
  assert.not(relaying.keepOnly(() => true))
  assert.ok(relaying.keepOnly(service => service !== 'b'))
  assert.is(relaying.reports().size, 0)
})

test.run()
