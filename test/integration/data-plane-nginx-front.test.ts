// nginx in front of an edge: by default it sends HTTP/1.0 to its upstreams, and it may cache responses (proxy_cache). It must never
// take an incomplete response for complete, or cache it. Needs nginx.

import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { Backend, Edge, get, sleep } from './harness.ts'
import { fieldOf, RawConnection } from './raw-connection.ts'
import { pairOf, stopAll, stopLater } from './relay-edges.ts'

const hasNginx = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'].some(
  directory => directory !== '' && globSync(`${directory}/nginx`).length > 0,
)

class Nginx {
  port = 0
  private readonly directory = mkdtempSync(join(tmpdir(), 'skein-nginx-'))
  private child: ChildProcess | null = null

  /** Listens, and caches each response with status 200 by its path. */
  static async before(edgePort: number): Promise<Nginx> {
    const nginx = new Nginx()
    await nginx.start(edgePort)
    return stopLater(nginx)
  }

  private async start(edgePort: number): Promise<void> {
    const { directory } = this
    this.port = await freePort()
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${directory}/${name};`)
    writeFileSync(
      join(directory, 'nginx.conf'),
      `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off; worker_processes 1; pid ${directory}/pid; error_log ${directory}/error.log;
events {}
http {
  ${temporary.join(' ')} access_log off;
  proxy_cache_path ${directory}/cache keys_zone=answers:1m;
  server {
    listen 127.0.0.1:${this.port};
    location / {
      proxy_pass http://127.0.0.1:${edgePort}; proxy_set_header Host app.test;
      proxy_cache answers; proxy_cache_valid 200 1h; add_header X-Cache $upstream_cache_status;
    }
  }
}
`,
    )
    this.child = spawn('nginx', ['-p', directory, '-e', `${directory}/error.log`, '-c', `${directory}/nginx.conf`], {
      stdio: 'inherit',
    })
    for (let left = 1000; left > 0; left--) {
      const client = await RawConnection.open(this.port).catch(() => null)
      if (client !== null) {
        client.destroy()
        return
      }
      await sleep(20)
    }
    throw new Error('nginx does not listen')
  }

  stop(): void {
    this.child?.once('exit', () => rmSync(this.directory, { recursive: true, force: true }))
    this.child?.kill('SIGTERM')
  }
}

test.after.each(stopAll)

const WAYS: readonly (readonly [string, (port: number) => Promise<{ from: Edge; to: Edge }>])[] = [
  [
    'directly',
    async port => {
      const edge = stopLater(await Edge.start({ app: { servers: [port] } }))
      return { from: edge, to: edge }
    },
  ],
  ['through a peer', port => pairOf([port])],
]

type Act = (around: { from: Edge; to: Edge; server: RawConnection }) => void
const CUTS: readonly (readonly [string, Act])[] = [
  ['the server resets', ({ server }) => void server.socket.resetAndDestroy()],
  ['the grace period ends', ({ from }) => destroyAll(from)],
  ['the replica that reaches the server is gone', ({ to }) => destroyAll(to)],
]

function destroyAll({ connections, peerConnections }: Edge): void {
  for (const connection of [...connections, ...peerConnections]) connection.destroy()
}

if (!hasNginx) console.log('left out: nginx in front of an edge (it needs nginx; on Debian: nginx-light)')
else {
  for (const [way, edges] of WAYS) {
    test(`${way}: nginx caches a complete response, and none that was cut off`, async () => {
      const cut = new Map<string, RawConnection>()
      const backend = stopLater(
        await Backend.raw(async connection => {
          const [, path = ''] = (await connection.takeThrough('\r\n\r\n')).split(' ')
          connection.write('HTTP/1.1 200 OK\r\n\r\nhalf')
          if (!cut.has(path)) cut.set(path, connection)
          else {
            connection.write(' and half')
            connection.socket.end()
          }
        }),
      )
      const around = await edges(backend.port)
      const nginx = await Nginx.before(around.from.port)
      const ask = async (path: string) => {
        const client = await RawConnection.open(nginx.port)
        client.write(get(path, 'Connection: close\r\n'))
        return client
      }
      for (const [what, act] of CUTS) {
        const path = `/${what.replaceAll(' ', '-')}`
        const first = await ask(path)
        await until('the server has the request', () => cut.has(path))
        // nginx sends nothing of a response that it may still cache: half of it is in transit to nginx.
        await sleep(100)
        act({ ...around, server: cut.get(path)! })
        await first.until(() => first.ended || first.closed, 'the end')
        const again = await (await ask(path)).takeMessage()
        assert.is(fieldOf(again.head, 'x-cache'), 'MISS', `${what}: a truncated response is not cached`)
        assert.is(again.body.toString(), 'half and half')
        const kept = await (await ask(path)).takeMessage()
        assert.is(fieldOf(kept.head, 'x-cache'), 'HIT', `${what}: a complete response is cached`)
        assert.is(kept.body.toString(), 'half and half')
      }
    })
  }
}

test.run()
