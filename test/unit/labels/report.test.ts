import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../src/config/model.ts'
import { reportFor } from '../../../src/labels/report.ts'

test('findings name everything, cut', () => {
  const errors: ConfigError[] = []
  const report = reportFor('swarm', 'a', errors)
  report.error('k', 'v'.repeat(500), 'expected x')
  report.warn('k2', 'v2', 'ignored')
  assert.is(errors[0]?.value.length, 200)
  assert.equal(
    { ...errors[0], value: '' },
    { severity: 'error', provider: 'swarm', source: 'a', key: 'k', value: '', message: 'expected x' },
  )
  assert.is(errors[1]?.severity, 'warning')
})

test('one service cannot bury the others', () => {
  const errors: ConfigError[] = []
  const report = reportFor('swarm', 'a', errors)
  for (let i = 0; i < 1_000; i++) report.error(`k${i}`, '', '')
  assert.is(errors.length, 51)
  assert.match(errors[50]?.message ?? '', /more findings/)
  reportFor('swarm', 'b', errors).error('k', '', '')
  assert.is(errors.length, 52)
})

test.run()
