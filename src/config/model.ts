// The dynamic configuration: providers produce it, the cluster replicates it, data workers compile it. It is plain data, because it
// crosses threads and the network: no functions, no class instances, and `undefined` only where a field is absent. schema.ts
// validates it at every border.

/** The position of a snapshot in the order: its leader's term, then the sequence. Without a cluster: term 0, leader ''. */
export interface Revision {
  readonly term: number
  /** Peer id of the term's leader: on both sides of a partition a leader may be elected with the same term. */
  readonly leader: string
  readonly sequence: number
}

/** One complete dynamic configuration. Names are unique per table; a router refers to its service and middlewares by name. */
export interface Snapshot {
  readonly revision: Revision
  /** SHA-256 of everything except the revision, hex: equal hashes mean equal configurations. */
  readonly hash: string
  readonly routers: Readonly<Record<string, Router>>
  readonly services: Readonly<Record<string, Service>>
  readonly middlewares: Readonly<Record<string, Middleware>>
  /** What is invalid or ignored, and why. Never fatal. */
  readonly errors: readonly ConfigError[]
}

/** One provider's configuration; merge.ts merges them into a snapshot. */
export type DynamicConfig = Omit<Snapshot, 'revision' | 'hash'> & {
  /** The sources read so far, if others could not be read since the start: those keep their previous entries (SnapshotBuilder). */
  readonly readSources?: readonly string[]
}

/** A mistake in a label or file. error: the part was removed; warning: it was ignored. */
export interface ConfigError {
  readonly severity: 'error' | 'warning'
  readonly provider: string
  /** The Swarm service, file or container that has the mistake. */
  readonly source: string
  /** The label or key, as written. */
  readonly key: string
  /** The value as written, cut to 200 characters. */
  readonly value: string
  /** What was expected. */
  readonly message: string
}

/**
 * A rule as a tree, the same for every dialect. Hosts are lower case and without a port. Patterns are RE2 source, unanchored unless
 * they contain anchors. Paths are compared with the request's path without the query, as received except for encoded unreserved
 * characters (proxy/message/path-normal.ts).
 */
export type Matcher =
  | { readonly kind: 'and'; readonly of: readonly Matcher[] }
  | { readonly kind: 'or'; readonly of: readonly Matcher[] }
  | { readonly kind: 'not'; readonly of: Matcher }
  | { readonly kind: 'host'; readonly hosts: readonly string[] }
  | { readonly kind: 'hostRegexp'; readonly patterns: readonly string[] }
  /** `slash`: a path that differs from one of these only by a slash at its end is redirected (Path of Traefik v1). */
  | { readonly kind: 'path'; readonly paths: readonly string[]; readonly slash?: true | undefined }
  | { readonly kind: 'pathPrefix'; readonly prefixes: readonly string[] }
  /** `slash`: as for `path`; the patterns then end with `$`. */
  | { readonly kind: 'pathRegexp'; readonly patterns: readonly string[]; readonly slash?: true | undefined }
  | { readonly kind: 'method'; readonly methods: readonly string[] }
  | { readonly kind: 'header'; readonly name: string; readonly value: string }
  | { readonly kind: 'headerRegexp'; readonly name: string; readonly pattern: string }
  /** One `name=value` pair; with a null value the name only has to be present. */
  | { readonly kind: 'query'; readonly name: string; readonly value: string | null }
  | { readonly kind: 'queryRegexp'; readonly name: string; readonly pattern: string }

export interface Router {
  readonly name: string
  /** Names of entry points; empty means all of them. */
  readonly entryPoints: readonly string[]
  /** The rule as written, for display. */
  readonly rule: string
  readonly matcher: Matcher
  /** Higher is tried first; equal priorities are ordered by name, so that every replica agrees. */
  readonly priority: number
  readonly service: string
  readonly middlewares: readonly string[]
  /** Features that a replica must have to serve it; one that lacks any answers 503. Absent: none beyond version 0.1. */
  readonly features?: readonly string[] | undefined
  /** true: pass the client's Host to the server; false: send the server's own address. */
  readonly passHostHeader: boolean
  readonly provider: string
  readonly source: string
}

/**
 * The description of a middleware: its kind and its options. src/middlewares/ defines the kinds; a description of an unknown kind
 * (of a newer version) is kept, and routers that use it answer 503.
 */
export interface Middleware {
  readonly kind: string
  readonly [option: string]: unknown
}

export type BalancerMethod = 'wrr' | 'drr' | 'p2c' | 'rendezvous'

export interface StickyCookie {
  readonly name: string
  readonly secure: boolean
  readonly httpOnly: boolean
  readonly sameSite: 'none' | 'lax' | 'strict' | null
}

