// Requests to a running replica's admin API, for `skein routes`, `skein status` and `skein health`.

import type { HostPort } from '../options/kinds.ts'
import { httpRequest } from '../util/lean-imports.ts'
import { hostAndPort } from '../util/listen-address.ts'

export interface AdminResponse {
  readonly status: number
  readonly body: unknown
}

const MAX_BYTES = 64 * 1024 ** 2

/** GETs a path. Rejects with a readable message if there is no answer within `timeoutMs`, or it is not JSON or too large (64 MiB). */
export function fetchAdmin(address: HostPort, path: string, timeoutMs: number): Promise<AdminResponse> {
  // A wildcard address can be listened on, but not connected to.
  const host = address.host === '' || address.host === '0.0.0.0' ? '127.0.0.1' : address.host === '::' ? '::1' : address.host
  const where = hostAndPort(host, address.port)
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`the admin API at ${where} ${why}`))
    const signal = AbortSignal.timeout(timeoutMs)
    const request = httpRequest({ host, port: address.port, path, signal, agent: false }, response => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > MAX_BYTES) request.destroy(new Error('the answer is larger than 64 MiB'))
        else chunks.push(chunk)
      })
      response.on('error', error => fail(`closed the connection (${error.message})`))
      response.on('end', () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) })
        } catch {
          fail('does not answer with JSON: is it Skein?')
        }
      })
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (signal.aborted) fail(`does not answer within ${timeoutMs} ms`)
      else
        fail(
          error.code === 'ECONNREFUSED'
            ? 'refuses connections: does a replica run there?'
            : `cannot be reached (${error.message})`,
        )
    })
    request.end()
  })
}
