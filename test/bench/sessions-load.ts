// wrk with the sessions of a file, one per line: each request has another session, in an order that defeats caches, or lets the
// application create it. Requests of all variants are the same except for the host, whose names have the same length.

import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from './processes.ts'
import { SESSION_COOKIE } from './state-world.ts'

export const CONNECTIONS = 64
/** A prime step: a walk with it visits all sessions if their number is not a multiple of it. */
const STRIDE = 7919

export interface SessionFile {
  readonly path: string
  readonly ids: readonly string[]
}

/** Session ids of 32 hexadecimal digits, as in Tomcat. */
export function writeSessions(directory: string, count: number): SessionFile {
  const ids = Array.from({ length: count }, () => randomBytes(16).toString('hex').toUpperCase())
  const path = join(directory, 'sessions.txt')
  writeFileSync(path, `${ids.join('\n')}\n`)
  return { path, ids }
}

/** The position of a walk over the sessions after a number of requests. */
export function placeAfter(requests: number, { ids }: SessionFile): number {
  return (requests * STRIDE) % ids.length
}

export interface SessionLoad {
  readonly port: number
  readonly host: string
  /** `use`: GET /1k with the session's cookie; `make`: the application creates the sessions, in the order of the file. */
  readonly what: 'use' | 'make'
  readonly seconds: number
  /** Further cookies, used in turn and sent before the session's. */
  readonly cookies?: readonly string[]
  /** The index of the first session. */
  readonly from?: number
}

export interface SessionLoadResult {
  readonly requests: number
  /** Connect, read, write and time-out errors, and answers other than 2xx and 3xx. */
  readonly errors: number
}

export async function loadSessions(load: SessionLoad, sessions: SessionFile, directory: string): Promise<SessionLoadResult> {
  const script = join(directory, `sessions-${load.what}.lua`)
  writeFileSync(script, luaScript(load, sessions))
  const target = `http://127.0.0.1:${load.port}/`
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${load.seconds}s`, '--timeout', '10s', '-s', script, target]
  const output = await runToEnd('wrk', args, join(directory, 'wrk.log'))
  const line = output.split('\n').find(text => text.startsWith('{'))
  if (line === undefined) throw new Error(`wrk printed no result:\n${output}`)
  return JSON.parse(line) as SessionLoadResult
}

function luaScript({ host, what, cookies = [], from = 0 }: SessionLoad, { path, ids }: SessionFile): string {
  const head = `${what === 'make' ? 'GET /new?sid=' : 'GET /1k'}`
  const end = `\\r\\n\\r\\n`
  const common = `Host: ${host}\\r\\nUser-Agent: bench`
  const request =
    what === 'make'
      ? `"${head}" .. ids[turn + 1] .. " HTTP/1.1\\r\\n${common}${end}"`
      : `"${head} HTTP/1.1\\r\\n${common}\\r\\nCookie: " .. cookies[turn % ${Math.max(1, cookies.length)} + 1] .. "${SESSION_COOKIE}=" .. ids[turn + 1] .. "${end}"`
  return `
local ids = {}
for line in io.lines("${path}") do ids[#ids + 1] = line end
local cookies = { ${cookies.length === 0 ? '""' : cookies.map(cookie => `"${cookie}; "`).join(', ')} }
local turn = ${from % ids.length}
request = function()
  turn = (turn + ${what === 'make' ? 1 : STRIDE}) % ${ids.length}
  return ${request}
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"errors":%d}\\n', summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
end
`
}
