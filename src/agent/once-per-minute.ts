// Keeps a log readable under attack: one line a minute for each address, and a bound on how many addresses are remembered.
// Pure; the clock is handed in.

const EVERY_MS = 60_000
const MOST_ADDRESSES = 1_000

/**
 * Returns a function that says how many lines were held back since the last one, or null when this one is to be held back too.
 */
export function oncePerMinute(): (address: string, nowMs: number) => number | null {
  const seen = new Map<string, { at: number; held: number }>()
  return (address, nowMs) => {
    const before = seen.get(address)
    if (before !== undefined && nowMs - before.at < EVERY_MS) {
      before.held++
      return null
    }
    seen.delete(address)
    if (seen.size >= MOST_ADDRESSES) for (const oldest of [...seen.keys()].slice(0, MOST_ADDRESSES / 10)) seen.delete(oldest)
    seen.set(address, { at: nowMs, held: 0 })
    return before?.held ?? 0
  }
}
