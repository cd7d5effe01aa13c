// The `skein.outlier.*` labels.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readTraefikV1 } from '../../../../src/labels/traefik-v1/reader.ts'
import { found, OPTIONS } from './services.ts'

function outliers(value: string | null) {
  const labels = { 'traefik.port': '80', ...(value === null ? {} : { 'skein.outlier.errors': value }) }
  const { services, errors } = readTraefikV1([found('a', labels)], OPTIONS)
  return { errors: services.a?.outliers.errors, told: errors.map(e => [e.severity, e.key, e.value, e.message]) }
}

test('consecutive 5xx answers; 0: never; default 5', () => {
  assert.equal(outliers(null), { errors: 5, told: [] })
  assert.equal(outliers(''), { errors: 5, told: [] })
  assert.equal(outliers('0'), { errors: 0, told: [] })
  assert.equal(outliers(' 12 '), { errors: 12, told: [] })
  assert.equal(outliers('1000000'), { errors: 1_000_000, told: [] })
})

test('a wrong value is reported and the default used', () => {
  for (const value of ['-1', '1000001', '5.5', 'never', '1e3', '9'.repeat(400)]) {
    const read = outliers(value)
    assert.is(read.errors, 5, value)
    assert.is(read.told.length, 1, value)
    assert.equal(read.told[0]!.slice(0, 2), ['error', 'skein.outlier.errors'])
    assert.match(read.told[0]![3]!, /expected a whole number from 0 to 1000000; 5 is used/)
  }
})

test.run()
