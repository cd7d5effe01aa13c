// Reads services files in the format of Traefik v1's file provider. Each frontend becomes a service with labels, which the
// label reader processes, so that a setting means the same in a file and in a label. Its findings are reported by their place
// in the file. Specification: https://doc.traefik.io/traefik/v1.7/configuration/backends/file/ and Traefik 1.7's
// types/types.go. As there, the client's Host is passed on only where a frontend asks for it.

import { createHash } from 'node:crypto'
import type { ConfigError, DynamicConfig, Router, Server, Service } from '../../config/model.ts'
import { LIMITS } from '../../config/schema.ts'
import { nearest } from '../../options/nearest.ts'
import type { DiscoveredService } from '../shared/discovered.ts'
import { type Report, reportFor } from '../shared/report.ts'
import { safeName } from '../shared/unique-names.ts'
import { parseInteger } from '../shared/values.ts'
import {
  BACKEND,
  BACKEND_KEYS,
  type Entry,
  entriesOf,
  FILE_PREFIX,
  type Found,
  FRONTEND,
  keyOf,
  kindName,
  plainText,
  readKeys,
  tableOf,
  textOf,
} from './file-keys.ts'
import { readRoutes } from './file-routes.ts'
import { MAX_SERVERS, readHeaders, readServers } from './file-servers.ts'
import { ALL_ZERO, NEGATIVE_PRIORITY, readTraefikV1 } from './reader.ts'

export interface ParsedFile {
  readonly path: string
  /** The parsed TOML, YAML or JSON. */
  readonly content: unknown
}

const PROVIDER = 'file'
const RULE = `${FILE_PREFIX}.frontend.rule`
const PRIORITY = `${FILE_PREFIX}.frontend.priority`
const PASS_HOST = `${FILE_PREFIX}.frontend.passHostHeader`
const HEADERS = `${FILE_PREFIX}.backend.healthcheck.headers`
/** Names compared for "did you mean", in total: one comparison costs the product of the lengths. */
const MAX_COMPARISONS = 10_000

/** A frontend or backend of a file. */
interface Definition {
  readonly name: string
  readonly path: string
  readonly place: Entry
  readonly report: Report
  /** A unique name that is valid in a snapshot. */
  readonly safe: string
}

interface Backend extends Definition {
  readonly found: Found
  readonly servers: readonly Server[]
  used: boolean
}

interface Frontend extends Definition {
  readonly found: Found
  readonly backend: Backend
}

/** Reads all files into one configuration. A mistake affects its own frontend or backend only. Pure. */
export function readTraefikV1Files(files: readonly ParsedFile[]): DynamicConfig {
  const errors: ConfigError[] = []
  const top = files.map(file => readTop(file, errors))
  const backends = new Map<string, Backend>()
  const capacity = { left: MAX_SERVERS }
  for (const definition of define(top, 'backends', LIMITS.services, errors)) {
    backends.set(definition.name, readBackend(definition, capacity))
  }
  const frontends = new Map<string, Frontend>()
  const comparisons = { left: MAX_COMPARISONS }
  for (const definition of define(top, 'frontends', LIMITS.routers, errors)) {
    const frontend = readFrontend(definition, backends, comparisons)
    if (frontend !== null) frontends.set(frontend.safe, frontend)
  }
  for (const { used, place, report } of backends.values()) {
    if (!used) report.warn(place.key, '', 'expected a frontend that names it; it is not used')
  }
  const read = readTraefikV1([...frontends.values()].map(serviceOf), {
    prefix: FILE_PREFIX,
    domain: null,
    exposedByDefault: true,
    constraints: [],
  })
  reportFindings(read.errors, frontends)
  return { ...withSources(read, frontends, backends), middlewares: read.middlewares, errors: errors.slice(0, LIMITS.errors) }
}

interface Top {
  readonly path: string
  readonly backends: readonly Entry[]
  readonly frontends: readonly Entry[]
}

/** The tables of a file; everything else is reported. */
function readTop({ path, content }: ParsedFile, errors: ConfigError[]): Top {
  const report = reportFor(PROVIDER, path, errors)
  const tables = { backends: [] as Entry[], frontends: [] as Entry[] }
  if (content !== null && content !== undefined && tableOf(content) === null) {
    report.error('', plainText(content), `expected tables backends and frontends, found ${kindName(content)}; nothing was read`)
    return { path, ...tables }
  }
  for (const entry of entriesOf({ key: '', value: content }, report)) {
    const name = entry.name.toLowerCase()
    if (name === 'backends' || name === 'frontends') for (const one of entriesOf(entry, report)) tables[name].push(one)
    else unknownTop(name, entry, report)
  }
  return { path, ...tables }
}

