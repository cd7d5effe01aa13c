import { type AddressInfo, createServer, type Server } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { assertAddressFree, hostAndPort, listenError } from '../../../src/util/listen-address.ts'

test('hostAndPort: IPv4, IPv6 and names', () => {
  assert.is(hostAndPort('127.0.0.1', 80), '127.0.0.1:80')
  assert.is(hostAndPort('::', 80), '[::]:80')
  assert.is(hostAndPort('', 80), ':80')
})

test('listenError: message by code, and the code itself', () => {
  const cases = [
    ['EADDRINUSE', 'the port is taken'],
    ['EACCES', 'the port needs more rights'],
    ['EADDRNOTAVAIL', 'listen EADDRNOTAVAIL'],
  ] as const
  for (const [code, why] of cases) {
    const error = listenError('entry point web', '::1', 80, { code, message: `listen ${code}` })
    assert.is(error.message, `entry point web: cannot listen on [::1]:80: ${why}`)
    assert.is((error as NodeJS.ErrnoException).code, code)
  }
})

const listening = (host: string): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.once('error', reject)
    server.listen({ host, port: 0, reusePort: true }, () => resolve(server))
  })

const refusal = (host: string, port: number): Promise<string> =>
  assertAddressFree('entry point web', host, port).then(
    () => 'free',
    (error: Error) => error.message,
  )

test('a port with SO_REUSEPORT counts as taken, on its address and on all', async () => {
  const server = await listening('127.0.0.1')
  const { port } = server.address() as AddressInfo
  const own = await refusal('127.0.0.1', port)
  const all = await refusal('0.0.0.0', port)
  server.close()
  assert.is(own, `entry point web: cannot listen on 127.0.0.1:${port}: the port is taken`)
  assert.is(all, `entry point web: cannot listen on 0.0.0.0:${port}: the port is taken`)
  assert.is(await refusal('127.0.0.1', port), 'free')
})

test('an address of another machine is refused; port 0 is always free', async () => {
  assert.match(await refusal('192.0.2.1', 8080), /cannot listen on 192\.0\.2\.1:8080: .*EADDRNOTAVAIL/)
  assert.is(await refusal('127.0.0.1', 0), 'free')
})

test.run()
