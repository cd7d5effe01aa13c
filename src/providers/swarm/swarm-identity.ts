// Detects managers of another swarm (a wrong address, a node that left and joined elsewhere). Each manager reports the id of
// its swarm; managers of another swarm than the one that is read are not used. Pure.

export interface SwarmIdentities {
  /** Records the swarm id that a manager reports; '': none. */
  record(key: string, swarm: string): void
  /** Marks the swarm of this manager as the one in use, after an accepted read. */
  confirm(key: string): void
  /** The reason why the endpoint must not be used; null: it may be used. */
  problemOf(key: string): string | null
  forget(key: string): void
}

/** `found` is called once per endpoint of another swarm. */
export function createSwarmIdentities(found: (key: string, message: string) => void): SwarmIdentities {
  const swarmOf = new Map<string, string>()
  const reported = new Set<string>()
  let ours = ''

  function problemOf(key: string): string | null {
    const swarm = swarmOf.get(key) ?? ''
    if (ours === '' || swarm === '' || swarm === ours) return null
    return `it belongs to another swarm (${swarm}) than the managers in use (${ours})`
  }

  function report(): void {
    for (const key of swarmOf.keys()) {
      const problem = problemOf(key)
      if (problem === null) reported.delete(key)
      else if (!reported.has(key)) {
        reported.add(key)
        found(key, problem)
      }
    }
  }

  return {
    record(key, swarm) {
      swarmOf.set(key, /^[A-Za-z0-9]{1,64}$/.test(swarm) ? swarm : '')
      report()
    },
    confirm(key) {
      const swarm = swarmOf.get(key) ?? ''
      if (swarm === '' || swarm === ours) return
      // The swarm was created anew: ids reported earlier are obsolete.
      if (ours !== '') swarmOf.clear()
      ours = swarm
      swarmOf.set(key, swarm)
      report()
    },
    problemOf,
    forget(key) {
      swarmOf.delete(key)
      reported.delete(key)
    },
  }
}
