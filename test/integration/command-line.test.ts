import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get, type Server } from 'node:http'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { memoryStore } from '../../cluster/store/memory.ts'
import { startAdminApi } from '../../src/admin/admin-api.ts'
import type { AdminSource, HealthReport, StateReport } from '../../src/admin/admin-source.ts'
import { COMMANDS } from '../../src/options/spec.ts'
import { createLog } from '../../src/util/log.ts'

const STATE: StateReport = {
  store: memoryStore('a').status(),
  consistency: 'fast',
  sessions: {},
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'skein-command-line-'))
const children = new Set<ChildProcess>()

test.after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})

interface Ended {
  code: number | null
  out: string
  err: string
}

interface Running {
  child: ChildProcess
  ended: Promise<Ended>
  /** Resolves when the standard output contains this. */
  waitForOutput(text: string | RegExp): Promise<void>
}

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  return launch([MAIN, ...args], env)
}

function launch(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SKEIN_')))
  const child = spawn(process.execPath, args, { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  const said = { out: '', err: '' }
  const waiting = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said.out += chunk
    for (const look of waiting) look()
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said.err += chunk
  })
  const ended = new Promise<Ended>(resolve => {
    child.once('close', code => {
      children.delete(child)
      resolve({ code, ...said })
    })
  })
  const waitForOutput = (text: string | RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (said.out.search(text) < 0) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
      void ended.then(end => reject(new Error(`ended before it said ${text}: ${JSON.stringify(end)}`)))
    })
  return { child, ended, waitForOutput }
}

