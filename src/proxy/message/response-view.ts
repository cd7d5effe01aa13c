// The response head as middlewares see it, whatever codec it came from: of a server, or of a local reply.

export interface ResponseView {
  readonly status: number
  /** First value of a field by its lower-case name; undefined when absent. */
  header(name: string): string | undefined
  /** All values of a field, in order. */
  headers(name: string): readonly string[]
  /** Sets a field, replacing all of that name. Fields of the connection and of the framing cannot be changed. */
  setHeader(name: string, value: string): void
  /** Adds a field beside others of that name (Set-Cookie). */
  addHeader(name: string, value: string): void
  removeHeader(name: string): void
}
