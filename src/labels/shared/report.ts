// Collects the findings about one service's labels. Each names the service, the label, the value (shortened) and what was
// expected. Bounded per service.

import type { ConfigError } from '../../config/model.ts'

/** Findings per service. */
const MAX_FINDINGS = 50

/**
 * Labels and keys (misspelt ones too) whose values may hold credentials. Findings reach the log, the disk and the admin API, so
 * these values are left out.
 */
const SECRET = /auth|user|passw|secret|token|credential|middlewares\.|headers/i
/** Endings of keys without credentials, whatever the segment or the frontend of the file is named. */
const HARMLESS = /\.(?:enable|port|protocol|weight|backend|domain|tags|rule|priority|entrypoints|expression|method)$/i

export interface Report {
  /** The part is left out. */
  error(key: string, value: string, message: string): void
  /** The label is ignored, or a fallback is used. */
  warn(key: string, value: string, message: string): void
}

/** A report for one source; findings are appended to `into`. */
export function reportFor(provider: string, source: string, into: ConfigError[]): Report {
  let count = 0
  function add(severity: ConfigError['severity'], key: string, value: string, message: string): void {
    count++
    if (count > MAX_FINDINGS + 1) return
    const shown = SECRET.test(key) && !HARMLESS.test(key) ? '' : value
    into.push(
      count <= MAX_FINDINGS
        ? {
            severity,
            provider,
            source: shorten(source),
            key: shorten(key),
            value: shorten(shown),
            message: shorten(message, 1_000),
          }
        : {
            severity: 'warning',
            provider,
            source: shorten(source),
            key: '',
            value: '',
            message: 'more findings follow; they are not listed',
          },
    )
  }
  return {
    error: (key, value, message) => add('error', key, value, message),
    warn: (key, value, message) => add('warning', key, value, message),
  }
}

function shorten(text: string, to = 200): string {
  return text.length <= to ? text : `${text.slice(0, to - 1)}…`
}
