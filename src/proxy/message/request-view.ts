// What rules and middlewares may know of a request, whatever codec read it. Exchange implements it; tests may hand in a plain
// object.

export interface RequestView {
  /** As received; methods are case-sensitive (RFC 9110, 9.1). */
  readonly method: string
  /** Host without port, lower case, without a trailing dot; an IPv6 literal keeps its brackets. */
  readonly host: string
  /** Path without the query, starting with '/' (or '*'); as received but for what path-normal.ts decodes. */
  path: string
  /** Path as received. */
  readonly receivedPath: string
  /** Path as it is sent, where its encoding differs from that of `path`; '' where `path` is sent. */
  wirePath: string
  /** Query as received, without the '?'; null when there is none. */
  readonly query: string | null
  readonly entryPoint: string
  readonly clientAddress: string
  /** First value of a header by its lower-case name; undefined when absent. */
  header(name: string): string | undefined
  /** All values of a header, in order. */
  headers(name: string): readonly string[]
  /** Sets (or replaces) a request header for the upstream. */
  setHeader(name: string, value: string): void
}
