// The store of shared state from its options: what belongs together, and what Redis needs.

import { X509Certificate } from 'node:crypto'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import type { OptionsEnvironment, Result } from './load.ts'
import type { DataPlaneOptions, StoreOptions } from './options.ts'
import type { OptionName, OptionValues } from './schema.ts'
import { readOptionFile } from './secret-values.ts'
import { quoted } from './sources.ts'

const MAX_CA_BYTES = 1024 ** 2

interface StoreParts {
  readonly store: StoreOptions
  readonly sessions: DataPlaneOptions['sessions']
}

/** `from` names an option as it was given. */
export function storeOptions(
  values: OptionValues,
  given: ReadonlyMap<OptionName, string>,
  from: (name: OptionName) => string,
  around: OptionsEnvironment,
): Result<StoreParts> {
  const sessions = { consistency: values.storeConsistency, strictWaitMs: values.storeStrictWait }
  const errors: string[] = []
  if (values.store === 'gossip') {
    if (values.storeConsistency === 'strict')
      errors.push(`${from('storeConsistency')} is strict, expected --store redis beside it: only Redis can tell who was first`)
    // Turned off on purpose where --store says so: then the rest may stay.
    if (values.redisUrl !== null && !given.has('store'))
      errors.push(`${from('redisUrl')} is given, expected --store redis beside it: without it Redis is not used`)
    return errors.length > 0 ? { ok: false, errors } : { ok: true, value: { store: { kind: 'gossip', redis: null }, sessions } }
  }
  const url = values.redisUrl
  if (url === null)
    return { ok: false, errors: [`${from('store')} is redis, expected --redis-url beside it: it says where Redis is`] }
  const { mode, hosts, master, username, database } = url
  if (url.password !== '' && values.redisPassword !== null)
    errors.push(`${from('redisUrl')} holds a password and ${from('redisPassword')} is given, expected one of them`)
  const password = url.password || (values.redisPassword ?? '')
  if (username !== '' && password === '')
    errors.push(`${from('redisUrl')} holds a user name, expected a password too (in it, or --redis-password-file beside it)`)
  if (mode !== 'sentinel' && values.redisSentinelPassword !== null)
    errors.push(`${from('redisSentinelPassword')} is given, expected a --redis-url that begins with redis+sentinel:// beside it`)
  if (!url.tls && values.redisCa !== null)
    errors.push(
      `${from('redisCa')} is given, expected a --redis-url that begins with rediss beside it: without TLS it is of no use`,
    )
  const ca = url.tls && values.redisCa !== null ? readCa(values.redisCa, from('redisCa'), around) : null
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

function readCa(path: string, origin: string, around: OptionsEnvironment): Result<string> {
  const expected = 'a PEM file with a certificate'
  const text = readOptionFile(around, origin, path, MAX_CA_BYTES, expected)
  if (!text.ok) return text
  try {
    new X509Certificate(text.value)
    return text
  } catch {
    return { ok: false, errors: [`${origin} is ${quoted(path)} and holds no certificate, expected ${expected}`] }
  }
}
