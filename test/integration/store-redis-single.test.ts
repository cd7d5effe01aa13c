// The conformance suite over one Redis server with a password and a database number.

import { test } from 'uvu'
import { openRedisReplica } from './redis-replica.ts'
import { endServers, hasRedis, redisOptions, startSingle } from './redis-servers.ts'
import { conformance } from './store-conformance.ts'

if (hasRedis('the store over a single Redis')) {
  const server = await startSingle([], 'sesame')
  test.after(endServers)
  conformance({
    name: 'redis',
    kind: 'redis',
    stateAgeMs: 0,
    async open(cluster, _name, prepare) {
      const replica = openRedisReplica(redisOptions(server, { cluster, password: 'sesame', database: 3 }))
      prepare(replica.store)
      await replica.store.ready()
      return replica
    },
  })
}

test.run()
