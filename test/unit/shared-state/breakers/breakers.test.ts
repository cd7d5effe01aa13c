import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Breaker } from '../../../../src/config/model.ts'
import { hashOf, RECORD_TTL_MS } from '../../../../src/shared-state/breakers/record.ts'
import { breakerOf, type Member, snapshotWith, World } from './members.ts'

const ERRORS = breakerOf('ResponseCodeRatio(500, 600, 0, 600) > 0.5')

interface Context {
  world: World
}

const test = suite<Context>('shared breakers')
test.before.each(context => void (context.world = new World()))
test.after.each(context => context.world.end())

function cluster(world: World, count: number, breaker: Breaker = ERRORS, workers = 1): Member[] {
  const snapshot = snapshotWith({ shop: breaker, other: ERRORS })
  return Array.from({ length: count }, (_, i) => world.join(`edge-${i + 1}`, snapshot, workers))
}

const states = (members: readonly Member[]) => members.map(member => member.state).join(' ')
const lines = (members: readonly Member[], text: RegExp) => members.flatMap(m => m.lines).filter(line => text.test(line)).length

test('failures on one replica open it on all within 200 ms, for this service only', async ({ world }) => {
  const members = cluster(world, 3)
  const [one, two] = members as [Member, Member, Member]
  one.ask(20, 500)
  await world.pass(200)
  assert.is(states(members), 'open open open')
  const refused = two.request()
  assert.ok(refused.refused)
  assert.is(refused.retryAfterS, 2)
  assert.is(two.ask(3, 200, 'other'), 0)
  const report = two.report()
  assert.is(report.by, 'edge-1')
  assert.is(report.because?.requests, 20)
  assert.is(report.because?.errorRatio, 1)
  assert.is(report.opened, 1)
  await world.pass(200)
  assert.is(two.report().refusedRequests, 1)
  // Logged once by each member, with author and figures; never per request.
  assert.is(lines(members, /is open for 2000 ms: ResponseCodeRatio.*20 requests.*found by edge-1/), 3)
})

test('failures spread over many members open it', async ({ world }) => {
  const members = cluster(world, 5)
  for (const member of members) member.ask(3, 500)
  await world.pass(100)
  assert.is(states(members), 'closed closed closed closed closed')
  await world.pass(400)
  assert.is(states(members), 'open open open open open')
  assert.ok((members[0]!.report().because?.requests ?? 0) >= 10)
})

test('below minRequests it stays closed; good counts of others are included', async ({ world }) => {
  const members = cluster(world, 2)
  members[0]!.ask(9, 500)
  await world.pass(500)
  assert.is(states(members), 'closed closed')
  members[1]!.ask(100, 200)
  await world.pass(500)
  members[0]!.ask(9, 500)
  await world.pass(500)
  assert.is(states(members), 'closed closed')
  assert.is(members[0]!.report().now.requests, 118)
  assert.is(members[0]!.report().members, 2)
  await world.pass(11_000)
  assert.is(members[0]!.report().now.requests, 0)
})

test('counts are shared 4 times a second on failures, once otherwise, never alone', async ({ world }) => {
  const [one, two] = cluster(world, 2, breakerOf('NetworkErrorRatio() > 0.5', { minRequests: 1_000_000 })) as [Member, Member]
  await world.pass(10_000, () => {
    one.ask(1, 502)
    two.ask(1, 200)
  })
  assert.ok(one.shares >= 32 && one.shares <= 40, `${one.shares}`)
  assert.ok(two.shares >= 9 && two.shares <= 10, `${two.shares}`)
  await world.pass(5_000)
  const { shares } = one
  assert.ok(shares <= 41)
  world.kill(two)
  await world.pass(3_000, () => void one.ask(1, 502))
  assert.is(one.shares, shares)
})

test('one member probes, all recover gradually, then it is closed', async ({ world }) => {
  const members = cluster(world, 3)
  members[0]!.ask(20, 500)
  await world.pass(200)
  let passed = 0
  let during = 0
  await world.pass(2_300, () => {
    for (const member of members) {
      const request = member.request()
      if (request.refused) continue
      if (member.state === 'half-open') passed++
      else during++
      request.end(200)
    }
  })
  assert.is(passed, 1, 'one probe')
  assert.is(states(members), 'recovering recovering recovering')
  assert.ok(during < 60, `few pass at first: ${during}`)
  let late = 0
  let asked = 0
  await world.pass(1_500, () => {
    for (const member of members) {
      asked++
      const request = member.request()
      if (!request.refused) late++
      request.end(200)
    }
  })
  assert.ok(late / asked > 0.3 && late / asked < 0.9, `${late / asked}`)
  await world.pass(500)
  assert.is(states(members), 'closed closed closed')
  assert.is(members[0]!.ask(100, 200), 0)
  assert.is(lines(members, /a request is let through as a probe/), 1)
  assert.is(lines(members, /the probe succeeded/), 3)
  assert.is(lines(members, /is closed/), 3)
})

