// Labels of Traefik v1 to routers, services and middlewares: `traefik.frontend.rule=Host:shop.test`, `traefik.port=80`. What is
// wrong with one service's labels is reported and hurts that service alone. Spec:
// https://doc.traefik.io/traefik/v1.7/configuration/backends/docker/; where Traefik 1.7 is silent its source decides
// (provider/docker/config.go). Labels that differ on purpose are explained where they are read.

import { ENTRY_POINT_NAME } from '../../config/entry-points.ts'
import { canonicalJson } from '../../config/merge.ts'
import type { ConfigError, DynamicConfig, Middleware, Router, Server, Service } from '../../config/model.ts'
import { compareRouters } from '../../config/router-order.ts'
import { parseRule } from '../../rules/traefik-v1.ts'
import { type Constraint, meetsConstraints, parseConstraint } from '../shared/constraints.ts'
import type { DialectOptions, DialectType } from '../shared/dialect.ts'
import type { DiscoveredService } from '../shared/discovered.ts'
import { type Endpoints, endpointsOf } from '../shared/instance-address.ts'
import { type Report, reportFor } from '../shared/report.ts'
import { SKEIN_PREFIX } from '../shared/skein-names.ts'
import { createNameAllocator, safeName } from '../shared/unique-names.ts'
import { isInteger, parseBool, parseInteger, parseList } from '../shared/values.ts'
import { readBackend } from './backend.ts'
import { ADDRESS_LABELS, type Labels } from './label-names.ts'
import { readSegments, type Segment } from './segments.ts'

/** Entry points that one label may list: as many as a snapshot takes (config/schema.ts). */
const MAX_ENTRY_POINTS = 64

interface Draft {
  readonly options: DialectOptions
  readonly routers: Map<string, Router>
  readonly services: Map<string, Service>
  readonly middlewares: Map<string, Middleware>
  readonly errors: ConfigError[]
  /** By service: which sources give servers to it, and with which weight. */
  readonly weights: Map<string, WeightClaim[]>
}

interface WeightClaim {
  readonly part: Part
  readonly weight: number
}

/** A service, or one of its segments, that is to be exposed. */
interface Part {
  readonly service: DiscoveredService
  readonly segment: Segment
  readonly report: Report
  /** Asked for once the labels are known to make servers possible: only then is a missing address worth a report. */
  readonly endpoints: () => Endpoints
  readonly routerName: string
  readonly backendName: string
}

/** Claims every service that has a label under the configured prefix or under `skein.`. */
export const traefikV1: DialectType = {
  name: 'traefik-v1',
  create(options) {
    const starts = [`${options.prefix.toLowerCase()}.`, `${SKEIN_PREFIX}.`]
    return {
      name: 'traefik-v1',
      claims: labels => Object.keys(labels).some(key => starts.some(start => key.toLowerCase().startsWith(start))),
      read: services => readTraefikV1(services, options),
    }
  },
}

/**
 * Reads every service's labels. The order of `services` does not matter: the same services always give the same configuration.
 */
export function readTraefikV1(services: readonly DiscoveredService[], options: DialectOptions): DynamicConfig {
  const draft: Draft = {
    options,
    routers: new Map(),
    services: new Map(),
    middlewares: new Map(),
    errors: [],
    weights: new Map(),
  }
  const constraints = readConstraints(options, draft.errors)
  const sorted = [...services].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1))
  for (const part of named(sorted.flatMap(service => expose(service, draft, constraints)))) build(part, draft)
  raiseZeroWeights(draft)
  dropUnused(draft)
  warnOfSameRules(draft)
  return {
    routers: Object.fromEntries(draft.routers),
    services: Object.fromEntries(draft.services),
    middlewares: Object.fromEntries(draft.middlewares),
    errors: draft.errors,
  }
}

/** null when an option is wrong: then nothing may be exposed that a constraint was to hold back. */
function readConstraints(options: DialectOptions, errors: ConfigError[]): readonly Constraint[] | null {
  const out: Constraint[] = []
  for (const text of options.constraints) {
    const constraint = parseConstraint(text)
    if (constraint === null) {
      reportFor('options', 'constraints', errors).error(
        'constraints',
        text,
        'expected tag==GLOB or tag!=GLOB; no service is exposed',
      )
      return null
    }
    out.push(constraint)
  }
  return out
}

