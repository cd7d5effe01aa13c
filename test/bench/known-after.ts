// Estimates the age from which a session is known, from samples that each test a session once: its age and whether it was known. The
// share of known sessions grows with age, so the estimate is the isotonic regression (pool adjacent violators; Barlow et al., 1972).
// Pure.

export interface Sample {
  /** Age at the test, ms. */
  readonly ageMs: number
  readonly known: boolean
}

interface Block {
  readonly ageMs: number
  known: number
  samples: number
}

/** The age in ms from which at least `share` are known; null if the samples never reach it. */
export function knownAfter(samples: readonly Sample[], share: number): number | null {
  const blocks: Block[] = []
  for (const { ageMs, known } of [...samples].sort((a, b) => a.ageMs - b.ageMs)) {
    blocks.push({ ageMs, known: known ? 1 : 0, samples: 1 })
    for (;;) {
      const [before, last] = blocks.slice(-2)
      // Decreasing shares are pooled; equal ones too, which gives the same result with fewer blocks.
      if (before === undefined || last === undefined || before.known * last.samples < last.known * before.samples) break
      blocks.pop()
      before.known += last.known
      before.samples += last.samples
    }
  }
  return blocks.find(({ known, samples }) => known >= share * samples)?.ageMs ?? null
}
