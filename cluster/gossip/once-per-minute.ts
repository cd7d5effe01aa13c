// Keeps a log readable when something goes on for hours: one line a minute for each subject, and a bound on how many subjects are
// remembered. Pure; the clock is handed in.

const EVERY_MS = 60_000
const MOST_SUBJECTS = 512

/** Returns a function that says whether a line about this subject is due. */
export function oncePerMinute(): (subject: string, nowMs: number) => boolean {
  const told = new Map<string, number>()
  return (subject, nowMs) => {
    const before = told.get(subject)
    if (before !== undefined && nowMs - before < EVERY_MS) return false
    told.delete(subject)
    if (told.size >= MOST_SUBJECTS) for (const oldest of [...told.keys()].slice(0, MOST_SUBJECTS / 8)) told.delete(oldest)
    told.set(subject, nowMs)
    return true
  }
}
