// Checks `stop_grace_period` of services that run Skein: it must be longer than a replica takes to stop (--drain-delay, then
// --grace), or Docker cuts off requests in flight at every update. Pure.

import { parseDuration } from '../../options/kinds.ts'
import type { Report } from '../shared/report.ts'
import { parseDurationMs } from '../shared/values.ts'
import { interpolate } from './interpolate.ts'

/** Docker's default for `stop_grace_period`, ms. */
const DEFAULT_STOP_GRACE_MS = 10_000
const MAX_MS = 365 * 86_400_000
const KEY = 'stop_grace_period'

/** How long a replica takes to stop when its service sets no such options. */
export interface StopTimes {
  readonly drainDelayMs: number
  readonly graceMs: number
}

/** Reports a `stop_grace_period` that is too short. Services that do not run a replica of Skein are ignored. */
export function checkStopGrace(
  definition: Readonly<Record<string, unknown>>,
  options: StopTimes,
  env: Readonly<Record<string, string | undefined>>,
  report: Report,
): void {
  const text = (value: unknown): string => interpolate(String(value ?? ''), env).text
  const settings = settingsOf(definition, text)
  if (settings === null) return
  const written = definition[KEY]
  const shown = written === undefined || written === null ? '' : text(written)
  const stopMs = shown === '' ? DEFAULT_STOP_GRACE_MS : parseDurationMs(shown, 0, MAX_MS)
  if (stopMs === null) {
    report.error(KEY, shown, 'expected a duration such as 60s or 1m30s')
    return
  }
  const delayMs = parseDuration(settings.get('drain-delay') ?? '') ?? options.drainDelayMs
  const graceMs = parseDuration(settings.get('grace') ?? '') ?? options.graceMs
  if (stopMs >= delayMs + graceMs) return
  const parts = delayMs === 0 ? `--grace ${graceMs / 1000}s` : `--drain-delay ${delayMs / 1000}s and --grace ${graceMs / 1000}s`
  const defaultNote = shown === '' ? ` (Docker's default is ${DEFAULT_STOP_GRACE_MS / 1000}s)` : ''
  report.error(
    KEY,
    shown,
    `expected at least ${(delayMs + graceMs) / 1000}s${defaultNote}: Docker kills this replica before ${parts} have passed, and requests in flight fail`,
  )
}

/** The options of the replica by flag; null: the service does not run a replica. */
function settingsOf(definition: Readonly<Record<string, unknown>>, text: (value: unknown) => string): Map<string, string> | null {
  const settings = new Map<string, string>()
  let isSkein = /(?:^|\/)skein(?:[:@]|$)/.test(text(definition.image))
  for (const [name, value] of pairsOf(definition.environment)) {
    const match = /^SKEIN_([A-Z_]+)$/.exec(name)
    if (match === null) continue
    isSkein = true
    settings.set((match[1] as string).toLowerCase().replaceAll('_', '-'), text(value))
  }
  const { command } = definition
  const words = Array.isArray(command) ? command.map(text) : text(command).split(/\s+/)
  // Without a command the image runs a replica.
  if (!isSkein || !(words.includes('run') || words.join('') === '')) return null
  // Flags take precedence over the environment.
  for (const [n, word] of words.entries()) {
    const match = /^--(drain-delay|grace)(?:=(.*))?$/.exec(word)
    if (match !== null) settings.set(match[1] as string, match[2] ?? words[n + 1] ?? '')
  }
  return settings
}

/** `environment:` in either form. */
function pairsOf(written: unknown): (readonly [string, unknown])[] {
  if (Array.isArray(written)) {
    return written.map(entry => {
      const line = String(entry)
      const equals = line.indexOf('=')
      return equals < 0 ? ([line, ''] as const) : ([line.slice(0, equals), line.slice(equals + 1)] as const)
    })
  }
  return typeof written === 'object' && written !== null ? Object.entries(written) : []
}
