import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Breaker, ConfigError } from '../../../../src/config/model.ts'
import { readBreaker } from '../../../../src/labels/shared/breaker.ts'
import { LabelSet } from '../../../../src/labels/shared/label-set.ts'
import { reportFor } from '../../../../src/labels/shared/report.ts'

const EXPRESSION = 'backend.circuitbreaker.expression'

function read(values: Record<string, string>): { breaker: Breaker | null; errors: ConfigError[] } {
  const errors: ConfigError[] = []
  const written = new Map(
    Object.entries(values).map(([name, value]) => [name, { key: name.startsWith('skein.') ? name : `traefik.${name}`, value }]),
  )
  return { breaker: readBreaker(new LabelSet(written, 'traefik', reportFor('swarm', 'shop', errors)), EXPRESSION), errors }
}

test('no label, no breaker', () => {
  assert.equal(read({}), { breaker: null, errors: [] })
  assert.equal(read({ [EXPRESSION]: ' ' }), { breaker: null, errors: [] })
})

test("an expression, with oxy's times", () => {
  assert.equal(read({ [EXPRESSION]: ' NetworkErrorRatio() > 0.5 ' }), {
    breaker: {
      expression: 'NetworkErrorRatio() > 0.5',
      when: { kind: 'networkErrorRatio', is: '>', value: 0.5 },
      minRequests: 10,
      openMs: 10_000,
      recoveryMs: 10_000,
    },
    errors: [],
  })
})

test("Skein's own labels set the rest", () => {
  const { breaker, errors } = read({
    [EXPRESSION]: 'NetworkErrorRatio() > 0.5',
    'skein.breaker.expression': 'LatencyAtQuantileMS(50.0) > 100',
    'skein.breaker.minRequests': '1',
    'skein.breaker.open': '500ms',
    'skein.breaker.recovery': '1m30s',
  })
  assert.equal(errors, [])
  assert.equal(breaker, {
    expression: 'LatencyAtQuantileMS(50.0) > 100',
    when: { kind: 'latencyAtQuantileMs', quantile: 50, is: '>', value: 100 },
    minRequests: 1,
    openMs: 500,
    recoveryMs: 90_000,
  })
})

test('a wrong value is an error of its label', () => {
  const bad = read({ [EXPRESSION]: 'NetworkErrorRatio() > ' })
  assert.is(bad.breaker, null)
  assert.equal(bad.errors, [
    {
      severity: 'error',
      provider: 'swarm',
      source: 'shop',
      key: 'traefik.backend.circuitbreaker.expression',
      value: 'NetworkErrorRatio() >',
      message: 'expected a number from 0 to 1000000000 at column 22, found nothing; there is no circuit breaker',
    },
  ])
  const odd = read({
    [EXPRESSION]: 'NetworkErrorRatio() > 1',
    'skein.breaker.minRequests': '0',
    'skein.breaker.open': '10',
    'skein.breaker.recovery': '48h',
  })
  assert.equal([odd.breaker?.minRequests, odd.breaker?.openMs, odd.breaker?.recoveryMs], [10, 10_000, 10_000])
  assert.equal(
    odd.errors.map(({ severity, key }) => `${severity} ${key}`),
    ['error skein.breaker.minRequests', 'error skein.breaker.open', 'error skein.breaker.recovery'],
  )
  const allWrong = read({ [EXPRESSION]: 'x', 'skein.breaker.open': '10', 'skein.breaker.recovery': '48h' })
  assert.equal(
    allWrong.errors.map(({ key }) => key),
    [`traefik.${EXPRESSION}`, 'skein.breaker.open', 'skein.breaker.recovery'],
  )
})

test('settings without an expression are a warning', () => {
  const { breaker, errors } = read({ 'skein.breaker.open': '5s' })
  assert.is(breaker, null)
  assert.is(errors.length, 1)
  assert.is(errors[0]?.severity, 'warning')
  assert.match(errors[0]?.message ?? '', /expected traefik.backend.circuitbreaker.expression with it/)
})

test.run()
