// Encoding of the replicated body: deterministic text, and validation of received text.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hashOf } from '../../../src/config/merge.ts'
import type { DynamicConfig } from '../../../src/config/model.ts'
import { decodeBody, encodeBody, sharedOf } from '../../../src/control/body-codec.ts'
import { config, router } from '../config/fixtures.ts'

const CONFIG: DynamicConfig = {
  routers: {},
  services: {},
  middlewares: {},
  errors: [{ severity: 'error', provider: 'swarm', source: 's', key: 'k', value: 'v', message: 'm' }],
}
const SHARED = { swarm: { managers: [], replicas: [{ name: 'e1', address: '10.0.0.4' }] } }

test('an encoded body decodes to the same content, with its hash and the given revision', () => {
  const revision = { term: 3, leader: 'a', sequence: 7 }
  const body = decodeBody(encodeBody(CONFIG, SHARED), revision)
  if (typeof body === 'string') throw new Error(body)
  assert.equal(body, { snapshot: { ...CONFIG, revision, hash: hashOf(CONFIG) }, shared: SHARED })
})

test('equal content gives equal text, in any order of keys', () => {
  const { errors, ...rest } = CONFIG
  assert.is(encodeBody({ errors, ...rest }, { b: 1, a: 2 }), encodeBody(CONFIG, { a: 2, b: 1 }))
})

test('a priority that version 0.1 refuses is sent beside one that it accepts', () => {
  const high = Number.MAX_SAFE_INTEGER
  const text = encodeBody(config(['a', 'b'], { routers: { a: router('a', { priority: high }), b: router('b') } }), SHARED)
  const { routers } = JSON.parse(text).config
  assert.equal([routers.a.priority, routers.b], [1_000_000_000, router('b')])
  const body = decodeBody(text)
  if (typeof body === 'string') throw new Error(body)
  assert.equal(body.snapshot.routers.a, router('a', { priority: high }))
  const hostile = text.replace(`"exactPriority":${high}`, '"exactPriority":"x"')
  assert.match(decodeBody(hostile) as string, /priority/)
})

test('a text that is no body: the first error is returned', () => {
  const bad: readonly [string, RegExp][] = [
    ['', /^not JSON/],
    ['[]', /expected an object/],
    ['{"config":[]}', /expected an object/],
    ['{"config":{}}', /routers/],
    [JSON.stringify({ config: CONFIG, shared: [] }), /shared/],
    [JSON.stringify({ config: { ...CONFIG, services: { s: { name: 's' } } } }), /services/],
  ]
  for (const [text, expected] of bad) assert.match(decodeBody(text) as string, expected, text)
})

test('a stored value without shared data, from a replica without a cluster, is accepted', () => {
  assert.equal(sharedOf({ routers: {} }), {})
  assert.type(sharedOf({ shared: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`p${i}`, 1])) }), 'string')
})

test.run()
