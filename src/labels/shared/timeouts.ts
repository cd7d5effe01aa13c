// Reads the `skein.timeout.*` labels: limits of one service instead of the replica's options (--response-header-timeout,
// --stall-timeout).

import type { ServiceTimeouts } from '../../config/model.ts'
import type { LabelSet } from './label-set.ts'
import { parseDurationMs } from './values.ts'

const MAX_MS = 86_400_000
const EXPECTED = 'a duration such as 90s or 10m, up to 24h, or 0 for none'

/** In milliseconds; null: no such label; 0: no limit. */
export function readTimeouts(labels: LabelSet): ServiceTimeouts {
  return { responseHeaderMs: read(labels, 'skein.timeout.responseHeader'), stallMs: read(labels, 'skein.timeout.stall') }
}

function read(labels: LabelSet, name: 'skein.timeout.responseHeader' | 'skein.timeout.stall'): number | null {
  const text = labels.text(name)
  if (text === null) return null
  if (/^0[a-z]*$/.test(text)) return 0
  const ms = parseDurationMs(text, 1, MAX_MS)
  if (ms !== null) return ms
  labels.wrong(name, EXPECTED, "the replica's limit is used")
  return null
}
