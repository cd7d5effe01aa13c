// Answers that a breaker scenario expects are counted separately only at the right time and edge.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BreakerAnswers, type EdgeBreakerAnswers } from '../../swarm/load/breaker-answers.ts'
import type { LoadReport } from '../../swarm/load/generator.ts'
import type { Reply } from '../../swarm/load/http-client.ts'
import { librariesIn } from '../../swarm/redis-rootfs.ts'
import { outOfPlace, quarters } from '../../swarm/scenarios/breakers.ts'

const NONE: EdgeBreakerAnswers = {
  intended: 0,
  firstIntendedAt: null,
  lastIntendedAt: null,
  refused: 0,
  firstRefusedAt: null,
  lastRefusedAt: null,
}
const TIMES = { failingAt: 1000, healedAt: 5000, closedAt: 9000 }

function report(breaker: Readonly<Record<string, EdgeBreakerAnswers>>): LoadReport {
  return { requests: 1, failed: 0, failedBy: {}, rerouted: 0, delayed: 0, p50Ms: 0, p99Ms: 0, maxMs: 0, samples: [], breaker }
}

function judged(e1: Partial<EdgeBreakerAnswers>, failing = ['e1']): readonly number[] {
  return Object.values(outOfPlace(report({ e1: { ...NONE, ...e1 }, e2: NONE }), failing, TIMES))
}

test('500s through the failing edge and 503s, in their time: expected', () => {
  assert.equal(judged({ intended: 5, firstIntendedAt: 1001, lastIntendedAt: 4000 }), [0, 0])
  assert.equal(judged({ refused: 5, firstRefusedAt: 2000, lastRefusedAt: 8999 }), [0, 0])
  assert.equal(judged({ refused: 5, firstRefusedAt: 2000, lastRefusedAt: 8999 }, []), [0, 0], 'open everywhere')
})

test('500s and 503s before, after, or through another edge: failures', () => {
  assert.equal(judged({ intended: 5, firstIntendedAt: 999, lastIntendedAt: 4000 }), [5, 0])
  assert.equal(judged({ intended: 5, firstIntendedAt: 2000, lastIntendedAt: 6000 }), [5, 0])
  assert.equal(judged({ intended: 5, firstIntendedAt: 2000, lastIntendedAt: 3000 }, ['e2']), [5, 0])
  assert.equal(judged({ refused: 5, firstRefusedAt: 500, lastRefusedAt: 8000 }), [0, 5])
  assert.equal(judged({ refused: 5, firstRefusedAt: 2000, lastRefusedAt: 10_000 }), [0, 5])
})

test('a 503 without Retry-After, or another status: not a refusal; a 500: of the backend', () => {
  const reply = (status: number, fields = ''): Reply => ({ status, head: `HTTP/1.1 ${status} x${fields}`, body: Buffer.alloc(0) })
  const answers = new BreakerAnswers(['e1'])
  assert.not.ok(answers.takeRefusal('e1', reply(503)))
  assert.not.ok(answers.takeRefusal('e1', reply(502, '\r\nRetry-After: 2')))
  assert.not.ok(answers.takeRefusal('e1', reply(503, '\r\nRetry-After: soon')))
  assert.not.ok(answers.takeRefusal('e2', reply(503, '\r\nRetry-After: 2')))
  assert.ok(answers.takeRefusal('e1', reply(503, '\r\nretry-after: 2')))
  assert.not.ok(answers.takeIntended('e1', reply(502)))
  assert.ok(answers.takeIntended('e1', reply(500)))
  assert.is(answers.report().e1?.refused, 1)
  assert.is(answers.report().e1?.intended, 1)
})

test('arrivals: counted by quarters of a period', () => {
  const at = [99, 100, 124, 125, 160, 199, 200].map(ms => [ms, 'e1', 200] as const)
  assert.equal(quarters(at, { from: 100, to: 200 }), [2, 1, 1, 1])
})

test('the output of ldd: the paths of libraries', () => {
  const said = [
    '\tlinux-vdso.so.1 (0x00007f9ee527c000)',
    '\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f9ee48a5000)',
    '\t/lib64/ld-linux-x86-64.so.2 (0x00007f9ee527e000)',
    '\tstatically linked',
  ].join('\n')
  assert.equal(librariesIn(said), ['/lib/x86_64-linux-gnu/libc.so.6', '/lib64/ld-linux-x86-64.so.2'])
})

test.run()
