// A worker's log: in batches, bounded in rate, nothing lost without a word.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FromWorker } from '../../../src/workers/messages.ts'
import { WorkerLog } from '../../../src/workers/worker-log.ts'

type Logs = Extract<FromWorker, { kind: 'logs' }>

test('lines go out with the next flush, in order; without lines nothing goes', () => {
  const posted: Logs[] = []
  const log = new WorkerLog(message => void posted.push(message as Logs))
  log.flush(1000)
  assert.is(posted.length, 0)
  log.add('warn', 'a', { status: 502 })
  log.add('info', 'b', {})
  log.flush(1100)
  log.flush(1200)
  assert.is(posted.length, 1)
  assert.equal(
    posted[0]!.lines.map(line => [line.level, line.message]),
    [
      ['warn', 'a'],
      ['info', 'b'],
    ],
  )
  assert.is(posted[0]!.suppressed, 0)
})

test('a flood is cut off, counted and told; a second later lines pass again', () => {
  const posted: Logs[] = []
  const log = new WorkerLog(message => void posted.push(message as Logs))
  log.flush(1000)
  for (let i = 0; i < 1000; i++) log.add('info', `${i}`, {})
  log.flush(1100)
  for (let i = 0; i < 1000; i++) log.add('info', `${i}`, {})
  log.flush(2100)
  log.add('info', 'again', {})
  log.flush(2200)
  const lines = posted.reduce((sum, one) => sum + one.lines.length, 0)
  const suppressed = posted.reduce((sum, one) => sum + one.suppressed, 0)
  assert.ok(lines <= 101 && lines >= 2, `${lines} lines`)
  assert.is(lines + suppressed, 2001)
  assert.is(posted.at(-1)!.lines.at(-1)!.message, 'again')
})

test.run()
