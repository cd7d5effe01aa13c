// Reproducible random numbers: the same seed gives the same numbers on every machine. sfc32 (Chris Doty-Humphrey, PractRand),
// seeded through splitmix32 so that neighbouring seeds are independent. The simulation has no other randomness.

export class Random {
  private a: number
  private b: number
  private c: number
  private counter = 1

  constructor(seed: number) {
    let state = seed >>> 0
    const split = (): number => {
      state = (state + 0x9e3779b9) | 0
      let t = state ^ (state >>> 16)
      t = Math.imul(t, 0x21f0aaad)
      t ^= t >>> 15
      t = Math.imul(t, 0x735a2d97)
      return (t ^ (t >>> 15)) | 0
    }
    this.a = split() ^ Math.floor(seed / 0x100000000)
    this.b = split()
    this.c = split()
    for (let i = 0; i < 12; i++) this.word()
  }

  private word(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0
    return t >>> 0
  }

  /** 0 <= x < 1. */
  next(): number {
    return this.word() / 0x100000000
  }

  /** min <= x < max. */
  between(min: number, max: number): number {
    return min + this.next() * (max - min)
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  chance(p: number): boolean {
    return this.next() < p
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!
  }

  shuffled<T>(of: readonly T[]): T[] {
    const list = [...of]
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const kept = list[i]!
      list[i] = list[j]!
      list[j] = kept
    }
    return list
  }

  /** A separate stream: its draws do not change those of other streams. */
  fork(): Random {
    return new Random(this.word())
  }
}
