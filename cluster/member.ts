// A running member: the pure core (core/core.ts) with real timers, the network, discovery, and the replica's hooks. Every
// occurrence becomes one event of the core; its effects are carried out in order. An exception in a hook is logged and does not
// stop the member.

import { createHash, randomBytes } from 'node:crypto'
import { createCore } from './core/core.ts'
import { ReplayWindow } from './core/replay-window.ts'
import {
  type CoreEffect,
  type CoreEvent,
  type Held,
  LIMITS,
  type LocalState,
  type MemberId,
  type Message,
  type Revision,
  TIMING,
} from './core/state.ts'
import { systemLookup, watchPeers } from './gossip/discovery.ts'
import type { Network } from './gossip/network.ts'
import { interfaceNetworks, reachableAddresses } from './gossip/own-addresses.ts'
import { type ClusterLog, reasonOf } from './log.ts'
import type { MemberOptions } from './options.ts'
import { decode, encode, type Refusal } from './protocol.ts'
import { KeyedLogLimit } from './rate-limit.ts'
import { SecretCore } from './secrets/core.ts'
import { SecretDisk } from './secrets/disk.ts'
import type { SecretRecord } from './secrets/record.ts'
import { SecretReplica } from './secrets/replica.ts'
import { Keyring } from './secrets/sealing.ts'
import type { Cluster, ClusterHooks, ClusterStatus } from './status.ts'
import { statusView } from './status-view.ts'
import { CLOCK_OFF_MS, clocksDiffer, spanOf } from './store/cluster-clock.ts'
import { GossipStore } from './store/gossip.ts'
import type { Change } from './store/model.ts'

const TICK_MS = 50
/** Ticks between two comparisons of the members' clocks. */
const CLOCK_TICKS = 20
/** A draining member waits this long for another leader, ms. */
const DRAIN_TIMEOUT_MS = 1_000
const DRAIN_POLL_MS = 10
/** Time for the last message to be sent before the network stops, ms. */
const LEAVE_FLUSH_MS = 50

type Connection = Extract<CoreEvent, { readonly kind: 'connected' | 'disconnected' }>

/** @throws Error when it cannot listen, or when no secret is given */
export async function startCluster(options: MemberOptions, hooks: ClusterHooks, log: ClusterLog): Promise<Cluster> {
  if (options.secrets.length === 0) throw new Error('a member of a cluster needs the cluster secret; none is given')
  // libp2p takes about 40 MB, so only members load it.
  const { startNetwork } = await import('./gossip/libp2p.ts')
  const disk = options.secretDirectory == null ? null : new SecretDisk(options.secretDirectory, log)
  const keptSecrets = (await disk?.load()) ?? []
  const member = new RunningMember(options, hooks, log)
  const network = await startNetwork({
    listen: options.listen,
    secrets: options.secrets,
    cluster: options.cluster,
    events: {
      message: (from, data) => member.received(from, data),
      connected: peer => member.connection({ kind: 'connected', peer }),
      disconnected: peer => member.connection({ kind: 'disconnected', peer }),
      bodyOf: hash => member.bodyOf(hash),
    },
    otherCluster: () => void member.refused.cluster++,
    log,
  })
  member.run(network, disk, keptSecrets)
  return member
}

class RunningMember implements Cluster {
  readonly refused: Record<Refusal | 'replayed', number> = { version: 0, cluster: 0, malformed: 0, large: 0, replayed: 0 }
  store!: GossipStore
  secrets!: SecretReplica
  readonly #options: MemberOptions
  readonly #hooks: ClusterHooks
  readonly #log: ClusterLog
  readonly #replayWindow = new ReplayWindow(LIMITS.members)
  readonly #logLimit = new KeyedLogLimit()
  readonly #effects: CoreEffect[] = []
  /** Members whose wrong clock has been logged. */
  readonly #wrongClocks = new Set<MemberId>()
  /** A disagreement of the clocks in which no majority shows which ones are wrong has been logged. */
  #clocksDiffer = false
  #network!: Network
  #core!: ReturnType<typeof createCore>
  #local!: LocalState
  #timer: NodeJS.Timeout | undefined
  #discovery: { stop(): void } | undefined
  #discovered: readonly string[] = []
  /** The DNS name of each address, where one was used. */
  #names: ReadonlyMap<string, string> = new Map()
  #providedTargets: readonly string[] = []
  /** Connection events between the start of the network and that of the core. */
  readonly #queuedConnections: Connection[] = []
  #applying = false
  #running = false
  #sequence = 0
  #elections = 0
  #leaderChanges = 0
  #lastLeader: MemberId | null = null
  #reportedRole = ''

