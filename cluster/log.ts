// The log interface that the cluster needs: fields and a message, as pino takes them. No secret is ever logged.

export type LogFields = Readonly<Record<string, unknown>>

export interface ClusterLog {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** The message of a thrown value. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
