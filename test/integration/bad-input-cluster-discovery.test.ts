// Peers that are not where they should be: names that lead nowhere, to oneself, to strangers; addresses that nobody answers at. A
// replica says so, serves on, and finds those who are there.

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

/** Somebody else's server; `greet` is what it does with a connection. */
async function stranger(greet: (socket: Socket) => void): Promise<string> {
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

test('a name that leads nowhere is told once, with the name; the replica is a cluster of one and serves', async () => {
  const alone = await ClusteredReplica.start({ name: 'alone', manager: endpoint, peers: ['nobody.invalid:7998'] })
  await alone.knows(1)
  await allServe([alone], 'app.test')
  const told = await alone.replica.logs(/nobody\.invalid/)
  assert.is(told.level, 'warn')
  await new Promise(resolve => setTimeout(resolve, 6000))
  assert.is(alone.replica.lines.filter(({ msg }) => /nobody\.invalid/.test(msg)).length, 1)
  await stopAll([alone])
})

test('a name that leads to oneself for ever, and strangers of all kinds: it finds the peer among them', async () => {
  const silent = await stranger(() => {})
  const rude = await stranger(socket => socket.destroy())
  const web = await stranger(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const chatty = await stranger(socket => {
    const timer = setInterval(() => socket.write(Buffer.alloc(16_384, 0x41)), 5)
    socket.on('close', () => clearInterval(timer))
  })
  const closed = `127.0.0.1:${await freePort()}`
  // 192.0.2.0/24 is for documentation (RFC 5737): nobody is there.
  const strangers = [silent, rude, web, chatty, closed, '192.0.2.1:7998']
  const port = await freePort()
  const self = `localhost:${port}`
  const first = await ClusteredReplica.start({ name: 'first', manager: endpoint, port, peers: [self, ...strangers] })
  await first.knows(1)
  const second = await ClusteredReplica.start({ name: 'second', manager: endpoint, peers: [...strangers, self] })
  await Promise.all([first.knows(2), second.knows(2)])
  await allServe([first, second], 'app.test')
  const { members, connections } = await first.status()
  assert.equal(members.map(({ name }) => name).sort(), ['first', 'second'])
  assert.equal([...new Set(connections.map(({ name }) => name))], ['second'])
  await stopAll([first, second])
})

test.run()
