// The keys of a file of Traefik v1 and the labels they stand for. Keys are matched without regard to case, as Traefik's decoder
// does: `healthCheck` and `healthcheck` beside each other are one table. Bounded: no deeper than the keys that are known, and a
// thousand unknown ones are told as a few.

import { nearest } from '../../options/nearest.ts'
import type { Report } from '../shared/report.ts'
import { classifyLabel, type LabelName } from './label-names.ts'

/** A value with its place in the file, as written: `backends.app.servers`. */
export interface Place {
  readonly key: string
  readonly value: unknown
}

/** A place in a table, with the last part of its key. */
export interface Entry extends Place {
  readonly name: string
}

/** Label prefix of what files are turned into, whatever the options say. */
export const FILE_PREFIX = 'traefik'
/** Unknown keys told for one frontend or backend. */
const MAX_UNKNOWN = 20
const MAX_NAME_SHOWN = 60

type Settings<Name extends string> = Readonly<Record<Name, string>>
type BackendLabel = Exclude<Extract<LabelName, `backend.${string}` | `skein.${string}`>, 'backend.loadbalancer.swarm'>
type FrontendLabel = Exclude<Extract<LabelName, `frontend.${string}`>, 'frontend.rule'>

/** Label to key below `backends.<name>`; complete, which the compiler sees to. */
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

/** What a frontend or a backend may say. */
export interface Vocabulary {
  readonly side: 'frontend' | 'backend'
  /** By key in lower case. */
  readonly settings: ReadonlyMap<string, { readonly key: string; readonly label: string }>
  /** Tables on the way to a setting, in lower case, with how they are written. */
  readonly tables: ReadonlyMap<string, string>
  /** What is read by a function of its own. */
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

/** What was read of one frontend or backend. */
export interface Found {
  /** Labels that say the same. */
  readonly labels: Map<string, string>
  /** Where each label stands in the file. */
  readonly keys: Map<string, string>
  /** The places of `parts`, by their lower case key. */
  readonly parts: Map<string, Place[]>
  /** False when a value has the wrong type and leaving it out would serve more than was asked for. */
  whole: boolean
}

export function readKeys(place: Place, words: Vocabulary, report: Report): Found {
  const found: Found = { labels: new Map(), keys: new Map(), parts: new Map(), whole: true }
  readTable([place], '', words, report, found, { unknown: 0 })
  return found
}

function readTable(
  places: readonly Place[],
  prefix: string,
  words: Vocabulary,
  report: Report,
  found: Found,
  told: { unknown: number },
): void {
  const tables = new Map<string, Place[]>()
  for (const entry of places.flatMap(place => entriesOf(place, report))) {
    const path = `${prefix}${entry.name.length > 512 ? entry.name.slice(0, 512) : entry.name}`.toLowerCase()
    const setting = words.settings.get(path)
    const isTable = words.tables.has(path) && (setting === undefined || entry.value === null || tableOf(entry.value) !== null)
    if (words.parts.has(path)) listIn(found.parts, path).push(entry)
    else if (isTable) listIn(tables, path).push(entry)
    else if (setting !== undefined) addSetting(entry, setting.label, words, report, found)
    else if (prefix === '' && addUnread(entry, words, found)) continue
    else if (told.unknown++ < MAX_UNKNOWN) report.warn(entry.key, shown(entry.value), unknown(entry, prefix, words))
    else if (told.unknown === MAX_UNKNOWN + 1) report.warn(entry.key, '', 'more unknown keys follow; they are not listed')
  }
  for (const [path, below] of tables) {
    const setting = words.settings.get(path)
    // Of what is both, the table itself turns it on, even an empty one: `stickiness`.
    if (setting !== undefined && !found.labels.has(setting.label)) put(found, setting.label, 'true', below[0]?.key ?? '')
    readTable(below, `${path}.`, words, report, found, told)
  }
}

function addSetting(entry: Entry, label: string, words: Vocabulary, report: Report, found: Found): void {
  if (entry.value === null) return
  if (found.labels.has(label)) {
    report.warn(entry.key, shown(entry.value), `expected it once: ${found.keys.get(label) ?? ''} says it already; ignored`)
    return
  }
  const text = textOf(entry.value) ?? (label === `${FILE_PREFIX}.frontend.entryPoints` ? listText(entry.value) : null)
  if (text !== null) {
    put(found, label, text, entry.key)
    return
  }
  if (words.side === 'frontend') found.whole = false
  const consequence = words.side === 'frontend' ? 'the frontend was left out' : 'ignored'
  report.error(entry.key, '', `expected ${expectedType(label)}, found ${kindName(entry.value)}; ${consequence}`)
}

function expectedType(label: string): string {
  return label.endsWith('.entryPoints') ? 'a list of names' : 'one value'
}

/** What Traefik v1 has and Skein does not read yet: the reader of labels says what follows. An empty list asks for nothing. */
function addUnread(entry: Entry, words: Vocabulary, found: Found): boolean {
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

/** The entries of a table; nothing (reported, unless it is null) when it is none. */
export function entriesOf(place: Place, report: Report): readonly Entry[] {
  if (place.value === null || place.value === undefined) return []
  const table = tableOf(place.value)
  if (table === null) {
    report.error(place.key, shown(place.value), `expected a table, found ${kindName(place.value)}; ignored`)
    return []
  }
  return Object.entries(table).map(([name, value]) => ({ name, key: keyOf(place.key, name), value: value ?? null }))
}

/** A table of TOML, a mapping of YAML, an object of JSON; null for everything else, dates too. */
export function tableOf(value: unknown): Readonly<Record<string, unknown>> | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? (value as Record<string, unknown>) : null
}

/** A key as TOML writes it: names that are not bare are quoted, long ones cut. */
export function keyOf(table: string, name: string): string {
  const cut = name.length > MAX_NAME_SHOWN ? `${name.slice(0, MAX_NAME_SHOWN)}…` : name
  const written = /^[A-Za-z0-9_-]+$/.test(cut) ? cut : JSON.stringify(cut)
  return table === '' ? written : `${table}.${written}`
}

/** A text, number or truth as a label would say it; null for a table, a list, a date. */
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

/** A value for a report: only plain ones are shown. */
export function shown(value: unknown): string {
  return textOf(value) ?? ''
}

export function kindName(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (tableOf(value) !== null) return 'a table'
  return typeof value === 'object' ? 'a date' : 'a single value'
}

function listIn(lists: Map<string, Place[]>, key: string): Place[] {
  const known = lists.get(key)
  if (known !== undefined) return known
  const list: Place[] = []
  lists.set(key, list)
  return list
}
