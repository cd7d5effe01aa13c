// Bad files and bad answers for `skein check --stack`, `skein routes` and `skein health`: each ends with one clear line and the
// right exit code.

import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { endAll, ownDirectory, skein } from './skein-process.ts'

const directory = ownDirectory()
const servers: Server[] = []
const sockets = new Set<Socket>()

test.after(() => {
  endAll()
  for (const server of servers) server.close()
  for (const socket of sockets) socket.destroy()
})

function file(name: string, content: string | Buffer): string {
  writeFileSync(join(directory, name), content)
  return join(directory, name)
}

const BOMB = `a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]
services: {web: {deploy: {labels: {traefik.port: [*d,*d,*d,*d]}}}}
`

for (const [what, content, expected] of [
  ['no stack file', 'hello\n', /^error: expected a stack file: a map with 'services'$/m],
  ['a list of services', 'services: []\n', /^error: expected a stack file: a map with 'services'$/m],
  ['bytes', Buffer.from([0, 1, 255]), /^error: expected /m],
  ['a bomb of aliases', BOMB, /^error: expected YAML: Excessive alias count/m],
  ['a tower of brackets', '['.repeat(200_000), /^error: expected YAML: /m],
  [
    'services of the wrong shape',
    'services: {web: 5, api: {deploy: {labels: 5}}}\n',
    /^error: web: services\.web is "5", expected a service\nerror: api: services\.api\.deploy\.labels, expected a list/m,
  ],
  [
    'names and labels made to confuse',
    'services:\n  __proto__: {deploy: {labels: ["traefik.port=x\\e[2J"]}}\n  e: {deploy: {labels: ["traefik.port=\\x9b\\e[31m"]}}\n',
    /^error: __proto__: traefik\.port is "x.*", expected a whole number/m,
  ],
] as const) {
  test(`check --stack of ${what}`, async () => {
    const { code, out, err } = await skein(['check', '--domain', 'a.test', '--stack', file('stack.yml', content)])
    assert.is(code, 1, out + err)
    assert.match(out, expected)
    assert.not.match(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|at .*\.ts:\d/)
    assert.is(err, '')
  })
}

test('check --stack of a too large file, and of a directory', async () => {
  for (const path of [file('large.yml', '#'.repeat(5_000_000)), directory]) {
    const { code, err } = await skein(['check', '--stack', path])
    assert.is(code, 2)
    assert.match(err, /^skein check: --stack is ".*" and cannot be read \(.*\), expected a stack file$/m)
  }
})

/** Starts a server that handles every connection so; returns its port. */
function serverOf(answer: (socket: Socket) => void): Promise<number> {
  return new Promise(resolve => {
    const server = createServer(socket => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('data', () => answer(socket))
    }).listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
    servers.push(server)
  })
}

const http =
  (body: string) =>
  (socket: Socket): void =>
    void socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)

for (const [what, answer, expected] of [
  ['HTML', http('<html>'), /does not answer with JSON: is it Skein\?$/],
  ['another JSON', http('{"revision":5}'), /the answer .*is (?:not a snapshot|not Skein's)/],
  ['what is no HTTP', (socket: Socket) => void socket.end('SSH-2.0\r\n\r\n'), /cannot be reached/],
  ['a closed connection', (socket: Socket) => socket.destroy(), /cannot be reached/],
  ['nothing', () => undefined, /does not answer within \d000 ms$/],
] as const) {
  test(`routes and health with a server that answers ${what}`, async () => {
    const admin = `127.0.0.1:${await serverOf(answer)}`
    const ends = await Promise.all(['routes', 'health'].map(command => skein([command, '--admin', admin])))
    for (const { code, out, err } of ends) {
      assert.is(code, 1, out)
      assert.match(err.trimEnd(), expected)
      assert.is(err.trimEnd().split('\n').length, 1, err)
      assert.is(out, '')
    }
  })
}

test.run()
