// From the command line, the environment and a file to the validated options of a command. The only things read from outside are
// handed in (OptionsEnvironment), so that every case can be tested. A wrong option never throws: it is one line that names it, its
// value and what was expected.

import { hkdfSync } from 'node:crypto'
import { purposeOf } from '../../cluster/secret.ts'
import { hostAndPort } from '../util/listen-address.ts'
import type { LogOptions } from '../util/log.ts'
import { deriveSessionKey } from '../util/session-key.ts'
import { entryPointConflict, parseManager } from './endpoints.ts'
import type { HostPort } from './kinds.ts'
import { type Listener, listenerConflicts } from './listeners.ts'
import type { AgentOptions, ClusterOptions, RunOptions } from './options.ts'
import { OPTION_NAMES, type OptionName, type OptionValues, specOf } from './schema.ts'
import { readOptionFile, resolveSecrets } from './secret-values.ts'
import { servicesFileMistakes } from './services-files.ts'
import { type Layer, parseEnv, parseFile, parseFlags, quoted, type Sourced } from './sources.ts'
import type { Command, OptionSpec } from './spec.ts'
import { storeOptions } from './store-options.ts'

export interface OptionsEnvironment {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly hostname: string
  /** Processors that may be used. */
  readonly cores: number
  /** Whether `::` can be listened on, and with it all addresses of both families. */
  readonly hasIPv6: boolean
  /** Reads a whole file, at most so many bytes; throws as node:fs does, or when it is larger. */
  readonly readText: (path: string, maxBytes: number) => string
  /** What a path names, when it may be read; throws as node:fs does when there is nothing or it may not. */
  readonly pathKindOf: (path: string) => 'file' | 'directory' | 'other'
  /**
   * What is wrong with the managers' TLS files, naming the options `--manager-tls-ca`, `-cert` and `-key`; null when nothing is.
   */
  readonly checkManagerTlsFiles: (tls: RunOptions['swarm']['tls']) => string | null
  /** A fresh random key, as text. */
  readonly randomKey: () => string
}

export interface Loaded {
  readonly values: OptionValues
  /** Where each value that is no default came from, such as `--grace` or `SKEIN_GRACE`. */
  readonly origins: ReadonlyMap<OptionName, string>
  readonly warnings: readonly string[]
}

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly errors: readonly string[] }

const MAX_CONFIG_BYTES = 1024 ** 2
/** Below so many characters a secret may be found by trying. */
const SHORT_SECRET = 16

/** Values of all options of a command, or every mistake in them, one line each; `'help'` when help was asked for. */
export function loadOptions(command: Command, around: OptionsEnvironment): Result<Loaded> | 'help' {
  const flags = parseFlags(command, around.args)
  if (flags.help) return 'help'
  const env = parseEnv(command, around.env)
  const errors = [...flags.errors]
  const layers: Layer[] = [flags.layer, env.layer]
  const config = flags.layer.get('config') ?? env.layer.get('config')
  if (config !== undefined) {
    const text = readOptionFile(around, config.origin, String(config.value), MAX_CONFIG_BYTES, 'a YAML, JSON or TOML file')
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
      errors.push(wrong(sourced, spec, parsed.error.issues))
    }
  }
  if (errors.length === 0) errors.push(...resolveSecrets(values, origins, layers, around))
  if (errors.length > 0) return { ok: false, errors }
  const warnings = [...env.warnings]
  const secrets = (values as OptionValues).secret ?? []
  for (const [index, secret] of secrets.entries()) {
    if (secret.length >= SHORT_SECRET) continue
    const which = secrets.length === 1 ? 'the secret' : `secret ${index + 1} of ${secrets.length}`
    warnings.push(
      `${origins.get('secret')}: ${which} has fewer than ${SHORT_SECRET} characters and could be guessed (skein secret makes a good one)`,
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

/** One line: which option, which value, what was expected; for a value inside a list or a map, that one. */
function wrong({ origin, value }: Sourced, { secret, kind }: OptionSpec, issues: readonly Issue[]): string {
  if (secret) {
    // Words of its own kind, which never repeat the value.
    const own = issues[0]?.code === 'custom' && !/^Invalid/.test(issues[0].message) ? issues[0].message : kind.expected
    return `${origin} has a wrong value (not quoted, it is secret), expected ${own}`
  }
  const expected = kind.list && typeof value !== 'object' ? `a list, each item ${kind.expected}` : kind.expected
  let issue = deepest(issues[0])
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
  const at = named === '' ? origin : origin.replace(/^(\S+)/, `$1.${named}`)
  return `${at} is ${quoted(inner)}, expected ${own}`
}

/** Of a union's branches, the one that got furthest into the value says best what is wrong. */
function deepest(issue: Issue | undefined, path: readonly PropertyKey[] = []): Issue | undefined {
  if (issue === undefined) return undefined
  const full = [...path, ...issue.path]
  const branches = (issue.errors ?? []).map(branch => deepest(branch[0], full)).filter(found => found !== undefined)
  return branches.reduce((best, next) => (next.path.length > best.path.length ? next : best), { ...issue, path: full })
}

export interface RunLoaded {
  readonly options: RunOptions
  /** What is off, for the one line at start. */
  readonly off: readonly string[]
}

/** The options of a replica. */
export function runOptions({ values, origins }: Loaded, around: OptionsEnvironment): Result<RunLoaded> {
  const errors: string[] = []
  const from = (name: OptionName): string => origins.get(name) ?? `--${specOf(name).flag}`
  const tlsFiles = { ca: values.managerTlsCa, cert: values.managerTlsCert, key: values.managerTlsKey }
  const tls = Object.values(tlsFiles).some(path => path !== null)
  const managers = [...new Set((values.managers ?? []).map(text => parseManager(text, tls) ?? text))]
  const agent = managers.find(endpoint => endpoint.startsWith('agent://'))
  if (agent !== undefined && values.secret === null) {
    errors.push(
      `${from('managers')} is ${quoted(agent)}, expected --secret-file (or --secret) beside it: agents answer to the secret only`,
    )
  }
  const tlsError = around.checkManagerTlsFiles(tlsFiles)
  if (tlsError !== null) {
    const names = { ca: 'managerTlsCa', cert: 'managerTlsCert', key: 'managerTlsKey' } as const
    errors.push(tlsError.replaceAll(/--manager-tls-(ca|cert|key)\b/g, (_, part: keyof typeof names) => from(names[part])))
  }
  const conflict = entryPointConflict(values.entryPoints)
  if (conflict !== null) errors.push(`${from('entryPoints')}: ${conflict}`)
  const files = [...new Set(values.servicesFiles ?? [])]
  errors.push(...servicesFileMistakes(files, from('servicesFiles'), around))
  errors.push(...clusterMistakes(values, from))
  const shared = storeOptions(values, origins, from, around)
  if (!shared.ok) errors.push(...shared.errors)
  const admin = values.admin
  const points = values.entryPoints.map(
    (point): Listener => ({ origin: from('entryPoints'), what: `entry point ${quoted(point.name)}`, address: point }),
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
        address === null ? [] : [{ origin: from(name), what: `${what} (${from(name)})`, address }],
      ),
    ),
  )
  if (values.pollBusy > values.pollRest)
    errors.push(`${from('pollBusy')} is longer than ${from('pollRest')}, expected it to be shorter`)
  if (values.maxUriBytes > values.maxHeaderBytes) {
    errors.push(
      `${from('maxUriBytes')} is ${values.maxUriBytes} bytes, expected at most ${values.maxHeaderBytes} (${from('maxHeaderBytes')})`,
    )
  }
  if (!shared.ok || errors.length > 0) return { ok: false, errors }
  const all = around.hasIPv6 ? '::' : '0.0.0.0'
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
    name: values.name ?? around.hostname,
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
      name: values.name ?? around.hostname,
      cookieKey: secrets[0] === undefined ? around.randomKey() : deriveSessionKey(secrets[0]),
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
    workers: values.workers ?? Math.min(around.cores, 256),
    cluster,
    store: shared.value.store,
    secrets,
    dataDir: values.dataDir,
    drainDelayMs: values.drainDelay,
    graceMs: values.grace,
    log: logOptions(values),
  }
  return { ok: true, value: { options, off: whatIsOff(options) } }
}

