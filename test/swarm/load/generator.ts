// Constant load with a fixed schedule: request n is sent at n/rps seconds, whether or not earlier ones were answered, and its latency
// counts from then, so that a stall shows in the latencies. Every byte of every answer is checked. Memory and requests in flight are
// bounded.

import { createHash, randomBytes } from 'node:crypto'
import { BreakerAnswers, type BreakerReport } from './breaker-answers.ts'
import { Histogram } from './histogram.ts'
import { HttpClient, type Outcome } from './http-client.ts'
import { PAUSE_MS, SessionClients, type SessionGroup, type SessionsReport, type Turn } from './sessions.ts'

export interface LoadEdge {
  readonly name: string
  readonly address: string
  readonly port: number
  /**
   * The scenario takes this edge away. If it refuses a connection, the request goes to the next edge, as a client with several addresses
   * would do since nothing was sent, and counts as rerouted. This applies to this edge and to refused connections only.
   */
  readonly leaving: boolean
}

export interface LoadTarget {
  /** The name that the backend's answers must contain. */
  readonly service: string
  readonly host: string
  readonly method: 'GET' | 'POST'
  /** Size of a POST's body in bytes; the backend answers with its hash. */
  readonly bodyBytes: number
}

export interface LoadPlan {
  readonly edges: readonly LoadEdge[]
  /** The targets, used in turn. */
  readonly targets: readonly LoadTarget[]
  readonly rps: number
  /** Clients with sessions, which make all of the load: each request is one of their turns, and `targets` is not used. */
  readonly sessions?: readonly SessionGroup[]
  /** Source addresses of clients that are recognized by their address. */
  readonly addresses?: readonly string[]
  /** Minimum time in ms between an answer and the client's next request; default PAUSE_MS. */
  readonly pauseMs?: number
  /** The backend fails on purpose: see breaker-answers.ts. */
  readonly breaker?: boolean
}

export interface FailureSample {
  readonly atMs: number
  /** Time in ms from the moment at which it was due to its failure. */
  readonly tookMs: number
  readonly edge: string
  readonly request: string
  readonly kind: string
  readonly detail: string
}

export interface LoadReport {
  readonly requests: number
  readonly failed: number
  readonly failedBy: Readonly<Record<string, number>>
  /** Refused by a leaving edge, then answered by another one. */
  readonly rerouted: number
  /** Answered later than DELAYED_MS after it was due. */
  readonly delayed: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly samples: readonly FailureSample[]
  /** Only if the plan has sessions. */
  readonly sessions?: SessionsReport
  /** Only if the plan has a breaker. */
  readonly breaker?: BreakerReport
}

const TIMEOUT_MS = 15_000
const DELAYED_MS = 900
const SAMPLES = 50
const NO_BODY = createHash('sha256').digest('hex')
const IN_FLIGHT_LIMIT = 6000
/** Number of filler bytes in an answer. */
const PAD = 700

interface Body {
  readonly bytes: Buffer
  readonly sha256: string
}

function bodyOf(length: number): Body {
  const bytes = randomBytes(length)
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') }
}

type Wrong = { readonly kind: string; readonly detail: string }

/** The answer as an object, or the error in it. */
function read(outcome: Outcome, wantedStatus: number): { readonly answer: Record<string, unknown> } | { readonly wrong: Wrong } {
  if ('kind' in outcome) return { wrong: outcome }
  const text = outcome.body.toString('utf8')
  if (outcome.status !== wantedStatus)
    return { wrong: { kind: `status-${outcome.status}`, detail: `${outcome.head} | ${text.slice(0, 300)}` } }
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer === 'object' && answer !== null) return { answer: answer as Record<string, unknown> }
  } catch {
    // Reported below.
  }
  return { wrong: { kind: 'wrong-body', detail: `not JSON: ${text.slice(0, 200)}` } }
}

/** The parts of a request that its answer must repeat. */
interface Expected {
  readonly service: string
  readonly method: string
  readonly bodyBytes: number
  readonly sha256: string
  readonly nonce: string
}

function isRight(answer: Readonly<Record<string, unknown>>, expected: Expected): boolean {
  return (
    answer.nonce === expected.nonce &&
    answer.method === expected.method &&
    answer.length === expected.bodyBytes &&
    answer.sha256 === expected.sha256 &&
    (answer.pad as string | undefined)?.length === PAD
  )
}

/** One request in flight. */
interface Errand {
  readonly number: number
  readonly dueAt: number
  readonly bytes: Buffer
  readonly what: string
  readonly expected: Expected
  /** The client's source address; null: any. */
  readonly address: string | null
  /** The client's turn; null: a request without a session. */
  readonly turn: Turn | null
}