  constructor(options: MemberOptions, hooks: ClusterHooks, log: ClusterLog) {
    this.#options = options
    this.#hooks = hooks
    this.#log = log
  }

  run(network: Network, disk: SecretDisk | null, keptSecrets: readonly SecretRecord[]): void {
    const { name, version, listen, advertise, relayPort, peers, lookup, timing, held } = this.#options
    this.#network = network
    this.secrets = this.#openSecrets(network, disk, keptSecrets)
    this.#local = {
      manager: null,
      managerHealthy: false,
      unreachable: [],
      unreachableAll: false,
      seen: [],
      addresses: reachableAddresses({ host: listen.host, port: network.port }, advertise),
      relay: relayPort === null ? [] : reachableAddresses({ host: listen.host, port: relayPort }, advertise),
      networks: interfaceNetworks(),
      secretState: this.secrets.digest,
    }
    this.#core = createCore({
      id: network.self,
      name,
      startedAt: Date.now(),
      version,
      local: this.#local,
      held: this.#checkedHeld(held),
      timing: timing ?? TIMING,
      random: Math.random,
      now: performance.now(),
    })
    this.store = this.#openStore(network)
    this.#running = true
    let ticks = 0
    this.#timer = setInterval(() => {
      this.dispatch({ kind: 'tick' })
      this.secrets.dispatch({ kind: 'tick' })
      if (++ticks % CLOCK_TICKS === 0) this.#checkClocks()
    }, TICK_MS)
    for (const event of this.#queuedConnections.splice(0)) this.connection(event)
    this.#discovery = watchPeers(
      peers,
      lookup ?? systemLookup,
      (addresses, names) => {
        this.#discovered = addresses
        this.#names = names
        this.#setTargets()
      },
      this.#log,
    )
  }

  get id(): MemberId {
    return this.#network.self
  }

  get port(): number {
    return this.#network.port
  }

  publish(body: string): Revision | null {
    if (!this.#running) return null
    const hash = sha256(body)
    this.dispatch({ kind: 'publish', hash, body })
    const { role, held } = this.#core
    return role === 'leader' && held?.hash === hash ? held.revision : null
  }

  setLocal(change: Partial<LocalState>): void {
    const own = this.#local.addresses
    // Addresses from the replica precede those of the interfaces and do not replace them.
    const addresses =
      change.addresses === undefined ? own : [...new Set([...change.addresses, ...own])].slice(0, LIMITS.addresses)
    this.#local = { ...this.#local, ...change, addresses }
    this.dispatch({ kind: 'local', local: this.#local })
  }

  reportEvents(keys: readonly string[]): void {
    this.dispatch({ kind: 'eventsSeen', keys })
  }

  setPeerAddresses(addresses: readonly string[]): void {
    this.#providedTargets = addresses.slice(0, LIMITS.members)
    this.#setTargets()
  }

  status(): ClusterStatus {
    const counts = { ...this.refused, elections: this.#elections, leaderChanges: this.#leaderChanges }
    return statusView({
      cluster: this.#options.cluster,
      core: this.#core,
      network: this.#network,
      counts,
      now: performance.now(),
      clockOffs: this.store.clockOffs(),
    })
  }

  async drain(): Promise<void> {
    this.dispatch({ kind: 'drain' })
    const until = performance.now() + DRAIN_TIMEOUT_MS
    const hasSuccessor = (): boolean =>
      this.#core.members().some(({ self, state }) => !self && state !== 'gone' && state !== 'draining')
    while (this.#running && hasSuccessor() && performance.now() < until) {
      const { leader } = this.#core
      if (leader !== null && leader !== this.id) return
      await new Promise(resolve => setTimeout(resolve, DRAIN_POLL_MS))
    }
  }

  async stop(): Promise<void> {
    if (!this.#running) return
    void this.store.stop()
    this.#transmit({ kind: 'leave' })
    this.#running = false
    const secretsSaved = this.secrets.stop()
    clearInterval(this.#timer)
    this.#discovery?.stop()
    await new Promise(resolve => setTimeout(resolve, LEAVE_FLUSH_MS))
    await Promise.all([this.#network.stop(), secretsSaved])
  }

  // ---- events ----

  /**
   * Passes one event to the core and applies its effects before returning. When called from within a hook, the outer call
   * applies them.
   */
  dispatch(event: CoreEvent): void {
    if (!this.#running) return
    try {
      this.#effects.push(...this.#core.step(event, performance.now()))
    } catch (error) {
      // An event must never end the process: log it and continue.
      this.#log.error(
        { event: event.kind, err: reasonOf(error) },
        'internal error: a cluster event could not be processed and is ignored',
      )
    }
    if (this.#applying) return
    this.#applying = true
    try {
      for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) this.#apply(effect)
    } finally {
      this.#applying = false
    }
  }

  connection(event: Connection): void {
    if (!this.#running) {
      if (this.#timer === undefined) this.#queuedConnections.push(event)
      return
    }
    this.dispatch(event)
    this.store.dispatch(event)
  }

  received(from: MemberId, data: Uint8Array): void {
    if (!this.#running) return
    const decoded = decode(data, { cluster: this.#options.cluster })
    if (!decoded.ok) {
      this.#refuse(from, decoded.reason, decoded.message)
      return
    }
    const { n, clock, message } = decoded.envelope
    if (!this.#replayWindow.accept(from, n)) {
      this.refused.replayed++
      return
    }
    if (clock !== undefined) this.store.dispatch({ kind: 'clock', from, reading: clock })
    // Store messages bypass the core, whose cost per event matters.
    if (message.kind === 'store') this.store.dispatch({ kind: 'message', from, data: Buffer.from(message.data, 'base64') })
    else this.dispatch({ kind: 'message', from, message: this.#checkedMessage(from, message) })
  }

  bodyOf(hash: string): string | null {
    const held = this.#running ? this.#core.held : null
    if (!this.#running) return null
    return held?.hash === hash ? held.body : (this.store.bodyOf(hash) ?? this.secrets.bodyOf(hash))
  }

  /** Removes a body that fails the check from its announcement. */
  #checkedMessage(from: MemberId, message: Message): Message {
    if (message.kind !== 'announce' || message.body === null || message.hash === this.#core.held?.hash) return message
    const reason = this.#checkBody(message.body)
    if (reason === null) return message
    this.#warn(`unusable ${from}`, { peer: from }, `ignoring the configuration announced by ${this.#nameOf(from)}: ${reason}`)
    return { ...message, body: null }
  }

  #checkedHeld(held: Held | null): Held | null {
    if (held === null || sha256(held.body) === held.hash) return held
    this.#log.warn({ hash: held.hash }, 'ignoring the configuration kept on disk: its content does not match its hash')
    return null
  }

  #refuse(from: MemberId, reason: Refusal, message: string): void {
    this.refused[reason]++
    this.#warn(`${reason} ${from}`, { peer: from, reason }, `dropped a message from ${this.#nameOf(from)}: ${message}`)
  }

  // ---- effects ----

  #apply(effect: CoreEffect): void {
    switch (effect.kind) {
      case 'broadcast':
        if (effect.message.kind === 'vote?' && !effect.message.pre) this.#elections++
        this.#transmit(effect.message)
        return
      case 'send':
        this.#transmit(effect.message, effect.to)
        return
      case 'role':
        this.#onRole(effect)
        return
      case 'pull':
        void this.#pull(effect.from, effect.revision, effect.hash)
        return
      case 'hold':
        if (effect.source !== null) this.#hook('hold', () => this.#hooks.hold(effect.held))
        return
      case 'members':
        this.#onMembers()
        return
      case 'hint':
        this.#hook('hint', () => this.#hooks.hint(effect.keys))
        return
      case 'log':
        this.#log[effect.level](effect.fields, effect.message)
        return
    }
  }

  /** Sends to one member, or broadcasts. */
  #transmit(message: Message, to?: MemberId): void {
    try {
      const data = encode({ v: 1, cluster: this.#options.cluster, n: this.#sequence++, clock: this.store.reading(), message })
      if (to === undefined) this.#network.broadcast(data)
      else this.#network.send(to, data)
    } catch (error) {
      this.#log.error({ kind: message.kind, err: reasonOf(error) }, 'a message to the cluster could not be sent and is lost')
    }
  }

  #onRole({ role, term, leader }: Extract<CoreEffect, { kind: 'role' }>): void {
    if (leader !== null && leader !== this.#lastLeader) {
      this.#leaderChanges++
      this.#lastLeader = leader
    }
    this.secrets.dispatch({ kind: 'role', term: term.number, leading: role === 'leader' })
    const reported = role === 'leader' ? `leader ${term.number}` : 'follower'
    if (reported === this.#reportedRole) return
    this.#reportedRole = reported
    this.#hook('role', () => this.#hooks.role(role, term))
  }

  #onMembers(): void {
    const members = this.#core.members()
    const others = members.filter(({ self, state }) => !self && state !== 'gone')
    this.#network.setMembers(others)
    const digests = new Map<MemberId, string>()
    for (const { id, state, secretState } of others)
      if (secretState !== undefined && state !== 'suspect') digests.set(id, secretState)
    this.secrets.dispatch({ kind: 'peers', digests })
    this.store.dispatch({ kind: 'members', count: others.length + 1 })
    for (const { id, state } of members) if (state === 'gone') this.store.dispatch({ kind: 'gone', member: id })
    this.#hook('members', () => this.#hooks.members(members))
  }

  async #pull(from: MemberId, revision: Revision, hash: string): Promise<void> {
    try {
      const body = await this.#network.pull(from, hash)
      const reason = this.#checkBody(body)
      if (reason !== null) throw new Error(`it cannot be used: ${reason}`)
      this.dispatch({ kind: 'pulled', from, held: { revision, hash, body } })
    } catch (error) {
      const name = this.#nameOf(from)
      this.#warn(
        `pull ${from}`,
        { peer: from, err: reasonOf(error) },
        `the configuration could not be pulled from ${name}: ${reasonOf(error)}`,
      )
      this.dispatch({ kind: 'pullFailed', from, revision })
    }
  }

  #openStore(network: Network): GossipStore {
    const transmit = (data: Uint8Array, to?: MemberId): void =>
      this.#transmit({ kind: 'store', data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64') }, to)
    const storeNetwork = {
      broadcast: (data: Uint8Array) => transmit(data),
      send: (to: MemberId, data: Uint8Array) => transmit(data, to),
      pull: (from: MemberId, hash: string) => network.pull(from, hash),
      changed: (changes: readonly Change[]) => this.#hook('shared', () => this.#hooks.shared(changes)),
      warn: (subject: string, from: MemberId, message: string) =>
        this.#warn(`store ${subject} ${from}`, { peer: from }, `${this.#nameOf(from)}: ${message}`),
    }
    return new GossipStore({ origin: network.self, network: storeNetwork, log: this.#log })
  }

  #openSecrets(network: Network, disk: SecretDisk | null, kept: readonly SecretRecord[]): SecretReplica {
    const keyring = new Keyring(this.#options.secrets, this.#options.cluster, randomBytes)
    return new SecretReplica({
      core: new SecretCore({ id: network.self, keyring, kept }),
      disk,
      pull: (from, hash) => network.pull(from, hash),
      announce: secretState => {
        this.#local = { ...this.#local, secretState }
        this.dispatch({ kind: 'local', local: this.#local })
      },
      changed: names => this.#hook('secretsChanged', () => this.#hooks.secretsChanged?.(names)),
      log: this.#log,
    })
  }

  /** Logs a member whose clock is wrong, and when it is right again; also when clocks differ without a majority. */
  #checkClocks(): void {
    const offs = this.store.clockOffs()
    const clocks = this.#core.members().flatMap(({ id, name }) => {
      const offMs = offs.get(id)
      return offMs === undefined ? [] : [{ name, offMs }]
    })
    const differ = clocksDiffer(clocks)
    if (differ !== null) {
      this.#wrongClocks.clear()
      if (!this.#clocksDiffer) this.#log.warn({ clocks }, `${differ}. Until then writes are stamped with the cluster's time`)
      this.#clocksDiffer = true
      return
    }
    if (this.#clocksDiffer && clocks.length > 1) {
      this.#clocksDiffer = false
      if (clocks.every(({ offMs }) => Math.abs(offMs) <= CLOCK_OFF_MS)) this.#log.info({}, "the members' clocks agree again")
    }
    for (const id of this.#wrongClocks) if (!offs.has(id)) this.#wrongClocks.delete(id)
    for (const { id, name } of this.#core.members()) {
      const off = offs.get(id) ?? 0
      if (Math.abs(off) > CLOCK_OFF_MS) {
        if (this.#wrongClocks.has(id)) continue
        this.#wrongClocks.add(id)
        const message = `${name}: its clock is ${spanOf(off)} the cluster's; set it. Until then its writes are stamped with the cluster's time`
        this.#log.warn({ peer: id, offMs: off }, message)
      } else if (this.#wrongClocks.delete(id)) this.#log.info({ peer: id }, `${name}: its clock is right again`)
    }
  }

  #setTargets(): void {
    this.#network.setTargets([...this.#discovered, ...this.#providedTargets], this.#names)
  }

  #checkBody(body: string): string | null {
    try {
      return this.#hooks.check(body)
    } catch (error) {
      return reasonOf(error)
    }
  }

  #hook(name: string, call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#log.error({ hook: name, err: reasonOf(error) }, 'internal error: the replica could not process a cluster event')
    }
  }

  #warn(subject: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    if (this.#running && this.#logLimit.take(subject, performance.now())) this.#log.warn(fields, message)
  }

  #nameOf(id: MemberId): string {
    return this.#core.members().find(member => member.id === id)?.name ?? `~${id.slice(-6)}`
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
