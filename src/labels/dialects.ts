// The registry of label dialects. A new dialect adds a folder and one line to DIALECTS. Order matters: where two dialects claim
// the same labels, the earlier one reads the service.

import { mergeConfigs } from '../config/merge.ts'
import type { DynamicConfig } from '../config/model.ts'
import type { Dialect, DialectOptions, DialectType } from './shared/dialect.ts'
import type { DiscoveredService } from './shared/discovered.ts'
import { traefikV1 } from './traefik-v1/reader.ts'

export const DIALECTS: readonly DialectType[] = [traefikV1]

/** All dialects as one. */
export type LabelReader = Pick<Dialect, 'claims' | 'read'>

/**
 * Returns a reader that hands each service to the first dialect that claims it and merges the results. Services that no dialect
 * claims are not exposed.
 */
export function createLabelReader(options: DialectOptions, types: readonly DialectType[] = DIALECTS): LabelReader {
  const dialects = types.map(type => type.create(options))
  return {
    claims: labels => dialects.some(dialect => dialect.claims(labels)),
    read(services) {
      const claimed = new Map(dialects.map(dialect => [dialect, [] as DiscoveredService[]]))
      for (const service of services) {
        const dialect = dialects.find(one => one.claims(service.labels))
        if (dialect !== undefined) claimed.get(dialect)?.push(service)
      }
      const configs = [...claimed].map(([dialect, own]): DynamicConfig => dialect.read(own))
      const [only] = configs
      return configs.length === 1 && only !== undefined ? only : mergeConfigs(configs)
    },
  }
}
