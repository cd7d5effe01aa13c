// What the dialects of labels need to know of a replica's options: the same for a replica that runs and for `skein check`.

import type { RunOptions } from '../../options/options.ts'
import type { LabelOptions } from '../../providers/discovered.ts'

export function labelOptionsOf({ swarm }: RunOptions): LabelOptions {
  return {
    prefix: swarm.labelPrefix,
    domain: swarm.domain,
    exposedByDefault: swarm.exposedByDefault,
    network: swarm.network,
    constraints: swarm.constraints,
  }
}
