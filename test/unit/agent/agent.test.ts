// The agent over real TLS: authentication, responses, and limits for unauthenticated clients.

import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type RunningAgent, startAgent } from '../../../src/agent/agent.ts'
import { createDockerClient } from '../../../src/providers/docker-api/client.ts'
import type { DockerEvent } from '../../../src/providers/docker-api/schemas.ts'
import { agentKey, connectChannel } from '../../../src/util/agent-channel.ts'
import { makeIdentity } from '../providers/swarm/certificates.ts'
import { sendJson } from '../providers/swarm/fake-docker.ts'
import { rawService, rawTask } from '../providers/swarm/objects.ts'

const SECRET = 'a secret of the cluster'
const OLD_SECRET = 'the secret that it had before'
const directory = mkdtempSync(join(tmpdir(), 'skein-'))
const socketPath = join(directory, 'docker.sock')
const lines: string[] = []
const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
const requests: string[] = []
let events: ServerResponse[] = []
let docker: Server
let agent: RunningAgent
let delayMs = 0

test.before(async () => {
  docker = createServer((incoming: IncomingMessage, response: ServerResponse) => {
    requests.push(`${incoming.method} ${incoming.url}`)
    const path = (incoming.url ?? '').split('?')[0]
    if (path === '/events') {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.flushHeaders()
      events.push(response)
    } else if (path === '/services') setTimeout(() => sendJson(response, 200, [rawService('s1', 'web')]), delayMs)
    else if (path === '/tasks') sendJson(response, 200, [rawTask('t1', 's1')])
    else if (path === '/info')
      sendJson(response, 200, { Name: 'n1', Swarm: { NodeID: 'idA', Cluster: { JoinTokens: { Worker: 'hunter2' } } } })
    else if (path === '/networks') sendJson(response, 503, { message: 'This node is not a swarm manager.' })
    else if (path === '/_ping') response.end('OK')
    else sendJson(response, 500, { message: 'rpc error: code = Unavailable' })
  })
  await new Promise<void>(resolve => docker.listen(socketPath, resolve))
  const listen = { host: '127.0.0.1', port: 0 }
  agent = await startAgent(
    { listen, docker: `unix://${socketPath}`, secrets: [SECRET, OLD_SECRET], log: { level: 'info', format: 'json' } },
    log,
  )
})

test.after(async () => {
  await agent.stop()
  await new Promise(resolve => {
    docker.close(resolve)
    docker.closeAllConnections()
  })
  rmSync(directory, { recursive: true })
})

const clientOf = (secret: string) =>
  createDockerClient({
    endpoint: { scheme: 'agent', host: '127.0.0.1', port: agent.port },
    serverName: null,
    tls: null,
    agentKey: agentKey(secret),
    callTimeoutMs: 20_000,
    answerBytes: 1024 * 1024,
  })

/** One request over a new channel; resolves with status and body. */
function ask(
  method: string,
  path: string,
  body: string | null = null,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const http = new Agent()
    http.createConnection = () => connectChannel(agentKey(SECRET), { host: '127.0.0.1', port: agent.port })
    const sent = request({ agent: http, method, path, headers }, response => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    sent.on('error', reject)
    sent.end(body ?? undefined)
  })
}

const closed = (socket: Socket): Promise<void> =>
  new Promise(resolve => {
    socket.on('error', () => undefined)
    socket.on('close', () => resolve())
    socket.resume()
  })

test('a replica with the secret reads the allowed fields, and nothing else', async () => {
  const client = clientOf(SECRET)
  const [info, services, tasks] = await Promise.all([
    client.info(),
    client.services(),
    client.tasks({ 'desired-state': ['running'] }),
  ])
  assert.ok(info.ok && info.value.Swarm.NodeID === 'idA')
  assert.ok(services.ok && services.value.items[0]?.Spec.Name === 'web')
  assert.ok(tasks.ok && tasks.value.items[0]?.ID === 't1')
  assert.not.match(JSON.stringify([info, services, tasks]), /hunter2/)
  client.close()
  assert.is((await ask('GET', '/_ping')).body, 'OK')
})

test('responses of a worker node and of a swarm without a leader are classified through the agent', async () => {
  const client = clientOf(SECRET)
  const worker = await client.networks()
  assert.ok(!worker.ok && worker.error.kind === 'not-manager')
  const election = await client.nodes('manager')
  assert.ok(!election.ok && election.error.kind === 'no-leader')
  client.close()
})

test('a client with a wrong secret is refused, and logged once', async () => {
  lines.length = 0
  const client = clientOf('another secret')
  for (let attempt = 0; attempt < 3; attempt++) {
    const result = await client.info()
    assert.ok(!result.ok && result.error.kind === 'denied', JSON.stringify(result))
    if (!result.ok) assert.match(result.error.message, /another cluster secret/)
  }
  client.close()
  const refusals = lines.filter(line => line.includes('refused a client'))
  assert.is(refusals.length, 1)
  assert.match(refusals[0] ?? '', /"address":"127\.0\.0\.1".*does not hold the same secret/)
  assert.not.match(lines.join(''), /a secret of the cluster|another secret/)
})

test('a TLS client without a key is refused, with TLS 1.2 and 1.3', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = tlsConnect({
      host: '127.0.0.1',
      port: agent.port,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
    })
    let open = false
    socket.on('secureConnect', () => {
      open = true
    })
    await closed(socket)
    assert.not.ok(open)
  }
})

