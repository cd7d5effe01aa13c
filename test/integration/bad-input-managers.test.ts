// Managers with malformed answers, tested on a running replica: traffic continues with the known configuration, the log and the
// admin API describe the problem, and changes are followed as soon as the manager is healthy again.

import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeIdentity } from '../unit/providers/swarm/certificates.ts'
import { until } from '../until.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, type Hook, ScriptedManager, send } from './scripted-manager.ts'
import { endAll, ownDirectory, Replica } from './skein-process.ts'

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const app = { name: 'app', labels: { 'traefik.port': String(backend.port) } }
const named = (name: string) => ({ name, labels: { 'traefik.port': String(backend.port) } })

const last: (() => void)[] = []

test.after(() => {
  for (const close of last) close()
  endAll()
  closeManagers()
  backend.stop()
})

/** Events are not affected; their stream has a test of its own. */
const lists =
  (answer: Hook): Hook =>
  (path, request, response) =>
    path !== '/events' && answer(path, request, response)

const html =
  (status: number, text: string): Hook =>
  (_path, _request, response) => {
    response.writeHead(status, { 'content-type': 'text/html' }).end(text)
    return true
  }

const json = (text: string): Hook =>
  lists((_path, _request, response) => {
    send(response, 200, text)
    return true
  })

/** 200 MB, with or without a Content-Length. */
const flood = (announced: boolean): Hook =>
  lists((_path, _request, response) => {
    const chunk = Buffer.alloc(1024 * 1024, ' ')
    response.writeHead(200, {
      'content-type': 'application/json',
      ...(announced ? { 'content-length': 200 * chunk.length } : {}),
    })
    let sent = 0
    const more = (): void => {
      while (!response.destroyed && sent++ < 200) if (!response.write(chunk)) return void response.once('drain', more)
      response.end()
    }
    more()
    return true
  })

/** On a busy machine the time limit is reached before the size limit. */
const TOO_MUCH = /the answer is larger than \d+ bytes|no (?:complete )?answer within \d+ ms/

