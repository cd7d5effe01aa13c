// `skein status` as a user runs it, with an admin API that answers for a very large cluster with hostile names.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { memoryStore } from '../../cluster/store/memory.ts'
import { type AdminApi, startAdminApi } from '../../src/admin/admin-api.ts'
import type { AdminSource, BreakerReport, ClusterReport } from '../../src/admin/admin-source.ts'
import { createLog } from '../../src/util/log.ts'
import { endAll, skein } from './skein-process.ts'

const HOSTILE = `evil\u001b[2J\u001b]0;owned\u0007\r\n\u202e${'x'.repeat(300)}`
/** Control characters except the line ends of the screen itself. */
const STEERS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/
const revision = { term: 4, leader: 'id-0', sequence: 2 }
const counts = {
  ...{ sent: 0, received: 0, bytesSent: 0, bytesReceived: 0, dropped: 0, pulls: 0, pullsFailed: 0, dials: 0 },
  ...{ dialsFailed: 0, unknownVersion: 0, otherCluster: 0, malformed: 0, replayed: 0, elections: 0, leaderChanges: 0 },
}
const figures = { requests: 9, networkErrorRatio: 1, errorRatio: 1, latencyP50Ms: 1, latencyP99Ms: 2 }

function clusterOf(names: readonly string[]): ClusterReport {
  const members = names.map((name, i) => ({
    ...({ id: `id-${i}`, name, state: 'alive', role: i === 0 ? 'leader' : 'follower', sinceMs: 5, version: '1' } as const),
    ...{ manager: name, managerHealthy: true, revision, addresses: [`10.0.0.1:${i}`], unreachable: [], relayPort: null },
    ...{ self: i === 0, term: { number: 4, leader: 'id-0' } },
  }))
  return {
    ...{ cluster: 'skein', self: 'id-0', name: names[0] ?? '', role: 'leader', term: { number: 4, leader: 'id-0' } },
    ...{
      leader: { id: 'id-0', name: names[0] ?? '' },
      revision,
      hash: 'x',
      target: revision,
      connections: [],
      strangers: [],
      counts,
    },
    ...{ members, relaying: [], relayed: { out: 0, in: 0, failed: 0 } },
    differences: names.map(name => ({
      ...{ member: name, option: name, value: name, leader: name, leaderValue: name, forMs: 5, severity: name },
    })),
  } as unknown as ClusterReport
}

const breaker: BreakerReport = {
  ...{ service: HOSTILE, expression: HOSTILE, state: 'half-open', sinceMs: 1, at: 1, by: HOSTILE, because: figures },
  ...{ prober: HOSTILE, now: figures, members: 1, opened: 1, refusedRequests: 0 },
}

let cluster = clusterOf([])
const opened: (AdminApi | Server)[] = []

async function adminApi(): Promise<Readonly<Record<string, string>>> {
  const source: AdminSource = {
    health: () => ({
      ...{ status: 'serving', name: cluster.name, role: 'leader', version: '1', uptimeMs: 1, revision, hash: 'x', synced: true },
      ...{ workers: { wanted: 1, ready: 1 }, counts: { routers: 0, services: 0, servers: 0, errors: 0 } },
    }),
    cluster: () => cluster,
    managers: () => [],
    snapshot: () => ({ revision, hash: 'x', routers: {}, services: {}, middlewares: {}, errors: [] }),
    breakers: () => [breaker],
    state: () => ({ store: memoryStore('a').status(), consistency: 'fast', sessions: { [HOSTILE]: 3 } }),
  }
  const api = await startAdminApi({ host: '127.0.0.1', port: 0 }, source, createLog({ level: 'silent', format: 'json' }))
  opened.push(api)
  return { SKEIN_ADMIN: `127.0.0.1:${api.port}` }
}

test.after(async () => {
  for (const one of opened) {
    if ('stop' in one) await one.stop()
    else one.close()
  }
  endAll()
})

test('256 members with names that would control a terminal', async () => {
  cluster = clusterOf(Array.from({ length: 256 }, (_, i) => `${HOSTILE}${i}`))
  const env = await adminApi()
  const { code, out, err } = await skein(['status'], env)
  assert.is(code, 0, err)
  assert.not.match(out, STEERS)
  const lines = out.split('\n')
  assert.ok(lines.length < 60, `${lines.length} lines`)
  for (const line of lines) assert.ok(line.length <= 200, line)
  assert.match(out, /, 256 members, seen from evil\?/)
  assert.match(out, /and 224 more members: --json lists all/)
  assert.match(out, /^BREAKER +STATE/m)

  const json = await skein(['status', '--json'], env)
  assert.is(json.code, 0, json.err)
  assert.not.match(json.out, STEERS)
  const all = JSON.parse(json.out)
  assert.is(all.cluster.members.length, 256)
  assert.is(all.cluster.members[255].name, `${HOSTILE}255`)
  assert.is(all.breakers[0].service, HOSTILE)
  assert.equal([all.state.consistency, all.state.sessions[HOSTILE]], ['fast', 3])
  assert.equal(all.ejected, [])
})

test("an address that is not Skein's, or gives invalid answers, is an error", async () => {
  for (const [page, body] of [
    ['/api/health', '{"status":1}'],
    ['/api/state', '{"store":null}'],
    ['/api/state', '[]'],
    ['/api/breakers', '{"a":1}'],
    ['/api/snapshot', '{"services":7}'],
  ] as const) {
    cluster = clusterOf(['a'])
    const { SKEIN_ADMIN: own } = await adminApi()
    const server = createServer((request, response) => {
      if (request.url === page) return void response.end(body)
      void fetch(`http://${own}${request.url}`).then(async answer => response.end(await answer.text()))
    })
    opened.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { code, err } = await skein(['status', '--admin', `127.0.0.1:${(server.address() as AddressInfo).port}`])
    assert.is(code, 1, page)
    assert.match(err, `${page} at 127.0.0.1`)
    assert.match(err, /has an unexpected format/)
  }
})

test.run()
