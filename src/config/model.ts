// The dynamic configuration: what providers produce, what the cluster replicates, what data workers compile. Everything here is
// plain data (it crosses threads and, later, the network): no functions, no class instances, no undefined-only meaning. The
// schema that checks it at every border is in schema.ts.

/** A place in the order of snapshots: a leader's term, then its sequence. Without a cluster the term is 0 and the leader ''. */
export interface Revision {
  readonly term: number
  /** Peer id of the leader of that term: on both sides of a partition one may be elected at the same number. */
  readonly leader: string
  readonly sequence: number
}

/** One whole dynamic configuration. Names are unique per table; a router names its service and its middlewares. */
export interface Snapshot {
  readonly revision: Revision
  /** SHA-256 of everything but the revision, hex: equal hashes mean equal configurations. */
  readonly hash: string
  readonly routers: Readonly<Record<string, Router>>
  readonly services: Readonly<Record<string, Service>>
  readonly middlewares: Readonly<Record<string, Middleware>>
  /** What was left out, and why. Never fatal. */
  readonly errors: readonly ConfigError[]
}

/** What one provider contributes; merged into a snapshot by config/merge.ts. */
export type DynamicConfig = Omit<Snapshot, 'revision' | 'hash'> & {
  /** The sources that were read, where others could not be since the start: of those, what stands goes on (snapshots.ts). */
  readonly readSources?: readonly string[]
}

/** A mistake (error: the part was left out) or a doubt (warning: it was ignored) that the author of a label can mend. */
export interface ConfigError {
  readonly severity: 'error' | 'warning'
  readonly provider: string
  /** The Swarm service (or file, container ...) that said it. */
  readonly source: string
  /** The label or key, as written. */
  readonly key: string
  /** The value as written, cut to 200 characters. */
  readonly value: string
  /** What was expected. */
  readonly message: string
}

/**
 * A rule as a tree, the same for every dialect. Hosts are lower case without port; patterns are RE2 source, unanchored unless
 * they say so; paths are compared against the request path without the query, as received but for encoded unreserved characters
 * (proxy/path-normal.ts).
 */
export type Matcher =
  | { readonly kind: 'and'; readonly of: readonly Matcher[] }
  | { readonly kind: 'or'; readonly of: readonly Matcher[] }
  | { readonly kind: 'not'; readonly of: Matcher }
  | { readonly kind: 'host'; readonly hosts: readonly string[] }
  | { readonly kind: 'hostRegexp'; readonly patterns: readonly string[] }
  /** `slash`: a path that differs from one of these by a slash at its end alone is redirected (Traefik v1's Path). */
  | { readonly kind: 'path'; readonly paths: readonly string[]; readonly slash?: true | undefined }
  | { readonly kind: 'pathPrefix'; readonly prefixes: readonly string[] }
  /** `slash`: the same; the patterns then end with `$`. */
  | { readonly kind: 'pathRegexp'; readonly patterns: readonly string[]; readonly slash?: true | undefined }
  | { readonly kind: 'method'; readonly methods: readonly string[] }
  | { readonly kind: 'header'; readonly name: string; readonly value: string }
  | { readonly kind: 'headerRegexp'; readonly name: string; readonly pattern: string }
  /** One `name=value` pair; a null value asks only that the name is present. */
  | { readonly kind: 'query'; readonly name: string; readonly value: string | null }
  | { readonly kind: 'queryRegexp'; readonly name: string; readonly pattern: string }

export interface Router {
  readonly name: string
  /** Names of entry points; empty means all of them. */
  readonly entryPoints: readonly string[]
  /** The rule as the user wrote it, for people. */
  readonly rule: string
  readonly matcher: Matcher
  /** Higher wins; equal priorities are ordered by name, so that every replica agrees. */
  readonly priority: number
  readonly service: string
  readonly middlewares: readonly string[]
  /** Pass the client's Host to the server (true) or send the server's own address (false). */
  readonly passHostHeader: boolean
  readonly provider: string
  readonly source: string
}

export type Middleware =
  | { readonly kind: 'stripPrefix'; readonly prefixes: readonly string[] }
  | { readonly kind: 'stripPrefixRegex'; readonly patterns: readonly string[] }
  | { readonly kind: 'addPrefix'; readonly prefix: string }
  | { readonly kind: 'replacePath'; readonly path: string }
  | { readonly kind: 'replacePathRegex'; readonly pattern: string; readonly replacement: string }

export type BalancerMethod = 'wrr' | 'drr' | 'p2c' | 'rendezvous'

export interface StickyCookie {
  readonly name: string
  readonly secure: boolean
  readonly httpOnly: boolean
  readonly sameSite: 'none' | 'lax' | 'strict' | null
}

export interface HealthCheck {
  readonly path: string
  /** null: the server's own port or scheme. */
  readonly port: number | null
  readonly scheme: 'http' | 'https' | null
  readonly hostname: string | null
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly headers: Readonly<Record<string, string>>
}

export interface MaxConn {
  /** At most so many requests at once ... */
  readonly amount: number
  /** ... for each value of this: `client.ip`, `request.host`, or `request.header.NAME`. */
  readonly by: string
}

/**
 * Stickiness by what the application itself calls a session. Where the key comes from, how long a session lives without a
 * request, and what becomes of it when its server drains.
 */
export interface LearnedSessions {
  /** `ip` has no name. A cookie is learned from requests and from the application's own Set-Cookie. */
  readonly from: 'cookie' | 'header' | 'query' | 'ip'
  readonly name: string
  readonly ttlMs: number
  /** Sessions kept at most; the oldest go first. */
  readonly size: number
  /** `move` to another server at once, or `keep` using a draining server until it is gone. */
  readonly drain: 'move' | 'keep'
}

export interface Breaker {
  /** As written, for people. */
  readonly expression: string
  readonly when: BreakerExpression
  /** Requests within the window below which it does not trip. */
  readonly minRequests: number
  /** Open for so long before a probe, then so long until all requests pass again. */
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

/** When a server is taken out for what its answers are, beyond failed connects and resets. */
export interface Outliers {
  /** So many 5xx in a row, while the other servers of the service do better; 0: never. */
  readonly errors: number
}

/** Limits of one service in place of the replica's options; ms, null: the option counts, 0: no limit. */
export interface ServiceTimeouts {
  /** From the request sent to the whole head of the answer. */
  readonly responseHeaderMs: number | null
  /** How long a side may take nothing of what waits for it, or send nothing of a request's body that is waited for. */
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
  readonly provider: string
  readonly source: string
}

/** True if the service has tasks, none of them on a network of an edge. Its requests are refused at once instead of waiting. */
export function sharesNoNetwork(service: Pick<Service, 'outOfReach'>): boolean {
  return service.outOfReach === true
}

export interface Server {
  /** Stable for the server's life and the same on every replica: a task's id with its port, or an address. */
  readonly id: string
  readonly scheme: 'http' | 'https'
  /** An IPv4 or IPv6 address without brackets, or a DNS name (virtual IPs and files). */
  readonly host: string
  readonly port: number
  /** 0 or more; a server of weight 0 gets no new client and keeps its sessions. Dialects never give all servers weight 0. */
  readonly weight: number
  /** A draining server gets no new request; those in flight finish. */
  readonly state: 'active' | 'draining'
  /** Where it runs, for people; empty when unknown. */
  readonly node: string
  /** The Swarm service whose task it is. Absent: not a task, or announced by an older version. */
  readonly owner?: string | undefined
}
