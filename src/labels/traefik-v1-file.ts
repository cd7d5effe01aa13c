// Services described in files in the form of Traefik v1's file provider.

import type { DynamicConfig } from '../config/model.ts'
import type { LabelOptions } from '../providers/discovered.ts'

export interface ParsedFile {
  readonly path: string
  /** What TOML, YAML or JSON gave. */
  readonly content: unknown
}

/** Pure. Several files make one configuration; what is wrong with one frontend or backend hurts it alone. */
export function readTraefikV1Files(_files: readonly ParsedFile[], _options: LabelOptions): DynamicConfig {
  return { routers: {}, services: {}, middlewares: {}, errors: [] }
}
