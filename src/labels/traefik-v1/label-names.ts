// The labels of Traefik v1, and how a service's labels are split into segments. `traefik.port` belongs to the service,
// `traefik.api.port` to its segment `api`. A segment inherits the service's labels; a service with segments has no router of
// its own. Specification: https://doc.traefik.io/traefik/v1.7/configuration/backends/docker/ and Traefik 1.7's
// provider/label/segment.go.

import type { AddressLabels } from '../shared/instance-address.ts'
import type { LabelSet } from '../shared/label-set.ts'
import type { SkeinLabelName } from '../shared/skein-names.ts'

/** Labels of a whole service only. */
const SERVICE_LABELS = ['enable', 'tags', 'domain', 'docker.network', 'backend.loadbalancer.swarm'] as const

/** Labels of a service or of one of its segments. */
const SEGMENT_LABELS = [
  'port',
  'protocol',
  'weight',
  'backend',
  'frontend.rule',
  'frontend.priority',
  'frontend.entryPoints',
  'frontend.passHostHeader',
  'backend.loadbalancer.method',
  'backend.loadbalancer.sticky',
  'backend.loadbalancer.stickiness',
  'backend.loadbalancer.stickiness.cookieName',
  'backend.loadbalancer.stickiness.secure',
  'backend.loadbalancer.stickiness.httpOnly',
  'backend.loadbalancer.stickiness.sameSite',
  'backend.healthcheck.path',
  'backend.healthcheck.port',
  'backend.healthcheck.scheme',
  'backend.healthcheck.hostname',
  'backend.healthcheck.interval',
  'backend.healthcheck.timeout',
  'backend.healthcheck.headers',
  'backend.maxconn.amount',
  'backend.maxconn.extractorfunc',
  'backend.circuitbreaker.expression',
] as const

export type TraefikLabelName = (typeof SERVICE_LABELS)[number] | (typeof SEGMENT_LABELS)[number]

/** All labels that a service of this dialect may have. */
export type LabelName = TraefikLabelName | SkeinLabelName
export type Labels = LabelSet<LabelName>

/** Labels that choose the address of an instance. */
export const ADDRESS_LABELS: AddressLabels<TraefikLabelName> = {
  network: 'docker.network',
  virtualIp: 'backend.loadbalancer.swarm',
}

/**
 * Labels that guard a router. They are not implemented yet, so a router with one is left out: serving it unguarded would be
 * worse. A guard of a segment that cannot be identified (`backend.frontend.auth.basic`) applies to the whole service.
 */
const GUARDS = /(?:^|\.)frontend\.(?:auth(?:\.|$)|basicauth|whitelist)/i

/** Other labels that are not implemented yet. */
const LATER = [
  /^frontend\.(?:headers|errors|ratelimit|redirect|passtlscert|passtlsclientcert)(?:\.|$)/i,
  /^backend\.(?:buffering|responseforwarding)(?:\.|$)/i,
]

/** Labels of Traefik v2 and later. */
const NEWER = [
  /^(?:http|tcp|udp)\.(?:routers|services|middlewares|serverstransports?)\./i,
  /^tls\.(?:stores|options|certificates)\./i,
  /^swarm\./i,
  /^docker\.lbswarm$/i,
]

/**
 * The property is at the end and the segment's name is the shortest possible: as in Traefik, plus `backend.*` for a segment's
 * own backend.
 */
const SEGMENT = /^(.+?)\.(port|portIndex|portName|weight|protocol|backend|backend\..+|frontend\..+)$/

export type LabelClass = 'known' | 'guard' | 'later' | 'newer' | 'unknown'

const KNOWN_IN_SEGMENT: ReadonlySet<string> = new Set(SEGMENT_LABELS)
const KNOWN: ReadonlySet<string> = new Set([...SERVICE_LABELS, ...SEGMENT_LABELS])

/** Classifies a label (without the prefix and, in a segment, without the segment). */
export function classifyLabel(name: string, inSegment: boolean): LabelClass {
  if ((inSegment ? KNOWN_IN_SEGMENT : KNOWN).has(name)) return 'known'
  if (GUARDS.test(name)) return 'guard'
  if (LATER.some(later => later.test(name))) return 'later'
  return 'unknown'
}

/** The sections of Traefik v2 and later that define and guard routers. */
const NEWER_ROUTING = /^(?:http|tcp|udp|tls)\./i

/** True for a label of Traefik v2 or later (without the prefix). */
export function isNewerTraefikLabel(name: string): boolean {
  return NEWER.some(newer => newer.test(name)) || isNewerRouterLabel(name)
}

/**
 * True for a label that defines or guards a router in Traefik v2 or later, misspelt ones included (`http.router.a.rule`).
 * `http.port` and `http.frontend.rule` belong to a segment of v1 named `http`.
 */
export function isNewerRouterLabel(name: string): boolean {
  if (!NEWER_ROUTING.test(name)) return false
  const { segment } = splitSegment(name)
  return segment === '' || segment.includes('.')
}

/** The label in the right case; null when there is none. */
export function suggestLabel(name: string): TraefikLabelName | null {
  const lower = name.toLowerCase()
  return [...SERVICE_LABELS, ...SEGMENT_LABELS].find(known => known.toLowerCase() === lower) ?? null
}

/** Spellings of Traefik's other providers and early versions, which v1.7 does not read from Docker, and the current ones. */
const OLD_SPELLINGS: ReadonlyMap<string, TraefikLabelName> = new Map([
  ['backend.circuitbreaker', 'backend.circuitbreaker.expression'],
  ['backend.loadbalancer', 'backend.loadbalancer.method'],
])

/** The current spelling of a label in an old one; null when it is none. */
export function currentSpelling(name: string): TraefikLabelName | null {
  return OLD_SPELLINGS.get(name.toLowerCase()) ?? null
}

/** Splits a label (without the prefix) into its segment, '' for the service itself, and its name. */
export function splitSegment(name: string): { readonly segment: string; readonly name: string } {
  if (name.startsWith('frontend.') || name.startsWith('backend.') || name.startsWith('docker.')) return { segment: '', name }
  const found = SEGMENT.exec(name)
  return found === null ? { segment: '', name } : { segment: found[1] ?? '', name: found[2] ?? '' }
}
