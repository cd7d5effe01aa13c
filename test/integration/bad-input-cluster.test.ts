// Replicas that do not fit together: another secret, another cluster name, the same name, a clock hours off. Each logs the
// mismatch, and all serve.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { alive, allServe, ClusteredReplica, startCluster, stopAll } from './clustered-replica.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, ownDirectory } from './skein-process.ts'

const HOUR_MS = 3_600_000
/** Long enough for several dials and heartbeats: a replica that must not join has not joined by then. */
const A_WHILE_MS = 2500

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const app = { name: 'app', labels: { 'traefik.port': String(backend.port) } }
const manager = await ScriptedManager.start(app)
const { endpoint } = manager

test.after(() => {
  endAll()
  closeManagers()
  backend.stop()
})

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

test('a wrong secret: both sides log it, they do not join, all serve', async () => {
  const members = await startCluster(['a', 'b'], { manager: endpoint })
  const outsider = await ClusteredReplica.start({
    name: 'outsider',
    manager: endpoint,
    secret: 'another secret of the same length',
    peers: members.map(({ gossip }) => gossip),
  })
  assert.is(alive(await outsider.agreesWith(1)), 1)
  const logged = await Promise.race(members.map(({ replica }) => replica.logs(/does not hold the cluster secret/)))
  assert.is(logged.level, 'warn')
  assert.match(String(logged.address), /^127\.0\.0\.1/)
  assert.is((await outsider.replica.logs(/secret/)).level, 'warn')
  await sleep(A_WHILE_MS)
  for (const member of members) assert.is((await member.status()).members.length, 2)
  assert.is((await outsider.status()).members.length, 1)
  for (const { replica } of [...members, outsider]) assert.not.match(replica.out, /secret of/)
  await allServe([...members, outsider], 'app.test')
  await stopAll([...members, outsider])
})

test('the right secret and another cluster name: two clusters, each logs the other', async () => {
  const members = await startCluster(['a', 'b'], { manager: endpoint, cluster: 'east' })
  const other = await ClusteredReplica.start({
    name: 'c',
    manager: endpoint,
    cluster: 'west',
    peers: members.map(({ gossip }) => gossip),
  })
  await other.agreesWith(1)
  const logged = await Promise.race(members.map(({ replica }) => replica.logs(/cluster .*west/)))
  assert.is(logged.level, 'warn')
  await other.replica.logs(/cluster .*east/)
  await sleep(A_WHILE_MS)
  for (const member of members) assert.is((await member.status()).members.length, 2)
  assert.is((await other.status()).members.length, 1)
  await allServe([...members, other], 'app.test')
  await stopAll([...members, other])
})

test('two replicas of one name: both are members under distinct names, and it is logged', async () => {
  const [first, second] = await startCluster(['twin', 'twin'], { manager: endpoint })
  if (first === undefined || second === undefined) throw new Error('two were started')
  const { members } = await first.agreesWith(2)
  assert.is(new Set(members.map(({ name }) => name)).size, 2, JSON.stringify(members))
  for (const { name } of members) assert.match(name, /^twin(~\w+)?$/)
  await until(
    'one of them says that another bears its name',
    () => [first, second].some(({ replica }) => replica.lines.some(({ level, msg }) => level === 'warn' && /name/.test(msg))),
    60_000,
    { everyMs: 50 },
  )
  await allServe([first, second], 'app.test')
  manager.set(app, { ...app, name: 'later' })
  await allServe([first, second], 'later.test')
  await stopAll([first, second])
  manager.set(app)
})

test('clocks an hour apart: election, following and succession work as usual', async () => {
  const port = ownDirectory()
  const shifted = (ms: number): Readonly<Record<string, string>> => {
    const file = join(port, `clock${ms}.mjs`)
    writeFileSync(
      file,
      `const now = Date.now\nDate.now = () => now() + ${ms}\nglobalThis.Date = new Proxy(Date, {\n` +
        '  construct: (target, args) => args.length === 0 ? new target(target.now()) : Reflect.construct(target, args),\n})\n',
    )
    return { NODE_OPTIONS: `--import ${file}` }
  }
  const right = await ClusteredReplica.start({ name: 'right', manager: endpoint })
  const peers = [right.gossip]
  const fast = await ClusteredReplica.start({ name: 'fast', manager: endpoint, peers, env: shifted(HOUR_MS) })
  const slow = await ClusteredReplica.start({ name: 'slow', manager: endpoint, peers, env: shifted(-HOUR_MS) })
  const all = [right, fast, slow]
  const views = await Promise.all(all.map(member => member.agreesWith(3)))
  assert.is(new Set(views.map(({ leader }) => leader?.id)).size, 1)
  const startedAt = (name: string): number => views[0]?.members.find(one => one.name === name)?.startedAt ?? 0
  assert.ok(startedAt('fast') - startedAt('right') > HOUR_MS / 2, 'its clock was fast')
  assert.ok(startedAt('right') - startedAt('slow') > HOUR_MS / 2, 'its clock was slow')
  manager.set(app, { ...app, name: 'clocks' })
  await allServe(all, 'clocks.test')

  // The leader dies; its successor's clock may be an hour ahead or behind.
  const old = views[0]?.leader?.id
  const leader = all.find((_, i) => views[i]?.self === old)
  const left = all.filter(member => member !== leader)
  await leader?.replica.stop('SIGKILL')
  await until(
    'the two that are left name a new leader',
    async () => {
      const now = await Promise.all(left.map(member => member.status()))
      return now[0]?.leader != null && now[0].leader.id !== old && now[1]?.leader?.id === now[0].leader.id
    },
    60_000,
    { everyMs: 50 },
  )
  manager.set(app, { ...app, name: 'after' })
  await allServe(left, 'after.test')
  for (const member of left) {
    const { members } = await member.status()
    for (const { sinceMs, name } of members) assert.ok(sinceMs >= 0 && sinceMs < HOUR_MS / 2, `${name} for ${sinceMs} ms`)
  }
  await stopAll(left)
  manager.set(app)
})

test.run()