function unknownTop(name: string, entry: Entry, report: Report): void {
  const guess = nearest(name, ['backends', 'frontends'])
  if (name === 'http' || name === 'tcp' || name === 'udp') {
    const message =
      'expected backends and frontends, as Traefik v1 writes them: this is the format of Traefik v2 or later, which is not supported yet'
    report.error(entry.key, '', message)
  } else if (name === 'tls') report.warn(entry.key, '', 'certificates in files are not supported yet; ignored')
  else if (guess !== null) report.warn(entry.key, plainText(entry.value), `expected ${guess}; ignored`)
  else {
    const message = 'expected backends or frontends: other settings of a Traefik file are options of Skein; ignored'
    report.warn(entry.key, plainText(entry.value), message)
  }
}

/** The frontends or backends of all files; the first definition of a name is used. */
function define(tops: readonly Top[], what: 'backends' | 'frontends', max: number, errors: ConfigError[]): Definition[] {
  const definitions = new Map<string, Definition>()
  const taken = new Set<string>()
  for (const top of tops) {
    const file = reportFor(PROVIDER, top.path, errors)
    for (const place of top[what]) {
      const { name, key } = place
      const holder = definitions.get(name)
      if (holder !== undefined) {
        const where = holder.path === top.path ? 'this file' : holder.path
        file.error(key, '', `expected a unique name: ${where} defines ${holder.place.key}, which is used; left out`)
      } else if (name.trim() === '') {
        file.error(key, name, 'expected a name that is not empty; left out')
      } else if (definitions.size === max) {
        file.error(key, String(max), `expected at most ${max} ${what}; the others were left out`)
        return [...definitions.values()]
      } else {
        const safe = uniqueName(name, taken)
        definitions.set(name, { name, path: top.path, place, safe, report: reportFor(PROVIDER, top.path, errors) })
      }
    }
  }
  return [...definitions.values()]
}

/** A readable name for the snapshot. When two names become equal, the second gets a suffix made from its spelling. */
function uniqueName(name: string, taken: Set<string>): string {
  // Twice, because shortening may have split a character.
  const plain = safeName(safeName(name))
  let safe = plain
  for (let n = 0; taken.has(safe); n++) {
    const mark = createHash('sha256').update(`${n} ${name}`).digest('hex').slice(0, 8)
    safe = safeName(`${plain.slice(0, 90)}-${mark}`)
  }
  taken.add(safe)
  return safe
}

function readBackend(definition: Definition, capacity: { left: number }): Backend {
  const { place, report } = definition
  const found = readKeys(place, BACKEND, report)
  const headers = found.parts.get('healthcheck.headers') ?? []
  const text = readHeaders(headers, report)
  if (text !== '') {
    found.labels.set(HEADERS, text)
    found.keys.set(HEADERS, headers[0]?.key ?? '')
  }
  const tables = found.parts.get('servers') ?? []
  const servers = readServers(tables, report, capacity)
  const empty = tables.every(table => table.value === null || Object.keys(tableOf(table.value) ?? { wrong: 1 }).length === 0)
  if (empty) {
    const key = tables[0]?.key ?? keyOf(place.key, 'servers')
    report.warn(key, '', 'expected servers such as servers.one.url = "http://10.0.0.1:8080"; requests are answered 503')
  }
  const zero = servers.length > 0 && servers.every(server => server.weight === 0)
  if (zero) report.warn(tables[0]?.key ?? keyOf(place.key, 'servers'), '0', ALL_ZERO)
  return { ...definition, found, servers: zero ? servers.map(server => ({ ...server, weight: 1 })) : servers, used: false }
}

/** null when it cannot be served (reported). All mistakes are reported at once. */
function readFrontend(
  definition: Definition,
  backends: ReadonlyMap<string, Backend>,
  comparisons: { left: number },
): Frontend | null {
  const { place, report } = definition
  if (tableOf(place.value) === null) {
    const message = `expected a table with backend and routes, found ${kindName(place.value)}; the frontend was left out`
    report.error(place.key, plainText(place.value), message)
    return null
  }
  const found = readKeys(place, FRONTEND, report)
  const rule = readRoutes(found.parts.get('routes') ?? [], place.key, report)
  const backend = backendOf(found, definition, backends, comparisons)
  if (rule === null || backend === null || !found.complete) return null
  found.labels.set(RULE, rule.rule)
  found.keys.set(RULE, rule.key)
  const priority = found.labels.get(PRIORITY)?.trim() ?? ''
  const ignored = parseInteger(priority, Number.MIN_SAFE_INTEGER, 0)
  if (ignored !== null && ignored < 0) report.warn(found.keys.get(PRIORITY) ?? place.key, priority, NEGATIVE_PRIORITY)
  if (priority === '' || ignored !== null) found.labels.set(PRIORITY, String(rule.priority))
  if (!found.labels.has(PASS_HOST)) found.labels.set(PASS_HOST, 'false')
  return { ...definition, found, backend }
}

