// The dialect of Traefik v1: turns labels such as `traefik.frontend.rule=Host:shop.test` and `traefik.port=80` into routers,
// services and middlewares. A mistake is reported and affects its own service only. Specification:
// https://doc.traefik.io/traefik/v1.7/configuration/backends/docker/ and Traefik 1.7's provider/docker/config.go. Intended
// differences are explained where a label is read.

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

/** Entry points per router: the limit of a snapshot (config/schema.ts). */
const MAX_ENTRY_POINTS = 64

interface Draft {
  readonly options: DialectOptions
  readonly routers: Map<string, Router>
  readonly services: Map<string, Service>
  readonly middlewares: Map<string, Middleware>
  readonly errors: ConfigError[]
  /** By service: the parts that add servers to it, with their weights. */
  readonly weights: Map<string, WeightClaim[]>
}

interface WeightClaim {
  readonly part: Part
  readonly weight: number
}

/** A service, or one of its segments, that is exposed. */
interface Part {
  readonly service: DiscoveredService
  readonly segment: Segment
  readonly report: Report
  /** Computed only when the labels allow servers, so that a missing address is not reported needlessly. */
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

/** Reads the labels of every service. The order of `services` does not affect the result. */
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
  for (const part of allocateNames(sorted.flatMap(service => exposedParts(service, draft, constraints)))) build(part, draft)
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

/** null when a constraint is malformed: then nothing is exposed that it might exclude. */
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

/** The exposed parts of a service, without names. */
function exposedParts(service: DiscoveredService, draft: Draft, constraints: readonly Constraint[] | null): Unnamed[] {
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
 * Allocates readable, unique names (`shop_web`, `shop_web-api`). Services come first, so that a segment never takes the name of
 * a service. A backend named by `traefik.backend` is shared by all parts that name it.
 */
function allocateNames(parts: readonly Unnamed[]): Part[] {
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
  // The rule is read even when there is no router, so that all mistakes are reported at once.
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

/** The servers of a part; null when its labels allow none. */
function readServers(part: Part, weight: number): readonly Server[] | null {
  if (part.service.servers !== undefined) return part.service.servers
  const { labels } = part.segment
  const scheme = labels.text('protocol') ?? 'http'
  if (scheme !== 'http' && scheme !== 'https') {
    const consequence = scheme === 'h2c' ? 'h2c is not supported yet, the router was left out' : 'the router was left out'
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
 * The port label, or the only published port of the service; null when there is neither (reported). With several published
 * ports none is used, because some may not be public. For Swarm services Traefik v1 uses only the label.
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
  const unreachable = servers.length === 0 && service.servers === undefined && part.endpoints().sharesNoNetwork
  const settings = readBackend(segment.labels, backendName)
  const known = draft.services.get(backendName)
  if (known === undefined) {
    const { provider, name } = service
    draft.services.set(backendName, {
      name: backendName,
      servers,
      ...settings,
      ...(unreachable ? { outOfReach: true } : {}),
      provider,
      source: name,
    })
    return
  }
  const { balancer, sticky, learn, breaker, outliers, healthCheck, maxConn, timeouts } = known
  if (canonicalJson({ balancer, sticky, learn, breaker, outliers, healthCheck, maxConn, timeouts }) !== canonicalJson(settings)) {
    const message = `expected the same backend labels as on ${known.source}, which shares this backend; those labels are used`
    part.report.warn(segment.labels.key('backend'), backendName, message)
  }
  const ids = new Set(known.servers.map(s => s.id))
  const { outOfReach = false, ...rest } = known
  draft.services.set(backendName, {
    ...rest,
    servers: [...known.servers, ...servers.filter(s => !ids.has(s.id))],
    ...(outOfReach && unreachable ? { outOfReach } : {}),
  })
}

interface Routed {
  readonly router: Router
  readonly middlewares: readonly (readonly [name: string, middleware: Middleware])[]
}

/** The router of a part with its middlewares; null when its labels allow none. */
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
    part.report.error(labels.key('frontend.rule'), rule, `expected ${message}; this value was left out, the others are used`)
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
 * The priority label, or the length of the rule when the label is absent, 0, negative or not a number, as in v1. null for a
 * number that a snapshot cannot hold exactly (reported), because a rounded priority could change the order of routers.
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

/** v1's `Host:<service>.<domain>`, with the compose project where there is one; null without a domain. */
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
 * Entry points as in the label; each replica resolves them against its own (config/entry-points.ts). null when no name is
 * valid.
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
 * When all parts of a backend have weight 0, each server gets weight 1, as in Traefik v1; otherwise the backend would take no
 * client at all. A service without a task at the moment counts with its weight, because its clients wait for the next task; one
 * scaled to 0 does not.
 */
function raiseZeroWeights(draft: Draft): void {
  for (const [name, claims] of draft.weights) {
    const service = draft.services.get(name)
    // Weights in files are checked by the reader of files.
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

/** Warns when two routers have the same rule, because only the first is ever used. */
function warnOfSameRules(draft: Draft): void {
  // One router per service and entry points is enough: thousands may have one rule.
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
    const message = `expected a unique rule: router ${first.name} of service ${first.source} has it too and comes first`
    report.warn(`${draft.options.prefix}.frontend.rule`, router.rule, message)
  }
}

function overlap(a: readonly string[], b: readonly string[]): boolean {
  return a.length === 0 || b.length === 0 || a.some(name => b.includes(name))
}
