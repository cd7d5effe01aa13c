// What a DNS says of tasks while no manager can be read, by a name server of its own on the loopback.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Server, Service } from '../../src/config/model.ts'
import { dnsResolve, TaskNames } from '../../src/task-names.ts'

/** Addresses by name; null: no answer at all. */
const zone = new Map<string, readonly string[] | null>()
const nameServer = createSocket('udp4')
const asked = new Set<string>()
nameServer.on('message', (query, from) => {
  const labels: string[] = []
  let at = 12
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  asked.add(labels.join('.'))
  const found = zone.get(labels.join('.'))
  if (found === null) return
  const head = Buffer.from(query.subarray(0, 12))
  head.writeUInt16BE(found === undefined ? 0x8183 : 0x8180, 2)
  head.writeUInt16BE(found?.length ?? 0, 6)
  head.writeUInt16BE(0, 8)
  head.writeUInt16BE(0, 10)
  const answers = (found ?? []).map(address =>
    Buffer.concat([Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]), Buffer.from(address.split('.').map(Number))]),
  )
  nameServer.send(Buffer.concat([head, query.subarray(12, at + 5), ...answers]), from.port, from.address)
})
nameServer.bind(0, '127.0.0.1')
await once(nameServer, 'listening')
const resolve = dnsResolve([`127.0.0.1:${nameServer.address().port}`])

const guards: TaskNames[] = []
test.after.each(() => {
  for (const guard of guards.splice(0)) guard.stop()
  zone.clear()
})
test.after(() => void nameServer.close())

function service(name: string, hosts: readonly string[], more: Partial<Server> = {}): Service {
  const servers = hosts.map(host => ({
    id: `${name}-${host}`,
    scheme: 'http' as const,
    host,
    port: 80,
    weight: 1,
    state: 'active' as const,
    node: 'n1',
    ...more,
  }))
  return { name, servers, provider: 'swarm', source: name } as unknown as Service
}

/** A guard over these services, and the servers that it says are absent. */
function guard(...services: readonly Service[]): {
  readonly absent: Set<string>
  blind: boolean
  rounds(n: number): Promise<void>
} {
  const absent = new Set<string>()
  let looks = 0
  const state = {
    absent,
    blind: true,
    /** Until it has looked so many times more. */
    async rounds(n: number): Promise<void> {
      const until = looks + n
      while (looks < until) await new Promise(done => setTimeout(done, 5))
    },
  }
  const names = new TaskNames({
    resolve,
    blind: () => {
      looks++
      return state.blind
    },
    setAbsent: (name, server, gone) => void (gone ? absent.add(`${name} ${server}`) : absent.delete(`${name} ${server}`)),
    log: { warn() {}, info() {} },
    everyMs: 10,
  })
  names.apply(services)
  names.start()
  guards.push(names)
  return state
}

test('a server whose address another service has now is absent until a manager is read again', async () => {
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.9'])
  zone.set('tasks.b', ['10.0.0.3'])
  const one = guard(service('a', ['10.0.0.2', '10.0.0.3']), service('b', ['10.0.0.4']))
  await one.rounds(12)
  assert.equal([...one.absent].sort(), ['a a-10.0.0.3', 'b b-10.0.0.4'])
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.3'])
  await one.rounds(8)
  assert.equal([...one.absent], ['b b-10.0.0.4'])
  one.blind = false
  await one.rounds(6)
  assert.equal([...one.absent], [])
})

test('a service that is gone from the DNS loses its servers, after more than one lookup', async () => {
  zone.set('tasks.a', ['10.0.0.2'])
  zone.set('tasks.removed', ['10.0.0.3'])
  const one = guard(service('a', ['10.0.0.2']), service('removed', ['10.0.0.3']))
  await one.rounds(12)
  assert.equal([...one.absent], [])
  zone.delete('tasks.removed')
  await one.rounds(12)
  assert.equal([...one.absent], ['removed removed-10.0.0.3'])
})

test('a service that the DNS never listed, as on a network of another kind, keeps its servers', async () => {
  zone.set('tasks.a', ['10.0.0.2'])
  const one = guard(service('a', ['10.0.0.2']), service('elsewhere', ['192.168.1.9']))
  await one.rounds(12)
  assert.equal([...one.absent], [])
})

test('no name is looked up while a manager is read', async () => {
  const one = guard(service('quiet', ['10.0.0.2']))
  one.blind = false
  await one.rounds(6)
  assert.not(asked.has('tasks.quiet'))
})

test('a DNS that lists none of the servers, or does not answer, marks no server absent', async () => {
  zone.set('tasks.a', ['192.0.2.7'])
  const other = guard(service('a', ['10.0.0.2']), service('b', ['10.0.0.3']))
  await other.rounds(10)
  assert.equal([...other.absent], [])
  const none = guard(service('c', ['10.0.0.4']))
  await none.rounds(10)
  assert.equal([...none.absent], [])
})

test('virtual IPs and services outside the swarm are skipped; a shared backend is looked up by owner', async () => {
  zone.set('tasks.a', ['10.0.0.2'])
  zone.set('tasks.b', ['10.0.0.3'])
  const file = { ...service('file', ['10.0.0.5']), provider: 'file' }
  const shared = { ...service('a', ['10.0.0.2', '10.0.0.4']) }
  const [mine, theirs] = shared.servers
  const both = { ...shared, servers: [mine!, { ...theirs!, owner: 'b' }] }
  const one = guard(both, service('vip', ['10.0.0.6'], { node: '' }), file)
  await one.rounds(12)
  assert.equal([...one.absent], ['a a-10.0.0.4'])
})

test.run()
