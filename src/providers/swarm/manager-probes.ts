// Calls to managers beside the reading: is it usable, is it there at all, which node is it. At most one call of each kind per
// manager is under way. A replica in mode `listen` makes none of these calls; its probe opens an event stream and closes it
// again.

import type { CallError, CallResult, DockerClient } from '../docker-api/client.ts'
import type { DockerInfo, DockerNode } from '../docker-api/schemas.ts'
import type { ProviderMode } from '../shared/provider.ts'

/** Time for the answer to a ping, ms. */
const PING_MS = 700

export interface ManagerProbesOptions {
  /** null: the endpoint is not known. */
  readonly clientOf: (key: string) => DockerClient | null
  readonly mode: () => ProviderMode
  readonly answered: (key: string, managers: readonly DockerNode[] | null) => void
  readonly failed: (key: string, error: CallError) => void
  readonly identified: (key: string, info: DockerInfo) => void
}

export interface ManagerProbes {
  /** Finds out whether a manager is usable, unless a probe started less than `everyMs` ago. */
  probe(key: string, everyMs: number): void
  /**
   * Finds out whether a manager answers /_ping, which works while the swarm has no leader. `done` gets null on success, kind
   * `slow` without an answer in time. Does nothing in mode `listen`.
   */
  ping(key: string, done: (failure: CallError | { readonly kind: 'slow'; readonly message: string } | null) => void): void
  identify(key: string): void
}

export function createManagerProbes(options: ManagerProbesOptions): ManagerProbes {
  const { clientOf, mode } = options
  const pending = new Set<string>()
  const probedAt = new Map<string, number>()

  function oncePerManager<T>(
    what: string,
    key: string,
    call: (client: DockerClient) => Promise<T>,
    done: (result: T) => void,
  ): void {
    const client = clientOf(key)
    if (client === null || pending.has(`${what} ${key}`)) return
    const startedIn = mode()
    pending.add(`${what} ${key}`)
    void call(client).then(result => {
      pending.delete(`${what} ${key}`)
      if (mode() === startedIn && clientOf(key) === client) done(result)
    })
  }

  return {
    probe(key, everyMs) {
      const now = performance.now()
      if (now - (probedAt.get(key) ?? -Infinity) < everyMs) return
      probedAt.set(key, now)
      if (mode() === 'listen') {
        oncePerManager('stream', key, tryStream, failure => {
          if (failure === null) options.answered(key, null)
          else options.failed(key, { kind: 'unreachable', message: failure })
        })
        return
      }
      // /nodes and not /_ping, because /_ping is answered while the swarm has no leader.
      const call = (client: DockerClient) => client.nodes('manager')
      oncePerManager('nodes', key, call, result => {
        if (result.ok) options.answered(key, result.value.items)
        else options.failed(key, result.error)
      })
    },
    ping(key, done) {
      if (mode() !== 'read') return
      const limit = new AbortController()
      const call = (client: DockerClient): Promise<CallResult<true>> => {
        // setImmediate: an answer that arrived while this process was busy is read before the abort.
        const timer = setTimeout(() => setImmediate(() => limit.abort()), PING_MS)
        return client.ping(limit.signal).finally(() => clearTimeout(timer))
      }
      oncePerManager('ping', key, call, result => {
        if (result.ok) done(null)
        else done(limit.signal.aborted ? { kind: 'slow', message: `no answer within ${PING_MS} ms` } : result.error)
      })
    },
    identify(key) {
      if (mode() !== 'read') return
      const call = (client: DockerClient) => client.info()
      oncePerManager('info', key, call, result => {
        if (result.ok) options.identified(key, result.value)
      })
    },
  }
}

/** Resolves with null when the stream was opened, else with the reason. */
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
