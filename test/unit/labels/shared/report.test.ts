import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../../src/config/model.ts'
import { reportFor } from '../../../../src/labels/shared/report.ts'

test('findings contain all fields, shortened', () => {
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

test('values that may hold credentials are left out of findings, misspelt keys included', () => {
  const cases: readonly (readonly [key: string, shown: boolean])[] = [
    ['traefik.frontend.autth.basic.users', false],
    ['traefik.http.routers.auth.basicauth.users', false],
    ['traefik.http.services.x.basicauth.users', false],
    ['traefik.frontend.headers.customRequestHeaders', false],
    ['backends.app.healthCheck.headers', false],
    ['traefik.api.frontend.passwrod', false],
    ['traefik.auth.frontend.rule', true],
    ['traefik.users.port', true],
    ['traefik.backend.loadbalancer.stickiness.cookieNam', true],
  ]
  for (const [key, shown] of cases) {
    const errors: ConfigError[] = []
    reportFor('swarm', 'a', errors).warn(key, 'admin:$apr1$x', 'ignored')
    assert.is(errors[0]?.value, shown ? 'admin:$apr1$x' : '', key)
  }
})

test('the findings per service are limited', () => {
  const errors: ConfigError[] = []
  const report = reportFor('swarm', 'a', errors)
  for (let i = 0; i < 1_000; i++) report.error(`k${i}`, '', '')
  assert.is(errors.length, 51)
  assert.match(errors[50]?.message ?? '', /more findings/)
  reportFor('swarm', 'b', errors).error('k', '', '')
  assert.is(errors.length, 52)
})

test.run()
