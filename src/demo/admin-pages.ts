// Client of the replicas' admin APIs. The replicas run the same build as the demo, so answers are not validated.

import { Agent, request } from 'undici'
import type { BreakerReport, ClusterReport, ProviderReport, SnapshotReport } from '../admin/admin-source.ts'

interface Pages {
  readonly cluster: ClusterReport
  readonly snapshot: SnapshotReport
  readonly managers: readonly ProviderReport[]
  readonly breakers: readonly BreakerReport[]
}

export class AdminPages {
  readonly #agent = new Agent({ connections: 2, headersTimeout: 2_000, bodyTimeout: 2_000 })

  /** One page; null if the replica does not answer or, for `cluster`, is not a member of a cluster yet. */
  async get<P extends keyof Pages>(adminPort: number, page: P): Promise<Pages[P] | null> {
    try {
      const answer = await request(`http://127.0.0.1:${adminPort}/api/${page}`, { dispatcher: this.#agent })
      if (answer.statusCode === 200) return (await answer.body.json()) as Pages[P]
      await answer.body.dump()
      return null
    } catch {
      return null
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}
