// Keys of events, and detection of gaps; the clock is in the events.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type DockerEvent, parseEvent } from '../../../../src/providers/docker-api/schemas.ts'
import { createEventGapDetector, eventKey } from '../../../../src/providers/swarm/event-gaps.ts'

function event(ID: string, more: object = {}, Attributes: Record<string, string> = { name: 'web' }): DockerEvent {
  const raw = { Type: 'service', Action: 'update', Actor: { ID, Attributes }, scope: 'swarm', time: 1, timeNano: 1e9, ...more }
  const parsed = parseEvent(JSON.stringify(raw))
  if (parsed === null) throw new Error('no event')
  return parsed
}

test('a key names type, action, object and what changed; no time', () => {
  assert.is(eventKey(event('s1')), 'service:update:s1')
  assert.is(eventKey(event('s1', { timeNano: 7, time: 7 })), 'service:update:s1')
  const updating = { name: 'web', 'updatestate.new': 'updating', 'updatestate.old': 'completed', 'replicas.new': '3' }
  assert.is(eventKey(event('s1', {}, updating)), 'service:update:s1:updatestate=updating')
  assert.is(eventKey(event('n1', { Type: 'node' }, { 'state.new': 'down' })), 'node:update:n1:state=down')
})

test('events without a usable id or action have no key', () => {
  for (const id of ['', 'a b', 'x'.repeat(65), 'a:b', '../etc', 'é']) assert.is(eventKey(event(id)), null, id)
  assert.is(eventKey(event('s1', { Action: 'up\ndate' })), null)
  assert.is(eventKey(event('s1', {}, { 'updatestate.new': 'a\nb' })), 'service:update:s1', 'a bad value is left out')
  const long = 'x'.repeat(32)
  const all = { 'updatestate.new': long, 'state.new': long, 'availability.new': long, 'role.new': long }
  assert.ok((eventKey(event('x'.repeat(64), {}, all)) ?? '').length <= 256)
})

test('equal events in a burst are announced once, many events are limited', () => {
  const hearing = createEventGapDetector()
  assert.is(hearing.record(event('s1'), 1_000), 'service:update:s1')
  assert.is(hearing.record(event('s1'), 1_200), null)
  assert.is(hearing.record(event('s2'), 1_200), 'service:update:s2')
  assert.is(hearing.record(event('s1'), 1_260), 'service:update:s1')
  const told = Array.from({ length: 10_000 }, (_, i) => hearing.record(event(`x${i}`), 5_000)).filter(key => key !== null)
  assert.is(told.length, 50)
  assert.is.not(hearing.record(event('y'), 6_100), null)
})

test('a hint of a received event is no gap; of one long ago, it is another event', () => {
  const hearing = createEventGapDetector()
  hearing.record(event('s1'), 0)
  assert.is(hearing.compare(['service:update:s1'], 1_500), 'received')
  assert.is(hearing.compare(['service:update:s1', 'service:update:s2'], 1_500), 'missed')
  assert.is(hearing.compare(['service:update:s1'], 60_000), 'unreliable', 'and no event since the last gap')
})

test('hints of several replicas are one gap; a second gap soon after: unreliable', () => {
  const hearing = createEventGapDetector()
  assert.is(hearing.compare(['a'], 1_000), 'missed')
  assert.is(hearing.compare(['a'], 1_100), 'reopening')
  assert.is(hearing.compare(['b'], 2_000), 'reopening')
  hearing.record(event('s1'), 2_100)
  assert.is(hearing.compare(['c'], 3_000), 'unreliable', 'within ten seconds, though an event was received')
})

test('continuous hints reopen the stream once, not at each hint', () => {
  const hearing = createEventGapDetector()
  const verdicts = Array.from({ length: 100 }, (_, i) => hearing.compare([`k${i}`], 1_000 + i * 10))
  assert.equal(
    verdicts.slice(1).filter(verdict => verdict !== 'reopening'),
    [],
  )
})

test('occasional gaps with events in between are single gaps; a new manager starts afresh', () => {
  const hearing = createEventGapDetector()
  for (let at = 0; at < 200_000; at += 20_000) {
    assert.is(hearing.compare([`k${at}`], at), 'missed')
    hearing.record(event('s1'), at + 100)
  }
  hearing.reset()
  assert.is(hearing.compare(['a'], 200_000), 'missed')
})

test.run()
