// Words that the tables of `skein status` share.

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** So long ago, roughly: `42s`, `5m`, `3h`, `12d`. */
export function age(ms: number): string {
  const [unit, size] = UNITS.find(([, one]) => ms >= one) ?? ['s', 1000]
  return `${Math.max(0, Math.floor(ms / size))}${unit}`
}

/** What was left out of a table; nothing when nothing was. */
export function more(count: number, what: string): string[] {
  return count > 0 ? [`... and ${count} more ${what}: --json tells all`] : []
}
