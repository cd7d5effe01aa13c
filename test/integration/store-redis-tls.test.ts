// Redis with TLS: the certificate is verified, and each mistake is reported with its cause.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeIdentity } from '../unit/providers/swarm/certificates.ts'
import { until } from '../until.ts'
import { openRedisReplica, type RedisReplica } from './redis-replica.ts'
import { endServers, hasRedis, redisOptions, startSingle, startWithTls } from './redis-servers.ts'

const opened: RedisReplica[] = []

if (hasRedis('Redis behind TLS')) {
  const identity = makeIdentity('localhost')
  const server = await startWithTls(identity)
  const plain = await startSingle()
  test.after.each(async () => {
    await Promise.all(opened.splice(0).map(({ store }) => store.stop()))
  })
  test.after(endServers)

  test('with the right authority two replicas share', async () => {
    const options = redisOptions(server, { tls: { ca: identity.cert } })
    const [a, b] = [openRedisReplica(options), openRedisReplica(options)]
    opened.push(a, b)
    await Promise.all([a.store.ready(), b.store.ready()])
    a.store.put('t', 'k', 'v', { ttlMs: 60_000 })
    await until('the other has it', () => b.store.get('t', 'k')?.value === 'v')
    assert.equal([...a.told('warn'), ...b.told('warn')], [])
  })

  for (const [what, options, reason] of [
    ['another authority', redisOptions(server, { tls: { ca: makeIdentity('other').cert } }), /its certificate is not accepted/],
    ['no authority', redisOptions(server, { tls: { ca: null } }), /its certificate is not accepted \(self-signed certificate/],
    [
      'no TLS where it is wanted',
      redisOptions(server),
      /closed the connection before it answered \(does it require TLS, rediss:\/\/\?\)/,
    ],
    ['TLS where there is none', redisOptions(plain, { tls: { ca: null } }), /no answer within 1000 ms \(does it use TLS\?\)/],
  ] as const)
    test(`${what}: reported`, async () => {
      const replica = openRedisReplica(options)
      opened.push(replica)
      await until('it is away', () => replica.redis().state === 'away')
      assert.match(replica.redis().reason, reason)
    })
}

test.run()