test('a failed probe keeps it open on all members', async ({ world }) => {
  const members = cluster(world, 3)
  members[1]!.ask(20, 503)
  await world.pass(200)
  let passed = 0
  await world.pass(7_000, () => {
    for (const member of members) {
      const request = member.request()
      if (!request.refused) passed++
      request.end(503)
    }
  })
  assert.is(passed, 3, 'one probe every 2 s')
  assert.is(states(members), 'open open open')
  assert.is(members[0]!.report().because?.requests, 1)
})

test('an expression that always holds: stays open, one probe per open time', async ({ world }) => {
  const members = cluster(world, 2, breakerOf('NetworkErrorRatio() >= 0'))
  members[0]!.ask(9, 200)
  await world.pass(300)
  assert.is(states(members), 'closed closed')
  members[0]!.ask(1, 200)
  await world.pass(300)
  assert.is(states(members), 'open open')
  let passed = 0
  await world.pass(20_000, () => {
    for (const member of members) {
      const request = member.request()
      if (!request.refused) passed++
      request.end(200)
    }
  })
  assert.ok(passed >= 9 && passed <= 10, `${passed}`)
})

test('a prober without traffic: the next in rank takes over', async ({ world }) => {
  const members = cluster(world, 3)
  for (const silent of members) {
    const talking = members.filter(member => member !== silent)
    for (const member of members) member.ask(20, 500)
    await world.pass(300)
    assert.is(states(members), 'open open open')
    const since = world.nowMs
    let probedAt = 0
    await world.pass(3_200, () => {
      for (const member of talking) {
        const request = member.request()
        if (!request.refused && probedAt === 0) probedAt = world.nowMs
        request.end(200)
      }
    })
    assert.ok(probedAt > 0 && probedAt - since < 3_200, `${probedAt - since}`)
    assert.not.match(states(members), /open/)
    await world.pass(3_000)
    assert.is(states(members), 'closed closed closed')
    await world.pass(11_000)
  }
})

test('a prober that fails is replaced; one that is slow is waited for', async ({ world }) => {
  const members = cluster(world, 3)
  members[0]!.ask(20, 500)
  await world.pass(300)
  let prober: Member | null = null
  const ask = () => {
    for (const member of members) {
      if (!member.alive) continue
      const request = member.request()
      if (request.refused) continue
      // The first one never ends.
      if (prober === null) prober = member
      else request.end(200)
    }
  }
  await world.pass(6_000, ask)
  const first = prober as Member | null
  assert.ok(first !== null)
  assert.is(states(members), 'half-open half-open half-open')
  assert.equal(
    members.map(member => member.report().prober),
    members.map(() => first.name),
  )
  world.kill(first)
  const rest = members.filter(member => member.alive)
  await world.pass(1_300, ask)
  assert.not.match(states(rest), /open/)
})

test('a lost probe does not keep it half-open', async ({ world }) => {
  const snapshot = snapshotWith({ shop: ERRORS })
  const alone = world.join('edge-1', snapshot)
  alone.ask(20, 500)
  await world.pass(2_300)
  assert.is(alone.state, 'half-open')
  assert.not.ok(alone.request().refused)
  assert.ok(alone.request().refused)
  // The worker exits with it and restarts.
  alone.restartWorker(0, snapshot)
  assert.ok(alone.request().refused)
  await world.pass(11_000, () => void alone.ask(1, 200))
  assert.not.match(alone.state, /open/)
})

test('a disconnected client gives no verdict; slow probes fail latency expressions', async ({ world }) => {
  const alone = world.join('edge-1', snapshotWith({ shop: breakerOf('LatencyAtQuantileMS(50.0) > 100') }))
  for (let i = 0; i < 20; i++) alone.request().end(200, 500)
  await world.pass(2_300)
  assert.is(alone.state, 'half-open')
  alone.request().end(499, 5)
  await world.pass(200)
  assert.is(alone.state, 'half-open')
  alone.request().end(499, 300)
  await world.pass(100)
  assert.is(alone.state, 'open')
  await world.pass(2_100)
  alone.request().end(200, 20)
  await world.pass(100)
  assert.is(alone.state, 'recovering')
})

