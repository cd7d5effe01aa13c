// Active health checks against real servers on loopback: results, one report per change, new configurations, clean-up.

import { once } from 'node:events'
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HealthCheck, Server, Service } from '../../../../src/config/model.ts'
import { createHealthChecker, type HealthChecker } from '../../../../src/control/health/active-check.ts'
import { startStoppable } from '../../../integration/stoppable.ts'
import { until } from '../../../until.ts'

const CHECK: HealthCheck = {
  path: '/health',
  port: null,
  scheme: null,
  hostname: null,
  intervalMs: 20,
  timeoutMs: 20_000,
  headers: {},
}

interface Backend {
  readonly port: number
  readonly seen: IncomingMessage[]
  answer: (request: IncomingMessage, response: ServerResponse) => void
  connections: number
  readonly http: HttpServer
}

async function backend(): Promise<Backend> {
  const http = createServer((request, response) => {
    self.seen.push(request)
    self.answer(request, response)
  })
  http.on('connection', () => self.connections++)
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const port = (http.address() as AddressInfo).port
  const self: Backend = { port, seen: [], connections: 0, http, answer: (_, response) => response.end('ok') }
  return self
}

function server(id: string, port: number, state: 'active' | 'draining' = 'active'): Server {
  return { id, scheme: 'http', host: '127.0.0.1', port, weight: 1, state, node: '' }
}

function service(name: string, servers: readonly Server[], check: HealthCheck | null = CHECK): Service {
  return {
    name,
    servers,
    balancer: 'wrr',
    sticky: null,
    learn: null,
    breaker: null,
    outliers: { errors: 0 },
    healthCheck: check,
    maxConn: null,
    timeouts: { responseHeaderMs: null, stallMs: null },
    provider: 'test',
    source: name,
  }
}

interface Rig {
  readonly checker: HealthChecker
  readonly reports: string[]
  readonly logged: string[]
}

async function withRig(run: (rig: Rig, backend: Backend) => Promise<void>): Promise<void> {
  const reports: string[] = []
  const logged: string[] = []
  const log = {
    info: (_: object, text: string) => void logged.push(text),
    warn: (_: object, text: string) => void logged.push(text),
  }
  const checker = createHealthChecker(
    (name, id, healthy, why) => void reports.push(`${name}/${id} ${healthy} ${why}`),
    log,
    () => 0,
  )
  const target = await backend()
  try {
    await run({ checker, reports, logged }, target)
  } finally {
    await checker.stop()
    target.http.closeAllConnections()
    target.http.close()
  }
}

test('a healthy server is never reported; the request is as configured', () =>
  withRig(async ({ checker, reports }, target) => {
    const check = { ...CHECK, path: '/up?deep=1', hostname: 'shop.test', headers: { 'X-Probe': 'yes', 'User-Agent': 'mine' } }
    checker.apply([service('shop', [server('a', target.port)], check)])
    await until('three checks', () => target.seen.length >= 3)
    const { url, method, headers } = target.seen[0]!
    assert.equal(
      [url, method, headers.host, headers['x-probe'], headers['user-agent']],
      ['/up?deep=1', 'GET', 'shop.test', 'yes', 'mine'],
    )
    assert.ok(target.connections >= 2, 'each check is a connection of its own')
    assert.equal(reports, [])
  }))

test('3xx is healthy and not followed; 4xx and 5xx are not', () =>
  withRig(async ({ checker, reports, logged }, target) => {
    target.answer = (_, response) => response.writeHead(302, { location: '/elsewhere' }).end()
    checker.apply([service('shop', [server('a', target.port)])])
    await until('two checks', () => target.seen.length >= 2)
    assert.equal(reports, [])
    assert.ok(target.seen.every(request => request.url === '/health'))
    target.answer = (_, response) => response.writeHead(404).end()
    await until('unhealthy', () => reports.length === 1)
    assert.equal(reports, ['shop/a false answered 404'])
    const asked = target.seen.length
    target.answer = (_, response) => response.writeHead(503).end()
    await until('more checks', () => target.seen.length >= asked + 3)
    target.answer = (_, response) => response.end()
    await until('healthy', () => reports.length === 2)
    assert.equal(reports, ['shop/a false answered 404', 'shop/a true answered'])
    assert.is(logged.length, 2, 'changes are logged once')
  }))

test('a refused connection, no answer and an endless answer fail the check', () =>
  withRig(async ({ checker, reports }, target) => {
    const closed = await backend()
    const refused = closed.port
    closed.http.close()
    await once(closed.http, 'close')
    let written = 0
    target.answer = (request, response) => {
      if (request.url === '/silent') return
      response.on('error', () => undefined)
      const pour = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536))) written++
      }
      response.on('drain', pour)
      pour()
    }
    checker.apply([
      service('refused', [server('a', refused)]),
      service('silent', [server('a', target.port)], { ...CHECK, path: '/silent', timeoutMs: 60 }),
      service('endless', [server('a', target.port)], { ...CHECK, path: '/endless', intervalMs: 400 }),
    ])
    await until('two verdicts', () => reports.length === 2)
    reports.sort()
    assert.match(reports[0]!, /^refused\/a false .*ECONNREFUSED/)
    assert.is(reports[1], 'silent/a false no answer within 60 ms')
    assert.ok(written < 1000, `${written} blocks of 64 KiB were read`)
  }))

