// Other applications at the addresses of managers and cluster peers, as when a DNS name is shared. Each is named in log and
// status as what it is, and a real agent or member among them is found.

import { writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createDockerClient } from '../../src/providers/docker-api/client.ts'
import { createManagerPool, type ManagerPool } from '../../src/providers/swarm/managers.ts'
import { agentKey, serverChannelOptions } from '../../src/util/agent-channel.ts'
import { freePort } from '../free-port.ts'
import { makeIdentity } from '../unit/providers/swarm/certificates.ts'
import { until } from '../until.ts'
import { endAll as endNetworks, openNetwork } from './cluster-harness.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, ownDirectory, Replica, Skein } from './skein-process.ts'

const SECRET = 'the right secret of this cluster'
const OTHER = 'the secret of somebody else, alas'
const directory = ownDirectory()
const secretFile = join(directory, 'secret')
writeFileSync(secretFile, SECRET)
const socket = join(directory, 'docker.sock')
const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const docker = await ScriptedManager.start({
  name: 'app',
  labels: { 'traefik.port': String(backend.port), 'traefik.frontend.rule': 'Host:app.test' },
})
await docker.listenOn(socket)
const port = await freePort()

const open = new Set<Socket>()
const servers: Server[] = []

/** Accepts connections and passes them to `respond`. */
const raw = (act: (connection: Socket) => void): Server => createServer(act)

