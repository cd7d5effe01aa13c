import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { createLog, type LogOptions, type LogSetup } from '../../../src/util/log.ts'

function capture(options: Partial<LogOptions>, setup: LogSetup = {}): { log: ReturnType<typeof createLog>; lines: string[] } {
  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(line) }
  return { log: createLog({ level: 'info', format: 'json', ...options }, { ...setup, stream }), lines }
}

test('a line is a JSON object with level, time, fields and message', () => {
  const { log, lines } = capture({}, { fields: { replica: 'edge-1' } })
  log.warn({ service: 'shop' }, 'hello')
  const line = JSON.parse(lines[0] ?? '') as Record<string, string>
  assert.is(line.level, 'warn')
  assert.is(line.replica, 'edge-1')
  assert.is(line.service, 'shop')
  assert.is(line.msg, 'hello')
  assert.ok(Math.abs(Date.parse(line.time ?? '') - Date.now()) < 60_000)
})

test('lines below the level are not written', () => {
  const { log, lines } = capture({ level: 'error' })
  log.info('no')
  log.error('yes')
  assert.is(lines.length, 1)
  const silent = capture({ level: 'silent' })
  silent.log.fatal('no')
  assert.equal(silent.lines, [])
})

test('fields with the names of secrets are hidden, at the top and below', () => {
  const { log, lines } = capture({})
  log.info({
    secret: 'hunter2',
    dataPlane: { cookieKey: 'hunter2' },
    a: { headers: { authorization: 'hunter2', cookie: 'hunter2', 'set-cookie': 'hunter2' } },
  })
  assert.not.match(lines[0] ?? '', /hunter2/)
  assert.match(lines[0] ?? '', /\[hidden\]/)
})

test("the secret's own text is hidden wherever it appears, also as JSON writes it", () => {
  const secret = 'correct "horse"\n'
  const { log, lines } = capture({}, { secrets: [secret] })
  log.info({ err: new Error(`bad ${secret}!`), other: [secret] }, `it is ${secret}`)
  log.child({ more: secret }).info('child')
  assert.is(lines.length, 2)
  for (const line of lines) assert.not.match(line, /horse/)
  JSON.parse(lines[0] ?? '')
})

test('the pretty format is one line with the message and the fields', () => {
  const { log, lines } = capture({ format: 'pretty' }, { fields: { replica: 'edge-1' }, secrets: ['hunter2'] })
  log.info({ service: 'shop' }, 'hello hunter2')
  assert.match(lines[0] ?? '', /^\[\d\d:\d\d:\d\d\.\d+\] INFO: hello \[hidden\] .*"service":"shop"/)
})

test('text of others cannot forge a line or control a terminal, in either format', () => {
  const evil = 'a\n{"level":"fatal"}\u001b[2J\u009b\u2028\u202e'
  const json = capture({})
  json.log.warn({ value: evil }, evil)
  assert.match(json.lines[0] ?? '', /^[\x20-\x7e]+\n$/)
  assert.is(JSON.parse(json.lines[0] ?? '').msg, evil)
  const pretty = capture({ format: 'pretty' })
  pretty.log.warn({ value: evil }, evil)
  assert.is(pretty.lines.length, 1)
  assert.match(pretty.lines[0] ?? '', /^[\x20-\x7e]+\n$/)
  assert.match(pretty.lines[0] ?? '', /WARN: a\?\{"level":"fatal"\}\?\[2J/)
})

test.run()
