import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../../src/config/model.ts'
import { reportFor } from '../../../../src/labels/shared/report.ts'
import { MAX_VALUE_LENGTH, readSegments } from '../../../../src/labels/traefik-v1/segments.ts'

function read(labels: Record<string, string>) {
  const errors: ConfigError[] = []
  return { result: readSegments(labels, 'traefik', reportFor('swarm', 'a', errors)), errors }
}

test('without segments the service itself is the only part', () => {
  const { result } = read({ 'traefik.port': '80', other: 'x', traefikx: 'y' })
  assert.equal(
    result?.segments.map(s => s.name),
    [''],
  )
  assert.is(result?.whole.text('port'), '80')
})

test('a service without a label under the prefix has no segment and no report', () => {
  const labels = [{}, { other: 'x' }, { traefik: 'true' }, { traefikx: 'y' }, { 'Traefik.enable': 'true' }, { 'edge.port': '80' }]
  for (const one of labels) {
    const { result, errors } = read(one)
    assert.equal([result?.segments, errors], [[], []], JSON.stringify(one))
  }
})

test('a guard that cannot be assigned to a segment, or has a very long key, is never dropped', () => {
  const long = 's'.repeat(495)
  const cases: readonly Record<string, string>[] = [
    { [`traefik.${long}.port`]: '80', [`traefik.${long}.frontend.auth.basic.users`]: 'u:p' },
    { 'traefik.port': '80', 'traefik.backend.frontend.auth.basic.users': 'u:p' },
    { 'traefik.port': '80', 'traefik.docker.frontend.whiteList.sourceRange': '10.0.0.0/8' },
    { 'traefik.api.port': '80', 'traefik.frontend.frontend.auth.forward.address': 'http://a/' },
    { 'traefik.enable': 'true', 'Traefik.HTTP.Routers.a.middlewares': 'auth' },
  ]
  for (const labels of cases) {
    const { result, errors } = read(labels)
    assert.equal(result?.segments, [], JSON.stringify(labels))
    assert.equal(
      errors.map(({ severity, value }) => [severity, value.includes('u:p')]),
      [['error', false]],
    )
  }
})

test('labels of the newer dialect without a rule of v1: left out, one error without credentials', () => {
  const cases: [labels: Record<string, string>, error: string | null, segments: string[]][] = [
    [{ 'traefik.http.routers.a.rule': 'Host(`a`)' }, 'traefik.http.routers.a.rule=Host(`a`)', []],
    [
      { 'traefik.http.middlewares.m.basicauth.users': 'u:secret', 'traefik.port': '80' },
      'traefik.http.middlewares.m.basicauth.users=',
      [],
    ],
    [{ 'traefik.HTTP.Middlewares.m.basicauth.users': 'u:secret' }, 'traefik.HTTP.Middlewares.m.basicauth.users=', []],
    [{ 'traefik.tcp.routers.a.tls': 'true', 'traefik.enable': 'true' }, 'traefik.tcp.routers.a.tls=true', []],
    [{ 'traefik.http.services.a.loadbalancer.server.port': '80' }, 'traefik.http.services.a.loadbalancer.server.port=80', []],
    // Misspelt, but not a label of v1.
    [{ 'traefik.http.router.a.middlewares': 'auth', 'traefik.port': '80' }, 'traefik.http.router.a.middlewares=auth', []],
    [{ 'traefik.http.service.a.loadbalancer.server.port': '80' }, 'traefik.http.service.a.loadbalancer.server.port=80', []],
    // An empty rule is no rule.
    [{ 'traefik.http.routers.a.tls': 'true', 'traefik.frontend.rule': ' ' }, 'traefik.http.routers.a.tls=true', []],
    // Segments without a rule.
    [
      { 'traefik.http.routers.a.tls': 'true', 'traefik.x.port': '1', 'traefik.y.frontend.rule': 'Host:y' },
      'traefik.http.routers.a.tls=true',
      ['y'],
    ],
    // A segment of v1 may be called http.
    [{ 'traefik.http.port': '80', 'traefik.http.frontend.rule': 'Host:x' }, null, ['http']],
    [
      { 'traefik.http.port': '80', 'traefik.http.frontend.auth.basic.users': 'u:secret' },
      'traefik.http.frontend.auth.basic.users=',
      [],
    ],
  ]
  for (const [labels, error, segments] of cases) {
    const { result, errors } = read(labels)
    assert.equal(
      errors.map(e => [e.severity, `${e.key}=${e.value}`]),
      error === null ? [] : [['error', error]],
      JSON.stringify(labels),
    )
    assert.equal(
      result?.segments.map(s => s.name),
      segments,
      JSON.stringify(labels),
    )
  }
})

test('newer labels beside a rule of v1: one warning, and the rule is used', () => {
  const { result, errors } = read({
    'traefik.http.routers.a.tls': 'true',
    'traefik.tcp.routers.b.tls': 'true',
    'traefik.frontend.rule': 'Host:a',
  })
  assert.equal(
    errors.map(e => [e.severity, e.key]),
    [['warning', 'traefik.http.routers.a.tls']],
  )
  assert.is(result?.segments.length, 1)
  // Labels that only choose addresses guard nothing.
  const network = read({ 'traefik.swarm.network': 'x', 'traefik.docker.lbswarm': 'true', 'traefik.port': '80' })
  assert.equal(
    network.errors.map(e => e.severity),
    ['warning'],
  )
  assert.is(network.result?.segments.length, 1)
})

test('segments inherit, and labels keep their written form', () => {
  const { result } = read({ 'traefik.port': '80', 'traefik.b.weight': '2', 'traefik.a.port': '81' })
  const [a, b] = result?.segments ?? []
  assert.is(a?.name, 'a')
  assert.is(a?.labels.key('port'), 'traefik.a.port')
  assert.is(a?.labels.text('weight'), null)
  assert.is(a?.labels.key('weight'), 'traefik.a.weight')
  assert.is(b?.labels.text('port'), '80')
  assert.is(b?.labels.key('port'), 'traefik.port')
})

test('an unsupported guard removes its router; on the service, all routers', () => {
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
  // A credential is not reported.
  assert.is(errors[0]?.value, '')
})

test('a guarded segment without other labels leaves the service guarded too', () => {
  const { result } = read({ 'traefik.a.frontend.auth.basic.users': 'x', 'traefik.port': '80' })
  assert.equal(result?.segments, [])
})

test('limits', () => {
  assert.is(read({ 'traefik.port': 'x'.repeat(MAX_VALUE_LENGTH + 1) }).result, null)
  assert.ok(read({ 'traefik.port': 'x'.repeat(MAX_VALUE_LENGTH) }).result)
  assert.is(read(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`traefik.s${i}.port`, '1']))).result, null)
  assert.is(read(Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`traefik.x${i}`, '1']))).result, null)
})

test.run()
