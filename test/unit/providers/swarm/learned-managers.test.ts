// The stored list of managers: saved, read back, never fatal.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLearnedStore, parseLearned } from '../../../../src/providers/swarm/learned-managers.ts'

const MANAGERS = [{ endpoint: 'agent://10.77.0.2:7999', nodeId: 'idB', hostname: 'n2' }]
const directory = mkdtempSync(join(tmpdir(), 'skein-'))
const warnings: string[] = []
const warn = (_fields: object, message: string): void => void warnings.push(message)

test.before.each(() => {
  warnings.length = 0
})
test.after(() => rmSync(directory, { recursive: true }))

test('the list is read back, and no temporary file stays', async () => {
  const place = join(directory, 'made', 'when-missing')
  await createLearnedStore(place, warn).save(MANAGERS)
  assert.equal(await createLearnedStore(place, warn).load(), MANAGERS)
  assert.equal(readdirSync(place), ['managers.json'])
  assert.equal(warnings, [])
})

test('a missing file is not logged', async () => {
  assert.equal(await createLearnedStore(join(directory, 'nothing'), warn).load(), [])
  assert.equal(warnings, [])
})

test('a corrupt file is logged and ignored', async () => {
  for (const text of [
    '',
    '{"version":1',
    '[]',
    '{"version":2,"managers":[]}',
    '{"version":1,"managers":[{"endpoint":"http://x","nodeId":"a","hostname":""}]}',
  ]) {
    assert.is(parseLearned(text), null, text)
  }
  writeFileSync(join(directory, 'managers.json'), '\0\0\0')
  assert.equal(await createLearnedStore(directory, warn).load(), [])
  assert.match(warnings[0] ?? '', /corrupt/)
})

test('an unwritable directory is logged once and not fatal', async () => {
  const file = join(directory, 'file')
  writeFileSync(file, '')
  const store = createLearnedStore(join(file, 'below'), warn)
  await store.save(MANAGERS)
  await store.save(MANAGERS)
  assert.is(warnings.length, 1)
  mkdirSync(join(directory, 'taken', 'managers.json'), { recursive: true })
  await createLearnedStore(join(directory, 'taken'), warn).save(MANAGERS)
  assert.equal(readdirSync(join(directory, 'taken')), ['managers.json'])
})

test('without a directory nothing is stored', async () => {
  const store = createLearnedStore(null, warn)
  await store.save(MANAGERS)
  assert.equal(await store.load(), [])
})

test.run()
