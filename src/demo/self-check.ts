// The demo's constant load: requests at a fixed rate through the replicas in turn. The counts show at once whether a request failed
// after a key was pressed.

import { Agent, request } from 'undici'

export interface CheckTarget {
  readonly name: string
  readonly port: number
  /** False while the replica is down on purpose: a load balancer would not send requests to it either. */
  readonly usable: () => boolean
}

export interface CheckCounts {
  readonly ok: number
  readonly failed: number
  /** Requests that were in flight when their replica was killed. */
  readonly cut: number
}

export class SelfCheck {
  readonly #targets: readonly CheckTarget[]
  readonly #agent = new Agent({ connections: 16, headersTimeout: 15_000, bodyTimeout: 15_000 })
  readonly #onFailure: (line: string) => void
  #timer: NodeJS.Timeout | null = null
  #turn = 0
  #ok = 0
  #failed = 0
  #cut = 0

  constructor(targets: readonly CheckTarget[], onFailure: (line: string) => void) {
    this.#targets = targets
    this.#onFailure = onFailure
  }

  get counts(): CheckCounts {
    return { ok: this.#ok, failed: this.#failed, cut: this.#cut }
  }

  start(perSecond: number): void {
    this.#timer = setInterval(() => void this.#once(), 1_000 / perSecond)
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await this.#agent.destroy()
  }

  async #once(): Promise<void> {
    const usable = this.#targets.filter(target => target.usable())
    const target = usable[this.#turn++ % Math.max(1, usable.length)]
    if (target === undefined) return
    const host = this.#turn % 4 === 0 ? 'sticky.localhost' : 'whoami.localhost'
    const outcome = await ask(this.#agent, target.port, host)
    if (outcome === 200) this.#ok++
    else if (this.#timer === null) return
    else if (!target.usable()) this.#cut++
    else {
      this.#failed++
      this.#onFailure(`a request for ${host} through ${target.name} failed: ${outcome}`)
    }
  }
}

/** Sends one GET /; resolves with the status, or with the error text. */
export async function ask(agent: Agent, port: number, host: string): Promise<number | string> {
  try {
    const answer = await request(`http://127.0.0.1:${port}/`, { dispatcher: agent, headers: { host } })
    await answer.body.dump()
    return answer.statusCode
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
