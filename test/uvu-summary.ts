// Reads what one test file printed and how it ended, and says how many tests passed and failed. Pure, so that the runner can be
// tested. A file that crashes, that is cut off, or that holds no test and does not say why counts as one failure: silence is
// never success.

export interface FileOutcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Why the file as a whole failed; null when it did not. */
  readonly fault: string | null
}

export interface ProcessEnd {
  readonly output: string
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
  readonly signal: string | null
  /** It was ended because it took longer than this many milliseconds; null when not. */
  readonly timedOutMs: number | null
  /** Processes of its group that were still there after it. */
  readonly leftBehind: boolean
}

const ANSI = /\u001b\[[0-9;]*m/g

/** Outcome of a file written with uvu, from the summary that it prints at its end. */
export function readOutcome(end: ProcessEnd): FileOutcome {
  const output = end.output.replaceAll(ANSI, '')
  const total = lastNumber(output, 'Total')
  const passed = lastNumber(output, 'Passed') ?? 0
  const skipped = lastNumber(output, 'Skipped') ?? 0
  const failed = total === null ? 0 : Math.max(0, total - passed)
  const fault = faultOf(end, total, failed)
  return { passed, failed: failed + (fault === null ? 0 : 1), skipped, fault }
}

function faultOf(end: ProcessEnd, total: number | null, failed: number): string | null {
  if (end.timedOutMs !== null) return `it took longer than ${Math.round(end.timedOutMs / 1000)} s and was ended`
  if (end.signal !== null) return `it was ended by ${end.signal}`
  if (total === null) return `it printed no summary (exit code ${end.code}): does it end with test.run()?`
  if (total === 0 && readLeftOut(end.output).length === 0) return 'it holds no test'
  if (end.code !== 0 && failed === 0) return `its tests passed, but it ended with exit code ${end.code}`
  if (end.code === 0 && failed > 0) return 'tests failed, but it ended with exit code 0'
  if (end.leftBehind) return 'it left processes behind (they have been ended)'
  return null
}

function lastNumber(output: string, word: string): number | null {
  const matches = [...output.matchAll(new RegExp(`^ *${word}: +(\\d+)`, 'gm'))]
  const last = matches.at(-1)
  return last === undefined ? null : Number(last[1])
}

/** Lines `left out: ...` by which a test file says what it did not test, and why. */
export function readLeftOut(output: string): string[] {
  return [...output.replaceAll(ANSI, '').matchAll(/^\s*left out: (.+)$/gim)].map(match => match[1] as string)
}
