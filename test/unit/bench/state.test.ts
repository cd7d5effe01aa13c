// The bench of shared state: its command line, its table, and the arithmetic of small differences.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clusterTable } from '../../bench/cluster-table.ts'
import { threadsMicroseconds } from '../../bench/cpu-clock.ts'
import { knownAfter } from '../../bench/known-after.ts'
import { difference, intervalText, orderOf } from '../../bench/paired.ts'
import { type Figures, NOTHING, PARTS, readOptions, UsageError } from '../../bench/state-parts.ts'
import { judge } from '../../bench/state-table.ts'

const verdicts = (figures: Partial<Figures>): readonly (boolean | null)[] =>
  judge({ ...NOTHING, ...figures }, {}).map(({ met }) => met)

test('no --only: all parts; with --only: the named parts in the fixed order', () => {
  const all = readOptions([])
  assert.equal(all?.parts, PARTS)
  assert.is(all?.json, false)
  assert.is(all?.skein, null)
  const some = readOptions(['--json', '--only', 'newcomer,cookie', '--rounds', '3', '--seconds', '2', '--skein', '/x/main.ts'])
  assert.equal(some?.parts, ['cookie', 'newcomer'])
  assert.equal([some?.json, some?.rounds, some?.seconds, some?.skein], [true, 3, 2, '/x/main.ts'])
  assert.is(readOptions(['--help']), null)
})

test('invalid options: refused with the name of the option', () => {
  for (const [args, message] of [
    [['--only', 'cookies'], /--only cookies: expected some of cookie, learn/],
    [['--rounds', '0'], /--rounds 0: expected a whole number from 1 to 1000/],
    [['--rounds', '1.5'], /--rounds 1\.5/],
    [['--seconds', 'soon'], /--seconds soon: expected a whole number from 1 to 600/],
    [['--fast'], /--fast/],
    [['gossip'], /gossip/],
  ] as const) {
    assert.throws(
      () => readOptions(args),
      (error: Error) => error instanceof UsageError && message.test(error.message),
      args.join(' '),
    )
  }
})

test('figures: compared with their targets; the limit itself is met', () => {
  assert.equal(new Set(verdicts({})), new Set([null]))
  const limits: Figures = {
    stickyCookieUs: 1,
    stickyLearnUs: 1.5,
    breakerUs: 1,
    memoryBytesPerSession: 300,
    gossipBytesPerSession: 200,
    sessionToAllMsP99Gossip: 150,
    sessionToAllMsP99Redis: 50,
    newcomerPullMs: 2000,
  }
  assert.equal(new Set(verdicts(limits)), new Set([true]))
  const beyond = Object.fromEntries(Object.entries(limits).map(([key, value]) => [key, (value ?? 0) + 0.1])) as unknown as Figures
  assert.equal(new Set(verdicts(beyond)), new Set([false]))
})

test('the table: met, missed and unmeasured figures', () => {
  const text = clusterTable(judge({ ...NOTHING, stickyLearnUs: 2.25, memoryBytesPerSession: 96 }, { stickyLearnUs: 'noisy' }))
  assert.match(text, /\| CPU per request added by learned .*\| 1\.5 us \| 2\.25 us \| \*\*missed\*\* \| noisy \|/)
  assert.match(text, /\| memory per learned session per worker \| 300 bytes \| 96 bytes \| met \|/)
  assert.match(text, /\| newcomer pulls .* \| 2,000 ms \| - \| not measured \|/)
})

test('the difference of two variants: the median of the differences within rounds', () => {
  const off = [20, 25, 30, 22, 40]
  const { median, low, high, rounds } = difference([20.5, 25.7, 30.4, 22.6, 41.5], off)
  assert.is(Math.round(median * 100), 60)
  assert.equal([Math.round(low * 100), Math.round(high * 100), rounds], [40, 150, 5])
  assert.throws(() => difference([1], off), /1 rounds with it, 5 without/)
  assert.is(intervalText(difference([3, 4], [1, 1])), '2.50 (2.00 to 3.00)')
})

test('more rounds: the interval narrows', () => {
  const values = Array.from({ length: 100 }, (_, i) => i)
  const { low, high, median } = difference(
    values,
    values.map(() => 0),
  )
  assert.equal([low, median, high], [40, 49.5, 59])
})

test('the order of variants: each is first, and follows each other one', () => {
  const orders = Array.from({ length: 6 }, (_, round) => orderOf(['a', 'b', 'c'], round).join(''))
  assert.equal(orders, ['abc', 'bca', 'cab', 'cba', 'acb', 'bac'])
})

test('known after: the age from which the share is known, despite outliers', () => {
  const at = (ageMs: number, known: boolean) => ({ ageMs, known })
  assert.is(knownAfter([at(3, true), at(1, false), at(2, false), at(4, true)], 0.99), 3)
  assert.is(knownAfter([at(1, true), at(2, true)], 0.99), 1)
  assert.is(knownAfter([at(1, false), at(2, false)], 0.5), null)
  assert.is(knownAfter([], 0.5), null)
  // One late session among a hundred known ones is the one in a hundred that the share allows.
  const mostly = Array.from({ length: 200 }, (_, i) => at(i, i >= 50 && i !== 150))
  assert.is(knownAfter(mostly, 0.99), 50)
  assert.is(knownAfter(mostly, 0.999), 151)
})

test('a busy process: its CPU time grows by about its work', () => {
  const before = threadsMicroseconds(process.pid)
  const own = process.cpuUsage()
  const until = performance.now() + 60
  while (performance.now() < until);
  const used = threadsMicroseconds(process.pid) - before
  const { user, system } = process.cpuUsage(own)
  assert.ok(Math.abs(used - user - system) < 15_000, `${used} us by threads, ${user + system} us by the process`)
})

test.run()
