// The client of one manager: valid answers, and every kind of bad manager.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createDockerClient, type DockerClient, type DockerClientOptions } from '../../../../src/providers/docker-api/client.ts'
import type { DockerEvent } from '../../../../src/providers/docker-api/schemas.ts'
import { makeIdentity } from '../swarm/certificates.ts'
import { type FakeDocker, fakeDocker, sendJson } from '../swarm/fake-docker.ts'
import { rawService, rawTask } from '../swarm/objects.ts'

function clientOf(port: number, more: Partial<DockerClientOptions> = {}): DockerClient {
  return createDockerClient({
    endpoint: { scheme: 'tcp', host: '127.0.0.1', port },
    serverName: null,
    tls: null,
    agentKey: null,
    callTimeoutMs: 20_000,
    answerBytes: 1024 * 1024,
    ...more,
  })
}

async function withDocker(
  answer: unknown,
  work: (client: DockerClient, docker: FakeDocker) => Promise<void>,
  more: Partial<DockerClientOptions> = {},
): Promise<void> {
  const docker = await fakeDocker({ '*': answer })
  const client = clientOf(docker.port, more)
  try {
    await work(client, docker)
  } finally {
    client.close()
    await docker.close()
  }
}

/** The error of listing services, as `kind: message`. */
async function errorOf(answer: unknown, more: Partial<DockerClientOptions> = {}): Promise<string> {
  let told = ''
  const list = async (client: DockerClient): Promise<void> => {
    const result = await client.services()
    told = result.ok ? 'no error' : `${result.error.kind}: ${result.error.message}`
  }
  await withDocker(answer, list, more)
  return told
}

const raw = (type: string, body: string) => (_request: IncomingMessage, response: ServerResponse) => {
  response.writeHead(200, { 'content-type': type })
  response.end(body)
}
const status = (code: number, message: string) => (_request: IncomingMessage, response: ServerResponse) =>
  sendJson(response, code, { message })

test('unneeded fields are dropped', async () => {
  await withDocker([rawTask('t1', 's1')], async client => {
    const result = await client.tasks({ 'desired-state': ['running'] })
    assert.ok(result.ok && result.value.items.length === 1)
    assert.not.match(JSON.stringify(result), /hunter2|Spec":\{"Container/)
  })
})

test("filters are sent in Docker's format", async () => {
  let url = ''
  await withDocker(
    (request: IncomingMessage, response: ServerResponse) => {
      url = request.url ?? ''
      sendJson(response, 200, [])
    },
    async client => {
      await client.tasks({ 'desired-state': ['running'], service: ['s1'] })
      assert.equal(JSON.parse(new URL(url, 'http://x').searchParams.get('filters') ?? ''), {
        'desired-state': ['running'],
        service: ['s1'],
      })
      await client.services()
      assert.is(url, '/services')
    },
  )
})

test('one malformed service is skipped and named, the others are read', async () => {
  await withDocker(
    [rawService('s1', 'a'), { ID: 's2', Version: 'x' }, 7, rawService('s3', 'c', { Spec: { Name: 'c', Labels: null } })],
    async client => {
      const result = await client.services()
      assert.ok(result.ok)
      if (!result.ok) return
      assert.equal(
        result.value.items.map(service => service.ID),
        ['s1', 's3'],
      )
      assert.equal(result.value.skipped, ['s2'])
      assert.match(result.value.problems[0] ?? '', /^s2: Version/)
      assert.is(result.value.problems.length, 2)
    },
  )
})

for (const [name, answer, expected] of [
  [
    'HTML',
    raw('text/html', `<html>${'x'.repeat(1000)}</html>`),
    /^bad-answer: \/services: expected JSON from the Docker API, got "text\/html"/,
  ],
  [
    'HTML that says it is JSON',
    raw('application/json', '<html>'),
    /^bad-answer: \/services: expected JSON from the Docker API, got "<html>"/,
  ],
  ['half a JSON', raw('application/json', '[{"ID":"s1",'), /^bad-answer: \/services: expected JSON/],
  ['an object instead of a list', { message: 'hello' }, /^bad-answer: \/services: expected a list/],
  ['a worker', status(503, 'This node is not a swarm manager. Worker nodes can not be used'), /^not-manager: HTTP 503/],
  ['no leader', status(503, "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible"), /^no-leader/],
  ['a leader that has just gone', status(500, 'rpc error: code = Unavailable desc = transport is closing'), /^no-leader/],
  ['an unknown service in a filter', status(404, 'service abc not found'), /^gone/],
  [
    "somebody's web server",
    (_request: IncomingMessage, response: ServerResponse) =>
      response.writeHead(404, { 'content-type': 'text/html' }).end('<title>404 Not Found</title>'),
    /^bad-answer: \/services: HTTP 404: "<title>404 Not Found<\/title>", expected the Docker API/,
  ],
  ['another JSON API', status(404, 'page not found'), /^bad-answer: \/services: HTTP 404/],
  ['a list of nothing that is known', [null, 7, 'x', {}, []], /^bad-answer: \/services: expected a list of Docker's objects/],
  ['no permission', status(403, 'forbidden'), /^denied/],
  ['an error of another kind', status(500, 'disk I/O error'), /^bad-answer: \/services: HTTP 500: "disk I\/O error"/],
  [
    'a redirect',
    (_request: IncomingMessage, response: ServerResponse) => response.writeHead(301, { location: 'ftp://elsewhere/' }).end(),
    /^bad-answer: \/services: HTTP 301/,
  ],
] as const) {
  test(`a manager that answers ${name}`, async () => assert.match(await errorOf(answer), expected))
}

test('a call can be aborted', async () => {
  await withDocker(
    () => undefined,
    async client => {
      const stop = new AbortController()
      const asked = client.tasks({}, stop.signal)
      stop.abort()
      const result = await asked
      assert.ok(!result.ok && result.error.message === 'aborted', JSON.stringify(result))
    },
  )
})

test('a manager that answers nothing at all', async () => {
  assert.match(await errorOf(() => undefined, { callTimeoutMs: 300 }), /^timeout: no complete answer within 300 ms/)
})

test('an answer that stops half way: timeout', async () => {
  const answer = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('[')
  }
  assert.match(await errorOf(answer, { callTimeoutMs: 300 }), /^timeout/)
})