type Unnamed = Omit<Part, 'routerName' | 'backendName'>

/** The parts of a service that are to be exposed, before they have names. */
function expose(service: DiscoveredService, draft: Draft, constraints: readonly Constraint[] | null): Unnamed[] {
  const { options, errors } = draft
  const report = reportFor(service.provider, service.name, errors)
  const enableKey = `${options.prefix}.enable`
  const enable = (Object.hasOwn(service.labels, enableKey) ? (service.labels[enableKey] ?? '') : '').trim()
  const enabled = enable === '' ? options.exposedByDefault : parseBool(enable)
  if (enabled === null) report.error(enableKey, enable, 'expected true or false; the service was left out')
  if (enabled !== true || constraints === null) return []
  const read = readSegments(service.labels, options.prefix, report)
  if (read === null) return []
  const tags = parseList(read.whole.text('tags') ?? '')
  if (!meetsConstraints(tags, constraints)) return []
  let known: Endpoints | null = null
  const endpoints = () => (known ??= endpointsOf(service, read.whole, ADDRESS_LABELS))
  return read.segments.map(segment => ({ service, segment, report, endpoints }))
}

/**
 * Names are readable (`shop_web`, `shop_web-api`), and unique: services of their own come first, so that a segment can never take
 * one's name. What `traefik.backend` names is shared by all who name it.
 */
function named(parts: readonly Unnamed[]): Part[] {
  const routers = createNameAllocator()
  const backends = createNameAllocator()
  const owned = (part: Unnamed) => part.segment.name === ''
  const out: Part[] = []
  for (const part of [...parts.filter(owned), ...parts.filter(p => !owned(p))]) {
    const service = safeName(part.service.name)
    const backend = part.segment.labels.text('backend')
    if (owned(part)) {
      const backendName = backend === null ? service : safeName(backend)
      out.push({
        ...part,
        routerName: routers(service, part.service.id, service),
        backendName: backends(backendName, `shared ${backendName}`, service),
      })
    } else {
      const suffix = safeName(backend ?? part.segment.name)
      out.push({
        ...part,
        routerName: routers(`${service}-${safeName(part.segment.name)}`, `${part.service.id} ${part.segment.name}`, service),
        backendName: backends(`${service}-${suffix}`, `${part.service.id} ${backend ?? part.segment.name}`, service),
      })
    }
  }
  return out
}

function build(part: Part, draft: Draft): void {
  const weight = part.segment.labels.integer('weight', 0, 1_000_000, 1, '1 is used')
  const servers = readServers(part, weight)
  // The rule is read even where there will be no router, so that all mistakes are told at once.
  const routed = readRouter(part, draft.options)
  if (servers === null) return
  addService(part, servers, draft)
  const claims = draft.weights.get(part.backendName)
  if (claims === undefined) draft.weights.set(part.backendName, [{ part, weight }])
  else claims.push({ part, weight })
  if (routed === null) return
  draft.routers.set(part.routerName, routed.router)
  for (const [name, middleware] of routed.middlewares) draft.middlewares.set(name, middleware)
}

/** The servers of a part; null when its labels make none possible. */
function readServers(part: Part, weight: number): readonly Server[] | null {
  if (part.service.servers !== undefined) return part.service.servers
  const { labels } = part.segment
  const scheme = labels.text('protocol') ?? 'http'
  if (scheme !== 'http' && scheme !== 'https') {
    const consequence = scheme === 'h2c' ? 'h2c is not spoken yet, the router was left out' : 'the router was left out'
    labels.wrong('protocol', 'http or https', consequence)
    return null
  }
  const port = readPort(part)
  if (port === null) return null
  return part.endpoints().list.map(e => ({
    id: `${e.id}:${port}`,
    scheme,
    host: e.address,
    port,
    weight,
    state: e.state,
    node: e.node,
    owner: part.service.name,
  }))
}

/**
 * The port label, or the service's one published port; null when there is neither (reported). Of several published ports none is
 * taken, since some may not be meant for the public. For Swarm services Traefik v1 takes the label's port only.
 */
