// The load generator's process: a child process in the lab's outer namespace, which reaches the edges like any client. This file is
// both the child's loop and the parent's handle.

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
  /** The status; 0 if there was no answer. */
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
   * Sends requests until an answer is 200 and contains `wanted`, if given; resolves with the time of that answer (ms since the epoch), or
   * with null after the time limit.
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
  // The child ends with its parent.
  process.on('disconnect', () => process.exit(0))
}

/** The parent's handle. The caller must close it. */
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

  /** The report so far. */
  load(): Promise<LoadReport> {
    return this.ask({ op: 'load' })
  }

  /** Lets clients leave these edges and use all others; resolves when no request is in flight at the former. */
  leave(edges: readonly string[]): Promise<void> {
    return this.ask({ op: 'leave', edges })
  }

  /** Starts the clients with sessions that begin later. */
  begin(): Promise<void> {
    return this.ask({ op: 'begin' })
  }

  stopLoad(): Promise<LoadReport> {
    return this.ask({ op: 'stop-load' })
  }

  probe(probe: Probe): Promise<ProbeAnswer> {
    return this.ask({ op: 'probe', probe })
  }

  /** The time (ms since the epoch) of the first correct answer; null if there was none within `timeoutMs`. */
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
