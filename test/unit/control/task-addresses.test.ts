// What a DNS says of tasks while no manager can be read, by a name server of its own on the loopback.

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
/** An address is a task's, by Docker's DNS. */
const setOwner = (address: string, ...names: readonly string[]) =>
  zone.set(`${address.split('.').reverse().join('.')}.in-addr.arpa`, names)
let turn = 0
const TASK = 'a1b2c3d4e5f6g7h8i9j0k1l2m'
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
  const isReverse = labels.at(-1) === 'arpa'
  const known = zone.get(labels.join('.'))
  // Of several names of an address Docker tells one.
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

const guards: TaskAddressMonitor[] = []
test.after.each(() => {
  for (const guard of guards.splice(0)) guard.stop()
  zone.clear()
  asked.clear()
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

/** A guard over these services, and the servers that it says are absent. */
function guard(...services: readonly Service[]): {
  readonly absent: Set<string>
  readonly names: TaskAddressMonitor
  blind: boolean
  rounds(n: number): Promise<void>
} {
  return guardFor(60_000, ...services)
}

function guardFor(keepMs: number, ...services: readonly Service[]): ReturnType<typeof guard> {
  const absent = new Set<string>()
  let looks = 0
  const state = {
    absent,
    get names() {
      return names
    },
    blind: true,
    /** Until it has looked so many times more. */
    async rounds(n: number): Promise<void> {
      const until = looks + n
      while (looks < until) await new Promise(done => setTimeout(done, 5))
    },
  }
  const names = new TaskAddressMonitor({
    ...lookups,
    blind: () => {
      looks++
      return state.blind
    },
    setReassigned: (name, server, gone) => void (gone ? absent.add(`${name} ${server}`) : absent.delete(`${name} ${server}`)),
    log: { warn() {}, info() {} },
    everyMs: 10,
    keepMs,
  })
  names.apply(services)
  names.start()
  guards.push(names)
  return state
}

test('an address that another known service has now is absent until its own service has it again', async () => {
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.9'])
  zone.set('tasks.b', ['10.0.0.3'])
  const one = guard(service('a', ['10.0.0.2', '10.0.0.3']), service('b', ['10.0.0.4']))
  await one.rounds(12)
  assert.equal([...one.absent], ['a a-10.0.0.3'])
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.3'])
  zone.delete('tasks.b')
  await one.rounds(8)
  assert.equal([...one.absent], [])
})

test('an address that a task of an unknown service has now, by its reverse name, is absent', async () => {
  zone.set('tasks.shop_a', ['10.0.0.2'])
  setOwner('10.0.0.3', 'new.shop_default', '0123456789ab.shop_default', `shop_new.1.${TASK}.shop_default`)
  const one = guard(service('shop_a', ['10.0.0.2', '10.0.0.3']))
  await one.rounds(12)
  assert.equal([...one.absent], ['shop_a shop_a-10.0.0.3'])
  // Its new task ends: this says nothing in favour of the old one.
  zone.delete('3.0.0.10.in-addr.arpa')
  await one.rounds(10)
  assert.equal([...one.absent], ['shop_a shop_a-10.0.0.3'])
})

test('two shared networks, and the DNS lists a service on the other one: its servers get requests', async () => {
  zone.set('tasks.other', ['10.0.1.9'])
  zone.set('tasks.shop', ['10.0.1.5'])
  setOwner('10.0.2.5', `shop.1.${TASK}.net_b`)
  const one = guard(service('other', ['10.0.1.9']), service('shop', ['10.0.2.5', '10.0.2.6']))
  await one.rounds(12)
  assert.equal([...one.absent], [])
})

test('a node whose daemon has died leaves the DNS and goes on serving: its tasks get requests', async () => {
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.3'])
  zone.set('tasks.b', ['10.0.0.4'])
  const one = guard(service('a', ['10.0.0.2', '10.0.0.3']), service('b', ['10.0.0.4']))
  await one.rounds(12)
  zone.set('tasks.a', ['10.0.0.2'])
  zone.delete('tasks.b')
  await one.rounds(12)
  assert.equal([...one.absent], [])
})

test('servers without an owner, as an older leader announces them, are not judged', async () => {
  zone.set('tasks.blue', ['10.0.1.1'])
  zone.set('tasks.green', ['10.0.1.2'])
  setOwner('10.0.1.3', `green.2.${TASK}.net`)
  const one = guard(service('blue', ['10.0.1.1', '10.0.1.2', '10.0.1.3'], { owner: undefined }), service('green', ['10.0.1.2']))
  await one.rounds(12)
  assert.equal([...one.absent], [])
})

test('a finding stays after a manager is read again, until a configuration without the server arrives', async () => {
  zone.set('tasks.b', ['10.0.0.3'])
  const b = service('b', ['10.0.0.3'])
  const one = guard(service('a', ['10.0.0.2', '10.0.0.3']), b)
  await one.rounds(12)
  assert.equal([...one.absent], ['a a-10.0.0.3'])
  one.blind = false
  // The DNS may have lost the other service by then: the address is still not known to be this service's.
  zone.delete('tasks.b')
  await one.rounds(20)
  assert.equal([...one.absent], ['a a-10.0.0.3'])
  one.names.apply([service('a', ['10.0.0.2']), b])
  zone.set('tasks.a', ['10.0.0.2'])
  asked.clear()
  await one.rounds(6)
  assert.equal([...asked], [])
})

test('a configuration that still has the server long after managers are read again is right', async () => {
  setOwner('10.0.0.3', `b.1.${TASK}.net`)
  const one = guardFor(50, service('a', ['10.0.0.3']))
  await one.rounds(12)
  assert.equal([...one.absent], ['a a-10.0.0.3'])
  one.blind = false
  await one.rounds(30)
  assert.equal([...one.absent], [])
})

test('a service that the DNS never listed, as on a network of another kind, keeps its servers', async () => {
  zone.set('tasks.a', ['10.0.0.2'])
  const one = guard(service('a', ['10.0.0.2']), service('elsewhere', ['192.168.1.9']))
  await one.rounds(12)
  assert.equal([...one.absent], [])
})

test('the name of an address is a task of a service, or says nothing', () => {
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

test('reverse names that are no task of another service change nothing', async () => {
  setOwner('10.0.0.2', `a.7.${TASK}.net`)
  setOwner('10.0.0.3', `renamed.1.${TASK}.net`)
  setOwner('10.0.0.4', 'ip-10-0-0-4.eu.example.test')
  const own = service('a', ['10.0.0.2', '10.0.0.3', '10.0.0.4'])
  const servers = own.servers.map(server => (server.host === '10.0.0.3' ? { ...server, id: `${TASK}:80` } : server))
  const one = guard({ ...own, servers })
  await one.rounds(12)
  assert.equal([...one.absent], [])
})

test('virtual IPs and services outside the swarm are skipped; a shared backend is looked up by owner', async () => {
  zone.set('tasks.a', ['10.0.0.2', '10.0.0.5', '10.0.0.6'])
  zone.set('tasks.b', ['10.0.0.4'])
  const file = { ...service('file', ['10.0.0.5']), provider: 'file' }
  const shared = service('a', ['10.0.0.2', '10.0.0.4', '10.0.0.6'])
  const [mine, theirs, moved] = shared.servers
  const both = { ...shared, servers: [mine!, { ...theirs!, owner: 'b' }, { ...moved!, owner: 'b' }] }
  const one = guard(both, service('vip', ['10.0.0.6'], { node: '' }), file)
  await one.rounds(12)
  assert.equal([...one.absent], ['a a-10.0.0.6'])
})

test.run()
