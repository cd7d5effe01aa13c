// Clusters that share a secret but not a name: what their members exchange during the handshake, and what an attacker who holds
// the secret can do with it. Bare networks and raw sockets on the loopback.

import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { networkKeys, openName, SEALED_BYTES, sealName } from '../../cluster/gossip/greeting.ts'
import { DEFAULT_CLUSTER } from '../../cluster/secret.ts'
import { until } from '../until.ts'
import { endAll, openNetwork, SECRET, type TestNetwork } from './cluster-harness.ts'

test.after(endAll)

const NONCE_BYTES = 24
const GREETING = Buffer.from('\x13/multistream/1.0.0\n', 'latin1')
const KEYS = networkKeys(SECRET, 'test')

/** Dials as a member does, up to the exchange of nonces. */
class RawDialler {
  readonly socket: Socket
  nonces: Buffer = Buffer.alloc(0)
  got: Buffer = Buffer.alloc(0)
  closed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined).on('close', () => void (this.closed = true))
    socket.on('data', (data: Buffer) => void (this.got = Buffer.concat([this.got, data])))
  }

  static async open({ port }: { readonly port: number }): Promise<RawDialler> {
    const dialler = new RawDialler(connect(port, '127.0.0.1'))
    await once(dialler.socket, 'connect')
    const mine = randomBytes(NONCE_BYTES)
    dialler.socket.write(mine)
    await until('the other side has sent its nonce', () => dialler.got.length >= NONCE_BYTES)
    dialler.nonces = Buffer.concat([mine, dialler.got.subarray(0, NONCE_BYTES)])
    dialler.got = dialler.got.subarray(NONCE_BYTES)
    return dialler
  }

  /** The encrypted greeting with this key, as the first bytes of a dialler. */
  hello(key: Buffer): Buffer {
    const own = createHmac('sha256', key).update('dialler').update(this.nonces).digest()
    return createCipheriv('chacha20', own, Buffer.alloc(16)).update(GREETING)
  }
}

const refusals = (network: TestNetwork): number => network.log.lines.filter(line => /does not hold/.test(line)).length

test('one secret, two names: no connection, and both logs name the other cluster', async () => {
  const [a, b] = [await openNetwork({ cluster: 'public' }), await openNetwork({ cluster: 'internal' })]
  a.setTargets([b.address])
  await until('the dialler has logged it', () =>
    a.log.has(/warn: the member at .* belongs to cluster "internal", this one is "public"; it is refused/),
  )
  await until('the listener has logged it', () =>
    b.log.has(/warn: the member at .* belongs to cluster "public", this one is "internal"; it is refused/),
  )
  assert.equal([a.connections(), b.connections(), a.history, b.history], [[], [], [], []])
  assert.equal([refusals(a), refusals(b)], [0, 0])
})

test('one secret, one name: they join', async () => {
  for (const cluster of ['public', DEFAULT_CLUSTER]) {
    const [a, b] = [await openNetwork({ cluster }), await openNetwork({ cluster })]
    a.setTargets([b.address])
    await until(cluster, () => a.connected.has(b.self) && b.connected.has(a.self))
  }
})

test('default name and another name, dialled from either side: both names are reported', async () => {
  const [nameless, named] = [await openNetwork({ cluster: DEFAULT_CLUSTER }), await openNetwork({ cluster: 'public' })]
  nameless.setTargets([named.address])
  await until('the named one logs it', () => named.log.has(/belongs to cluster "skein", this one is "public"/))
  named.setTargets([nameless.address])
  await until('the other one logs it', () => nameless.log.has(/belongs to cluster "public", this one is "skein"/))
  assert.equal([nameless.history, named.history], [[], []])
})

test('the key derived from the secret alone opens no named cluster', async () => {
  const network = await openNetwork()
  const raw = await RawDialler.open(network)
  raw.socket.write(raw.hello(KEYS.nameless))
  await until('it is disconnected', () => raw.closed)
  assert.is(raw.got.length, 0)
  await until('it is logged by name', () => network.log.has(/belongs to cluster "skein", this one is "test"/))
})

