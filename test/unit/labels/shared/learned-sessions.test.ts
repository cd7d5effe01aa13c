import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseLearn } from '../../../../src/labels/shared/learned-sessions.ts'
import { readTraefikV1 } from '../../../../src/labels/traefik-v1/reader.ts'
import { found, OPTIONS } from './services.ts'

function learn(labels: Record<string, string>) {
  const { services, errors } = readTraefikV1([found('a', { 'traefik.port': '80', ...labels })], OPTIONS)
  return { learn: services.a?.learn ?? null, told: errors.map(e => [e.severity, e.key, e.value, e.message]) }
}

test('sources of a session', () => {
  for (const [text, key] of [
    ['cookie:JSESSIONID', { from: 'cookie', name: 'JSESSIONID' }],
    ['header:X-Session-Id', { from: 'header', name: 'x-session-id' }],
    ['Query: sid', { from: 'query', name: 'sid' }],
    ['ip', { from: 'ip', name: '' }],
    ['ip:x', null],
    ['cookie', null],
    ['cookie:', null],
    ['cookie:a b', null],
    ['header:a:b', null],
    ['query:a&b', null],
    ['query:a=b', null],
    ['url:sid', null],
    ['', null],
  ] as const) {
    assert.equal(parseLearn(text), key, text)
  }
})

test('all settings, and defaults', () => {
  assert.equal(learn({ 'skein.sticky.learn': 'cookie:S' }), {
    learn: { from: 'cookie', name: 'S', ttlMs: 3_600_000, size: 100_000, drain: 'move' },
    told: [],
  })
  const all = {
    'skein.sticky.learn': 'ip',
    'skein.sticky.ttl': '1h30m',
    'skein.sticky.size': '500',
    'skein.sticky.drain': 'Keep',
  }
  assert.equal(learn(all), { learn: { from: 'ip', name: '', ttlMs: 5_400_000, size: 500, drain: 'keep' }, told: [] })
  assert.equal(learn({}), { learn: null, told: [] })
})

test('a wrong value is reported and has its default', () => {
  assert.equal(learn({ 'skein.sticky.learn': 'cookies:S' }), {
    learn: null,
    told: [
      ['error', 'skein.sticky.learn', 'cookies:S', 'expected cookie:NAME, header:NAME, query:NAME or ip; no session is learned'],
    ],
  })
  const wrong = { 'skein.sticky.learn': 'ip', 'skein.sticky.ttl': '31d', 'skein.sticky.size': '0', 'skein.sticky.drain': 'no' }
  const { learn: read, told } = learn(wrong)
  assert.equal(read, { from: 'ip', name: '', ttlMs: 3_600_000, size: 100_000, drain: 'move' })
  assert.equal(
    told.map(([severity, key]) => [severity, key]),
    [
      ['error', 'skein.sticky.ttl'],
      ['error', 'skein.sticky.size'],
      ['error', 'skein.sticky.drain'],
    ],
  )
  assert.equal(
    learn({ ...wrong, 'skein.sticky.learn': 'cookies:S' }).told.map(([, key]) => key),
    ['skein.sticky.learn', 'skein.sticky.ttl', 'skein.sticky.size', 'skein.sticky.drain'],
  )
  assert.equal(learn({ 'skein.sticky.ttl': '1h' }).told, [
    ['warning', 'skein.sticky.ttl', '1h', 'expected skein.sticky.learn with it; no session is learned'],
  ])
})

test('segments have their own, or the service\u2019s', () => {
  const { services } = readTraefikV1(
    [
      found('a', {
        'traefik.web.port': '80',
        'traefik.api.port': '81',
        'skein.sticky.learn': 'ip',
        'skein.api.sticky.learn': 'query:sid',
      }),
    ],
    OPTIONS,
  )
  assert.is(services['a-web']?.learn?.from, 'ip')
  assert.is(services['a-api']?.learn?.from, 'query')
})

test.run()
