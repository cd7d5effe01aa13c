// A running replica with services files: alone, beside a manager, changed and broken under load, with sessions and a breaker.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { replace, SteadyLoad, tomlOf, yamlOf } from './services-files.ts'
import { endAll, ownDirectory, Replica } from './skein-process.ts'

const shop = await LoopbackTasks.start(
  2,
  (address, asked, response) => void response.end(`shop ${address} ${asked.headers.host}`),
)
const legacy = await LoopbackTasks.start(1, (_, __, response) => void response.end('legacy'))
const swarm = await LoopbackTasks.start(1, (_, __, response) => void response.end('swarm'))
const manager = await ScriptedManager.start({
  name: 'web',
  labels: { 'traefik.port': String(swarm.port), 'traefik.frontend.rule': 'Host:web.test' },
  tasks: swarm.tasks,
})

test.after(() => {
  endAll()
  closeManagers()
  stopTasks()
})

/** Stops the replica; it has logged no error. */
async function end(replica: Replica): Promise<void> {
  const { code, out } = await replica.stop()
  assert.is(code, 0)
  assert.not.match(out, /"level":"(?:error|fatal)"/)
}

test('a replica with files only serves them without a manager', async () => {
  const dir = ownDirectory()
  mkdirSync(join(dir, 'more'))
  const file = join(dir, 'services.toml')
  writeFileSync(file, tomlOf({ name: 'shop', tasks: shop }))
  writeFileSync(join(dir, 'more', 'legacy.yml'), yamlOf({ name: 'legacy', tasks: legacy }))
  const replica = await Replica.start(['--services-file', file, '--services-file', join(dir, 'more')])
  await replica.serves()
  const seen = new Set<string>()
  for (let n = 0; n < 20; n++) seen.add((await replica.get('shop.test')).body)
  // As in Traefik's files, the Host is the server's address unless a frontend says otherwise.
  assert.equal(
    [...seen].sort(),
    shop.addresses.map(address => `shop ${address} ${address}:${shop.port}`),
  )
  assert.is((await replica.get('legacy.test')).body, 'legacy')
  assert.is((await replica.get('other.test')).status, 404)
  const managers = await replica.api('managers')
  assert.equal(
    managers.map(({ provider, synced, lastError, managers }) => [provider, synced, lastError, managers.length]),
    [['file', true, null, 0]],
  )
  assert.is((await replica.api('health')).synced, true)
  const { services, errors } = await replica.api('snapshot')
  assert.equal(
    Object.values(services)
      .map(({ provider, source }) => [provider, source])
      .sort(),
    [
      ['file', file],
      ['file', join(dir, 'more', 'legacy.yml')],
    ].sort(),
  )
  assert.equal(errors, [])
  await end(replica)
})

test('services of files and of the swarm are served side by side and change independently', async () => {
  const file = join(ownDirectory(), 'services.yml')
  writeFileSync(file, yamlOf({ name: 'legacy', tasks: legacy }))
  const replica = await Replica.start(['--services-file', file, '--manager', manager.endpoint])
  await replica.serves()
  assert.is((await replica.get('legacy.test')).body, 'legacy')
  assert.is((await replica.get('web.test')).body, 'swarm')
  const load = new SteadyLoad(() => replica.get('web.test'))
  replace(file, yamlOf({ name: 'legacy', tasks: legacy }, { name: 'shop', tasks: shop }))
  await replica.answers('shop.test', 200)
  replace(file, yamlOf({ name: 'shop', tasks: shop }))
  await replica.answers('legacy.test', 404)
  await load.stop()
  assert.equal(load.failed, [])
  await end(replica)
})

test("a name used by a file and the swarm: reported, and the swarm's again once the file drops it", async () => {
  const file = join(ownDirectory(), 'services.toml')
  writeFileSync(file, tomlOf({ name: 'web', tasks: legacy }))
  const replica = await Replica.start(['--services-file', file, '--manager', manager.endpoint])
  await replica.serves()
  assert.is((await replica.get('web.test')).body, 'legacy')
  const line = await replica.logs(/expected a unique name/)
  assert.is(line.msg, `error: service web, service web: expected a unique name: file (${file}) uses this name; it is ignored`)
  replace(file, '# nothing\n')
  await until('the swarm has it', async () => (await replica.get('web.test')).body === 'swarm', 60_000)
  await end(replica)
})

test('all managers are unreachable: services of files are served', async () => {
  const file = join(ownDirectory(), 'services.yml')
  writeFileSync(file, yamlOf({ name: 'legacy', tasks: legacy }))
  const replica = await Replica.start(['--services-file', file, '--manager', 'tcp://127.0.0.1:1'])
  assert.is(await replica.answers('legacy.test', 200), 'legacy')
  assert.is((await replica.stop()).code, 0)
})

