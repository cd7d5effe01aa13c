// The private network: all traffic between members, from the first byte of the handshake, is encrypted with a key derived from
// the cluster's secret and name. A peer without both can neither join, eavesdrop nor recognize the protocol. The noise of libp2p
// runs inside it and authenticates the members. The dialling side uses its first secret; the accepting side determines which
// of its secrets decrypts the first bytes, so that a secret can be rotated while the cluster runs. greeting.ts distinguishes
// clusters that share a secret but not a name.
//
// This replaces @libp2p/pnet by a cipher of OpenSSL: pnet 3 never releases the slots that its WebAssembly cipher allocates per
// connection, so a few thousand connections from any host that reaches the port stop it (libp2p/js-libp2p#3585).

import { type Cipheriv, createCipheriv, createHmac, randomBytes } from 'node:crypto'
import type { AbortOptions, ConnectionProtector, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMultiaddrConnection, byteStream, type MessageStreamInit, type SendResult } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { DEFAULT_CLUSTER } from '../secret.ts'
import { networkKeys, openName, SEALED_BYTES, type Side, sealName } from './greeting.ts'

const NONCE_BYTES = 24
/** The first encrypted bytes of a dialler: the header of multistream-select with its length. */
const STREAM_HEADER = Buffer.from('\x13/multistream/1.0.0\n', 'latin1')
/** Time for a dialler of another cluster to read this cluster's name before the connection is closed, ms. */
const GREETING_FLUSH_MS = 1_000

export interface ProtectorEvents {
  /** No secret decrypts the first bytes of an inbound connection. */
  foreignPeer(address: Multiaddr): void
  /** The other side holds one of the secrets and belongs to the cluster of this name. Either side may have dialled. */
  otherCluster(address: Multiaddr, name: string): void
  /** The dialled peer accepted the connection and sent nothing before the dial was abandoned. */
  silent(address: Multiaddr): void
}

/** The error of an outbound handshake when the other side belongs to another cluster. */
export class OtherClusterError extends Error {
  constructor(name: string) {
    super(`it belongs to cluster "${name}"`)
    this.name = 'OtherClusterError'
  }
}

/** The error of an outbound handshake when the answering process is not a Skein member. */
export class NotAMemberError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'NotAMemberError'
  }
}

export interface ProtectorCounts {
  bytesSent: number
  bytesReceived: number
  /** Inbound connections that match no key. */
  refusedHandshakes: number
}

export interface NetworkProtector extends ConnectionProtector {
  readonly counts: ProtectorCounts
  /** Call once a second. Closes connections without data for `seconds` calls. A stall of this process counts as one call. */
  closeSilent(seconds: number): void
}

/** The result of the handshake. */
interface HandshakeResult {
  readonly key: Buffer
  /** The first encrypted bytes of the stream, if already read. */
  readonly first: Buffer | null
}

