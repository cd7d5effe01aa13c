// Repair of response heads: the rewritten text, the reported repairs, and heads beyond repair.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CONNECTION_OPTIONS,
  CONTROLS,
  describeRepairs,
  FOLDS,
  HeadRepair,
  LENGTHS,
  LINE_FEEDS,
  lenientHeadEnd,
  SPACE_BEFORE_COLON,
  STATUS_LINE,
} from '../../../../src/proxy/http1/head-repair.ts'

const repair = new HeadRepair()

test('heads are rewritten, and the repairs are reported as bits', () => {
  for (const [text, expected, repaired] of [
    ['HTTP/1.1 200 OK\r\nX: y\r\n\r\n', 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n', 0],
    ['HTTP/1.1 200\r\nX:y \r\n\r\n', 'HTTP/1.1 200 \r\nX: y\r\n\r\n', 0],
    ['HTTP/1.1 200  two\n\n', 'HTTP/1.1 200  two\r\n\r\n', LINE_FEEDS],
    ['HTTP/1.9\t 200 OK\r\n\n', 'HTTP/1.1 200 OK\r\n\r\n', LINE_FEEDS | STATUS_LINE],
    ['HTTP/1.0 404 \r\nX\t : y\n\r\n', 'HTTP/1.0 404 \r\nX: y\r\n\r\n', LINE_FEEDS | SPACE_BEFORE_COLON],
    ['HTTP/1.1 200 OK\r\nX:\r\n\ty\r\n \r\n z \r\n\r\n', 'HTTP/1.1 200 OK\r\nX: y z\r\n\r\n', FOLDS],
    ['HTTP/1.1 200 O\x01K\r\nX: \x7f\x1b\r\n\r\n', 'HTTP/1.1 200 OK\r\nX: \r\n\r\n', CONTROLS | STATUS_LINE],
    ['HTTP/1.1 200 OK\r\nX: a\tb\xe9\r\n\r\n', 'HTTP/1.1 200 OK\r\nX: a\tb\xe9\r\n\r\n', 0],
    [
      'HTTP/1.1 200 OK\r\ncontent-length: 07 ,7\r\nX: y\r\nContent-Length: 7\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 7\r\nX: y\r\n\r\n',
      LENGTHS,
    ],
    [
      'HTTP/1.1 200 OK\r\nConnection: Keep-Alive; timeout=5; max=9, x;y\r\n\r\n',
      'HTTP/1.1 200 OK\r\nConnection: Keep-Alive, x\r\nKeep-Alive: timeout=5, max=9\r\n\r\n',
      CONNECTION_OPTIONS,
    ],
    [
      'HTTP/1.1 200 OK\r\nConnection: , a b,, "close"\r\n\r\n',
      'HTTP/1.1 200 OK\r\nConnection: close, close\r\n\r\n',
      CONNECTION_OPTIONS,
    ],
  ] as const) {
    assert.ok(repair.head(text), JSON.stringify(text))
    assert.is(repair.text, expected)
    assert.is(repair.repaired, repaired, JSON.stringify(text))
    assert.is(describeRepairs(repaired) === '', repaired === 0)
  }
})

test('heads beyond repair are refused and leave nothing behind for the next head', () => {
  for (const text of [
    'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n',
    'HTTP/1.1 200 OK\r\n X: y\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n',
    'HTTP/1.1 200 OK\r\n: z\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX\xa0: y\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX\x0b: y\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\n 2\r\n\r\n'.replace('1\n 2', '1\r\n 2'),
    'HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1,\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\x01\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\x01\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/1.1 200OK\r\n\r\n',
    'HTTP/1.10 200 OK\r\n\r\n',
    'HTTP/2.0 200 OK\r\n\r\n',
    'http/1.1 200 OK\r\n\r\n',
    '\r\n',
    '',
  ]) {
    assert.not(repair.head(text), JSON.stringify(text))
    assert.ok(repair.problem.length > 5)
    assert.ok(repair.head('HTTP/1.1 200 OK\nX : y\n\n'))
    assert.equal([repair.text, repair.problem], ['HTTP/1.1 200 OK\r\nX: y\r\n\r\n', ''])
  }
})

test('trailers are repaired, and fields that are not allowed there are removed', () => {
  assert.ok(repair.trailers('X : y\r\nContent-Length: 3\r\nZ: a\r\n b\r\nConnection: x\r\n'))
  assert.is(repair.text, 'X: y\r\nZ: a b\r\n')
  assert.ok(repair.trailers('Host: x\r\n'))
  assert.is(repair.text, '')
  for (const text of ['X\r\n', ' X: y\r\n', 'X: \0\r\n', 'X: a\rb\r\n']) assert.not(repair.trailers(text), JSON.stringify(text))
})

test('a head with any line ends stops at its first empty line', () => {
  for (const [text, end] of [
    ['a\n\nb', 3],
    ['a\r\n\nb', 4],
    ['a\n\r\nb', 4],
    ['a\r\n\r\nb', 5],
    ['a\nb\n\n', 5],
    ['a\n', -1],
    ['a\n\r', -1],
    ['a\n\rb\n', -1],
    ['a\r\n\r', -1],
    ['', -1],
  ] as const) {
    assert.is(lenientHeadEnd(Buffer.from(text), 0), end, JSON.stringify(text))
  }
})

test.run()
