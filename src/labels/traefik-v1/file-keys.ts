// The keys of a Traefik v1 services file and the labels they correspond to. Keys are compared without case, as Traefik's
// decoder does; `healthCheck` and `healthcheck` beside each other are one table. Bounded: only known keys are descended into,
// and the number of reported unknown keys is limited.

import { nearest } from '../../options/nearest.ts'
import type { Report } from '../shared/report.ts'
import { classifyLabel, type LabelName } from './label-names.ts'

/** A value with its key in the file: `backends.app.servers`. */
export interface Place {
  readonly key: string
  readonly value: unknown
}

/** A value in a table, with the last part of its key. */
export interface Entry extends Place {
  readonly name: string
}

/** Label prefix of the services that files are turned into, independent of the options. */
export const FILE_PREFIX = 'traefik'
/** Unknown keys reported per frontend or backend. */
const MAX_UNKNOWN = 20
const MAX_NAME_SHOWN = 60

type Settings<Name extends string> = Readonly<Record<Name, string>>
type BackendLabel = Exclude<Extract<LabelName, `backend.${string}` | `skein.${string}`>, 'backend.loadbalancer.swarm'>
type FrontendLabel = Exclude<Extract<LabelName, `frontend.${string}`>, 'frontend.rule'>

/** Label to key below `backends.<name>`; the type makes it complete. */
export const BACKEND_KEYS: Settings<Exclude<BackendLabel, 'backend.healthcheck.headers'>> = {
  'backend.loadbalancer.method': 'loadBalancer.method',
  'backend.loadbalancer.sticky': 'loadBalancer.sticky',
  'backend.loadbalancer.stickiness': 'loadBalancer.stickiness',
  'backend.loadbalancer.stickiness.cookieName': 'loadBalancer.stickiness.cookieName',
  'backend.loadbalancer.stickiness.secure': 'loadBalancer.stickiness.secure',
  'backend.loadbalancer.stickiness.httpOnly': 'loadBalancer.stickiness.httpOnly',
  'backend.loadbalancer.stickiness.sameSite': 'loadBalancer.stickiness.sameSite',
  'backend.healthcheck.path': 'healthCheck.path',
  'backend.healthcheck.port': 'healthCheck.port',
  'backend.healthcheck.scheme': 'healthCheck.scheme',
  'backend.healthcheck.hostname': 'healthCheck.hostname',
  'backend.healthcheck.interval': 'healthCheck.interval',
  'backend.healthcheck.timeout': 'healthCheck.timeout',
  'backend.maxconn.amount': 'maxConn.amount',
  'backend.maxconn.extractorfunc': 'maxConn.extractorFunc',
  'backend.circuitbreaker.expression': 'circuitBreaker.expression',
  'skein.sticky.learn': 'skein.sticky.learn',
  'skein.sticky.ttl': 'skein.sticky.ttl',
  'skein.sticky.size': 'skein.sticky.size',
  'skein.sticky.drain': 'skein.sticky.drain',
  'skein.breaker.expression': 'skein.breaker.expression',
  'skein.breaker.minRequests': 'skein.breaker.minRequests',
  'skein.breaker.open': 'skein.breaker.open',
  'skein.breaker.recovery': 'skein.breaker.recovery',
  'skein.outlier.errors': 'skein.outlier.errors',
  'skein.timeout.responseHeader': 'skein.timeout.responseHeader',
  'skein.timeout.stall': 'skein.timeout.stall',
}

const FRONTEND_KEYS: Settings<FrontendLabel> = {
  'frontend.priority': 'priority',
  'frontend.entryPoints': 'entryPoints',
  'frontend.passHostHeader': 'passHostHeader',
}

/** The keys of a frontend or a backend. */
export interface Vocabulary {
  readonly side: 'frontend' | 'backend'
  /** By key in lower case. */
  readonly settings: ReadonlyMap<string, { readonly key: string; readonly label: string }>
  /** Tables that contain settings: by key in lower case, with the usual spelling. */
  readonly tables: ReadonlyMap<string, string>
  /** Tables that have a reader of their own. */
  readonly parts: ReadonlyMap<string, string>
}

export const BACKEND = vocabulary('backend', BACKEND_KEYS, ['servers', 'healthCheck.headers'])
export const FRONTEND = vocabulary('frontend', FRONTEND_KEYS, ['backend', 'routes'])

function vocabulary(side: Vocabulary['side'], labels: Readonly<Record<string, string>>, parts: readonly string[]): Vocabulary {
  const settings = new Map<string, { key: string; label: string }>()
  const tables = new Map<string, string>()
  for (const [label, key] of Object.entries(labels)) {
    const full = label.startsWith('skein.') ? label : `${FILE_PREFIX}.${label}`
    settings.set(key.toLowerCase(), { key, label: full })
    const words = key.split('.')
    for (let n = 1; n < words.length; n++) {
      const table = words.slice(0, n).join('.')
      tables.set(table.toLowerCase(), table)
    }
  }
  return { side, settings, tables, parts: new Map(parts.map(part => [part.toLowerCase(), part])) }
}

/** The settings of one frontend or backend. */
export interface Found {
  /** The equivalent labels. */
  readonly labels: Map<string, string>
  /** Key in the file by label. */
  readonly keys: Map<string, string>
  /** The values of `parts`, by key in lower case. */
  readonly parts: Map<string, Place[]>
  /** False when a value has the wrong type and ignoring it would serve more than intended. */
  complete: boolean
}

export function readKeys(place: Place, words: Vocabulary, report: Report): Found {
  const found: Found = { labels: new Map(), keys: new Map(), parts: new Map(), complete: true }
  readTable([place], '', words, report, found, { unknown: 0 })
  return found
}

