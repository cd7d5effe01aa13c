// Collects what is wrong with one service's labels: each finding names the service, the label, the value (cut) and what was
// expected. Bounded, so that a service with a thousand bad labels cannot bury the others.

import type { ConfigError } from '../../config/model.ts'

/** Findings kept per service. */
const MAX_FINDINGS = 50

/** Labels and keys whose values may hold credentials, misspelt ones included: findings reach the log, the disk and the admin API. */
const SECRET = /auth|user|passw|secret|token|credential|middlewares\.|headers/i
/** Endings of keys that hold none, whatever the segment or the file's frontend is named. */
const HARMLESS = /\.(?:enable|port|protocol|weight|backend|domain|tags|rule|priority|entrypoints|expression|method)$/i

export interface Report {
  /** A mistake: the part was left out. */
  error(key: string, value: string, message: string): void
  /** A doubt: it was ignored. */
  warn(key: string, value: string, message: string): void
}

/** A report for one source, writing into `into`. */
export function reportFor(provider: string, source: string, into: ConfigError[]): Report {
  let count = 0
  function add(severity: ConfigError['severity'], key: string, value: string, message: string): void {
    count++
    if (count > MAX_FINDINGS + 1) return
    const shown = SECRET.test(key) && !HARMLESS.test(key) ? '' : value
    into.push(
      count <= MAX_FINDINGS
        ? { severity, provider, source: cut(source), key: cut(key), value: cut(shown), message: cut(message, 1_000) }
        : {
            severity: 'warning',
            provider,
            source: cut(source),
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

function cut(text: string, to = 200): string {
  return text.length <= to ? text : `${text.slice(0, to - 1)}…`
}
