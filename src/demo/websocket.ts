// A minimal WebSocket server for the samples: handshake, text frames, ping and close (RFC 6455). No extensions, no fragments,
// frames of at most 64 KiB; other frames close the connection with the code that the RFC names.

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const frameLimitBytes = 65_535

export interface WebSocketPeer {
  send(text: string): void
  close(code: number): void
}

export interface WebSocketHandlers {
  message(text: string): void
  closed(): void
}

/**
 * Completes the handshake and serves WebSocket on the socket from then on; sends 400 and returns null if the request is not a valid
 * handshake.
 */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  handlersFor: (peer: WebSocketPeer) => WebSocketHandlers,
): WebSocketPeer | null {
  const key = request.headers['sec-websocket-key']
  if (request.headers.upgrade?.toLowerCase() !== 'websocket' || key === undefined) {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    return null
  }
  const accept = createHash('sha1').update(`${key}${magic}`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  let pending = head
  let open = true
  const peer: WebSocketPeer = {
    send: text => open && socket.write(encodeFrame(0x1, Buffer.from(text))),
    close(code) {
      if (!open) return
      open = false
      const body = Buffer.alloc(2)
      body.writeUInt16BE(code)
      socket.end(encodeFrame(0x8, body))
    },
  }
  const handlers = handlersFor(peer)
  const read = (chunk: Buffer): void => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    while (open) {
      const frame = decodeFrame(pending)
      if (frame === null) return
      if (frame === 'refused') {
        peer.close(1002)
        return
      }
      pending = pending.subarray(frame.length)
      if (frame.opcode === 0x1) handlers.message(frame.payload.toString('utf8'))
      else if (frame.opcode === 0x8) peer.close(1000)
      else if (frame.opcode === 0x9) socket.write(encodeFrame(0xa, frame.payload))
      else if (frame.opcode !== 0xa) peer.close(1003)
    }
  }
  socket.on('data', read)
  socket.on('error', () => {})
  socket.on('close', () => {
    open = false
    handlers.closed()
  })
  if (pending.length > 0) read(Buffer.alloc(0))
  return peer
}

/** Decodes a frame at the start of the bytes; null if more bytes are needed. A client's frames must be masked. */
export function decodeFrame(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | null | 'refused' {
  if (bytes.length < 2) return null
  const first = bytes.readUInt8(0)
  const second = bytes.readUInt8(1)
  const final = (first & 0x80) !== 0
  const masked = (second & 0x80) !== 0
  const short = second & 0x7f
  if (!final || !masked || (first & 0x70) !== 0 || short === 127) return 'refused'
  const headLength = short === 126 ? 8 : 6
  if (bytes.length < headLength) return null
  const size = short === 126 ? bytes.readUInt16BE(2) : short
  if (bytes.length < headLength + size) return null
  const mask = bytes.subarray(headLength - 4, headLength)
  const payload = Buffer.from(bytes.subarray(headLength, headLength + size))
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i % 4] ?? 0)
  return { opcode: first & 0x0f, payload, length: headLength + size }
}

/** Encodes an unmasked frame, as servers send. Payloads beyond 64 KiB are truncated. */
export function encodeFrame(opcode: number, payload: Buffer): Buffer {
  const body = payload.subarray(0, frameLimitBytes)
  const head =
    body.length < 126
      ? Buffer.from([0x80 | opcode, body.length])
      : Buffer.from([0x80 | opcode, 126, body.length >> 8, body.length & 0xff])
  return Buffer.concat([head, body])
}
