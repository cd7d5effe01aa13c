// Address, credentials and mode of Redis, as its store needs them.

export interface HostPort {
  readonly host: string
  readonly port: number
}

export interface RedisStoreOptions {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  /** The server; the Sentinels; some nodes of the cluster. */
  readonly hosts: readonly HostPort[]
  /** Name of the Sentinels' master; '' in other modes. */
  readonly master: string
  /** '' when not configured. Secrets are never logged or part of an error. */
  readonly username: string
  readonly password: string
  readonly sentinelPassword: string
  readonly database: number
  /** `ca` is PEM text; null: the authorities of Node's default store. */
  readonly tls: { readonly ca: string | null } | null
  /** Keys begin with `{prefix:cluster}`. */
  readonly prefix: string
  readonly cluster: string
}

/** `10.0.0.1:6379`, `[fd00::1]:6379`. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
