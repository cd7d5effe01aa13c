// The cluster network over real connections: admission, delivery, and the effect of one misbehaving peer on the others.

import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { frame } from '../../cluster/gossip/frames.ts'
import { MESSAGE_PROTOCOL } from '../../cluster/gossip/message-streams.ts'
import { startNode } from '../../cluster/gossip/node.ts'
import { networkProtector } from '../../cluster/gossip/protector.ts'
import { until } from '../until.ts'
import { endAll, join, openNetwork, SECRET, sleep, spawnMember, type TestNetwork } from './cluster-harness.ts'

test.after(endAll)

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const has = (network: TestNetwork, from: TestNetwork, text: string): boolean =>
  network.messages.some(message => message.from === from.self && message.text === text)
const say = (network: TestNetwork, text: string): void => network.broadcast(Buffer.from(text))

test('a broadcast reaches all once, a direct message one member; the author is known', async () => {
  const [a, b, c] = [await openNetwork(), await openNetwork(), await openNetwork()]
  await join(a, b, c)
  say(a, 'to all')
  a.send(b.self, Buffer.from('to b'))
  await until('both have it', () => has(b, a, 'to all') && has(c, a, 'to all') && has(b, a, 'to b'))
  await sleep(200)
  assert.is(b.messages.length, 2)
  assert.is(c.messages.length, 1)
  assert.is(a.messages.length, 0)
  assert.equal(a.history.toSorted(), [`connected ${b.self}`, `connected ${c.self}`].toSorted())
})

test('two members that dial each other at once keep one connection and lose no message', async () => {
  const [a, b, c] = [await openNetwork(), await openNetwork(), await openNetwork()]
  await join(a, b, c)
  await until('one connection each', () => [a, b, c].every(each => each.connections().length === 2))
  await sleep(300)
  for (const each of [a, b, c]) say(each, `from ${each.self}`)
  const pairs = [a, b, c].flatMap(from => [a, b, c].filter(to => to !== from).map(to => ({ from, to })))
  await until('all have received all', () => pairs.every(({ from, to }) => has(to, from, `from ${from.self}`)))
  for (const each of [a, b, c]) assert.is(each.history.length, 2, 'connected once with each, never disconnected')
})

test('whole bodies are pulled, small or of 2 MB; missing or mismatching ones fail', async () => {
  const [a, b] = [await openNetwork(), await openNetwork()]
  await join(a, b)
  const bodies = ['', 'small', randomBytes(1024 * 1024).toString('hex'), '\ufeffwith a mark, and \u{1f986}']
  for (const body of bodies) a.bodies.set(sha256(body), body)
  for (const body of bodies) assert.is(await b.pull(a.self, sha256(body)), body)
  const rejects = async (hash: string, reason: RegExp): Promise<void> => {
    const error = await b.pull(a.self, hash).then(
      () => null,
      (reason: Error) => reason,
    )
    assert.match(String(error?.message), reason)
  }
  await rejects(sha256('unknown'), /no longer holds it/)
  await rejects('../../etc/passwd', /not a SHA-256/)
  a.bodies.set(sha256('true'), 'false')
  await rejects(sha256('true'), /does not match its hash/)
  assert.is(b.counts().pulls, bodies.length + 3)
  assert.is(b.counts().pullsFailed, 3)
})

test('many members may pull a body at once', async () => {
  const [a, b] = [await openNetwork(), await openNetwork()]
  await join(a, b)
  const body = randomBytes(200_000).toString('hex')
  a.bodies.set(sha256(body), body)
  const answers = await Promise.allSettled(Array.from({ length: 12 }, () => b.pull(a.self, sha256(body))))
  const good = answers.filter(({ status }) => status === 'fulfilled').length
  assert.ok(good >= 2, `${good} of 12 were served: two of one peer at least`)
  assert.is(await b.pull(a.self, sha256(body)), body, 'and the next one is')
})

