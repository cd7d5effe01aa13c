// Names for what labels describe: readable, unique, and the same on every replica whatever order things were discovered in.

/**
 * A name with what is no letter, digit, `.`, `_` or `-` replaced by `-`, at most 100 characters, never empty and never
 * `__proto__`.
 */
export function safeName(text: string): string {
  const name = text.replace(/[^\p{L}\p{N}._-]+/gu, '-').slice(0, 100)
  return name === '' ? '-' : name === '__proto__' ? '-proto-' : name
}

/**
 * Gives out names. The same owner always gets the name it got first; another owner who wants a name that is taken gets
 * `wanted@qualifier`, then `wanted@qualifier#2` and so on. Ask in an order that does not depend on discovery.
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
