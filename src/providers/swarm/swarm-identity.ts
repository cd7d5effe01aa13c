// Endpoints of another swarm among the managers (a wrong address, a node that left and joined elsewhere): each says which swarm
// it belongs to, and those of another one than that which is read from are not used. Pure.

export interface SwarmIdentities {
  /** What a manager says; '': nothing. */
  tell(key: string, swarm: string): void
  /** A read of this manager has been accepted: its swarm is ours. */
  use(key: string): void
  /** Why the endpoint must not be used; null: it may. */
  problemOf(key: string): string | null
  forget(key: string): void
}

/** `found`: called once for each endpoint of another swarm. */
export function createSwarmIdentities(found: (key: string, message: string) => void): SwarmIdentities {
  const swarmOf = new Map<string, string>()
  const reported = new Set<string>()
  let ours = ''

  function problemOf(key: string): string | null {
    const swarm = swarmOf.get(key) ?? ''
    if (ours === '' || swarm === '' || swarm === ours) return null
    return `it belongs to another swarm (${swarm}) than the managers that are in use (${ours})`
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
    tell(key, swarm) {
      swarmOf.set(key, /^[A-Za-z0-9]{1,64}$/.test(swarm) ? swarm : '')
      report()
    },
    use(key) {
      const swarm = swarmOf.get(key) ?? ''
      if (swarm === '' || swarm === ours) return
      // The swarm itself was made anew: what the others said of the old one says nothing of them now.
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
