// The demo's three replicas: starts, kills and restarts them, and finds out which one leads.

import { Agent } from 'undici'
import type { AdminPages } from './admin-pages.ts'
import type { Replica } from './replicas.ts'
import { ask } from './self-check.ts'
import { agreedLeader, awaitLeader, type Leadership, viewsOf } from './succession.ts'

export const readyWithinMs = 30_000
/** Time limit for the election of a new leader. */
const leaderWithinMs = 10_000

export interface Succession {
  readonly leader: Leadership
  /** Time from the death of the old leader until every remaining replica reported the new one. */
  readonly afterMs: number
}

export class Fleet {
  readonly replicas: readonly Replica[]
  readonly #pages: AdminPages
  readonly #ready = new Set<Replica>()

  constructor(replicas: readonly Replica[], pages: AdminPages) {
    this.replicas = replicas
    this.#pages = pages
  }

  /** Whether the replica runs and has answered a request since its start. */
  serves(replica: Replica): boolean {
    return replica.alive && this.#ready.has(replica)
  }

  /** Starts all replicas; resolves with the names of those that do not serve within `readyWithinMs`. */
  async launchAll(): Promise<readonly string[]> {
    const up = await Promise.all(this.replicas.map(replica => this.launch(replica)))
    return this.replicas.filter((_, i) => up[i] !== true).map(replica => replica.plan.name)
  }

  /** Starts a replica; resolves with whether it serves whoami within `readyWithinMs`. */
  async launch(replica: Replica): Promise<boolean> {
    replica.start()
    const { pid } = replica
    const up = await untilServing(replica)
    if (up && replica.pid === pid) this.#ready.add(replica)
    return up
  }

  /** SIGKILL. */
  kill(replica: Replica): void {
    this.#ready.delete(replica)
    replica.kill()
  }

  /** The leading replica, if all serving replicas agree on it, otherwise null. */
  async leader(): Promise<Replica | null> {
    const plans = this.#serving().map(({ plan }) => plan)
    const leader = agreedLeader(await viewsOf(this.#pages, plans))
    return this.replicas.find(({ plan }) => plan.name === leader?.name) ?? null
  }

  /** The next leader after the death of the previous one at `since` (performance.now()); null if none is elected within `leaderWithinMs`. */
  async successor(since: number): Promise<Succession | null> {
    const left = this.#serving()
    const leader = await awaitLeader(
      this.#pages,
      () => left.filter(replica => this.serves(replica)).map(({ plan }) => plan),
      leaderWithinMs,
    )
    return leader === null ? null : { leader, afterMs: performance.now() - since }
  }

  async stop(): Promise<void> {
    await Promise.all(this.replicas.map(replica => replica.stop()))
  }

  #serving(): readonly Replica[] {
    return this.replicas.filter(replica => this.serves(replica))
  }
}

/** Resolves with true once the replica answers for whoami, with false after `readyWithinMs` or when its process has ended. */
async function untilServing(replica: Replica): Promise<boolean> {
  const agent = new Agent({ headersTimeout: 1_000 })
  const deadline = performance.now() + readyWithinMs
  const { pid } = replica
  try {
    while (performance.now() < deadline && replica.pid === pid) {
      if ((await ask(agent, replica.plan.webPort, 'whoami.localhost')) === 200) return true
      await new Promise(resolve => {
        setTimeout(resolve, 50)
      })
    }
    return false
  } finally {
    await agent.destroy()
  }
}