test('an unchanged check keeps its result and timer; a changed one restarts; a removed one ends', () =>
  withRig(async ({ checker, reports }, target) => {
    target.answer = (_, response) => response.writeHead(500).end()
    checker.apply([service('shop', [server('a', target.port)])])
    await until('unhealthy', () => reports.length === 1)
    checker.apply([service('shop', [{ ...server('a', target.port), weight: 9 }])])
    assert.is(reports.length, 1, 'still unhealthy after an apply that changes nothing of the check')
    checker.apply([service('shop', [server('a', target.port)], { ...CHECK, path: '/other' })])
    assert.is(reports[1], 'shop/a true the check has changed')
    await until('unhealthy again', () => reports.length === 3)
    checker.apply([service('shop', [server('a', target.port)], null)])
    assert.is(reports[3], 'shop/a true no longer checked')
    checker.apply([])
    await new Promise(resolve => setTimeout(resolve, 50))
    const asked = target.seen.length
    await new Promise(resolve => setTimeout(resolve, 80))
    assert.is(target.seen.length, asked, 'nobody asks any more')
    assert.is(reports.length, 4, 'nothing is said of what is gone')
  }))

test("draining servers are not checked; the check's own port and scheme are used", () =>
  withRig(async ({ checker, reports }, target) => {
    const check = { ...CHECK, port: target.port, scheme: 'http' as const }
    checker.apply([service('shop', [{ ...server('a', 1), scheme: 'https' }, server('b', 1, 'draining')], check)])
    await until('a check', () => target.seen.length >= 2)
    assert.equal(reports, [])
  }))

test('a header that cannot be sent fails the check', () =>
  withRig(async ({ checker, reports }, target) => {
    checker.apply([service('shop', [server('a', target.port)], { ...CHECK, headers: { 'x-a': 'b\r\nc: d' } })])
    await until('a verdict', () => reports.length === 1)
    assert.match(reports[0]!, /^shop\/a false /)
    assert.is(target.seen.length, 0)
  }))

test('hundreds of servers are checked, at most 128 at once', () =>
  withRig(async ({ checker }, target) => {
    let open = 0
    let most = 0
    const ids = new Set<string>()
    target.answer = (request, response) => {
      most = Math.max(most, ++open)
      ids.add(String(request.headers['x-id']))
      setTimeout(() => {
        open--
        response.end()
      }, 30)
    }
    const services = Array.from({ length: 300 }, (_, i) =>
      service(`s${i}`, [server('a', target.port)], { ...CHECK, intervalMs: 60_000, headers: { 'x-id': `${i}` } }),
    )
    checker.apply(services)
    await until('all of them', () => ids.size === 300)
    assert.ok(most <= 128, `${most} at once`)
  }))

test('an unreachable server is distinguished from one that refuses or answers badly', async () => {
  const reports: string[] = []
  const quiet = { info() {}, warn() {} }
  const checker = createHealthChecker(
    (_, id, healthy, _why, unreachable) => void reports.push(`${id} ${healthy} ${unreachable}`),
    quiet,
  )
  const bad = await backend()
  bad.answer = (_, response) => {
    response.statusCode = 500
    response.end()
  }
  const closed = await backend()
  closed.http.close()
  // The broadcast address of the loopback network: connect fails with ENETUNREACH.
  const nowhere = { ...server('nowhere', 1), host: '127.255.255.255' }
  checker.apply([service('app', [nowhere, server('bad', bad.port), server('closed', closed.port)])])
  const end = performance.now() + 30_000
  while (reports.length < 3 && performance.now() < end) await new Promise(resolve => setTimeout(resolve, 10))
  await checker.stop()
  bad.http.closeAllConnections()
  bad.http.close()
  assert.equal(reports.sort(), ['bad false false', 'closed false false', 'nowhere false true'])
})

test('a timeout shorter than a connect: an unreachable machine is distinguished from a hanging server', async () => {
  const gone = await startStoppable()
  const hangs = await backend()
  hangs.answer = () => {}
  gone.freeze()
  await gone.fill()
  const reports: string[] = []
  const checker = createHealthChecker(
    (_, id, healthy, _why, unreachable) => void reports.push(`${id} ${healthy} ${unreachable}`),
    { info() {}, warn() {} },
  )
  try {
    checker.apply([service('s', [server('gone', gone.port), server('hangs', hangs.port)], { ...CHECK, timeoutMs: 200 })])
    await until('both are told', () => reports.length === 2)
    assert.equal(reports.sort(), ['gone false true', 'hangs false false'])
  } finally {
    await checker.stop()
    gone.stop()
    hangs.http.closeAllConnections()
    hangs.http.close()
  }
})

test('an answer that arrives while this thread is blocked is not a timeout', async () => {
  const backend = new Worker(
    `const { createServer } = require('node:http')
    const { parentPort } = require('node:worker_threads')
    const server = createServer((_, response) => {
      parentPort.postMessage('asked')
      setTimeout(() => response.end('ok'), 50)
    })
    server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`,
    { eval: true },
  )
  const [port] = (await once(backend, 'message')) as [number]
  const reports: string[] = []
  const quiet = { info() {}, warn() {} }
  const checker = createHealthChecker((_, id, healthy, why) => void reports.push(`${id} ${healthy} ${why}`), quiet)
  try {
    checker.apply([service('app', [server('a', port)], { ...CHECK, timeoutMs: 300 })])
    for (let i = 0; i < 3; i++) {
      await once(backend, 'message')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700)
    }
    assert.equal(reports, [])
  } finally {
    await checker.stop()
    await backend.terminate()
  }
})

test.run()
