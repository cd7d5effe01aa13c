// The static options of one replica, as the rest of Skein sees them: validated, with defaults, durations in milliseconds, sizes
// in bytes. schema.ts describes where each comes from (flag, environment, file).

import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import type { LogOptions } from '../util/log.ts'

export interface EntryPointOptions {
  readonly name: string
  /** Address to listen on; `0.0.0.0` or `::` for all. */
  readonly host: string
  readonly port: number
  /** Addresses (CIDR) whose X-Forwarded-* and X-Real-Ip are believed; `insecure` believes all. */
  readonly forwardedHeaders: { readonly trustedIPs: readonly string[]; readonly insecure: boolean }
  /** Addresses (CIDR) that speak the PROXY protocol; from them a header is required, from others it is refused. */
  readonly proxyProtocol: { readonly trustedIPs: readonly string[]; readonly insecure: boolean }
  /** Path of the health answer: 200, or 503 while this replica drains; absent: none. */
  readonly ping?: string
}

/** Everything a data worker needs; plain data, sent to it once at start. */
export interface DataPlaneOptions {
  readonly entryPoints: readonly EntryPointOptions[]
  /** This replica's name, for X-Forwarded-Server and request ids. */
  readonly name: string
  /** Key for cookie values (any string; the same on all replicas gives the same cookies). */
  readonly cookieKey: string
  /** Cookies and sessions made under these keys are understood too: those of the other secrets that are accepted. */
  readonly otherCookieKeys: readonly string[]
  readonly timeouts: {
    readonly connectMs: number
    /** From the request sent to the whole response head; 0: no limit. A service's label may replace it. */
    readonly responseHeaderMs: number
    /** From the connection (or the first byte of a next request) to the whole request head. */
    readonly requestHeaderMs: number
    /**
     * How long a client may take nothing of an answer that waits for it, or send nothing of a body whose answer has not begun, or
     * a server take nothing of a body; 0: no limit. A service's label may replace it.
     */
    readonly stallMs: number
    /** A kept-alive client connection without a request. */
    readonly clientIdleMs: number
    /** A kept-alive upstream connection without a request. */
    readonly upstreamIdleMs: number
    /** A tunnel (WebSocket) without a byte in either direction; 0: no limit. */
    readonly tunnelIdleMs: number
    /** No response byte for so long: try a fresh connect to find out whether the server has vanished (design 8). */
    readonly noResponseMs: number
  }
  readonly limits: {
    readonly headerBytes: number
    readonly headerCount: number
    readonly uriBytes: number
    /** Client connections per worker. */
    readonly connections: number
    /** Idle server connections that belong to one client connection each, per worker. */
    readonly privateConnections: number
    /** Request body; 0: no limit. */
    readonly bodyBytes: number
  }
  readonly retry: {
    /** Servers tried for one request, at most. */
    readonly attempts: number
    /** Request body kept for a retry, at most. */
    readonly bufferBytes: number
    /** Share of the requests in flight that may be retries. */
    readonly budgetRatio: number
    readonly budgetMin: number
    /** How long a request may wait for a server when its service has none that can be used now; 0: it fails at once. */
    readonly serverWaitMs: number
  }
  /** TLS towards servers of protocol https: whether their certificates are checked. */
  readonly upstreamTls: { readonly verify: boolean }
  /** `/x/` does not match Path:/x, instead of being redirected there. */
  readonly keepTrailingSlash: boolean
  /** Through peers, where no server of a service can be reached from here. */
  readonly relay: {
    /** Where peers' requests are taken; null: nowhere. */
    readonly listen: { readonly host: string; readonly port: number } | null
    /**
     * Keys (hex) derived from the cluster's secrets: the first is used towards peers, all are accepted. Empty: nothing is
     * relayed.
     */
    readonly keys: readonly string[]
  }
  readonly accessLog: boolean
  /**
   * How sessions are learned across replicas: `fast` answers from the worker's own memory; with `strict` the first request of a
   * session waits (at most strictWaitMs) until Redis has told who was first.
   */
  readonly sessions: { readonly consistency: 'fast' | 'strict'; readonly strictWaitMs: number }
}

/** Where shared state lives beside the replicas' own memory. */
export interface StoreOptions {
  readonly kind: 'gossip' | 'redis'
  /** null with gossip. */
  readonly redis: RedisStoreOptions | null
}

/** What makes this replica a member of a cluster. */
export interface ClusterOptions {
  /** Where other members reach it; port 0: any. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Members of other names are not talked to, whatever secret they hold. */
  readonly name: string
  /** `host:port`; a DNS name is looked up again every few seconds and may have many addresses. */
  readonly peers: readonly { readonly host: string; readonly port: number }[]
  /** Addresses (without port) at which peers may reach this replica, best first; empty: those of its interfaces. */
  readonly advertise: readonly string[]
}

export interface SwarmOptions {
  /** `unix:///path`, `tcp://host:port`, `agent://host:port`; seeds, others are learned. Empty: no Swarm provider. */
  readonly managers: readonly string[]
  /** Paths of PEM files for tcp:// endpoints; all null: plain TCP. */
  readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null }
  /** Ask other managers for themselves through /nodes and use them too. */
  readonly learnManagers: boolean
  readonly domain: string | null
  readonly exposedByDefault: boolean
  readonly network: string | null
  readonly constraints: readonly string[]
  readonly labelPrefix: string
  /** Poll interval of /tasks at rest and while anything is in transition. */
  readonly pollRestMs: number
  readonly pollBusyMs: number
  /** One Docker API call, at most. */
  readonly callTimeoutMs: number
}

export interface RunOptions {
  readonly name: string
  readonly swarm: SwarmOptions
  /** Files, and directories of files, that services are read from beside the Swarm; each exists at start. Empty: none. */
  readonly files: readonly string[]
  readonly dataPlane: DataPlaneOptions
  /** Admin API; null: off. `names` are further host names under which it may be asked. */
  readonly admin: { readonly host: string; readonly port: number; readonly names?: readonly string[] } | null
  /** Data workers. */
  readonly workers: number
  /** null: this replica is on its own. */
  readonly cluster: ClusterOptions | null
  readonly store: StoreOptions
  /** Cluster secrets, never logged; the first is used, all are accepted (so that one can be changed). Empty: none. */
  readonly secrets: readonly string[]
  /** Directory for the last snapshot and the learned managers; null: nothing is kept. */
  readonly dataDir: string | null
  /** After SIGTERM: how long the replica goes on accepting while its health answers are 503. */
  readonly drainDelayMs: number
  /** After that: how long requests in flight may take. */
  readonly graceMs: number
  readonly log: LogOptions
}

export interface AgentOptions {
  readonly listen: { readonly host: string; readonly port: number }
  /** The Docker socket to read from. */
  readonly docker: string
  /** All are accepted. */
  readonly secrets: readonly string[]
  readonly log: LogOptions
}
