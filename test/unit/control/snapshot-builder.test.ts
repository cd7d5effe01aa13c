import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mergeConfigs, snapshotOf } from '../../../src/config/merge.ts'
import type { DynamicConfig, Snapshot } from '../../../src/config/model.ts'
import { restoreSnapshot, SnapshotBuilder } from '../../../src/control/snapshot-builder.ts'

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

const routed = (provider: string, name: string): DynamicConfig => {
  const servers = [{ id: `${name}:80`, scheme: 'http', host: name, port: 80, weight: 1, state: 'active', node: '' }] as const
  const settings = { balancer: 'wrr', sticky: null, learn: null, breaker: null, outliers: { errors: 0 } } as const
  const service = {
    name,
    servers,
    ...settings,
    healthCheck: null,
    maxConn: null,
    timeouts: { responseHeaderMs: null, stallMs: null },
    provider,
    source: name,
  }
  const router = {
    name,
    entryPoints: [],
    rule: `Host:${name}`,
    matcher: { kind: 'host', hosts: [name] },
    priority: 1,
    service: name,
    middlewares: [`${name}.strip`],
    passHostHeader: true,
    provider,
    source: name,
  } as const
  return {
    routers: { [name]: router },
    services: { [name]: service },
    middlewares: { [`${name}.strip`]: { kind: 'stripPrefix', prefixes: ['/'] } },
    errors: [],
  }
}

const namesIn = (merged: DynamicConfig | null): string[] | null =>
  merged === null ? null : [...Object.keys(merged.routers), ...Object.keys(merged.middlewares)]

test('what equals the last one is no new snapshot; revisions go on from the disk', () => {
  const kept = snapshotOf(config('a'), { term: 2, leader: '', sequence: 7 })
  const builder = new SnapshotBuilder(['swarm'], kept)
  builder.put('swarm', config('a'))
  assert.is(builder.next(), kept)
  builder.put('swarm', config('b'))
  const next = builder.next()
  assert.equal(next?.revision, { term: 2, leader: '', sequence: 8 })
  builder.put('swarm', config('b'))
  assert.is(builder.next(), next)
})

test('nothing is built before every provider has spoken', () => {
  const builder = new SnapshotBuilder(['swarm', 'file'], null)
  assert.is(builder.next(), null)
  builder.put('file', routed('file', 'legacy'))
  assert.is(builder.next(), null)
  builder.put('swarm', routed('swarm', 'shop'))
  assert.equal(namesIn(builder.next()), ['legacy', 'shop', 'legacy.strip', 'shop.strip'])
})

test('for a provider that stays silent, what it said before is lent: nothing of its own is lost, and the others are heard', () => {
  const before = new SnapshotBuilder(['file', 'swarm'], null)
  before.put('file', routed('file', 'legacy'))
  before.put('swarm', routed('swarm', 'shop'))
  const builder = new SnapshotBuilder(['file', 'swarm'], before.next())
  builder.fillMissing()
  assert.is(builder.merged(), null, 'nobody has said anything: nothing is new')
  builder.put('file', routed('file', 'mended'))
  assert.equal(namesIn(builder.next()), ['mended', 'shop', 'mended.strip', 'shop.strip'])
  builder.put('swarm', { routers: {}, services: {}, middlewares: {}, errors: [] })
  assert.equal(namesIn(builder.next()), ['mended', 'mended.strip'], 'once it speaks, its own word counts')
})