test('a connection lost during the answer', async () => {
  const answer = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 })
    response.write('[')
    setTimeout(() => response.destroy(), 20)
  }
  assert.match(await errorOf(answer), /^unreachable/)
})

test('an answer of 200 MB is aborted, with or without Content-Length', async () => {
  let written = 0
  const flood = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const chunk = Buffer.alloc(256 * 1024, 32)
    const more = (): void => {
      while (!response.destroyed && written < 200 * 1024 * 1024) {
        written += chunk.length
        if (!response.write(chunk)) return void response.once('drain', more)
      }
    }
    more()
  }
  assert.match(await errorOf(flood), /^bad-answer: \/services: the answer is larger than 1048576 bytes/)
  assert.ok(written < 50 * 1024 * 1024, `${written} bytes were taken`)
  const announced = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 200 * 1024 * 1024 })
    response.flushHeaders()
  }
  assert.match(await errorOf(announced), /^bad-answer: \/services: the answer is larger/)
})

test('a peer that does not speak HTTP, and a closed port', async () => {
  const server = createServer(socket =>
    socket
      .on('error', () => undefined)
      .resume()
      .end('SSH-2.0-OpenSSH_9.2\r\n'),
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const client = clientOf(port)
  const first = await client.info()
  assert.ok(!first.ok && first.error.kind === 'bad-answer', JSON.stringify(first))
  await new Promise<void>(resolve => server.close(() => resolve()))
  const second = await client.info()
  assert.ok(!second.ok && second.error.kind === 'unreachable' && /ECONNREFUSED/.test(second.error.message))
  client.close()
})

test('DOCKER_HOST is ignored', async () => {
  process.env.DOCKER_HOST = 'tcp://192.0.2.1:1'
  try {
    await withDocker([], async client => assert.ok((await client.services()).ok))
    assert.is(process.env.DOCKER_HOST, 'tcp://192.0.2.1:1')
  } finally {
    delete process.env.DOCKER_HOST
  }
})

test('events are read line by line; malformed lines and other types are ignored', async () => {
  const event = {
    Type: 'service',
    Action: 'update',
    Actor: { ID: 's1', Attributes: { name: 'web', other: 'dropped' } },
    scope: 'swarm',
    time: 1,
  }
  const answer = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write(`nonsense\n${JSON.stringify({ ...event, Type: 'container', scope: 'local' })}\n`)
    response.end(`${JSON.stringify(event)}\n`)
  }
  await withDocker(answer, async client => {
    const seen: DockerEvent[] = []
    const reason = await new Promise<string>(resolve =>
      client.events({ opened: () => undefined, event: found => seen.push(found), ended: resolve }),
    )
    assert.match(reason, /ended|closed/)
    assert.equal(
      seen.map(found => [found.Actor.ID, found.Actor.Attributes]),
      [['s1', { name: 'web' }]],
    )
  })
})

test('closing ends an event stream and calls in flight', async () => {
  await withDocker(
    (_request: IncomingMessage, response: ServerResponse) => response.flushHeaders(),
    async client => {
      const ended = new Promise<string>(resolve =>
        client.events({ opened: () => client.close(), event: () => undefined, ended: resolve }),
      )
      assert.is(await ended, 'closed')
    },
  )
})

test('client certificates: wrong ones are refused, a wrong server certificate too', async () => {
  const authority = makeIdentity('authority')
  const [manager, replica, stranger] = [
    makeIdentity('manager', authority),
    makeIdentity('replica', authority),
    makeIdentity('stranger'),
  ]
  const docker = await fakeDocker(
    { '*': [] },
    { cert: manager.cert, key: manager.key, ca: authority.cert, requestCert: true, rejectUnauthorized: true },
  )
  const ask = async (tls: DockerClientOptions['tls'], serverName: string | null = null): Promise<string> => {
    const client = clientOf(docker.port, { tls, serverName })
    const result = await client.services()
    client.close()
    return result.ok ? 'ok' : result.error.kind
  }
  assert.is(await ask({ ca: authority.cert, client: replica }), 'ok')
  assert.is(await ask({ ca: authority.cert, client: replica }, 'manager'), 'ok')
  assert.is(await ask({ ca: authority.cert, client: replica }, 'another-name'), 'denied')
  assert.is(await ask({ ca: stranger.cert, client: replica }), 'denied')
  assert.is.not(await ask({ ca: authority.cert, client: stranger }), 'ok')
  assert.is.not(await ask({ ca: authority.cert, client: null }), 'ok')
  await docker.close()
})

test.run()
