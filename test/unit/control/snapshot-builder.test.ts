// Merging the providers' parts: when a snapshot is built, and which parts fill in for missing ones.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mergeConfigs, snapshotOf } from '../../../src/config/merge.ts'
import type { DynamicConfig, Snapshot } from '../../../src/config/model.ts'
import { SnapshotBuilder } from '../../../src/control/snapshot-builder.ts'

const config = (source: string): DynamicConfig => ({
  routers: {},
  services: {},
  middlewares: {},
  errors: [{ severity: 'error', provider: 'swarm', source, key: 'k', value: 'v', message: 'm' }],
})

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

test('equal content gives no new snapshot; revisions continue from the stored one', () => {
  const stored = snapshotOf(config('a'), { term: 2, leader: '', sequence: 7 })
  const builder = new SnapshotBuilder(['swarm'], stored)
  builder.put('swarm', config('a'))
  assert.is(builder.next(), stored)
  builder.put('swarm', config('b'))
  const next = builder.next()
  assert.equal(next?.revision, { term: 2, leader: '', sequence: 8 })
  builder.put('swarm', config('b'))
  assert.is(builder.next(), next)
})

test('no snapshot is built until every provider has delivered', () => {
  const builder = new SnapshotBuilder(['swarm', 'file'], null)
  assert.is(builder.next(), null)
  builder.put('file', routed('file', 'legacy'))
  assert.is(builder.next(), null)
  builder.put('swarm', routed('swarm', 'shop'))
  assert.equal(namesIn(builder.next()), ['legacy', 'shop', 'legacy.strip', 'shop.strip'])
})

test("fillMissing: a pending provider keeps its previous part, and the others' changes apply", () => {
  const before = new SnapshotBuilder(['file', 'swarm'], null)
  before.put('file', routed('file', 'legacy'))
  before.put('swarm', routed('swarm', 'shop'))
  const builder = new SnapshotBuilder(['file', 'swarm'], before.next())
  builder.fillMissing()
  assert.is(builder.merged(), null, 'no provider has delivered')
  builder.put('file', routed('file', 'repaired'))
  assert.equal(namesIn(builder.next()), ['repaired', 'shop', 'repaired.strip', 'shop.strip'])
  builder.put('swarm', { routers: {}, services: {}, middlewares: {}, errors: [] })
  assert.equal(namesIn(builder.next()), ['repaired', 'repaired.strip'], 'its own part replaces the filled one')
})

test('unread sources keep their previous entries; read sources are replaced', () => {
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
  assert.is(builder.next(), next, 'the same part again gives the same snapshot')
  builder.put('file', { ...routed('file', 'x'), readSources: ['changed', 'x'] })
  assert.equal(Object.keys(builder.next()?.routers ?? {}), ['broken', 'x'])
  builder.put('file', routed('file', 'x'))
  assert.equal(namesIn(builder.next()), ['x', 'x.strip'])
})

test('a filled part survives a name conflict: it returns when the file drops the name', () => {
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
  assert.equal(
    namesIn(builder.merged()),
    ['legacy', 'newer', 'legacy.strip', 'newer.strip'],
    'a replicated snapshot refills the part',
  )
})

test('a provider that only other replicas have: never waited for, never removed', () => {
  const others = new SnapshotBuilder(['swarm'], null)
  others.put('swarm', routed('swarm', 'shop'))
  const builder = new SnapshotBuilder(['file'], others.next())
  builder.addRemoteProvider('swarm')
  builder.addRemoteProvider('file')
  assert.equal([builder.isRemoteProvider('swarm'), builder.isRemoteProvider('file')], [true, false])
  assert.is(builder.merged(), null, 'its own provider has not delivered')
  builder.put('file', routed('file', 'legacy'))
  assert.equal(namesIn(builder.next()), ['legacy', 'shop', 'legacy.strip', 'shop.strip'])
  builder.clear()
  builder.put('file', routed('file', 'repaired'))
  assert.equal(namesIn(builder.next()), ['repaired', 'shop', 'repaired.strip', 'shop.strip'])
})

test('clear drops all parts, so that outdated ones are not published after a change of leader', () => {
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
  assert.is(builder.merged(), null, 'missing parts are no longer filled')
  builder.fillMissing()
  assert.equal(namesIn(builder.merged()), ['new', 'shop', 'new.strip', 'shop.strip'])
})

test.run()
