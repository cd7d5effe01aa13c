// Steady load with a fixed schedule: request number n leaves at n/rps seconds whether or not earlier ones were answered, and its
// latency counts from then (so that a stall is seen as what it is). Every answer is checked to the byte. Bounded in memory and in
// requests under way.

import { createHash, randomBytes } from 'node:crypto'
import { Histogram } from './histogram.ts'
import { HttpClient, type Outcome } from './http-client.ts'

export interface LoadEdge {
  readonly name: string
  readonly address: string
  readonly port: number
  /**
   * The scenario takes this edge away. A client with several addresses goes to the next one when a connection is refused, since
   * nothing was sent; so does the generator, for this edge only and for refused connections only, and counts it as rerouted.
   */
  readonly leaving: boolean
}

export interface LoadTarget {
  /** What the backend must call itself. */
  readonly service: string
  readonly host: string
  readonly method: 'GET' | 'POST'
  /** Size of a POST's body; the backend answers with its hash. */
  readonly bodyBytes: number
}

export interface LoadPlan {
  readonly edges: readonly LoadEdge[]
  /** Used in turn. */
  readonly targets: readonly LoadTarget[]
  readonly rps: number
}

export interface FailureSample {
  readonly atMs: number
  /** From the moment it was due to its failure. */
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
  /** Refused by a leaving edge, then answered by another. */
  readonly rerouted: number
  /** Answered later than DELAYED_MS after it was due. */
  readonly delayed: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly samples: readonly FailureSample[]
}

const TIMEOUT_MS = 15_000
const DELAYED_MS = 900
const SAMPLES = 50
const IN_FLIGHT_LIMIT = 6000
/** Size of a normal answer: the backend pads by so many bytes. */
const PAD = 700

interface Body {
  readonly bytes: Buffer
  readonly sha256: string
}

function bodyOf(length: number): Body {
  const bytes = randomBytes(length)
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** What is wrong with an answer; null when it is right. */
export function fault(
  outcome: Outcome,
  target: LoadTarget,
  nonce: string,
  sha256: string,
): { kind: string; detail: string } | null {
  if ('kind' in outcome) return outcome
  const text = outcome.body.toString('utf8')
  if (outcome.status !== 200) return { kind: `status-${outcome.status}`, detail: `${outcome.head} | ${text.slice(0, 300)}` }
  let answer: Record<string, unknown>
  try {
    answer = JSON.parse(text) as Record<string, unknown>
  } catch {
    return { kind: 'wrong-body', detail: `not JSON: ${text.slice(0, 200)}` }
  }
  const wrong =
    answer.service !== target.service ||
    answer.nonce !== nonce ||
    answer.method !== target.method ||
    answer.length !== target.bodyBytes ||
    answer.sha256 !== sha256 ||
    (answer.pad as string | undefined)?.length !== PAD
  return wrong ? { kind: 'wrong-body', detail: text.slice(0, 300) } : null
}

export class LoadGenerator {
  private readonly plan: LoadPlan
  private readonly clients: readonly HttpClient[]
  private readonly bodies: readonly Body[]
  private readonly latency = new Histogram()
  private readonly failedBy: Record<string, number> = {}
  private readonly samples: FailureSample[] = []
  private readonly startedAt = performance.now()
  private readonly timer: NodeJS.Timeout
  private sent = 0
  private inFlight = 0
  private failed = 0
  private rerouted = 0
  private delayed = 0

  constructor(plan: LoadPlan) {
    this.plan = plan
    this.clients = plan.edges.map(edge => new HttpClient(edge.address, edge.port))
    this.bodies = plan.targets.map(target => bodyOf(target.bodyBytes))
    this.timer = setInterval(() => this.sendDue(), 4)
  }

  /** Sends no more, waits for what is under way, and tells how it went. */
  async stop(): Promise<LoadReport> {
    clearInterval(this.timer)
    while (this.inFlight > 0) await new Promise(resolve => setTimeout(resolve, 20))
    for (const client of this.clients) client.close()
    return this.report()
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
    }
  }

  private sendDue(): void {
    const due = 1 + Math.floor(((performance.now() - this.startedAt) * this.plan.rps) / 1000)
    while (this.sent < due) {
      const number = this.sent
      this.sent += 1
      this.request(number)
    }
  }

  private request(number: number): void {
    const { edges, targets, rps } = this.plan
    // neither count is a multiple of the other in general, so every edge gets every kind of request
    const target = targets[Math.floor(number / edges.length) % targets.length]
    const body = this.bodies[Math.floor(number / edges.length) % targets.length]
    if (target === undefined || body === undefined) return
    const dueAt = this.startedAt + (number * 1000) / rps
    const nonce = `${number}`
    const head = [
      `${target.method} /?nonce=${nonce}&pad=${PAD} HTTP/1.1`,
      `Host: ${target.host}`,
      ...(target.method === 'POST' ? [`Content-Length: ${body.bytes.length}`] : []),
      '\r\n',
    ].join('\r\n')
    const bytes = Buffer.concat([Buffer.from(head, 'latin1'), body.bytes])
    const ended = (outcome: Outcome, edgeIndex: number): void => {
      this.inFlight -= 1
      const tookMs = performance.now() - dueAt
      this.latency.add(tookMs)
      if (tookMs > DELAYED_MS) this.delayed += 1
      const wrong = fault(outcome, target, nonce, body.sha256)
      if (wrong !== null)
        this.failure(wrong, edges[edgeIndex]?.name ?? '', `${target.method} ${target.host} #${number}`, dueAt, tookMs)
    }
    if (this.inFlight >= IN_FLIGHT_LIMIT) {
      this.failure({ kind: 'generator-full', detail: `${this.inFlight} under way` }, '', `#${number}`, dueAt, 0)
      return
    }
    this.inFlight += 1
    const attempt = (edgeIndex: number, left: number): void => {
      const edge = edges[edgeIndex]
      const client = this.clients[edgeIndex]
      if (edge === undefined || client === undefined) return
      client.send(bytes, TIMEOUT_MS, outcome => {
        if ('kind' in outcome && outcome.kind === 'connect-refused' && edge.leaving && left > 0) {
          this.rerouted += 1
          attempt((edgeIndex + 1) % edges.length, left - 1)
        } else {
          ended(outcome, edgeIndex)
        }
      })
    }
    attempt(number % edges.length, edges.length - 1)
  }

  private failure(wrong: { kind: string; detail: string }, edge: string, request: string, dueAt: number, tookMs: number): void {
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
