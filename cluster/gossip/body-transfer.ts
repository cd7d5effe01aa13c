// Transfer of whole bodies over a stream of its own. The request is a hash; the response is a status, two lengths and the body
// compressed with zstd. Both sides bound the bytes (compressed and decompressed), the time without progress, and the number of
// concurrent transfers.

import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import { LIMITS } from '../core/state.ts'

export const BODY_PROTOCOL = '/skein/1/body'

/** A pull fails after this time without a byte, ms. */
export const STALL_MS = 5_000
const PULL_TIMEOUT_MS = 60_000
const HASH_BYTES = 64
/** Status, compressed length, decompressed length. */
const HEAD_BYTES = 9
const FOUND = 1
const NOT_FOUND = 2
const BUSY = 3
const CHUNK_BYTES = 64 * 1024
const MAX_CONCURRENT = 8
const MAX_WAITING = 256
/** A member may pull the configuration, shared state and secret state at once. */
const MAX_PER_PEER = 3

const pack = promisify(zstdCompress)
const unpack = promisify(zstdDecompress)

export interface BodyServer {
  /** Answers the request on this stream. Never rejects. */
  serve(peer: string, stream: Stream): Promise<void>
}

/** @param bodyOf returns the body with this hash, or null */
export function bodyServer(bodyOf: (hash: string) => string | null): BodyServer {
  const waiting: (() => void)[] = []
  const transfersByPeer = new Map<string, number>()
  let serving = 0
  /** The body requested last. All members request the same one, so it is compressed once. */
  let packed: { hash: string; packed: Promise<Buffer>; size: number } | null = null

  function packedBody(hash: string): { packed: Promise<Buffer>; size: number } | null {
    const body = bodyOf(hash)
    if (body === null) return null
    if (packed?.hash !== hash) {
      const bytes = Buffer.from(body, 'utf8')
      const job = pack(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
      packed = { hash, packed: job, size: bytes.length }
      job.catch(() => {
        if (packed?.packed === job) packed = null
      })
    }
    return packed
  }

  async function answer(stream: Stream): Promise<void> {
    const request = Buffer.from(await readExactly(stream, HASH_BYTES)).toString('latin1')
    const found = /^[0-9a-f]{64}$/.test(request) ? packedBody(request) : null
    if (found === null) {
      stream.send(head(NOT_FOUND, 0, 0))
      return
    }
    const bytes = await found.packed
    stream.send(head(FOUND, bytes.length, found.size))
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      if (!stream.send(bytes.subarray(at, at + CHUNK_BYTES))) await stream.onDrain({ signal: AbortSignal.timeout(STALL_MS) })
    }
  }

  return {
    async serve(peer, stream) {
      const transfers = transfersByPeer.get(peer) ?? 0
      try {
        if (transfers >= MAX_PER_PEER || waiting.length >= MAX_WAITING) {
          stream.send(head(BUSY, 0, 0))
          await stream.close({ signal: AbortSignal.timeout(STALL_MS) })
          return
        }
      } catch (error) {
        stream.abort(error as Error)
        return
      }
      transfersByPeer.set(peer, transfers + 1)
      if (serving >= MAX_CONCURRENT) await new Promise<void>(resolve => waiting.push(resolve))
      serving++
      try {
        await answer(stream)
        await stream.close({ signal: AbortSignal.timeout(STALL_MS) })
      } catch (error) {
        stream.abort(error as Error)
      } finally {
        serving--
        waiting.shift()?.()
        const left = (transfersByPeer.get(peer) ?? 1) - 1
        if (left > 0) transfersByPeer.set(peer, left)
        else transfersByPeer.delete(peer)
      }
    },
  }
}

