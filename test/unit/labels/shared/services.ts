// Discovered services from a few plain values.

import type { DiscoveredInstance, DiscoveredService } from '../../../../src/labels/shared/discovered.ts'
import type { StackOptions } from '../../../../src/labels/stack-file/stack-file.ts'

export const OPTIONS: StackOptions = {
  prefix: 'traefik',
  domain: 'lab.test',
  exposedByDefault: true,
  network: null,
  constraints: [],
  entryPoints: ['web', 'admin'],
  stop: { drainDelayMs: 0, graceMs: 30_000 },
}

export function task(id: string, more: Partial<DiscoveredInstance> = {}): DiscoveredInstance {
  return { id, node: 'n1', state: 'active', addresses: [at('web', '10.0.1.4')], ...more }
}

export function at(network: string, address: string): { networkId: string; network: string; address: string } {
  return { networkId: `${network}-id`, network, address }
}

export function found(
  name: string,
  labels: Record<string, string> = { 'traefik.enable': 'true' },
  more: Partial<DiscoveredService> = {},
): DiscoveredService {
  return {
    provider: 'swarm',
    id: `${name}-id`,
    name,
    labels,
    instances: [task(`${name}.1`)],
    virtualIps: [],
    ports: [80],
    updating: false,
    ...more,
  }
}