test('a service with WebSockets only recovers, too', async ({ world }) => {
  const members = cluster(world, 3, breakerOf('NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50.0) > 100'))
  const upgrade = (member: Member, status: number) => {
    const request = member.request()
    request.end(status, 5)
    return request.refused
  }
  for (let i = 0; i < 20; i++) upgrade(members[0]!, 502)
  await world.pass(200)
  assert.is(states(members), 'open open open')
  await world.pass(6_000, () => {
    for (const member of members) upgrade(member, 101)
  })
  assert.is(states(members), 'closed closed closed')
  assert.not.ok(members.some(member => upgrade(member, 101)))
})

test('aborted requests during half-open are neither logged nor shared one by one', async ({ world }) => {
  const members = cluster(world, 3)
  members[0]!.ask(20, 500)
  await world.pass(2_500)
  assert.is(states(members), 'half-open half-open half-open')
  let passed = 0
  const entries = () => members.reduce((sum, { store }) => sum + store.status().counts.written, 0)
  const before = entries()
  await world.pass(3_000, () => {
    for (const member of members) {
      for (let i = 0; i < 5; i++) {
        const request = member.request('shop', 0, { sends: 0 })
        if (!request.refused) passed++
        request.end(429)
      }
    }
  })
  assert.ok(passed >= 10 && passed <= 31, `${passed} at most ten a second`)
  assert.ok(entries() - before <= 4, `${entries() - before} writes`)
  assert.is(lines(members, /let through as a probe/), 1)
  await world.pass(2_000, () => void members.map(member => member.ask(1, 200)))
  assert.is(states(members), 'recovering recovering recovering')
})

test("a new member after hours without a change shares the others' counts", async ({ world }) => {
  const [one, two] = cluster(world, 2) as [Member, Member]
  const healthy = () => void [one, two].map(member => member.ask(1, 200))
  one.ask(20, 500)
  await world.pass(10_000, healthy)
  assert.is(states([one, two]), 'closed closed')
  world.nowMs += 3 * 3_600_000
  await world.pass(1_000, healthy)
  const three = world.join('edge-3', snapshotWith({ shop: ERRORS }))
  await world.pass(1_500, () => {
    for (const member of [one, two, three]) member.ask(1, 200)
  })
  for (const { report } of [one, two, three].map(member => ({ report: member.report() }))) {
    assert.is(report.members, 3)
    assert.ok(report.now.requests > 500, `${report.now.requests}`)
  }
})

test('the probe goes to the worker that has requests', async ({ world }) => {
  const alone = world.join('edge-1', snapshotWith({ shop: ERRORS }), 4)
  alone.ask(20, 500, 'shop', 3)
  await world.pass(2_200)
  assert.is(alone.state, 'half-open')
  let refused = 0
  await world.pass(500, () => {
    refused += alone.ask(1, 200, 'shop', 3)
  })
  assert.is(alone.state, 'recovering')
  assert.ok(refused < 50)
})

test('old failures do not reopen it; new ones do', async ({ world }) => {
  const members = cluster(world, 2)
  const slow = Array.from({ length: 40 }, () => members[0]!.request())
  members[0]!.ask(20, 500)
  members[1]!.ask(20, 500)
  await world.pass(2_100)
  assert.is(states(members), 'half-open half-open')
  await world.pass(1_500, () => {
    for (const member of members) member.ask(1, 200)
  })
  assert.is(states(members), 'recovering recovering')
  // They were sent before it opened.
  for (const request of slow) request.end(500)
  await world.pass(300)
  assert.is(states(members), 'recovering recovering')
  await world.pass(500, () => {
    for (const member of members) member.ask(5, 500)
  })
  assert.is(states(members), 'open open')
})

