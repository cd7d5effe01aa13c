// Measures the cost of a feature within the data plane's own code, without sockets: a head is parsed, a server chosen, the session
// recorded, the response head inspected, the outcome counted, for 100,000 requests in an order that defeats caches. The resolution is a
// few nanoseconds, that of the measurement over sockets (state-requests.ts) is hundreds. It excludes messages to control.

import { randomBytes } from 'node:crypto'
import type { Snapshot } from '../../src/config/model.ts'
import { chooseServer } from '../../src/proxy/balancing/choose-server.ts'
import { setCookie } from '../../src/proxy/balancing/sticky-cookie.ts'
import type { Downstream } from '../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../src/proxy/forward/exchange.ts'
import { parseRequestHead, parseResponseHead } from '../../src/proxy/http1/parse-head.ts'
import { Head } from '../../src/proxy/message/head.ts'
import { Runtime } from '../../src/proxy/runtime.ts'
import type { RuntimeService } from '../../src/proxy/runtime-service.ts'
import { Sessions } from '../../src/proxy/sessions/sessions.ts'
import { snapshotOf, testOptions } from '../integration/harness.ts'
import { noTransport } from '../unit/proxy/no-transport.ts'
import { orderOf } from './paired.ts'
import { FEATURES, type Feature, SERVERS, SESSIONS, STICKY_COOKIE } from './state-requests.ts'
import { SESSION_COOKIE, TABLE_SIZE } from './state-world.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 128, uriBytes: 16_384 }
const ROUNDS = 16
const STRIDE = 7919
const ANSWER = 'HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 07:00:00 GMT\r\nContent-Length: 1024\r\n\r\n'

type Variant = 'plain' | Feature
const VARIANTS: readonly Variant[] = ['plain', ...FEATURES]
const NO_EVENTS = { probing: () => {}, probed: () => {} }

/** The cost of each feature per request, in nanoseconds. */
export function pathCosts(): Record<Feature, number> {
  const runtime = new Runtime('bench', { features: new Set(), compile: () => ({}) }, noTransport)
  runtime.apply(snapshot(), new Map())
  const sessions = new Sessions(testOptions().sessions, { onSessions: () => {}, onClaim: () => {} }, () => {})
  const heads = requests(runtime.services.get('cookie')!)
  const costs = new Map<Variant, number[]>(VARIANTS.map(variant => [variant, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const variant of orderOf(VARIANTS, round))
      costs.get(variant)?.push(nanoseconds(runtime.services.get(variant)!, sessions, heads))
  }
  // Other load and the compiler only add time, so the fastest round is the most accurate.
  const of = (variant: Variant): number => Math.min(...(costs.get(variant) ?? []))
  const added = (feature: Feature): number => of(feature) - of('plain')
  return { cookie: added('cookie'), learn: added('learn'), breaker: added('breaker') }
}

function snapshot(): Snapshot {
  const servers = Array.from({ length: SERVERS }, (_, i) => 8000 + i)
  return snapshotOf({
    plain: { servers },
    cookie: { servers, sticky: { name: STICKY_COOKIE, secure: false, httpOnly: false, sameSite: null } },
    learn: { servers, learn: { from: 'cookie', name: SESSION_COOKIE, ttlMs: 3_600_000, size: TABLE_SIZE, drain: 'move' } },
    breaker: {
      servers,
      breaker: {
        expression: 'NetworkErrorRatio() > 0.5',
        when: { kind: 'networkErrorRatio', is: '>', value: 0.5 },
        minRequests: 10,
        openMs: 10_000,
        recoveryMs: 10_000,
      },
    },
  })
}

/** Request heads as received from a socket, each with a sticky cookie and its own session. */
function requests(sticky: RuntimeService): string[] {
  const ids = randomBytes(SESSIONS * 16).toString('hex')
  return Array.from({ length: SESSIONS }, (_, i) => {
    const [cookie = ''] = setCookie(sticky.servers[i % SERVERS]!, '')
      .value('Set-Cookie')!
      .split(';')
    const text = `GET /1k HTTP/1.1\r\nHost: s0.bench.test\r\nUser-Agent: bench\r\nCookie: ${cookie}; ${SESSION_COOKIE}=`
    return Buffer.from(`${text}${ids.slice(i * 32, i * 32 + 32)}\r\n\r\n`).latin1Slice()
  })
}

function nanoseconds(service: RuntimeService, sessions: Sessions, heads: readonly string[]): number {
  const x = new Exchange({} as Downstream, 'web')
  const res = new Head()
  parseResponseHead(res, ANSWER, LIMITS)
  const since = performance.now()
  for (let i = 0, turn = 0; i < heads.length; i++) {
    turn = (turn + STRIDE) % heads.length
    const now = since + i * 0.04
    if (parseRequestHead(x.req, heads[turn]!, LIMITS) !== 0 || x.begin(now) !== 0) throw new Error('the request was refused')
    x.service = service
    if (service.breaker?.admit(x, NO_EVENTS) === false) throw new Error('the breaker is open')
    const server = chooseServer(x, now)
    if (server === null) throw new Error('no server')
    sessions.beforeSend(x, server, now)
    sessions.onResponse(x, server, res, now)
    service.breaker?.finished(x, 200, 1.5, NO_EVENTS)
  }
  return ((performance.now() - since) * 1e6) / heads.length
}
