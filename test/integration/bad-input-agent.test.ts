// `skein agent` and a replica as two processes, as in a swarm: unauthenticated clients, wrong secrets, writes, refused paths, and a
// missing Docker socket.

import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { agentKey, connectChannel } from '../../src/util/agent-channel.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll, ownDirectory, Replica, Skein } from './skein-process.ts'

const SECRET = 'the right secret of this cluster'
const directory = ownDirectory()
const file = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}
const right = file('right', `${SECRET}\n`)
const wrong = file('wrong', 'the secret of somebody else, alas')
const socket = join(directory, 'docker.sock')
const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const docker = await ScriptedManager.start({
  name: 'app',
  labels: { 'traefik.port': String(backend.port), 'traefik.frontend.rule': 'Host:app.test' },
})
await docker.listenOn(socket)
const port = await freePort()
const listen = ['--listen', `127.0.0.1:${port}`, '--log-format', 'json']
const agent = new Skein(['agent', ...listen, '--docker', socket], { SKEIN_SECRET_FILE: right })
const here = ['--manager', `agent://127.0.0.1:${port}`]

test.before(() => agent.says(/the agent listens/))
test.after(async () => {
  const { code, out, err } = await agent.stop()
  endAll()
  closeManagers()
  backend.stop()
  assert.is(code, 0, err)
  assert.not.match(out + err, new RegExp(SECRET))
})

/** The agent's answer to these bytes on a new channel, until the answer is complete or the channel ends. */
function exchange(text: string, secret = SECRET): Promise<string> {
  return new Promise(resolve => {
    const channel = connectChannel(agentKey(secret), { host: '127.0.0.1', port })
    let received = ''
    const end = (): void => {
      channel.destroy()
      resolve(received)
    }
    const timer = setTimeout(end, 30_000)
    channel.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
      if (/\r\n\r\n.*\n$/s.test(received)) end()
    })
    channel.on('error', error => {
      received += `error: ${error.message}`
    })
    channel.on('close', () => {
      clearTimeout(timer)
      resolve(received)
    })
    channel.on('secureConnect', () => channel.write(text))
  })
}

const line = (start: string, fields = ''): string => `${start} HTTP/1.1\r\nHost: docker\r\n${fields}\r\n`

test('a replica with the secret reads through the agent and serves', async () => {
  const replica = await Replica.start([...here, '--secret-file', right])
  assert.is(await replica.answers('app.test', 200), 'hello')
  const [swarm] = await replica.api('managers')
  assert.is(swarm?.managers.find(({ current }) => current)?.endpoint, `agent://127.0.0.1:${port}`)
  assert.is((await replica.stop()).code, 0)
})

test('another secret: replica and agent log it, and the replica serves nothing', async () => {
  const replica = await Replica.start([...here, '--secret-file', wrong])
  const logged = await replica.logs(/the manager cannot be used/)
  assert.is(logged.reason, 'it is a Skein agent with another cluster secret')
  await agent.says(/"reason":"it does not hold the same secret","msg":"refused a client"/)
  assert.is((await replica.get('app.test')).status, 0)
  const { out, err } = await replica.stop()
  assert.not.match(out + err, /somebody else/)
})

