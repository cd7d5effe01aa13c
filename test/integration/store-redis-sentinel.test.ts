// The conformance suite over a master with two replicas, found through three Sentinels; all with passwords.

import { test } from 'uvu'
import { openRedisReplica } from './redis-replica.ts'
import { endServers, hasRedis, redisOptions, startSentinels } from './redis-servers.ts'
import { conformance } from './store-conformance.ts'

if (hasRedis('the store over Redis with Sentinels')) {
  const { sentinels, servers } = await startSentinels('main', 'sesame', 'sentinel-sesame')
  test.after(endServers)
  conformance({
    name: 'redis with Sentinels',
    kind: 'redis',
    stateAgeMs: 0,
    async open(cluster, _name, prepare) {
      const replica = openRedisReplica({
        ...redisOptions(servers[0] as (typeof servers)[number]),
        mode: 'sentinel',
        hosts: sentinels.map(({ address }) => address),
        master: 'main',
        password: 'sesame',
        sentinelPassword: 'sentinel-sesame',
        cluster,
      })
      prepare(replica.store)
      await replica.store.ready()
      return replica
    },
  })
}

test.run()
