// A tunnel joins two sockets: bytes, backpressure, half-close, errors, idle time, and the counts when it is over.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Sweep } from '../../../../src/proxy/forward/deadlines.ts'
import { openTunnel } from '../../../../src/proxy/forward/tunnel.ts'

const sweep = new Sweep()
const sockets: Socket[] = []
test.after(() => sweep.stop())
test.after.each(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})

/** Two ends of one connection. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<Socket>(resolve => server.once('connection', resolve))
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
  const far = await accepted
  server.close()
  for (const socket of [near, far]) socket.on('error', () => {})
  sockets.push(near, far)
  return [near, far]
}

interface Joined {
  readonly client: Socket
  readonly server: Socket
  readonly done: Promise<[number, number]>
  calls: number
  destroy(): void
}

async function joined(idleMs = 60_000): Promise<Joined> {
  const [client, near] = await pair()
  const [server, far] = await pair()
  const result: Joined = { client, server, calls: 0, done: null as never, destroy: () => {} }
  let tunnel = { destroy() {} }
  const done = new Promise<[number, number]>(resolve => {
    tunnel = openTunnel(
      near,
      far,
      sweep,
      idleMs,
      () => {},
      (bytesIn, bytesOut) => {
        result.calls++
        resolve([bytesIn, bytesOut])
      },
    )
  })
  return Object.assign(result, { done, destroy: () => tunnel.destroy() })
}

const all = (socket: Socket) =>
  new Promise<string>(resolve => {
    let text = ''
    socket.on('data', chunk => {
      text += chunk.toString()
    })
    socket.on('end', () => resolve(text))
    socket.on('close', () => resolve(`${text}!`))
  })

test('bytes pass and are counted both ways; each direction ends separately', async () => {
  const { client, server, done } = await joined()
  const [atServer, atClient] = [all(server), all(client)]
  client.end('hello')
  assert.is(await atServer, 'hello')
  server.end('you too!')
  assert.is(await atClient, 'you too!')
  assert.equal(await done, [5, 8])
})

test('a slow reader pauses the writer, and no byte is lost', async () => {
  const { client, server, done } = await joined()
  // More than the kernel's buffers on the way will take.
  const size = 64 * 1024 ** 2
  server.pause()
  client.end(Buffer.alloc(size))
  await new Promise(resolve => setTimeout(resolve, 200))
  assert.ok(client.writableLength > 0, 'the writer is stopped')
  let got = 0
  server.on('data', chunk => {
    got += chunk.length
  })
  server.on('end', () => server.end())
  server.resume()
  client.resume()
  assert.equal(await done, [size, 0])
  assert.is(got, size)
})

test('a reset of one side resets the other', async () => {
  for (const side of ['client', 'server'] as const) {
    const both = await joined()
    const other = all(both[side === 'client' ? 'server' : 'client'])
    both[side].resetAndDestroy()
    await both.done
    await other
    assert.is(both.calls, 1)
  }
})

test('both sides are closed after the idle time; traffic restarts it', async () => {
  const { client, server, done } = await joined(1000)
  const ends = [all(client), all(server)]
  for (let i = 0; i < 4; i++) {
    await new Promise(resolve => setTimeout(resolve, 350))
    ;(i % 2 === 0 ? client : server).write('.')
  }
  assert.equal(await done, [2, 2])
  await Promise.all(ends)
})

test('destroy() ends the tunnel and reports it once', async () => {
  const both = await joined()
  const ends = [all(both.client), all(both.server)]
  both.destroy()
  both.destroy()
  await both.done
  await Promise.all(ends)
  await new Promise(resolve => setTimeout(resolve, 20))
  assert.is(both.calls, 1)
})

test.run()