function readPort({ service, segment, report }: Part): number | null {
  const { labels } = segment
  if (labels.text('port') !== null) return labels.integer('port', 1, 65_535, null, 'the router was left out')
  const [only, ...others] = service.ports
  if (only !== undefined && others.length === 0) return only
  const published = only === undefined ? 'none' : listed(service.ports)
  report.error(labels.key('port'), '', `expected a port: the service publishes ${published}; the router was left out`)
  return null
}

function listed(ports: readonly number[]): string {
  return `${ports.slice(0, 5).join(', ')}${ports.length > 5 ? ' and others' : ''}`
}

function addService(part: Part, servers: readonly Server[], draft: Draft): void {
  const { service, segment, backendName } = part
  const lost = servers.length === 0 && service.servers === undefined && part.endpoints().sharesNoNetwork
  const settings = readBackend(segment.labels, backendName)
  const known = draft.services.get(backendName)
  if (known === undefined) {
    const { provider, name } = service
    draft.services.set(backendName, {
      name: backendName,
      servers,
      ...settings,
      ...(lost ? { outOfReach: true } : {}),
      provider,
      source: name,
    })
    return
  }
  const { balancer, sticky, learn, breaker, outliers, healthCheck, maxConn, timeouts } = known
  if (canonicalJson({ balancer, sticky, learn, breaker, outliers, healthCheck, maxConn, timeouts }) !== canonicalJson(settings)) {
    const message = `expected the same backend labels as on ${known.source}, which shares this backend; those count`
    part.report.warn(segment.labels.key('backend'), backendName, message)
  }
  const ids = new Set(known.servers.map(s => s.id))
  const { outOfReach = false, ...rest } = known
  draft.services.set(backendName, {
    ...rest,
    servers: [...known.servers, ...servers.filter(s => !ids.has(s.id))],
    ...(outOfReach && lost ? { outOfReach } : {}),
  })
}

interface Routed {
  readonly router: Router
  readonly middlewares: readonly (readonly [name: string, middleware: Middleware])[]
}

/** The router of a part with its middlewares; null when its labels make none possible. */
function readRouter(part: Part, options: DialectOptions): Routed | null {
  const { service, segment, routerName, backendName } = part
  const { labels } = segment
  const rule = labels.text('frontend.rule') ?? defaultRule(service, labels.text('domain') ?? options.domain)
  if (rule === null) {
    const message = 'expected a rule: there is no domain from which to make the default one; the router was left out'
    part.report.error(labels.key('frontend.rule'), '', message)
    return null
  }
  const parsed = parseRule(rule)
  if (!parsed.ok) {
    part.report.error(labels.key('frontend.rule'), rule, `expected ${parsed.message}; the router was left out`)
    return null
  }
  for (const message of parsed.leftOut) {
    part.report.error(labels.key('frontend.rule'), rule, `expected ${message}; this value was left out, the others count`)
  }
  const entryPoints = readEntryPoints(labels)
  const priority = readPriority(labels, parsed.priority)
  if (entryPoints === null || priority === null) return null
  const middlewares = parsed.middlewares.map(m => [`${routerName}.${m.kind}`, m] as const)
  const router: Router = {
    name: routerName,
    entryPoints,
    rule,
    matcher: parsed.matcher,
    priority,
    service: backendName,
    middlewares: middlewares.map(([name]) => name),
    passHostHeader: labels.bool('frontend.passHostHeader', true),
    provider: service.provider,
    source: service.name,
  }
  return { router, middlewares }
}

export const NEGATIVE_PRIORITY = "expected a priority above 0: as in Traefik v1 any other is ignored; the rule's length is used"

/**
 * The priority label, or the length of the rule where the label is absent, 0, negative or no number, as in v1. null when it is a
 * number that a snapshot cannot hold exactly (reported): a rounded priority could put the router in another order.
 */
