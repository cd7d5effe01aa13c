// The clients: wrk with a generated script that prints JSON, and a number of idle connections.

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { type Case, hostOf, type Load } from './cases.ts'
import { runToEnd } from './processes.ts'

export interface LoadResult {
  readonly requests: number
  readonly rps: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Connect, read, write and time-out errors, and answers other than 2xx and 3xx. */
  readonly errors: number
}

interface WrkNumbers {
  readonly requests: number
  readonly durationUs: number
  readonly p50Us: number
  readonly p99Us: number
  readonly errors: number
}

/** Runs wrk (one thread) for `seconds` against `host`:`port`. */
export async function wrk(
  port: number,
  shape: Case,
  load: Load,
  seconds: number,
  directory: string,
  host = '127.0.0.1',
): Promise<LoadResult> {
  const script = join(directory, `${shape.name}.lua`)
  writeFileSync(script, luaScript(shape, load))
  const args = [
    '-t1',
    `-c${load.connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '-s',
    script,
    `http://${host}:${port}${load.path}`,
  ]
  const output = await runToEnd('wrk', args, join(directory, 'wrk.log'))
  const line = output.split('\n').find(text => text.startsWith('{'))
  if (line === undefined) throw new Error(`wrk printed no result:\n${output}`)
  const { requests, durationUs, p50Us, p99Us, errors } = JSON.parse(line) as WrkNumbers
  return { requests, rps: (requests / durationUs) * 1e6, p50Ms: p50Us / 1000, p99Ms: p99Us / 1000, errors }
}

/** The script of wrk. Requests are formatted once, to minimize the cost of the client. */
function luaScript({ services }: Case, { method, path, bodyBytes, closeEach }: Load): string {
  const close = closeEach ? ', ["Connection"] = "close"' : ''
  const body = bodyBytes > 0 ? `string.rep("x", ${bodyBytes})` : 'nil'
  return `
local requests = {}
local turn = 0
init = function(args)
  local body = ${body}
  for i = 0, ${services - 1} do
    requests[i] = wrk.format("${method}", "${path}", { ["Host"] = string.format("${hostOf(0).replace('0', '%d')}", i), ["User-Agent"] = "bench"${close} }, body)
  end
end
request = function()
  local text = requests[turn]
  turn = turn + 1
  if turn == ${services} then turn = 0 end
  return text
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,"errors":%d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`
}

/** Opens `count` connections, sends one request on each, reads the answers and keeps the connections open. */
export async function openIdle(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  const request = `GET /1k HTTP/1.1\r\nHost: ${hostOf(0)}\r\n\r\n`
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(50, count - sockets.length) }, () => connect(port, '127.0.0.1'))
    sockets.push(...batch)
    await Promise.all(batch.map(socket => askOnce(socket, request)))
  }
  return sockets
}

async function askOnce(socket: Socket, request: string): Promise<void> {
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(request)
  let received = 0
  while (received < 1024) received += ((await once(socket, 'data')) as [Buffer])[0].length
  // The socket continues to read, so that a later end of the connection is detected.
  socket.resume()
}
