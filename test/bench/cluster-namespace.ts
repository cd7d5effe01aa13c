// A network namespace for one replica, connected to this machine's by a veth pair: a replica in it cannot reach the servers' loopback
// addresses (its own loopback is down), as on a node whose overlay network is broken, but it reaches its peers. Needs root and `ip`
// (iproute2).

import { execFileSync } from 'node:child_process'
import type { Place } from './cluster-replicas.ts'

/** Addresses from the benchmark block (RFC 2544): this machine's end and the replica's. */
const OUTSIDE = '198.18.77.1'
const INSIDE = '198.18.77.2'

export interface Namespace {
  /** The place of replicas that reach all servers. */
  readonly outside: Place
  /** The place of the replica that reaches no server. */
  readonly inside: Place
  remove(): void
}

/** Creates the namespace; null with a reason if that is not possible. */
export function createNamespace(): Namespace | string {
  const name = `skein-bench-${process.pid}`
  const [near, far] = [`skb${process.pid}a`, `skb${process.pid}b`]
  const remove = (): void => {
    // The veth pair is removed with the namespace.
    ip(['netns', 'del', name])
  }
  let made = false
  try {
    ip(['netns', 'add', name])
    made = true
    ip(['link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name])
    ip(['addr', 'add', `${OUTSIDE}/30`, 'dev', near])
    ip(['link', 'set', near, 'up'])
    ip(['-n', name, 'addr', 'add', `${INSIDE}/30`, 'dev', far])
    ip(['-n', name, 'link', 'set', far, 'up'])
  } catch (error) {
    if (made) remove()
    return error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : String(error)
  }
  return {
    outside: { listen: '0.0.0.0', reach: OUTSIDE, through: [] },
    inside: { listen: INSIDE, reach: INSIDE, through: ['ip', 'netns', 'exec', name] },
    remove,
  }
}

function ip(args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
