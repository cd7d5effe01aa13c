// The private network: everything between members, the first byte of a handshake included, is encrypted with a key derived from
// the cluster secret, so that without it nobody can join, listen, or even tell what is spoken. Inside is libp2p's noise, which
// authenticates the members. The dialling side uses its first secret; the accepting side finds out which of its secrets makes
// sense of the first bytes, so that a secret can be changed while the cluster runs.
//
// It does what @libp2p/pnet does, but with a cipher of OpenSSL: pnet 3 never gives back the slots that its WebAssembly cipher
// takes for each connection, so that a few thousand connects, from anybody who reaches the port, end it (libp2p/js-libp2p#3585).

import { type Cipheriv, createCipheriv, createHmac, randomBytes } from 'node:crypto'
import type { AbortOptions, ConnectionProtector, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMultiaddrConnection, byteStream, type MessageStreamInit, type SendResult } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'

const NONCE_BYTES = 24
/** What a dialler says first, inside: the header of multistream-select with its length. */
const GREETING = Buffer.from('\x13/multistream/1.0.0\n', 'latin1')

export interface ProtectorEvents {
  /** An inbound connection's first bytes make sense under none of the keys. */
  stranger(address: Multiaddr): void
}

export interface ProtectorCounts {
  bytesSent: number
  bytesReceived: number
  /** Inbound connections that fit no key. */
  strangers: number
}

export interface NetworkProtector extends ConnectionProtector {
  readonly counts: ProtectorCounts
  /**
   * To be called once a second: closes connections on which nothing has come for `seconds` calls. A stall of this process itself
   * counts once.
   */
  closeSilent(seconds: number): void
}

/** @param keys of 32 bytes each, at least one; the first is used towards others, all are accepted */
export function networkProtector(keys: readonly Buffer[], events: ProtectorEvents): NetworkProtector {
  const counts: ProtectorCounts = { bytesSent: 0, bytesReceived: 0, strangers: 0 }
  const open = new Set<ProtectedConnection>()

  async function protect(connection: MultiaddrConnection, options?: AbortOptions): Promise<MultiaddrConnection> {
    const dialling = connection.direction === 'outbound'
    const mine = randomBytes(NONCE_BYTES)
    const bytes = byteStream(connection)
    const [answer] = await Promise.all([bytes.read({ bytes: NONCE_BYTES, ...options }), bytes.write(mine, options)])
    const theirs = Buffer.from(answer.subarray())
    const nonces = dialling ? Buffer.concat([mine, theirs]) : Buffer.concat([theirs, mine])

    let key = keys[0]!
    let greeting: Buffer | null = null
    if (!dialling) {
      const encrypted = Buffer.from((await bytes.read({ bytes: GREETING.length, ...options })).subarray())
      const fitting = keys.find(each => cipher(each, nonces, 'dialler').update(encrypted).equals(GREETING))
      if (fitting === undefined) {
        counts.strangers++
        events.stranger(connection.remoteAddr)
        const reason = new Error('it does not hold the cluster secret')
        connection.abort(reason)
        throw reason
      }
      key = fitting
      greeting = encrypted
    }
    const box = new ProtectedConnection(bytes.unwrap(), connection.log.newScope('private'), {
      outbound: cipher(key, nonces, dialling ? 'dialler' : 'listener'),
      inbound: cipher(key, nonces, dialling ? 'listener' : 'dialler'),
      greeting,
      counts,
    })
    open.add(box)
    box.addEventListener('close', () => open.delete(box))
    return box
  }

  return {
    [Symbol.toStringTag]: 'skein-private-network',
    counts,
    protect,
    closeSilent(seconds) {
      for (const box of open) if (box.silence() >= seconds) box.abort(new Error(`silent for ${seconds} s`))
    },
  } as NetworkProtector
}

/** The key stream of one direction of one connection: never used twice, for both ends' nonces are in its key. */
function cipher(key: Buffer, nonces: Buffer, direction: 'dialler' | 'listener'): Cipheriv {
  const own = createHmac('sha256', key).update(direction).update(nonces).digest()
  return createCipheriv('chacha20', own, Buffer.alloc(16))
}

class ProtectedConnection extends AbstractMultiaddrConnection {
  readonly #under: MultiaddrConnection
  readonly #outbound: Cipheriv
  readonly #counts: ProtectorCounts
  #heard = true
  #silent = 0

  constructor(
    under: MultiaddrConnection,
    log: MessageStreamInit['log'],
    init: { outbound: Cipheriv; inbound: Cipheriv; greeting: Buffer | null; counts: ProtectorCounts },
  ) {
    super({ log, remoteAddr: under.remoteAddr, direction: under.direction })
    this.#under = under
    this.#outbound = init.outbound
    this.#counts = init.counts
    const { inbound, counts } = init
    if (init.greeting !== null) this.push(inbound.update(init.greeting))

    under.addEventListener('message', event => {
      this.#heard = true
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

  /** Calls since the last byte came. */
  silence(): number {
    this.#silent = this.#heard ? 0 : this.#silent + 1
    this.#heard = false
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
