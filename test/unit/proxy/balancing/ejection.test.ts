// Passive ejection: what ejects, for how long, who comes back and how. Time is a number handed in.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  dueForProbe,
  ejectionMs,
  noteFailure,
  noteProbe,
  noteProbeStarted,
  noteSuccess,
} from '../../../../src/proxy/balancing/ejection.ts'
import { isEligible } from '../../../../src/proxy/balancing/eligible.ts'
import type { UpstreamServer } from '../../../../src/proxy/upstream-server.ts'
import { servers } from './servers.ts'

function one(): UpstreamServer {
  return servers('a')[0]!
}

test('lengths double from 1 s to 60 s; after a refusal from 150 ms to 5 s', () => {
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

test('resets eject after three in a row; an answer between them counts anew', () => {
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

test('a probe is made once, by one, and its verdict counts', () => {
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

test('a probe that says how it failed sets the length', () => {
  const server = one()
  noteFailure(server, 0, 'timeout')
  noteProbe(server, false, 1000, 'refused')
  assert.ok(dueForProbe(server, 1300))
})

test('a probe that fails in another way begins anew: neither waits as long as the other has come to', () => {
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

test('without a probe or its verdict the server comes back by itself', () => {
  const server = one()
  noteFailure(server, 0, 'timeout')
  assert.not(isEligible(server, null, 3999))
  assert.ok(isEligible(server, null, 4000))
  noteProbeStarted(server, 5000)
  assert.not(isEligible(server, null, 7999))
  assert.ok(isEligible(server, null, 8000))
})

test('an answer to an old request does not re-admit a server that refuses new ones', () => {
  const server = one()
  noteFailure(server, 0, 'refused')
  for (let i = 0; i < 100; i++) noteSuccess(server)
  assert.not(isEligible(server, null, 100))
  assert.is(server.ejections, 1)
})

test('ejections are forgotten by halves while the server answers, and grow while it does not', () => {
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

test.run()
