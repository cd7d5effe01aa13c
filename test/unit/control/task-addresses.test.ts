// Detection of reassigned task addresses while no manager can be read, with a name server on loopback.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Server, Service } from '../../../src/config/model.ts'
import { dnsLookups, parseTaskName, TaskAddressMonitor } from '../../../src/control/task-addresses.ts'

/** Addresses by name, names by in-addr.arpa name. */
const zone = new Map<string, readonly string[]>()
const wireName = (name: string) =>
  Buffer.concat([...name.split('.').map(label => Buffer.from([label.length, ...Buffer.from(label, 'latin1')])), Buffer.of(0)])
/** Sets the reverse names of an address, as Docker's DNS does. */
const setOwner = (address: string, ...names: readonly string[]) =>
  zone.set(`${address.split('.').reverse().join('.')}.in-addr.arpa`, names)
let turn = 0
const TASK = 'a1b2c3d4e5f6g7h8i9j0k1l2m'
const nameServer = createSocket('udp4')
const queried = new Set<string>()
nameServer.on('message', (query, from) => {
  const labels: string[] = []
  let at = 12
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  queried.add(labels.join('.'))
  const isReverse = labels.at(-1) === 'arpa'
  const known = zone.get(labels.join('.'))
  // Docker answers with one of an address's names.
  const found = isReverse ? known?.slice(turn++ % known.length).slice(0, 1) : known
  const head = Buffer.from(query.subarray(0, 12))
  head.writeUInt16BE(found === undefined ? 0x8183 : 0x8180, 2)
  head.writeUInt16BE(found?.length ?? 0, 6)
  head.writeUInt16BE(0, 8)
  head.writeUInt16BE(0, 10)
  const answers = (found ?? []).map(value => {
    const data = isReverse ? wireName(value) : Buffer.from(value.split('.').map(Number))
    return Buffer.concat([Buffer.from([0xc0, 12, 0, isReverse ? 12 : 1, 0, 1, 0, 0, 2, 0x58, 0, data.length]), data])
  })
  nameServer.send(Buffer.concat([head, query.subarray(12, at + 5), ...answers]), from.port, from.address)
})
nameServer.bind(0, '127.0.0.1')
await once(nameServer, 'listening')
const lookups = dnsLookups([`127.0.0.1:${nameServer.address().port}`])

const monitors: TaskAddressMonitor[] = []
test.after.each(() => {
  for (const monitor of monitors.splice(0)) monitor.stop()
  zone.clear()
  queried.clear()
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
    owner: name,
    ...more,
  }))
  return { name, servers, provider: 'swarm', source: name } as unknown as Service
}

/** A monitor of these services, and the servers that it has marked. */
function monitorOf(...services: readonly Service[]): {
  readonly marked: Set<string>
  readonly monitor: TaskAddressMonitor
  unreachable: boolean
  rounds(n: number): Promise<void>
} {
  return monitorFor(60_000, ...services)
}

function monitorFor(retainMs: number, ...services: readonly Service[]): ReturnType<typeof monitorOf> {
  const marked = new Set<string>()
  let polls = 0
  const state = {
    marked,
    get monitor() {
      return monitor
    },
    unreachable: true,
    /** Resolves after `n` more calls of managersUnreachable(). */
    async rounds(n: number): Promise<void> {
      const target = polls + n
      while (polls < target) await new Promise(done => setTimeout(done, 5))
    },
  }
  const monitor = new TaskAddressMonitor({
    ...lookups,
    managersUnreachable: () => {
      polls++
      return state.unreachable
    },
    setReassigned: (name, server, reassigned) =>
      void (reassigned ? marked.add(`${name} ${server}`) : marked.delete(`${name} ${server}`)),
    log: { warn() {}, info() {} },
    intervalMs: 10,
    retainMs,
  })
  monitor.apply(services)
  monitor.start()
  monitors.push(monitor)
  return state
}

test('an address listed by another known service is marked until its own service lists it', async () => {
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.9'])
  zone.set('tasks.b', ['10.0.0.3'])
  const watch = monitorOf(service('a', ['10.0.0.2', '10.0.0.3']), service('b', ['10.0.0.4']))
  await watch.rounds(12)
  assert.equal([...watch.marked], ['a a-10.0.0.3'])
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.3'])
  zone.delete('tasks.b')
  await watch.rounds(8)
  assert.equal([...watch.marked], [])
})

test('an address whose reverse name is a task of an unknown service is marked', async () => {
  zone.set('tasks.shop_a', ['10.0.0.2'])
  setOwner('10.0.0.3', 'new.shop_default', '0123456789ab.shop_default', `shop_new.1.${TASK}.shop_default`)
  const watch = monitorOf(service('shop_a', ['10.0.0.2', '10.0.0.3']))
  await watch.rounds(12)
  assert.equal([...watch.marked], ['shop_a shop_a-10.0.0.3'])
  // The new task ends: that is no evidence for the old watch.
  zone.delete('3.0.0.10.in-addr.arpa')
  await watch.rounds(10)
  assert.equal([...watch.marked], ['shop_a shop_a-10.0.0.3'])
})

test('two shared networks, and the DNS lists a service on the other one: no server is marked', async () => {
  zone.set('tasks.other', ['10.0.1.9'])
  zone.set('tasks.shop', ['10.0.1.5'])
  setOwner('10.0.2.5', `shop.1.${TASK}.net_b`)
  const watch = monitorOf(service('other', ['10.0.1.9']), service('shop', ['10.0.2.5', '10.0.2.6']))
  await watch.rounds(12)
  assert.equal([...watch.marked], [])
})

