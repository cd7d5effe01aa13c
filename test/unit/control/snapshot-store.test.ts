// The snapshot on disk: the last save wins, a bad file is ignored, a failed write is not fatal.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Snapshot } from '../../../src/config/model.ts'
import { createSnapshotStore } from '../../../src/control/snapshot-store.ts'

const snapshot = (sequence: number): Snapshot => ({
  revision: { term: 0, leader: '', sequence },
  hash: `h${sequence}`,
  routers: {},
  services: {},
  middlewares: {},
  errors: [],
})
const validate = (value: unknown): Snapshot | string =>
  typeof value === 'object' && value !== null && 'hash' in value ? (value as Snapshot) : 'no snapshot'
const directory = mkdtempSync(join(tmpdir(), 'skein-'))
const warnings: string[] = []
const warn = (_fields: object, message: string): void => void warnings.push(message)
const store = (dataDir: string | null) => createSnapshotStore({ dataDir, validate, warn })

test.before.each(() => {
  warnings.length = 0
})
test.after(() => rmSync(directory, { recursive: true }))

test('of several saves at once, the last one is on disk', async () => {
  const place = join(directory, 'a')
  const kept = store(place)
  await Promise.all([1, 2, 3, 4, 5].map(sequence => kept.save(snapshot(sequence))))
  assert.equal(store(place).load(), snapshot(5))
  assert.equal(readdirSync(place), ['snapshot.json'])
})

test('two clusters in one directory keep separate files', async () => {
  const place = join(directory, 'names')
  const of = (cluster: string | null) => createSnapshotStore({ dataDir: place, cluster, validate, warn })
  await of('public').save(snapshot(1))
  assert.is(of('internal').load(), null)
  assert.is(of(null).load(), null)
  await of('internal').save(snapshot(2))
  await of(null).save(snapshot(3))
  assert.equal(
    [of('public'), of('internal'), of(null)].map(kept => kept.load()?.revision.sequence),
    [1, 2, 3],
  )
})

test('a corrupt or invalid file is logged and ignored; a missing one is not logged', () => {
  assert.is(store(join(directory, 'none')).load(), null)
  assert.equal(warnings, [])
  for (const text of ['', '{"routers":', '[1,2]']) {
    writeFileSync(join(directory, 'snapshot.json'), text)
    assert.is(store(directory).load(), null)
  }
  assert.is(warnings.length, 3)
})

test('a failing write is logged once, and later writes are tried', async () => {
  const file = join(directory, 'file')
  writeFileSync(file, 'x')
  const kept = store(join(file, 'below'))
  await kept.save(snapshot(1))
  await kept.save(snapshot(2))
  assert.is(warnings.length, 1)
  assert.is(readFileSync(file, 'utf8'), 'x')
})

test('without a directory nothing is written', async () => {
  const kept = store(null)
  await kept.save(snapshot(1))
  assert.is(kept.load(), null)
})

test.run()
