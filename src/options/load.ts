// Loads a command's options from the command line, environment variables and a file, and validates them. Everything outside is read
// through OptionsEnvironment, so that tests can replace it. An invalid option never throws: it is one line with the option, its
// value and what was expected.

import { hkdfSync } from 'node:crypto'
import { purposeOf } from '../../cluster/secret.ts'
import { hostAndPort } from '../util/listen-address.ts'
import type { LogOptions } from '../util/log.ts'
import { deriveSessionKey } from '../util/session-key.ts'
import { entryPointConflict, parseManager } from './endpoints.ts'
import type { OptionsEnvironment } from './environment.ts'
import type { HostPort } from './kinds.ts'
import { type Listener, listenerConflicts } from './listeners.ts'
import { readOptionFile } from './option-file.ts'
import type { AgentOptions, ClusterOptions, RunOptions } from './options.ts'
import { quoted } from './quote.ts'
import type { Result } from './result.ts'
import { OPTION_NAMES, type OptionName, type OptionValues, specOf } from './schema.ts'
import { resolveSecrets } from './secret-values.ts'
import { checkServicesFiles } from './services-files.ts'
import { type Layer, parseEnv, parseFile, parseFlags, type Sourced } from './sources.ts'
import type { Command, OptionSpec } from './spec.ts'
import { storeOptions } from './store-options.ts'

export interface Loaded {
  readonly values: OptionValues
  /** The origin of each value that is not a default, such as `--grace` or `SKEIN_GRACE`. */
  readonly origins: ReadonlyMap<OptionName, string>
  readonly warnings: readonly string[]
}

const MAX_CONFIG_BYTES = 1024 ** 2
/** A shorter secret could be guessed; it gets a warning. */
const MIN_SECRET_LENGTH = 16

/** The values of a command's options, or every error in them, one line each; `'help'` if help was requested. */
export function loadOptions(command: Command, environment: OptionsEnvironment): Result<Loaded> | 'help' {
  const flags = parseFlags(command, environment.args)
  if (flags.help) return 'help'
  const env = parseEnv(command, environment.env)
  const errors = [...flags.errors]
  const layers: Layer[] = [flags.layer, env.layer]
  const config = flags.layer.get('config') ?? env.layer.get('config')
  if (config !== undefined) {
    const text = readOptionFile(environment, config.origin, String(config.value), MAX_CONFIG_BYTES, 'a YAML, JSON or TOML file')
    if (text.ok) {
      const file = parseFile(command, String(config.value), text.value)
      errors.push(...file.errors)
      layers.push(file.layer)
    } else errors.push(...text.errors)
  }
  const values: Partial<Record<OptionName, unknown>> = {}
  const origins = new Map<OptionName, string>()
  for (const name of OPTION_NAMES) {
    const spec = specOf(name)
    const sourced = layers.map(layer => layer.get(name)).find(found => found !== undefined)
    if (sourced === undefined) {
      values[name] = spec.default === null ? null : spec.kind.schema.parse(spec.kind.fromText(spec.default))
      continue
    }
    const parsed = spec.kind.schema.safeParse(sourced.value)
    if (parsed.success) {
      values[name] = parsed.data
      origins.set(name, sourced.origin)
    } else {
      errors.push(describeInvalid(sourced, spec, parsed.error.issues))
    }
  }
  if (errors.length === 0) errors.push(...resolveSecrets(values, origins, layers, environment))
  if (errors.length > 0) return { ok: false, errors }
  const warnings = [...env.warnings]
  const secrets = (values as OptionValues).secret ?? []
  for (const [index, secret] of secrets.entries()) {
    if (secret.length >= MIN_SECRET_LENGTH) continue
    const which = secrets.length === 1 ? 'the secret' : `secret ${index + 1} of ${secrets.length}`
    warnings.push(
      `${origins.get('secret')}: ${which} has fewer than ${MIN_SECRET_LENGTH} characters and could be guessed (skein secret makes a good one)`,
    )
  }
  return { ok: true, value: { values: values as OptionValues, origins, warnings } }
}

