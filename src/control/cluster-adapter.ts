// Connects a replica to its cluster. On the leader the providers read, and their merged configuration is replicated; on followers
// the providers only listen for events. Sits between the control thread (providers, workers, disk) and cluster/, which imports
// neither.

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { compareRevisions, type Held, LIMITS, type LocalState, type Member, type Revision } from '../../cluster/core/state.ts'
import { interfaceNetworks } from '../../cluster/gossip/own-addresses.ts'
import { DEFAULT_CLUSTER } from '../../cluster/secret.ts'
import type { Cluster, ClusterStatus } from '../../cluster/status.ts'
import type { Change } from '../../cluster/store/model.ts'
import type { OptionDifference } from '../admin/admin-source.ts'
import { snapshotOf } from '../config/merge.ts'
import type { DynamicConfig } from '../config/model.ts'
import type { RunOptions } from '../options/options.ts'
import type { ClusteredProvider, ClusterLink, OtherMember } from '../providers/shared/provider.ts'
import type { SharedState } from '../shared-state/shared-state.ts'
import { hostAndPort } from '../util/listen-address.ts'
import { readVersion } from '../util/version.ts'
import type { RelayPeer } from '../workers/messages.ts'
import { type Body, decodeBody, encodeBody } from './body-codec.ts'
import { OptionDifferences, SETTLED_MS } from './option-differences.ts'
import { parseIpAndPort, relayPeersOf } from './relay-peers.ts'
import { filesDigest, hasFiles, shapingOptionsOf } from './shaping-options.ts'
import { openSessionKey, SESSION_KEY, sealSessionKey } from './shared-session-key.ts'
import { SnapshotBuilder } from './snapshot-builder.ts'

/** What the adapter needs from the control thread. */
export interface ClusterAdapterHost {
  readonly providers: () => readonly ClusteredProvider[]
  /** Use this configuration and store it on disk. */
  readonly publish: (body: Body) => void
  readonly setRelays: (peers: readonly RelayPeer[]) => void
  /** Hash sessions with this key. */
  readonly setSessionKey: (key: string) => void
  readonly sharing: Pick<SharedState, 'join' | 'changed' | 'setPeers'>
}

/** Names of the providers. Members announce the manager of the first. */
const SWARM = 'swarm'
const FILES = 'file'

/** Interval of the checks of interfaces, option differences and removed services files. */
const CHECK_INTERVAL_MS = 1_000

const PUBLISH_RETRY_MS = 100

/** How long a new leader waits for all its providers before it uses the replicated configuration for the missing ones. */
const FILL_MISSING_AFTER_MS = 3000

/** The options of a replica whose cluster is enabled. */
export type ClusterAdapterOptions = RunOptions & { readonly cluster: NonNullable<RunOptions['cluster']> }

export class ClusterAdapter implements ClusterLink {
  private readonly options: ClusterAdapterOptions
  private readonly log: Logger
  private readonly host: ClusterAdapterHost
  private builder = new SnapshotBuilder([], null)
  /** The configuration on disk at start. */
  private readonly stored: Body | null
  private readonly differences = new OptionDifferences(performance.now())
  private checkTimer: NodeJS.Timeout | undefined
  private starting: Promise<Cluster> | null = null
  private cluster: Cluster | null = null
  private leads = false
  private stopped = false
  /** A configuration is in use: the leader's, or one read from a manager. */
  private configured = false
  private memberNames: readonly string[]
  /** The leader's session key. Until a leader has sent one: the stored key, else the key derived from the first secret. */
  private sessionKey: string
  private peers: readonly Member[] = []
  /** The state that this member announces. */
  private local: Partial<LocalState> = {}
  /** Digest of this replica's services files; null if it has none or has not read them yet. */
  private filesDigest: string | null = null
  /** When another member last announced services files, monotonic ms. */
  private filesSeenMs = 0
  /** The relay peers last given to the host, as JSON. */
  private relayPeers = ''
  /** The providers' data beside the configuration, as last received or published. */
  private shared: Body['shared'] = {}
  private publishTimer: NodeJS.Timeout | undefined
  private fillTimer: NodeJS.Timeout | undefined
  private lastDecoded: { readonly text: string; readonly body: Body } | null = null

