// The `skein.outlier.*` labels: when a server is taken out for what its answers are.

import type { Outliers } from '../config/model.ts'
import type { LabelSet } from './label-set.ts'

const ERRORS = 5

export function readOutliers(_labels: LabelSet): Outliers {
  return { errors: ERRORS }
}