test('concurrent openings and concurrent verdicts end in one state', async ({ world }) => {
  const members = cluster(world, 2)
  const [one, two] = members as [Member, Member]
  one.ask(20, 500)
  two.ask(20, 500)
  await world.pass(100)
  assert.is(states(members), 'open open')
  assert.is(lines([one], /found by edge-1/), 1)
  assert.is(lines([two], /found by edge-2/), 1)
  assert.is(one.report().by, two.report().by)
  // Partitioned, both probe; one succeeds, the other fails.
  one.linked = two.linked = false
  await world.pass(4_000, () => {
    one.ask(1, 200)
    two.ask(1, 500)
  })
  assert.is.not(one.state, two.state)
  one.linked = two.linked = true
  await world.pass(300)
  const seen = new Set<string>()
  await world.pass(9_000, () => {
    for (const member of members) member.ask(1, 200)
    seen.add(states(members))
  })
  assert.is(states(members), 'closed closed', [...seen].join(', '))
})

test('a new or returning member learns which breakers are open', async ({ world }) => {
  const members = cluster(world, 2, { ...ERRORS, openMs: 5_000 })
  members[0]!.ask(20, 500)
  await world.pass(3_000)
  const late = world.join('edge-3', snapshotWith({ shop: { ...ERRORS, openMs: 5_000 } }))
  assert.is(late.state, 'open')
  const { retryAfterS } = late.request()
  assert.ok(retryAfterS >= 2 && retryAfterS <= 3, `${retryAfterS}`)
  await world.pass(2_100)
  assert.is(late.state, 'half-open')
  world.kill(members[1]!)
  const again = world.join('edge-2', snapshotWith({ shop: { ...ERRORS, openMs: 5_000 } }))
  await world.pass(100)
  assert.is(again.state, 'half-open')
})

test('a restarted worker receives the gates', async ({ world }) => {
  const snapshot = snapshotWith({ shop: ERRORS })
  const alone = world.join('edge-1', snapshot, 2)
  alone.ask(20, 500)
  await world.pass(300)
  alone.restartWorker(1, snapshot)
  const refused = alone.request('shop', 1)
  assert.ok(refused.refused)
  assert.ok(refused.retryAfterS >= 1)
})

test('a changed expression starts closed', async ({ world }) => {
  const members = cluster(world, 2)
  members[0]!.ask(20, 500)
  await world.pass(300)
  const other = snapshotWith({ shop: { ...ERRORS, openMs: 7_000 } })
  for (const member of members) member.apply(other)
  assert.is(states(members), 'open open', 'other times, same expression')
  const changed = snapshotWith({ shop: breakerOf('NetworkErrorRatio() > 0.9') })
  for (const member of members) member.apply(changed)
  assert.is(states(members), 'closed closed')
  assert.is(members[0]!.ask(5, 200), 0)
})

test('a removed service is dropped; one with the same name starts closed', async ({ world }) => {
  const members = cluster(world, 2)
  members[0]!.ask(20, 500)
  await world.pass(300)
  assert.is(states(members), 'open open')
  for (const member of members) member.apply(snapshotWith({ shop: null }))
  assert.equal(members[0]!.part.reports(), [])
  await world.pass(300)
  for (const member of members) member.apply(snapshotWith({ shop: ERRORS }))
  assert.is(states(members), 'closed closed')
  members[1]!.ask(10, 200)
  await world.pass(300)
  assert.is(states(members), 'closed closed')
})

test('hostile entries change nothing', async ({ world }) => {
  const [one, two] = cluster(world, 2) as [Member, Member]
  const put = (table: string, key: string, value: string) => two.store.put(table, key, value, { ttlMs: 10_000 })
  const told: unknown[] = []
  const counts = (list: unknown) => told.push(list)
  put('breaker', 'shop', 'garbage')
  put('breaker', 'shop', '{"state":"open"}')
  put('breaker', 'nowhere', '{}')
  put('breaker', 'other', JSON.stringify({ of: hashOf(ERRORS), state: 'open', epoch: 1, by: '', id: '', at: 0, own: {} }))
  put('breaker-counts', 'shop', '[]')
  put('breaker-counts', 'nowhere\0id-evil', '[0,[[0,[500,1000],[1,1000]]]]')
  counts([[0, [500, -5], [1, 5]]])
  counts([[0, [500, 1e99], [1, 5]]])
  counts([[99, [500, 5], [1, 5]]])
  counts([[0, [5000, 5], [1, 5]]])
  counts([[0, [500, 5], [91, 5]]])
  counts([[0, [500], [1, 5]]])
  counts(Array(11).fill([0, [500, 5], [1, 5]]))
  counts({})
  // Of other members, and of unknown ones.
  const well = '[0,[[0,[500,1000],[1,1000]]]]'
  for (const member of ['id-edge-1', 'id-edge-9', '']) put('breaker-counts', `shop\0${member}`, well)
  one.ask(20, 200)
  for (const list of told) {
    put('breaker-counts', 'shop\0id-edge-2', JSON.stringify([0, list]))
    await world.pass(100)
  }
  assert.is(one.state, 'closed')
  assert.is(one.report().now.requests, 20)
  assert.is(one.report().members, 1)
  // Valid and about itself: accepted.
  put('breaker-counts', 'shop\0id-edge-2', well)
  await world.pass(300)
  assert.is(one.state, 'open')
})

