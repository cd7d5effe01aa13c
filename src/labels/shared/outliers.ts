// The `skein.outlier.*` labels: when a server is taken out for what its answers are (proxy/balancing/ejection.ts).

import type { Outliers } from '../../config/model.ts'
import type { LabelSet } from './label-set.ts'

/** As Envoy's consecutive_5xx. */
const DEFAULT_ERRORS = 5
const MAX_ERRORS = 1_000_000

/** `skein.outlier.errors`: 5xx answers in a row, 0 for never. */
export function readOutliers(labels: LabelSet): Outliers {
  return { errors: labels.integer('skein.outlier.errors', 0, MAX_ERRORS, DEFAULT_ERRORS, `${DEFAULT_ERRORS} is used`) }
}
