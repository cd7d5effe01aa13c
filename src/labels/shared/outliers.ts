// Reads the `skein.outlier.*` labels: when a server is ejected for its answers (proxy/outlier/).

import type { Outliers } from '../../config/model.ts'
import type { LabelSet } from './label-set.ts'

/** As in Envoy's consecutive_5xx. */
const DEFAULT_ERRORS = 5
const MAX_ERRORS = 1_000_000

/** `skein.outlier.errors`: consecutive 5xx answers; 0: never. */
export function readOutliers(labels: LabelSet): Outliers {
  return { errors: labels.integer('skein.outlier.errors', 0, MAX_ERRORS, DEFAULT_ERRORS, `${DEFAULT_ERRORS} is used`) }
}
