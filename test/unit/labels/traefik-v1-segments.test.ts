import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../src/config/model.ts'
import { reportFor } from '../../../src/labels/report.ts'
import { MAX_VALUE_LENGTH, readSegments } from '../../../src/labels/traefik-v1-segments.ts'

function read(labels: Record<string, string>) {
  const errors: ConfigError[] = []
  return { result: readSegments(labels, 'traefik', reportFor('swarm', 'a', errors)), errors }
}

test('without segments the service itself is the one', () => {
  const { result } = read({ 'traefik.port': '80', other: 'x', traefikx: 'y' })
  assert.equal(
    result?.segments.map(s => [s.name, s.silent]),
    [['', false]],
  )
  assert.is(result?.whole.text('port'), '80')
  assert.is(read({}).result?.segments[0]?.silent, true)
})

test('segments inherit, and labels remember how they were written', () => {
  const { result } = read({ 'traefik.port': '80', 'traefik.b.weight': '2', 'traefik.a.port': '81' })
  const [a, b] = result?.segments ?? []
  assert.is(a?.name, 'a')
  assert.is(a?.labels.key('port'), 'traefik.a.port')
  assert.is(a?.labels.text('weight'), null)
  assert.is(a?.labels.key('weight'), 'traefik.a.weight')
  assert.is(b?.labels.text('port'), '80')
  assert.is(b?.labels.key('port'), 'traefik.port')
})

test('a guard that is not read yet takes its router away, on the service all of them', () => {
  assert.equal(
    read({ 'traefik.frontend.auth.basic.users': 'x', 'traefik.a.port': '1', 'traefik.b.port': '2' }).result?.segments,
    [],
  )
  const { result, errors } = read({
    'traefik.a.frontend.auth.basic.users': 'secret',
    'traefik.a.port': '1',
    'traefik.b.port': '2',
  })
  assert.equal(
    result?.segments.map(s => s.name),
    ['b'],
  )
  // A credential is not for the admin API.
  assert.is(errors[0]?.value, '')
})

test('a guarded segment without other labels leaves the service guarded too', () => {
  const { result } = read({ 'traefik.a.frontend.auth.basic.users': 'x', 'traefik.port': '80' })
  assert.equal(result?.segments, [])
})

test('bounds', () => {
  assert.is(read({ 'traefik.port': 'x'.repeat(MAX_VALUE_LENGTH + 1) }).result, null)
  assert.ok(read({ 'traefik.port': 'x'.repeat(MAX_VALUE_LENGTH) }).result)
  assert.is(read(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`traefik.s${i}.port`, '1']))).result, null)
  assert.is(read(Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`traefik.x${i}`, '1']))).result, null)
})

test.run()
