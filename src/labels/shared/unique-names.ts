// Names for routers and services: readable, unique, and the same on every replica in whatever order services were discovered.

/**
 * Replaces everything but letters, digits, `.`, `_` and `-` by `-`. At most 100 characters, never empty and never `__proto__`.
 */
export function safeName(text: string): string {
  const name = text.replace(/[^\p{L}\p{N}._-]+/gu, '-').slice(0, 100)
  return name === '' ? '-' : name === '__proto__' ? '-proto-' : name
}

/**
 * Allocates names. An owner always gets the same name; another owner of a taken name gets `wanted@qualifier`, then
 * `wanted@qualifier#2` and so on. Call it in an order that does not depend on discovery.
 */
export function createNameAllocator(): (wanted: string, owner: string, qualifier: string) => string {
  const owners = new Map<string, string>()
  const names = new Map<string, string>()
  return (wanted, owner, qualifier) => {
    const held = names.get(owner)
    if (held !== undefined) return held
    let name = wanted
    for (let n = 1; owners.has(name); n++) name = n === 1 ? `${wanted}@${qualifier}` : `${wanted}@${qualifier}#${n}`
    owners.set(name, owner)
    names.set(owner, name)
    return name
  }
}
