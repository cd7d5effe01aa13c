// Splits a service's labels into its segments (label-names.ts) and reports labels that are not understood. Bounded, because
// anyone who may create a service writes labels.

import { LabelSet, type WrittenLabel } from '../shared/label-set.ts'
import type { Report } from '../shared/report.ts'
import { isSkeinLabel, SKEIN_PREFIX, splitSkeinLabel, suggestSkeinLabel } from '../shared/skein-names.ts'
import {
  classifyLabel,
  currentSpelling,
  isNewerRouterLabel,
  isNewerTraefikLabel,
  type LabelName,
  type Labels,
  splitSegment,
  suggestLabel,
} from './label-names.ts'

/** Longest value read, in UTF-16 units. */
export const MAX_VALUE_LENGTH = 16_384
const MAX_KEY_LENGTH = 512
const MAX_LABELS = 1_000
const MAX_SEGMENTS = 100

export interface Segment {
  /** '' for the service itself. */
  readonly name: string
  readonly labels: Labels
}

export interface ServiceLabels {
  /** Labels of the service as a whole. */
  readonly whole: Labels
  /** The service itself, or its segments if it has any. */
  readonly segments: readonly Segment[]
}

/**
 * Reads the labels under `prefix`; null when the whole service must be left out (reported). A service without a label under
 * `prefix` is not exposed and has no segment. Skein's own labels do not expose it, because their names are the same for every
 * prefix.
 */
export function readSegments(all: Readonly<Record<string, string>>, prefix: string, report: Report): ServiceLabels | null {
  const dot = `${prefix}.`
  const sorted = Object.keys(all).sort()
  const own = sorted.filter(key => isOwn(key, prefix))
  const keys = sorted.filter(key => key.startsWith(dot) && !isOwn(key, prefix))
  const count = keys.length + own.length
  if (keys.length === 0 && (own.length === 0 || prefix !== SKEIN_PREFIX)) {
    const first = own.find(key => isSkeinLabel(splitSkeinLabel(key.slice(SKEIN_PREFIX.length + 1)).name))
    if (first !== undefined) {
      report.warn(
        first,
        all[first] ?? '',
        `expected ${dot}enable=true or another label under ${dot} with it; the service is not served`,
      )
    }
    return { whole: new LabelSet<LabelName>(new Map(), prefix, report), segments: [] }
  }
  if (count > MAX_LABELS) {
    report.error(dot, String(count), `expected at most ${MAX_LABELS} labels; the service was left out`)
    return null
  }
  const segments = new Map<string, Map<string, WrittenLabel>>([['', new Map()]])
  const guarded = new Set<string>()
  let newer: string | null = null
  let newerRouter: string | null = null
  // Traefik v2 and later compare the prefix without regard to case.
  for (const key of sorted) {
    if (key.startsWith(dot) || !key.toLowerCase().startsWith(dot.toLowerCase())) continue
    const full = key.slice(dot.length)
    if (isNewerTraefikLabel(full)) newer ??= key
    if (isNewerRouterLabel(full)) newerRouter ??= key
  }
  for (const key of keys) {
    const value = all[key] ?? ''
    const full = key.slice(dot.length)
    if (isNewerTraefikLabel(full)) {
      newer ??= key
      if (isNewerRouterLabel(full)) newerRouter ??= key
      continue
    }
    const { segment, name } = splitSegment(full)
    const read = classifyLabel(name, segment !== '')
    // A guard applies however long its key is: the router must not be served without it.
    const kind = key.length > MAX_KEY_LENGTH && read !== 'guard' ? 'unknown' : read
    // As in Traefik, any label with a segment creates it.
    const labels = segments.get(segment) ?? new Map<string, WrittenLabel>()
    if (key.length <= MAX_KEY_LENGTH) segments.set(segment, labels)
    if (kind === 'guard') {
      guarded.add(segment)
      report.error(key, '', 'not supported yet: the router was left out, so that it is not served unguarded')
    } else if (kind === 'later') {
      report.warn(key, value, 'not supported yet; ignored')
    } else if (kind === 'unknown') {
      const cased = suggestLabel(name)
      const renamed = currentSpelling(name)
      const expected =
        renamed !== null ? `${dot}${renamed}` : cased !== null ? `${dot}${cased} (case counts)` : 'a label of Traefik v1'
      report.warn(key, value, `expected ${expected}; ignored`)
    } else if (value.length > MAX_VALUE_LENGTH) {
      report.error(key, value, `expected at most ${MAX_VALUE_LENGTH} characters, found ${value.length}; the service was left out`)
      return null
    } else {
      labels.set(name, { key, value })
    }
  }
  if (segments.size - 1 > MAX_SEGMENTS) {
    report.error(dot, String(segments.size - 1), `expected at most ${MAX_SEGMENTS} segments; the service was left out`)
    return null
  }
  if (!readOwn(own, all, segments, report)) return null
  const whole = segments.get('') ?? new Map<string, WrittenLabel>()
  const names = [...segments.keys()].filter(name => name !== '').sort()
  const unguarded = (names.length === 0 ? [''] : names).filter(name => !guarded.has('') && !guarded.has(name))
  const read = unguarded.map(name => ({
    name,
    // A segment inherits what it does not set itself.
    labels: new LabelSet<LabelName>(new Map([...whole, ...(segments.get(name) ?? [])]), prefix, report, name),
  }))
  // The default rule would expose a service that is guarded by labels of the newer dialect.
  const closed = newerRouter === null ? [] : read.filter(segment => segment.labels.text('frontend.rule') === null)
  if (newerRouter !== null && closed.length > 0) {
    const message = `expected ${dot}frontend.rule: labels of Traefik v2 or later (http, tcp, udp, tls) are not supported yet and may include guards; the router was left out`
    report.error(newerRouter, all[newerRouter] ?? '', message)
  } else if (newer !== null) {
    const message = 'expected a label of Traefik v1: those of newer versions (http, tcp, udp, tls) are not supported yet'
    report.warn(newer, all[newer] ?? '', message)
  }
  return { whole: new LabelSet<LabelName>(whole, prefix, report), segments: read.filter(segment => !closed.includes(segment)) }
}

