import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ProcessEnd, readLeftOut, readOutcome } from '../../uvu-summary.ts'

const summary = (total: number, passed: number, skipped = 0): string =>
  `• •   (${passed} / ${total})\n\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1.2ms\n`

const end = (changes: Partial<ProcessEnd>): ProcessEnd => ({
  output: summary(2, 2),
  code: 0,
  signal: null,
  timedOutMs: null,
  leftBehind: false,
  ...changes,
})

const cases: readonly (readonly [string, Partial<ProcessEnd>, number, number, RegExp | null])[] = [
  ['all passed', {}, 2, 0, null],
  ['colours', { output: '\u001b[32m  Total:     2\u001b[39m\n  Passed:    \u001b[32m2\u001b[39m\n  Skipped:   0\n' }, 2, 0, null],
  ['one failed', { output: summary(3, 2), code: 1 }, 2, 1, null],
  ['no summary', { output: 'boom', code: 1 }, 0, 1, /no summary/],
  ['no test', { output: summary(0, 0) }, 0, 1, /no test/],
  ['no test, with a reason', { output: `left out: no swarm here\n${summary(0, 0)}` }, 0, 0, null],
  ['passed, then crashed', { code: 7 }, 2, 1, /exit code 7/],
  ['failed, but exit code 0', { output: summary(2, 1) }, 1, 2, /exit code 0/],
  ['ended by a signal', { code: null, signal: 'SIGSEGV' }, 2, 1, /SIGSEGV/],
  ['too slow', { output: '', code: null, signal: 'SIGTERM', timedOutMs: 60_000 }, 0, 1, /longer than 60 s/],
  ['left processes behind', { leftBehind: true }, 2, 1, /behind/],
  ['a test that prints another summary first', { output: `  Total:     9\n${summary(2, 2)}` }, 2, 0, null],
]
for (const [name, changes, passed, failed, fault] of cases) {
  test(name, () => {
    const outcome = readOutcome(end(changes))
    assert.is(outcome.passed, passed)
    assert.is(outcome.failed, failed)
    if (fault === null) assert.is(outcome.fault, null)
    else assert.match(outcome.fault ?? '', fault)
  })
}

test('skipped tests: counted separately', () => assert.is(readOutcome(end({ output: summary(2, 2, 3) })).skipped, 3))

test('lines of tests that were left out: read with their reasons', () => {
  assert.equal(readLeftOut('a\n  left out: the lab, no root\nLeft out: x\nnot left out: y'), ['the lab, no root', 'x'])
})

test.run()
