// The part of a request that rules and middlewares see, independent of the codec. Exchange implements it; tests may use a plain
// object.

export interface RequestView {
  /** As received; methods are case-sensitive (RFC 9110, 9.1). */
  readonly method: string
  /** Host without port, lower case, without a trailing dot; an IPv6 literal keeps its brackets. */
  readonly host: string
  /** Path without the query, starting with '/' (or '*'), normalized by path-normalization.ts. */
  path: string
  /** Path as received. */
  readonly receivedPath: string
  /** The path to send where its encoding differs from that of `path`; '' to send `path`. */
  wirePath: string
  /** Query as received, without the '?'; null if there is none. */
  readonly query: string | null
  readonly entryPoint: string
  readonly clientAddress: string
  /** First value of a header by its lower-case name; undefined if absent. */
  header(name: string): string | undefined
  /** All values of a header, in order. */
  headers(name: string): readonly string[]
  /** Sets or replaces a request header for the server. Fields of the connection and of the framing cannot be changed. */
  setHeader(name: string, value: string): void
}