const skein = (args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended> => start(args, env).ended

function file(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createNetServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

/** A manager of an empty swarm. */
function emptyManager(): Promise<Server> {
  const answers: Readonly<Record<string, unknown>> = {
    '/_ping': 'OK',
    '/version': { ApiVersion: '1.41', Version: '20.10.24' },
    '/info': { Swarm: { ControlAvailable: true, NodeID: 'n1', LocalNodeState: 'active' } },
    '/nodes': [
      {
        ID: 'n1',
        Version: { Index: 1 },
        Spec: { Role: 'manager' },
        Description: { Hostname: 'n1' },
        Status: { State: 'ready' },
        ManagerStatus: { Leader: true },
      },
    ],
  }
  return new Promise(resolve => {
    const server = createServer((request, response) => {
      const path = (request.url ?? '').replace(/^\/v[\d.]+/, '').split('?')[0] as string
      response.setHeader('Content-Type', 'application/json')
      if (path === '/events') response.write('')
      else response.end(JSON.stringify(answers[path] ?? []))
    }).listen(0, '127.0.0.1', () => resolve(server))
  })
}

test('help for Skein and for each command', async () => {
  const general = await skein(['--help'])
  assert.is(general.code, 0)
  for (const command of COMMANDS) {
    assert.match(general.out, new RegExp(`^  ${command} `, 'm'))
    const own = await skein([command, '--help'])
    assert.is(own.code, 0)
    assert.match(own.out, `Usage: skein ${command}`)
    assert.is(own.err, '')
  }
})

test('an unknown command is an error that names the most similar one', async () => {
  const { code, out, err } = await skein(['chekc'])
  assert.is(code, 2)
  assert.is(out, '')
  assert.is(err, 'skein: "chekc" is not a command, did you mean check?\n')
})

test('the version is the one in package.json', async () => {
  assert.match((await skein(['version'])).out, /^skein \d+\.\d+\.\d+ \(Node v\d+/)
  assert.match(JSON.parse((await skein(['version', '--json'])).out).skein, /^\d+\.\d+\.\d+$/)
})

const missing = join(directory, 'missing')
for (const [args, env, line] of [
  [['run'], {}, /^skein run: --manager is missing, expected at least one Swarm manager/],
  [['run', '--workers', 'many'], {}, /^skein run: --workers is "many", expected a whole number/],
  [['run', '--secret-file', missing], {}, /^skein run: --secret-file is ".*missing" and there is no such file/],
  [['run', '--services-file', missing], {}, /^skein run: --services-file is ".*missing" and there is no such file/],
  [['agent'], { SKEIN_LISTEN: 'x' }, /^skein agent: SKEIN_LISTEN is "x", expected HOST:PORT/],
  [['agent'], {}, /^skein agent: --secret-file is missing/],
  [['check', '--manager-tls-ca', missing], {}, /^skein check: --manager-tls-ca is ".*missing" and there is no such file/],
  [['check', '--stack', missing], {}, /^skein check: --stack is ".*missing" and cannot be read/],
  [['demo', '--manager', 'tcp://a'], {}, /^skein demo: --manager is not an option of skein demo/],
] as const) {
  test(`skein ${args.slice(0, 2).join(' ')} reports its error in one line`, async () => {
    const { code, err } = await skein(args, env)
    assert.is(code, 2, err)
    assert.match(err, line)
    assert.is(err.trimEnd().split('\n').length, 1, err)
  })
}

test('check --stack accepts valid labels and names invalid ones', async () => {
  const stack = (labels: string): string => `services:\n  web:\n    image: a\n    deploy:\n      labels: ${labels}\n`
  const right = await skein(['check', '--domain', 'x.test', '--stack', file('right.yml', stack('{traefik.port: "80"}'))])
  assert.is(right.code, 0, right.out + right.err)
  const wrong = await skein(['check', '--domain', 'x.test', '--stack', file('wrong.yml', stack('{traefik.port: eighty}'))])
  assert.is(wrong.code, 1, wrong.out + wrong.err)
  assert.match(wrong.out, /error: web: traefik\.port is "eighty"/)
})

test('check --stack prints the routers, without services that have no traefik label', async () => {
  const stack = file(
    'open.yml',
    `services:
  db: { image: db, ports: ["5432:5432"] }
  web: { image: a, deploy: { labels: { traefik.port: "80", traefik.frontend.rule: "Host:web.test" } } }
  api: { image: a, ports: ["8080"], deploy: { labels: { traefik.enable: "true" } } }
`,
  )
  const { code, out, err } = await skein(['check', '--domain', 'x.test', '--stack', stack])
  assert.is(code, 0, out + err)
  const lines = out.split('\n').map(line => line.trim().split(/ {2,}/))
  const head = lines.findIndex(([first]) => first === 'SERVICE')
  assert.equal(lines.slice(head, head + 3), [
    ['SERVICE', 'ROUTER', 'RULE', 'ENTRY POINTS', 'PORT'],
    ['api', 'STACK_api', 'Host:STACK-api.x.test', 'all', '8080'],
    ['web', 'STACK_web', 'Host:web.test', 'all', '80'],
  ])
  assert.not.match(out, /\bdb\b|5432/)
  const none = await skein(['check', '--stack', file('none.yml', 'services:\n  db: { image: db, ports: ["5432"] }\n')])
  assert.match(none.out, /^Nothing in .*none\.yml will be open\.$/m)
})

test('check reads services files: errors are named with their place', async () => {
  const frontend = (backend: string): string =>
    [
      '[backends.b.servers.s]\nurl = "http://10.0.0.1:80"',
      `[frontends.f]\nbackend = "${backend}"\n[frontends.f.routes.r]\nrule = "Host:a.test"\n`,
    ].join('\n')
  const right = file('right.toml', frontend('b'))
  const well = await skein(['check', '--services-file', right])
  assert.is(well.code, 0, well.out + well.err)
  assert.match(well.out, /The services files are valid\.\n$/)
  const wrong = await skein(['check', '--services-file', file('wrong.toml', frontend('c')), '--services-file', right])
  assert.is(wrong.code, 1, wrong.out + wrong.err)
  assert.match(wrong.out, /error: .*wrong\.toml: frontends\.f\.backend is "c", expected a backend/)
  const broken = await skein(['check', '--services-file', file('broken.yml', 'backends: [\nfrontends: }\n')])
  assert.is(broken.code, 1, broken.out + broken.err)
  assert.match(
    broken.out,
    /error: .*broken\.yml, expected YAML at line 2, column \d+ \(.*\); only its content from before the start is served\n/,
  )
  const stack = file('beside.yml', 'services:\n  web:\n    image: a\n    deploy:\n      labels: {traefik.port: eighty}\n')
  const both = await skein(['check', '--domain', 'x.test', '--services-file', right, '--stack', stack])
  assert.is(both.code, 1, both.out + both.err)
  assert.match(both.out, /The services files are valid\.\n[\s\S]*traefik\.port is "eighty"/)
})

test('routes and health query a replica', async () => {
  const health = (status: HealthReport['status']): HealthReport => ({
    status,
    name: 'edge-1',
    role: null,
    version: '0',
    uptimeMs: 0,
    revision: null,
    hash: null,
    workers: { wanted: 1, ready: 1 },
    synced: true,
    counts: { routers: 0, services: 0, servers: 0, errors: 0 },
  })
  let status: HealthReport['status'] = 'serving'
  const router = {
    name: 'r',
    entryPoints: [],
    rule: 'Host:a.test\u001b[31m',
    matcher: { kind: 'host', hosts: ['a.test'] },
    priority: 11,
    service: 's',
    middlewares: [],
    passHostHeader: true,
    provider: 'swarm',
    source: 'web',
  } as const
  const server = { id: 't', scheme: 'http', host: '10.0.0.1', port: 80, weight: 1, node: 'n1' } as const
  const service = {
    name: 's',
    balancer: 'wrr',
    sticky: null,
    learn: null,
    breaker: null,
    outliers: { errors: 0 },
    healthCheck: null,
    maxConn: null,
    timeouts: { responseHeaderMs: null, stallMs: null },
    provider: 'swarm',
    source: 'web',
  } as const
  const source: AdminSource = {
    health: () => health(status),
    cluster: () => null,
    managers: () => [],
    breakers: () => [],
    state: () => STATE,
    snapshot: () => ({
      revision: { term: 0, leader: '', sequence: 7 },
      hash: 'x',
      routers: { r: router },
      services: {
        s: {
          ...service,
          servers: [
            { ...server, state: 'active' },
            { ...server, state: 'ejected' },
          ],
        },
      },
      middlewares: {},
      errors: [
        { severity: 'error', provider: 'swarm', source: 'db', key: 'traefik.port', value: 'eighty', message: 'expected a port' },
      ],
    }),
  }
  const api = await startAdminApi({ host: '127.0.0.1', port: 0 }, source, createLog({ level: 'silent', format: 'json' }))
  const env = { SKEIN_ADMIN: `127.0.0.1:${api.port}` }
  const table = await skein(['routes'], env)
  assert.is(table.code, 0)
  assert.match(
    table.out,
    /^RULE +PRIORITY +ENTRY POINTS +SERVICE +SERVERS\nHost:a\.test\?\[31m +11 +all +s +1\/2\n\n1 router, revision 0\.7\nerror: db: traefik\.port/,
  )
  assert.is(JSON.parse((await skein(['routes', '--json'], env)).out).routers.r.priority, 11)
  const well = await skein(['health'], env)
  assert.equal([well.code, well.out], [0, 'serving\n'])
  assert.equal(JSON.parse((await skein(['health', '--json'], env)).out), { health: health('serving'), providers: [] })
  status = 'draining'
  const leaving = await skein(['health'], env)
  assert.equal([leaving.code, leaving.out], [1, 'draining\n'])
  await api.stop()
  const gone = await skein(['health'], env)
  assert.is(gone.code, 1)
  assert.match(gone.err, /refuses connections: does a replica run there\?/)
})

test('run serves, logs disabled features but no secret, refuses a taken port, exits with 0', async () => {
  const manager = await emptyManager()
  const [web, admin] = [await freePort(), await freePort()]
  const common = [
    '--manager',
    `tcp://127.0.0.1:${(manager.address() as AddressInfo).port}`,
    '--workers',
    '1',
    '--log-level',
    'trace',
  ]
  const args = ['run', ...common, '--entry-point', `web=127.0.0.1:${web}`, '--admin', `127.0.0.1:${admin}`]
  const replica = start(args, { SKEIN_SECRET: 'correct horse battery' })
  await replica.waitForOutput(/entry point web listens/)
  assert.is((await skein(['health', '--admin', `127.0.0.1:${admin}`])).code, 0)
  const answered = await new Promise<number | undefined>((resolve, reject) => {
    get({ host: '127.0.0.1', port: web, agent: false }, response => resolve(response.resume().statusCode)).on('error', reject)
  })
  assert.is(answered, 404)

  const second = await skein(['run', ...common, '--entry-point', `web=127.0.0.1:${web}`, '--admin', 'off'])
  assert.is(second.code, 1)
  assert.match(second.out, /cannot listen on 127\.0\.0\.1:\d+: the port is taken/)

  replica.child.kill('SIGTERM')
  const { code, out, err } = await replica.ended
  manager.closeAllConnections()
  manager.close()
  assert.is(code, 0, err)
  assert.match(out, /off: cluster .*; data dir/)
  assert.match(out, /"msg":"stopped"/)
  assert.not.match(out + err, /correct horse/)
})

test('a second signal ends a process that does not stop', async () => {
  const module = new URL('../../src/cli/start.ts', import.meta.url).href
  const code = `
    const { runUntilSignal } = await import(${JSON.stringify(module)})
    setInterval(() => {}, 1e6)
    const never = () => new Promise(() => {})
    const ready = runUntilSignal(Promise.resolve(never), signal => console.log('got ' + signal))
    console.log('ready')
    await ready`
  const held = launch(['--input-type=module', '-e', code])
  await held.waitForOutput('ready')
  held.child.kill('SIGINT')
  await held.waitForOutput('got SIGINT')
  held.child.kill('SIGTERM')
  assert.is((await held.ended).code, 143)
})

test.run()
