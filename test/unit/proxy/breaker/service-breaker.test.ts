import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type BreakerRequest, ServiceBreaker } from '../../../../src/proxy/breaker/service-breaker.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function setUp() {
  const told: string[] = []
  const events = {
    probing: (service: string) => void told.push(`${service} probing`),
    probed: (_: string, status: number, ms: number, networkError: boolean) => void told.push(`${status} ${ms} ${networkError}`),
  }
  const breaker = new ServiceBreaker('shop')
  let generation = 0
  const request = (admittedMs: number, more: Partial<BreakerRequest> = {}): Mutable<BreakerRequest> => ({
    admittedMs,
    generation: ++generation,
    retryAfterS: 0,
    sends: 1,
    status: 0,
    failed: false,
    middlewareFailed: false,
    answered: true,
    service: null,
    ...more,
  })
  const admit = (x: BreakerRequest) => breaker.admit(x, events)
  return { breaker, told, events, request, admit }
}

test('closed: all requests pass and are counted', () => {
  const { breaker, events, request, admit } = setUp()
  assert.is(breaker.report(0, events), null)
  for (const [status, ms, failed] of [
    [200, 0.5, false],
    [200, 3, false],
    [502, 3, false],
    [503, 3, true],
    [503, 3, false],
    [4711, 3, false],
  ] as const) {
    const x = request(0, { failed })
    assert.ok(admit(x))
    breaker.finished(x, status, ms, events)
  }
  assert.equal(breaker.report(0, events), {
    service: 'shop',
    statuses: [200, 2, 502, 1, 503, 2, 999, 1],
    networkErrors: 2,
    latencies: [0, 1, 7, 5],
    refused: 0,
  })
  assert.is(breaker.report(0, events), null)
})

test('open: all are refused with the remaining time', () => {
  const { breaker, events, request, admit } = setUp()
  const before = request(500)
  assert.ok(admit(before))
  breaker.setGate({ state: 'open', retryMs: 9_500 }, 1_000)
  for (const [at, seconds] of [
    [1_000, 10],
    [1_600, 9],
    [10_499, 1],
    [20_000, 1],
  ] as const) {
    const x = request(at)
    assert.not.ok(admit(x))
    assert.is(x.retryAfterS, seconds, `${at}`)
    breaker.finished(x, 503, 0, events)
  }
  // It started before the gate opened.
  breaker.finished(before, 500, 5_000, events)
  assert.equal(breaker.report(0, events), { service: 'shop', statuses: [], networkErrors: 0, latencies: [], refused: 4 })
})

test('a tunnel is counted when it begins, not when it ends', () => {
  const { breaker, events, request, admit } = setUp()
  const tunnel = request(0, {})
  assert.ok(admit(tunnel))
  breaker.switched(tunnel, events)
  assert.equal(breaker.report(1, events)?.statuses, [101, 1])
  breaker.finished(tunnel, 101, 1e6, events)
  assert.is(breaker.report(1e6, events), null)
})

test('a tunnel as probe: its beginning is the result', () => {
  const { breaker, events, told, request, admit } = setUp()
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 0)
  const tunnel = request(1, {})
  assert.ok(admit(tunnel))
  assert.not.ok(admit(request(2, {})))
  breaker.switched(tunnel, events)
  assert.equal(told, ['shop probing', '101 0 false'])
  breaker.setGate({ state: 'recovering', sinceMs: 0, overMs: 10_000 }, 3)
  breaker.finished(tunnel, 101, 1e6, events)
  assert.is(told.length, 2)
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 2_000)
  const refused = request(2_001, {})
  assert.ok(admit(refused))
  breaker.finished(refused, 502, 5, events)
  assert.is(told.at(-1), '502 5 true')
})

test('service without servers: a missing server is not counted', () => {
  const { breaker, events, told, request, admit } = setUp()
  const server = (draining: boolean, weight = 1) => ({ draining, weight })
  const ask = (startMs: number, servers: readonly object[]) => {
    const x = request(startMs, {
      sends: 0,
      answered: false,
      failed: true,
      service: { servers } as unknown as BreakerRequest['service'],
    })
    assert.ok(admit(x))
    breaker.finished(x, 503, 5_000, events)
  }
  ask(0, [])
  ask(0, [server(true), server(false, 0)])
  assert.is(breaker.report(0, events), null)
  ask(0, [server(true), server(false)])
  assert.is(breaker.report(0, events)?.networkErrors, 1)
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 1_000)
  ask(1_001, [])
  ask(7_000, [server(false)])
  assert.equal(told, ['shop probing', '0 5000 true', 'shop probing', '503 5000 true'])
})

