// Finds conflicts between the addresses that one replica listens on. Entry points are compared with each other by entryPointConflict
// (endpoints.ts).

import { hostAndPort } from '../util/listen-address.ts'
import { isWildcard } from './endpoints.ts'
import type { HostPort } from './kinds.ts'

export interface Listener {
  /** The option as it was given, such as `--admin`. */
  readonly origin: string
  /** Its name in the error of another listener: `entry point "web"`. */
  readonly what: string
  readonly address: HostPort
}

/** One line for each of `listeners` that conflicts with an earlier one. Wildcard addresses conflict with all, port 0 with none. */
export function listenerConflicts(taken: readonly Listener[], listeners: readonly Listener[]): string[] {
  const errors: string[] = []
  const before = [...taken]
  for (const one of listeners) {
    const other = before.find(({ address }) => collide(address, one.address))
    before.push(one)
    if (other === undefined) continue
    const written = JSON.stringify(hostAndPort(one.address.host, one.address.port))
    errors.push(`${one.origin} is ${written}, expected a different address from ${other.what}`)
  }
  return errors
}

function collide(a: HostPort, b: HostPort): boolean {
  return a.port !== 0 && a.port === b.port && (a.host === b.host || isWildcard(a.host) || isWildcard(b.host))
}
