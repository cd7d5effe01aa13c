// Whole members over real connections: discovery, election, replication, failover and return; and harmless handling of messages
// from a misbehaving member that holds the secret.

import { randomBytes } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS, TIMING } from '../../cluster/core/state.ts'
import { interfaceNetworks } from '../../cluster/gossip/own-addresses.ts'
import type { Cluster } from '../../cluster/status.ts'
import { until } from '../until.ts'
import { agree, endAll, leaderOf, openNetwork, spawnMember, startMember, type TestMember, together } from './cluster-harness.ts'

test.after(endAll)

/** Members that start one after the other and know the first. */
async function cluster(count: number, options: Parameters<typeof startMember>[2] = {}): Promise<TestMember[]> {
  const members: TestMember[] = []
  for (let i = 1; i <= count; i++) members.push(await startMember(`edge-${i}`, members.slice(0, 1), options))
  await together(members)
  return members
}

const stopAll = (members: readonly Cluster[]): Promise<unknown> => Promise.all(members.map(member => member.stop()))

async function spread(members: readonly TestMember[], body: string, withinMs = 30_000): Promise<void> {
  const leader = leaderOf(members)
  const revision = leader.publish(body)
  assert.ok(revision, 'the leader accepts it')
  const others = members.filter(member => member !== leader)
  await until('all others hold it', () => others.every(({ held }) => held.at(-1)?.body === body), withinMs)
  for (const { held } of others) assert.equal(held.at(-1)?.revision, revision)
  assert.is(
    leader.held.some(held => held.body === body),
    false,
    'the hold hook is not called for what it published itself',
  )
}

test('three members elect one leader; all hold what it publishes, small or of 2 MB', async () => {
  const members = await cluster(3)
  assert.is(members.filter(({ roles }) => roles.at(-1) === 'leader').length, 1)
  await spread(members, 'a small one')
  const large = randomBytes(1024 * 1024).toString('hex')
  await spread(members, large)
  await spread(members, 'small again')
  const follower = members.find(member => member.status().role === 'follower')!
  assert.is(follower.publish('not mine to say'), null)
  const { counts, connections, leader, members: seen } = follower.status()
  assert.is(counts.malformed + counts.otherCluster + counts.unknownVersion, 0)
  assert.ok(
    connections.every(({ name }) => /^edge-[123]$/.test(name)),
    'connections bear names',
  )
  assert.match(leader!.name, /^edge-[123]$/)
  assert.ok(seen.every(({ addresses }) => addresses.length === 1 && addresses[0]!.startsWith('127.0.0.1:')))

  // The leader stops gracefully.
  const old = leaderOf(members)
  await old.drain()
  const rest = members.filter(member => member !== old)
  assert.ok(agree(rest, 2) || (await until('another leads', () => agree(rest, 2))), 'another leads')
  await old.stop()
  await until('the others list it as left', () =>
    rest.every(each => each.status().members.every(({ id, state }) => id !== old.id || state === 'gone')),
  )
  await spread(rest, 'after the hand-over')
  await stopAll(members)
})

test('a member announces its networks, also later changes; a list that is too long is omitted', async () => {
  const [one, other] = (await cluster(2)) as [TestMember, TestMember]
  const seen = () => other.status().members.find(({ name }) => name === one.name)?.networks
  assert.equal(seen(), interfaceNetworks())
  const attached = ['10.0.1.7/24', '10.0.2.7/24', 'fd00::7/64']
  one.setLocal({ networks: attached })
  await until('the other one has the new list', () => JSON.stringify(seen()) === JSON.stringify(attached))
  one.setLocal({ networks: Array.from({ length: LIMITS.networks + 1 }, (_, i) => `10.0.${i}.7/24`) })
  await until('the other one has no list', () => seen() === undefined)
  await stopAll([one, other])
})

test('a killed leader is replaced', async () => {
  const child = await spawnMember('edge-child')
  await child.leads
  const members = [await startMember('edge-1', [child]), await startMember('edge-2', [child])]
  await together(members, 3)
  assert.is(members[0]!.status().leader!.id, child.id, 'the first member leads')
  child.signal('SIGKILL')
  await until(
    'both know the new leader',
    () => members.every(member => ![undefined, child.id].includes(member.status().leader?.id)) && agree(members, 2),
  )
  await spread(members, 'after the crash')
  await stopAll(members)
})

