// The conformance suite over a Redis Cluster of three masters, each with a replica.

import { test } from 'uvu'
import { openRedisReplica } from './redis-replica.ts'
import { endServers, hasRedis, redisOptions, startCluster } from './redis-servers.ts'
import { conformance } from './store-conformance.ts'

if (hasRedis('the store over Redis Cluster')) {
  const nodes = await startCluster()
  test.after(endServers)
  conformance({
    name: 'Redis Cluster',
    kind: 'redis',
    stateAgeMs: 0,
    async open(cluster, _name, prepare) {
      const hosts = nodes.slice(0, 2).map(({ address }) => address)
      const replica = openRedisReplica({ ...redisOptions(nodes[0] as (typeof nodes)[number]), mode: 'cluster', hosts, cluster })
      prepare(replica.store)
      await replica.store.ready()
      return replica
    },
  })
}

test.run()
