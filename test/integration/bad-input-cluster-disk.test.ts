// The snapshot cache of members: on a full disk, and a corrupt file. The configuration comes from the leader, so neither
// prevents a member from serving.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { allServe, ClusteredReplica, startCluster, stopAll } from './clustered-replica.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, ownDirectory } from './skein-process.ts'

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const app = { name: 'app', labels: { 'traefik.port': String(backend.port) } }
const manager = await ScriptedManager.start(app)
const { endpoint } = manager
const mounted: string[] = []

test.after(() => {
  // Before their directories are removed; lazy, because remaining processes may use them.
  for (const directory of mounted) execFileSync('umount', ['--lazy', directory])
  endAll()
  closeManagers()
  backend.stop()
})

/** A directory on a file system of its own without a free byte; null: this process may not mount one. */
function fullDisk(): string | null {
  const directory = join(ownDirectory(), 'full')
  mkdirSync(directory)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { stdio: 'pipe' })
  } catch {
    return null
  }
  mounted.push(directory)
  try {
    for (let i = 0; ; i++) writeFileSync(join(directory, `filler${i}`), Buffer.alloc(4096))
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC')
  }
  return directory
}

test('a full disk is logged once with the reason; the member follows every change and serves', async () => {
  const full = fullDisk()
  if (full === null) {
    console.log('left out: a full disk under the snapshot cache: it needs the right to mount a tmpfs (root)')
    return
  }
  const members = await startCluster(['a', 'b'], { manager: endpoint })
  const [first] = members
  if (first === undefined) throw new Error('two were started')
  const cramped = await ClusteredReplica.start({
    name: 'cramped',
    manager: endpoint,
    peers: [first.gossip],
    more: ['--data-dir', full],
  })
  await cramped.agreesWith(3)
  for (const name of ['one', 'two', 'three']) {
    manager.set(app, { ...app, name })
    await allServe([cramped, ...members], `${name}.test`)
  }
  const logged = cramped.replica.lines.filter(({ msg }) => /cannot write the configuration to disk/.test(msg))
  assert.is(logged.length, 1, cramped.replica.out)
  assert.match(String(logged[0]?.reason), /ENOSPC/)
  await stopAll([cramped, ...members])
  manager.set(app)
})

test('a corrupt cache and no manager: the configuration comes from peers and is saved again', async () => {
  const members = await startCluster(['a', 'b'], { manager: endpoint })
  const [first] = members
  if (first === undefined) throw new Error('two were started')
  const texts = ['{"revision":', '{"revision":{"term":1e99},"hash":7}', '\u0000'.repeat(5000)]
  const dead = `tcp://127.0.0.1:${await freePort()}`
  const joining = await Promise.all(
    texts.map(async (text, i) => {
      const directory = ownDirectory()
      writeFileSync(join(directory, 'snapshot.json'), text)
      const more = ['--data-dir', directory]
      const member = await ClusteredReplica.start({ name: `c${i}`, manager: dead, peers: [first.gossip], more })
      return { member, file: join(directory, 'snapshot.json') }
    }),
  )
  for (const { member, file } of joining) {
    await member.agreesWith(members.length + texts.length)
    await allServe([member], 'app.test')
    assert.is((await member.replica.logs(/cannot use the configuration on disk/)).level, 'warn')
    await until(`${file} is a snapshot`, () => statSync(file).size > 0 && /"app"/.test(readFileSync(file, 'utf8')), 60_000, {
      everyMs: 50,
    })
  }
  await stopAll([...members, ...joining.map(({ member }) => member)])
})

test.run()
