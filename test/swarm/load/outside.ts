// A client's place: a child process in the lab's outer namespace, from where the edges are reached as any client would reach
// them. This file is both ends: the child's loop when it is run, and the handle that scenarios hold.

import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { enterGroup, toolGroup } from '../groups.ts'
import { namespacePath } from '../network.ts'
import { OUTER } from '../topology.ts'
import { LoadGenerator, type LoadPlan, type LoadReport } from './generator.ts'
import { HttpClient, type Outcome } from './http-client.ts'

export interface Probe {
  readonly address: string
  readonly port: number
  readonly host: string
  readonly path: string
  readonly timeoutMs: number
}

export interface ProbeAnswer {
  /** 0 when there was none. */
  readonly status: number
  readonly head: string
  readonly body: string
}

type Command =
  | { readonly op: 'start-load'; readonly plan: LoadPlan }
  | { readonly op: 'load' }
  | { readonly op: 'leave'; readonly edges: readonly string[] }
  | { readonly op: 'begin' }
  | { readonly op: 'stop-load' }
  | { readonly op: 'probe'; readonly probe: Probe }
  /**
   * Asks until the answer is 200 and, if `wanted` is given, contains it; the time of that answer (ms since the epoch), or null in
   * the end.
   */
  | { readonly op: 'await'; readonly probe: Probe; readonly wanted: string | null; readonly deadlineMs: number }

interface Request {
  readonly id: number
  readonly command: Command
}

type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string }

const AWAIT_EVERY_MS = 25

function probeOnce(probe: Probe): Promise<ProbeAnswer> {
  const client = new HttpClient(probe.address, probe.port)
  const bytes = Buffer.from(`GET ${probe.path} HTTP/1.1\r\nHost: ${probe.host}\r\nConnection: close\r\n\r\n`, 'latin1')
  return new Promise(resolve => {
    client.send(bytes, probe.timeoutMs, (outcome: Outcome) => {
      client.close()
      resolve(
        'kind' in outcome
          ? { status: 0, head: outcome.kind, body: outcome.detail }
          : { status: outcome.status, head: outcome.head, body: outcome.body.toString('utf8') },
      )
    })
  })
}

async function awaitAnswer(probe: Probe, wanted: string | null, deadlineMs: number): Promise<number | null> {
  while (Date.now() < deadlineMs) {
    const answer = await probeOnce(probe)
    if (answer.status === 200 && (wanted === null || answer.body.includes(wanted))) return Date.now()
    await delay(AWAIT_EVERY_MS)
  }
  return null
}

function serve(): void {
  let generator: LoadGenerator | null = null
  const carryOut = async (command: Command): Promise<unknown> => {
    switch (command.op) {
      case 'start-load':
        if (generator !== null) throw new Error('load is running')
        generator = new LoadGenerator(command.plan)
        return null
      case 'load':
        return generator?.report() ?? null
      case 'leave':
        return generator?.leave(command.edges) ?? null
      case 'begin':
        generator?.begin()
        return null
      case 'stop-load': {
        const report = await generator?.stop()
        generator = null
        return report ?? null
      }
      case 'probe':
        return probeOnce(command.probe)
      case 'await':
        return awaitAnswer(command.probe, command.wanted, command.deadlineMs)
    }
  }
  const reply = (answer: Answer): void => {
    process.send?.(answer)
  }
  process.on('message', (message: Request) => {
    carryOut(message.command).then(
      value => reply({ id: message.id, value }),
      (error: unknown) => reply({ id: message.id, error: String(error) }),
    )
  })
  // the parent's end is ours
  process.on('disconnect', () => process.exit(0))
}

/** The parent's handle. Must be closed. */
export class Outside {
  private readonly child: ChildProcess
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  private nextId = 1
  private ended: string | null = null

  constructor() {
    const script = `${enterGroup(toolGroup())} && exec nsenter --net="$1" "$2" "$3"`
    this.child = spawn('sh', ['-c', script, 'sh', namespacePath(OUTER), process.execPath, import.meta.filename], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.child.on('message', (answer: Answer) => {
      const pending = this.waiting.get(answer.id)
      this.waiting.delete(answer.id)
      if ('error' in answer) pending?.reject(new Error(answer.error))
      else pending?.resolve(answer.value)
    })
    this.child.on('exit', (code, signal) => {
      this.ended = `the load generator ended (${signal ?? code})`
      for (const { reject } of this.waiting.values()) reject(new Error(this.ended))
      this.waiting.clear()
    })
  }

  startLoad(plan: LoadPlan): Promise<void> {
    return this.ask({ op: 'start-load', plan })
  }

  /** How it goes so far. */
  load(): Promise<LoadReport> {
    return this.ask({ op: 'load' })
  }

  /** Clients leave these edges, and return to all others; resolves when nothing is under way there. */
  leave(edges: readonly string[]): Promise<void> {
    return this.ask({ op: 'leave', edges })
  }

  /** Clients with sessions that were to begin later begin. */
  begin(): Promise<void> {
    return this.ask({ op: 'begin' })
  }

  stopLoad(): Promise<LoadReport> {
    return this.ask({ op: 'stop-load' })
  }

  probe(probe: Probe): Promise<ProbeAnswer> {
    return this.ask({ op: 'probe', probe })
  }

  /** The time (ms since the epoch) of the first right answer, or null when there was none within `timeoutMs`. */
  awaitAnswer(probe: Probe, wanted: string | null, timeoutMs: number): Promise<number | null> {
    return this.ask({ op: 'await', probe, wanted, deadlineMs: Date.now() + timeoutMs })
  }

  async close(): Promise<void> {
    if (this.ended !== null) return
    await new Promise<void>(resolve => {
      this.child.on('exit', () => resolve())
      this.child.disconnect()
    })
  }

  private ask<T>(command: Command): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.ended !== null) {
        reject(new Error(this.ended))
        return
      }
      const id = this.nextId++
      this.waiting.set(id, { resolve: value => resolve(value as T), reject })
      const request: Request = { id, command }
      this.child.send(request, error => {
        if (error !== null) reject(error)
      })
    })
  }
}

if (import.meta.main) serve()
