// The registry of providers. A new provider adds a folder and one line to PROVIDERS.

import { file } from './file/file-provider.ts'
import { emitWhileLeading } from './shared/leader-only.ts'
import type { ClusteredProvider, ProviderContext, ProviderType } from './shared/provider.ts'
import { swarm } from './swarm/swarm-provider.ts'

export const PROVIDERS: readonly ProviderType[] = [swarm, file]

/** The providers that the options ask for, not yet started. */
export function createProviders(
  context: ProviderContext,
  types: readonly ProviderType[] = PROVIDERS,
): readonly ClusteredProvider[] {
  return types.flatMap(type => {
    const provider = type.create(context)
    return provider === null ? [] : [emitWhileLeading(provider)]
  })
}
