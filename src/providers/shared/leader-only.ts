// Lets a provider without a cluster part run in a cluster: every replica reads its own source, and only the leader's configuration
// is passed on. A new leader passes its last configuration on at once.

import type { DynamicConfig } from '../../config/model.ts'
import type { ClusteredProvider, Provider, ProviderMode } from './provider.ts'

/** Returns the provider itself when it has a cluster part of its own. */
export function emitWhileLeading(provider: Provider): ClusteredProvider {
  if (hasClusterPart(provider)) return provider
  let mode: ProviderMode = 'read'
  let last: DynamicConfig | null = null
  let emit: (config: DynamicConfig) => void = () => undefined
  return {
    name: provider.name,
    stop: () => provider.stop(),
    status: () => provider.status(),
    refresh: () => provider.refresh?.(),
    start(onConfig) {
      emit = onConfig
      provider.start(config => {
        last = config
        if (mode === 'read') emit(config)
      })
    },
    cluster: {
      setMode(next) {
        mode = next
        if (mode === 'read' && last !== null) emit(last)
      },
    },
  }
}

function hasClusterPart(provider: Provider): provider is ClusteredProvider {
  return provider.cluster !== undefined
}
