import { createRequire } from 'node:module'
import { pino } from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { StoreOptions } from '../../../src/options/options.ts'
import { SharedState } from '../../../src/shared-state/shared-state.ts'

const loaded = (): boolean => Object.keys(createRequire(import.meta.url).cache).some(path => path.includes('/ioredis/'))
const sharing = (store: StoreOptions): SharedState =>
  new SharedState({ name: 'edge-1', store, log: pino({ level: 'silent' }), post: () => {}, postTo: () => {} })

/** Nothing listens there. */
const REDIS: StoreOptions = {
  kind: 'redis',
  redis: {
    mode: 'single',
    hosts: [{ host: '127.0.0.1', port: 1 }],
    master: '',
    username: '',
    password: '',
    sentinelPassword: '',
    database: 0,
    tls: null,
    prefix: 'skein',
    cluster: 'skein',
  },
}

test('without Redis the client is not loaded', async () => {
  const alone = sharing({ kind: 'gossip', redis: null })
  await alone.ready()
  assert.is(alone.status().kind, 'gossip')
  await alone.stop()
  assert.not(loaded())
})

test('with Redis it is loaded; an unreachable Redis delays nothing', async () => {
  const over = sharing(REDIS)
  assert.is(over.status().kind, 'redis')
  assert.is(over.status().redis?.state, 'connecting')
  const before = performance.now()
  await over.ready()
  assert.ok(performance.now() - before < 20_000)
  assert.ok(loaded())
  assert.is(over.status().redis?.state, 'away')
  assert.match(over.status().redis?.reason ?? '', /^127\.0\.0\.1:1: nothing listens there/)
  await over.stop()
})

test('stopped before the client is loaded: no connection is made', async () => {
  const over = sharing(REDIS)
  await over.stop()
  await over.ready()
  assert.is(over.status().redis?.state, 'connecting')
})

test.run()
