// What the cluster's shell asks of a log: fields and a sentence for people, as pino takes them. The cluster never writes a
// secret.

export type LogFields = Readonly<Record<string, unknown>>

export interface ClusterLog {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** A thrown value as one line. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