const BAD: readonly (readonly [what: string, hook: Hook, reason: RegExp])[] = [
  ['HTML', html(200, '<h1>Welcome</h1>'), /\/\w+: expected JSON from the Docker API, got "text\/html"/],
  ['a web server’s 404', html(404, '<h1>404 Not Found</h1>'), /HTTP 404: "<h1>404 Not Found<\/h1>", expected the Docker API/],
  ['a web server’s 502 with controls in it', html(502, 'a\n\u001b[2Jb'), /HTTP 502: "a \\u001b\[2Jb"/],
  ['half a JSON', json('[{"ID":"abc","Version":{"Index":1},"Spec'), /expected JSON from the Docker API, got "\[\{\\"ID/],
  [
    'half a JSON and a broken connection',
    lists((_path, _request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 }).write('[{"ID"')
      setTimeout(() => response.destroy(), 20)
      return true
    }),
    /the connection was lost during the answer/,
  ],
  ['another JSON', json('{"hello":"world"}'), /\/\w+: expected a list of Docker's objects/],
  ['a list of anything', json('[null,1,"x",{},[]]'), /\/\w+: expected a list of Docker's objects/],
  ['empty lists', json('[]'), /\/nodes: expected at least one manager/],
  ['200 MB, announced', flood(true), TOO_MUCH],
  ['200 MB, not announced', flood(false), TOO_MUCH],
  [
    'a connection that closes',
    (_path, request) => {
      request.socket.destroy()
      return true
    },
    /the connection was closed before the answer/,
  ],
  ['nothing at all', () => true, /no (?:complete )?answer within \d+ ms/],
]

test('malformed answers of a manager: requests are served, changes follow afterwards', async () => {
  const manager = await ScriptedManager.start(app)
  const replica = await Replica.start([
    '--manager',
    manager.endpoint,
    '--domain',
    'test',
    '--poll-rest',
    '250ms',
    '--manager-timeout',
    '1s',
  ])
  await replica.answers('app.test', 200)
  let rounds = 0
  for (const [what, hook, reason] of BAD) {
    const told = replica.lines.length
    manager.hook = hook
    const warned = () => replica.lines.slice(told).find(line => line.level === 'warn' && line.manager === manager.endpoint)
    await until(`${what} is told`, () => warned() !== undefined)
    assert.match(String(warned()?.reason), reason, `${what}: ${warned()?.reason}`)
    const [swarm] = await replica.api('managers')
    assert.match(swarm?.lastError ?? '', reason, what)
    assert.is.not(swarm?.managers[0]?.state, 'healthy', what)
    for (let i = 0; i < 5; i++) assert.is((await replica.get('app.test')).status, 200, what)
    manager.hook = () => false
    manager.set(app, named(`round${++rounds}`))
    await replica.answers(`round${rounds}.test`, 200)
  }
  assert.is((await replica.stop()).code, 0)
})

test('a replica without any answer refuses connections, logs why, and stops on SIGTERM', async () => {
  const manager = await ScriptedManager.start(app)
  manager.hook = html(200, '<h1>Welcome</h1>')
  const replica = await Replica.start(['--manager', manager.endpoint])
  await replica.says(/no manager has answered yet and there is no usable configuration on disk/)
  assert.is((await replica.get('app.test')).status, 0)
  const health = await replica.api('health')
  assert.equal([health.status, health.synced], ['starting', false])
  assert.is((await replica.stop()).code, 0)
})

test('a Docker API that lists services but not nodes is accepted', async () => {
  const manager = await ScriptedManager.start(app)
  manager.nodes = []
  const replica = await Replica.start(['--manager', manager.endpoint, '--domain', 'test', '--poll-rest', '250ms'])
  await replica.answers('app.test', 200)
  const [swarm] = await replica.api('managers')
  assert.is(swarm?.managers[0]?.state, 'healthy')
  assert.is((await replica.stop()).code, 0)
})

test('one malformed object is ignored and logged once, the others are served', async () => {
  const manager = await ScriptedManager.start(app)
  manager.services = [...manager.services, { ID: 'odd', Version: 'new' }, { Spec: 7 }]
  manager.tasks = [...manager.tasks, { ID: 'odder' }, []]
  const replica = await Replica.start([
    '--manager',
    manager.endpoint,
    '--domain',
    'test',
    '--poll-rest',
    '100ms',
    '--poll-busy',
    '100ms',
  ])
  assert.is(await replica.answers('app.test', 200), 'hello')
  const line = await replica.logs(/ignoring malformed objects of the swarm/)
  assert.match(JSON.stringify(line.problems), /services: odd: Version/)
  assert.match(JSON.stringify(line.problems), /tasks: odder: /)
  await new Promise(resolve => setTimeout(resolve, 500))
  assert.is(replica.lines.filter(({ msg }) => /ignoring malformed objects/.test(msg)).length, 1)
  await replica.stop()
})

test('a malformed event stream is ignored; a burst of events causes few reads', async () => {
  const manager = await ScriptedManager.start(app)
  const replica = await Replica.start(['--manager', manager.endpoint, '--domain', 'test'])
  await replica.answers('app.test', 200)
  const rubbish = [
    'x'.repeat(300_000),
    '\n\n\n{"Type":',
    'null\n[]\n7\n{"Type":"service","scope":"swarm","Actor":{"ID":{}}}\n',
    '\u0000\u001b[2J\n',
  ]
  for (let i = 0; i < 40; i++) manager.emit(rubbish[i % rubbish.length] ?? '')
  manager.emit('\n')
  const before = manager.asked.get('/services') ?? 0
  const started = performance.now()
  while (performance.now() - started < 2000) {
    manager.emit({ Type: 'service', Action: 'update', Actor: { ID: `s${Math.random()}`, Attributes: {} }, scope: 'swarm' })
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  const reads = (manager.asked.get('/services') ?? 0) - before
  assert.ok(reads > 0 && reads <= 40, `${reads} reads in 2 s`)
  manager.set(app, named('late'))
  await replica.answers('late.test', 200)
  await replica.stop()
})

test('TLS failures are described in the log', async () => {
  const [authority, stranger] = [makeIdentity('authority'), makeIdentity('stranger')]
  const identity = makeIdentity('manager', authority)
  const directory = ownDirectory()
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const server = createServer(
    { cert: identity.cert, key: identity.key, ca: authority.cert, requestCert: true },
    (_request, response) => response.end('[]'),
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  last.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const told = async (reason: RegExp, ...args: string[]): Promise<void> => {
    const replica = await Replica.start(args)
    await until(`${reason} is told`, () => replica.lines.some(line => reason.test(String(line.reason))))
    await replica.stop()
  }
  const plain = await ScriptedManager.start(app)
  const [ca, other] = [file('ca.pem', authority.cert), file('other.pem', stranger.cert)]
  const here = `tcp://127.0.0.1:${port}`
  await told(/its certificate is not from the authority of --manager-tls-ca/, '--manager', here, '--manager-tls-ca', other)
  await told(
    /its certificate is for another name \("Host: localhost/,
    '--manager',
    `tcp://localhost:${port}`,
    '--manager-tls-ca',
    ca,
  )
  await told(/it does not speak TLS/, '--manager', plain.endpoint, '--manager-tls-ca', ca)
})

test.run()