export interface HealthCheck {
  readonly path: string
  /** null: the server's own port, scheme or address. */
  readonly port: number | null
  readonly scheme: 'http' | 'https' | null
  readonly hostname: string | null
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly headers: Readonly<Record<string, string>>
}

export interface MaxConn {
  /** Concurrent requests ... */
  readonly amount: number
  /** ... for each value of `client.ip`, `request.host` or `request.header.NAME`. */
  readonly by: string
}

/** Sticky sessions by the application's own session id: where it is found, how long a session lives without a request, its end. */
export interface LearnedSessions {
  /** `ip` has no name. A cookie is learned from requests and from the application's Set-Cookie. */
  readonly from: 'cookie' | 'header' | 'query' | 'ip'
  readonly name: string
  readonly ttlMs: number
  /** Sessions kept; beyond this the oldest are removed. */
  readonly size: number
  /** When its server drains: `move` to another server at once, or `keep` using it until it is gone. */
  readonly drain: 'move' | 'keep'
}

export interface Breaker {
  /** As written, for display. */
  readonly expression: string
  readonly when: BreakerExpression
  /** Requests within the window below which it never opens. */
  readonly minRequests: number
  /** Time in state open before a probe, and time in state recovering before all requests pass, ms. */
  readonly openMs: number
  readonly recoveryMs: number
}

export type Comparison = '<' | '<=' | '>' | '>=' | '==' | '!='

/** Traefik's circuit breaker expressions as a tree (https://doc.traefik.io/traefik/v1.7/basics/#backends). */
export type BreakerExpression =
  | { readonly kind: 'and'; readonly of: readonly BreakerExpression[] }
  | { readonly kind: 'or'; readonly of: readonly BreakerExpression[] }
  | { readonly kind: 'not'; readonly of: BreakerExpression }
  | { readonly kind: 'networkErrorRatio'; readonly is: Comparison; readonly value: number }
  | { readonly kind: 'latencyAtQuantileMs'; readonly quantile: number; readonly is: Comparison; readonly value: number }
  /** Share of the codes [from, to) among the codes [ofFrom, ofTo). */
  | {
      readonly kind: 'responseCodeRatio'
      readonly from: number
      readonly to: number
      readonly ofFrom: number
      readonly ofTo: number
      readonly is: Comparison
      readonly value: number
    }

/** When a server is ejected for its responses, in addition to failed connects and resets. */
export interface Outliers {
  /** Consecutive 5xx responses, while the other servers of the service do better; 0: never. */
  readonly errors: number
}

/** Time limits of one service that replace the replica's options, ms; null: the option applies, 0: no limit. */
export interface ServiceTimeouts {
  /** From the request sent to the whole head of the response. */
  readonly responseHeaderMs: number | null
  /** Without progress: a side takes nothing of the data waiting for it, or sends nothing of a request body that is expected. */
  readonly stallMs: number | null
}

export interface Service {
  readonly name: string
  readonly servers: readonly Server[]
  readonly balancer: BalancerMethod
  readonly sticky: StickyCookie | null
  readonly learn: LearnedSessions | null
  readonly breaker: Breaker | null
  readonly outliers: Outliers
  readonly healthCheck: HealthCheck | null
  readonly maxConn: MaxConn | null
  /** Read it with sharesNoNetwork(). The name is that of the field in snapshots, which other versions read. */
  readonly outOfReach?: boolean | undefined
  readonly timeouts: ServiceTimeouts
  /** As Router.features, for all routers that lead to it. */
  readonly features?: readonly string[] | undefined
  readonly provider: string
  readonly source: string
}

/** True if the service has tasks, none of them on a network of an edge. Its requests are refused at once instead of waiting. */
export function sharesNoNetwork(service: Pick<Service, 'outOfReach'>): boolean {
  return service.outOfReach === true
}

export interface Server {
  /** Stable for the server's life and equal on every replica: a task's id with its port, or an address. */
  readonly id: string
  readonly scheme: 'http' | 'https'
  /** An IPv4 or IPv6 address without brackets, or a DNS name (virtual IPs and files). */
  readonly host: string
  readonly port: number
  /** 0 or more. A server of weight 0 keeps its sessions and gets no new client. Dialects never give all servers weight 0. */
  readonly weight: number
  /** A draining server gets no new requests; those in flight finish. */
  readonly state: 'active' | 'draining'
  /** The node that it runs on, for display; empty if unknown. */
  readonly node: string
  /** The Swarm service that owns the task. Absent if it is not a task, or was announced by an older version. */
  readonly owner?: string | undefined
}
