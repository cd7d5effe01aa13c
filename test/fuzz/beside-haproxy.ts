// `npm run fuzz:haproxy -- --seconds N [--seed S]`: sends responses that Skein accepts through an installed HAProxy. Where HAProxy
// accepts one too, it must give the same status and content; otherwise a server behind both could say one thing to Skein and another
// to everybody else. Refusals of HAProxy are only counted. The last line is one JSON object; exit code 1 if there was a difference.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort } from '../free-port.ts'
import { escapeBytes } from './events.ts'
import { makeCase } from './grammar.ts'
import { Random } from './random.ts'

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'node:net' && /\/(?:upstream-connection|server-socket)\./.test(context.parentURL ?? '')
      ? next(new URL('./fake-net.ts', import.meta.url).href, context)
      : next(specifier, context),
})
const ours = await import('./ours.ts')

const MOST_SHOWN = 5
const PATIENCE_MS = 2000

interface Answer {
  readonly status: string
  readonly content: string
  /** Its end was reached by its framing. */
  readonly whole: boolean
}

/** The final response of a stream; null if there is none. */
function read(text: string, head: boolean): Answer | null {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return null
  const fields = text.slice(0, end + 2)
  const status = fields.slice(9, 12)
  let rest = text.slice(end + 4)
  if (status.startsWith('1') && status !== '101') return read(rest, head)
  if (head || status === '204' || status === '304') return { status, content: '', whole: true }
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(fields)) return { status, content: rest, whole: true }
  let content = ''
  for (;;) {
    const line = rest.indexOf('\r\n')
    const size = line < 0 ? Number.NaN : Number.parseInt(rest.slice(0, line), 16)
    if (size === 0) return { status, content, whole: true }
    content += rest.slice(line + 2, line + 2 + size)
    if (!(size > 0) || rest.length < line + 4 + size) return { status, content, whole: false }
    rest = rest.slice(line + 4 + size)
  }
}

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '30' }, seed: { type: 'string' } } })
const seed = values.seed === undefined ? Date.now() % 4294967296 : Number(values.seed)

let bytes: Buffer = Buffer.alloc(0)
const server = createServer({ allowHalfOpen: true }, socket => {
  let received = ''
  socket.on('error', () => {})
  socket.on('data', chunk => {
    received += chunk.toString('latin1')
    if (received.includes('\r\n\r\n')) socket.end(bytes)
  })
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
const port = await freePort()
const folder = mkdtempSync(join(tmpdir(), 'skein-fuzz-'))
writeFileSync(
  join(folder, 'haproxy.cfg'),
  `defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 1s
  retries 0
listen fuzz
  bind 127.0.0.1:${port}
  server one 127.0.0.1:${(server.address() as AddressInfo).port}
`,
)
const haproxy = spawn('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' })
haproxy.on('error', error => {
  console.error(`haproxy cannot be started: ${error.message}`)
  process.exit(2)
})
process.on('exit', () => {
  haproxy.kill()
  rmSync(folder, { recursive: true })
})

function ask(head: boolean): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const done = () => {
      clearTimeout(timer)
      socket.destroy()
      resolve(text)
    }
    const timer = setTimeout(done, PATIENCE_MS)
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
    })
    socket.on('end', done)
    socket.on('error', done)
    socket.write(`${head ? 'HEAD' : 'GET'} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
  })
}

bytes = Buffer.from('HTTP/1.1 204 No Content\r\n\r\n')
for (const end = performance.now() + 10_000; (await ask(false)) === ''; ) {
  if (performance.now() > end) throw new Error('haproxy does not listen')
  await new Promise(resolve => setTimeout(resolve, 50))
}

let [tried, same, refused, differences] = [0, 0, 0, 0]
const end = performance.now() + Number(values.seconds) * 1000
for (let n = 0; performance.now() < end; n++) {
  const c = makeCase(new Random(seed + Math.imul(n, 0x9e3779b1)))
  if (c.kind !== 'response') continue
  const { events } = ours.readResponse(c.bytes, [], c.head, true, true)
  const last = events.at(-1)
  const head = events.at(-2)
  if (last?.kind !== 'end' || head?.kind !== 'head' || head.line[0].startsWith('1')) continue
  tried++
  bytes = c.bytes
  const theirs = read(await ask(c.head), c.head)
  // A response that HAProxy truncates counts as refused, only later.
  const cut = theirs !== null && !theirs.whole && last.body.startsWith(theirs.content)
  if (theirs === null || cut || (theirs.status === '502' && head.line[0] !== '502')) refused++
  else if (theirs.status === head.line[0] && theirs.content === last.body) same++
  else if (++differences <= MOST_SHOWN) {
    console.log(`\ncase ${n} of seed ${seed}${c.head ? ', to HEAD' : ''}\n  ${escapeBytes(c.bytes)}`)
    console.log(`  ours:    ${head.line[0]} ${JSON.stringify(last.body)}\n  haproxy: ${JSON.stringify(theirs)}`)
  }
}
console.log(JSON.stringify({ seconds: Number(values.seconds), tried, same, refused, differences, seed }))
process.exit(differences === 0 ? 0 : 1)