/** True for Skein's own labels. When Traefik's prefix is `skein` too, unknown labels may be Traefik's. */
function isOwn(key: string, prefix: string): boolean {
  const start = `${SKEIN_PREFIX}.`
  return key.startsWith(start) && (prefix !== SKEIN_PREFIX || isSkeinLabel(splitSkeinLabel(key.slice(start.length)).name))
}

/** Adds Skein's own labels to existing segments; false when the service must be left out (reported). */
function readOwn(
  keys: readonly string[],
  all: Readonly<Record<string, string>>,
  segments: ReadonlyMap<string, Map<string, WrittenLabel>>,
  report: Report,
): boolean {
  for (const key of keys) {
    const value = all[key] ?? ''
    const { segment, name } = splitSkeinLabel(key.slice(SKEIN_PREFIX.length + 1))
    const labels = key.length > MAX_KEY_LENGTH ? undefined : segments.get(segment)
    if (labels === undefined || !isSkeinLabel(name)) {
      report.warn(key, value, `expected ${expectedOwn(segment, name, labels !== undefined)}; ignored`)
    } else if (value.length > MAX_VALUE_LENGTH) {
      report.error(key, value, `expected at most ${MAX_VALUE_LENGTH} characters, found ${value.length}; the service was left out`)
      return false
    } else labels.set(name, { key, value })
  }
  return true
}

function expectedOwn(segment: string, name: string, hasSegment: boolean): string {
  const meant = isSkeinLabel(name) ? null : suggestSkeinLabel(name)
  if (meant !== null) {
    const plain = meant.slice(SKEIN_PREFIX.length + 1)
    return `${SKEIN_PREFIX}.${segment === '' ? '' : `${segment}.`}${plain} (case counts)`
  }
  if (isSkeinLabel(name) && !hasSegment) return `a segment named ${segment}, created by other labels`
  return 'a label of Skein'
}
