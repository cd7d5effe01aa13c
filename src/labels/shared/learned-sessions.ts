// Reads the `skein.sticky.*` labels: sessions identified by the application's own value,
// `skein.sticky.learn=cookie:JSESSIONID`.

import type { LearnedSessions } from '../../config/model.ts'
import type { LabelSet } from './label-set.ts'
import type { SkeinLabelName } from './skein-names.ts'
import { parseDurationMs, TOKEN } from './values.ts'

/** Twice the idle timeout of applications (Tomcat 30 min, PHP 24 min): the table must not forget a session earlier. */
const DEFAULT_TTL_MS = 3_600_000
const MIN_TTL_MS = 1_000
const MAX_TTL_MS = 30 * 86_400_000
const DEFAULT_SIZE = 100_000
/** Transferring or dropping this many sessions blocks the control thread for less than the leader's heartbeat timeout. */
const MAX_SESSIONS = 500_000
const EXPECTED = 'cookie:NAME, header:NAME, query:NAME or ip'
/** A query parameter as it is written in a URL: no separator, nothing invisible. */
const QUERY_NAME = /^[^\x00-\x20\x7f-\uffff&=#+]{1,256}$/
const NEEDS_LEARN: readonly SkeinLabelName[] = ['skein.sticky.ttl', 'skein.sticky.size', 'skein.sticky.drain']

/** null: the service learns no sessions. */
export function readLearned(labels: LabelSet): LearnedSessions | null {
  const text = labels.text('skein.sticky.learn')
  if (text === null) {
    for (const name of NEEDS_LEARN) {
      const value = labels.text(name)
      if (value !== null)
        labels.report.warn(labels.key(name), value, 'expected skein.sticky.learn with it; no session is learned')
    }
    return null
  }
  const key = parseLearn(text)
  if (key === null) labels.wrong('skein.sticky.learn', EXPECTED, 'no session is learned')
  // Read even when the source is wrong, so that all mistakes are reported at once.
  const rest = {
    ttlMs: readTtl(labels),
    size: labels.integer('skein.sticky.size', 1, MAX_SESSIONS, DEFAULT_SIZE, `${DEFAULT_SIZE} is used`),
    drain: readDrain(labels),
  }
  return key === null ? null : { ...key, ...rest }
}

/** Parses `cookie:NAME`, `header:NAME`, `query:NAME` or `ip`; null for anything else. Header names are returned in lower case. */
export function parseLearn(text: string): Pick<LearnedSessions, 'from' | 'name'> | null {
  const colon = text.indexOf(':')
  const from = (colon < 0 ? text : text.slice(0, colon)).trim().toLowerCase()
  const name = colon < 0 ? '' : text.slice(colon + 1).trim()
  switch (from) {
    case 'ip':
      return colon < 0 ? { from, name: '' } : null
    case 'cookie':
      return TOKEN.test(name) ? { from, name } : null
    case 'header':
      return TOKEN.test(name) ? { from, name: name.toLowerCase() } : null
    case 'query':
      return QUERY_NAME.test(name) ? { from, name } : null
    default:
      return null
  }
}

function readTtl(labels: LabelSet): number {
  const text = labels.text('skein.sticky.ttl')
  if (text === null) return DEFAULT_TTL_MS
  const ms = parseDurationMs(text, MIN_TTL_MS, MAX_TTL_MS)
  if (ms === null) labels.wrong('skein.sticky.ttl', 'a duration such as 30m, from 1s to 720h', '1h is used')
  return ms ?? DEFAULT_TTL_MS
}

function readDrain(labels: LabelSet): LearnedSessions['drain'] {
  const text = labels.text('skein.sticky.drain')?.toLowerCase() ?? 'move'
  if (text === 'move' || text === 'keep') return text
  labels.wrong('skein.sticky.drain', 'move or keep', 'move is used')
  return 'move'
}
