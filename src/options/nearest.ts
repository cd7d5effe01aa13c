// "Did you mean ...?": the known word that takes the fewest edits to reach, if it is near enough to be meant.

/** Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours. */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min((previous[j] as number) + 1, (current[j - 1] as number) + 1, (previous[j - 1] as number) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (before[j - 2] as number) + 1)
      current.push(best)
    }
    before = previous
    previous = current
  }
  return previous[b.length] as number
}

/**
 * The nearest of `words` within a third of the written word's length; null when none is. Bounded: words over 64 characters match
 * nothing.
 */
export function nearest(written: string, words: readonly string[]): string | null {
  if (written.length > 64) return null
  let found: string | null = null
  let least = Math.max(1, Math.floor(written.length / 3)) + 1
  for (const word of words) {
    const distance = editDistance(written.toLowerCase(), word.toLowerCase())
    if (distance < least) {
      least = distance
      found = word
    }
  }
  return found
}