test('a member with the wrong secret stays alone and logs why', async () => {
  const members = await cluster(2)
  const outsider = await startMember('outsider', members, { secrets: ['another'] })
  await until(
    'both sides say why',
    () =>
      outsider.log.has(/refused the handshake: it may hold another secret/) &&
      members[0]!.log.has(/does not hold the cluster secret/),
  )
  await until('it leads itself', () => outsider.status().role === 'leader')
  assert.ok(agree(members, 2))
  assert.is(outsider.status().members.length, 1)
  await stopAll([...members, outsider])
})

test('a member of another cluster with the same secret is refused by name', async () => {
  const members = await cluster(2)
  const other = await startMember('other', members, { cluster: 'staging' })
  await until(
    'both say so',
    () =>
      other.log.has(/belongs to cluster "test", this one is "staging"/) && members[0]!.log.has(/belongs to cluster "staging"/),
  )
  assert.ok(members[0]!.status().counts.otherCluster > 0)
  assert.ok(agree(members, 2))
  await stopAll([...members, other])
})

test('the secret is rotated member by member and the cluster stays one', async () => {
  const members = await cluster(3, { secrets: ['old'] })
  await spread(members, 'before')
  for (const secrets of [['old', 'new'], ['new', 'old'], ['new']]) {
    for (const [i, member] of [...members.entries()]) {
      const rest = members.filter(each => each !== member)
      await member.drain()
      await member.stop()
      members[i] = await startMember(member.name, rest, { secrets })
      await together(members)
    }
  }
  await spread(members, 'after')
  await stopAll(members)
})

test('malformed, oversized, replayed and future messages of a member are counted and dropped', async () => {
  const members = await cluster(2)
  const evil = await openNetwork()
  evil.setTargets(members.map(({ port }) => `127.0.0.1:${port}`))
  await until('it is connected', () => evil.connected.size === 2)
  const envelope = (n: number, message: unknown, v = 1, name = 'test'): Buffer =>
    Buffer.from(JSON.stringify({ v, cluster: name, n, message }))
  const leave = { kind: 'leave' }
  const bad: Buffer[] = [
    randomBytes(500),
    Buffer.from('null'),
    Buffer.from('{"v":1}'),
    envelope(1, { kind: 'beat' }),
    envelope(2, { kind: 'no such thing' }),
    envelope(3, { kind: 'handover', term: { number: 1e300, leader: 'x' } }),
    envelope(4, leave, 2),
    envelope(5, leave, 1, 'elsewhere'),
    Buffer.alloc(60 * 1024, 'x'),
    Buffer.from('['.repeat(60_000)),
  ]
  for (const data of bad) {
    evil.broadcast(data)
    evil.send(members[0]!.id, data)
  }
  for (let i = 0; i < 5; i++) evil.send(members[0]!.id, envelope(9, leave))
  const [first] = members
  // At least: a broadcast may arrive twice while streams are being opened.
  await until('all are counted', () => {
    const { malformed, unknownVersion, otherCluster, replayed } = first!.status().counts
    return malformed >= 16 && unknownVersion >= 2 && otherCluster >= 2 && replayed >= 4
  })
  await spread(members, 'unharmed')
  assert.ok(agree(members))
  assert.ok(first!.log.lines.filter(line => line.includes('dropped a message from')).length <= 6, 'the log is not flooded')
  await evil.stop()
  await stopAll(members)
})

test('a flood of one member does not make another one leave the cluster', async () => {
  const members = await cluster(3)
  const leader = leaderOf(members).id
  const flood = await openNetwork()
  flood.setTargets(members.map(({ port }) => `127.0.0.1:${port}`))
  await until('it is connected', () => flood.connected.size === 3)
  let n = 0
  await until(
    'it is held to a rate',
    () => {
      for (let i = 0; i < 100; i++) {
        flood.broadcast(Buffer.from(JSON.stringify({ v: 1, cluster: 'test', n: n++, message: { kind: 'leave' } })))
      }
      return members.every(member => member.status().counts.dropped > 100)
    },
    20_000,
  )
  await together(members)
  assert.ok(
    members.every(member => member.status().term.number < 5),
    'no run of elections',
  )
  assert.ok(members.some(member => member.status().leader?.id === leader) || agree(members))
  await spread(members, 'unharmed')
  await flood.stop()
  await stopAll(members)
})