test('a peer with the wrong secret does not join, and both sides log why', async () => {
  const [a, outsider] = [await openNetwork(), await openNetwork({ secrets: ['the wrong one'] })]
  outsider.setTargets([a.address])
  a.setTargets([outsider.address])
  await until('both have logged it', () => [a, outsider].every(({ log }) => log.has(/warn: a peer at 127.0.0.1 does not hold/)))
  await until('the dialler has logged it', () =>
    a.log.has(/warn: the peer at .* refused the handshake: it may hold another secret/),
  )
  say(outsider, 'hello')
  await sleep(500)
  assert.is(a.connections().length + outsider.connections().length + a.messages.length, 0)
  assert.is(a.log.lines.filter(line => line.includes('does not hold')).length, 1, 'once a minute')
})

test('rotation: old, both, new; members with a common secret are connected', async () => {
  const old = await openNetwork({ secrets: ['old'] })
  const both = await openNetwork({ secrets: ['old', 'new'] })
  const turned = await openNetwork({ secrets: ['new', 'old'] })
  const fresh = await openNetwork({ secrets: ['new'] })
  for (const [one, other] of [
    [old, both],
    [both, turned],
    [turned, both],
    [fresh, turned],
    [fresh, both],
    [turned, turned],
  ] as const) {
    one.setTargets([other.address])
    if (one !== other) await until(`${one.address} ${other.address}`, () => one.connected.has(other.self))
  }
  old.setTargets([fresh.address])
  await until('old and new are foreign peers', () => fresh.log.has(/does not hold/))
  assert.not(old.connected.has(fresh.self))
})

test('another cluster with the same secret is distinguished from a foreign peer', async () => {
  const [a, b] = [await openNetwork({ cluster: 'a' }), await openNetwork({ cluster: 'b' })]
  a.setTargets([b.address])
  await until('both have logged it', () =>
    [a, b].every(({ log }) => log.has(/warn: the member at .* belongs to cluster "[ab]", this one is "[ab]"; it is refused/)),
  )
  await until('neither is connected', () => a.connections().length + b.connections().length === 0)
  assert.is(a.history.length + b.history.length, 0)
})

test('its own address, unused addresses and invalid ones among the targets are harmless', async () => {
  const [a, b] = [await openNetwork(), await openNetwork()]
  a.setTargets([a.address, '127.0.0.1:1', '192.0.2.1:7', 'nonsense', '', b.address])
  await until('connected', () => a.connected.has(b.self))
  await sleep(300)
  assert.equal(a.history, [`connected ${b.self}`])
})

test('a message to a known member without a connection opens one', async () => {
  const [a, b] = [await openNetwork(), await openNetwork()]
  a.setMembers([{ id: b.self, addresses: ['127.0.0.1:1', b.address] }])
  a.send(b.self, Buffer.from('hello'))
  await until('it has arrived', () => has(b, a, 'hello'))
  a.send('12D3KooWnobody', Buffer.from('lost'))
  assert.is(a.counts().dropped, 1)
})

test('a killed process is noticed at once; a hanging one costs no memory and is disconnected', async () => {
  const a = await openNetwork()
  const [killed, hung] = await Promise.all([spawnMember('killed'), spawnMember('hung')])
  a.setTargets([killed, hung].map(({ port }) => `127.0.0.1:${port}`))
  await until('both are connected', () => a.connected.has(killed.id) && a.connected.has(hung.id))
  killed.signal('SIGKILL')
  const since = performance.now()
  await until('it is gone', () => !a.connected.has(killed.id))
  // A hanging process is disconnected after many times that.
  assert.ok(performance.now() - since < 4000, `${Math.round(performance.now() - since)} ms`)

  hung.signal('SIGSTOP')
  const before = process.memoryUsage()
  const message = randomBytes(32 * 1024)
  for (let i = 0; i < 2000; i++) {
    a.send(hung.id, message)
    if (i % 50 === 0) await sleep(1)
  }
  const grown = (process.memoryUsage().rss - before.rss) / 1e6
  assert.ok(a.counts().dropped > 1000, `${a.counts().dropped} of 2,000 messages of 32 KiB dropped`)
  assert.ok(grown < 60, `memory grew by ${Math.round(grown)} MB`)
  await until('it is disconnected', () => !a.connected.has(hung.id), 60_000)
})