async function serve(server: Server, host: string): Promise<void> {
  server.on('tlsClientError', () => undefined)
  server.on('connection', (connection: Socket) => {
    open.add(connection)
    connection.on('error', () => undefined).on('close', () => open.delete(connection))
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  servers.push(server)
}

const identity = makeIdentity('app')
const FALSE: readonly (readonly [host: string, server: Server, reason: RegExp])[] = [
  [
    '127.0.3.1',
    createHttpServer((_request, response) => response.writeHead(404, { Server: 'appd/1\u00e9' }).end('no')),
    /^it answers in plain HTTP \(HTTP\/1\.1 404, Server: "appd\/1\\xe9"\): it is no Skein agent; /,
  ],
  ['127.0.3.2', raw(() => undefined), /^it accepts the connection and sends nothing for 2 s, not even a TLS handshake: /],
  ['127.0.3.3', raw(connection => connection.destroy()), /^it accepts the connection and closes it: it is no Skein agent/],
  [
    '127.0.3.4',
    createTlsServer({ cert: identity.cert, key: identity.key }, connection => connection.on('error', () => undefined)),
    /^it is a TLS server but no Skein agent \(it shows a certificate\); /,
  ],
  [
    '127.0.3.5',
    createTlsServer({ cert: identity.cert, key: identity.key, maxVersion: 'TLSv1.2' }),
    /^it is a TLS server but no Skein agent \(its alert: protocol version\); /,
  ],
  ['127.0.3.6', createTlsServer(serverChannelOptions(agentKey(OTHER))), /^it is a Skein agent with another cluster secret$/],
  [
    '127.0.3.7',
    raw(connection => connection.write(`SSH-2.0-\u001b[2J"${'x'.repeat(5000)}`)),
    /^it sends bytes that are not TLS \("SSH-2\.0-\\x1b\[2J\\x22x{35}"\.\.\.\): it is no Skein agent; /,
  ],
]
for (const [host, server] of FALSE) await serve(server, host)

test.after(() => {
  for (const server of servers) server.close()
  for (const connection of open) connection.destroy()
  endAll()
  closeManagers()
  backend.stop()
})
test.after(endNetworks)

const agentAt = async (host: string): Promise<Skein> => {
  const args = ['agent', '--listen', `${host}:${port}`, '--docker', socket, '--log-format', 'json', '--secret-file', secretFile]
  const agent = new Skein(args)
  await agent.says(/the agent listens/)
  return agent
}

/** Reads repeatedly from the pool's current manager, as the provider does; returns a function that stops it. */
function readAfterFailedWrites(pool: ManagerPool): () => void {
  const timer = setInterval(() => {
    const current = pool.current()
    void current?.client.nodes('manager').then(result => {
      if (result.ok) pool.answered(current.key)
      else pool.failed(current.key, result.error)
    })
  }, 100)
  return () => clearInterval(timer)
}

test('one agent among other servers: the replica serves, and each other server is named', async () => {
  const agent = await agentAt('127.0.3.9')
  const hosts = [...FALSE.map(([host]) => host), '127.0.3.9']
  const managers = hosts.flatMap(host => ['--manager', `agent://${host}:${port}`])
  const replica = await Replica.start([...managers, '--secret-file', secretFile, '--manager-timeout', '2s'])
  assert.is(await replica.answers('app.test', 200), 'hello')
  for (const [host, , reason] of FALSE) {
    const key = `agent://${host}:${port}`
    const named = () => replica.lines.filter(line => line.manager === key && reason.test(String(line.reason)))
    await until(`${key} is named in the log`, () => named().length > 0)
    assert.is(named().length, 1, `${key}: once`)
    const [swarm] = await replica.api('managers')
    const status = swarm?.managers.find(({ endpoint }) => endpoint === key)
    assert.match(status?.lastError ?? '', reason)
  }
  assert.not.ok(agent.out.includes('refused a client'))
  const { code, out } = await replica.stop()
  assert.is(code, 0)
  assert.not.match(out, /\\u001b|\u001b|somebody else/)
  await agent.stop()
})

test('only other servers at first: each is named, and the replica serves once an agent starts', async () => {
  const later = '127.0.3.40'
  const server = raw(connection => connection.destroy())
  await serve(server, later)
  const hosts = [...FALSE.map(([host]) => host), later]
  const managers = hosts.flatMap(host => ['--manager', `agent://${host}:${port}`])
  const replica = await Replica.start([...managers, '--secret-file', secretFile, '--manager-timeout', '2s'])
  for (const [host, , reason] of [...FALSE, [later, server, /closes it: it is no Skein agent/] as const]) {
    const named = () =>
      replica.lines.some(line => String(line.manager).includes(`//${host}:`) && reason.test(String(line.reason)))
    await until(`${host} is named`, named)
  }
  await replica.says(/no manager answers/)
  await new Promise<unknown>(resolve => server.close(resolve))
  const agent = await agentAt(later)
  assert.is(await replica.answers('app.test', 200), 'hello')
  const [swarm] = await replica.api('managers')
  assert.is(swarm?.managers.find(({ current }) => current)?.endpoint, `agent://${later}:${port}`)
  assert.is((await replica.stop()).code, 0)
  await agent.stop()
})

test('a name with only other servers: each is named with it, and a later agent is used', async () => {
  let answer = FALSE.map(([host]) => host)
  const lines: Record<string, unknown>[] = []
  const pool = createManagerPool(
    {
      seeds: [{ scheme: 'agent', host: 'tasks.managers', port }],
      tls: null,
      agentKey: agentKey(SECRET),
      learn: true,
      callTimeoutMs: 2_000,
      answerBytes: 1024 * 1024,
      store: { load: async () => [], save: async () => undefined },
      lookup: async () => answer,
      log: pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }),
      members: () => null,
      changed: () => undefined,
      listening: () => false,
      reportHealth: () => undefined,
    },
    'replica-1',
  )
  await pool.start()
  const stop = readAfterFailedWrites(pool)
  try {
    for (const [host, , reason] of FALSE) {
      const named = () => lines.find(line => String(line.manager).includes(`//${host}:`) && reason.test(String(line.reason)))
      await until(`${host} is named`, () => named() !== undefined)
      assert.is(named()?.host, 'tasks.managers')
      const known = pool.status().find(({ endpoint }) => endpoint.includes(host))
      assert.match(String(known?.lastError), reason)
      if (!/another cluster secret/.test(String(named()?.reason)))
        assert.match(String(named()?.reason), /; perhaps another service has the DNS name tasks\.managers too/)
    }
    const agent = await agentAt('127.0.3.9')
    answer = [...answer, '127.0.3.9']
    const key = `agent://127.0.3.9:${port}`
    await until(key, () =>
      pool.status().some(({ endpoint, current, state }) => endpoint === key && current && state === 'healthy'),
    )
    await agent.stop()
  } finally {
    stop()
    await pool.stop()
  }
})

