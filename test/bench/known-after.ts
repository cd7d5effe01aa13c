// When something that is asked only once is known: each sample says at which age it was asked and whether it was known then. The
// share of known ones grows with age, so the best estimate is the isotonic regression (pool adjacent violators; Barlow et al.,
// 1972). Pure.

export interface Sample {
  /** Age when it was asked, ms. */
  readonly ageMs: number
  readonly known: boolean
}

interface Block {
  readonly ageMs: number
  known: number
  asked: number
}

/** The age from which on at least `share` are known, ms; null: the samples never get there. */
export function knownAfter(samples: readonly Sample[], share: number): number | null {
  const blocks: Block[] = []
  for (const { ageMs, known } of [...samples].sort((a, b) => a.ageMs - b.ageMs)) {
    blocks.push({ ageMs, known: known ? 1 : 0, asked: 1 })
    for (;;) {
      const [before, last] = blocks.slice(-2)
      // Shares that fall are pooled; equal ones too, which changes nothing but saves blocks.
      if (before === undefined || last === undefined || before.known * last.asked < last.known * before.asked) break
      blocks.pop()
      before.known += last.known
      before.asked += last.asked
    }
  }
  return blocks.find(({ known, asked }) => known >= share * asked)?.ageMs ?? null
}
