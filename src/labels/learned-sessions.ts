// The `skein.sticky.*` labels: sessions by what the application itself calls one.

import type { LearnedSessions } from '../config/model.ts'
import type { LabelSet } from './label-set.ts'

/** null: no session is learned. */
export function readLearned(_labels: LabelSet): LearnedSessions | null {
  return null
}
