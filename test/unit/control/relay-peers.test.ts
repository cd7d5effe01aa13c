import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Member } from '../../../cluster/core/state.ts'
import { parseIpAndPort, relayPeersOf } from '../../../src/control/relay-peers.ts'

const member = (name: string, more: Partial<Member> = {}): Member =>
  ({
    id: `id-${name}`,
    name,
    state: 'alive',
    relay: ['10.0.1.7:7997'],
    unreachable: [],
    unreachableAll: false,
    ...more,
  }) as Member

const noNode = (): undefined => undefined

test('members without a relay address, or that reach no service, are not used', () => {
  const members = [member('a'), member('b', { relay: [] }), member('c', { unreachableAll: true })]
  assert.equal(
    relayPeersOf(members, noNode).map(({ name }) => name),
    ['a'],
  )
})

test('suspected members are used only if no other is left', () => {
  const suspect = member('b', { state: 'suspect' })
  assert.equal(
    relayPeersOf([member('a'), suspect], noNode).map(({ name }) => name),
    ['a'],
  )
  assert.equal(
    relayPeersOf([suspect], noNode).map(({ name }) => name),
    ['b'],
  )
})

test("the node's address comes first, with the announced port, and only once", () => {
  const members = [member('a', { relay: ['10.0.1.7:7997', '192.0.2.1:7997', 'a name:1'], unreachable: ['shop'] })]
  assert.equal(
    relayPeersOf(members, () => '192.0.2.1'),
    [
      {
        id: 'id-a',
        name: 'a',
        addresses: [
          { host: '192.0.2.1', port: 7997 },
          { host: '10.0.1.7', port: 7997 },
        ],
        unreachable: ['shop'],
      },
    ],
  )
})

test('parseIpAndPort: IPv4 and IPv6 addresses with a port, nothing else', () => {
  assert.equal(parseIpAndPort('10.0.0.1:7997'), { host: '10.0.0.1', port: 7997 })
  assert.equal(parseIpAndPort('[::1]:7997'), { host: '::1', port: 7997 })
  for (const text of ['host:7997', '10.0.0.1', '::1:7997', '[10.0.0.1:7997']) assert.is(parseIpAndPort(text), undefined, text)
})

test.run()