test('tcp:// endpoints that are not a Docker API are named as what they are', async () => {
  for (const [host, act, reason] of [
    [
      '127.0.3.31',
      (connection: Socket) => connection.end('HTTP/1.1 404 Not Found\r\nServer: nginx/1.27\r\nContent-Length: 2\r\n\r\nno'),
      /HTTP 404: "no", expected the Docker API; it is no Docker API \(Server: "nginx\/1\.27"\)$/,
    ],
    [
      '127.0.3.32',
      (connection: Socket) => connection.end('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n'),
      /HTTPS server\.": it expects TLS \(--manager-tls-ca\)$/,
    ],
    [
      '127.0.3.33',
      (connection: Socket) => connection.end(Buffer.from('15030100020246', 'hex')),
      /not HTTP \(HPE_INVALID_CONSTANT\): it expects TLS \(--manager-tls-ca\)$/,
    ],
    [
      '127.0.3.34',
      (connection: Socket) => connection.end(`-ERR\u001b${'x'.repeat(200)}\r\n`),
      /not HTTP \(HPE_INVALID_CONSTANT: it sends "-ERR\\x1bx{43}"\.\.\.\)$/,
    ],
  ] as const) {
    await serve(
      raw(connection => void connection.once('data', () => act(connection))),
      host,
    )
    const endpoint = { scheme: 'tcp', host, port } as const
    const limits = { callTimeoutMs: 2_000, answerBytes: 1024 }
    const client = createDockerClient({ endpoint, serverName: null, tls: null, agentKey: null, ...limits })
    const result = await client.nodes('manager')
    assert.match(result.ok ? 'ok' : result.error.message, reason)
    client.close()
  }
})

test('a server that changes its kind is named again', async () => {
  const host = '127.0.3.20'
  const lines: Record<string, unknown>[] = []
  let act = (connection: Socket): void => void connection.destroy()
  await serve(
    raw(connection => act(connection)),
    host,
  )
  const pool = createManagerPool(
    {
      seeds: [{ scheme: 'agent', host, port }],
      tls: null,
      agentKey: agentKey(SECRET),
      learn: false,
      callTimeoutMs: 2_000,
      answerBytes: 1024,
      store: { load: async () => [], save: async () => undefined },
      lookup: async () => [],
      log: pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }),
      members: () => null,
      changed: () => undefined,
      listening: () => false,
      reportHealth: () => undefined,
      timing: { tickMs: 50, probeMs: 50, probeRestMs: 50 },
    },
    'replica-1',
  )
  const told = (reason: RegExp) => lines.filter(line => reason.test(String(line.reason))).length
  await pool.start()
  const stop = readAfterFailedWrites(pool)
  try {
    await until('it closes', () => told(/closes it/) > 0)
    act = connection => void connection.write('+OK ready\r\n')
    await until('it sends bytes', () => told(/not TLS \("\+OK ready\\x0d\\x0a"\)/) > 0)
    assert.is(told(/closes it/), 1)
  } finally {
    stop()
    await pool.stop()
  }
})

test('peers that are not members are named with their DNS name', async () => {
  const network = await openNetwork()
  const member = await openNetwork()
  const at = (index: number): string => `${FALSE[index]?.[0]}:${port}`
  const names = new Map([0, 1, 2].map(index => [at(index), 'tasks.edge']))
  network.setTargets([at(0), at(1), at(2), member.address], names)
  await until('the member is found', () => network.connected.has(member.self))
  const escaped = (text: string): string => text.replaceAll('.', '\\.')
  for (const [index, words] of [
    [0, 'is not a member of this cluster: it answers in plain HTTP and is not a Skein member$'],
    [1, 'accepts the connection and sends nothing: it hangs, or is not a Skein member$'],
    [2, 'refused the handshake: it may hold another secret, or not be a Skein member'],
  ] as const) {
    const line = new RegExp(`^warn: the peer at ${escaped(at(index))} \\(an address of tasks\\.edge\\) ${words}`)
    await until(`${line}: ${network.log.lines.join('\n')}`, () => network.log.has(line))
    assert.is(network.log.lines.filter(each => line.test(each)).length, 1)
  }
})

test.run()
