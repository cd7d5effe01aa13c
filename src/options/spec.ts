// What the table of options (schema.ts) is made of: one entry says where an option comes from, what it may be and what it is for.

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
  /** Key in the file, dotted: `timeouts.connect`; null where the option makes sense on the command line only. */
  readonly file: string | null
  readonly env: boolean
  readonly commands: readonly Command[]
  readonly group: Group
  readonly kind: Kind<T>
  /** In the form users write; null: none. */
  readonly default: string | null
  /** What happens without it, in words, where `default` is null. */
  readonly otherwise: string
  readonly description: string
  readonly example: string
  /** Its value is never quoted, neither in errors nor in logs. */
  readonly secret: boolean
}

interface Given<T> {
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
export function option<T>(spec: Given<T> & { readonly default: string }): OptionSpec<T> {
  return { file: spec.flag, env: true, secret: false, otherwise: '', ...spec }
}

/** An option that may be absent: its value is null then. */
export function optional<T>(spec: Given<T> & { readonly otherwise: string }): OptionSpec<T | null> {
  return { file: spec.flag, env: true, secret: false, ...spec, default: null, kind: spec.kind as Kind<T | null> }
}

export function envName(spec: OptionSpec): string {
  return `SKEIN_${spec.flag.toUpperCase().replaceAll('-', '_')}`
}