function backendOf(
  found: Found,
  { place, report }: Definition,
  backends: ReadonlyMap<string, Backend>,
  comparisons: { left: number },
): Backend | null {
  const named = found.parts.get('backend')?.[0]
  const key = named?.key ?? keyOf(place.key, 'backend')
  const name = textOf(named?.value) ?? ''
  const backend = backends.get(name)
  if (backend !== undefined) {
    backend.used = true
    return backend
  }
  if (name === '') {
    report.error(key, '', 'expected the name of a backend; the frontend was left out')
    return null
  }
  const text = [...backends.keys()].slice(0, Math.max(comparisons.left, 0))
  comparisons.left -= text.length
  const guess = nearest(name, text)
  const meant = guess === null ? '' : `; the nearest is ${keyOf('', guess)}`
  report.error(key, name, `expected a backend that one of the files defines${meant}; the frontend was left out`)
  return null
}

/** A frontend as a service with labels. Servers are added later, once per backend whatever the number of its frontends. */
function serviceOf({ safe, found, backend }: Frontend): DiscoveredService {
  const labels = Object.fromEntries([...backend.found.labels, ...found.labels, [`${FILE_PREFIX}.backend`, backend.safe]])
  const none = { instances: [], virtualIps: [], ports: [], servers: [] }
  return { provider: PROVIDER, id: safe, name: safe, labels, updating: false, ...none }
}

/** Reports the findings of the label reader by their place in the file; a finding shared by several frontends once. */
function reportFindings(errors: readonly ConfigError[], frontends: ReadonlyMap<string, Frontend>): void {
  const reported = new Map<Backend, Set<string>>()
  for (const { severity, source, key, value, message } of errors) {
    const frontend = frontends.get(source)
    if (frontend === undefined) continue
    const { backend, found } = frontend
    const text = toFileMessage(message)
    const own = found.keys.get(key)
    const shared = own === undefined ? backend.found.keys.get(key) : undefined
    const [definition, place] = shared === undefined ? [frontend, own ?? frontend.place.key] : [backend, shared]
    if (shared !== undefined) {
      const before = reported.get(backend) ?? new Set()
      reported.set(backend, before)
      if (before.has(`${shared} ${text}`)) continue
      before.add(`${shared} ${text}`)
    }
    if (severity === 'error') definition.report.error(place, value, text)
    else definition.report.warn(place, value, text)
  }
}

function toFileMessage(message: string): string {
  const needs = /^expected (\S+) with it/.exec(message)?.[1]
  const label = needs?.replace(`${FILE_PREFIX}.`, '') ?? ''
  const key = new Map<string, string>(Object.entries(BACKEND_KEYS)).get(label)
  if (needs !== undefined && key !== undefined) return message.replace(needs, key)
  // A frontend and its service have the same name.
  return message.replace(/\brouter (\S+) of service \1 /, 'frontend $1 ')
}

/** Sets the file as the source of routers and services, and adds the servers. */
function withSources(
  read: DynamicConfig,
  frontends: ReadonlyMap<string, Frontend>,
  backends: ReadonlyMap<string, Backend>,
): Pick<DynamicConfig, 'routers' | 'services'> {
  const bySafe = new Map([...backends.values()].map(backend => [backend.safe, backend]))
  const routers: Record<string, Router> = {}
  for (const [name, router] of Object.entries(read.routers)) {
    routers[name] = { ...router, source: ownerOf(frontends.get(name), router.source) }
  }
  const services: Record<string, Service> = {}
  for (const [name, service] of Object.entries(read.services)) {
    const backend = bySafe.get(name)
    services[name] = { ...service, servers: backend?.servers ?? [], source: ownerOf(backend, service.source) }
  }
  return { routers, services }
}

function ownerOf(definition: Definition | undefined, otherwise: string): string {
  return definition === undefined ? otherwise : sourceOf(definition.path)
}

/** The source of what a file defines. */
export function sourceOf(path: string): string {
  return path.slice(0, 2_000)
}