test('a node whose daemon has died disappears from the DNS and still serves: no server is marked', async () => {
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.3'])
  zone.set('tasks.b', ['10.0.0.4'])
  const watch = monitorOf(service('a', ['10.0.0.2', '10.0.0.3']), service('b', ['10.0.0.4']))
  await watch.rounds(12)
  zone.set('tasks.a', ['10.0.0.2'])
  zone.delete('tasks.b')
  await watch.rounds(12)
  assert.equal([...watch.marked], [])
})

test('servers without an owner, as from an older leader, are not checked', async () => {
  zone.set('tasks.blue', ['10.0.1.1'])
  zone.set('tasks.green', ['10.0.1.2'])
  setOwner('10.0.1.3', `green.2.${TASK}.net`)
  const watch = monitorOf(
    service('blue', ['10.0.1.1', '10.0.1.2', '10.0.1.3'], { owner: undefined }),
    service('green', ['10.0.1.2']),
  )
  await watch.rounds(12)
  assert.equal([...watch.marked], [])
})

test('a mark stays after a manager is read again, until a configuration without the server', async () => {
  zone.set('tasks.b', ['10.0.0.3'])
  const b = service('b', ['10.0.0.3'])
  const watch = monitorOf(service('a', ['10.0.0.2', '10.0.0.3']), b)
  await watch.rounds(12)
  assert.equal([...watch.marked], ['a a-10.0.0.3'])
  watch.unreachable = false
  // The DNS may no longer list the other service; that is no evidence that the address is this service's.
  zone.delete('tasks.b')
  await watch.rounds(20)
  assert.equal([...watch.marked], ['a a-10.0.0.3'])
  watch.monitor.apply([service('a', ['10.0.0.2']), b])
  zone.set('tasks.a', ['10.0.0.2'])
  // The round in progress may still send lookups.
  await watch.rounds(3)
  queried.clear()
  await watch.rounds(6)
  assert.equal([...queried], [])
})

test('a server still configured long after managers are read again is unmarked', async () => {
  setOwner('10.0.0.3', `b.1.${TASK}.net`)
  const watch = monitorFor(50, service('a', ['10.0.0.3']))
  await watch.rounds(12)
  assert.equal([...watch.marked], ['a a-10.0.0.3'])
  watch.unreachable = false
  await watch.rounds(30)
  assert.equal([...watch.marked], [])
})

test('a service that the DNS never listed: no server is marked', async () => {
  zone.set('tasks.a', ['10.0.0.2'])
  const watch = monitorOf(service('a', ['10.0.0.2']), service('elsewhere', ['192.168.1.9']))
  await watch.rounds(12)
  assert.equal([...watch.marked], [])
})

test('parseTaskName: names of tasks of services, and other names', () => {
  const node = 'z'.repeat(25)
  const cases: [name: string, service: string | null][] = [
    [`shop_app.12.${TASK}.shop_default`, 'shop_app'],
    [`agent.${node}.${TASK}.net.with.dots`, 'agent'],
    [`A.1.${TASK.toUpperCase()}.net`, 'a'],
    ['container.net', null],
    ['10-0-0-3.eu.example.test', null],
    [`1.${TASK}.net`, null],
    [`app.1.${TASK}`, null],
    [`app.x.${TASK}.net`, null],
    ['', null],
  ]
  for (const [name, expected] of cases) assert.is(parseTaskName(name)?.service ?? null, expected, name)
  assert.is(parseTaskName(`a.1.${TASK}.net`)?.task, TASK)
})

test('no name is looked up while a manager is read', async () => {
  const watch = monitorOf(service('quiet', ['10.0.0.2']))
  watch.unreachable = false
  await watch.rounds(6)
  assert.not(queried.has('tasks.quiet'))
})

test('a DNS that lists none of the servers, or does not answer: no server is marked', async () => {
  zone.set('tasks.a', ['192.0.2.7'])
  const other = monitorOf(service('a', ['10.0.0.2']), service('b', ['10.0.0.3']))
  await other.rounds(10)
  assert.equal([...other.marked], [])
  const none = monitorOf(service('c', ['10.0.0.4']))
  await none.rounds(10)
  assert.equal([...none.marked], [])
})

test('reverse names that are no task of another service: no server is marked', async () => {
  setOwner('10.0.0.2', `a.7.${TASK}.net`)
  setOwner('10.0.0.3', `renamed.1.${TASK}.net`)
  setOwner('10.0.0.4', 'ip-10-0-0-4.eu.example.test')
  const own = service('a', ['10.0.0.2', '10.0.0.3', '10.0.0.4'])
  const servers = own.servers.map(server => (server.host === '10.0.0.3' ? { ...server, id: `${TASK}:80` } : server))
  const watch = monitorOf({ ...own, servers })
  await watch.rounds(12)
  assert.equal([...watch.marked], [])
})

test('virtual IPs and services outside the swarm are skipped; a shared backend is looked up by owner', async () => {
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.5', '10.0.0.6'])
  zone.set('tasks.b', ['10.0.0.4'])
  const file = { ...service('file', ['10.0.0.5']), provider: 'file' }
  const shared = service('a', ['10.0.0.2', '10.0.0.4', '10.0.0.6'])
  const [mine, theirs, moved] = shared.servers
  const both = { ...shared, servers: [mine!, { ...theirs!, owner: 'b' }, { ...moved!, owner: 'b' }] }
  const watch = monitorOf(both, service('vip', ['10.0.0.6'], { node: '' }), file)
  await watch.rounds(12)
  assert.equal([...watch.marked], ['a a-10.0.0.6'])
})

test.run()
