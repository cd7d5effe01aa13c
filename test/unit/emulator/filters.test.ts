import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventMatches, find, isApiError, parseFilters } from '../../../src/emulator/filters.ts'

const parsed = (raw: string | null) => {
  const filters = parseFilters(raw, ['name', 'label'])
  return isApiError(filters) ? filters.status : Object.fromEntries(filters)
}

test('lists and the old form of values: equal; what the engine refuses: refused', () => {
  assert.equal(parsed(null), {})
  assert.equal(parsed(''), {})
  assert.equal(parsed('{"name":["a","b"]}'), { name: ['a', 'b'] })
  assert.equal(parsed('{"name":{"a":true,"b":false}}'), { name: ['a'] })
  for (const bad of ['xx', '[]', 'null', '7', '{"name":"a"}', '{"colour":["red"]}']) assert.is(parsed(bad), 400, bad)
})

test('references: by identifier, then by name, then by an unambiguous prefix', () => {
  const objects = [
    { ID: 'abc1', name: 'web' },
    { ID: 'abd2', name: 'abc1' },
    { ID: 'xyz3', name: 'db' },
  ]
  const idOf = (reference: string): string | undefined => find(objects, reference, object => object.name)?.ID
  assert.is(idOf('abc1'), 'abc1')
  assert.is(idOf('web'), 'abc1')
  assert.is(idOf('xy'), 'xyz3')
  assert.is(idOf('ab'), undefined)
  assert.is(idOf('we'), undefined)
  assert.is(idOf(''), undefined)
})

test('events: filtered by type, scope, action and actor', () => {
  const event = {
    Type: 'service',
    Action: 'update',
    Actor: { ID: 's1', Attributes: { name: 'web' } },
    scope: 'swarm',
    time: 1,
    timeNano: 1e9,
  } as const
  const matches = (filters: Record<string, string[]>): boolean => {
    const read = parseFilters(JSON.stringify(filters), null)
    return !isApiError(read) && eventMatches(read, event)
  }
  assert.ok(matches({}))
  assert.ok(matches({ type: ['node', 'service'] }))
  assert.not(matches({ type: ['node'] }))
  assert.ok(matches({ scope: ['swarm'], event: ['update'] }))
  assert.not(matches({ scope: ['local'] }))
  assert.not(matches({ event: ['create'] }))
  assert.ok(matches({ service: ['web'] }))
  assert.ok(matches({ service: ['s1'] }))
  assert.not(matches({ service: ['db'] }))
  assert.not(matches({ node: ['web'] }))
})

test.run()