function readPriority(labels: Labels, ruleLength: number): number | null {
  const text = labels.text('frontend.priority')
  if (text === null) return ruleLength
  const value = parseInteger(text, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  if (value !== null && value < 0) labels.report.warn(labels.key('frontend.priority'), text, NEGATIVE_PRIORITY)
  if (value !== null) return value > 0 ? value : ruleLength
  const expected = `a whole number of at most ${Number.MAX_SAFE_INTEGER}`
  if (isInteger(text)) {
    labels.wrong('frontend.priority', expected, 'the router was left out')
    return null
  }
  labels.wrong('frontend.priority', expected, "the rule's length is used")
  return ruleLength
}

/** v1's `Host:<service>.<domain>`, with the compose project in place where there is one; null without a domain. */
function defaultRule(service: DiscoveredService, written: string | null): string | null {
  const domain = written === null ? '' : written.replace(/^\.+/, '')
  const project = service.labels['com.docker.compose.project'] ?? ''
  const composed = service.labels['com.docker.compose.service'] ?? ''
  if (project !== '' && composed !== '') return `Host:${subDomain(`${composed}.${project}`)}${domain === '' ? '' : `.${domain}`}`
  return domain === '' ? null : `Host:${subDomain(service.name)}.${domain}`
}

function subDomain(name: string): string {
  return name.replace(/^\//, '').replaceAll('/', '-').replaceAll('_', '-')
}

/**
 * Entry points as the label names them; each replica resolves them against its own (config/entry-points.ts). null when no name is
 * valid for an entry point.
 */
function readEntryPoints(labels: Labels): readonly string[] | null {
  const wanted = new Set(parseList(labels.text('frontend.entryPoints') ?? ''))
  const possible = [...wanted].filter(name => ENTRY_POINT_NAME.test(name)).slice(0, MAX_ENTRY_POINTS)
  if (possible.length === wanted.size) return possible
  const expected = `at most ${MAX_ENTRY_POINTS} names of entry points, each of letters, digits, - and _ (at most 64)`
  const consequence = possible.length === 0 ? 'the router was left out' : 'the other names were left out'
  labels.wrong('frontend.entryPoints', expected, consequence)
  return possible.length === 0 ? null : possible
}

/**
 * Where all that share a backend give weight 0, each server counts as 1, as in Traefik v1, or the backend would take no client at
 * all. One that has no task for a moment still counts with its weight: its clients wait for the next task. One that is scaled to
 * 0 does not.
 */
function raiseZeroWeights(draft: Draft): void {
  for (const [name, claims] of draft.weights) {
    const service = draft.services.get(name)
    // Weights of servers from files are checked where the files are read.
    const counted = claims.filter(({ part }) => part.service.scaledToZero !== true && part.service.servers === undefined)
    if (service === undefined || counted.length === 0 || counted.some(({ weight }) => weight > 0)) continue
    const servers = service.servers.map(server => (server.weight === 0 ? { ...server, weight: 1 } : server))
    draft.services.set(name, { ...service, servers })
    for (const { part } of counted) {
      const { labels } = part.segment
      part.report.warn(labels.key('weight'), labels.text('weight') ?? '', ALL_ZERO)
    }
  }
}

export const ALL_ZERO = 'expected a weight above 0 on at least one server of the backend; as all have 0, each counts as 1'

function dropUnused(draft: Draft): void {
  const used = new Set([...draft.routers.values()].map(r => r.service))
  for (const name of draft.services.keys()) if (!used.has(name)) draft.services.delete(name)
}

/** Of two routers with one rule only the first is ever asked; the second one's author should know. */
function warnOfSameRules(draft: Draft): void {
  // One of each service and its entry points is enough: thousands may have one rule.
  const byMatcher = new Map<string, Map<string, Router>>()
  for (const router of [...draft.routers.values()].sort(compareRouters)) {
    const key = canonicalJson(router.matcher)
    const earlier = byMatcher.get(key) ?? new Map<string, Router>()
    const first = earlier.values().find(r => r.service !== router.service && overlap(r.entryPoints, router.entryPoints))
    const kind = canonicalJson([router.service, router.entryPoints])
    if (!earlier.has(kind)) earlier.set(kind, router)
    byMatcher.set(key, earlier)
    if (first === undefined) continue
    const report = reportFor(router.provider, router.source, draft.errors)
    const message = `expected a rule of its own: router ${first.name} of service ${first.source} has it too and is asked first`
    report.warn(`${draft.options.prefix}.frontend.rule`, router.rule, message)
  }
}

function overlap(a: readonly string[], b: readonly string[]): boolean {
  return a.length === 0 || b.length === 0 || a.some(name => b.includes(name))
}