test('probing: one probe at a time, reported and not counted', () => {
  const { breaker, events, told, request, admit } = setUp()
  breaker.setGate({ state: 'open', retryMs: 1_000 }, 0)
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 1_000)
  const probe = request(1_002)
  assert.ok(admit(probe))
  assert.not.ok(admit(request(1_003)))
  breaker.finished(probe, 504, 30, events)
  // The probe has no result yet.
  assert.not.ok(admit(request(1_004)))
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 1_005)
  // A pause follows a probe without a result.
  assert.not.ok(admit(request(1_131)))
  assert.ok(admit(request(1_132)))
  assert.equal(told, ['shop probing', '504 30 true', 'shop probing'])
  assert.is(breaker.report(1_132, events)?.statuses.length, 0)
})

test('a probe whose response does not end is judged by its status', () => {
  const { breaker, events, told, request, admit } = setUp()
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 0)
  const probe = request(0, { answered: false })
  admit(probe)
  breaker.report(5_000, events)
  assert.equal(told, ['shop probing'], 'no answer yet')
  probe.answered = true
  probe.status = 200
  breaker.report(5_100, events)
  assert.equal(told, ['shop probing', '200 5100 false'])
  // Counted when it ends, like any other.
  breaker.finished(probe, 200, 60_000, events)
  assert.is(breaker.report(60_000, events)?.statuses.length, 2)
})

test('a request refused by a limit or its client is neither counted nor a result', () => {
  const { breaker, events, told, request, admit } = setUp()
  const limited = request(0, { sends: 0, answered: false })
  admit(limited)
  breaker.finished(limited, 429, 0, events)
  assert.is(breaker.report(0, events), null)
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 0)
  for (const [startMs, more, status] of [
    [1, { sends: 0, answered: false }, 429],
    [108, { sends: 1, answered: false }, 408],
    [215, { sends: 1, answered: false }, 499],
    [322, { sends: 0, answered: false, failed: true }, 503],
  ] as const) {
    const probe = request(startMs, more)
    if (startMs > 1) assert.not.ok(admit(request(startMs - 1)), 'a moment later')
    assert.ok(admit(probe), 'whatever was learned nothing from, another may follow')
    breaker.finished(probe, status, 7, events)
    if (status === 499) breaker.setGate({ state: 'probing', retryMs: 1_000 }, 1)
  }
  assert.equal(
    told.filter(line => !line.endsWith('probing')),
    ['0 7 false', '0 7 false', '499 7 false', '503 7 true'],
  )
})

test('a request that a middleware ended is not counted, and as a probe it has no result', () => {
  const { breaker, events, told, request, admit } = setUp()
  const ended = { middlewareFailed: true }
  breaker.finished(request(0, { ...ended, answered: false }), 500, 1, events)
  breaker.finished(request(0, ended), 502, 1, events)
  assert.is(breaker.report(0, events), null)
  breaker.setGate({ state: 'probing', retryMs: 1_000 }, 0)
  const probe = request(1, ended)
  assert.ok(admit(probe))
  breaker.finished(probe, 502, 7, events)
  assert.match(told.join(), /^shop probing,0 7 /)
  assert.ok(admit(request(200)), 'another probe follows')
})

test('recovering: the share grows evenly', () => {
  const { breaker, request, admit } = setUp()
  breaker.setGate({ state: 'open', retryMs: 1_000 }, 0)
  breaker.setGate({ state: 'recovering', sinceMs: 0, overMs: 10_000 }, 1_000)
  const passed = (from: number, to: number) => {
    let n = 0
    for (let at = from; at < to; at++) {
      const x = request(at)
      if (admit(x)) n++
      else assert.is(x.retryAfterS, 1)
    }
    return n / (to - from)
  }
  assert.ok(Math.abs(passed(1_000, 2_000) - 0.05) < 0.005)
  assert.ok(Math.abs(passed(5_500, 6_500) - 0.5) < 0.005)
  assert.ok(Math.abs(passed(10_000, 11_000) - 0.95) < 0.005)
  assert.is(passed(11_000, 12_000), 1)
})

test.run()