test('the replica refuses a server that has a certificate instead of the secret', async () => {
  const impostor = makeIdentity('localhost')
  const server = createTlsServer({ cert: impostor.cert, key: impostor.key }, socket =>
    socket.on('error', () => undefined).resume(),
  )
  server.on('tlsClientError', () => undefined)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const socket = connectChannel(agentKey(SECRET), { host: '127.0.0.1', port })
  let open = false
  socket.on('secureConnect', () => {
    open = true
  })
  await closed(socket)
  assert.not.ok(open)
  await new Promise<void>(resolve => server.close(() => resolve()))
})

test('writes, other paths and bodies get 403 and a reason, and never reach Docker', async () => {
  requests.length = 0
  lines.length = 0
  for (const [method, path] of [
    ['POST', '/services/create'],
    ['DELETE', '/services'],
    ['GET', '/secrets'],
    ['GET', '/swarm'],
    ['GET', '/containers/abc/json'],
    ['OPTIONS', '/info'],
  ] as const) {
    const answer = await ask(method, path)
    assert.is(answer.status, 403, `${method} ${path}`)
    assert.type(JSON.parse(answer.body).message, 'string')
  }
  assert.is((await ask('GET', '/info', 'x'.repeat(10), { 'content-length': '10' })).status, 403)
  assert.equal(requests, [])
  assert.is(lines.filter(line => line.includes('refused')).length, 1)
})

test('concurrent requests share one read that begins after them', async () => {
  requests.length = 0
  delayMs = 500
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask('GET', '/services')))
  delayMs = 0
  assert.ok(answers.every(answer => answer.status === 200))
  assert.ok(requests.length <= 4, `${requests.length} reads`)
})

test('events of the swarm are forwarded, filtered; stopping the agent ends the stream', async () => {
  events = []
  const client = clientOf(SECRET)
  const seen: DockerEvent[] = []
  let opened: () => void = () => undefined
  let arrived: () => void = () => undefined
  const isOpen = new Promise<void>(resolve => {
    opened = resolve
  })
  const hasArrived = new Promise<void>(resolve => {
    arrived = resolve
  })
  const ended = new Promise<string>(resolve => {
    client.events({
      opened: () => opened(),
      event: event => {
        seen.push(event)
        arrived()
      },
      ended: resolve,
    })
  })
  await isOpen
  const secret = { Type: 'secret', Action: 'create', Actor: { ID: 'x', Attributes: { name: 'hunter2' } }, scope: 'swarm' }
  const service = {
    Type: 'service',
    Action: 'update',
    Actor: { ID: 's1', Attributes: { name: 'web', image: 'hunter2' } },
    scope: 'swarm',
  }
  events[0]?.write(`${JSON.stringify(secret)}\n${JSON.stringify(service)}\n`)
  await hasArrived
  assert.equal(
    seen.map(event => [event.Type, event.Actor.Attributes]),
    [['service', { name: 'web' }]],
  )
  events[0]?.end()
  assert.match(await ended, /ended|closed/)
  client.close()
})

test('an event stream has two heartbeats a second, without requests to Docker', async () => {
  events = []
  const before = requests.length
  const http = new Agent()
  http.createConnection = () => connectChannel(agentKey(SECRET), { host: '127.0.0.1', port: agent.port })
  const beats: number[] = []
  const start = performance.now()
  const sent = request({ agent: http, path: '/events' }, response => {
    response.on('data', (chunk: Buffer) => {
      assert.is(chunk.toString(), '\n')
      beats.push(performance.now() - start)
    })
    response.on('error', () => undefined)
  })
  sent.on('error', () => undefined)
  sent.end()
  for (const end = start + 30_000; beats.length < 3 && performance.now() < end; )
    await new Promise(resolve => setTimeout(resolve, 20))
  sent.destroy()
  assert.is(beats.length, 3, beats.join())
  // The first is sent at once.
  assert.ok(beats[2]! >= 900, beats.join())
  assert.equal(
    requests.slice(before).map(line => line.split('?')[0]),
    ['GET /events'],
  )
})

test('while the secret is being changed, the old one is accepted too', async () => {
  const client = clientOf(OLD_SECRET)
  assert.ok((await client.info()).ok)
  client.close()
})

test('plain TCP garbage is refused, and the agent keeps serving', async () => {
  for (const garbage of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\0'.repeat(5000), '\x16\x03\x01\xff\xff']) {
    const socket = connect(agent.port, '127.0.0.1')
    socket.write(garbage, 'latin1')
    if (garbage.startsWith('\x16')) socket.end()
    await closed(socket)
  }
  assert.is((await ask('GET', '/_ping')).status, 200)
})

test('a client that sends its request slowly, or none, does not block others', async () => {
  const slow = connectChannel(agentKey(SECRET), { host: '127.0.0.1', port: agent.port })
  slow.on('error', () => undefined)
  slow.write('GET /in')
  const silent = connect(agent.port, '127.0.0.1')
  silent.on('error', () => undefined)
  assert.is((await ask('GET', '/_ping')).status, 200)
  slow.destroy()
  silent.destroy()
})

test('endless headers are refused', async () => {
  const socket = connectChannel(agentKey(SECRET), { host: '127.0.0.1', port: agent.port })
  socket.write(`GET /info HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(64 * 1024)}`)
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  await closed(socket)
  assert.ok(text === '' || / 431 /.test(text), text)
})

test('a port that is taken is an error', async () => {
  const options = {
    listen: { host: '127.0.0.1', port: agent.port },
    docker: `unix://${socketPath}`,
    secrets: [SECRET],
    log: { level: 'info', format: 'json' },
  } as const
  let message = ''
  await startAgent(options, log).catch((error: Error) => {
    message = error.message
  })
  assert.match(message, /^agent: cannot listen on 127\.0\.0\.1:\d+: the port is taken$/)
})

test.run()
