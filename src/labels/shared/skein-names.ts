// Skein's own labels, `skein.<group>.<setting>`, for settings that Traefik v1 has no label for. A segment has its own as
// `skein.<segment>.<group>.<setting>` and inherits the others. In a LabelSet they keep their prefix, so that no two labels have
// one name.

export const SKEIN_PREFIX = 'skein'

export const SKEIN_LABELS = [
  'skein.sticky.learn',
  'skein.sticky.ttl',
  'skein.sticky.size',
  'skein.sticky.drain',
  'skein.breaker.expression',
  'skein.breaker.minRequests',
  'skein.breaker.open',
  'skein.breaker.recovery',
  'skein.outlier.errors',
  'skein.timeout.responseHeader',
  'skein.timeout.stall',
] as const

export type SkeinLabelName = (typeof SKEIN_LABELS)[number]

const KNOWN: ReadonlySet<string> = new Set(SKEIN_LABELS)
/** The start of a label without a segment. */
const GROUP = /^(?:sticky|breaker|outlier|timeout)\./i
/** The segment's name is the shortest possible, as with Traefik's labels. */
const SEGMENT = /^(.+?)\.((?:sticky|breaker|outlier|timeout)\..+)$/i

/** Splits a label (without the prefix) into its segment, '' for the service itself, and its name (with the prefix). */
export function splitSkeinLabel(label: string): { readonly segment: string; readonly name: string } {
  const found = GROUP.test(label) ? null : SEGMENT.exec(label)
  return { segment: found?.[1] ?? '', name: `${SKEIN_PREFIX}.${found?.[2] ?? label}` }
}

export function isSkeinLabel(name: string): name is SkeinLabelName {
  return KNOWN.has(name)
}

/** The label in the right case; null when there is none. */
export function suggestSkeinLabel(name: string): SkeinLabelName | null {
  const lower = name.toLowerCase()
  return SKEIN_LABELS.find(known => known.toLowerCase() === lower) ?? null
}