test('a flood of one peer does not stop the others; it is dropped, then disconnected', async () => {
  const [a, b, flood] = [await openNetwork(), await openNetwork(), await openNetwork()]
  await join(a, b, flood)
  let flooding = true
  const flooder = (async () => {
    while (flooding) {
      for (let i = 0; i < 200; i++) {
        flood.broadcast(Buffer.from(`flood ${i}`))
        flood.send(a.self, Buffer.from(`flood ${i}`))
      }
      await sleep(10)
    }
  })()
  await until(
    'both disconnect it',
    () => [a, b].every(({ log }) => log.has(/warn: .* floods the cluster; it is disconnected/)),
    60_000,
  )
  flooding = false
  await flooder
  for (let i = 0; i < 10; i++) {
    say(a, `message ${i}`)
    await sleep(20)
  }
  await until('the others receive each other', () => has(b, a, 'message 9'))
  assert.ok(a.counts().dropped > 100)
  assert.not(a.connected.has(flood.self))
  assert.ok(a.connected.has(b.self))
})

test('garbage on the port and a thousand silent connections are harmless', async () => {
  const [a, b] = [await openNetwork(), await openNetwork()]
  const sockets = Array.from({ length: 60 }, (_, i) => {
    const socket = connect(a.port, '127.0.0.1').on('error', () => undefined)
    if (i % 3 === 0) socket.write(randomBytes(5000))
    if (i % 3 === 1) socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    return socket
  })
  await until('they are refused', () => a.log.has(/does not hold the cluster secret/))
  b.setTargets([a.address])
  await until('a member joins meanwhile', () => a.connected.has(b.self))
  for (const socket of sockets) socket.destroy()
  say(a, 'still here')
  await until('and receives', () => has(b, a, 'still here'))
})

test('a member that violates the stream protocol loses the stream only', async () => {
  const a = await openNetwork()
  const protector = networkProtector([SECRET], 'test', {
    foreignPeer: () => undefined,
    otherCluster: () => undefined,
    silent: () => undefined,
  })
  const { node } = await startNode({ listen: { host: '127.0.0.1', port: 0 }, topic: '/skein/1/test', protector, gater: {} })
  const { multiaddr } = await import('@multiformats/multiaddr')
  const connection = await node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${a.port}`))
  try {
    const nameless = await connection.newStream(MESSAGE_PROTOCOL)
    nameless.send(Buffer.from([0xff, 0xff, 0xff, 0xff]))
    await until('the stream is closed', () => nameless.status !== 'open')
    const named = await connection.newStream(MESSAGE_PROTOCOL)
    named.send(frame(Buffer.from('test')))
    await until('it has sent its cluster name', () => a.connected.has(node.peerId.toString()))
    named.send(Buffer.from([0, 1, 0, 1]))
    await until('the stream is closed', () => named.status !== 'open')
    assert.is(a.counts().dropped, 2)
    await until('it has the topic', () => node.services.pubsub.getSubscribers('/skein/1/test').length > 0)
    await node.services.pubsub.publish('/skein/1/test', Buffer.alloc(100_000, 'x'))
    await until('a message that is too large is dropped', () => a.counts().dropped === 3)
    assert.is(a.messages.length, 0)
    assert.ok(a.connected.has(node.peerId.toString()))
  } finally {
    await node.stop()
  }
})

test('a port in use is reported', async () => {
  const a = await openNetwork()
  const { startNetwork } = await import('../../cluster/gossip/libp2p.ts')
  const events = { message: () => undefined, connected: () => undefined, disconnected: () => undefined, bodyOf: () => null }
  const failure = await startNetwork({
    listen: { host: '127.0.0.1', port: a.port },
    secrets: [SECRET],
    cluster: 'test',
    events,
    log: a.log,
  }).then(
    () => null,
    (error: Error) => error.message,
  )
  assert.is(failure, `cannot listen on 127.0.0.1:${a.port} for the cluster: the port is in use`)
})

test.run()
