// Builds the options of the shared state's store, and checks that they fit together.

import { X509Certificate } from 'node:crypto'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import type { OptionsEnvironment } from './environment.ts'
import { readOptionFile } from './option-file.ts'
import type { DataPlaneOptions, StoreOptions } from './options.ts'
import { quoted } from './quote.ts'
import type { Result } from './result.ts'
import type { OptionName, OptionValues } from './schema.ts'

const MAX_CA_BYTES = 1024 ** 2

interface StoreParts {
  readonly store: StoreOptions
  readonly sessions: DataPlaneOptions['sessions']
}

/** `originOf` returns an option's name as it was given. */
export function storeOptions(
  values: OptionValues,
  given: ReadonlyMap<OptionName, string>,
  originOf: (name: OptionName) => string,
  environment: OptionsEnvironment,
): Result<StoreParts> {
  const sessions = { consistency: values.storeConsistency, strictWaitMs: values.storeStrictWait }
  const errors: string[] = []
  if (values.store === 'gossip') {
    if (values.storeConsistency === 'strict')
      errors.push(
        `${originOf('storeConsistency')} is strict, expected --store redis beside it: only Redis can decide which replica was first`,
      )
    // An explicit --store gossip turns Redis off; the other options may stay.
    if (values.redisUrl !== null && !given.has('store'))
      errors.push(`${originOf('redisUrl')} is given, expected --store redis beside it: without it Redis is not used`)
    return errors.length > 0 ? { ok: false, errors } : { ok: true, value: { store: { kind: 'gossip', redis: null }, sessions } }
  }
  const url = values.redisUrl
  if (url === null)
    return { ok: false, errors: [`${originOf('store')} is redis, expected --redis-url beside it: the address of Redis`] }
  const { mode, hosts, master, username, database } = url
  if (url.password !== '' && values.redisPassword !== null)
    errors.push(`${originOf('redisUrl')} holds a password and ${originOf('redisPassword')} is given, expected one of them`)
  const password = url.password || (values.redisPassword ?? '')
  if (username !== '' && password === '')
    errors.push(`${originOf('redisUrl')} holds a user name, expected a password too (in it, or --redis-password-file beside it)`)
  if (mode !== 'sentinel' && values.redisSentinelPassword !== null)
    errors.push(
      `${originOf('redisSentinelPassword')} is given, expected a --redis-url that begins with redis+sentinel:// beside it`,
    )
  if (!url.tls && values.redisCa !== null)
    errors.push(
      `${originOf('redisCa')} is given, expected a --redis-url that begins with rediss beside it: it has no effect without TLS`,
    )
  const ca = url.tls && values.redisCa !== null ? readCa(values.redisCa, originOf('redisCa'), environment) : null
  if (ca !== null && !ca.ok) errors.push(...ca.errors)
  if (errors.length > 0) return { ok: false, errors }
  const redis: RedisStoreOptions = {
    mode,
    hosts,
    master,
    username,
    password,
    sentinelPassword: values.redisSentinelPassword ?? '',
    database,
    tls: url.tls ? { ca: ca?.ok === true ? ca.value : null } : null,
    prefix: values.redisPrefix,
    cluster: values.clusterName,
  }
  return { ok: true, value: { store: { kind: 'redis', redis }, sessions } }
}

function readCa(path: string, origin: string, environment: OptionsEnvironment): Result<string> {
  const expected = 'a PEM file with a certificate'
  const text = readOptionFile(environment, origin, path, MAX_CA_BYTES, expected)
  if (!text.ok) return text
  try {
    new X509Certificate(text.value)
    return text
  } catch {
    return { ok: false, errors: [`${origin} is ${quoted(path)} and holds no certificate, expected ${expected}`] }
  }
}
