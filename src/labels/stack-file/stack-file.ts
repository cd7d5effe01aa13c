// Checks the labels of a stack file (compose, version 3) before it is deployed: `skein check --stack docker-compose.yml`
// reports what an edge would report. Bounded, because the file is untrusted.

import { parseDocument } from 'yaml'
import { unknownEntryPoints } from '../../config/entry-points.ts'
import type { ConfigError, DynamicConfig } from '../../config/model.ts'
import { createLabelReader } from '../dialects.ts'
import type { DialectOptions } from '../shared/dialect.ts'
import type { DiscoveredService } from '../shared/discovered.ts'
import { type Report, reportFor } from '../shared/report.ts'
import { interpolate } from './interpolate.ts'
import { checkStopGrace, type StopTimes } from './stop-grace.ts'

const MAX_FILE_BYTES = 4 * 1024 * 1024
const MAX_SERVICES = 1_000
const PROVIDER = 'stack file'
const NETWORK = 'default'

/** Options of a replica that affect the check. */
export type StackOptions = DialectOptions & {
  /** --network. */
  readonly network: string | null
  /** Names of its entry points. */
  readonly entryPoints: readonly string[]
  /** How long the replica takes to stop. */
  readonly stop: StopTimes
}

/** A router that the stack will have. */
export interface OpenRouter {
  readonly service: string
  readonly router: string
  readonly rule: string
  /** Empty: all of them. */
  readonly entryPoints: readonly string[]
  /** Ports of all servers behind it: services with the same backend share their servers. */
  readonly ports: readonly number[]
}

export interface StackCheck {
  /** All errors and warnings. */
  readonly errors: readonly ConfigError[]
  /** The routers that will be served, sorted by service and router. */
  readonly open: readonly OpenRouter[]
}

/** Placeholder for the stack's name in `docker stack deploy`, which Swarm puts before each service name. */
export const STACK_NAME = 'STACK'
const PREFIX = `${STACK_NAME}_`

/**
 * Reads the labels of a stack file as an edge would. A file that cannot be parsed gives one error. `env`: the variables that
 * `docker stack deploy` would use.
 */
export function checkStackFile(
  text: string,
  options: StackOptions,
  env: Readonly<Record<string, string | undefined>> = {},
): StackCheck {
  const errors: ConfigError[] = []
  const file = reportFor(PROVIDER, '', errors)
  const stack = parse(text)
  if (typeof stack === 'string') {
    file.error('', '', stack)
    return { errors, open: [] }
  }
  const reader = createLabelReader(options)
  const isRead = (key: string): boolean => key.startsWith('com.docker.') || reader.claims({ [key]: '' })
  const found: DiscoveredService[] = []
  for (const [name, definition] of Object.entries(stack).slice(0, MAX_SERVICES)) {
    const report = reportFor(PROVIDER, name, errors)
    if (!isMap(definition)) {
      report.error(`services.${name}`, toJson(definition), 'expected a service')
      continue
    }
    checkStopGrace(definition, options.stop, env, report)
    const deploy = isMap(definition.deploy) ? definition.deploy : {}
    const written = readLabels(deploy.labels, isRead, message => report.error(`services.${name}.deploy.labels`, '', message))
    const labels = Object.fromEntries(Object.entries(written).map(([key, value]) => [key, deployed(key, value, env, report)]))
    const misplaced = readLabels(definition.labels, isRead, () => {})
    const [first] = Object.entries(misplaced)
    if (first !== undefined) {
      report.warn(first[0], first[1], "expected under 'deploy': Swarm does not see labels of the container")
    }
    const network = labels[`${options.prefix}.docker.network`]?.trim() || (options.network ?? NETWORK)
    found.push(toDiscovered(name, labels, readPorts(definition, env), network, options.network))
  }
  const read = reader.read(found)
  const unknown = unknownEntryPoints(Object.values(read.routers), options.entryPoints, options.prefix)
  const reported = [...read.errors, ...unknown].map(error => ({ ...error, source: withoutStack(error.source) }))
  return { errors: [...errors, ...reported], open: openRouters(read, options.entryPoints) }
}

