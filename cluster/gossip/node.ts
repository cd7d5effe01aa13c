// The libp2p node: TCP, the private network, noise, yamux, identify and gossipsub. No other service of libp2p (discovery, DHT,
// relay, metrics) is enabled. Its limits suit a cluster of servers that may share one address.

import { type GossipSub, gossipsub } from '@libp2p/gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import type { ComponentLogger, ConnectionGater, Libp2p, Listener, Logger } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { LIMITS } from '../core/state.ts'
import { reasonOf } from '../log.ts'
import { formatAddress, type HostPort, toMultiaddr } from './multiaddr.ts'
import type { NetworkProtector } from './protector.ts'

export type GossipNode = Libp2p<{ identify: Identify; pubsub: GossipSub }>

export interface NodeOptions {
  readonly listen: HostPort
  readonly topic: string
  readonly protector: NetworkProtector
  readonly gater: ConnectionGater
}

const CONNECT_TIMEOUT_MS = 1_000
const UPGRADE_TIMEOUT_MS = 3_000
/** Options of net.connect, which libp2p passes on. */
const connectOptions = { timeout: CONNECT_TIMEOUT_MS, noDelay: true }
/** Interval of yamux pings; a connection without data for several of them is dead, ms. */
const KEEP_ALIVE_MS = 2_000
/** Gossip that a peer does not read is buffered up to this size; then its stream is closed. */
const GOSSIP_BUFFER_BYTES = 2 * 1024 * 1024
/** One RPC may carry several messages, when lost ones are requested again. */
const RPC_BYTES = 1024 * 1024

/** @returns the started node and the port that it listens on @throws Error when it cannot listen */
export async function startNode(options: NodeOptions): Promise<{ node: GossipNode; port: number }> {
  let listener: Listener | null = null
  const node = await createLibp2p({
    start: false,
    logger: silentLogger,
    nodeInfo: { name: 'skein', version: '1', userAgent: 'skein' },
    addresses: { listen: listenAddresses(options.listen), announceFilter: () => [] },
    transports: [
      components => {
        const transport = tcp({ dialOpts: connectOptions, backlog: 1024 })(components)
        const create = transport.createListener.bind(transport)
        transport.createListener = init => (listener = create(init))
        return transport
      },
    ],
    connectionProtector: () => options.protector,
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({ enableKeepAlive: true, keepAliveInterval: KEEP_ALIVE_MS, streamOptions: { maxStreamWindowSize: 2 * 1024 * 1024 } }),
    ],
    connectionGater: options.gater,
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: 4 * LIMITS.members,
      maxParallelDials: 64,
      dialTimeout: CONNECT_TIMEOUT_MS + UPGRADE_TIMEOUT_MS,
      addressDialTimeout: CONNECT_TIMEOUT_MS + UPGRADE_TIMEOUT_MS,
      inboundUpgradeTimeout: UPGRADE_TIMEOUT_MS,
      inboundConnectionThreshold: 2 * LIMITS.members,
      maxIncomingPendingConnections: LIMITS.members,
      inboundStreamProtocolNegotiationTimeout: UPGRADE_TIMEOUT_MS,
      outboundStreamProtocolNegotiationTimeout: UPGRADE_TIMEOUT_MS,
      reconnectRetries: 0,
    },
    peerStore: { addressFilter: async () => false },
    services: { identify: identify({ timeout: UPGRADE_TIMEOUT_MS }), pubsub: gossip(options.topic) },
  })
  try {
    await node.start()
  } catch (error) {
    await node.stop()
    throw new Error(`cannot listen on ${formatAddress(options.listen)} for the cluster: ${listenFailure(error)}`)
  }
  node.services.pubsub.subscribe(options.topic)
  const at = (listener as Listener | null)?.getAddrs()[0]
  const port = at?.getComponents().find(part => part.name === 'tcp')?.value
  return { node, port: Number(port ?? options.listen.port) }
}

/** `::` means all addresses, but libp2p opens IPv6-only sockets. */
function listenAddresses(listen: HostPort): string[] {
  const both = listen.host === '::' && listen.port !== 0
  return (both ? [listen, { host: '0.0.0.0', port: listen.port }] : [listen]).map(each => toMultiaddr(each).toString())
}

/**
 * Gossipsub for a cluster whose members are trusted but may be slow. The mesh is thin, because every further copy of a message
 * costs CPU. Scores are off, because they would punish members that share an address; flood-guard.ts limits the rates instead.
 */
function gossip(topic: string): ReturnType<typeof gossipsub> {
  return gossipsub({
    globalSignaturePolicy: 'StrictSign',
    emitSelf: false,
    // channel.ts decides whether a message is forwarded.
    asyncValidation: true,
    // Set per message in channel.ts.
    floodPublish: false,
    batchPublish: true,
    fallbackToFloodsub: false,
    doPX: false,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    allowedTopics: [topic],
    tagMeshPeers: false,
    D: 3,
    Dlo: 3,
    Dhi: 5,
    Dout: 1,
    Dscore: 1,
    Dlazy: 2,
    gossipFactor: 0.1,
    heartbeatInterval: 1_000,
    mcacheLength: 4,
    mcacheGossip: 2,
    seenTTL: 60_000,
    pruneBackoff: 10_000,
    // Except for large messages, suppressing a copy costs more than the copy.
    idontwantMinDataSize: 8 * 1024,
    // A duplicate is recognized by author and number, before its signature is verified.
    fastMsgIdFn: message =>
      Buffer.concat([message.seqno ?? none, message.from ?? none, message.signature ?? none]).toString('latin1'),
    maxInboundDataLength: RPC_BYTES,
    maxOutboundBufferSize: GOSSIP_BUFFER_BYTES,
    decodeRpcLimits: {
      maxSubscriptions: 16,
      maxMessages: 512,
      maxControlMessages: 64,
      maxIhaveMessageIDs: 5_000,
      maxIwantMessageIDs: 5_000,
      maxIdontwantMessageIDs: 512,
      maxPeerInfos: 0,
    },
    scoreParams: {
      appSpecificWeight: 0,
      IPColocationFactorWeight: 0,
      behaviourPenaltyWeight: 0,
      decayInterval: 60_000,
      retainScore: 1_000,
    },
  })
}

const none = new Uint8Array(0)

function listenFailure(error: unknown): string {
  const text = reasonOf(error)
  const known = /\b(EADDRINUSE|EADDRNOTAVAIL|EACCES)\b/.exec(text)?.[1]
  if (known === 'EADDRINUSE') return 'the port is in use'
  if (known === 'EADDRNOTAVAIL') return 'this machine does not have this address'
  if (known === 'EACCES') return 'permission denied'
  return text
}

/** libp2p's own log is for its developers; libp2p.ts logs what operators need. */
const silentLogger: ComponentLogger = { forComponent: () => silent() }

function silent(): Logger {
  const log = (): void => undefined
  return Object.assign(log, { error: log, trace: log, enabled: false, newScope: silent })
}
