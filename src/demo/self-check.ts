// The demo's own steady traffic: some requests a second through every replica in turn, counted, so that whoever presses a key
// sees at once whether anything was lost.

import { Agent, request } from 'undici'

export interface CheckTarget {
  readonly name: string
  readonly port: number
  /** False while the replica was killed on purpose: a client's load balancer would not send to it either. */
  readonly usable: () => boolean
}

export interface CheckCounts {
  readonly ok: number
  readonly failed: number
  /** Broken off because the replica itself was killed while they were under way. */
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

/** The status of one GET /, or why there is none. */
export async function ask(agent: Agent, port: number, host: string): Promise<number | string> {
  try {
    const answer = await request(`http://127.0.0.1:${port}/`, { dispatcher: agent, headers: { host } })
    await answer.body.dump()
    return answer.statusCode
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
