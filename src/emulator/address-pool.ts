// Addresses of the tasks and virtual IPs of an emulated network. They are allocated round robin from the network's subnet, as in a
// real swarm: an address is reused only after a whole round, so a new task does not get the address of the previous one.

import type { NetworkAttachment, SwarmNetwork } from './docker-objects.ts'

export class AddressPools {
  readonly #next = new Map<string, number>()
  readonly #used = new Map<string, Set<number>>()

  /** The next free address with the subnet's prefix length, e.g. `10.0.1.4/24`. Throws if the subnet is full. */
  allocate(network: SwarmNetwork): string {
    const { base, size, prefix } = subnetOf(network)
    const used = this.#used.get(network.ID) ?? new Set<number>()
    this.#used.set(network.ID, used)
    for (let tries = 0; tries < size; tries++) {
      const next = this.#next.get(network.ID) ?? 2
      this.#next.set(network.ID, next + 1 >= size - 1 ? 2 : next + 1)
      if (used.has(next)) continue
      used.add(next)
      return `${formatIpv4(base + next)}/${prefix}`
    }
    throw new Error(`network ${network.Spec.Name} has no free address`)
  }

  release(attachment: NetworkAttachment): void {
    const { base } = subnetOf(attachment.Network)
    for (const address of attachment.Addresses) this.#used.get(attachment.Network.ID)?.delete(parseIpv4(address) - base)
  }
}

function subnetOf(network: SwarmNetwork): { base: number; size: number; prefix: number } {
  const subnet = network.IPAMOptions.Configs[0]?.Subnet ?? '10.0.0.0/24'
  const prefix = Number(subnet.split('/')[1])
  return { base: parseIpv4(subnet), size: 2 ** (32 - prefix), prefix }
}

/** Parses an IPv4 address, with or without a prefix length, as a number. */
export function parseIpv4(text: string): number {
  return (text.split('/')[0] ?? '').split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map(shift => Math.floor(value / 2 ** shift) % 256).join('.')
}
