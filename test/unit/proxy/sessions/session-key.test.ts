// Where session ids are read from requests and responses. Malformed input has no id and costs bounded time.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LearnedSessions } from '../../../../src/config/model.ts'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { KeyHash, keyFor } from '../../../../src/proxy/sessions/key-hash.ts'
import { keySource, MAX_KEY_LENGTH, readGivenKey, readKey } from '../../../../src/proxy/sessions/session-key.ts'
import { seeded } from '../balancing/servers.ts'
import { answerHead, readRequest } from './heads.ts'

type From = LearnedSessions['from']

const hash = new KeyHash(keyFor('key', 'shop', 'cookie', 'sid'))
const x = new Exchange({} as Downstream, 'web')

/** The hash of a request with these field lines; null if it has no id. */
function keyOf(from: From, name: string, lines: readonly string[], target = '/'): string | null {
  readRequest(x.req, lines, target)
  x.begin(0)
  x.clientAddress = '192.0.2.7'
  return readKey(x, keySource({ from, name }), hash) ? `${hash.high} ${hash.low}` : null
}

function given(...lines: string[]): string | null {
  const head = answerHead(lines.map(line => `Set-Cookie: ${line}`))
  return readGivenKey(head, keySource({ from: 'cookie', name: 'sid' }), hash) ? `${hash.high} ${hash.low}` : null
}

function of(id: string): string {
  hash.of(id, 0, id.length)
  return `${hash.high} ${hash.low}`
}

function cookie(...values: string[]): string | null {
  return keyOf(
    'cookie',
    'sid',
    values.map(value => `Cookie: ${value}`),
  )
}

test('cookies', () => {
  for (const values of [
    ['sid=abc'],
    ['x=1; sid=abc; y=2'],
    ['x=1;sid=abc'],
    ['x=1', 'sid=abc'],
    ['sid="abc"'],
    ['sid=abc \t; z'],
  ]) {
    assert.is(cookie(...values), of('abc'), values.join(' | '))
  }
  assert.is(cookie('sid=; sid=abc'), of('abc'), 'an empty one is none')
  assert.is(cookie('sid=""; sid=abc'), of('abc'))
  assert.is(cookie('sid=abc; sid=def'), of('abc'))
  assert.is(cookie('sid=a=b'), of('a=b'))
  assert.is(cookie('sid="'), of('"'))
  for (const value of ['', 'sid', 'sid=', 'SID=abc', 'xsid=abc', 'x sid=abc', 'sid =abc', 'x=sid=abc', 'sidx=abc']) {
    assert.is(cookie(value), null, value)
  }
  assert.is(keyOf('cookie', 'sid', []), null)
  assert.is(
    keyOf('cookie', 'sid', ['X-Other: sid=abc', 'Cookie: x=1', 'X-Last: sid=def']),
    null,
    'other fields are not looked at',
  )
  assert.is(keyOf('cookie', 'sid', ['Cookie: x=1', 'X-Other: sid=abc', 'Cookie: sid=def']), of('def'))
})

test('headers, queries, addresses', () => {
  assert.is(keyOf('header', 'x-session', ['X-Session: abc']), of('abc'))
  assert.is(keyOf('header', 'X-Session', ['x-session: abc', 'X-Session: def']), of('abc'))
  assert.is(keyOf('header', 'x-session', ['X-Session:']), null)
  assert.is(keyOf('header', 'x-session', []), null)
  for (const target of ['/?sid=abc', '/a?x=1&sid=abc&y', '/?sid=&sid=abc', 'http://app.test/?sid=abc']) {
    assert.is(keyOf('query', 'sid', [], target), of('abc'), target)
  }
  for (const target of ['/', '/?', '/?sid', '/?sid=', '/?xsid=abc', '/sid=abc', '/?x=sid=abc']) {
    assert.is(keyOf('query', 'sid', [], target), null, target)
  }
  assert.is(keyOf('ip', '', []), of('192.0.2.7'))
})

test('cookies set by a response', () => {
  for (const line of [
    'sid=abc',
    'sid=abc; Path=/; HttpOnly',
    'sid="abc";Secure',
    'sid=abc ;Max-Age=60',
    'sid=abc; x-max-age=0',
  ]) {
    assert.is(given(line), of('abc'), line)
  }
  assert.is(given('x=1', 'sid=abc', 'y=2'), of('abc'))
  assert.is(given('sid=; Max-Age=0', 'sid=abc'), of('abc'))
  assert.is(given('sid=before; Path=/', 'x=1', 'sid=abc; Path=/'), of('abc'), 'renewed within one answer: the last is kept')
  assert.is(given('sid=abc', 'sid='), of('abc'))
  for (const line of [
    'sid=',
    'sid=""',
    'sid=abc; Max-Age=0',
    'sid=abc;max-age=-1; Path=/',
    'sid=abc; MAX-AGE = 00',
    'Sid=abc',
    'x=sid=abc',
    ' ',
  ]) {
    assert.is(given(line), null, line)
  }
})

test('huge and binary ids', () => {
  const huge = 'x'.repeat(MAX_KEY_LENGTH)
  assert.is(cookie(`sid=${huge}${'y'.repeat(4000)}`), of(huge))
  assert.is(cookie(`sid=${huge.slice(1)}`), of(huge.slice(1)))
  const binary = Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)).join('')
  assert.is(keyOf('header', 'x-session', [`X-Session: ${binary}`]), of(binary))
})

test('a hostile head costs linear time', () => {
  const started = performance.now()
  for (const bad of ['sid=', ';sid', ' sid=', 'sid=;', ';;;;', '    ', 'ssid=', 'sid=""; ']) {
    const lines = Array.from({ length: 100 }, () => `Cookie: ${bad.repeat(600 / bad.length)}`)
    for (let i = 0; i < 20; i++) keyOf('cookie', 'sid', lines)
    for (let i = 0; i < 20; i++) keyOf('query', 'sid', [], `/?${bad.trim().replaceAll(/[";]/g, '&').repeat(6000)}`)
  }
  assert.ok(performance.now() - started < 5000, 'linear, not quadratic')
})

test('truncated heads never throw and give no wrong id', () => {
  const random = seeded(11)
  const pieces = ['sid', 'sid=', '=', ';', ' ', '\t', '"', 'abc', '\u00ff', ',', '&']
  for (let i = 0; i < 5000; i++) {
    let text = ''
    for (let n = 0; n < 10; n++) text += pieces[Math.floor(random() * pieces.length)]
    const found = cookie(text.trim())
    const pair = /(?:^|;)[ \t]*sid=(?=[^;]*[^; \t])/.test(text.trim())
    if (!pair) assert.is(found, null, text)
  }
})

test.run()
