// The bench's arithmetic: medians, ratios, and the processes that are counted.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CASES } from '../../bench/cases.ts'
import { type Measurement, median } from '../../bench/measure.ts'
import { cpuMicroseconds, processTree, rssMegabytes } from '../../bench/processes.ts'
import { caseTable } from '../../bench/table.ts'

function measured(cpuUsPerRequest: number | null, errors = 0): Measurement {
  return {
    cpuUsPerRequest,
    rps: cpuUsPerRequest === null ? null : 1e6 / cpuUsPerRequest,
    p50Ms: 1,
    p99Ms: 2,
    rssMB: 50,
    idleRssMB: 40,
    errors,
  }
}

test('several rounds: the median of each field, the sum of errors', () => {
  const three = median([measured(30, 1), measured(10), measured(20, 2)])
  assert.is(three.cpuUsPerRequest, 20)
  assert.is(three.rps, 50_000)
  assert.is(three.errors, 3)
  assert.is(median([measured(10), measured(20)]).cpuUsPerRequest, 15)
  assert.is(median([measured(null), measured(null)]).cpuUsPerRequest, null)
})

test('the table: Skein as a ratio to each other proxy', () => {
  const text = caseTable(CASES[0]!, { skein: measured(24), nginx: measured(16), caddy: measured(60), odd: measured(null) })
  assert.match(text, /\| nginx +\| +16\.0 \| +1\.50 of it \|/)
  assert.match(text, /\| caddy +\| +60\.0 \| +0\.40 of it \|/)
  assert.match(text, /\| skein +\| +24\.0 \| +- \|/)
  assert.is(
    new Set(
      text
        .trim()
        .split('\n')
        .slice(2)
        .map(line => line.length),
    ).size,
    1,
    'columns are aligned',
  )
})

test('a process with children: counted together', async () => {
  const child = spawn('sh', ['-c', 'sh -c "echo up; read x; exit 0"; exit 0'], { stdio: ['pipe', 'pipe', 'ignore'] })
  try {
    await once(child.stdout, 'data')
    const tree = processTree(child.pid!)
    assert.is(tree.length, 2)
    assert.is(tree[0], child.pid)
    assert.ok(processTree(process.pid).includes(tree[1]!))
    assert.ok(rssMegabytes(child.pid!) > 0)
    assert.ok(cpuMicroseconds(process.pid) > 0)
  } finally {
    child.stdin.end('\n')
    await once(child, 'exit')
  }
  assert.equal(processTree(child.pid!), [child.pid!])
  assert.is(cpuMicroseconds(child.pid!), 0)
})

test.run()
