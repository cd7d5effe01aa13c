// Parses the address of Redis: redis://user:password@host:6379/0, rediss:// for TLS, with +sentinel or +cluster and several hosts.
// Errors never repeat the value, because it may contain a password.

import { z } from 'zod'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import { type HostPort, type Kind, parseHostPort } from './kinds.ts'

export interface RedisUrl {
  readonly mode: RedisStoreOptions['mode']
  readonly tls: boolean
  /** '' if it is not given. */
  readonly username: string
  readonly password: string
  readonly hosts: readonly HostPort[]
  /** Name of the Sentinels' master; '' in other modes. */
  readonly master: string
  readonly database: number
}

const FORMS =
  'redis://USER:PASSWORD@HOST:6379/0, redis+sentinel://HOST:26379,HOST:26379/MASTER/0 or redis+cluster://HOST:6379,HOST:6379 ' +
  '(rediss instead of redis: with TLS)'
const MAX_HOSTS = 32
const MAX_DATABASES = 65_536
const DEFAULT_PORT = { single: 6379, sentinel: 26_379, cluster: 6379 } as const

/** The parts of the address, or what was expected instead. */
export function parseRedisUrl(text: string): RedisUrl | string {
  const match = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#\s]+)((?:\/[^?#\s]*)?)$/.exec(text)
  if (match === null) return `${FORMS}; in a user name or a password % : @ / ? # are written %25 %3A %40 %2F %3F %23`
  const [, secure, kind, login = '', authority = '', path = ''] = match
  const mode = (kind ?? 'single') as RedisUrl['mode']
  const colon = login.indexOf(':')
  const username = decoded(colon < 0 ? login : login.slice(0, colon))
  const password = decoded(colon < 0 ? '' : login.slice(colon + 1))
  if (username === null || password === null) return 'a user name and a password in which % is written %25'
  const hosts = authority.split(',').map(host => parseHost(host, DEFAULT_PORT[mode]))
  if (hosts.some(host => host === null)) return `HOST:PORT after the //, several only with +sentinel or +cluster: ${FORMS}`
  if (mode === 'single' && hosts.length > 1)
    return `one host with redis://; several with redis+sentinel:// (its Sentinels) or redis+cluster:// (some of its nodes)`
  if (hosts.length > MAX_HOSTS) return `at most ${MAX_HOSTS} hosts`
  const parts = path.split('/').slice(1)
  if (parts.at(-1) === '') parts.pop()
  const master = mode === 'sentinel' ? decoded(parts.shift() ?? '') : ''
  if (mode === 'sentinel' && !/^[A-Za-z0-9._-]{1,128}$/.test(master ?? ''))
    return "the name of the Sentinels' master after the hosts: redis+sentinel://HOST:26379,HOST:26379/MASTER"
  const [database = '0', ...rest] = parts
  if (rest.length > 0 || !/^\d{1,5}$/.test(database) || Number(database) >= MAX_DATABASES)
    return `the number of a database as the last part, such as /0: ${FORMS}`
  if (mode === 'cluster' && Number(database) !== 0) return 'database 0 with redis+cluster://: Redis Cluster has no other'
  return {
    mode,
    tls: secure === 's',
    username,
    password,
    hosts: hosts.filter(host => host !== null),
    master: master ?? '',
    database: Number(database),
  }
}

function parseHost(text: string, port: number): HostPort | null {
  const parsed = /:\d*$/.test(text) && !text.endsWith(']') ? parseHostPort(text) : parseHostPort(`${text}:${port}`)
  return parsed === null || parsed.host === '' || parsed.port === 0 ? null : parsed
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

export function redisUrlKind(): Kind<RedisUrl> {
  return {
    schema: z
      .string()
      .max(8192)
      .transform((text, context) => {
        const parsed = parseRedisUrl(text)
        if (typeof parsed !== 'string') return parsed
        context.addIssue({ code: 'custom', message: parsed })
        return z.NEVER
      }),
    expected: FORMS,
    placeholder: 'URL',
    list: false,
    fromText: text => text,
  }
}