/** @param secrets at least one; the first is used towards others, all are accepted */
export function networkProtector(secrets: readonly string[], cluster: string, events: ProtectorEvents): NetworkProtector {
  const keys = secrets.map(secret => networkKeys(secret, cluster))
  const counts: ProtectorCounts = { bytesSent: 0, bytesReceived: 0, refusedHandshakes: 0 }
  const open = new Set<ProtectedConnection>()

  async function protect(connection: MultiaddrConnection, options?: AbortOptions): Promise<MultiaddrConnection> {
    const dialling = connection.direction === 'outbound'
    const mine = randomBytes(NONCE_BYTES)
    const bytes = byteStream(connection)
    const reading = bytes.read({ bytes: NONCE_BYTES, ...options }).catch((error: Error) => {
      if (dialling && options?.signal?.aborted === true) events.silent(connection.remoteAddr)
      throw error
    })
    const [answer] = await Promise.all([reading, bytes.write(mine, options)])
    const theirs = Buffer.from(answer.subarray())
    if (dialling && theirs.toString('latin1').startsWith('HTTP/1.')) {
      const error = new NotAMemberError('it answers in plain HTTP and is not a Skein member')
      connection.abort(error)
      throw error
    }
    const nonces = dialling ? Buffer.concat([mine, theirs]) : Buffer.concat([theirs, mine])
    const read = async (count: number): Promise<Buffer> =>
      Buffer.from((await bytes.read({ bytes: count, ...options })).subarray())

    /** @throws OtherClusterError */
    async function sendGreeting(): Promise<HandshakeResult> {
      const { network, greeting } = keys[0]!
      if (cluster === DEFAULT_CLUSTER) return { key: network, first: null }
      const hello = cipher(greeting, nonces, 'dialler').update(STREAM_HEADER)
      await bytes.write(Buffer.concat([hello, sealName(cluster, greeting, nonces, 'dialler')]), options)
      const name = openName(await read(SEALED_BYTES), greeting, nonces, 'listener')
      if (name === cluster) return { key: network, first: null }
      if (name === null) throw new Error('it does not hold the cluster secret')
      events.otherCluster(connection.remoteAddr, name)
      throw new OtherClusterError(name)
    }

    async function acceptGreeting(): Promise<HandshakeResult> {
      const first = await read(STREAM_HEADER.length)
      const fits = (key: Buffer): boolean => cipher(key, nonces, 'dialler').update(first).equals(STREAM_HEADER)
      const nameless = keys.find(each => fits(each.nameless))
      if (nameless !== undefined) {
        if (cluster === DEFAULT_CLUSTER) return { key: nameless.network, first }
        events.otherCluster(connection.remoteAddr, DEFAULT_CLUSTER)
        throw new OtherClusterError(DEFAULT_CLUSTER)
      }
      const named = keys.find(each => fits(each.greeting))
      const name = named === undefined ? null : openName(await read(SEALED_BYTES), named.greeting, nonces, 'dialler')
      if (named === undefined || name === null) {
        counts.refusedHandshakes++
        events.foreignPeer(connection.remoteAddr)
        throw new Error('it does not hold the cluster secret')
      }
      await bytes.write(sealName(cluster, named.greeting, nonces, 'listener'), options)
      if (name === cluster) return { key: named.network, first: null }
      events.otherCluster(connection.remoteAddr, name)
      // The dialler closes after reading the name. Closing here first could discard it.
      await bytes.read({ bytes: 1, signal: AbortSignal.timeout(GREETING_FLUSH_MS) }).catch(() => undefined)
      throw new OtherClusterError(name)
    }

    let handshake: HandshakeResult
    try {
      handshake = await (dialling ? sendGreeting() : acceptGreeting())
    } catch (error) {
      connection.abort(error as Error)
      throw error
    }
    const protectedConnection = new ProtectedConnection(bytes.unwrap(), connection.log.newScope('private'), {
      outbound: cipher(handshake.key, nonces, dialling ? 'dialler' : 'listener'),
      inbound: cipher(handshake.key, nonces, dialling ? 'listener' : 'dialler'),
      first: handshake.first,
      counts,
    })
    open.add(protectedConnection)
    protectedConnection.addEventListener('close', () => open.delete(protectedConnection))
    return protectedConnection
  }

  return {
    [Symbol.toStringTag]: 'skein-private-network',
    counts,
    protect,
    closeSilent(seconds) {
      for (const protectedConnection of open)
        if (protectedConnection.silence() >= seconds) protectedConnection.abort(new Error(`silent for ${seconds} s`))
    },
  } as NetworkProtector
}

/** The key stream of one direction of one connection. Its key depends on both nonces, so it is never reused. */
function cipher(key: Buffer, nonces: Buffer, direction: Side): Cipheriv {
  const own = createHmac('sha256', key).update(direction).update(nonces).digest()
  return createCipheriv('chacha20', own, Buffer.alloc(16))
}

class ProtectedConnection extends AbstractMultiaddrConnection {
  readonly #under: MultiaddrConnection
  readonly #outbound: Cipheriv
  readonly #counts: ProtectorCounts
  #received = true
  #silent = 0

  constructor(
    under: MultiaddrConnection,
    log: MessageStreamInit['log'],
    init: { outbound: Cipheriv; inbound: Cipheriv; first: Buffer | null; counts: ProtectorCounts },
  ) {
    super({ log, remoteAddr: under.remoteAddr, direction: under.direction })
    this.#under = under
    this.#outbound = init.outbound
    this.#counts = init.counts
    const { inbound, counts } = init
    if (init.first !== null) this.push(inbound.update(init.first))

    under.addEventListener('message', event => {
      this.#received = true
      const data = event.data
      counts.bytesReceived += data.byteLength
      if (data instanceof Uint8Array) this.onData(inbound.update(data))
      else for (const part of data) this.onData(inbound.update(part))
    })
    under.addEventListener('drain', () => this.onMuxerDrain())
    under.addEventListener('close', event => {
      if (event.error === undefined) this.onTransportClosed()
      else if (event.local) this.abort(event.error)
      else this.onRemoteReset()
    })
  }

  /** Calls since data last arrived. */
  silence(): number {
    this.#silent = this.#received ? 0 : this.#silent + 1
    this.#received = false
    return this.#silent
  }

  override async sendClose(options?: AbortOptions): Promise<void> {
    await this.#under.close(options)
  }

  override sendData(data: Parameters<AbstractMultiaddrConnection['sendData']>[0]): SendResult {
    this.#counts.bytesSent += data.byteLength
    return { sentBytes: data.byteLength, canSendMore: this.#under.send(this.#outbound.update(data.subarray())) }
  }

  override sendReset(error: Error): void {
    this.#under.abort(error)
  }

  override sendPause(): void {
    this.#under.pause()
  }

  override sendResume(): void {
    this.#under.resume()
  }
}
