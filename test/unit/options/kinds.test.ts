import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  durationKind,
  formatDuration,
  formatSize,
  hostPortKind,
  integerKind,
  isCidr,
  type Kind,
  listenKind,
  parseDuration,
  parseHostPort,
  parseSize,
  ratioKind,
  secretKind,
  sizeKind,
  splitList,
  splitSecrets,
  switchKind,
} from '../../../src/options/kinds.ts'

/** Undefined if refused. */
function read<T>(kind: Kind<T>, text: string): T | undefined {
  const parsed = kind.schema.safeParse(kind.fromText(text))
  return parsed.success ? parsed.data : undefined
}

for (const [text, ms] of [
  ['500ms', 500],
  ['10s', 10_000],
  ['1.5m', 90_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
  ['0', 0],
  ['24d', 2_073_600_000],
  ['25d', null],
  ['10', null],
  ['-1s', null],
  ['1 s', null],
  ['1e3s', null],
  ['', null],
  ['s', null],
  ['99999999999s', null],
] as const) {
  test(`the duration ${JSON.stringify(text)} is ${ms} ms`, () => assert.is(parseDuration(text), ms))
}

for (const [text, bytes] of [
  ['4096', 4096],
  ['64KiB', 65_536],
  ['64kib', 65_536],
  ['1MB', 1_000_000],
  ['1.5 GiB', 1_610_612_736],
  ['12B', 12],
  ['1TB', null],
  ['-1', null],
  ['', null],
  ['KiB', null],
  ['999999999999999GiB', null],
] as const) {
  test(`the size ${JSON.stringify(text)} is ${bytes} bytes`, () => assert.is(parseSize(text), bytes))
}

test('formatted durations and sizes can be parsed again', () => {
  for (const ms of [0, 1, 999, 1000, 1500, 60_000, 3_600_000, 86_400_000, 90_000])
    assert.is(parseDuration(formatDuration(ms)), ms)
  for (const bytes of [0, 1, 1000, 1024, 65_536, 3 * 1024 ** 2, 1024 ** 3]) assert.is(parseSize(formatSize(bytes)), bytes)
})

for (const [text, expected] of [
  ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
  [':80', { host: '', port: 80 }],
  ['[::1]:80', { host: '::1', port: 80 }],
  ['Edge-1.internal:65535', { host: 'edge-1.internal', port: 65535 }],
  ['::1:80', null],
  ['[::g]:80', null],
  ['[1.2.3.4]:80', null],
  ['1.2.3.4.5:80', null],
  ['999.1.1.1:80', null],
  ['host', null],
  ['host:', null],
  ['host:65536', null],
  ['host:-1', null],
  ['a b:80', null],
  ['user@host:80', null],
  ['http://host:80', null],
] as const) {
  test(`the address ${JSON.stringify(text)} is ${JSON.stringify(expected)}`, () => assert.equal(parseHostPort(text), expected))
}

test('CIDRs and addresses are distinguished from similar text', () => {
  for (const right of ['10.0.0.0/8', '10.0.0.1', '::1', 'fd00::/8', '0.0.0.0/0', '::/128']) assert.ok(isCidr(right), right)
  for (const wrong of [
    '10.0.0.0/33',
    '10/8',
    '10.0.0.0/',
    '::/129',
    '10.0.0.0/8/8',
    'host',
    '',
    '/8',
    '10.0.0.0/-1',
    '10.0.0.0/1e1',
  ]) {
    assert.not.ok(isCidr(wrong), wrong)
  }
})

test('numbers are whole and within their bounds', () => {
  assert.is(read(integerKind(1, 16), '16'), 16)
  for (const wrong of ['0', '17', '1.5', 'two', '', '0x10', ' 1']) assert.is(read(integerKind(1, 16), wrong), undefined, wrong)
  assert.is(read(ratioKind(), '0.2'), 0.2)
  assert.is(read(ratioKind(), '1'), 1)
  for (const wrong of ['1.1', '-0.1', 'NaN', '20%']) assert.is(read(ratioKind(), wrong), undefined, wrong)
})

test('durations and sizes are bounded', () => {
  assert.is(read(durationKind(0, 1000), '2s'), undefined)
  assert.match(durationKind(0, 300_000).expected, /\(0 to 5m\)/)
  assert.is(read(durationKind(100), '99ms'), undefined)
  assert.is(read(durationKind(100), '100ms'), 100)
  assert.is(read(durationKind(1), '0'), undefined)
  assert.is(read(durationKind(0), '0'), 0)
  assert.is(read(sizeKind(1024, 2048), '1023'), undefined)
  assert.is(read(sizeKind(1024, 2048), '2KiB'), 2048)
  assert.is(read(sizeKind(1024, 2048), '2049'), undefined)
})

test('in a file, sizes may be numbers, but durations need a unit', () => {
  assert.is(sizeKind(0, 1e9).schema.parse(4096), 4096)
  assert.is(durationKind(0).schema.safeParse(5).success, false)
  assert.is(durationKind(0).schema.parse(0), 0)
})

test('switches are true or false', () => {
  assert.is(read(switchKind(), 'true'), true)
  assert.is(read(switchKind(), '0'), false)
  for (const wrong of ['yes', 'on', '', 'TRUE']) assert.is(read(switchKind(), wrong), undefined, wrong)
})

test('an address can be off only where the kind allows it', () => {
  assert.is(read(hostPortKind({ off: true, minPort: 0 }), 'off'), null)
  assert.is(read(hostPortKind({ off: false, minPort: 1 }), 'off'), undefined)
  assert.is(read(hostPortKind({ off: false, minPort: 1 }), 'a:0'), undefined)
  assert.is(hostPortKind({ off: true, minPort: 0 }).schema.parse(false), null)
})

test('members listen on an address, not on a name', () => {
  assert.equal(read(listenKind(), ':7998'), { host: '', port: 7998 })
  assert.equal(read(listenKind(), '[FD00::5]:0'), { host: 'fd00::5', port: 0 })
  for (const wrong of ['edge:7998', 'localhost:7998', '7998', '10.0.0.5', 'off', '', ':65536', '::1:7998', '[10.0.0.5]:1'])
    assert.is(read(listenKind(), wrong), undefined, wrong)
})

test('secrets are the lines that are not empty', () => {
  assert.equal(splitSecrets('\uFEFF one \r\n\n\ttwo\rone\n'), ['one', 'two'])
  assert.equal(splitSecrets(' \n\r\n'), [])
  assert.equal(read(secretKind(), 'a\nb\nc\nd'), ['a', 'b', 'c', 'd'])
  for (const wrong of ['', ' ', '\n', 'a\nb\nc\nd\ne', 'x'.repeat(65_537)])
    assert.is(read(secretKind(), wrong), undefined, wrong.slice(0, 9))
})

test('lists are split at commas', () => assert.equal(splitList(' a, b,,c,'), ['a', 'b', 'c']))

test.run()
