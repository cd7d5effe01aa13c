// Calls of the Docker Engine API over a node's unix socket, each with a time-out. It uses no library, so that a call that hangs is
// reported as such. Reference: https://docs.docker.com/reference/api/engine/

import { request } from 'node:http'
import { type CommandOptions, run } from './command.ts'
import type { LabNode } from './topology.ts'

/** An answer other than 2xx. */
export class DockerError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** One call; resolves with the answer's JSON, or with its text if it is not JSON. @throws DockerError, the socket's error, or after `timeoutMs` */
export function call<T>(node: LabNode, method: string, path: string, body?: unknown, timeoutMs = 5000): Promise<T> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body)
    const outgoing = request(
      {
        socketPath: node.socket,
        agent: false,
        method,
        path,
        headers: body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      },
      incoming => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          clearTimeout(timer)
          const answer = Buffer.concat(chunks).toString('utf8')
          const status = incoming.statusCode ?? 0
          if (status >= 300)
            reject(new DockerError(status, `${node.name}: ${method} ${path}: ${status} ${answer.trim().slice(0, 500)}`))
          else resolve((incoming.headers['content-type']?.includes('json') ? JSON.parse(answer) : answer) as T)
        })
      },
    )
    const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    outgoing.on('error', error => {
      clearTimeout(timer)
      reject(new Error(`${node.name}: ${method} ${path}: ${error.message}`))
    })
    outgoing.end(text)
  })
}

/** Runs the docker command against one node. */
export function docker(node: LabNode, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return run('docker', ['-H', `unix://${node.socket}`, ...args], { ...options, env: { DOCKER_BUILDKIT: '0', ...options.env } })
}

/** Whether the node's daemon answers. */
export async function answers(node: LabNode, timeoutMs = 1000): Promise<boolean> {
  return call(node, 'GET', '/_ping', undefined, timeoutMs).then(
    () => true,
    () => false,
  )
}