export class LoadGenerator {
  private readonly plan: LoadPlan
  /** By edge, then by the client's address. */
  private readonly clients: readonly Map<string | null, HttpClient>[]
  private readonly bodies: readonly Body[]
  private readonly sessions: SessionClients | null
  private readonly breaker: BreakerAnswers | null
  private readonly latency = new Histogram()
  private readonly failedBy: Record<string, number> = {}
  private readonly samples: FailureSample[] = []
  private readonly startedAt = performance.now()
  private readonly timer: NodeJS.Timeout
  private readonly usable: boolean[]
  /** Requests in flight, by edge. */
  private readonly underWay: number[]
  private due = 0
  private sent = 0
  private inFlight = 0
  private failed = 0
  private rerouted = 0
  private delayed = 0

  constructor(plan: LoadPlan) {
    this.plan = plan
    const names = plan.edges.map(edge => edge.name)
    this.clients = names.map(() => new Map())
    this.usable = names.map(() => true)
    this.underWay = names.map(() => 0)
    this.bodies = plan.targets.map(target => bodyOf(target.bodyBytes))
    const { sessions, addresses = [], pauseMs = PAUSE_MS } = plan
    this.sessions = sessions === undefined ? null : new SessionClients(sessions, names, addresses, pauseMs)
    this.breaker = plan.breaker === true ? new BreakerAnswers(names) : null
    this.timer = setInterval(() => this.sendDue(), 4)
  }

  /** Stops sending, waits for requests in flight, and resolves with the report. */
  async stop(): Promise<LoadReport> {
    clearInterval(this.timer)
    while (this.inFlight > 0) await new Promise(resolve => setTimeout(resolve, 20))
    for (const clients of this.clients) for (const client of clients.values()) client.close()
    return this.report()
  }

  /** Lets clients leave these edges and use all others; resolves when no request is in flight at the former. */
  async leave(names: readonly string[]): Promise<void> {
    for (const [index, edge] of this.plan.edges.entries()) this.usable[index] = !names.includes(edge.name)
    if (!this.usable.includes(true)) throw new Error('no edge is left to send to')
    while (this.usable.some((usable, index) => !usable && this.underWay[index] !== 0))
      await new Promise(resolve => setTimeout(resolve, 5))
  }

  /** Starts the clients that begin later. */
  begin(): void {
    this.sessions?.begin()
  }

  report(): LoadReport {
    const round = (ms: number): number => Math.round(ms * 10) / 10
    return {
      requests: this.sent,
      failed: this.failed,
      failedBy: this.failedBy,
      rerouted: this.rerouted,
      delayed: this.delayed,
      p50Ms: round(this.latency.percentile(0.5)),
      p99Ms: round(this.latency.percentile(0.99)),
      maxMs: round(this.latency.maxMs),
      samples: this.samples,
      ...(this.sessions === null ? {} : { sessions: this.sessions.report() }),
      ...(this.breaker === null ? {} : { breaker: this.breaker.report() }),
    }
  }

  private sendDue(): void {
    const due = 1 + Math.floor(((performance.now() - this.startedAt) * this.plan.rps) / 1000)
    while (this.due < due) {
      const number = this.due
      this.due += 1
      const dueAt = this.startedAt + (number * 1000) / this.plan.rps
      if (this.sessions === null) this.request(number, dueAt)
      else this.takeTurn(this.sessions, number, dueAt)
    }
  }

  private request(number: number, dueAt: number): void {
    const { edges, targets } = this.plan
    // The two numbers are in general not multiples of each other, so every edge gets every kind of request.
    const target = targets[Math.floor(number / edges.length) % targets.length]
    const body = this.bodies[Math.floor(number / edges.length) % targets.length]
    if (target === undefined || body === undefined) return
    const nonce = `${number}`
    const { service, method, bodyBytes } = target
    const lines = method === 'POST' ? [`Content-Length: ${body.bytes.length}`] : []
    const head = headOf(method, '/', nonce, target.host, lines)
    this.send(this.usableFrom(number % edges.length), {
      number,
      dueAt,
      bytes: Buffer.concat([Buffer.from(head, 'latin1'), body.bytes]),
      what: `${method} ${target.host} #${number}`,
      expected: { service, method, bodyBytes, sha256: body.sha256, nonce },
      address: null,
      turn: null,
    })
  }

  private takeTurn(sessions: SessionClients, number: number, dueAt: number): void {
    const turn = sessions.next(performance.now(), this.usable)
    if (turn === null) {
      this.sent += 1
      this.failure({ kind: 'no-client', detail: 'every client waits for an answer' }, '', `#${number}`, dueAt, 0)
      return
    }
    const { path, lines, address } = sessions.request(turn)
    const { service, host } = turn.client.group
    for (const edge of turn.edges) {
      const nonce = `${number}-${edge}`
      this.send(edge, {
        number,
        dueAt,
        bytes: Buffer.from(headOf('GET', path, nonce, host, lines), 'latin1'),
        what: `GET ${host}${path} #${number} of client ${turn.client.id}`,
        expected: { service, method: 'GET', bodyBytes: 0, sha256: NO_BODY, nonce },
        address,
        turn,
      })
    }
  }