test('of what a provider could not read, what stands goes on; of what it read, its own word counts', () => {
  const before = new SnapshotBuilder(['file', 'swarm'], null)
  const [broken, gone, changed] = ['broken', 'gone', 'changed'].map(name => routed('file', name)) as [
    DynamicConfig,
    DynamicConfig,
    DynamicConfig,
  ]
  before.put('file', mergeConfigs([broken, gone, changed]))
  before.put('swarm', routed('swarm', 'shop'))
  const builder = new SnapshotBuilder(['file', 'swarm'], before.next())
  const { changed: router } = changed.routers
  const read = { ...changed, routers: { changed: { ...router!, rule: 'Host:other' } }, readSources: ['changed', 'gone'] }
  builder.put('file', read)
  builder.put('swarm', { routers: {}, services: {}, middlewares: {}, errors: [], readSources: ['shop'] })
  const next = builder.next()
  assert.equal(namesIn(next), ['broken', 'changed', 'broken.strip', 'changed.strip'])
  assert.is(next?.routers.changed?.rule, 'Host:other')
  assert.equal(Object.keys(next?.services ?? {}), ['broken', 'changed'])
  assert.is(builder.next(), next, 'said again, it is the same')
  builder.put('file', { ...routed('file', 'x'), readSources: ['changed', 'x'] })
  assert.equal(Object.keys(builder.next()?.routers ?? {}), ['broken', 'x'])
  builder.put('file', routed('file', 'x'))
  assert.equal(namesIn(builder.next()), ['x', 'x.strip'])
})

test('what is lent outlives a clash of names: once the file leaves the name alone, the other has it again', () => {
  const before = new SnapshotBuilder(['file', 'swarm'], null)
  before.put('file', routed('file', 'legacy'))
  before.put('swarm', routed('swarm', 'shop'))
  const builder = new SnapshotBuilder(['file', 'swarm'], before.next())
  const owner = (): string | undefined => {
    const snapshot = builder.next() as Snapshot
    builder.setCurrent(snapshot, true)
    return snapshot.services.shop?.provider
  }
  builder.fillMissing()
  builder.put('file', routed('file', 'shop'))
  assert.is(owner(), 'file')
  builder.put('file', routed('file', 'legacy'))
  assert.is(owner(), 'swarm')
  const others = new SnapshotBuilder(['swarm'], null)
  others.put('swarm', routed('swarm', 'newer'))
  builder.setCurrent(others.next() as Snapshot)
  assert.equal(namesIn(builder.merged()), ['legacy', 'newer', 'legacy.strip', 'newer.strip'], 'what others say is lent anew')
})

test('what only other replicas read is never waited for, and never taken away', () => {
  const others = new SnapshotBuilder(['swarm'], null)
  others.put('swarm', routed('swarm', 'shop'))
  const builder = new SnapshotBuilder(['file'], others.next())
  builder.addRemoteProvider('swarm')
  builder.addRemoteProvider('file')
  assert.equal([builder.isRemoteProvider('swarm'), builder.isRemoteProvider('file')], [true, false])
  assert.is(builder.merged(), null, 'its own has not spoken')
  builder.put('file', routed('file', 'legacy'))
  assert.equal(namesIn(builder.next()), ['legacy', 'shop', 'legacy.strip', 'shop.strip'])
  builder.clear()
  builder.put('file', routed('file', 'mended'))
  assert.equal(namesIn(builder.next()), ['mended', 'shop', 'mended.strip', 'shop.strip'])
})

test('after another has fetched for a while, nothing that was said before it counts', () => {
  const builder = new SnapshotBuilder(['file', 'swarm'], null)
  builder.put('file', routed('file', 'old'))
  builder.put('swarm', routed('swarm', 'shop'))
  builder.fillMissing()
  builder.clear()
  assert.is(builder.merged(), null)
  const others = new SnapshotBuilder(['file'], null)
  others.put('file', routed('file', 'new'))
  builder.setCurrent(others.next() as Snapshot)
  builder.put('swarm', routed('swarm', 'shop'))
  assert.is(builder.merged(), null, 'nothing is lent any more')
  builder.fillMissing()
  assert.equal(namesIn(builder.merged()), ['new', 'shop', 'new.strip', 'shop.strip'])
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
  const builder = new SnapshotBuilder(['swarm'], snapshot)
  builder.put('swarm', config('a'))
  assert.is(builder.next()?.hash, kept.hash)
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
