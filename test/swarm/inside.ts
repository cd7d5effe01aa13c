// A helper process inside a container's network with a channel to its parent, for frequent polls of a replica's admin API. It uses
// the container's process, so it works while the node's Docker daemon is dead.

import { type ChildProcess, spawn } from 'node:child_process'
import { get } from 'node:http'
import { enterGroup, toolGroup } from './groups.ts'

/** Starts `file` with this Node in the network of the process `pid`, in the lab's control group. */
export function spawnInside(pid: number, file: string, args: readonly string[] = []): ChildProcess {
  const script = `${enterGroup(toolGroup())} && net="$1" && shift && exec nsenter --net="$net" "$@"`
  return spawn('sh', ['-c', script, 'sh', `/proc/${pid}/ns/net`, process.execPath, file, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
}

/** For the helper: a page of the admin API, or null without a valid answer within `timeoutMs`. */
export function adminPage<T>(path: string, timeoutMs: number): Promise<T | null> {
  return new Promise(resolve => {
    const outgoing = get(`http://127.0.0.1:9000${path}`, { signal: AbortSignal.timeout(timeoutMs) }, incoming => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
      })
      incoming.on('error', () => resolve(null))
      incoming.on('end', () => resolve(incoming.statusCode === 200 ? (JSON.parse(text) as T) : null))
    })
    outgoing.on('error', () => resolve(null))
  })
}