  private send(first: number, errand: Errand): void {
    this.sent += 1
    if (this.inFlight >= IN_FLIGHT_LIMIT) {
      this.failure({ kind: 'generator-full', detail: `${this.inFlight} under way` }, '', errand.what, errand.dueAt, 0)
      if (errand.turn !== null) this.sessions?.ended(errand.turn, performance.now())
      return
    }
    this.inFlight += 1
    const sentAt = Date.now()
    const attempt = (edgeIndex: number, left: number): void => {
      const edge = this.plan.edges[edgeIndex]
      if (edge === undefined) return
      this.underWay[edgeIndex] = (this.underWay[edgeIndex] ?? 0) + 1
      this.clientOf(edgeIndex, errand.address).send(errand.bytes, TIMEOUT_MS, outcome => {
        this.underWay[edgeIndex] = (this.underWay[edgeIndex] ?? 0) - 1
        if ('kind' in outcome && outcome.kind === 'connect-refused' && edge.leaving && left > 0) {
          this.rerouted += 1
          attempt(this.usableFrom((edgeIndex + 1) % this.plan.edges.length), left - 1)
        } else {
          this.ended(errand, outcome, edgeIndex, sentAt)
        }
      })
    }
    attempt(first, this.plan.edges.length - 1)
  }

  private ended(errand: Errand, outcome: Outcome, edgeIndex: number, sentAt: number): void {
    this.inFlight -= 1
    const now = performance.now()
    const tookMs = now - errand.dueAt
    this.latency.add(tookMs)
    if (tookMs > DELAYED_MS) this.delayed += 1
    const wrong = this.judge(errand, outcome, edgeIndex, sentAt)
    if (errand.turn !== null) this.sessions?.ended(errand.turn, now)
    if (wrong !== null) this.failure(wrong, this.edgeName(edgeIndex), errand.what, errand.dueAt, tookMs)
  }

  /** The error in an answer; null if it is correct, or one that the scenario expects. */
  private judge({ expected, turn }: Errand, outcome: Outcome, edgeIndex: number, sentAt: number): Wrong | null {
    const edge = this.edgeName(edgeIndex)
    const reply = 'kind' in outcome ? null : outcome
    if (reply !== null && this.breaker?.takeRefusal(edge, reply)) return null
    const failing = this.breaker !== null && reply?.status === 500
    const found = read(outcome, failing ? 500 : 200)
    if ('wrong' in found) return found.wrong
    if (found.answer.service !== expected.service)
      return { kind: 'wrong-service', detail: JSON.stringify(found.answer).slice(0, 300) }
    if (!isRight(found.answer, expected) || reply === null)
      return { kind: 'wrong-body', detail: JSON.stringify(found.answer).slice(0, 300) }
    if (failing) return this.breaker?.takeIntended(edge, reply) ? null : { kind: 'status-500', detail: reply.head }
    const session = turn === null ? null : (this.sessions?.answered(turn, edgeIndex, reply, found.answer, sentAt) ?? null)
    return session === null ? null : { kind: 'wrong-session', detail: session }
  }

  private clientOf(edgeIndex: number, address: string | null): HttpClient {
    const clients = this.clients[edgeIndex] ?? new Map<string | null, HttpClient>()
    const { address: host = '', port = 0 } = this.plan.edges[edgeIndex] ?? {}
    let client = clients.get(address)
    if (client === undefined) clients.set(address, (client = new HttpClient(host, port, address)))
    return client
  }

  /** The first usable edge from this one on. */
  private usableFrom(edgeIndex: number): number {
    for (let n = 0; n < this.usable.length; n++) {
      const index = (edgeIndex + n) % this.usable.length
      if (this.usable[index]) return index
    }
    return edgeIndex
  }

  private edgeName(edgeIndex: number): string {
    return this.plan.edges[edgeIndex]?.name ?? ''
  }

  private failure(wrong: Wrong, edge: string, request: string, dueAt: number, tookMs: number): void {
    this.failed += 1
    this.failedBy[wrong.kind] = (this.failedBy[wrong.kind] ?? 0) + 1
    if (this.samples.length >= SAMPLES) return
    this.samples.push({
      atMs: Math.round(dueAt - this.startedAt),
      tookMs: Math.round(tookMs),
      edge,
      request,
      kind: wrong.kind,
      detail: wrong.detail,
    })
  }
}

/** The filler gives the answer a normal size. */
function headOf(method: string, path: string, nonce: string, host: string, lines: readonly string[]): string {
  return [`${method} ${path}?nonce=${nonce}&pad=${PAD} HTTP/1.1`, `Host: ${host}`, ...lines, '\r\n'].join('\r\n')
}
