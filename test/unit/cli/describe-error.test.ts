import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeError } from '../../../src/cli/describe-error.ts'

const error = { severity: 'error', source: 'shop_web', key: 'traefik.port', value: 'eighty', message: 'expected a port' }

test('an error is one line with service, label, value and what was expected', () => {
  assert.is(describeError(error), 'error: shop_web: traefik.port is "eighty", expected a port')
})

test('unknown parts are omitted', () => {
  assert.is(describeError({ ...error, value: '', source: '', message: 'not read yet' }), 'error: traefik.port: not read yet')
})

test('an error of a whole file has neither service nor label', () => {
  assert.is(describeError({ ...error, source: '', key: '', value: '', message: 'expected YAML' }), 'error: expected YAML')
})

test('control characters and line ends are replaced', () => {
  const line = describeError({ ...error, key: 'a\u001b[2J', source: 'b\nc', value: '\u202e', message: 'd\r' })
  assert.not.match(line, /[\u0000-\u001f\u202e]/)
})

test.run()
