// Channels with a pre-shared key over real TLS: which keys let whom in.

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

/** 'in', or the code of the error that the client saw. `strangers` counts unknown identities. */
async function enter(
  serverKeys: readonly Buffer[],
  key: Buffer,
  protocol = PROTOCOL,
): Promise<{ result: string; strangers: number }> {
  let strangers = 0
  const server = createServer(
    pskServerOptions(serverKeys, PROTOCOL, () => strangers++),
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
  return { result, strangers }
}

test('the same secret gets in', async () => {
  assert.equal(await enter([NEW], NEW), { result: 'in', strangers: 0 })
})

test('while a secret is changed both are good, in any order', async () => {
  for (const key of [OLD, NEW]) {
    assert.is((await enter([OLD, NEW], key)).result, 'in')
    assert.is((await enter([NEW, OLD], key)).result, 'in')
  }
})

test('another secret does not get in and is told that it is another', async () => {
  const { result, strangers } = await enter([OLD, NEW], OTHER)
  assert.match(result, /DECRYPT_ERROR/)
  assert.is(strangers, 1)
})

test('the key of one protocol opens no other', async () => {
  const { result } = await enter([pskKey('s', PROTOCOL)], pskKey('s', 'skein-else/1'), 'skein-else/1')
  assert.is.not(result, 'in')
  assert.is.not(pskKey('s', PROTOCOL).toString('hex'), pskKey('s', 'skein-else/1').toString('hex'))
})

test('a server without keys lets nobody in', async () => {
  assert.is.not((await enter([], NEW)).result, 'in')
})

test('a server with a certificate instead of the key is an impostor', async () => {
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

test('an identity names the protocol and tells nothing of the key', () => {
  const identity = pskIdentity(NEW, PROTOCOL)
  assert.match(identity, /^skein-test\/1 [0-9a-f]{16}$/)
  assert.not(NEW.toString('hex').includes(identity.slice(-16)))
  assert.is.not(identity, pskIdentity(OLD, PROTOCOL))
})

test.run()
