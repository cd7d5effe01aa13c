// Options of the table (schema.ts) for the store of shared state (learned sessions, breakers, ejections): gossip between the
// replicas, or Redis in addition.

import { choiceKind, durationKind, pathKind, textKind } from './kinds.ts'
import { redisUrlKind } from './redis-url.ts'
import { type OptionSpec, option, optional } from './spec.ts'

const state = { commands: ['run', 'check'], group: 'Shared state' } as const
const PASSWORD = /^[^\r\n]{1,4096}$/

export const STORE_OPTIONS = {
  store: option({
    ...state,
    flag: 'store',
    file: 'store.kind',
    kind: choiceKind(['gossip', 'redis']),
    default: 'gossip',
    description:
      'Where learned sessions, breakers and ejections are stored beside the memory of the replicas. gossip: nowhere; the members of the ' +
      'cluster exchange them. redis: in Redis too, which distributes them faster, keeps them while all replicas restart, and can decide ' +
      'which replica was first (--store-consistency). Both use memory to answer requests, and gossip continues while Redis is unavailable.',
    example: 'redis',
  }),
  storeConsistency: option({
    ...state,
    flag: 'store-consistency',
    file: 'store.consistency',
    kind: choiceKind(['fast', 'strict']),
    default: 'fast',
    description:
      'fast: no request waits for another replica; two replicas that receive a new session at the same moment choose the same server unless ' +
      'they see different servers, and agree right after. strict: the first request of a session waits, at most --store-strict-wait, ' +
      'until Redis has decided which replica was first. Needs --store redis.',
    example: 'strict',
  }),
  storeStrictWait: option({
    ...state,
    flag: 'store-strict-wait',
    file: 'store.strictWait',
    kind: durationKind(1, 10_000),
    default: '100ms',
    description:
      'How long the first request of a session waits for Redis with --store-consistency strict; then this replica decides alone.',
    example: '50ms',
  }),
  redisUrl: optional({
    ...state,
    flag: 'redis-url',
    file: 'redis.url',
    kind: redisUrlKind(),
    whenAbsent: '--store redis is refused',
    description:
      'Address of Redis (6.2 or later; tested with 7.0): one server (`redis://HOST:6379/0`), the Sentinels and the name of their ' +
      'master (`redis+sentinel://HOST:26379,HOST:26379/MASTER/0`), or some nodes of a Redis Cluster ' +
      '(`redis+cluster://HOST:6379,HOST:6379`). `rediss` instead of `redis`: with TLS. A user name and a password may precede the ' +
      'hosts (`USER:PASSWORD@`); other users of the machine can see flags, so prefer --redis-password-file. A dedicated user (ACL) ' +
      'needs `~{PREFIX:CLUSTER}:* &{PREFIX:CLUSTER}:* +auth +ping +select +eval +evalsha +scan +subscribe +publish +get +set +getrange ' +
      '+pttl`, in a Redis Cluster `+cluster|slots +cluster|keyslot` too.',
    example: 'redis://redis:6379/0',
    secret: true,
  }),
  redisPassword: optional({
    ...state,
    flag: 'redis-password',
    file: 'redis.password',
    kind: textKind('PASSWORD', PASSWORD, 'a password of one line'),
    whenAbsent: 'the password in --redis-url, or none',
    description: 'The password of Redis. Other users of the machine can see flags, so prefer --redis-password-file.',
    example: '"$REDIS_PASSWORD"',
    secret: true,
  }),
  redisPasswordFile: optional({
    ...state,
    flag: 'redis-password-file',
    file: 'redis.passwordFile',
    kind: pathKind('FILE', 'the path of a file that holds the password'),
    whenAbsent: 'see --redis-password',
    description: 'A file with the password of Redis, such as a Docker secret.',
    example: '/run/secrets/redis_password',
  }),
  redisSentinelPassword: optional({
    ...state,
    flag: 'redis-sentinel-password',
    file: 'redis.sentinelPassword',
    kind: textKind('PASSWORD', PASSWORD, 'a password of one line'),
    whenAbsent: 'the Sentinels are used without a password',
    description: 'The password of the Sentinels themselves. Prefer --redis-sentinel-password-file.',
    example: '"$SENTINEL_PASSWORD"',
    secret: true,
  }),
  redisSentinelPasswordFile: optional({
    ...state,
    flag: 'redis-sentinel-password-file',
    file: 'redis.sentinelPasswordFile',
    kind: pathKind('FILE', 'the path of a file that holds the password'),
    whenAbsent: 'see --redis-sentinel-password',
    description: 'A file with the password of the Sentinels.',
    example: '/run/secrets/sentinel_password',
  }),
  redisCa: optional({
    ...state,
    flag: 'redis-ca',
    file: 'redis.ca',
    kind: pathKind('FILE', 'the path of a PEM file'),
    whenAbsent: "certificates are verified with Node's authorities",
    description: "Certificate authority of Redis' (and the Sentinels') certificates, with rediss://.",
    example: '/run/secrets/redis-ca.pem',
  }),
  redisPrefix: option({
    ...state,
    flag: 'redis-prefix',
    file: 'redis.prefix',
    kind: textKind('PREFIX', /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a name of at most 64 letters, digits, dots, - and _'),
    default: 'skein',
    description:
      'Keys and the channel in Redis begin with {PREFIX:CLUSTER} (--cluster-name), so that a Redis can serve several clusters and other ' +
      'applications.',
    example: 'edge-west',
  }),
} as const satisfies Record<string, OptionSpec<never> | OptionSpec<unknown>>
