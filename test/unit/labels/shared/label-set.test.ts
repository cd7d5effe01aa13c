import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../../src/config/model.ts'
import { LabelSet } from '../../../../src/labels/shared/label-set.ts'
import { reportFor } from '../../../../src/labels/shared/report.ts'

function labels(values: Record<string, string>) {
  const errors: ConfigError[] = []
  const written = new Map(Object.entries(values).map(([name, value]) => [name, { key: `traefik.${name}`, value }]))
  return { set: new LabelSet<string>(written, 'traefik', reportFor('swarm', 'a', errors)), errors }
}

test('empty labels are absent, whitespace is trimmed', () => {
  const { set } = labels({ port: ' 80 ', weight: '', domain: '  ' })
  assert.is(set.text('port'), '80')
  assert.is(set.text('weight'), null)
  assert.is(set.text('domain'), null)
  assert.is(set.text('backend'), null)
})

test('typed values fall back and report', () => {
  const { set, errors } = labels({ port: '80', weight: 'x', enable: 'nope', 'frontend.passHostHeader': 'false' })
  assert.is(set.integer('port', 1, 100, null, ''), 80)
  assert.is(set.integer('weight', 0, 9, 1, '1 is used'), 1)
  assert.is(set.integer('frontend.priority', 0, 9, 7, ''), 7)
  assert.is(set.bool('frontend.passHostHeader', true), false)
  assert.is(set.bool('enable', true), true)
  assert.equal(
    errors.map(e => [e.key, e.value, e.message]),
    [
      ['traefik.weight', 'x', 'expected a whole number from 0 to 9; 1 is used'],
      ['traefik.enable', 'nope', 'expected true or false; taken as true'],
    ],
  )
})

test.run()
