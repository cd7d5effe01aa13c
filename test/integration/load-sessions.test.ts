// The session scenarios rely on their clients: they must detect every change of task, keep cookies as a browser does, and count
// separately only the answers that a breaker scenario expects.

import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answer } from '../swarm/backend/answer.ts'
import { App } from '../swarm/backend/app.ts'
import { LoadGenerator, type LoadPlan, type LoadReport } from '../swarm/load/generator.ts'
import { SESSION_HEADER, type SessionGroup } from '../swarm/load/sessions.ts'

interface Stage {
  readonly port: number
  close(): Promise<void>
}

/** An edge with its backend. `task` returns the host that answers; null: a refusal. */
async function edge(task: (request: IncomingMessage) => string | null, app: App | null = null): Promise<Stage> {
  const server: Server = createServer((request, response) => {
    const host = task(request)
    if (host === null) {
      response.writeHead(503, { 'retry-after': '3' }).end('no')
      return
    }
    const made = app?.session(request) ?? { session: null, setCookie: null }
    const body = JSON.stringify({ ...JSON.parse(answer('tested', request, Buffer.alloc(0), made.session)), host })
    const status = Number(request.headers['x-status'] ?? 200)
    if (made.setCookie !== null) response.setHeader('set-cookie', made.setCookie)
    else if (app === null) response.setHeader('set-cookie', [`sticky=${host}; Path=/`, 'other=1'])
    response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise(done => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}

const group = (more: Partial<SessionGroup> = {}): SessionGroup => ({
  service: 'tested',
  host: 'tested',
  by: 'cookie',
  count: 20,
  ...more,
})

interface Run {
  readonly report: LoadReport
  readonly generator: LoadGenerator
}

async function load(
  stages: readonly Stage[],
  plan: Partial<LoadPlan>,
  ms = 2800,
  during: (generator: LoadGenerator) => Promise<void> = async () => {},
): Promise<Run> {
  const generator = new LoadGenerator({
    edges: stages.map(({ port }, index) => ({ name: `e${index}`, address: '127.0.0.1', port, leaving: false })),
    targets: [],
    // Twenty clients, so each is due every 800 ms; on a busy machine an answer may take half of that.
    rps: 25,
    pauseMs: 200,
    ...plan,
  })
  const started = performance.now()
  await during(generator)
  await delay(Math.max(0, ms - (performance.now() - started)))
  const report = await generator.stop()
  await Promise.all(stages.map(stage => stage.close()))
  return { report, generator }
}

/** Behaves like an edge with sticky cookies: uses the task in the cookie, otherwise its own. */
const sticky =
  (own: string) =>
  (request: IncomingMessage): string =>
    /sticky=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? own

test('sticky edges: clients have no changes, and use every edge', async () => {
  const { report } = await load([await edge(sticky('a')), await edge(sticky('b'))], { sessions: [group()] })
  assert.is(report.failed, 0, JSON.stringify(report.samples))
  assert.is(report.sessions?.changed, 0)
  assert.is(report.sessions?.unfinished, 0)
  assert.equal(report.sessions?.spread, { tested: [10, 10] })
})

test('edges that ignore the cookie: changes are counted', async () => {
  const { report } = await load([await edge(() => 'a'), await edge(() => 'b')], { sessions: [group()] })
  const changes = report.sessions?.changes ?? []
  assert.ok(changes.length > 0)
  assert.ok(changes.every(({ from, to, edge: name }) => from !== to && name === (to === 'a' ? 'e0' : 'e1')))
})

test('a client sends through all edges at once: one change, not one for each edge', async () => {
  let moved = false
  const one = await edge(() => (moved ? 'new' : 'old'))
  // This edge learns of the change later.
  const two = await edge(() => 'old')
  const { report } = await load([one, two], { sessions: [group({ together: true, count: 1 })], rps: 1 }, 1500, async () => {
    await delay(500)
    moved = true
  })
  assert.is(report.requests, 3, 'one request, then one turn through both edges')
  assert.equal(
    report.sessions?.changes.map(({ from, to }) => `${from} ${to}`),
    ['old new'],
  )
})

test('one turn leads to two tasks: two changes', async () => {
  let moved = false
  const stages = [await edge(() => (moved ? 'x' : 'old')), await edge(() => (moved ? 'y' : 'old'))]
  const { report } = await load(stages, { sessions: [group({ together: true, count: 1 })], rps: 1 }, 1500, async () => {
    await delay(500)
    moved = true
  })
  assert.is(report.sessions?.changed, 2)
})

test("an application's session: continued by its cookie; an unknown one is counted", async () => {
  const shared = new App()
  const well = await load([await edge(() => 'a', shared), await edge(() => 'a', shared)], { sessions: [group({ by: 'app' })] })
  assert.is(well.report.failed, 0, JSON.stringify(well.report.samples))
  assert.is(well.report.sessions?.unknown, 0)
  const stages = [await edge(() => 'a', new App()), await edge(() => 'b', new App())]
  const lost = await load(stages, { sessions: [group({ by: 'app' })] })
  assert.ok((lost.report.sessions?.unknown ?? 0) > 0)
  assert.is(lost.report.sessions?.unknown, lost.report.sessions?.changed)
})

test('an application loses a session while its task runs: a failure', async () => {
  let app = new App()
  const forgetful = await edge(() => 'a', { session: (request: IncomingMessage) => app.session(request) } as App)
  const { report } = await load([forgetful], { sessions: [group({ by: 'app' })] }, 3200, async () => {
    await delay(1200)
    app = new App()
  })
  assert.ok((report.failedBy['wrong-session'] ?? 0) > 0)
})

test('clients by header and by address: each always has its own', async () => {
  const seen = new Map<string, Set<string>>()
  const note = (request: IncomingMessage): string => {
    const key = `${request.headers[SESSION_HEADER.toLowerCase()] ?? 'none'}`
    seen.set(key, (seen.get(key) ?? new Set()).add(`${request.socket.remoteAddress}`))
    return 'a'
  }
  const addresses = ['127.0.0.11', '127.0.0.12']
  const groups = [group({ by: 'header', count: 3 }), group({ by: 'address', count: 2 })]
  const { report } = await load([await edge(note)], { sessions: groups, addresses, rps: 15 })
  assert.is(report.failed, 0, JSON.stringify(report.samples))
  assert.is(seen.size, 4)
  assert.equal([...(seen.get('none') ?? [])].sort(), addresses)
})

test('clients leave an edge: no request is in flight there afterwards', async () => {
  let there = 0
  let left = false
  const stages = [
    await edge(() => 'a'),
    await edge(() => {
      there += 1
      assert.not.ok(left, 'a request arrived after all clients had left')
      return 'a'
    }),
  ]
  const { report } = await load(stages, { sessions: [group()] }, 2800, async generator => {
    await delay(1000)
    await generator.leave(['e1'])
    left = true
    await delay(800)
    left = false
    await generator.leave([])
  })
  assert.is(report.failed, 0, JSON.stringify(report.samples))
  assert.ok(there > 5)
})

test('clients that begin later: they start when begin is called', async () => {
  const keys = new Set<string>()
  const stages = [
    await edge(request => {
      keys.add(`${request.headers[SESSION_HEADER.toLowerCase()]}`)
      return 'a'
    }),
  ]
  const groups = [group({ by: 'header', count: 5 }), group({ by: 'header', count: 5, later: true })]
  let before = 0
  const known = async (count: number): Promise<void> => {
    for (const end = performance.now() + 30_000; keys.size < count && performance.now() < end; ) await delay(20)
  }
  await load(stages, { sessions: groups, rps: 25 }, 900, async generator => {
    await known(5)
    await delay(400)
    before = keys.size
    generator.begin()
    await known(10)
  })
  assert.is(before, 5)
  assert.is(keys.size, 10)
})

test('no client is free to send: a failure', async () => {
  const { report } = await load([await edge(() => 'a')], { sessions: [group({ count: 1 })] }, 300)
  assert.ok((report.failedBy['no-client'] ?? 0) > 0)
})

test('a 503 with Retry-After: counted separately only if the plan has a breaker', async () => {
  const targets = [{ service: 'tested', host: 'tested', method: 'GET', bodyBytes: 0 }] as const
  const told = await load([await edge(() => null)], { targets, breaker: true }, 300)
  assert.is(told.report.failed, 0)
  assert.is(told.report.breaker?.e0?.refused, told.report.requests)
  const untold = await load([await edge(() => null)], { targets }, 300)
  assert.is(untold.report.failed, untold.report.requests)
})

test.run()