interface Issue {
  readonly code?: string
  readonly message: string
  readonly path: readonly PropertyKey[]
  readonly errors?: readonly (readonly Issue[])[]
}

/** One line with the option, its value and what was expected. Within a list or a map, names the invalid item. */
function describeInvalid({ origin, value }: Sourced, { secret, kind }: OptionSpec, issues: readonly Issue[]): string {
  if (secret) {
    // Messages of the kind itself do not contain the value.
    const own = issues[0]?.code === 'custom' && !/^Invalid/.test(issues[0].message) ? issues[0].message : kind.expected
    return `${origin} has a wrong value (not shown, it is secret), expected ${own}`
  }
  const expected = kind.list && typeof value !== 'object' ? `a list, each item ${kind.expected}` : kind.expected
  let issue = deepestIssue(issues[0])
  let inner: unknown = value
  const path: string[] = []
  for (const part of issue?.path ?? []) {
    if (typeof inner !== 'object' || inner === null || !Object.hasOwn(inner, part)) break
    inner = (inner as Record<PropertyKey, unknown>)[part]
    path.push(String(part))
  }
  if (issue?.code === 'unrecognized_keys') {
    issue = {
      ...issue,
      message: 'the keys address, forwardedHeaders (trustedIPs, insecure) and proxyProtocol (trustedIPs, insecure)',
    }
  }
  const own = issue?.code !== undefined && !/^(Invalid|Too|Unrecognized|Expected)/.test(issue.message) ? issue.message : expected
  const named = path.filter(part => !/^\d+$/.test(part)).join('.')
  const location = named === '' ? origin : origin.replace(/^(\S+)/, `$1.${named}`)
  return `${location} is ${quoted(inner)}, expected ${own}`
}

/** Of the branches of a union, returns the issue deepest in the value, which describes the error best. */
function deepestIssue(issue: Issue | undefined, path: readonly PropertyKey[] = []): Issue | undefined {
  if (issue === undefined) return undefined
  const full = [...path, ...issue.path]
  const branches = (issue.errors ?? []).map(branch => deepestIssue(branch[0], full)).filter(found => found !== undefined)
  return branches.reduce((best, next) => (next.path.length > best.path.length ? next : best), { ...issue, path: full })
}

export interface RunResult {
  readonly options: RunOptions
  /** Descriptions of disabled features, for the log line at the start. */
  readonly disabled: readonly string[]
}

