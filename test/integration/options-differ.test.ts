// Replicas of one cluster whose options would produce different configurations: the leader's options count, and every replica
// reports which member differs in which option. Services from files that only some replicas have survive a change of leader.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { allServe, ClusteredReplica, stopAll } from './clustered-replica.ts'
import { LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { SteadyLoad, tomlOf } from './services-files.ts'
import { endAll, ownDirectory, skein } from './skein-process.ts'

const tasks = await LoopbackTasks.start(1, (_, __, response) => void response.end('app'))
const manager = await ScriptedManager.start({
  name: 'app',
  labels: { 'traefik.port': String(tasks.port), 'traefik.tags': 'public' },
  tasks: tasks.tasks,
})

test.after(() => {
  endAll()
  closeManagers()
  stopTasks()
})

/** `first` leads; `second` joins it with options of its own. */
async function pair(first: readonly string[], second: readonly string[]): Promise<readonly [ClusteredReplica, ClusteredReplica]> {
  const port = await freePort()
  const common = { manager: manager.endpoint, peers: [`127.0.0.1:${port}`] }
  const leads = await ClusteredReplica.start({ ...common, name: 'first', port, more: first })
  await leads.agreesWith(1)
  for (;;) {
    const follows = await ClusteredReplica.start({ ...common, name: 'second', more: second })
    await Promise.all([leads.agreesWith(2), follows.agreesWith(2)])
    if ((await leads.status()).role === 'leader') return [leads, follows]
    // On a busy machine the leader may be suspended for too long; alone, it leads again.
    await follows.replica.stop()
    await until('the first leads', async () => (await leads.status()).role === 'leader', 60_000, { everyMs: 50 })
  }
}

const different = async (member: ClusteredReplica): Promise<string[]> =>
  (await member.status()).differences.map(
    one => `${one.severity} ${one.member} --${one.option} ${one.value} / ${one.leader} ${one.leaderValue}`,
  )

test('another domain, constraint and network at a follower: both replicas list and log it', async () => {
  // Of options given twice the last one counts.
  const more = ['--constraint', 'tag==internal', '--network', 'back', '--no-exposed-by-default', '--label-prefix', 'edge']
  const [leads, follows] = await pair([], more)
  await allServe([leads, follows], 'app.test')
  const expected = [
    'warning second --constraint tag==internal / first (none)',
    'warning second --exposed-by-default false / first true',
    'warning second --label-prefix edge / first traefik',
    'warning second --network back / first (none)',
  ]
  for (const member of [leads, follows]) {
    await until(`${member.name} shows them`, async () => (await different(member)).length === expected.length, 60_000, {
      everyMs: 50,
    })
    assert.equal(await different(member), expected)
  }
  const at = await leads.replica.logs(/^--constraint of second is "tag==internal"/)
  assert.equal([at.level, at.member, at.option, at.leader], ['warn', 'second', 'constraint', 'first'])
  assert.match(at.msg, /that of this replica, the leader, is "\(none\)": .*set the same value on all replicas/)
  await follows.replica.logs(/^--constraint of this replica is "tag==internal", that of the leader first is "\(none\)"/)
  const screen = await skein(['status', '--admin', `127.0.0.1:${follows.replica.admin}`])
  assert.match(screen.out, /OPTIONS DIFFER +MEMBER +OPTION .*\nwarning +second +--constraint +tag==internal +\(none\) \(first\)/)
  // The other replica leads: now its options count, and that is logged too.
  await leads.replica.stop()
  await until('the other one leads', async () => (await follows.status()).role === 'leader', 60_000, { everyMs: 50 })
  await until('no option differs any more', async () => (await different(follows)).length === 0, 60_000, { everyMs: 50 })
  await stopAll([follows])
})

test('equal options in another order: no difference is listed or logged', async () => {
  const one = ['--constraint', 'tag==public', '--constraint', 'tag!=internal']
  const two = ['--constraint', 'tag!=internal', '--constraint', 'tag==public', '--retry-attempts', '2', '--poll-rest', '3s']
  const members = await pair(one, two)
  await allServe(members, 'app.test')
  for (const member of members) {
    const { members: known, differences } = await member.status()
    assert.ok(known.every(({ options }) => options?.constraint === 'tag!=internal, tag==public'))
    assert.equal(differences, [])
    assert.not.match(member.replica.out, /set the same value on all replicas/)
  }
  await stopAll(members)
})

test('only one replica has a services file: its services survive a change of leader', async () => {
  const file = join(ownDirectory(), 'services.toml')
  writeFileSync(file, tomlOf({ name: 'legacy', tasks }))
  const [leads, follows] = await pair(['--services-file', file], [])
  await allServe([leads, follows], 'legacy.test')
  await until('the files are listed', async () => /content/.test((await different(follows)).join()), 60_000, { everyMs: 50 })
  assert.match((await different(follows)).join(), /^warning second --services-file \(none\) \/ first given, content [0-9a-f]{8}$/)
  const load = new SteadyLoad(() => follows.replica.get('legacy.test'))
  await leads.replica.stop()
  await until('the other one leads', async () => (await follows.status()).role === 'leader', 60_000, { everyMs: 50 })
  const revision = (await follows.status()).revision?.sequence ?? 0
  manager.set(
    { name: 'app', labels: { 'traefik.port': String(tasks.port) }, tasks: tasks.tasks },
    { name: 'more', labels: { 'traefik.port': String(tasks.port) }, tasks: tasks.tasks },
  )
  await follows.replica.answers('more.test', 200)
  assert.ok(((await follows.status()).revision?.sequence ?? 0) >= revision, 'it has published')
  await load.stop()
  assert.equal(load.failed, [])
  assert.equal(Object.keys((await follows.replica.api('snapshot')).routers), ['app', 'legacy', 'more'])
  await stopAll([follows])
})

test('different content of services files is a difference; a different path is not', async () => {
  const other = await LoopbackTasks.start(1)
  const [one, two, three] = [1, 2, 3].map(n => join(ownDirectory(), `services-${n}.toml`)) as [string, string, string]
  writeFileSync(one, tomlOf({ name: 'legacy', tasks }))
  writeFileSync(two, tomlOf({ name: 'legacy', tasks }))
  writeFileSync(three, tomlOf({ name: 'legacy', tasks: other }))
  const same = await pair(['--services-file', one], ['--services-file', two])
  await until(
    'both have read theirs',
    async () => (await same[0].status()).members.every(({ options }) => /content/.test(options?.['services-file'] ?? '')),
    60_000,
    { everyMs: 50 },
  )
  assert.equal(await different(same[0]), [])
  await stopAll(same)
  const differing = await pair(['--services-file', one], ['--services-file', three])
  await until('it is shown', async () => (await different(differing[0])).length === 1, 60_000, { everyMs: 50 })
  assert.match((await different(differing[0])).join(), /second --services-file given, content \w+ \/ first given, content \w+$/)
  await stopAll(differing)
})

test.run()