  constructor(options: ClusterAdapterOptions, log: Logger, stored: Body | null, host: ClusterAdapterHost) {
    this.options = options
    this.log = log
    this.stored = stored
    this.host = host
    this.memberNames = [options.name]
    this.sessionKey = options.dataPlane.cookieKey
    if (stored !== null) this.adoptSessionKey(stored)
  }

  /** Joins the cluster. Rejects if it cannot listen on the cluster's address. */
  async start(): Promise<void> {
    const names = this.host.providers().map(provider => provider.name)
    this.builder = new SnapshotBuilder(names, this.stored?.snapshot ?? null)
    for (const provider of this.host.providers()) {
      provider.cluster.setMode('listen')
      const known = this.stored?.shared[provider.name]
      if (known !== undefined) provider.cluster.adopt?.(known)
    }
    const { startCluster } = await import('../../cluster/member.ts')
    const { cluster, name, secrets, dataPlane } = this.options
    const hooks = {
      role: (role: 'leader' | 'follower') => this.onRole(role),
      hold: (held: Held) => this.onReplicated(held),
      members: (members: readonly Member[]) => this.onMembers(members),
      hint: (keys: readonly string[]) => {
        for (const provider of this.host.providers()) provider.cluster.hint?.(keys)
      },
      check: (text: string) => {
        const body = this.decode(text)
        return typeof body === 'string' ? body : null
      },
      shared: (changes: readonly Change[]) => this.host.sharing.changed(changes),
    }
    this.starting = startCluster(
      {
        name,
        cluster: cluster.name,
        listen: cluster.listen,
        peers: cluster.peers,
        advertise: cluster.advertise,
        relayPort: dataPlane.relay.listen?.port ?? null,
        secrets,
        version: readVersion(),
        held: this.stored === null ? null : heldOf(this.stored),
        secretDirectory: secretDirectory(this.options),
      },
      hooks,
      this.log,
    )
    const joined = await this.starting
    this.cluster = joined
    this.host.sharing.join(joined.store)
    this.setLocal({ options: shapingOptionsOf(this.options, this.filesDigest) })
    joined.setLocal(this.local)
    this.updatePeerAddresses()
    this.checkTimer = setInterval(() => {
      this.announceNetworks()
      this.logDifferences()
      this.dropRemovedFiles()
    }, CHECK_INTERVAL_MS)
    this.useStoredIfCurrent()
  }

  /** Takes the whole configuration of one of this replica's providers. */
  async onConfig(provider: string, config: DynamicConfig): Promise<void> {
    this.builder.put(provider, config)
    await this.starting
    this.publish()
  }

  /**
   * As the leader, publishes the merged configuration. The cluster refuses while a newer configuration is still being pulled from
   * another member; then this retries.
   */
  private publish(): void {
    clearTimeout(this.publishTimer)
    if (!this.leads || this.stopped) return
    // Merged again on each try: the replicated configuration that fills gaps may have become newer.
    const merged = this.builder.merged()
    if (merged === null) return
    const remote = Object.entries(this.shared).filter(([name]) => this.builder.isRemoteProvider(name))
    const own = this.host.providers().map(provider => [provider.name, provider.cluster.shared?.() ?? null] as const)
    const sealed = sealSessionKey(this.sessionKey, this.options.secrets)
    const key = sealed === null ? [] : [[SESSION_KEY, sealed] as const]
    const shared = Object.fromEntries([...remote, ...own, ...key])
    const revision = this.cluster?.publish(encodeBody(merged, shared)) ?? null
    if (revision !== null) this.use({ snapshot: snapshotOf(merged, revision), shared }, true)
    else this.publishTimer = setTimeout(() => this.publish(), PUBLISH_RETRY_MS)
  }

  /** Announces the services of which this replica reaches no server. */
  setUnreachable(services: readonly string[]): void {
    this.setLocal({
      unreachable: [...services].sort().slice(0, LIMITS.unreachable),
      unreachableAll: services.length > LIMITS.unreachable,
    })
  }

