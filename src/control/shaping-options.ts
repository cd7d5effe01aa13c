// The options that determine the configuration a replica would make as the leader, as short texts by option name. Members announce
// them (LocalState.options), so that a replica with other options is reported instead of being silently overruled. They contain no
// secret. Entry points are not included: each replica resolves them for itself (config/entry-points.ts). Pure.

import { createHash } from 'node:crypto'
import { LIMITS } from '../../cluster/core/state.ts'
import { canonicalJson } from '../config/merge.ts'
import type { DynamicConfig } from '../config/model.ts'
import type { DialectOptions } from '../labels/shared/dialect.ts'
import type { RunOptions } from '../options/options.ts'
import { dialectOptionsOf } from '../providers/swarm/dialect-options.ts'

type ShapingKey = keyof DialectOptions | 'network'

/** The option behind each value that determines what labels become. */
const FLAGS: Readonly<Record<ShapingKey, string>> = {
  prefix: 'label-prefix',
  domain: 'domain',
  exposedByDefault: 'exposed-by-default',
  network: 'network',
  constraints: 'constraint',
}

export const SERVICES_FILE = 'services-file'
const MANAGER = 'manager'
const NONE = '(none)'
const MAX_LENGTH = 160

/** Values are printable, at most LIMITS.text characters, for comparison and display only. */
export type ShapingOptions = Readonly<Record<string, string>>

/** @param files digest of the content of the services files (filesDigest); null if not read yet */
export function shapingOptionsOf(options: RunOptions, files: string | null): ShapingOptions {
  const shaping: Record<string, string> = {
    [MANAGER]: options.swarm.managers.length === 0 ? NONE : 'given',
    [SERVICES_FILE]: options.files.length === 0 ? NONE : files === null ? 'given' : `given, content ${files}`,
  }
  // Labels are only read with a manager.
  if (options.swarm.managers.length === 0) return shaping
  const values: Readonly<Record<ShapingKey, unknown>> = { ...dialectOptionsOf(options.swarm), network: options.swarm.network }
  for (const key of Object.keys(FLAGS) as ShapingKey[]) shaping[FLAGS[key]] = formatValue(values[key])
  return shaping
}

/** Equal for files with equal content, wherever they are. */
export function filesDigest({ routers, services, middlewares }: DynamicConfig): string {
  const withoutSource = <T extends { readonly source: string }>(table: Readonly<Record<string, T>>): T[] =>
    Object.values(table).map(entry => ({ ...entry, source: '' }))
  return digest(canonicalJson([withoutSource(routers), withoutSource(services), middlewares]))
}

/** Whether a member with these announced options has services files. */
export function hasFiles(options: ShapingOptions | undefined): boolean {
  const value = options?.[SERVICES_FILE]
  return value !== undefined && value !== NONE
}

function formatValue(value: unknown): string {
  // All constraints must hold, so their order does not matter.
  const text = Array.isArray(value) ? [...new Set(value.map(String))].sort().join(', ') : String(value ?? '')
  if (text === '') return NONE
  if (text.length <= Math.min(MAX_LENGTH, LIMITS.text)) return text
  return `${text.slice(0, MAX_LENGTH - 24)}... (digest ${digest(text)})`
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}
