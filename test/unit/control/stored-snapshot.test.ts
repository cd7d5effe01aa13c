// Snapshots read from disk: validation, and snapshots that were edited.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { snapshotOf } from '../../../src/config/merge.ts'
import type { DynamicConfig, Snapshot } from '../../../src/config/model.ts'
import { SnapshotBuilder } from '../../../src/control/snapshot-builder.ts'
import { restoreSnapshot } from '../../../src/control/stored-snapshot.ts'

const config = (source: string): DynamicConfig => ({
  routers: {},
  services: {},
  middlewares: {},
  errors: [{ severity: 'error', provider: 'swarm', source, key: 'k', value: 'v', message: 'm' }],
})

function restored(value: unknown): { snapshot: Snapshot | string; warnings: string[] } {
  const warnings: string[] = []
  return { snapshot: restoreSnapshot(JSON.parse(JSON.stringify(value)), warning => warnings.push(warning)), warnings }
}

test('a snapshot is restored from disk unchanged', () => {
  const stored = snapshotOf(config('a'), { term: 0, leader: '', sequence: 3 })
  assert.equal(restored(stored), { snapshot: stored, warnings: [] })
})

test("an edited snapshot is used with a new hash, so that the managers' next one replaces it", () => {
  const stored = snapshotOf(config('a'), { term: 0, leader: '', sequence: 3 })
  const { snapshot, warnings } = restored({ ...stored, errors: [] })
  assert.is(warnings.length, 1)
  if (typeof snapshot === 'string') throw new Error(snapshot)
  assert.is.not(snapshot.hash, stored.hash)
  // The managers' configuration is unchanged. It differs from the edited snapshot and must be published.
  const builder = new SnapshotBuilder(['swarm'], snapshot)
  builder.put('swarm', config('a'))
  assert.is(builder.next()?.hash, stored.hash)
})

test('an edited snapshot of a cluster gets term 0, so that any other member replaces it', () => {
  const stored = snapshotOf(config('a'), { term: 7, leader: 'L', sequence: 3 })
  const { snapshot } = restored({ ...stored, errors: [] })
  if (typeof snapshot === 'string') throw new Error(snapshot)
  assert.equal(snapshot.revision, { term: 0, leader: '', sequence: 3 })
})

test('a value that is no snapshot: the first error is returned', () => {
  assert.match(
    restored({ ...snapshotOf(config('a'), { term: 0, leader: '', sequence: 3 }), hash: 'x' }).snapshot as string,
    /^hash: /,
  )
  const far = { term: 0, leader: '', sequence: Number.MAX_SAFE_INTEGER }
  assert.match(restored(snapshotOf(config('a'), far)).snapshot as string, /^revision\.sequence: /)
  assert.type(restored(null).snapshot, 'string')
})

test.run()
