// The options of a replica that shape the configuration it would make as the leader, as short texts by the name of the option.
// Members announce them (LocalState.options), so that a replica whose options would make another configuration is reported
// instead of being overruled silently. No secret is among them. Entry points are not: each replica resolves them for itself
// (config/entry-points.ts). Pure.

import { createHash } from 'node:crypto'
import { LIMITS } from '../../cluster/core/state.ts'
import { canonicalJson } from '../config/merge.ts'
import type { DynamicConfig } from '../config/model.ts'
import { labelOptionsOf } from '../labels/shared/options.ts'
import type { RunOptions } from '../options/options.ts'
import type { LabelOptions } from '../providers/discovered.ts'

/** The option behind each value that label readers are given; null: it is no option. */
const FLAGS: Readonly<Record<keyof LabelOptions, string | null>> = {
  prefix: 'label-prefix',
  domain: 'domain',
  exposedByDefault: 'exposed-by-default',
  network: 'network',
  constraints: 'constraint',
  // Read from the swarm: the same for every replica.
  edges: null,
}

export const SERVICES_FILE = 'services-file'
const MANAGER = 'manager'
const NONE = '(none)'
const LONGEST = 160

/** Values are printable texts of at most LIMITS.text characters, made for comparison and for people. */
export type ShapingOptions = Readonly<Record<string, string>>

/** @param files digest of what the services files hold (filesDigest); null: not read yet */
export function shapingOptionsOf(options: RunOptions, files: string | null): ShapingOptions {
  const shaping: Record<string, string> = {
    [MANAGER]: options.swarm.managers.length === 0 ? NONE : 'given',
    [SERVICES_FILE]: options.files.length === 0 ? NONE : files === null ? 'given' : `given, content ${files}`,
  }
  // Without a manager no label is read.
  if (options.swarm.managers.length === 0) return shaping
  for (const [key, value] of Object.entries(labelOptionsOf(options)) as [keyof LabelOptions, unknown][]) {
    const flag = FLAGS[key]
    if (flag !== null) shaping[flag] = shown(value)
  }
  return shaping
}

/** Equal for files with the same content, wherever they are. */
export function filesDigest({ routers, services, middlewares }: DynamicConfig): string {
  const placeless = <T extends { readonly source: string }>(table: Readonly<Record<string, T>>): T[] =>
    Object.values(table).map(entry => ({ ...entry, source: '' }))
  return digest(canonicalJson([placeless(routers), placeless(services), middlewares]))
}

/** Whether a member has services files, by what it announces. */
export function hasFiles(options: ShapingOptions | undefined): boolean {
  const value = options?.[SERVICES_FILE]
  return value !== undefined && value !== NONE
}

function shown(value: unknown): string {
  // In a list of constraints all must hold, so their order means nothing.
  const text = Array.isArray(value) ? [...new Set(value.map(String))].sort().join(', ') : String(value ?? '')
  if (text === '') return NONE
  if (text.length <= Math.min(LONGEST, LIMITS.text)) return text
  return `${text.slice(0, LONGEST - 24)}... (digest ${digest(text)})`
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}
