// Cold starts without a manager: a replica serves from its data directory within a few seconds, survives any content of the files
// there, and replaces the configuration on disk with the first answer of a manager.

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Snapshot } from '../../src/config/model.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, ownDirectory, Replica } from './skein-process.ts'

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const app = { name: 'app', labels: { 'traefik.port': String(backend.port) } }
const dead = `tcp://127.0.0.1:${await freePort()}`

test.after(() => {
  endAll()
  closeManagers()
  backend.stop()
})

const start = (manager: string, dataDir: string): Promise<Replica> =>
  Replica.start(['--manager', manager, '--domain', 'test', '--data-dir', dataDir])

/** A data directory as left by a replica that has served `app`. */
const kept = ownDirectory()
test.before(async () => {
  const manager = await ScriptedManager.start(app)
  const replica = await start(manager.endpoint, kept)
  await replica.answers('app.test', 200)
  await until('it is on disk', () => readdirSync(kept).includes('snapshot.json'))
  assert.is((await replica.stop()).code, 0)
  manager.close()
})

const snapshot = (): string => readFileSync(join(kept, 'snapshot.json'), 'utf8')

/** The snapshot on disk with the value at one path replaced, or added. */
function bent(path: string, value: unknown): string {
  const whole = JSON.parse(snapshot()) as Snapshot
  const keys = path.split('.')
  const last = keys.pop() ?? ''
  let at = whole as unknown as Record<string, unknown>
  for (const key of keys) at = at[key] as Record<string, unknown>
  at[last] = value
  return JSON.stringify(whole)
}

/** Starts one replica for each text, all at once, because each waits three seconds for its managers. */
async function coldStarts(
  texts: readonly string[],
  checkReason: (replica: Replica, index: number) => Promise<void>,
): Promise<void> {
  const replicas = await Promise.all(
    texts.map(text => {
      const directory = ownDirectory()
      writeFileSync(join(directory, 'snapshot.json'), text)
      return start(dead, directory)
    }),
  )
  for (const [index, replica] of replicas.entries()) {
    await replica.says(/no manager has answered yet/)
    await checkReason(replica, index)
  }
  const ends = await Promise.all(replicas.map(replica => replica.stop()))
  for (const { code } of ends) assert.is(code, 0)
}

test('with every manager down, a replica serves the configuration on disk', async () => {
  const replica = await start(dead, kept)
  assert.is(await replica.answers('app.test', 200), 'hello')
  const health = await replica.api('health')
  assert.equal([health.status, health.synced], ['serving', false])
  assert.is((await replica.logs(/serving the configuration on disk/)).level, 'warn')
  assert.is((await replica.stop()).code, 0)
})

test('an edited snapshot is served if it is valid, whatever its names, and logged as modified', async () => {
  const { routers } = JSON.parse(snapshot()) as Snapshot
  const edited = { kind: 'host', hosts: ['edited.test'] }
  const prototype = JSON.stringify({ ...routers.app, name: '__proto__', matcher: edited })
  const texts = [
    bent('routers.app.matcher', edited),
    bent('routers.constructor', { ...routers.app, name: 'constructor', matcher: edited }),
    bent('routers.app.matcher', { kind: 'or', of: [{ kind: 'hostRegexp', patterns: ['(((('] }, edited] }),
    snapshot().replace('"routers":{', `"__proto__":{"polluted":1},"routers":{"__proto__":${prototype},`),
  ]
  await coldStarts(texts, async (replica, index) => {
    const prototypes = index === 3
    await replica.answers(prototypes ? 'app.test' : 'edited.test', 200)
    assert.is(/modified outside of Skein; it is used until a manager can be read/.test(replica.out), !prototypes)
    if (prototypes) assert.equal(Object.keys((await replica.api('snapshot')).routers), ['app'])
  })
})

test('an invalid snapshot is ignored and logged with its first error', async () => {
  const tries: readonly (readonly [text: string, reason: RegExp])[] = [
    [snapshot().slice(0, 100), /JSON/],
    [`${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}`, /expected a snapshot nested less deeply/],
    [bent('routers.app.priority', '1'), /^routers\.app\.priority: /],
    [bent('middlewares.m', { kind: 'add prefix', prefix: '/' }), /^middlewares\.m\.kind: /],
  ]
  await coldStarts(
    tries.map(([text]) => text),
    async (replica, index) => {
      const line = await replica.logs(/cannot use the configuration on disk/)
      assert.match(String(line.reason), tries[index]?.[1] ?? /^$/)
      assert.is((await replica.get('app.test')).status, 0)
      assert.is((await replica.api('health')).status, 'starting')
    },
  )
})

test('pipes, directories and huge files are ignored until a manager answers', async () => {
  const [huge, pipe, folder] = [ownDirectory(), ownDirectory(), ownDirectory()]
  for (const name of ['snapshot.json', 'managers.json']) {
    writeFileSync(join(huge, name), '')
    truncateSync(join(huge, name), 3 * 1024 ** 3)
    execFileSync('mkfifo', [join(pipe, name)])
    mkdirSync(join(folder, name))
  }
  const manager = await ScriptedManager.start(app)
  const checkReason = async (directory: string, reason: RegExp): Promise<void> => {
    const replica = await start(manager.endpoint, directory)
    await replica.answers('app.test', 200)
    assert.match(String((await replica.logs(/cannot use the configuration on disk/)).reason), reason)
    assert.match(String((await replica.logs(/cannot read the stored list of managers/)).reason), reason)
    assert.is((await replica.stop()).code, 0)
  }
  await Promise.all([
    checkReason(huge, /it has 3221225472 bytes, expected at most/),
    checkReason(pipe, /it is not a regular file/),
    checkReason(folder, /it is not a regular file/),
  ])
  assert.ok(readFileSync(join(huge, 'snapshot.json')).length < 10_000)
})

test("a manager's answer replaces an edited file, even if it has not changed", async () => {
  const directory = ownDirectory()
  writeFileSync(join(directory, 'snapshot.json'), bent('routers.app.matcher.hosts', ['edited.test']))
  const manager = await ScriptedManager.start(app)
  const replica = await start(manager.endpoint, directory)
  await replica.answers('app.test', 200)
  assert.is((await replica.get('edited.test')).status, 404)
  await replica.stop()
})

test('an unwritable directory is logged once with the reason, and is not fatal', async () => {
  const manager = await ScriptedManager.start(app)
  const directory = ownDirectory()
  writeFileSync(join(directory, 'file'), '')
  chmodSync(join(directory, 'file'), 0o400)
  const replica = await start(manager.endpoint, join(directory, 'file', 'below'))
  await replica.answers('app.test', 200)
  for (let i = 0; i < 3; i++) {
    manager.set(app, { name: `more${i}`, labels: app.labels })
    await replica.answers(`more${i}.test`, 200)
  }
  const logged = replica.lines.filter(({ msg }) => /cannot write the configuration to disk \(--data-dir\)/.test(msg))
  assert.is(logged.length, 1)
  assert.match(String(logged[0]?.reason), /^ENOTDIR: /)
  await replica.stop()
  rmSync(join(directory, 'file'))
})

test.run()