/** The options of a replica. */
export function runOptions({ values, origins }: Loaded, environment: OptionsEnvironment): Result<RunResult> {
  const errors: string[] = []
  const originOf = (name: OptionName): string => origins.get(name) ?? `--${specOf(name).flag}`
  const tlsFiles = { ca: values.managerTlsCa, cert: values.managerTlsCert, key: values.managerTlsKey }
  const tls = Object.values(tlsFiles).some(path => path !== null)
  const managers = [...new Set((values.managers ?? []).map(text => parseManager(text, tls) ?? text))]
  const agent = managers.find(endpoint => endpoint.startsWith('agent://'))
  if (agent !== undefined && values.secret === null) {
    errors.push(
      `${originOf('managers')} is ${quoted(agent)}, expected --secret-file (or --secret) beside it: agents accept only replicas that hold the secret`,
    )
  }
  const tlsError = environment.checkManagerTlsFiles(tlsFiles)
  if (tlsError !== null) {
    const names = { ca: 'managerTlsCa', cert: 'managerTlsCert', key: 'managerTlsKey' } as const
    errors.push(tlsError.replaceAll(/--manager-tls-(ca|cert|key)\b/g, (_, part: keyof typeof names) => originOf(names[part])))
  }
  const conflict = entryPointConflict(values.entryPoints)
  if (conflict !== null) errors.push(`${originOf('entryPoints')}: ${conflict}`)
  const files = [...new Set(values.servicesFiles ?? [])]
  errors.push(...checkServicesFiles(files, originOf('servicesFiles'), environment))
  errors.push(...checkClusterOptions(values, originOf))
  const shared = storeOptions(values, origins, originOf, environment)
  if (!shared.ok) errors.push(...shared.errors)
  const admin = values.admin
  const points = values.entryPoints.map(
    (point): Listener => ({ origin: originOf('entryPoints'), what: `entry point ${quoted(point.name)}`, address: point }),
  )
  const others: readonly (readonly [OptionName, string, HostPort | null])[] = [
    ['admin', 'the admin API', admin],
    ['clusterListen', 'the cluster', values.clusterListen],
    ['relayListen', 'the relay', values.relayListen],
  ]
  errors.push(
    ...listenerConflicts(
      points,
      others.flatMap(([name, what, address]) =>
        address === null ? [] : [{ origin: originOf(name), what: `${what} (${originOf(name)})`, address }],
      ),
    ),
  )
  if (values.pollBusy > values.pollRest)
    errors.push(`${originOf('pollBusy')} is longer than ${originOf('pollRest')}, expected it to be shorter`)
  if (values.maxUriBytes > values.maxHeaderBytes) {
    errors.push(
      `${originOf('maxUriBytes')} is ${values.maxUriBytes} bytes, expected at most ${values.maxHeaderBytes} (${originOf('maxHeaderBytes')})`,
    )
  }
  if (!shared.ok || errors.length > 0) return { ok: false, errors }
  const all = environment.hasIPv6 ? '::' : '0.0.0.0'
  const anywhere = ({ host, port }: HostPort): HostPort => ({ host: host === '' ? all : host, port })
  const secrets = values.secret ?? []
  const cluster: ClusterOptions | null =
    values.clusterListen === null
      ? null
      : {
          listen: anywhere(values.clusterListen),
          name: values.clusterName,
          peers: values.clusterPeers ?? [],
          advertise: values.clusterAdvertise ?? [],
        }
  const options: RunOptions = {
    name: values.name ?? environment.hostname,
    swarm: {
      managers,
      tls: tlsFiles,
      learnManagers: values.learnManagers,
      domain: values.domain?.toLowerCase() ?? null,
      exposedByDefault: values.exposedByDefault,
      network: values.network,
      constraints: values.constraints ?? [],
      labelPrefix: values.labelPrefix,
      pollRestMs: values.pollRest,
      pollBusyMs: values.pollBusy,
      callTimeoutMs: values.managerTimeout,
    },
    files,
    dataPlane: {
      entryPoints: values.entryPoints.map(point => ({ ...point, ...anywhere(point) })),
      name: values.name ?? environment.hostname,
      cookieKey: secrets[0] === undefined ? environment.randomKey() : deriveSessionKey(secrets[0]),
      otherCookieKeys: secrets.slice(1).map(deriveSessionKey),
      timeouts: {
        connectMs: values.connectTimeout,
        responseHeaderMs: values.responseHeaderTimeout,
        requestHeaderMs: values.requestHeaderTimeout,
        stallMs: values.stallTimeout,
        clientIdleMs: values.clientIdleTimeout,
        upstreamIdleMs: values.upstreamIdleTimeout,
        tunnelIdleMs: values.tunnelIdleTimeout,
        noResponseMs: values.silenceTimeout,
      },
      limits: {
        headerBytes: values.maxHeaderBytes,
        headerCount: values.maxHeaders,
        uriBytes: values.maxUriBytes,
        connections: values.maxConnections,
        privateConnections: values.maxPrivateConnections,
        bodyBytes: values.maxBodyBytes,
      },
      retry: {
        attempts: values.retryAttempts,
        bufferBytes: values.retryBuffer,
        budgetRatio: values.retryBudget,
        budgetMin: values.retryBudgetMin,
        serverWaitMs: values.serverWait,
      },
      upstreamTls: { verify: values.upstreamTlsVerify },
      keepTrailingSlash: values.keepTrailingSlash,
      relay: {
        listen: values.relayListen === null ? null : anywhere(values.relayListen),
        keys: cluster === null ? [] : secrets.map(secret => relayKey(secret, cluster.name)),
      },
      accessLog: values.accessLog,
      sessions: shared.value.sessions,
    },
    admin: admin === null ? null : { ...anywhere(admin), names: values.adminHosts ?? [] },
    workers: values.workers ?? Math.min(environment.cores, 256),
    cluster,
    store: shared.value.store,
    secrets,
    dataDir: values.dataDir,
    drainDelayMs: values.drainDelay,
    graceMs: values.grace,
    log: logOptionsOf(values),
  }
  return { ok: true, value: { options, disabled: disabledFeatures(options) } }
}

