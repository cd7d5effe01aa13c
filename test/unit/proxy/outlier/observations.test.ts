// How responses change the statistics of a server.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { noteAnswer, noteUnparsable } from '../../../../src/proxy/outlier/observations.ts'
import { pool } from '../balancing/servers.ts'

function one(errorLimit = 5) {
  const [server] = pool('a', 'b')
  server!.errorLimit = errorLimit
  return server!
}

test('only consecutive 5xx reach the limit, and each further run does again', () => {
  const server = one(3)
  const asked = [500, 599, 200, 503, 500, 502, 500, 500, 500, 404, 500, 500, 500].map(status => noteAnswer(server, status, 1))
  assert.equal(
    asked.flatMap((yes, i) => (yes ? [i] : [])),
    [5, 8, 12],
  )
})

test('limit 0 never ejects; 499 and 600 are not 5xx', () => {
  const never = one(0)
  for (let i = 0; i < 100; i++) assert.not(noteAnswer(never, 500, 1))
  const server = one(1)
  for (const status of [101, 200, 499, 600, 999]) assert.not(noteAnswer(server, status, 1))
  assert.ok(noteAnswer(server, 500, 1))
})

test('the share follows recent responses and returns to zero', () => {
  const server = one()
  assert.ok(server.errorShare < 0, 'nothing is known')
  noteAnswer(server, 500, 1)
  assert.is(server.errorShare, 1)
  for (let i = 0; i < 200; i++) noteAnswer(server, 200, 1)
  for (let i = 0; i < 7; i++) noteAnswer(server, 500, 1)
  assert.ok(server.errorShare > 0.5 && server.errorShare < 0.6)
  for (let i = 0; i < 200; i++) noteAnswer(server, 200, 1)
  assert.is(server.errorShare, 0)
})

test('a 5xx ends a run of resets and does not shorten ejections', () => {
  const server = one(0)
  server.failures = 2
  server.ejections = 4
  for (let i = 0; i < 40; i++) noteAnswer(server, 500, 1)
  assert.is(server.failures, 0)
  assert.is(server.ejections, 4)
  for (let i = 0; i < 16; i++) noteAnswer(server, 200, 1)
  assert.is(server.ejections, 2)
})

test('an unparsable response ends resets, is an error, leaves the run of 5xx', () => {
  const server = one(3)
  server.failures = 2
  for (let i = 0; i < 2; i++) noteAnswer(server, 500, 1)
  for (let i = 0; i < 10; i++) noteUnparsable(server)
  assert.equal([server.failures, server.errorRun, server.answers, server.errors, server.ejections], [0, 2, 12, 12, 0])
  assert.ok(noteAnswer(server, 500, 1), 'the third in a row')
})

test.run()
