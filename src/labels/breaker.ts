// The `traefik.backend.circuitbreaker.expression` label and the `skein.breaker.*` labels.

import type { Breaker } from '../config/model.ts'
import type { LabelSet } from './label-set.ts'

/** null: the service has no breaker. */
export function readBreaker(_labels: LabelSet): Breaker | null {
  return null
}
