import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Figures, median, percentile, range, summaryText } from '../../bench/cluster-parts.ts'
import { clusterTable, judge } from '../../bench/cluster-table.ts'

const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)

const nothing: Figures = {
  leaderCrashMsP99: null,
  leaderHangMsP99: null,
  configToAllMsP99: null,
  joinMs: null,
  idleCpuPercent: null,
  snapshotToAllMs: null,
  cpuUsPerRequestOff: null,
  cpuUsPerRequestOn: null,
  cpuUsPerRelayedRequest: null,
}

const verdicts = (figures: Partial<Figures>, noise = 0): readonly (boolean | null)[] =>
  judge({ ...nothing, ...figures }, {}, noise).map(({ met }) => met)

test('percentiles: measured values; of a few values the largest', () => {
  assert.is(percentile(hundred, 99), 99)
  assert.is(median(hundred), 50)
  assert.is(percentile([3, 1, 2], 99), 3)
  assert.is(range([3, 1, 2]), 2)
  assert.throws(() => percentile([], 99), /nothing was measured/)
  assert.is(summaryText([1.4, 2.6]), 'median 1, p99 3, largest 3, 2 runs')
})

test('a figure without a measurement: neither met nor missed', () => {
  assert.equal(new Set(verdicts({})), new Set([null]))
  assert.match(clusterTable(judge(nothing, {}, 0)), /\| - \| not measured \|/)
})

test('measured figures: each is compared with its own target', () => {
  assert.equal(verdicts({ leaderCrashMsP99: 1000, leaderHangMsP99: 2000.1 }).slice(0, 2), [true, false])
  assert.equal(verdicts({ configToAllMsP99: 501, joinMs: 1500 }).slice(2, 4), [false, true])
  assert.equal(verdicts({ snapshotToAllMs: 2001 })[5], false)
})

test('idle CPU: missed if one size of the cluster misses it', () => {
  assert.is(verdicts({ idleCpuPercent: { 3: 0.2, 30: 1, 100: 0.9 } })[4], true)
  assert.is(verdicts({ idleCpuPercent: { 3: 0.2, 30: 0.4, 100: 1.1 } })[4], false)
})

test('cost of clustering: within noise; of a relayed request: at most 2.2 times', () => {
  assert.is(verdicts({ cpuUsPerRequestOff: 20, cpuUsPerRequestOn: 20.9 }, 0.05)[6], true)
  assert.is(verdicts({ cpuUsPerRequestOff: 20, cpuUsPerRequestOn: 21.1 }, 0.05)[6], false)
  assert.is(verdicts({ cpuUsPerRequestOn: 20, cpuUsPerRelayedRequest: 44 })[7], true)
  assert.is(verdicts({ cpuUsPerRequestOn: 20, cpuUsPerRelayedRequest: 44.1 })[7], false)
  assert.match(
    clusterTable(judge({ ...nothing, cpuUsPerRequestOn: 20, cpuUsPerRelayedRequest: 50 }, {}, 0)),
    /2\.50 times.*missed/,
  )
})

test.run()