test('a member that opens and closes everything repeatedly floods no log', async ({ world }) => {
  const names = Array.from({ length: 100 }, (_, i) => `s${i}`)
  const snapshot = snapshotWith(Object.fromEntries(names.map(name => [name, ERRORS])))
  const [one, two] = ['edge-1', 'edge-2'].map(name => world.join(name, snapshot)) as [Member, Member]
  const because = { requests: 1, networkErrorRatio: 1, errorRatio: 1, latencyP50Ms: 1, latencyP99Ms: 1 }
  let epoch = 0
  await world.pass(2_000, () => {
    if (world.nowMs % 50 !== 0) return
    const state = ++epoch % 2 === 0 ? 'open' : 'recovering'
    const record = { of: hashOf(ERRORS), state, epoch, by: 'edge-2', id: 'id-edge-2', at: 1, because }
    for (const name of names) two.store.put('breaker', name, JSON.stringify(record), { ttlMs: RECORD_TTL_MS })
  })
  assert.ok(one.report('s0').opened >= 19)
  assert.ok(one.lines.length > 0 && one.lines.length <= 100, `${one.lines.length} lines`)
  await world.pass(12_000)
  one.ask(20, 500, 's0')
  await world.pass(200)
  assert.ok(one.lines.some(line => /"suppressed":[0-9]{3}/.test(line)))
})

test('with many services, failing ones are shared first', async ({ world }) => {
  const names = ['shop', ...Array.from({ length: 400 }, (_, i) => `s${i}`)]
  const snapshot = snapshotWith(Object.fromEntries(names.map(name => [name, ERRORS])))
  const members = ['edge-1', 'edge-2', 'edge-3'].map(name => world.join(name, snapshot))
  await world.pass(2_000, () => {
    if (world.nowMs % 100 !== 0) return
    for (const member of members) for (const name of names) if (name !== 'shop') member.ask(1, 200, name)
  })
  for (const member of members) member.ask(4, 500)
  await world.pass(800, () => {
    if (world.nowMs % 100 !== 0) return
    for (const member of members) for (const name of names) if (name !== 'shop') member.ask(1, 200, name)
  })
  assert.is(states(members), 'open open open')
})

/** All entries of each member reach all others, as when a partition heals. */
function heal(world: World): void {
  for (const member of world.members) member.linked = true
  for (const from of world.members) {
    for (const to of world.members) {
      if (from === to) continue
      const won = to.store.merge([...from.store.allEntries()])
      if (won.length > 0) to.part.changed(won)
    }
  }
}

for (const [what, beforeMs, awayMs] of [
  ['while its breaker is open', 6_000, 500],
  ['while it probes', 0, 2_150],
  ['after a bad probe', 0, 3_000],
  ['while it recovers', 0, 5_000],
] as const) {
  test(`a partitioned edge returns ${what}: the others continue`, async ({ world }) => {
    const [one, two, cut] = cluster(world, 3) as [Member, Member, Member]
    const well = [one, two]
    const ask = () => well.reduce((refused, member) => refused + member.ask(1, 200), 0)
    await world.pass(1_000, ask)
    cut.linked = false
    await world.pass(beforeMs, ask)
    cut.ask(200, 500)
    let refused = 0
    // It reaches its servers again before it reaches the others.
    await world.pass(awayMs, () => {
      refused += ask()
      cut.ask(1, world.nowMs < 4_200 ? 500 : 200)
    })
    assert.is.not(cut.state, 'closed')
    heal(world)
    await world.pass(10_000, () => {
      refused += ask()
      cut.ask(1, 200)
    })
    assert.is(refused, 0)
    assert.is(states(world.members), 'closed closed closed')
    // Their counts are aggregated again.
    assert.is(cut.report().members, 3)
    for (const member of world.members) member.ask(1_200, 500)
    await world.pass(500)
    assert.is(states(world.members), 'open open open')
  })
}