for (const [what, text, status, reason] of [
  ['a write', `${line('POST /services/create', 'Content-Length: 2\r\n')}{}`, 403, /this agent is read-only: POST is not allowed/],
  ['a removal', line('DELETE /services/app'), 403, /this agent is read-only: DELETE is not allowed/],
  ['secrets', line('GET /secrets'), 403, /this agent does not serve that path/],
  ['one container', line('GET /v1.41/containers/abc/json'), 403, /does not serve that path/],
  ['a way around the list', line('GET /nodes/../secrets'), 403, /does not serve that path/],
  ['an encoded way around it', line('GET /nodes%2f..%2fsecrets'), 403, /does not serve that path/],
  ['an absolute target', line('GET http://docker/secrets'), 403, /does not serve that path/],
  [
    'a query that is not on the list',
    line('GET /services?status=true'),
    403,
    /query parameter \\"status\\" is not allowed for \/services/,
  ],
  [
    'a filter that is not on the list',
    line('GET /tasks?filters={%22runtime%22:[%22x%22]}'),
    403,
    /filter \\"runtime\\" is not allowed/,
  ],
  ['a body', `${line('GET /nodes', 'Content-Length: 5\r\n')}hello`, 403, /a request body is not allowed/],
  ['two lengths', `${line('GET /nodes', 'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n')}0\r\n\r\n`, 400, /^/],
  ['what is no HTTP', 'x'.repeat(20_000), 400, /^/],
] as const) {
  test(`${what} gets ${status} without a request to Docker`, async () => {
    const before = [...docker.asked].join()
    const answer = await exchange(text)
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
    assert.match(answer, reason)
    assert.is([...docker.asked].join(), before)
    assert.equal(docker.writes, [])
  })
}

test('CONNECT and upgrades are refused; an unauthenticated client gets no answer', async () => {
  assert.is(await exchange(line('CONNECT docker:2375')), '')
  assert.match(await exchange(line('GET /nodes'), 'guessed'), /^error: .*decrypt error/)
  const plain = await new Promise<string>(resolve => {
    const stranger = connect(port, '127.0.0.1')
    let received = ''
    stranger.on('data', (chunk: Buffer) => {
      received += chunk.toString()
    })
    stranger.on('close', () => resolve(received))
    stranger.on('error', () => undefined)
    stranger.write(line('GET /nodes'))
  })
  assert.is(plain, '')
  const met = await new Promise<string>(resolve => {
    const stranger = tlsConnect({ host: '127.0.0.1', port, rejectUnauthorized: false })
    stranger.on('secureConnect', () => resolve('met'))
    stranger.on('error', () => resolve('refused'))
  })
  assert.is(met, 'refused')
})

test('idle unauthenticated connections do not lock out a replica', async () => {
  const strangers = Array.from({ length: 200 }, () => connect({ port, host: '127.0.0.1', localAddress: '127.0.0.77' }))
  for (const stranger of strangers) stranger.on('error', () => undefined)
  await until('the surplus is closed', () => strangers.filter(stranger => stranger.destroyed).length >= 60)
  assert.match(await exchange(line('GET /nodes')), /^HTTP\/1\.1 200 /)
  for (const stranger of strangers) stranger.destroy()
})

test('responses contain only the fields that discovery needs', async () => {
  docker.services = docker.services.map(service => ({
    ...service,
    Spec: { ...spec(service), TaskTemplate: { ContainerSpec: { Env: ['P=hunter2'] } } },
  }))
  const answer = await exchange(line('GET /services'))
  assert.match(answer, /"Name":"app"/)
  assert.not.match(answer, /hunter2|TaskTemplate/)
})

function spec(service: object): object {
  return 'Spec' in service ? (service.Spec as object) : {}
}

test('a missing Docker socket is logged by the agent at once, and by the replica', async () => {
  const other = await freePort()
  const args = ['agent', '--listen', `127.0.0.1:${other}`, '--docker', join(directory, 'nowhere.sock'), '--log-format', 'json']
  const blind = new Skein([...args, '--secret-file', right])
  const logged = await blind.logs(/Docker cannot be read/)
  assert.match(String(logged.reason), /the socket does not exist \(ENOENT\)/)
  const replica = await Replica.start(['--manager', `agent://127.0.0.1:${other}`, '--secret-file', right])
  const line = await replica.logs(/the manager cannot be used/)
  assert.match(String(line.reason), /HTTP 502: "Docker on the agent's node: the socket does not exist \(ENOENT\)"/)
  await replica.stop()
  assert.is((await blind.stop()).code, 0)
})

test.run()
