// A replica as a member of a cluster: whose configuration counts, and who fetches. The leader's providers read and what they give
// is replicated; the others' only listen. Between the control thread (providers, workers, disk) and cluster/, which knows none of
// them.

import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import type { Logger } from 'pino'
import { compareRevisions, type Held, LIMITS, type LocalState, type Member, type Revision } from '../../cluster/core/state.ts'
import { interfaceNetworks } from '../../cluster/gossip/own-addresses.ts'
import type { Cluster, ClusterStatus } from '../../cluster/status.ts'
import type { Change } from '../../cluster/store/model.ts'
import { snapshotOf } from '../config/merge.ts'
import type { DynamicConfig } from '../config/model.ts'
import type { RunOptions } from '../options/options.ts'
import type { OtherMember, Provider, ProviderListener } from '../providers/provider.ts'
import type { Sharing } from '../shared-state/shared-state.ts'
import { hostAndPort } from '../util/listen-address.ts'
import { readVersion } from '../util/version.ts'
import type { RelayPeer } from '../workers/messages.ts'
import { type Body, decodeBody, encodeBody } from './body-codec.ts'
import { type OptionDifference, OptionDifferences, SETTLED_MS } from './option-differences.ts'
import { filesDigest, hasFiles, shapingOptionsOf } from './shaping-options.ts'
import { openSessionKey, SESSION_KEY, sealSessionKey } from './shared-session-key.ts'
import { SnapshotBuilder } from './snapshot-builder.ts'

/** What a member asks of the replica it belongs to. */
export interface ClusterAdapterHost {
  readonly providers: () => readonly Provider[]
  /** Route by this from now on, and keep it. */
  readonly publish: (body: Body) => void
  readonly setRelays: (peers: readonly RelayPeer[]) => void
  /** Sessions are made under this key from now on. */
  readonly setSessionKey: (key: string) => void
  readonly sharing: Pick<Sharing, 'join' | 'changed' | 'setPeers'>
}

/** The provider whose manager members tell of. */
const SWARM = 'swarm'
const FILES = 'file'

/** Interval between two checks for option differences to log. */
const DIFFERENCES_EVERY_MS = 1_000

const OFFER_AGAIN_MS = 100

/** How long a new leader waits for all its providers before what stands counts for those that are still silent. */
const LEND_AFTER_MS = 3000

/** Cluster options with what else they need; the cluster is on. */
export type ClusterAdapterOptions = RunOptions & { readonly cluster: NonNullable<RunOptions['cluster']> }

export class ClusterAdapter implements ProviderListener {
  private readonly options: ClusterAdapterOptions
  private readonly log: Logger
  private readonly host: ClusterAdapterHost
  private builder = new SnapshotBuilder([], null)
  private readonly kept: Body | null
  private readonly differences = new OptionDifferences(performance.now())
  private differencesTimer: NodeJS.Timeout | undefined
  private starting: Promise<Cluster> | null = null
  private cluster: Cluster | null = null
  private leads = false
  private stopped = false
  /** A configuration counts: the leader's, or what a manager told. */
  private settled = false
  private names: readonly string[]
  /** The key in use: the leader's; until a leader has sent one, that of the disk, else that of the first secret. */
  private sessionKey: string
  private peers: readonly Member[] = []
  private local: Partial<LocalState> = {}
  /** Digest of this replica's own services files; null: it has none, or has not read them yet. */
  private filesDigest: string | null = null
  /** When another member last had services files. */
  private filesSeenAt = 0
  private relays = ''
  /** As last received or published. */
  private shared: Body['shared'] = {}
  private offerTimer: NodeJS.Timeout | undefined
  private lendTimer: NodeJS.Timeout | undefined
  private checked: { readonly text: string; readonly body: Body } | null = null

