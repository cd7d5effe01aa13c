// Estimates small differences between large costs: every variant is loaded once in each round, so that changes of the machine's speed
// affect all variants; the result is the median of the differences within rounds, with its confidence interval. Pure.

import { median } from './cluster-parts.ts'

/** The quantile of the normal distribution for a two-sided interval of 95 %. */
const Z95 = 1.96

export interface Difference {
  readonly median: number
  /** The 95 % confidence interval of the median (order statistics; the whole range for few rounds). */
  readonly low: number
  readonly high: number
  readonly rounds: number
}

/** `on` and `off` have one value for each round, in the same order. Throws if their lengths differ. */
export function difference(on: readonly number[], off: readonly number[]): Difference {
  if (on.length !== off.length) throw new Error(`${on.length} rounds with it, ${off.length} without`)
  const sorted = on.map((value, round) => value - off[round]!).sort((a, b) => a - b)
  const cut = Math.max(0, Math.floor((sorted.length - Z95 * Math.sqrt(sorted.length)) / 2))
  const [low = Number.NaN, high = Number.NaN] = [sorted[cut], sorted.at(-1 - cut)]
  return { median: medianOf(sorted), low, high, rounds: sorted.length }
}

function medianOf(sorted: readonly number[]): number {
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 || half === 0 ? median(sorted) : (sorted[half - 1]! + sorted[half]!) / 2
}

/** `0.42 (0.31 to 0.55)`. */
export function intervalText({ median: middle, low, high }: Difference): string {
  return `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`
}

/** All variants in an order that changes with the round: each is first, and follows each other variant, about as often. */
export function orderOf<T>(variants: readonly T[], round: number): T[] {
  const turn = round % variants.length
  const turned = [...variants.slice(turn), ...variants.slice(0, turn)]
  return Math.floor(round / variants.length) % 2 === 0 ? turned : turned.reverse()
}
