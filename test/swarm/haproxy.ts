// HAProxy in front of the edges, in the lab's outer namespace, configured to rely on health checks alone:
// every 2 s, three failures, no retry, no redispatch.

import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import { enterGroup, toolGroup } from './groups.ts'
import type { LoadEdge } from './load/generator.ts'
import type { Outside } from './load/outside.ts'
import { namespacePath } from './network.ts'
import { EDGES, GATEWAY, LAB_DIR, OUTER } from './topology.ts'

const PORT = 8088
const UP_MS = 30_000

function configOf(pingPath: string): string {
  return [
    'global',
    '  maxconn 4000',
    'defaults',
    '  mode http',
    '  timeout connect 5s',
    '  timeout client 60s',
    '  timeout server 60s',
    '  retries 0',
    'frontend clients',
    `  bind ${GATEWAY}:${PORT}`,
    '  default_backend edges',
    'backend edges',
    '  balance roundrobin',
    `  option httpchk GET ${pingPath}`,
    '  default-server inter 2s fall 3 rise 2',
    ...EDGES.map(({ name, address }) => `  server ${name} ${address}:80 check`),
    '',
  ].join('\n')
}

export class HaProxy {
  /** The address to which clients send. */
  readonly edge: LoadEdge = { name: 'haproxy', address: GATEWAY, port: PORT, leaving: false }
  private readonly child: ChildProcess

  private constructor(file: string) {
    const script = `${enterGroup(toolGroup())} && exec nsenter --net="$1" haproxy -db -f "$2"`
    this.child = spawn('sh', ['-c', script, 'sh', namespacePath(OUTER), file], { stdio: ['ignore', 'ignore', 'ignore'] })
  }

  /** Starts HAProxy; resolves when it answers for `host` through each edge in turn. @throws if haproxy is not installed */
  static async start(outside: Outside, pingPath: string, host: string): Promise<HaProxy> {
    const file = join(LAB_DIR, 'haproxy.cfg')
    writeFileSync(file, configOf(pingPath))
    const haproxy = new HaProxy(file)
    let right = 0
    await until(
      'HAProxy to answer',
      async () => {
        if (haproxy.child.exitCode !== null)
          throw new Error(`haproxy ended with code ${haproxy.child.exitCode}: is it installed?`)
        const { status } = await outside.probe({ address: GATEWAY, port: PORT, host, path: '/?nonce=0', timeoutMs: 2000 })
        right = status === 200 ? right + 1 : 0
        return right >= EDGES.length * 2
      },
      UP_MS,
      { everyMs: 100 },
    )
    return haproxy
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    await new Promise<void>(resolve => {
      this.child.once('exit', () => resolve())
      this.child.kill('SIGKILL')
    })
  }
}
