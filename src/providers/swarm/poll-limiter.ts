// Schedules the reads: after a pause that events cut short, and with a limit, so that a burst of events does not become a burst
// of reads.

/** Reads per second however many events arrive. The first ones are made at once. */
const MAX_READS_PER_SECOND = 10

export interface PollLimiter {
  readStarted(nowMs: number): void
  /** Time until the next read is allowed, ms. */
  delayMs(nowMs: number): number
  /** Resolves after this time, or soon after `wake`. */
  sleep(ms: number): Promise<void>
  /** Events within a few milliseconds cause one read. `gently`: reads are failing, so wait longer. */
  wake(gently: boolean): void
}

export function createPollLimiter(pollBusyMs: number): PollLimiter {
  const limit = Math.max(MAX_READS_PER_SECOND, Math.ceil(2_000 / pollBusyMs))
  const starts: number[] = []
  let wake: (gently: boolean) => void = () => undefined

  function delayMs(nowMs: number): number {
    while (starts.length > 0 && nowMs - (starts[0] ?? 0) >= 1_000) starts.shift()
    return starts.length < limit ? 0 : 1_000 - (nowMs - (starts[0] ?? 0))
  }

  return {
    readStarted: nowMs => void starts.push(nowMs),
    delayMs,
    sleep(ms) {
      return new Promise(resolve => {
        const done = (): void => {
          clearTimeout(timer)
          wake = () => undefined
          resolve()
        }
        const timer = setTimeout(done, ms)
        wake = gently => {
          wake = () => undefined
          clearTimeout(timer)
          setTimeout(done, Math.max(gently ? 100 : 10, delayMs(performance.now())))
        }
      })
    },
    wake: gently => wake(gently),
  }
}
