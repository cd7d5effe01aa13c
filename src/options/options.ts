// The static options of one replica: validated, with defaults, durations in milliseconds and sizes in bytes. schema.ts has the names
// of each option in its sources (flag, environment variable, file).

import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import type { LogOptions } from '../util/log.ts'

export interface EntryPointOptions {
  readonly name: string
  /** Address to listen on; `0.0.0.0` or `::` for all. */
  readonly host: string
  readonly port: number
  /** Addresses (CIDR) whose X-Forwarded-* and X-Real-Ip are trusted; `insecure` trusts all. */
  readonly forwardedHeaders: { readonly trustedIPs: readonly string[]; readonly insecure: boolean }
  /** Addresses (CIDR) that send PROXY headers: required from them, refused from others. */
  readonly proxyProtocol: { readonly trustedIPs: readonly string[]; readonly insecure: boolean }
  /** Path of the health endpoint: 200, or 503 while this replica drains; absent: none. */
  readonly ping?: string
}

/** The options of a data worker; plain data, passed once at its start. */
export interface DataPlaneOptions {
  readonly entryPoints: readonly EntryPointOptions[]
  /** This replica's name, for X-Forwarded-Server and request ids. */
  readonly name: string
  /** Key that hashes cookie values (any string); replicas with the same key create the same cookies. */
  readonly cookieKey: string
  /** Further keys whose cookies and sessions are accepted: those of the other accepted secrets. */
  readonly otherCookieKeys: readonly string[]
  readonly timeouts: {
    readonly connectMs: number
    /** From the request sent to the whole response head; 0: no limit. A service's label takes precedence. */
    readonly responseHeaderMs: number
    /** From the connection (or the first byte of a next request) to the whole request head. */
    readonly requestHeaderMs: number
    /**
     * Without progress: a client takes nothing of a response, or sends nothing of a body whose response has not begun, or a server
     * takes nothing of a body; 0: no limit. A service's label takes precedence.
     */
    readonly stallMs: number
    /** A client connection without a request. */
    readonly clientIdleMs: number
    /** An upstream connection without a request. */
    readonly upstreamIdleMs: number
    /** A tunnel (WebSocket) without a byte in either direction; 0: no limit. */
    readonly tunnelIdleMs: number
    /** Without a response byte: then a new connection tests whether the server still exists. */
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
    /** Servers tried for one request. */
    readonly attempts: number
    /** Bytes of a request body kept for a retry. */
    readonly bufferBytes: number
    /** Share of the requests in flight that may be retries. */
    readonly budgetRatio: number
    readonly budgetMin: number
    /** How long a request waits if its service has no usable server; 0: it fails at once. */
    readonly serverWaitMs: number
  }
  /** TLS to servers of protocol https: whether their certificates are verified. */
  readonly upstreamTls: { readonly verify: boolean }
  /** true: `/x/` does not match Path:/x; false: it is redirected to /x. */
  readonly keepTrailingSlash: boolean
  /** Relay of requests through peers, for services of which this replica reaches no server. */
  readonly relay: {
    /** Address for peers' requests; null: none are accepted. */
    readonly listen: { readonly host: string; readonly port: number } | null
    /** Keys (hex) derived from the cluster's secrets: the first is used, all are accepted. Empty: nothing is relayed. */
    readonly keys: readonly string[]
  }
  readonly accessLog: boolean
  /**
   * How replicas agree on learned sessions: `fast` uses the worker's own memory; with `strict` the first request of a session waits,
   * at most strictWaitMs, until Redis has decided which replica was first.
   */
  readonly sessions: { readonly consistency: 'fast' | 'strict'; readonly strictWaitMs: number }
}

/** The store of shared state beside the replicas' own memory. */
export interface StoreOptions {
  readonly kind: 'gossip' | 'redis'
  /** null with gossip. */
  readonly redis: RedisStoreOptions | null
}

/** The options of a member of a cluster. */
export interface ClusterOptions {
  /** Address to listen on for other members; port 0: any. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Members with another cluster name are refused, even with the same secret. */
  readonly name: string
  /** A DNS name may have many addresses and is looked up again every few seconds. */
  readonly peers: readonly { readonly host: string; readonly port: number }[]
  /** Addresses (without port) at which peers reach this replica, in order of preference; empty: those of its interfaces. */
  readonly advertise: readonly string[]
}

export interface SwarmOptions {
  /** `unix:///path`, `tcp://host:port`, `agent://host:port`; others are learned from these. Empty: no Swarm provider. */
  readonly managers: readonly string[]
  /** Paths of PEM files for tcp:// endpoints; all null: plain TCP. */
  readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null }
  /** Learn the other managers from /nodes and use them too. */
  readonly learnManagers: boolean
  readonly domain: string | null
  readonly exposedByDefault: boolean
  readonly network: string | null
  readonly constraints: readonly string[]
  readonly labelPrefix: string
  /** Poll interval of /tasks while nothing changes, and while something does. */
  readonly pollRestMs: number
  readonly pollBusyMs: number
  /** Time limit of one Docker API call. */
  readonly callTimeoutMs: number
}

export interface RunOptions {
  readonly name: string
  readonly swarm: SwarmOptions
  /** Files and directories of files with services, beside the Swarm; each exists at the start. Empty: none. */
  readonly files: readonly string[]
  readonly dataPlane: DataPlaneOptions
  /** Admin API; null: off. `names` are further accepted host names. */
  readonly admin: { readonly host: string; readonly port: number; readonly names?: readonly string[] } | null
  /** Number of data workers. */
  readonly workers: number
  /** null: this replica is not a member of a cluster. */
  readonly cluster: ClusterOptions | null
  readonly store: StoreOptions
  /** Cluster secrets, never logged; the first is used, all are accepted, so that the secret can be changed. Empty: none. */
  readonly secrets: readonly string[]
  /** Directory for the last snapshot and the learned managers; null: nothing is stored. */
  readonly dataDir: string | null
  /** After SIGTERM: how long the replica keeps accepting requests while its health endpoints answer 503. */
  readonly drainDelayMs: number
  /** After the drain delay: how long requests in flight may take. */
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
