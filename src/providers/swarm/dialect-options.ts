// The options of the Swarm provider that the label dialects need. `skein run` and `skein check` use the same mapping.

import type { DialectOptions } from '../../labels/shared/dialect.ts'
import type { SwarmOptions } from '../../options/options.ts'

export function dialectOptionsOf(swarm: SwarmOptions): DialectOptions {
  return {
    prefix: swarm.labelPrefix,
    domain: swarm.domain,
    exposedByDefault: swarm.exposedByDefault,
    constraints: swarm.constraints,
  }
}