test('a changed file is followed within seconds, no request fails', async () => {
  const file = join(ownDirectory(), 'services.toml')
  const old = await LoopbackTasks.start(2, (_, __, response) => void response.end('old'))
  const young = await LoopbackTasks.start(2, (_, __, response) => void response.end('young'))
  writeFileSync(file, tomlOf({ name: 'app', tasks: old }))
  const replica = await Replica.start(['--services-file', file])
  await replica.serves()
  const load = new SteadyLoad(() => replica.get('app.test'))
  await until('the old ones answer', () => load.seen.length > 10, 60_000)
  for (const [tasks, says] of [
    [young, 'young'],
    [old, 'old'],
    [young, 'young'],
  ] as const) {
    replace(file, tomlOf({ name: 'app', tasks }))
    await until(`${says} ones answer`, () => load.seen.at(-1) === says, 60_000)
  }
  await load.stop()
  assert.equal(load.failed, [])
  assert.equal([...new Set(load.seen)].sort(), ['old', 'young'])
  await end(replica)
})

test('a file that breaks: its content stays, logged once, and once when it is fixed', async () => {
  const file = join(ownDirectory(), 'services.toml')
  const whole = tomlOf({ name: 'legacy', tasks: legacy })
  writeFileSync(file, whole)
  const replica = await Replica.start(['--services-file', file])
  await replica.serves()
  const load = new SteadyLoad(() => replica.get('legacy.test'))
  replace(file, `${whole}\n[frontends.legacy]\n`)
  const line = await replica.logs(/services\.toml/)
  assert.match(line.msg, /expected TOML at line \d+, column \d+ \(.+\); its last valid content stays in use/)
  await until('people see it', async () => (await replica.api('snapshot')).errors.length > 0, 60_000)
  const { errors } = await replica.api('snapshot')
  assert.equal(
    errors.map(({ severity, provider, source }) => [severity, provider, source]),
    [['error', 'file', file]],
  )
  assert.match((await replica.api('managers'))[0]?.lastError ?? '', /expected TOML at line/)
  replace(file, whole)
  await replica.logs(/services file .* is readable again/)
  await until('people no longer see it', async () => (await replica.api('snapshot')).errors.length === 0, 60_000)
  await load.stop()
  assert.equal(load.failed, [])
  assert.is(replica.lines.filter(({ msg }) => /expected TOML/.test(msg)).length, 1)
  await end(replica)
})

test('a wrong frontend affects itself only; one with an unsupported guard is left out', async () => {
  const file = join(ownDirectory(), 'services.toml')
  const guarded = tomlOf({ name: 'guarded', tasks: shop }).replace(
    '[frontends.guarded]',
    '[frontends.guarded.auth.basic]\n  users = ["a:b"]\n[frontends.guarded]',
  )
  writeFileSync(file, `${tomlOf({ name: 'legacy', tasks: legacy })}${guarded}`)
  const replica = await Replica.start(['--services-file', file])
  await replica.serves()
  assert.is((await replica.get('legacy.test')).body, 'legacy')
  assert.is((await replica.get('guarded.test')).status, 404)
  const { errors } = await replica.api('snapshot')
  assert.ok(errors.some(({ severity, source, key }) => severity === 'error' && source === file && /guarded/.test(key)))
  await end(replica)
})

test('sessions and breakers of a file work as those of labels', async () => {
  const file = join(ownDirectory(), 'services.toml')
  const tasks = await LoopbackTasks.start(3)
  const cookies = await LoopbackTasks.start(3)
  writeFileSync(
    file,
    tomlOf(
      {
        name: 'learned',
        tasks,
        backend: [
          'skein.sticky.learn = "cookie:JSESSIONID"',
          'skein.breaker.minRequests = 3',
          'circuitBreaker.expression = "ResponseCodeRatio(500, 600, 0, 600) > 0.5"',
        ],
      },
      { name: 'sticky', tasks: cookies, backend: ['loadBalancer.stickiness.cookieName = "edge"'] },
    ),
  )
  const replica = await Replica.start(['--services-file', file])
  await replica.serves()
  assert.equal((await replica.api('snapshot')).errors, [])
  const owners = new Map<string, string>()
  for (let round = 0; round < 4; round++) {
    for (let session = 0; session < 12; session++) {
      const { status, body } = await ask(replica.web, 'learned.test', { cookie: `JSESSIONID=s${session}` })
      assert.is(status, 200)
      assert.is(owners.get(`s${session}`) ?? body, body, `session ${session} stays`)
      owners.set(`s${session}`, body)
    }
  }
  assert.ok(new Set(owners.values()).size > 1, 'they are spread')
  const first = await ask(replica.web, 'sticky.test')
  assert.match(first.cookies[0] ?? '', /^edge=/)
  for (let n = 0; n < 10; n++)
    assert.is((await ask(replica.web, 'sticky.test', { cookie: first.cookies[0] ?? '' })).body, first.body)
  const before = (await replica.api('breakers')).find(({ service }) => service === 'learned')
  assert.equal([before?.state, before?.expression], ['closed', 'ResponseCodeRatio(500, 600, 0, 600) > 0.5'])
  tasks.answer = (_, __, response) => void response.writeHead(500).end()
  await until('the breaker opens', async () => (await ask(replica.web, 'learned.test')).status === 503, 60_000)
  await end(replica)
})

test.run()
