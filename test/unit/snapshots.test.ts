import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { snapshotOf } from '../../src/config/merge.ts'
import type { DynamicConfig, Snapshot } from '../../src/config/model.ts'
import { restoreSnapshot, SnapshotBuilder } from '../../src/snapshots.ts'

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

test('what equals the last one is no new snapshot; revisions go on from the disk', () => {
  const builder = new SnapshotBuilder(snapshotOf(config('a'), { term: 2, leader: '', sequence: 7 }))
  assert.is(builder.update('swarm', config('a')), null)
  assert.equal(builder.update('swarm', config('b'))?.revision, { term: 2, leader: '', sequence: 8 })
  assert.is(builder.update('swarm', config('b')), null)
})

test('a snapshot comes back from disk as it was', () => {
  const kept = snapshotOf(config('a'), { term: 0, leader: '', sequence: 3 })
  assert.equal(restored(kept), { snapshot: kept, warnings: [] })
})

test('an edited one counts, but is not taken for what the managers said', () => {
  const kept = snapshotOf(config('a'), { term: 0, leader: '', sequence: 3 })
  const { snapshot, warnings } = restored({ ...kept, errors: [] })
  assert.is(warnings.length, 1)
  if (typeof snapshot === 'string') throw new Error(snapshot)
  assert.is.not(snapshot.hash, kept.hash)
  // The managers say what they said before: that is a change now, and must be published.
  assert.is(new SnapshotBuilder(snapshot).update('swarm', config('a'))?.hash, kept.hash)
})

test('an edited one of a member of a cluster does not stand for the revision that the others hold: theirs replaces it', () => {
  const kept = snapshotOf(config('a'), { term: 7, leader: 'L', sequence: 3 })
  const { snapshot } = restored({ ...kept, errors: [] })
  if (typeof snapshot === 'string') throw new Error(snapshot)
  assert.equal(snapshot.revision, { term: 0, leader: '', sequence: 3 })
})

test('what is no snapshot is told by its first fault', () => {
  assert.match(
    restored({ ...snapshotOf(config('a'), { term: 0, leader: '', sequence: 3 }), hash: 'x' }).snapshot as string,
    /^hash: /,
  )
  const far = { term: 0, leader: '', sequence: Number.MAX_SAFE_INTEGER }
  assert.match(restored(snapshotOf(config('a'), far)).snapshot as string, /^revision\.sequence: /)
  assert.type(restored(null).snapshot, 'string')
})

test.run()