  /** Announces the content of this replica's services files, whether it leads or not. */
  localConfig(provider: string, config: DynamicConfig): void {
    if (provider !== FILES) return
    this.filesDigest = filesDigest(config)
    this.setLocal({ options: shapingOptionsOf(this.options, this.filesDigest) })
  }

  /** Members whose options would give another configuration than the leader's. */
  optionDifferences(): readonly OptionDifference[] {
    return this.differences.list(performance.now())
  }

  /** Drops the services of files once no member has had files for SETTLED_MS. A member that has them may be restarting. */
  private dropRemovedFiles(): void {
    if (!this.builder.isRemoteProvider(FILES) || this.peers.some(({ options }) => hasFiles(options))) return
    if (performance.now() - this.filesSeenMs < SETTLED_MS) return
    this.builder.removeRemoteProvider(FILES)
    this.log.info({}, 'no member has services files any more: the services that were in them are no longer served')
    this.publish()
  }

  /** A container may be attached to a network or detached from one while it runs (`docker network connect`). */
  private announceNetworks(): void {
    const networks = interfaceNetworks()
    if (JSON.stringify(networks) !== JSON.stringify(this.local.networks)) this.setLocal({ networks })
  }

  private logDifferences(): void {
    for (const { level, fields, message } of this.differences.lines(performance.now())) this.log[level](fields, message)
  }

  /** True if this member leads and all its providers have read, or if it has the leader's current configuration. */
  get synced(): boolean {
    if (this.leads) return this.host.providers().every(provider => provider.status().synced)
    const status = this.cluster?.status()
    return (
      status !== undefined && status.leader !== null && status.target !== null && sameRevision(status.revision, status.target)
    )
  }

  /** True while any member has a healthy manager, so that the configuration follows the swarm. */
  get hasHealthyManager(): boolean {
    return this.local.managerHealthy === true || this.peers.some(({ managerHealthy }) => managerHealthy)
  }

  get role(): 'leader' | 'follower' {
    return this.leads ? 'leader' : 'follower'
  }

  status(): ClusterStatus | null {
    return this.cluster?.status() ?? null
  }

