import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../../src/config/model.ts'
import { reportFor } from '../../../../src/labels/shared/report.ts'
import { isSkeinLabel, splitSkeinLabel, suggestSkeinLabel } from '../../../../src/labels/shared/skein-names.ts'
import { readSegments } from '../../../../src/labels/traefik-v1/segments.ts'

function read(labels: Record<string, string>, prefix = 'traefik') {
  const errors: ConfigError[] = []
  return {
    result: readSegments(labels, prefix, reportFor('swarm', 'a', errors)),
    told: errors.map(e => [e.severity, e.key, e.message]),
  }
}

test('segments', () => {
  for (const [label, segment, name] of [
    ['sticky.learn', '', 'skein.sticky.learn'],
    ['api.sticky.learn', 'api', 'skein.sticky.learn'],
    ['my.api.breaker.open', 'my.api', 'skein.breaker.open'],
    ['sticky.sticky.learn', '', 'skein.sticky.sticky.learn'],
    ['nonsense', '', 'skein.nonsense'],
  ] as const) {
    assert.equal(splitSkeinLabel(label), { segment, name }, label)
  }
  assert.ok(isSkeinLabel('skein.outlier.errors'))
  assert.not.ok(isSkeinLabel('skein.outlier.error'))
  assert.is(suggestSkeinLabel('skein.breaker.minrequests'), 'skein.breaker.minRequests')
})

test('beside labels of Traefik; reported as written, or as they would be', () => {
  const { result, told } = read({ 'traefik.api.port': '80', 'skein.sticky.ttl': '1h', 'skein.api.sticky.learn': 'ip' })
  const [api] = result?.segments ?? []
  assert.equal(told, [])
  assert.is(api?.labels.text('skein.sticky.learn'), 'ip')
  assert.is(api?.labels.key('skein.sticky.learn'), 'skein.api.sticky.learn')
  assert.is(api?.labels.key('skein.sticky.ttl'), 'skein.sticky.ttl')
  assert.is(api?.labels.key('skein.sticky.drain'), 'skein.api.sticky.drain')
  assert.is(api?.labels.key('weight'), 'traefik.api.weight')
  assert.is(result?.whole.key('skein.sticky.drain'), 'skein.sticky.drain')
})

test('unknown labels are reported and ignored', () => {
  const { result, told } = read({
    'traefik.port': '80',
    'skein.sticky.Learn': 'ip',
    'skein.api.sticky.learn': 'ip',
    'skein.stick.learn': 'ip',
    'skein.': 'x',
    'skeinx.sticky.learn': 'x',
    [`skein.${'x'.repeat(600)}`]: 'x',
  })
  assert.is(result?.segments.length, 1)
  assert.equal(
    told.map(([severity, key, message]) => [severity, key!.slice(0, 30), message]),
    [
      ['warning', 'skein.', 'expected a label of Skein; ignored'],
      ['warning', 'skein.api.sticky.learn', 'expected a segment named api, created by other labels; ignored'],
      ['warning', 'skein.stick.learn', 'expected a label of Skein; ignored'],
      ['warning', 'skein.sticky.Learn', 'expected skein.sticky.learn (case counts); ignored'],
      ['warning', `skein.${'x'.repeat(24)}`, 'expected a label of Skein; ignored'],
    ],
  )
})

test('labels of Skein alone create no router: a warning', () => {
  const { result, told } = read({ 'skein.sticky.learn': 'ip' })
  assert.equal(result?.segments, [])
  assert.equal(told, [
    [
      'warning',
      'skein.sticky.learn',
      'expected traefik.enable=true or another label under traefik. with it; the service is not served',
    ],
  ])
  const replica = read({ 'skein.replica': 'edge', 'skein.x': 'y' })
  assert.equal([replica.result?.segments, replica.told], [[], []])
})

test('limits', () => {
  assert.is(read({ 'traefik.port': '80', 'skein.sticky.learn': 'x'.repeat(16_385) }).result, null)
  const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`skein.x${i}`, '1']))
  assert.is(read({ 'traefik.port': '80', ...many }).result, null)
})

test('Traefik\u2019s labels with the prefix skein', () => {
  const { result, told } = read({ 'skein.port': '80', 'skein.sticky.learn': 'ip', 'skein.api.weight': '2' }, 'skein')
  assert.equal(told, [])
  assert.is(result?.whole.text('port'), '80')
  assert.is(result?.whole.text('skein.sticky.learn'), 'ip')
  assert.equal(
    result?.segments.map(s => s.name),
    ['api'],
  )
})

test.run()
