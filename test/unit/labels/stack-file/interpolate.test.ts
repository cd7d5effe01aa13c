// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose's variables

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { interpolate } from '../../../../src/labels/stack-file/interpolate.ts'

const env = { DOMAIN: 'shop.test', EMPTY: '', n1: 'x' }

test('variables, defaults and escaped dollars', () => {
  for (const [text, expected] of [
    ['Host:a.test', 'Host:a.test'],
    ['Host:www.$DOMAIN', 'Host:www.shop.test'],
    ['Host:www.${DOMAIN}', 'Host:www.shop.test'],
    ['${DOMAIN:-x}', 'shop.test'],
    ['${NONE:-x.test}', 'x.test'],
    ['${NONE-}', ''],
    ['${EMPTY:-x}', 'x'],
    ['${EMPTY-x}', ''],
    ['${EMPTY}', ''],
    ['${DOMAIN:?needed}', 'shop.test'],
    ['${NONE:-a$b}', 'a$b'],
    ['$n1$$n1', 'x$n1'],
    ['^/(.*) /$$1', '^/(.*) /$1'],
  ] as const)
    assert.equal(interpolate(text, env), { text: expected, missing: [], ok: true }, text)
})

test('unset variables are listed, invalid forms refused', () => {
  assert.equal(interpolate('$NONE ${OTHER} ${EMPTY:?x} ${THIRD?y}', env), {
    text: '   ',
    missing: ['NONE', 'OTHER', 'EMPTY', 'THIRD'],
    ok: true,
  })
  for (const text of ['/$1', 'a$', '${', '${A B}', '${1}', '$-']) assert.not(interpolate(text, env).ok, text)
  assert.equal(interpolate('${constructor}', {}).missing, ['constructor'])
})

test('four megabytes of unclosed braces are scanned once', () => {
  // Quadratic time would be hours.
  assert.not(interpolate('${A-'.repeat(1_000_000), env).ok)
  assert.not(interpolate(`\${A${'-'.repeat(4_000_000)}`, env).ok)
})

test.run()
