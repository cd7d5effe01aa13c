// The one way in which tests wait for a condition: poll it, within a bound. The bound only ends a test that has failed already; it
// is generous, because a busy machine must not fail a test.

import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'

export interface UntilOptions {
  /** Pause between two attempts, ms. */
  readonly everyMs?: number
  /** What the error shows besides the last value: a log, a status. Called once, when the time is over. */
  readonly detail?: () => unknown
}

type NotYet = null | undefined | false

/**
 * Calls `ask` until it returns something other than null, undefined or false, and resolves with that. An attempt that throws or
 * rejects counts as "not yet".
 * @param what the condition, as the error names it
 * @param withinMs ms; one attempt is made after that time, too
 * @throws Error with `what`, the last value or error, and the detail
 */
export async function until<T extends NonNullable<unknown>>(
  what: string,
  ask: () => T | NotYet | Promise<T | NotYet>,
  withinMs = 30_000,
  { everyMs = 10, detail }: UntilOptions = {},
): Promise<Exclude<T, false>> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const isLast = performance.now() > deadline
    let last: string
    try {
      const value = await ask()
      if (value !== null && value !== undefined && value !== false) return value as Exclude<T, false>
      last = `last value: ${inspect(value)}`
    } catch (error) {
      last = `last error: ${error instanceof Error ? error.message : String(error)}`
    }
    if (isLast)
      throw new Error(`not within ${withinMs / 1000} s: ${what}; ${last}${detail === undefined ? '' : `\n${text(detail())}`}`)
    await delay(everyMs)
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : inspect(value, { depth: 6, breakLength: 120 })
}