/** Requests a body on a new stream. @throws Error with a readable reason */
export async function pullBody(stream: Stream, hash: string): Promise<string> {
  try {
    if (!/^[0-9a-f]{64}$/.test(hash)) throw new Error('the hash is not a SHA-256 in hex')
    const reading = readAnswer(stream)
    // Handled below; this avoids an unhandled rejection when sending the request fails.
    reading.catch(() => undefined)
    stream.send(Buffer.from(hash, 'latin1'))
    const { bytes, size } = await reading
    const body = await unpack(bytes, { maxOutputLength: Math.max(1, size) })
    if (body.length !== size) throw new Error(`it has ${body.length} bytes where ${size} were announced`)
    if (createHash('sha256').update(body).digest('hex') !== hash) throw new Error('its content does not match its hash')
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch (error) {
    stream.abort(error as Error)
    throw error
  } finally {
    if (stream.status === 'open')
      void stream.close({ signal: AbortSignal.timeout(STALL_MS) }).catch(() => stream.abort(new Error('over')))
  }
}

function head(state: number, packed: number, size: number): Uint8Array {
  const bytes = Buffer.alloc(HEAD_BYTES)
  bytes.writeUInt8(state, 0)
  bytes.writeUInt32BE(packed, 1)
  bytes.writeUInt32BE(size, 5)
  return bytes
}

async function readAnswer(stream: Stream): Promise<{ bytes: Uint8Array; size: number }> {
  let wanted = HEAD_BYTES
  let size = 0
  const bytes = await readUntil(stream, buffered => {
    if (wanted === HEAD_BYTES && buffered.length >= HEAD_BYTES) {
      const received = buffered.first(HEAD_BYTES)
      const state = received.readUInt8(0)
      if (state === NOT_FOUND) throw new Error('the member no longer holds it')
      if (state === BUSY) throw new Error('the member is busy with other transfers')
      if (state !== FOUND) throw new Error(`unknown response status ${state}`)
      size = received.readUInt32BE(5)
      const packed = received.readUInt32BE(1)
      if (size > LIMITS.body || packed > LIMITS.body)
        throw new Error(`a body of ${size} bytes; at most ${LIMITS.body} are allowed`)
      wanted = HEAD_BYTES + packed
    }
    if (buffered.length > wanted) throw new Error('more bytes than announced')
    return wanted > HEAD_BYTES && buffered.length === wanted
  })
  return { bytes: bytes.subarray(HEAD_BYTES), size }
}

function readExactly(stream: Stream, count: number): Promise<Uint8Array> {
  return readUntil(stream, buffered => {
    if (buffered.length > count) throw new Error('more bytes than a request contains')
    return buffered.length === count
  })
}

interface Buffered {
  readonly length: number
  first(count: number): Buffer
}

/** Collects data until `enough` returns true. Rejects on a stall, at the end of the stream, or with an error of `enough`. */
function readUntil(stream: Stream, enough: (buffered: Buffered) => boolean): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const buffered = { length: 0, first: (count: number) => Buffer.concat(chunks.slice()).subarray(0, count) }
    const fail = (reason: string): void => done(() => reject(new Error(reason)))
    const whole = setTimeout(() => fail(`it took more than ${PULL_TIMEOUT_MS / 1000} s`), PULL_TIMEOUT_MS)
    const stall = setTimeout(() => fail(`no byte arrived for ${STALL_MS / 1000} s`), STALL_MS)
    const onMessage = ({ data }: StreamMessageEvent): void => {
      stall.refresh()
      const chunk = Buffer.from(data instanceof Uint8Array ? data : data.subarray())
      chunks.push(chunk)
      buffered.length += chunk.length
      try {
        if (enough(buffered)) done(() => resolve(Buffer.concat(chunks)))
      } catch (error) {
        done(() => reject(error))
      }
    }
    const onEnd = (): void => fail('the stream ended before it was complete')
    function done(settle: () => void): void {
      clearTimeout(whole)
      clearTimeout(stall)
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('remoteCloseWrite', onEnd)
      stream.removeEventListener('close', onEnd)
      settle()
    }
    stream.addEventListener('message', onMessage)
    stream.addEventListener('remoteCloseWrite', onEnd)
    stream.addEventListener('close', onEnd)
  })
}
