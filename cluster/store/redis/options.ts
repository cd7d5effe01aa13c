// Where Redis is and how it is spoken to, as its store needs it.

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
  /** '' where there is none; none of the three is ever logged or part of an error. */
  readonly username: string
  readonly password: string
  readonly sentinelPassword: string
  readonly database: number
  /** `ca` is PEM text; null: the authorities that Node knows. */
  readonly tls: { readonly ca: string | null } | null
  /** Keys begin with `{prefix:cluster}`. */
  readonly prefix: string
  readonly cluster: string
}

/** `10.0.0.1:6379`, `[fd00::1]:6379`. */
export function written({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