function readTable(
  places: readonly Place[],
  prefix: string,
  words: Vocabulary,
  report: Report,
  found: Found,
  counts: { unknown: number },
): void {
  const tables = new Map<string, Place[]>()
  for (const entry of places.flatMap(place => entriesOf(place, report))) {
    const path = `${prefix}${entry.name.length > 512 ? entry.name.slice(0, 512) : entry.name}`.toLowerCase()
    const setting = words.settings.get(path)
    const isTable = words.tables.has(path) && (setting === undefined || entry.value === null || tableOf(entry.value) !== null)
    if (words.parts.has(path)) listOf(found.parts, path).push(entry)
    else if (isTable) listOf(tables, path).push(entry)
    else if (setting !== undefined) addSetting(entry, setting.label, words, report, found)
    else if (prefix === '' && addUnimplemented(entry, words, found)) continue
    else if (counts.unknown++ < MAX_UNKNOWN) report.warn(entry.key, plainText(entry.value), unknown(entry, prefix, words))
    else if (counts.unknown === MAX_UNKNOWN + 1) report.warn(entry.key, '', 'more unknown keys follow; they are not listed')
  }
  for (const [path, below] of tables) {
    const setting = words.settings.get(path)
    // `stickiness` is a setting and a table; the table, even an empty one, turns it on.
    if (setting !== undefined && !found.labels.has(setting.label)) put(found, setting.label, 'true', below[0]?.key ?? '')
    readTable(below, `${path}.`, words, report, found, counts)
  }
}

function addSetting(entry: Entry, label: string, words: Vocabulary, report: Report, found: Found): void {
  if (entry.value === null) return
  if (found.labels.has(label)) {
    report.warn(entry.key, plainText(entry.value), `expected it once: ${found.keys.get(label) ?? ''} sets it already; ignored`)
    return
  }
  const text = textOf(entry.value) ?? (label === `${FILE_PREFIX}.frontend.entryPoints` ? listText(entry.value) : null)
  if (text !== null) {
    put(found, label, text, entry.key)
    return
  }
  if (words.side === 'frontend') found.complete = false
  const consequence = words.side === 'frontend' ? 'the frontend was left out' : 'ignored'
  report.error(entry.key, '', `expected ${expectedType(label)}, found ${kindName(entry.value)}; ${consequence}`)
}

function expectedType(label: string): string {
  return label.endsWith('.entryPoints') ? 'a list of names' : 'one value'
}

/**
 * Passes settings of Traefik v1 that Skein does not implement to the label reader, which decides about them. An empty list is
 * ignored.
 */
function addUnimplemented(entry: Entry, words: Vocabulary, found: Found): boolean {
  const name = `${words.side}.${entry.name.slice(0, 100)}`
  const kind = classifyLabel(name, false)
  if (kind !== 'guard' && kind !== 'later') return false
  const nothing = entry.value === null || (Array.isArray(entry.value) && entry.value.length === 0)
  if (!nothing) put(found, `${FILE_PREFIX}.${name}`, '', entry.key)
  return true
}

function put(found: Found, label: string, text: string, key: string): void {
  found.labels.set(label, text)
  found.keys.set(label, key)
}

function unknown(entry: Entry, prefix: string, words: Vocabulary): string {
  const known = [...words.settings.values()].map(s => s.key).concat([...words.tables.values()], [...words.parts.values()])
  const here = known.filter(key => key.toLowerCase().startsWith(prefix) && !key.slice(prefix.length).includes('.'))
  const names = [...new Set(here.map(key => key.slice(prefix.length)))]
  const guess = nearest(entry.name, names)
  return `expected ${guess ?? `one of ${names.join(', ')}`}; ignored`
}

/** The entries of a table; none when the value is not a table (reported unless it is null). */
export function entriesOf(place: Place, report: Report): readonly Entry[] {
  if (place.value === null || place.value === undefined) return []
  const table = tableOf(place.value)
  if (table === null) {
    report.error(place.key, plainText(place.value), `expected a table, found ${kindName(place.value)}; ignored`)
    return []
  }
  return Object.entries(table).map(([name, value]) => ({ name, key: keyOf(place.key, name), value: value ?? null }))
}

/** A table of TOML, a mapping of YAML, an object of JSON; null for anything else, including dates. */
export function tableOf(value: unknown): Readonly<Record<string, unknown>> | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? (value as Record<string, unknown>) : null
}

/** A key as TOML writes it: quoted unless it is bare, long names shortened. */
export function keyOf(table: string, name: string): string {
  const cut = name.length > MAX_NAME_SHOWN ? `${name.slice(0, MAX_NAME_SHOWN)}…` : name
  const written = /^[A-Za-z0-9_-]+$/.test(cut) ? cut : JSON.stringify(cut)
  return table === '' ? written : `${table}.${written}`
}

/** A string, number or boolean as a label value; null for a table, a list or a date. */
export function textOf(value: unknown): string | null {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
    ? String(value)
    : null
}

function listText(value: unknown): string | null {
  if (!Array.isArray(value) || value.length > 1_000) return null
  const texts = value.map(textOf)
  return texts.some(text => text === null) ? null : texts.join(',')
}

/** A value for a report; empty unless it is plain. */
export function plainText(value: unknown): string {
  return textOf(value) ?? ''
}

export function kindName(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (tableOf(value) !== null) return 'a table'
  return typeof value === 'object' ? 'a date' : 'a single value'
}

function listOf(lists: Map<string, Place[]>, key: string): Place[] {
  const known = lists.get(key)
  if (known !== undefined) return known
  const list: Place[] = []
  lists.set(key, list)
  return list
}
