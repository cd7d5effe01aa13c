// A replica's store over a real Redis, with memory as the inner store, and what its hook and log received.

import { memoryStore } from '../../cluster/store/memory.ts'
import type { Change, RedisStatus } from '../../cluster/store/model.ts'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import { redisStore } from '../../cluster/store/redis/store.ts'
import { RecordedLog } from './cluster-harness.ts'
import type { Replica } from './store-conformance.ts'

export interface RedisReplica extends Replica {
  readonly log: RecordedLog
  redis(): RedisStatus
  /** Log lines of a level, in order. */
  told(level: 'info' | 'warn' | 'error'): readonly string[]
}

let names = 0

export function openRedisReplica(options: RedisStoreOptions): RedisReplica {
  const log = new RecordedLog()
  const calls: (readonly Change[])[] = []
  const inner = memoryStore(`replica-${(names += 1)}`)
  const store = redisStore(inner, { options, log, changed: changes => void calls.push(changes) })
  return {
    store,
    calls,
    log,
    redis() {
      const { redis } = store.status()
      if (redis === null) throw new Error('it has no Redis')
      return redis
    },
    told: level => log.lines.filter(line => line.startsWith(`${level}: `)),
  }
}
