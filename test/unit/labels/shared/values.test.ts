import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseBool, parseDurationMs, parseHeaders, parseInteger, parseList } from '../../../../src/labels/shared/values.ts'

test('booleans in Go syntax', () => {
  for (const text of ['1', 't', 'T', 'true', 'TRUE', 'True']) assert.is(parseBool(text), true)
  for (const text of ['0', 'f', 'F', 'false', 'FALSE', 'False']) assert.is(parseBool(text), false)
  for (const text of ['', 'yes', 'on', 'tRUE', ' true']) assert.is(parseBool(text), null, text)
})

test('integers within bounds', () => {
  for (const [text, value] of [
    ['80', 80],
    ['+80', 80],
    ['0', 0],
    ['100', 100],
    ['101', null],
    ['-1', null],
    ['1.0', null],
    ['0x10', null],
    ['1e1', null],
    ['', null],
    ['eighty', null],
    ['9'.repeat(400), null],
  ] as const) {
    assert.is(parseInteger(text, 0, 100), value, text)
  }
})

test('durations in Go syntax, in milliseconds', () => {
  for (const [text, ms] of [
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['1.5s', 1_500],
    ['250ms', 250],
    ['2h', 7_200_000],
    ['1000us', 1],
    ['1000µs', 1],
    ['10', null],
    ['', null],
    ['-1s', null],
    ['1d', null],
    ['1s x', null],
    ['0s', null],
    ['25h', null],
    ['1ns', null],
    ['1s'.repeat(100), null],
  ] as const) {
    assert.is(parseDurationMs(text, 1, 86_400_000), ms, text)
  }
})

test('lists', () => {
  assert.equal(parseList(' a, b,,a ,'), ['a', 'b'])
  assert.equal(parseList(''), [])
})

test('headers', () => {
  assert.equal(parseHeaders('Foo:bar||Goo: zar:x '), { headers: { Foo: 'bar', Goo: 'zar:x' }, wrong: [] })
  for (const text of ['', 'a', 'a b:c', ':x', 'a:b\r\nc: d']) {
    assert.equal(parseHeaders(text), { headers: {}, wrong: [text] }, JSON.stringify(text))
    assert.equal(parseHeaders(`a:b||${text}||c:d`), { headers: { a: 'b', c: 'd' }, wrong: [text] }, JSON.stringify(text))
  }
})

test.run()