/** What a member of a cluster needs beside each other, and what would be of no effect without a cluster. */
function clusterMistakes(values: OptionValues, from: (name: OptionName) => string): string[] {
  const listen = values.clusterListen
  const errors: string[] = []
  for (const name of ['clusterListen', 'relayListen'] as const) {
    const address = values[name]
    if (address !== null && values.secret === null) {
      const written = quoted(hostAndPort(address.host, address.port))
      errors.push(
        `${from(name)} is ${written}, expected --secret-file (or --secret) beside it: members prove to each other that they hold it`,
      )
    }
  }
  if (listen !== null) return errors
  if (values.relayListen !== null && values.secret !== null)
    errors.push(
      `${from('relayListen')} is given, expected --cluster-listen beside it: only members of its cluster hand requests to a replica`,
    )
  for (const name of ['clusterPeers', 'clusterAdvertise'] as const) {
    if (values[name] !== null)
      errors.push(`${from(name)} is given, expected --cluster-listen beside it: without it the replica is on its own`)
  }
  return errors
}

/** The options of an agent. */
export function agentOptions({ values, origins }: Loaded): Result<AgentOptions> {
  if (values.secret === null) {
    return {
      ok: false,
      errors: ['--secret-file is missing, expected it (or --secret): an agent answers only those who know the secret'],
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
      log: logOptions(values),
    },
  }
}

export function logOptions(values: OptionValues): LogOptions {
  return { level: values.logLevel, format: values.logFormat }
}

/** The key under which requests are handed to peers, hex: only members of a cluster of this name have it. */
function relayKey(secret: string, cluster: string): string {
  return Buffer.from(hkdfSync('sha256', secret, 'skein', purposeOf('skein-relay/1', cluster), 32)).toString('hex')
}

function whatIsOff(options: RunOptions): string[] {
  const off: string[] = []
  if (options.secrets.length === 0)
    off.push('secret (no agents, no cluster; sessions are good for this replica and this start only)')
  const filesOnly = options.swarm.managers.length === 0 && options.files.length > 0
  if (filesOnly) off.push('Swarm (no manager is named; services come from files only)')
  const sources = filesOnly ? 'files' : 'manager'
  if (options.cluster === null) off.push(`cluster (this replica is on its own and reads its ${sources} for itself)`)
  else if (options.dataPlane.relay.listen === null)
    off.push('relay (this replica takes no requests from peers that cannot reach a service)')
  if (options.dataDir === null) off.push('data dir (the last good configuration does not survive a restart)')
  if (options.swarm.domain === null && !filesOnly) off.push('domain (services need a rule of their own)')
  if (options.admin === null) off.push('admin API (skein routes, status and health cannot ask this replica)')
  if (!options.dataPlane.accessLog) off.push('access log')
  return off
}