  /** Transfers leadership to another member; keeps following until stop(). */
  async drain(): Promise<void> {
    await this.cluster?.drain()
  }

  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.publishTimer)
    clearTimeout(this.fillTimer)
    clearInterval(this.checkTimer)
    const cluster = await this.starting?.catch(() => null)
    await cluster?.stop()
  }

  // ---- calls from providers (ClusterLink) ----

  eventsSeen(keys: readonly string[]): void {
    this.cluster?.reportEvents(keys)
  }

  managerHealth(name: string | null, healthy: boolean): void {
    this.setLocal({ manager: name, managerHealthy: healthy })
  }

  members(): readonly string[] {
    return this.memberNames
  }

  others(): readonly OtherMember[] {
    return this.peers.map(({ name, addresses, relay, networks }) => ({
      name,
      networks: networks ?? null,
      addresses: [...new Set([...addresses, ...relay].flatMap(text => parseIpAndPort(text)?.host ?? []))],
    }))
  }

  // ---- calls from the cluster ----

  private onRole(role: 'leader' | 'follower'): void {
    const leads = role === 'leader'
    if (leads !== this.leads) {
      this.leads = leads
      this.builder.clear()
      clearTimeout(this.publishTimer)
      clearTimeout(this.fillTimer)
      if (leads) this.fillTimer = setTimeout(() => this.fillMissing(), FILL_MISSING_AFTER_MS)
      for (const provider of this.host.providers()) provider.cluster.setMode(leads ? 'read' : 'listen')
    }
    this.useStoredIfCurrent()
  }

  /** A provider has delivered nothing since this member leads, for example because no manager answers. Publishes the others. */
  private fillMissing(): void {
    this.builder.fillMissing()
    this.publish()
  }

  private onReplicated(held: Held): void {
    const body = this.decode(held.body)
    if (typeof body === 'string') {
      this.log.error({ reason: body }, 'cannot use a configuration of the cluster; the previous one stays in use')
      return
    }
    this.use({ ...body, snapshot: { ...body.snapshot, revision: held.revision } })
    for (const provider of this.host.providers()) {
      const known = body.shared[provider.name]
      if (known !== undefined) provider.cluster.adopt?.(known)
    }
    this.updatePeerAddresses()
  }

  private onMembers(members: readonly Member[]): void {
    const present = members.filter(({ state }) => state !== 'gone')
    // If two members have one name, the list shows this member as `name~id`; providers get its configured name.
    this.memberNames = [...new Set(present.map(({ name, self }) => (self ? this.options.name : name)))].sort()
    this.peers = present.filter(({ self }) => !self)
    // A replica without managers may become the leader while no manager is healthy. It must not remove the swarm's services then.
    if (this.peers.some(({ manager }) => manager !== null)) this.builder.addRemoteProvider(SWARM)
    // Likewise for services files, which a rolling update adds to or removes from one replica after the other.
    if (this.peers.some(({ options }) => hasFiles(options))) {
      this.filesSeenMs = performance.now()
      this.builder.addRemoteProvider(FILES)
    }
    this.differences.update(members, this.cluster?.status().leader?.id ?? null, performance.now())
    this.host.sharing.setPeers(present.map(({ id, name, self }) => ({ id, name, self })))
    this.updateRelayPeers()
    this.useStoredIfCurrent()
  }

  private use(body: Body, own = false): void {
    this.configured = true
    this.shared = body.shared
    this.adoptSessionKey(body)
    this.builder.setCurrent(body.snapshot, own)
    this.host.publish(body)
    this.updatePeerAddresses()
  }

  /** All members use the leader's session key, whatever their own first secret is. */
  private adoptSessionKey({ shared }: Body): void {
    const key = openSessionKey(shared[SESSION_KEY], this.options.secrets)
    if (key === null || key === this.sessionKey) return
    this.sessionKey = key
    this.host.setSessionKey(key)
  }

  /** Uses the stored configuration at once if it has the leader's current revision. */
  private useStoredIfCurrent(): void {
    if (this.configured || this.stored === null || this.cluster === null) return
    const { leader, target } = this.cluster.status()
    if (leader !== null && !this.leads && sameRevision(target, this.stored.snapshot.revision)) this.use(this.stored)
  }

  private setLocal(change: Partial<LocalState>): void {
    this.local = { ...this.local, ...change }
    this.cluster?.setLocal(change)
  }

  private nodeAddress(name: string): string | undefined {
    for (const provider of this.host.providers()) {
      const address = provider.cluster.nodeAddresses?.().get(name)
      if (address !== undefined) return address
    }
    return undefined
  }

  /** Lets the cluster dial the nodes' own addresses too: overlay networks fail more often than node networks. */
  private updatePeerAddresses(): void {
    const { port } = this.options.cluster.listen
    const nodes = this.host.providers().flatMap(provider => [...(provider.cluster.nodeAddresses?.() ?? [])])
    this.cluster?.setPeerAddresses(nodes.filter(([name]) => name !== this.options.name).map(([, ip]) => hostAndPort(ip, port)))
    this.updateRelayPeers()
  }

  private updateRelayPeers(): void {
    const peers = relayPeersOf(this.peers, name => this.nodeAddress(name))
    const text = JSON.stringify(peers)
    if (text === this.relayPeers) return
    this.relayPeers = text
    this.host.setRelays(peers)
  }

  /** Decodes a body once: the cluster checks a text and then holds the same text. */
  private decode(text: string): Body | string {
    if (this.lastDecoded?.text === text) return this.lastDecoded.body
    const body = decodeBody(text)
    if (typeof body !== 'string') this.lastDecoded = { text, body }
    return body
  }
}

/** Clusters that share a data directory keep their secret states apart. */
function secretDirectory({ dataDir, cluster }: ClusterAdapterOptions): string | null {
  return dataDir === null ? null : join(dataDir, cluster.name === DEFAULT_CLUSTER ? 'secrets' : `secrets.${cluster.name}`)
}

function heldOf({ snapshot, shared }: Body): Held {
  const body = encodeBody(snapshot, shared)
  return { revision: snapshot.revision, hash: createHash('sha256').update(body).digest('hex'), body }
}

function sameRevision(a: Revision | null, b: Revision | null): boolean {
  return a !== null && b !== null && compareRevisions(a, b) === 0
}
