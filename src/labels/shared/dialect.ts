// The interface of a label dialect: a vocabulary of labels and its translation into routers, services and middlewares. A dialect
// is a folder beside shared/ and one line in dialects.ts.

import type { DynamicConfig } from '../../config/model.ts'
import type { DiscoveredService } from './discovered.ts'

export interface Dialect {
  readonly name: string
  /** True when a service with these labels is to be read by this dialect. The first dialect in the registry that claims it reads it. */
  claims(labels: Readonly<Record<string, string>>): boolean
  /**
   * Reads all services that the dialect claims; called with an empty list too. Pure: the same services give the same
   * configuration in any order. A mistake is reported in `errors` and affects its own service only; nothing is thrown.
   */
  read(services: readonly DiscoveredService[]): DynamicConfig
}

/** What a dialect may take from the options. Providers fill it in; a dialect reads no provider's options. */
export interface DialectOptions {
  /** Label namespace, `traefik` unless configured. */
  readonly prefix: string
  /** Domain of the default rule `Host:<service>.<domain>`; null: services without a rule get an error. */
  readonly domain: string | null
  readonly exposedByDefault: boolean
  /** Constraints such as `tag==public`; all must hold. */
  readonly constraints: readonly string[]
}

export interface DialectType {
  readonly name: string
  create(options: DialectOptions): Dialect
}
