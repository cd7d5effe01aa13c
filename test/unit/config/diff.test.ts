import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diffSnapshots } from '../../../src/config/diff.ts'
import { snapshotOf } from '../../../src/config/merge.ts'
import type { DynamicConfig, Server, Snapshot } from '../../../src/config/model.ts'
import { config, router, service } from './fixtures.ts'

const REVISION = { term: 0, leader: '', sequence: 1 }

function snapshot(c: DynamicConfig): Snapshot {
  return snapshotOf(c, REVISION)
}

function server(id: string, more: Partial<Server> = {}): Server {
  return { id, scheme: 'http', host: '10.0.0.1', port: 80, weight: 1, state: 'active', node: 'n1', ...more }
}

test('a first snapshot is all new; an equal one gives an empty text', () => {
  assert.is(diffSnapshots(null, snapshot(config(['a', 'b']))), 'services +a +b; routers +a +b')
  assert.is(diffSnapshots(snapshot(config(['a'])), snapshot(config(['a']))), '')
})

test('added, removed and changed services and routers are listed', () => {
  const before = snapshot(config(['a', 'old']))
  const after = snapshot(config(['a', 'new'], { routers: { a: router('a', { priority: 99 }), new: router('new') } }))
  assert.is(diffSnapshots(before, after), 'services +new -old; routers +new -old ~a')
})

test('servers are counted', () => {
  const before = snapshot(
    config(['a'], { services: { a: service('a', { servers: [server('1'), server('2'), server('3'), server('5')] }) } }),
  )
  const after = snapshot(
    config(['a'], {
      services: {
        a: service('a', { servers: [server('2', { state: 'draining' }), server('3', { weight: 2 }), server('4'), server('5')] }),
      },
    }),
  )
  assert.is(diffSnapshots(before, after), 'a: servers 1 added, 1 removed, 1 draining, 1 changed')
})

test('new errors are counted', () => {
  const error = { severity: 'error', provider: 'p', source: 's', key: 'k', value: 'v', message: 'm' } as const
  assert.is(diffSnapshots(snapshot(config([])), snapshot(config([], { errors: [error] }))), '1 new error or warning')
  assert.is(diffSnapshots(snapshot(config([], { errors: [error] })), snapshot(config([], { errors: [error] }))), '')
})

test('a long list is shortened', () => {
  const names = Array.from({ length: 100 }, (_, i) => `s${i}`)
  const text = diffSnapshots(null, snapshot(config(names)))
  assert.ok(text.length < 200, text)
  assert.match(text, /and 92 more/)
})

test.run()
