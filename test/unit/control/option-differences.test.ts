import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemberState } from '../../../cluster/core/state.ts'
import { OptionDifferences, SETTLED_MS, WARN_AFTER_MS } from '../../../src/control/option-differences.ts'

interface Sketch {
  readonly id?: string
  readonly state?: MemberState
  readonly options?: Readonly<Record<string, string>> | undefined
}

/** `a` is this member. */
function member(name: string, { id = name, state = 'alive', options = { domain: 'x' } }: Sketch = {}) {
  return { id, name, state, role: 'follower' as const, self: name === 'a', options }
}

const brief = (differences: OptionDifferences, now: number): string[] =>
  differences.list(now).map(one => `${one.severity} ${one.member} ${one.option} ${one.value}/${one.leaderValue} ${one.forMs}`)
const levels = (differences: OptionDifferences, now: number): string[] =>
  differences.lines(now).map(({ level, fields }) => `${level} ${fields.member}`)

test('members are compared with the current leader', () => {
  const differences = new OptionDifferences(0)
  const all = [member('a'), member('b'), member('c', { options: { domain: 'y' } })]
  differences.update(all, 'a', 0)
  assert.equal(brief(differences, 5), ['warning c domain y/x 5'])
  differences.update(all, 'c', 10)
  assert.equal(brief(differences, 15), ['warning a domain x/y 15', 'warning b domain x/y 15'])
  differences.update(all, null, 20)
  assert.equal(brief(differences, 25), ['warning c domain y/x 25'])
})

test('members that are gone, or announce no options or unknown ones, are not compared', () => {
  const differences = new OptionDifferences(0)
  const others = [
    member('gone', { state: 'gone', options: { domain: 'y' } }),
    { ...member('old'), options: undefined },
    member('newer', { options: { domain: 'x', more: '1' } }),
    member('suspect', { state: 'suspect', options: { domain: 'z' } }),
  ]
  differences.update([member('a'), ...others], 'a', 0)
  assert.equal(brief(differences, 0), ['warning suspect domain z/x 0'])
  differences.update([{ ...member('a'), options: undefined }, ...others], 'a', 0)
  assert.equal(brief(differences, 0), [])
})

test('a difference is logged once, again when its value changes, and when it ends', () => {
  const differences = new OptionDifferences(0)
  differences.update([member('a'), member('b', { options: { domain: 'y' } })], 'a', 0)
  assert.equal(levels(differences, WARN_AFTER_MS - 1), [])
  assert.equal(levels(differences, WARN_AFTER_MS), ['warn b'])
  assert.equal(levels(differences, WARN_AFTER_MS + 1), [])
  differences.update([member('a'), member('b', { options: { domain: 'z' } })], 'a', WARN_AFTER_MS + 2)
  assert.equal(levels(differences, WARN_AFTER_MS + 3), ['warn b'])
  differences.update([member('a'), member('b')], 'a', WARN_AFTER_MS + 4)
  assert.equal(levels(differences, WARN_AFTER_MS + 5), ['info b'])
  assert.equal(levels(differences, WARN_AFTER_MS + 6), [])
})

test("the leader logs all members' differences, another member only its own", () => {
  const differences = new OptionDifferences(0)
  const y = { options: { domain: 'y' } }
  differences.update([member('a'), member('b', y), member('c', y)], 'a', 0)
  assert.equal(levels(differences, 5_000), ['warn b', 'warn c'])
  const follower = new OptionDifferences(0)
  follower.update([member('a', y), member('b'), member('c', y)], 'b', 0)
  const [line, ...more] = follower.lines(5_000)
  assert.equal(more, [])
  assert.is(
    line?.message,
    '--domain of this replica is "y", that of the leader b is "x": the leader\'s options are in effect; set the same value on all replicas',
  )
})

test('ten minutes after the last join or leave it is an error, logged again every hour', () => {
  const differences = new OptionDifferences(0)
  const y = { options: { domain: 'y' } }
  differences.update([member('a'), member('b', y)], 'a', 0)
  assert.equal(levels(differences, 5_000), ['warn b'])
  // A rolling update: another member is replaced every five minutes.
  differences.update([member('a'), member('b', y), member('c', { id: 'c2', ...y })], 'a', 300_000)
  differences.update([member('a'), member('b', y), member('c', { id: 'c3', ...y })], 'a', 600_000)
  assert.equal(brief(differences, 600_000 + SETTLED_MS - 1)[0], 'warning b domain y/x 1199999')
  assert.equal(brief(differences, 600_000 + SETTLED_MS)[0], 'error b domain y/x 1200000')
  assert.equal(levels(differences, 600_000 + SETTLED_MS), ['error b', 'error c'])
  assert.equal(levels(differences, 600_000 + SETTLED_MS + 1), [])
  assert.equal(levels(differences, 600_000 + SETTLED_MS + 3_600_000), ['error b', 'error c'])
})

test('a member that keeps restarting delays the error by at most an hour', () => {
  const differences = new OptionDifferences(0)
  const y = { options: { domain: 'y' } }
  for (let minute = 0; minute <= 60; minute++)
    differences.update([member('a'), member('b', { id: `b${minute}`, ...y })], 'a', minute * 60_000)
  assert.equal(brief(differences, 3_599_999), ['warning b domain y/x 3599999'])
  assert.equal(brief(differences, 3_600_000), ['error b domain y/x 3600000'])
})

test('a member that announces another value every few seconds does not flood the log', () => {
  const differences = new OptionDifferences(0)
  let lines = 0
  for (let i = 0; i < 10_000; i++) {
    differences.update([member('a'), member('b', { options: { domain: `y${i}` } })], 'a', i)
    lines += differences.lines(i + WARN_AFTER_MS).length
  }
  assert.ok(lines > 0)
  assert.ok(lines <= 64, `${lines} lines`)
})

test('a new leader or a leaving member does not end a difference', () => {
  const y = { options: { domain: 'y' } }
  const all = [member('a'), member('b'), member('edge two', y)]
  const differences = new OptionDifferences(0)
  differences.update(all, 'a', 0)
  assert.equal(levels(differences, 5_000), ['warn edge two'])
  differences.update(all, 'b', 6_000)
  assert.equal(levels(differences, 7_000), [], 'another member leads and logs it')
  differences.update(all, 'a', 8_000)
  assert.equal(levels(differences, 9_000), ['warn edge two'])
  differences.update([member('a'), member('b')], 'a', 10_000)
  assert.equal(levels(differences, 11_000), [], 'it has left')
  differences.update(all, 'a', 12_000)
  assert.equal(levels(differences, 16_000), ['warn edge two'])
  differences.update([member('a'), member('b'), member('edge two')], 'a', 17_000)
  assert.equal(levels(differences, 18_000), ['info edge two'])
})

test('differences beyond the limit of one minute are logged in the next minutes', () => {
  const others = Array.from({ length: 100 }, (_, i) => member(`m${i}`, { options: { domain: 'y' } }))
  const differences = new OptionDifferences(0)
  differences.update([member('a'), ...others], 'a', 0)
  const logged = new Set<string>()
  for (let second = 5; second <= 200; second++) for (const one of levels(differences, second * 1_000)) logged.add(one)
  assert.is(logged.size, 100)
})

test.run()