test('a member of another cluster receives the name of this one and nothing else', async () => {
  const network = await openNetwork()
  const raw = await RawDialler.open(network)
  raw.socket.write(Buffer.concat([raw.hello(KEYS.greeting), sealName('other', KEYS.greeting, raw.nonces, 'dialler')]))
  await until('it has responded', () => raw.got.length >= SEALED_BYTES)
  assert.is(openName(raw.got.subarray(0, SEALED_BYTES), KEYS.greeting, raw.nonces, 'listener'), 'test')
  // As a dialler that continues although the name differs.
  raw.socket.write(raw.hello(networkKeys(SECRET, 'other').network))
  await until('it is disconnected', () => raw.closed)
  assert.is(raw.got.length, SEALED_BYTES)
})

test('forged, replayed, truncated or invalid greetings are refused, and members still join', async () => {
  const network = await openNetwork()
  const earlier = await RawDialler.open(network)
  const replayed = sealName('test', KEYS.greeting, earlier.nonces, 'dialler')
  earlier.socket.destroy()
  const greetings: Readonly<Record<string, (raw: RawDialler) => Buffer>> = {
    'random bytes': () => randomBytes(400),
    'right greeting, random name': raw => Buffer.concat([raw.hello(KEYS.greeting), randomBytes(SEALED_BYTES)]),
    'a name sealed for another connection': raw => Buffer.concat([raw.hello(KEYS.greeting), replayed]),
    'the listener’s seal': raw =>
      Buffer.concat([raw.hello(KEYS.greeting), sealName('test', KEYS.greeting, raw.nonces, 'listener')]),
    'a name of no form': raw =>
      Buffer.concat([raw.hello(KEYS.greeting), sealName('\u001b[2J\n"x"', KEYS.greeting, raw.nonces, 'dialler')]),
    'an empty name': raw => Buffer.concat([raw.hello(KEYS.greeting), sealName('', KEYS.greeting, raw.nonces, 'dialler')]),
    'the name of another secret': raw => {
      const { greeting } = networkKeys('another secret', 'test')
      return Buffer.concat([raw.hello(greeting), sealName('test', greeting, raw.nonces, 'dialler')])
    },
  }
  for (const [what, greeting] of Object.entries(greetings)) {
    const raw = await RawDialler.open(network)
    raw.socket.write(greeting(raw))
    await until(`${what}: it is disconnected`, () => raw.closed)
    assert.is(raw.got.length, 0, what)
  }
  for (const keep of [20, 60, 100]) {
    const raw = await RawDialler.open(network)
    const whole = Buffer.concat([raw.hello(KEYS.greeting), sealName('test', KEYS.greeting, raw.nonces, 'dialler')])
    raw.socket.write(whole.subarray(0, keep))
    await until(`${keep} bytes of a greeting, then silence: it is disconnected`, () => raw.closed)
    assert.is(raw.got.length, 0)
  }
  // The host is logged once a minute, and the log repeats no received byte.
  assert.is(refusals(network), 1)
  assert.not.ok(network.log.lines.some(line => line.includes('\u001b')))
  const member = await openNetwork()
  member.setTargets([network.address])
  await until('a member joins', () => network.connected.has(member.self))
})

test('rotation under one name: members join, whichever secret is first on either side', async () => {
  const [old, fresh] = [await openNetwork({ secrets: ['old', 'new'] }), await openNetwork({ secrets: ['new', 'old'] })]
  old.setTargets([fresh.address])
  await until('the old one dials', () => old.connected.has(fresh.self))
  const turned = await openNetwork({ secrets: ['new', 'old'] })
  turned.setTargets([old.address])
  await until('the new one dials', () => turned.connected.has(old.self))
})

test.run()