/** Errors of cluster options that need another option, or that have no effect without a cluster. */
function checkClusterOptions(values: OptionValues, originOf: (name: OptionName) => string): string[] {
  const listen = values.clusterListen
  const errors: string[] = []
  for (const name of ['clusterListen', 'relayListen'] as const) {
    const address = values[name]
    if (address !== null && values.secret === null) {
      const written = quoted(hostAndPort(address.host, address.port))
      errors.push(
        `${originOf(name)} is ${written}, expected --secret-file (or --secret) beside it: members authenticate each other with it`,
      )
    }
  }
  if (listen !== null) return errors
  if (values.relayListen !== null && values.secret !== null)
    errors.push(
      `${originOf('relayListen')} is given, expected --cluster-listen beside it: only members of the same cluster relay requests to a replica`,
    )
  for (const name of ['clusterPeers', 'clusterAdvertise'] as const) {
    if (values[name] !== null)
      errors.push(
        `${originOf(name)} is given, expected --cluster-listen beside it: without it the replica is not a member of a cluster`,
      )
  }
  return errors
}

/** The options of an agent. */
export function agentOptions({ values, origins }: Loaded): Result<AgentOptions> {
  if (values.secret === null) {
    return {
      ok: false,
      errors: ['--secret-file is missing, expected it (or --secret): an agent accepts only replicas that hold the secret'],
    }
  }
  const listen = values.listen
  if (listen === null) return { ok: false, errors: [`${origins.get('listen') ?? '--listen'} is off, expected an address`] }
  return {
    ok: true,
    value: {
      listen: { host: listen.host === '' ? '0.0.0.0' : listen.host, port: listen.port },
      docker: values.docker.startsWith('/') ? `unix://${values.docker}` : values.docker,
      secrets: values.secret,
      log: logOptionsOf(values),
    },
  }
}

export function logOptionsOf(values: OptionValues): LogOptions {
  return { level: values.logLevel, format: values.logFormat }
}

/** The key of the relay, hex: only members of the cluster with this name can derive it. */
function relayKey(secret: string, cluster: string): string {
  return Buffer.from(hkdfSync('sha256', secret, 'skein', purposeOf('skein-relay/1', cluster), 32)).toString('hex')
}

function disabledFeatures(options: RunOptions): string[] {
  const disabled: string[] = []
  if (options.secrets.length === 0)
    disabled.push('secret (no agents and no cluster; sessions are valid for this replica until it restarts)')
  const filesOnly = options.swarm.managers.length === 0 && options.files.length > 0
  if (filesOnly) disabled.push('Swarm (no --manager; services come from files only)')
  const sources = filesOnly ? 'files' : 'manager'
  if (options.cluster === null) disabled.push(`cluster (this replica reads its ${sources} itself)`)
  else if (options.dataPlane.relay.listen === null)
    disabled.push('relay (this replica accepts no requests from peers that cannot reach a service)')
  if (options.dataDir === null) disabled.push('data dir (the last good configuration is lost on restart)')
  if (options.swarm.domain === null && !filesOnly) disabled.push('domain (services without a rule are errors)')
  if (options.admin === null) disabled.push('admin API (skein routes, status and health do not work with this replica)')
  if (!options.dataPlane.accessLog) disabled.push('access log')
  return disabled
}
