// Passive ejection: causes, lengths, re-admission. Time is passed in.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isEligible } from '../../../../src/proxy/balancing/eligible.ts'
import {
  acceptsReports,
  applyRemoteEjection,
  dueForProbe,
  ejectionMs,
  endsWithoutProbe,
  noteChecked,
  noteConnect,
  noteErrorRun,
  noteFailure,
  noteProbe,
  noteProbeStarted,
  noteReachedBy,
  noteRecoveredElsewhere,
  noteSuccess,
  noteSuspicion,
  queryAfterMs,
  suspectAfterMs,
} from '../../../../src/proxy/outlier/ejection.ts'
import { noteAnswer } from '../../../../src/proxy/outlier/observations.ts'
import type { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { pool, seeded, servers } from '../balancing/servers.ts'

function one(): UpstreamServer {
  return servers('a')[0]!
}

test('ejections double from 1 s to 60 s; after a refusal from 150 ms to 5 s', () => {
  assert.equal(
    [0, 1, 2, 3, 4, 5, 6, 7, 100].map(n => ejectionMs(n, 'timeout')),
    [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000],
  )
  assert.equal(
    [0, 1, 2, 5, 6, 100].map(n => ejectionMs(n, 'refused')),
    [150, 300, 600, 4800, 5000, 5000],
  )
})

for (const cause of ['refused', 'unreachable', 'timeout', 'silence'] as const) {
  test(`${cause} ejects at once`, () => {
    const server = one()
    assert.ok(noteFailure(server, 1000, cause))
    assert.not(isEligible(server, null, 1000))
    assert.not(dueForProbe(server, 1000 + ejectionMs(0, cause) - 1))
    assert.ok(dueForProbe(server, 1000 + ejectionMs(0, cause)))
  })
}

test('three resets in a row eject; a response in between resets the count', () => {
  const server = one()
  assert.not(noteFailure(server, 0, 'reset'))
  assert.not(noteFailure(server, 0, 'reset'))
  noteSuccess(server)
  assert.not(noteFailure(server, 0, 'reset'))
  assert.not(noteFailure(server, 0, 'reset'))
  assert.ok(noteFailure(server, 0, 'reset'))
})

test('requests that fail together are one ejection', () => {
  const server = one()
  assert.ok(noteFailure(server, 0, 'timeout'))
  for (let i = 0; i < 64; i++) assert.not(noteFailure(server, 5, 'timeout'))
  assert.is(server.ejections, 1)
  assert.is(server.probeAtMs, 1000)
})

test('one probe at a time, and its result decides', () => {
  const server = one()
  noteFailure(server, 0, 'timeout')
  assert.ok(dueForProbe(server, 1000))
  noteProbeStarted(server, 1000)
  assert.not(dueForProbe(server, 1001))
  assert.not(isEligible(server, null, 1500))
  noteProbe(server, false, 2000)
  assert.not(dueForProbe(server, 3999))
  assert.ok(dueForProbe(server, 4000), 'out for twice as long')
  noteProbeStarted(server, 4000)
  noteProbe(server, true, 4001)
  assert.ok(isEligible(server, null, 4001))
  assert.not(dueForProbe(server, 1e9))
})

test('the cause found by a probe sets the length', () => {
  const server = one()
  noteFailure(server, 0, 'timeout')
  noteProbe(server, false, 1000, 'refused')
  assert.ok(dueForProbe(server, 1300))
})

test('a probe with another cause starts again at its base length', () => {
  const server = one()
  for (let i = 0; i < 8; i++) noteProbe(server, false, 0, 'refused')
  noteProbe(server, false, 0, 'timeout')
  assert.is(server.ejectedFor, 'timeout')
  assert.ok(dueForProbe(server, 1000))
  for (let i = 0; i < 8; i++) noteProbe(server, false, 0, i % 2 === 0 ? 'timeout' : 'unreachable')
  assert.not(dueForProbe(server, 59_999), 'no word and a bad word are the same')
  noteProbe(server, false, 0, 'refused')
  assert.ok(dueForProbe(server, 150))
})

test('no probe or no result: the server is re-admitted by time', () => {
  const server = one()
  noteFailure(server, 0, 'timeout')
  assert.not(isEligible(server, null, 3999))
  assert.ok(isEligible(server, null, 4000))
  noteProbeStarted(server, 5000)
  assert.not(isEligible(server, null, 7999))
  assert.ok(isEligible(server, null, 8000))
})

test('a response to an old request does not re-admit a server that refuses', () => {
  const server = one()
  noteFailure(server, 0, 'refused')
  for (let i = 0; i < 100; i++) noteSuccess(server)
  assert.not(isEligible(server, null, 100))
  assert.is(server.ejections, 1)
})

test('the count of ejections halves with successes and grows with failures', () => {
  const server = one()
  let nowMs = 0
  for (let i = 0; i < 8; i++) {
    noteFailure(server, nowMs, 'timeout')
    nowMs = server.probeAtMs
    noteProbe(server, true, nowMs)
  }
  assert.is(server.ejections, 8)
  for (let i = 0; i < 15; i++) noteSuccess(server)
  assert.is(server.ejections, 8)
  noteSuccess(server)
  assert.is(server.ejections, 4)
  for (let i = 0; i < 48; i++) noteSuccess(server)
  assert.is(server.ejections, 0)
})

// ---- runs of 5xx ----

test('a run of 5xx ejects if others do better, 5 s to 60 s, ended by time', () => {
  const [bad, good] = pool('bad', 'good')
  assert.not(noteErrorRun(bad!, 0), 'nobody to compare with')
  good!.errorShare = 0
  assert.ok(noteErrorRun(bad!, 0))
  assert.is(bad!.ejectedFor, 'errors')
  assert.is(bad!.probeAtMs, 5000)
  assert.not(noteErrorRun(bad!, 4000), 'it is out')
  assert.not(isEligible(bad!, null, 5000))
  const lengths = []
  for (let i = 0; i < 6; i++) {
    const nowMs = bad!.probeAtMs
    assert.ok(dueForProbe(bad!, nowMs) && endsWithoutProbe(bad!))
    noteProbe(bad!, true, nowMs)
    assert.ok(isEligible(bad!, null, nowMs))
    assert.ok(noteErrorRun(bad!, nowMs))
    lengths.push(bad!.probeAtMs - nowMs)
  }
  assert.equal(lengths, [10_000, 20_000, 40_000, 60_000, 60_000, 60_000])
})

test('all servers answer 5xx: none is ejected', () => {
  const list = pool('a', 'b', 'c', 'd')
  for (const server of list) {
    server.errorShare = 0.9
  }
  for (const server of list) assert.not(noteErrorRun(server, 0))
})

test('all fail at once: none ejected in turn, at most half at random', () => {
  const ejectedOf = (next: (i: number) => number) => {
    const list = pool('a', 'b', 'c', 'd', 'e', 'f')
    for (const server of list) server.errorLimit = 5
    for (let i = 0; i < 600; i++) {
      const server = list[next(i)]!
      if (noteAnswer(server, i < 300 ? 200 : 500, 1)) noteErrorRun(server, 0)
    }
    return list.filter(server => server.ejections > 0).length
  }
  assert.is(
    ejectedOf(i => i % 6),
    0,
  )
  const atRandom = Array.from({ length: 200 }, (_, seed) => seeded(seed)).map(random => ejectedOf(() => Math.floor(random() * 6)))
  assert.ok(atRandom.every(ejected => ejected <= 3))
  const hit = atRandom.filter(ejected => ejected > 0).length
  assert.ok(hit < 20, `${hit} times of 200`)
})

// ---- reports of other replicas ----

test('a remote ejection holds for the rest of its time, within the threshold', () => {
  const [a, b, c, d] = pool('a', 'b', 'c', 'd')
  assert.not(applyRemoteEjection(a!, 0, 'errors', 0, 1), 'its time is over')
  assert.ok(applyRemoteEjection(a!, 0, 'errors', 3000, 4))
  assert.is(a!.probeAtMs, 3000)
  assert.is(a!.ejections, 4, 'the next is longer here as well')
  assert.not(applyRemoteEjection(a!, 100, 'errors', 60_000, 16), 'it is out already')
  assert.ok(applyRemoteEjection(b!, 0, 'reset', 1e9, 99))
  assert.is(b!.probeAtMs, 60_000)
  assert.is(b!.ejections, 16)
  assert.not(applyRemoteEjection(c!, 0, 'errors', 3000, 1))
  assert.not(applyRemoteEjection(d!, 0, 'reset', 3000, 1))
})

test('a remote ejection of the only server is ignored', () => {
  const [only] = pool('only')
  assert.not(applyRemoteEjection(only!, 0, 'errors', 60_000, 16))
  assert.not(applyRemoteEjection(only!, 0, 'reset', 60_000, 16))
  assert.not(noteSuspicion(only!, 0))
  assert.ok(isEligible(only!, null, 0))
})

test('reports are accepted once a second, 5 s after a check, not while ejected', () => {
  const server = one()
  assert.ok(acceptsReports(server, 0))
  noteChecked(server, 0, false)
  assert.not(acceptsReports(server, 999))
  assert.ok(acceptsReports(server, 1000))
  noteChecked(server, 1000, true)
  assert.not(acceptsReports(server, 5999))
  assert.ok(acceptsReports(server, 6000))
  noteFailure(server, 6000, 'timeout')
  assert.not(acceptsReports(server, 6001))
})

test('recovered elsewhere: probed now, unless under way or ended by time', () => {
  const server = one()
  noteRecoveredElsewhere(server, 0)
  assert.is(server.probeAtMs, 0, 'it is in')
  for (let i = 0; i < 5; i++) noteProbe(server, false, 0, 'timeout')
  assert.is(server.probeAtMs, 16_000)
  noteRecoveredElsewhere(server, 500)
  assert.ok(dueForProbe(server, 500))
  noteProbeStarted(server, 500)
  noteRecoveredElsewhere(server, 600)
  assert.not(dueForProbe(server, 600))
  const [erring, other] = pool('a', 'b')
  other!.errorShare = 0
  noteErrorRun(erring!, 0)
  noteRecoveredElsewhere(erring!, 1)
  assert.not(dueForProbe(erring!, 4999))
})

test('a remote ejection during suspicion outlasts the connect', () => {
  const [a, b] = pool('a', 'b')
  b!.errorShare = 0
  assert.ok(noteSuspicion(a!, 0))
  assert.ok(applyRemoteEjection(a!, 100, 'errors', 5000, 1))
  assert.not(noteConnect(a!, 400, 400))
  assert.not(isEligible(a!, null, 400))
})

// ---- suspicion ----

test('a connect is suspect after 300 ms or three times the mean', () => {
  const server = one()
  assert.is(suspectAfterMs(server), 300)
  noteConnect(server, 0, 2)
  assert.is(suspectAfterMs(server), 300)
  for (let i = 0; i < 100; i++) noteConnect(server, 0, 400)
  assert.ok(suspectAfterMs(server) > 1190 && suspectAfterMs(server) <= 1200)
})

test('suspicion needs another proven server and leaves half', () => {
  const [a, b, c] = pool('a', 'b', 'c')
  assert.not(noteSuspicion(a!, 0))
  b!.errorShare = 0
  assert.ok(noteSuspicion(a!, 0))
  assert.not(isEligible(a!, null, 2999))
  assert.ok(isEligible(a!, null, 3000), 'without a verdict it is in again')
  assert.not(noteSuspicion(a!, 1), 'once')
  assert.not(noteSuspicion(c!, 1), 'one of three is out')
  assert.is(a!.ejections, 0, 'it is no ejection')
})

test('a connect ends suspicion, a failure ejects for the usual time', () => {
  const [a, b] = pool('a', 'b')
  b!.errorShare = 0
  noteSuspicion(a!, 0)
  assert.ok(noteConnect(a!, 400, 400))
  assert.ok(isEligible(a!, null, 400))
  assert.not(noteConnect(a!, 500, 1))
  noteSuspicion(a!, 1000)
  assert.not(noteFailure(a!, 1100, 'reset'), 'a reset is no verdict')
  assert.ok(noteFailure(a!, 1700, 'timeout'))
  assert.is(a!.ejectedFor, 'timeout')
  assert.is(a!.probeAtMs, 2700)
  assert.not(noteConnect(a!, 1800, 1), 'a connect that was late does not let in what has failed')
})

test('peers are queried after 25 ms or 1.5 times the mean', () => {
  const server = one()
  assert.is(queryAfterMs(server), 25)
  server.connectMs = 40
  assert.is(queryAfterMs(server), 60)
})

test('reachability answers are dropped once reached or when stale', () => {
  const server = one()
  noteReachedBy(server, 0, 'p', 60_000)
  noteFailure(server, 5000, 'timeout')
  assert.equal(server.reachedBy, ['p'])
  for (let nowMs = 6000; nowMs < 60_000; nowMs = server.probeAtMs) {
    noteProbeStarted(server, nowMs)
    noteProbe(server, false, nowMs + 1000)
  }
  assert.equal(server.reachedBy, ['p'], 'as long as it is out')
  noteConnect(server, 60_000, 3)
  assert.equal(server.reachedBy, ['p'], 'only a probe lets it in')
  noteProbe(server, true, 61_000)
  assert.equal(server.reachedBy, [])
  noteReachedBy(server, 62_000, 'p', 60_000)
  noteConnect(server, 63_000, 3)
  assert.equal(server.reachedBy, ['p'], 'as long as nobody would be asked again')
  noteConnect(server, 63_001, 3)
  assert.equal(server.reachedBy, [])
  noteReachedBy(server, 64_000, 'p', 60_000)
  noteFailure(server, 69_001, 'timeout')
  assert.equal(server.reachedBy, [])
})

test.run()