  constructor(options: ClusterAdapterOptions, log: Logger, kept: Body | null, host: ClusterAdapterHost) {
    this.options = options
    this.log = log
    this.kept = kept
    this.host = host
    this.names = [options.name]
    this.sessionKey = options.dataPlane.cookieKey
    if (kept !== null) this.takeSessionKey(kept)
  }

  /** Joins. Rejects when the address cannot be had. */
  async start(): Promise<void> {
    const names = this.host.providers().map(provider => provider.name)
    this.builder = new SnapshotBuilder(names, this.kept?.snapshot ?? null)
    for (const provider of this.host.providers()) {
      provider.setMode('listen')
      const known = this.kept?.shared[provider.name]
      if (known !== undefined) provider.adopt(known)
    }
    const { startCluster } = await import('../../cluster/member.ts')
    const { cluster, name, secrets, dataPlane } = this.options
    const hooks = {
      role: (role: 'leader' | 'follower') => this.onRole(role),
      hold: (held: Held) => this.onHold(held),
      members: (members: readonly Member[]) => this.onMembers(members),
      hint: (keys: readonly string[]) => {
        for (const provider of this.host.providers()) provider.hint(keys)
      },
      check: (text: string) => {
        const body = this.read(text)
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
        held: this.kept === null ? null : heldOf(this.kept),
      },
      hooks,
      this.log,
    )
    const joined = await this.starting
    this.cluster = joined
    this.host.sharing.join(joined.store)
    this.setLocal({ options: shapingOptionsOf(this.options, this.filesDigest) })
    joined.setLocal(this.local)
    this.spreadAddresses()
    this.differencesTimer = setInterval(() => {
      this.announceNetworks()
      this.tellDifferences()
      this.forgetFiles()
    }, DIFFERENCES_EVERY_MS)
    this.settle()
  }

  /** A provider of this replica has read its whole source. */
  async onConfig(provider: string, config: DynamicConfig): Promise<void> {
    this.builder.put(provider, config)
    await this.starting
    this.offer()
  }

  /** Gives the cluster what was read last; a leader that may not publish yet (it gets a newer one first) tries again. */
  private offer(): void {
    clearTimeout(this.offerTimer)
    // Another leads by now: what it fetches counts.
    if (!this.leads || this.stopped) return
    // Built anew each time: what stands may have become newer.
    const merged = this.builder.merged()
    if (merged === null) return
    const others = Object.entries(this.shared).filter(([name]) => this.builder.isRemoteProvider(name))
    const own = this.host.providers().map(one => [one.name, one.shared()] as const)
    const sealed = sealSessionKey(this.sessionKey, this.options.secrets)
    const key = sealed === null ? [] : [[SESSION_KEY, sealed] as const]
    const shared = Object.fromEntries([...others, ...own, ...key])
    const revision = this.cluster?.publish(encodeBody(merged, shared)) ?? null
    if (revision !== null) this.use({ snapshot: snapshotOf(merged, revision), shared }, true)
    else this.offerTimer = setTimeout(() => this.offer(), OFFER_AGAIN_MS)
  }

  /** Services that no server of can be reached from here, as the data workers report them. */
  setUnreachable(services: readonly string[]): void {
    this.setLocal({
      unreachable: [...services].sort().slice(0, LIMITS.unreachable),
      unreachableAll: services.length > LIMITS.unreachable,
    })
  }

  /** Takes the content of this replica's own services files, whether it leads or not. */
  setFiles(config: DynamicConfig): void {
    this.filesDigest = filesDigest(config)
    this.setLocal({ options: shapingOptionsOf(this.options, this.filesDigest) })
  }

  /** Members whose options would make another configuration than the leader's. */
  optionDifferences(): readonly OptionDifference[] {
    return this.differences.list(performance.now())
  }

  /** Drops the services of files that no member has any more. Not at once, since a member that has them may be restarting. */
  private forgetFiles(): void {
    if (!this.builder.isRemoteProvider(FILES) || this.peers.some(({ options }) => hasFiles(options))) return
    if (performance.now() - this.filesSeenAt < SETTLED_MS) return
    this.builder.removeRemoteProvider(FILES)
    this.log.info({}, 'no member has services files any more: the services that were in them are no longer served')
    this.offer()
  }

