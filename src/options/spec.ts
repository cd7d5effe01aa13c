// The type of an entry in the table of options (schema.ts): an option's names in each source, its kind of value, and its texts.

import type { Kind } from './kinds.ts'

export const COMMANDS = ['run', 'agent', 'demo', 'check', 'routes', 'status', 'health', 'secret', 'version'] as const
export type Command = (typeof COMMANDS)[number]

export type Group =
  | 'General'
  | 'Entry points'
  | 'Swarm'
  | 'Services in files'
  | 'Cluster'
  | 'Shared state'
  | 'Agent'
  | 'Time-outs'
  | 'Limits'
  | 'Retries'
  | 'Logs'
  | 'Command'

export interface OptionSpec<T = unknown> {
  /** Without the dashes: `connect-timeout`. The environment variable follows from it: `SKEIN_CONNECT_TIMEOUT`. */
  readonly flag: string
  /** Dotted key in the file, such as `timeouts.connect`; null for options of the command line only. */
  readonly file: string | null
  readonly env: boolean
  readonly commands: readonly Command[]
  readonly group: Group
  readonly kind: Kind<T>
  /** As a user writes it; null: no default. */
  readonly default: string | null
  /** Text for the behaviour without the option, if `default` is null. */
  readonly whenAbsent: string
  readonly description: string
  readonly example: string
  /** Its value never appears in errors or logs. */
  readonly secret: boolean
}

interface OptionFields<T> {
  readonly flag: string
  readonly file?: string | null
  readonly env?: boolean
  readonly commands: readonly Command[]
  readonly group: Group
  readonly kind: Kind<T>
  readonly description: string
  readonly example: string
  readonly secret?: boolean
}

/** An option that always has a value. */
export function option<T>(spec: OptionFields<T> & { readonly default: string }): OptionSpec<T> {
  return { file: spec.flag, env: true, secret: false, whenAbsent: '', ...spec }
}

/** An option that may be absent; its value is null then. */
export function optional<T>(spec: OptionFields<T> & { readonly whenAbsent: string }): OptionSpec<T | null> {
  return { file: spec.flag, env: true, secret: false, ...spec, default: null, kind: spec.kind as Kind<T | null> }
}

export function envName(spec: OptionSpec): string {
  return `SKEIN_${spec.flag.toUpperCase().replaceAll('-', '_')}`
}
