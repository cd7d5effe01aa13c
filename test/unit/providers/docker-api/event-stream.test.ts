// Event streams with and without heartbeats: which silence ends a stream.

import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createDockerClient, type DockerClient } from '../../../../src/providers/docker-api/client.ts'
import { agentKey, serverChannelOptions } from '../../../../src/util/agent-channel.ts'

const key = agentKey('a secret of the cluster')
const EVENT = { Type: 'service', Action: 'update', Actor: { ID: 's1', Attributes: {} }, scope: 'swarm' }

interface Rig {
  readonly stream: ServerResponse
  readonly client: DockerClient
  readonly heard: string[]
  /** `opened`, `event`, `quiet`, `ended: ...` as they come. */
  readonly said: string[]
}

async function withAgent(work: (rig: Rig) => Promise<void>): Promise<void> {
  const opened = Promise.withResolvers<ServerResponse>()
  const server = createServer(serverChannelOptions(key), (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    opened.resolve(response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const client = createDockerClient({
    endpoint: { scheme: 'agent', host: '127.0.0.1', port },
    serverName: null,
    tls: null,
    agentKey: key,
    callTimeoutMs: 1_000,
    answerBytes: 1024,
  })
  const said: string[] = []
  const heard: string[] = []
  client.events({
    opened: () => said.push('opened'),
    event: event => heard.push(event.Actor.ID),
    heartbeatMissed: () => said.push('quiet'),
    ended: reason => said.push(`ended: ${reason}`),
  })
  try {
    await work({ stream: await opened.promise, client, heard, said })
  } finally {
    client.close()
    await new Promise(resolve => {
      server.close(resolve)
      server.closeAllConnections()
    })
  }
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

async function comes(what: () => boolean): Promise<void> {
  for (const end = performance.now() + 30_000; !what() && performance.now() < end; ) await pause(20)
}

test('missing heartbeats: first heartbeatMissed, then ended', () =>
  withAgent(async ({ stream, said, heard }) => {
    stream.write('\n')
    await pause(600)
    stream.write(`${JSON.stringify(EVENT)}\n`)
    await pause(600)
    assert.equal(said, ['opened'])
    assert.equal(heard, ['s1'])
    await pause(1_000)
    assert.equal(said, ['opened', 'quiet'])
    await comes(() => said.length > 2)
    assert.is(said.length, 3)
    assert.match(said[2] ?? '', /^ended: no heartbeat for 3500 ms/)
  }))

test('a stream with heartbeats stays open, also after a short pause', () =>
  withAgent(async ({ stream, said }) => {
    const beat = setInterval(() => stream.write('\n'), 200)
    await pause(1_500)
    clearInterval(beat)
    await pause(2_000)
    stream.write('\n')
    await pause(500)
    assert.equal(said, ['opened', 'quiet'])
  }))

test('an agent without heartbeats (an older version): silence does not end the stream', () =>
  withAgent(async ({ stream, said }) => {
    stream.write(`${JSON.stringify(EVENT)}\n`)
    await pause(4_000)
    assert.equal(said, ['opened'])
    stream.end()
    await comes(() => said.length > 1)
    assert.match(said[1] ?? '', /^ended: the event stream ended/)
  }))

test('heartbeats that arrive while this process is blocked are not missing', () =>
  withAgent(async ({ stream, said }) => {
    stream.write('\n')
    await pause(100)
    // Sent by the same process, so it has to be on its way before; the timer is due when this process goes on.
    stream.write('\n')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_200)
    await pause(200)
    assert.equal(said, ['opened'])
  }))

test('without the secret no stream is opened, with a reason', async () => {
  const client = createDockerClient({
    endpoint: { scheme: 'agent', host: '127.0.0.1', port: 1 },
    serverName: null,
    tls: null,
    agentKey: null,
    callTimeoutMs: 1_000,
    answerBytes: 1024,
  })
  const reason = await new Promise<string>(resolve => {
    client.events({ opened: () => resolve('opened'), event: () => undefined, ended: resolve })
  })
  assert.match(reason, /needs the cluster secret/)
  client.close()
})

test.run()