  /** A container may be connected to a network, or disconnected, while it runs (`docker network connect`). */
  private announceNetworks(): void {
    const networks = interfaceNetworks()
    if (JSON.stringify(networks) !== JSON.stringify(this.local.networks)) this.setLocal({ networks })
  }

  private tellDifferences(): void {
    for (const { level, fields, message } of this.differences.lines(performance.now())) this.log[level](fields, message)
  }

  /** This member leads, or follows a leader whose configuration it has. */
  get synced(): boolean {
    if (this.leads) return this.host.providers().every(provider => provider.status().synced)
    const status = this.cluster?.status()
    return (
      status !== undefined && status.leader !== null && status.target !== null && sameRevision(status.revision, status.target)
    )
  }

  /** Some member is in touch with a manager, and so the configuration follows the swarm. */
  get readsManagers(): boolean {
    return this.local.managerHealthy === true || this.peers.some(({ managerHealthy }) => managerHealthy)
  }

  get role(): 'leader' | 'follower' {
    return this.leads ? 'leader' : 'follower'
  }

  status(): ClusterStatus | null {
    return this.cluster?.status() ?? null
  }

  /** Another shall lead from now on; goes on following until stop(). */
  async drain(): Promise<void> {
    await this.cluster?.drain()
  }

  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.offerTimer)
    clearTimeout(this.lendTimer)
    clearInterval(this.differencesTimer)
    const cluster = await this.starting?.catch(() => null)
    await cluster?.stop()
  }

  // ---- what providers tell (ProviderListener) ----

  saw(keys: readonly string[]): void {
    this.cluster?.reportEvents(keys)
  }

  manager(name: string | null, healthy: boolean): void {
    this.setLocal({ manager: name, managerHealthy: healthy })
  }

  members(): readonly string[] {
    return this.names
  }

  others(): readonly OtherMember[] {
    return this.peers.map(({ name, addresses, relay, networks }) => ({
      name,
      networks: networks ?? null,
      addresses: [...new Set([...addresses, ...relay].flatMap(text => parseHostPort(text)?.host ?? []))],
    }))
  }

  // ---- what the cluster tells ----

  private onRole(role: 'leader' | 'follower'): void {
    const leads = role === 'leader'
    if (leads !== this.leads) {
      this.leads = leads
      this.builder.clear()
      clearTimeout(this.offerTimer)
      clearTimeout(this.lendTimer)
      if (leads) this.lendTimer = setTimeout(() => this.fillMissing(), LEND_AFTER_MS)
      for (const provider of this.host.providers()) provider.setMode(leads ? 'read' : 'listen')
    }
    this.settle()
  }

  /** A provider has been silent since this member leads, perhaps because no manager answers: the others are heard all the same. */
  private fillMissing(): void {
    this.builder.fillMissing()
    this.offer()
  }

  private onHold(held: Held): void {
    const body = this.read(held.body)
    if (typeof body === 'string') {
      this.log.error({ reason: body }, 'a configuration of the cluster cannot be used; the one before stays')
      return
    }
    this.use({ ...body, snapshot: { ...body.snapshot, revision: held.revision } })
    for (const provider of this.host.providers()) {
      const known = body.shared[provider.name]
      if (known !== undefined) provider.adopt(known)
    }
    this.spreadAddresses()
  }

  private onMembers(members: readonly Member[]): void {
    const present = members.filter(({ state }) => state !== 'gone')
    // Under its own name even where another bears it too, and is shown with an id beside it.
    this.names = [...new Set(present.map(({ name, self }) => (self ? this.options.name : name)))].sort()
    this.peers = present.filter(({ self }) => !self)
    // Without managers of its own it would take the swarm's services away should it lead, as it may once no manager is well.
    if (this.peers.some(({ manager }) => manager !== null)) this.builder.addRemoteProvider(SWARM)
    // The same for services files, which a rolling update adds to, or removes from, one replica after the other.
    if (this.peers.some(({ options }) => hasFiles(options))) {
      this.filesSeenAt = performance.now()
      this.builder.addRemoteProvider(FILES)
    }
    this.differences.update(members, this.cluster?.status().leader?.id ?? null, performance.now())
    this.host.sharing.setPeers(present.map(({ id, name, self }) => ({ id, name, self })))
    this.spreadRelays()
    this.settle()
  }

  private use(body: Body, own = false): void {
    this.settled = true
    this.shared = body.shared
    this.takeSessionKey(body)
    this.builder.setCurrent(body.snapshot, own)
    this.host.publish(body)
    this.spreadAddresses()
  }

  /** All members make sessions under the leader's key, whatever their own first secret is. */
  private takeSessionKey({ shared }: Body): void {
    const key = openSessionKey(shared[SESSION_KEY], this.options.secrets)
    if (key === null || key === this.sessionKey) return
    this.sessionKey = key
    this.host.setSessionKey(key)
  }

  /** What was kept on disk is what the leader says: it counts from now on. */
  private settle(): void {
    if (this.settled || this.kept === null || this.cluster === null) return
    const { leader, target } = this.cluster.status()
    if (leader !== null && !this.leads && sameRevision(target, this.kept.snapshot.revision)) this.use(this.kept)
  }

  private setLocal(change: Partial<LocalState>): void {
    this.local = { ...this.local, ...change }
    this.cluster?.setLocal(change)
  }

  private nodeAddress(name: string): string | undefined {
    for (const provider of this.host.providers()) {
      const address = provider.nodeAddresses().get(name)
      if (address !== undefined) return address
    }
    return undefined
  }

  /** The nodes' own addresses: overlays break more often than networks. */
  private spreadAddresses(): void {
    const { port } = this.options.cluster.listen
    const nodes = this.host.providers().flatMap(provider => [...provider.nodeAddresses()])
    this.cluster?.setPeerAddresses(nodes.filter(([name]) => name !== this.options.name).map(([, ip]) => hostAndPort(ip, port)))
    this.spreadRelays()
  }

  private spreadRelays(): void {
    const usable = this.peers.filter(({ relay, unreachableAll }) => relay.length > 0 && !unreachableAll)
    const alive = usable.filter(({ state }) => state === 'alive')
    const peers = (alive.length > 0 ? alive : usable).map(({ id, name, relay, unreachable }): RelayPeer => {
      const told = relay.flatMap(text => parseHostPort(text) ?? [])
      const node = this.nodeAddress(name)
      const own = node === undefined || told[0] === undefined ? [] : [{ host: node, port: told[0].port }]
      return { id, name, addresses: [...own, ...told.filter(({ host }) => host !== node)], unreachable }
    })
    const text = JSON.stringify(peers)
    if (text === this.relays) return
    this.relays = text
    this.host.setRelays(peers)
  }

  /** The text checked last is the one that is held next. */
  private read(text: string): Body | string {
    if (this.checked?.text === text) return this.checked.body
    const body = decodeBody(text)
    if (typeof body !== 'string') this.checked = { text, body }
    return body
  }
}

function heldOf({ snapshot, shared }: Body): Held {
  const body = encodeBody(snapshot, shared)
  return { revision: snapshot.revision, hash: createHash('sha256').update(body).digest('hex'), body }
}

function sameRevision(a: Revision | null, b: Revision | null): boolean {
  return a !== null && b !== null && compareRevisions(a, b) === 0
}

/** `10.0.0.1:7997` or `[::1]:7997`; undefined when it is neither. */
function parseHostPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  return host === undefined || isIP(host) === 0 ? undefined : { host, port: Number(match?.[3]) }
}