/** The routers that an edge with these entry points serves. */
function openRouters({ routers, services }: DynamicConfig, known: readonly string[]): OpenRouter[] {
  const open: OpenRouter[] = []
  for (const { name, source, service, rule, entryPoints } of Object.values(routers)) {
    const served = entryPoints.filter(point => known.includes(point))
    if (entryPoints.length > 0 && served.length === 0) continue
    const ports = new Set(services[service]?.servers.map(({ port }) => port))
    open.push({ service: withoutStack(source), router: name, rule, entryPoints: served, ports: [...ports] })
  }
  const key = ({ service, router }: OpenRouter) => `${service}\0${router}`
  return open.sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

function withoutStack(name: string): string {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name
}

/** The services of a stack file, or an error message. */
function parse(text: string): Record<string, unknown> | string {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) return `expected a file of at most ${MAX_FILE_BYTES} bytes`
  const document = parseDocument(text, { merge: true, prettyErrors: true, logLevel: 'silent' })
  const [error] = document.errors
  if (error !== undefined) return `expected YAML: ${error.message.split('\n')[0] ?? ''}`
  let value: unknown
  try {
    // maxAliasCount keeps a file of aliases to aliases from growing without bound.
    value = document.toJS({ maxAliasCount: 1_000 })
  } catch (cause) {
    return `expected YAML: ${cause instanceof Error ? cause.message : String(cause)}`
  }
  if (!isMap(value) || !isMap(value.services)) return "expected a stack file: a map with 'services'"
  return value.services
}

/** Labels in either form, `- key=value` or `key: value`, of which a dialect or the address choice reads the key. */
function readLabels(
  written: unknown,
  isRead: (key: string) => boolean,
  wrong: (message: string) => void,
): Record<string, string> {
  const pairs: [string, string][] = []
  if (Array.isArray(written)) {
    for (const entry of written) {
      const text = String(entry)
      const equals = text.indexOf('=')
      pairs.push(equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)])
    }
  } else if (isMap(written)) {
    for (const [key, value] of Object.entries(written)) {
      if (typeof value === 'object' && value !== null) wrong(`expected a text for ${key}`)
      else pairs.push([key, value === null || value === undefined ? '' : String(value)])
    }
  } else if (written !== undefined && written !== null) {
    wrong('expected a list of key=value or a map')
  }
  return Object.fromEntries(pairs.filter(([key]) => isRead(key)))
}

/** A label's value as the swarm would get it. */
function deployed(key: string, value: string, env: Readonly<Record<string, string | undefined>>, report: Report): string {
  const { text, missing, ok } = interpolate(value, env)
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what a stack file would say
  if (!ok) report.error(key, value, 'expected $$ for a dollar, or ${NAME}: docker stack deploy refuses this file')
  for (const name of new Set(missing)) report.warn(key, value, `expected ${name} in the environment: it is not set`)
  return text
}

/**
 * Container ports that the service publishes over TCP, ascending. `expose:` is not included, because `docker stack deploy`
 * drops it.
 */
function readPorts(definition: Record<string, unknown>, env: Readonly<Record<string, string | undefined>>): number[] {
  const ports = new Set<number>()
  for (const entry of [definition.ports].flat()) {
    const written = isMap(entry) ? `${entry.target ?? ''}/${entry.protocol ?? 'tcp'}` : String(entry ?? '')
    const found = /(?:^|:)([0-9]{1,5})(?:-([0-9]{1,5}))?(?:\/([a-z]+))?$/.exec(interpolate(written, env).text)
    if (found === null || (found[3] ?? 'tcp') !== 'tcp') continue
    const first = Number(found[1])
    // As with several single ports, the intended port of a range is unknown; its first and last represent it.
    for (const port of new Set([first, Number(found[2] ?? first)])) if (port >= 1 && port <= 65_535) ports.add(port)
  }
  return [...ports].sort((a, b) => a - b)
}

function toDiscovered(
  name: string,
  labels: Record<string, string>,
  ports: readonly number[],
  network: string,
  defaultNetwork: string | null,
): DiscoveredService {
  const address = { networkId: network, network, address: '192.0.2.1' }
  const id = `${PREFIX}${name}`
  return {
    provider: PROVIDER,
    id,
    name: id,
    labels,
    instances: [{ id: `${id}.1`, node: '', state: 'active', addresses: [address] }],
    virtualIps: [address],
    ports,
    updating: false,
    addressing: { network: defaultNetwork, edges: null },
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function toJson(value: unknown): string {
  return (JSON.stringify(value) ?? '').slice(0, 200)
}
