// Peer names without an address, with the replica's own address, or with foreign servers, and addresses without a listener. The
// replica logs it, keeps serving, and finds the peers that exist.

import { createServer, type Server, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { allServe, ClusteredReplica, stopAll } from './clustered-replica.ts'
import { Backend, ok } from './harness.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const backend = await Backend.start((_request, connection) => connection.write(ok('hello')))
const app = { name: 'app', labels: { 'traefik.port': String(backend.port) } }
const { endpoint } = await ScriptedManager.start(app)
const servers: Server[] = []
const sockets = new Set<Socket>()

test.after(() => {
  endAll()
  closeManagers()
  backend.stop()
  for (const server of servers) server.close()
  for (const socket of sockets) socket.destroy()
})

/** Another application's server; `greet` handles a connection. */
async function foreignServer(greet: (socket: Socket) => void): Promise<string> {
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    greet(socket)
  })
  servers.push(server)
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  return `127.0.0.1:${port}`
}

test('a name without an address is logged once; the replica is a cluster of one and serves', async () => {
  const alone = await ClusteredReplica.start({ name: 'alone', manager: endpoint, peers: ['nobody.invalid:7998'] })
  await alone.agreesWith(1)
  await allServe([alone], 'app.test')
  const logged = await alone.replica.logs(/nobody\.invalid/)
  assert.is(logged.level, 'warn')
  await new Promise(resolve => setTimeout(resolve, 6000))
  assert.is(alone.replica.lines.filter(({ msg }) => /nobody\.invalid/.test(msg)).length, 1)
  await stopAll([alone])
})

test('its own address and foreign servers behind a name: it finds the peer among them', async () => {
  const silent = await foreignServer(() => {})
  const rude = await foreignServer(socket => socket.destroy())
  const web = await foreignServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const chatty = await foreignServer(socket => {
    const timer = setInterval(() => socket.write(Buffer.alloc(16_384, 0x41)), 5)
    socket.on('close', () => clearInterval(timer))
  })
  const closed = `127.0.0.1:${await freePort()}`
  // 192.0.2.0/24 is for documentation (RFC 5737): no host answers.
  const foreign = [silent, rude, web, chatty, closed, '192.0.2.1:7998']
  const port = await freePort()
  const self = `localhost:${port}`
  const first = await ClusteredReplica.start({ name: 'first', manager: endpoint, port, peers: [self, ...foreign] })
  await first.agreesWith(1)
  const second = await ClusteredReplica.start({ name: 'second', manager: endpoint, peers: [...foreign, self] })
  await Promise.all([first.agreesWith(2), second.agreesWith(2)])
  await allServe([first, second], 'app.test')
  const { members, connections } = await first.status()
  assert.equal(members.map(({ name }) => name).sort(), ['first', 'second'])
  assert.equal([...new Set(connections.map(({ name }) => name))], ['second'])
  await stopAll([first, second])
})

test.run()
