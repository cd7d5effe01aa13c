// The demo's three replicas together: started, killed and started again, and which of them leads.

import { Agent } from 'undici'
import type { AdminPages } from './admin-pages.ts'
import type { Replica } from './replicas.ts'
import { ask } from './self-check.ts'
import { agreed, awaitLeader, type Leadership, viewsOf } from './succession.ts'

export const readyWithinMs = 30_000
/** A new leader is waited for so long. */
const leaderWithinMs = 10_000

export interface Succession {
  readonly leader: Leadership
  /** From the death of the old leader until every replica that is left named the new one. */
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

  /** It lives, and has served since it was started. */
  serves(replica: Replica): boolean {
    return replica.alive && this.#ready.has(replica)
  }

  /** Resolves with the names of those that do not serve within 30 s. */
  async launchAll(): Promise<readonly string[]> {
    const up = await Promise.all(this.replicas.map(replica => this.launch(replica)))
    return this.replicas.filter((_, i) => up[i] !== true).map(replica => replica.plan.name)
  }

  /** Resolves with whether it serves whoami within 30 s. */
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

  /** The replica that leads, as those that serve agree; null while they do not. */
  async leader(): Promise<Replica | null> {
    const plans = this.#serving().map(({ plan }) => plan)
    const leader = agreed(await viewsOf(this.#pages, plans))
    return this.replicas.find(({ plan }) => plan.name === leader?.name) ?? null
  }

  /** After the leader has died at `since` (performance.now()): who follows; null: nobody within 10 s. */
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

/** True once the replica answers for whoami. */
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
