// Derives the numbers of passed and failed tests from the output and the end of a test file's process. Pure, so that the runner can be
// tested. A file that crashes, that is ended, or that contains no test without a reason counts as one failure: a missing result is never
// a success.

export interface FileOutcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** The reason why the file as a whole failed; null if it did not. */
  readonly fault: string | null
}

export interface ProcessEnd {
  readonly output: string
  /** The exit code; null if a signal ended the process. */
  readonly code: number | null
  readonly signal: string | null
  /** The time limit in ms because of which the process was ended; null if it was not. */
  readonly timedOutMs: number | null
  /** Whether processes of its group were left after its end. */
  readonly leftBehind: boolean
}

const ANSI = /\u001b\[[0-9;]*m/g

/** The outcome of a file that uses uvu, from the summary at the end of its output. */
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
  if (total === null) return `it printed no summary (exit code ${end.code}): does it call test.run()?`
  if (total === 0 && readLeftOut(end.output).length === 0) return 'it contains no test'
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

/** The lines `left out: ...` of a test file, which name what was not tested, and why. */
export function readLeftOut(output: string): string[] {
  return [...output.replaceAll(ANSI, '').matchAll(/^\s*left out: (.+)$/gim)].map(match => match[1] as string)
}