test('names without answer, with one constant address, with foreign peers, then with members', async () => {
  const first = await startMember('edge-1', [])
  const name = { host: 'tasks.edge', port: first.port }
  const unresolved = await startMember('edge-2', [], { peers: [name], lookup: () => Promise.reject(new Error('ENOTFOUND')) })
  const itself = await startMember('edge-3', [], { peers: [name], lookup: async () => ['127.0.0.77'] })
  let answer = ['203.0.113.1', '127.0.0.78', 'nonsense']
  const late = await startMember('edge-4', [], { peers: [name], lookup: async () => answer })
  const alone = [unresolved, itself, late]
  await until('each leads itself', () => alone.every(member => member.status().role === 'leader'))
  assert.ok(unresolved.log.has(/the peer name tasks.edge cannot be looked up; it provides no peers until then/))
  answer = ['127.0.0.1']
  await together([first, late])
  await stopAll([first, ...alone])
})

test('two replicas of one name get distinct names', async () => {
  const members = [await startMember('edge', [])]
  members.push(await startMember('edge', members))
  await together(members)
  const names = members[0]!.status().members.map(member => member.name)
  assert.is(new Set(names).size, 2)
  assert.ok(
    names.every(shown => /^edge~.{6}$/.test(shown)),
    names.join(),
  )
  await spread(members, 'both hold it')
  await stopAll(members)
})

test('a single member leads, publishes, and stops at once; exceptions in hooks do not end it', async () => {
  const broken = (): never => {
    throw new Error('not today')
  }
  const member = await startMember('alone', [])
  await until('it leads', () => member.status().role === 'leader')
  const revision = member.publish('mine')
  assert.is(revision?.sequence, 1)
  assert.equal(member.publish('mine'), revision, 'equal content makes no new revision')
  assert.is(member.publish('more')?.sequence, 2)
  const other = await startMember('broken', [member], { onHold: broken, check: body => (body === 'bad' ? broken() : null) })
  await together([member, other])
  await until('it holds the configuration despite its hook', () => other.status().hash === member.status().hash)
  assert.ok(other.log.has(/error: internal error: the replica could not process/))
  member.publish('bad')
  await until('it logs why it ignores the configuration', () => other.log.has(/warn: .*: not today/))
  assert.is(other.held.at(-1)?.body, 'more')
  member.publish('good')
  await until('it installs the next one', () => other.held.at(-1)?.body === 'good')
  const since = performance.now()
  await stopAll([member, other])
  assert.ok(performance.now() - since < 20_000)
})

test('a missing secret is an error; a held configuration with a wrong hash is ignored', async () => {
  const failure = await startMember('none', [], { secrets: [] }).catch((error: Error) => error.message)
  assert.is(failure, 'a member of a cluster needs the cluster secret; none is given')
  const held = { revision: { term: 3, leader: 'x', sequence: 1 }, hash: 'a'.repeat(64), body: 'changed on disk' }
  const member = await startMember('disk', [], { held })
  assert.is(member.status().revision, null)
  assert.ok(member.log.has(/ignoring the configuration kept on disk: its content does not match its hash/))
  await member.stop()
})

test('twenty members in a mesh: one leader, all known to all, one configuration', async () => {
  // One process runs twenty members, so time-outs are long: a stall of the process must not look like a missing leader.
  const slow = {
    leaderHeartbeatMs: 1000,
    heartbeatMs: 3000,
    suspectMs: 6000,
    electionMinMs: 500,
    electionMaxMs: 2000,
    joinMs: 4000,
  }
  const timing = { ...TIMING, ...slow }
  const members: TestMember[] = []
  for (let i = 0; i < 20; i++) members.push(await startMember(`edge-${i}`, members.slice(0, 3), { timing }))
  await together(members, 20, 60_000)
  await spread(members, randomBytes(100_000).toString('hex'), 60_000)
  await stopAll(members)
})

test.run()
