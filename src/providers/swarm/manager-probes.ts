// The questions that the pool asks of managers beside the reading itself: does it answer, is anybody there, which node is it.
// Each is under way once per manager. A replica that only listens asks none of them: it opens an event stream, and closes it
// again.

import type { CallError, CallResult, DockerClient } from '../docker-api/client.ts'
import type { DockerInfo, DockerNode } from '../docker-api/schemas.ts'
import type { ProviderMode } from '../shared/provider.ts'

/** A manager that may hang is asked by a ping whether it is there at all; it has so long, ms. */
const PING_MS = 700

export interface ManagerProbesOptions {
  /** null: the endpoint is not known (any more). */
  readonly clientOf: (key: string) => DockerClient | null
  readonly mode: () => ProviderMode
  readonly answered: (key: string, managers: readonly DockerNode[] | null) => void
  readonly failed: (key: string, error: CallError) => void
  readonly identified: (key: string, info: DockerInfo) => void
}

export interface ManagerProbes {
  /** Finds out whether a manager can be used, unless that was done less than `everyMs` ago. */
  probe(key: string, everyMs: number): void
  /**
   * Whether anybody is there, even while the swarm has no leader; `slow` when there was no answer in time. Not asked: no call.
   */
  ping(key: string, told: (failure: CallError | { readonly kind: 'slow'; readonly message: string } | null) => void): void
  identify(key: string): void
}

export function createManagerProbes(options: ManagerProbesOptions): ManagerProbes {
  const { clientOf, mode } = options
  const asking = new Set<string>()
  const probedAt = new Map<string, number>()

  function once<T>(what: string, key: string, ask: (client: DockerClient) => Promise<T>, told: (result: T) => void): void {
    const client = clientOf(key)
    if (client === null || asking.has(`${what} ${key}`)) return
    const at = mode()
    asking.add(`${what} ${key}`)
    void ask(client).then(result => {
      asking.delete(`${what} ${key}`)
      if (mode() === at && clientOf(key) === client) told(result)
    })
  }

  return {
    probe(key, everyMs) {
      const now = performance.now()
      if (now - (probedAt.get(key) ?? -Infinity) < everyMs) return
      probedAt.set(key, now)
      if (mode() === 'listen') {
        once('stream', key, tryStream, failure => {
          if (failure === null) options.answered(key, null)
          else options.failed(key, { kind: 'unreachable', message: failure })
        })
        return
      }
      // For the managers, not for /_ping: that one answers even while the swarm has no leader.
      const ask = (client: DockerClient) => client.nodes('manager')
      once('nodes', key, ask, result => {
        if (result.ok) options.answered(key, result.value.items)
        else options.failed(key, result.error)
      })
    },
    ping(key, told) {
      if (mode() !== 'read') return
      const limit = new AbortController()
      const ask = (client: DockerClient): Promise<CallResult<true>> => {
        // An answer that came while this process was held up is read before it is given up.
        const timer = setTimeout(() => setImmediate(() => limit.abort()), PING_MS)
        return client.ping(limit.signal).finally(() => clearTimeout(timer))
      }
      once('ping', key, ask, result => {
        if (result.ok) told(null)
        else told(limit.signal.aborted ? { kind: 'slow', message: `no answer within ${PING_MS} ms` } : result.error)
      })
    },
    identify(key) {
      if (mode() !== 'read') return
      const ask = (client: DockerClient) => client.info()
      once('info', key, ask, result => {
        if (result.ok) options.identified(key, result.value)
      })
    },
  }
}

/** Resolves with null when the stream was opened, else with the reason why not. */
function tryStream(client: DockerClient): Promise<string | null> {
  return new Promise(resolve => {
    const close = client.events({
      opened() {
        resolve(null)
        close()
      },
      event: () => undefined,
      ended: resolve,
    })
  })
}
