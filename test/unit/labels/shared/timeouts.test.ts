// The `skein.timeout.*` labels.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readTraefikV1 } from '../../../../src/labels/traefik-v1/reader.ts'
import { found, OPTIONS } from './services.ts'

function timeouts(labels: Record<string, string>) {
  const { services, errors } = readTraefikV1([found('a', { 'traefik.port': '80', ...labels })], OPTIONS)
  return { ...services.a?.timeouts, told: errors.map(e => [e.severity, e.key, e.value, e.message]) }
}

test('without labels the options apply', () => {
  assert.equal(timeouts({}), { responseHeaderMs: null, stallMs: null, told: [] })
  assert.equal(timeouts({ 'skein.timeout.stall': '' }), { responseHeaderMs: null, stallMs: null, told: [] })
})

test('durations, and 0 for none', () => {
  for (const [text, ms] of [
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['24h', 86_400_000],
    ['1ms', 1],
    ['0', 0],
    ['0s', 0],
  ] as const) {
    assert.equal(timeouts({ 'skein.timeout.responseHeader': text }), { responseHeaderMs: ms, stallMs: null, told: [] }, text)
    assert.equal(timeouts({ 'skein.timeout.stall': text }), { responseHeaderMs: null, stallMs: ms, told: [] }, text)
  }
})

test('a wrong value is reported, and the option applies', () => {
  for (const text of ['-1s', '90', 'never', '0.0001ms', '25h', 'Infinity', '1e3s', '9'.repeat(400)]) {
    for (const name of ['responseHeader', 'stall']) {
      const key = `skein.timeout.${name}`
      const read = timeouts({ [key]: text })
      assert.equal([read.responseHeaderMs, read.stallMs], [null, null], text)
      assert.is(read.told.length, 1, text)
      assert.equal(read.told[0]!.slice(0, 2), ['error', key])
      assert.match(
        read.told[0]![3]!,
        /expected a duration such as 90s or 10m, up to 24h, or 0 for none; the replica's limit is used/,
      )
    }
  }
})

test('a segment has limits of its own', () => {
  const labels = {
    'traefik.api.port': '80',
    'traefik.api.frontend.rule': 'Host:api.test',
    'traefik.web.port': '81',
    'skein.timeout.stall': '1m',
    'skein.api.timeout.stall': '2m',
  }
  const { services, errors } = readTraefikV1([found('a', labels)], OPTIONS)
  assert.equal(errors, [])
  assert.equal(
    Object.values(services)
      .map(service => service.timeouts.stallMs)
      .sort(),
    [120_000, 60_000],
  )
})

test.run()
