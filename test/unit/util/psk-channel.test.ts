// Channels with a pre-shared key over real TLS: which keys are accepted.

import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { pskClientOptions, pskIdentity, pskKey, pskServerOptions } from '../../../src/util/psk-channel.ts'
import { makeIdentity } from '../providers/swarm/certificates.ts'

const PROTOCOL = 'skein-test/1'
const OLD = pskKey('the old secret', PROTOCOL)
const NEW = pskKey('the new secret', PROTOCOL)
const OTHER = pskKey('not ours', PROTOCOL)

/** 'in', or the code of the client's error. `unknownIdentities` counts unknown identities. */
async function enter(
  serverKeys: readonly Buffer[],
  key: Buffer,
  protocol = PROTOCOL,
): Promise<{ result: string; unknownIdentities: number }> {
  let unknownIdentities = 0
  const server = createServer(
    pskServerOptions(serverKeys, PROTOCOL, () => unknownIdentities++),
    socket => socket.on('error', () => {}).end('in'),
  )
  server.on('tlsClientError', () => {})
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const result = await new Promise<string>(resolve => {
    const { port } = server.address() as AddressInfo
    const socket: TLSSocket = connect({ ...pskClientOptions(key, protocol), host: '127.0.0.1', port })
    socket.on('data', data => resolve(data.toString()))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.on('close', () => resolve('closed'))
  })
  server.close()
  return { result, unknownIdentities }
}

test('the same secret is accepted', async () => {
  assert.equal(await enter([NEW], NEW), { result: 'in', unknownIdentities: 0 })
})

test('while a secret is being changed both are accepted, in any order', async () => {
  for (const key of [OLD, NEW]) {
    assert.is((await enter([OLD, NEW], key)).result, 'in')
    assert.is((await enter([NEW, OLD], key)).result, 'in')
  }
})

test('another secret is refused with an alert that tells the reason', async () => {
  const { result, unknownIdentities } = await enter([OLD, NEW], OTHER)
  assert.match(result, /DECRYPT_ERROR/)
  assert.is(unknownIdentities, 1)
})

test('the key of one protocol is refused by another', async () => {
  const { result } = await enter([pskKey('s', PROTOCOL)], pskKey('s', 'skein-else/1'), 'skein-else/1')
  assert.is.not(result, 'in')
  assert.is.not(pskKey('s', PROTOCOL).toString('hex'), pskKey('s', 'skein-else/1').toString('hex'))
})

test('a server without keys refuses every client', async () => {
  assert.is.not((await enter([], NEW)).result, 'in')
})

test('a server with a certificate instead of the key is refused', async () => {
  const { key, cert } = makeIdentity('127.0.0.1')
  const server = createServer({ key, cert }, socket => socket.on('error', () => {}).end('in'))
  server.on('tlsClientError', () => {})
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const result = await new Promise<string>(resolve => {
    const socket = connect({ ...pskClientOptions(NEW, PROTOCOL), host: '127.0.0.1', port })
    socket.on('secureConnect', () => resolve('in'))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
  assert.is.not(result, 'in')
  server.close()
})

test('an identity names the protocol and does not contain the key', () => {
  const identity = pskIdentity(NEW, PROTOCOL)
  assert.match(identity, /^skein-test\/1 [0-9a-f]{16}$/)
  assert.not(NEW.toString('hex').includes(identity.slice(-16)))
  assert.is.not(identity, pskIdentity(OLD, PROTOCOL))
})

test.run()