test('connected members follow the first to open, though their figures differ', async ({ world }) => {
  // A third of the requests fail, on one edge only, until a fifth is reached; good counts are a second old.
  const members = cluster(world, 3, breakerOf('ResponseCodeRatio(500, 600, 0, 600) > 0.2'))
  const [one, two, three] = members as [Member, Member, Member]
  const busy = (status: number) => () => {
    for (const member of [one, two]) member.ask(3, 200)
    three.ask(3, status)
  }
  await world.pass(900, busy(200))
  for (let ms = 0; ms < 8_000 && !states(members).includes('open'); ms += 20) await world.pass(20, busy(500))
  await world.pass(200, busy(500))
  assert.is(states(members), 'open open open')
})

test("a partitioned edge's opening counts when the others have too few requests", async ({ world }) => {
  const [one, two, cut] = cluster(world, 3) as [Member, Member, Member]
  cut.linked = false
  cut.ask(200, 500)
  await world.pass(500, () => void (world.nowMs % 100 === 0 && one.ask(1, 200)))
  two.ask(40, 500)
  await world.pass(100)
  heal(world)
  await world.pass(100)
  assert.is(states(world.members), 'open open open')
})

test('a worker that exits with the probe: another one gets it at once', async ({ world }) => {
  const alone = world.join('edge-1', snapshotWith({ shop: ERRORS }), 2)
  alone.ask(20, 500)
  await world.pass(2_300)
  assert.is(alone.state, 'half-open')
  assert.not.ok(alone.request().refused)
  alone.part.workerExited(1)
  await world.pass(500, () => void alone.ask(1, 200, 'shop', 1))
  assert.is(alone.state, 'half-open', 'that was another one')
  alone.part.workerExited(0)
  alone.gates[0]!.clear()
  await world.pass(500, () => void alone.ask(1, 200, 'shop', 1))
  assert.is(alone.state, 'recovering')
})

test("many statuses and latencies fit into the store's limit", async ({ world }) => {
  const [one, two] = cluster(world, 2, breakerOf('ResponseCodeRatio(900, 1000, 0, 1000) > 0.99')) as [Member, Member]
  let n = 0
  await world.pass(12_000, () => {
    for (let i = 0; i < 40; i++, n++) one.request().end(100 + ((n * 7) % 499), 2 ** ((n % 89) / 4))
  })
  assert.is(one.state, 'closed')
  const { requests } = one.report().now
  // The oldest seconds are omitted.
  assert.ok(two.report().now.requests > requests / 3, `${two.report().now.requests} of ${requests}`)
})

test('random faults: once the service works and all connect, it closes everywhere', async ({ world }) => {
  for (let seed = 1; seed <= 12; seed++) {
    let state = seed
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    const snapshot = snapshotWith({ shop: ERRORS })
    for (const member of world.members.splice(0)) member.part.stop()
    for (let i = 0; i < 4; i++) world.join(`edge-${i}`, snapshot, 2)
    let good = 50
    const living = () => world.members.filter(member => member.alive)
    for (let round = 0; round < 40; round++) {
      good = [0, 0, 50, 100][random(4)]!
      const one = living()[random(living().length)]!
      const what = random(8)
      if (what === 0 && living().length > 2) world.kill(one)
      else if (what === 1) world.join(`late-${round}`, snapshot, 2)
      else if (what === 2) one.linked = false
      else if (what === 3) for (const member of living()) member.linked = true
      else if (what === 4) one.restartWorker(random(2), snapshot)
      await world.pass(50 * (1 + random(30)), () => {
        for (const member of living()) {
          if (random(3) > 0) continue
          const request = member.request('shop', random(2))
          // One in eight never ends.
          if (random(8) > 0) request.end(random(100) < good ? 200 : 500)
        }
      })
    }
    assert.ok(living().some(member => member.report().opened > 0))
    for (const member of living()) member.linked = true
    // After the last opening: an open time, a lost probe and a recovery; then again after a partition.
    await world.pass(40_000, () => {
      for (const member of living()) member.ask(1, 200, 'shop', random(2))
    })
    assert.is(new Set(living().map(member => member.state)).size, 1, `seed ${seed}: ${states(living())}`)
    assert.is(living()[0]!.state, 'closed', `seed ${seed}`)
  }
})

test.run()
