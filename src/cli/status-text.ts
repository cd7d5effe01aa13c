// Text helpers for the tables of `skein status`.

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** A duration in its largest whole unit: `42s`, `5m`, `3h`, `12d`. */
export function age(ms: number): string {
  const [unit, size] = UNITS.find(([, one]) => ms >= one) ?? ['s', 1000]
  return `${Math.max(0, Math.floor(ms / size))}${unit}`
}

/** The last line of a table that was cut; none if `count` is 0. */
export function moreLine(count: number, what: string): string[] {
  return count > 0 ? [`... and ${count} more ${what}: --json lists all`] : []
}
