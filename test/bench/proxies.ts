// The compared proxies, each with the same job: route by host, balance over the servers, keep upstream connections alive, set the
// forwarded headers; no access log, one worker or thread if that can be configured.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Case, hostOf, serverHosts } from './cases.ts'
import { startNginx } from './nginx.ts'
import { type Started, start } from './processes.ts'

export interface Setup {
  readonly directory: string
  /** The port of the proxy on 127.0.0.1. */
  readonly port: number
  readonly backendPort: number
  readonly shape: Case
  /** The port of the fake Docker API, from which Skein reads its configuration. */
  readonly dockerPort: number
  /** The entry of Skein: src/main.ts, or main.js of a build. */
  readonly skein: string
  /** The directory for Skein's CPU profile, or null. */
  readonly profile: string | null
}

export interface Contender {
  readonly name: string
  readonly command: string
  readonly versionArgs: readonly string[]
  start(setup: Setup): Started
}

/** Skein's sources. A build (`npm run build`), as in the image, uses less memory. */
const SOURCES = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** The build, as in the image and the package. */
export const BUILT = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

/** Builds Skein. Throws if the sources do not compile. */
export function buildSkein(): void {
  execFileSync(process.execPath, [fileURLToPath(new URL('../../deploy/build.ts', import.meta.url))], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

export const PROXIES: readonly Contender[] = [
  { name: 'skein', command: process.execPath, versionArgs: [SOURCES, 'version'], start: startSkein },
  { name: 'nginx', command: 'nginx', versionArgs: ['-v'], start: s => startNginx(s.directory, s.port, s.backendPort, s.shape) },
  { name: 'haproxy', command: 'haproxy', versionArgs: ['-v'], start: startHaproxy },
  { name: 'caddy', command: 'caddy', versionArgs: ['version'], start: startCaddy },
  { name: 'traefik', command: 'traefik', versionArgs: ['version'], start: startTraefik },
]

/** Whether the proxy can be started here. */
export function isInstalled({ name, command }: Contender): boolean {
  if (name === 'skein') return existsSync(SOURCES)
  return (process.env.PATH ?? '').split(delimiter).some(directory => existsSync(join(directory, command)))
}

/** The first line of the proxy's version output. */
export function version({ command, versionArgs }: Contender): string {
  try {
    return execFileSync('sh', ['-c', 'exec "$0" "$@" 2>&1', command, ...versionArgs], { encoding: 'utf8', timeout: 10_000 })
      .trim()
      .split('\n')[0]!
      .slice(0, 60)
  } catch {
    return 'unknown version'
  }
}

function indexes(shape: Case): number[] {
  return Array.from({ length: shape.services }, (_, i) => i)
}

function startSkein({ directory, port, dockerPort, skein, profile }: Setup): Started {
  const profiler = profile === null ? [] : ['--cpu-prof', '--cpu-prof-interval', '500', '--cpu-prof-dir', profile]
  const options = [
    '--manager',
    `tcp://127.0.0.1:${dockerPort}`,
    '--entry-point',
    `web=127.0.0.1:${port}`,
    '--domain',
    'bench.test',
    '--workers',
    '1',
  ]
  return start(process.execPath, [...profiler, skein, 'run', ...options], join(directory, 'proxy-skein.log'), {
    NODE_ENV: 'production',
  })
}

function startHaproxy({ directory, port, backendPort, shape }: Setup): Started {
  const map = join(directory, 'haproxy.map')
  writeFileSync(
    map,
    indexes(shape)
      .map(i => `${hostOf(i)} u${i}\n`)
      .join(''),
  )
  const backends = indexes(shape).map(i => {
    const servers = serverHosts(shape.serversEach).map((host, n) => `  server s${n} ${host}:${backendPort}`)
    return [`backend u${i}`, ...servers].join('\n')
  })
  const file = join(directory, 'haproxy.cfg')
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  balance roundrobin
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 120s
  timeout server 60s
  timeout http-keep-alive 120s
frontend web
  bind 127.0.0.1:${port} backlog 4096
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Server %[hostname]
  http-request set-header X-Real-Ip %[src]
  use_backend %[req.hdr(host),field(1,:),lower,map(${map})]
${backends.join('\n')}
`,
  )
  return start('haproxy', ['-db', '-f', file], join(directory, 'proxy-haproxy.log'))
}

function startCaddy({ directory, port, backendPort, shape }: Setup): Started {
  const sites = indexes(shape).map(i => {
    const servers = serverHosts(shape.serversEach).map(host => `${host}:${backendPort}`)
    return `http://${hostOf(i)}:${port} {
  bind 127.0.0.1
  reverse_proxy ${servers.join(' ')} {
    lb_policy round_robin
    header_up X-Forwarded-Port {http.request.port}
    header_up X-Forwarded-Server {system.hostname}
    header_up X-Real-Ip {http.request.remote.host}
    transport http {
      compression off
      keepalive 60s
      keepalive_idle_conns_per_host 128
    }
  }
}`
  })
  const file = join(directory, 'Caddyfile')
  writeFileSync(file, `{\n  admin off\n  auto_https off\n}\n${sites.join('\n')}\n`)
  mkdirSync(join(directory, 'caddy'), { recursive: true })
  const home = join(directory, 'caddy')
  return start('caddy', ['run', '--adapter', 'caddyfile', '--config', file], join(directory, 'proxy-caddy.log'), {
    GOMAXPROCS: '1',
    HOME: home,
    XDG_DATA_HOME: home,
    XDG_CONFIG_HOME: home,
  })
}

function startTraefik({ directory, port, backendPort, shape }: Setup): Started {
  const routers = indexes(shape).map(i => `    r${i}: { rule: "Host(\`${hostOf(i)}\`)", service: u${i}, entryPoints: [web] }`)
  const services = indexes(shape).map(i => {
    const servers = serverHosts(shape.serversEach).map(host => `{ url: "http://${host}:${backendPort}" }`)
    return `    u${i}: { loadBalancer: { serversTransport: keep, servers: [${servers.join(', ')}] } }`
  })
  const file = join(directory, 'traefik.yml')
  const transport = '  serversTransports:\n    keep: { maxIdleConnsPerHost: 128 }'
  writeFileSync(file, `http:\n  routers:\n${routers.join('\n')}\n  services:\n${services.join('\n')}\n${transport}\n`)
  const args = [
    `--entrypoints.web.address=127.0.0.1:${port}`,
    `--providers.file.filename=${file}`,
    '--providers.file.watch=false',
    '--log.level=ERROR',
    '--global.checknewversion=false',
    '--global.sendanonymoususage=false',
  ]
  return start('traefik', args, join(directory, 'proxy-traefik.log'), { GOMAXPROCS: '1' })
}
