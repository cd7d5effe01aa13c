// Small differences between large costs: every variant is loaded once in each round, so that what the machine does to one it does
// to all; what counts is the median of the differences within rounds, and how sure it is. Pure.

import { median } from './cluster-parts.ts'

/** The normal quantile of a two-sided interval of 95 %. */
const Z95 = 1.96

export interface Difference {
  readonly median: number
  /** An interval that holds the true median in 95 of 100 such runs (order statistics; the whole range for few rounds). */
  readonly low: number
  readonly high: number
  readonly rounds: number
}

/** `on` and `off` hold one value for each round, in the same order. Throws when they do not. */
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
export function intervalInWords({ median: middle, low, high }: Difference): string {
  return `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`
}

/** All variants, in another order each round: each comes first, and after each other, about as often. */
export function orderOf<T>(variants: readonly T[], round: number): T[] {
  const turn = round % variants.length
  const turned = [...variants.slice(turn), ...variants.slice(0, turn)]
  return Math.floor(round / variants.length) % 2 === 0 ? turned : turned.reverse()
}
