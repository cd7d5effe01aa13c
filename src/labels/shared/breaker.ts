// Reads the circuit breaker: the dialect's label for the expression (or `skein.breaker.expression`, which takes precedence) and
// the `skein.breaker.*` labels. Defaults as in vulcand/oxy (cbreaker.go): open for 10 s, then 10 s of recovery.

import type { Breaker } from '../../config/model.ts'
import { parseBreakerExpression } from '../../rules/breaker-expression.ts'
import type { LabelSet } from './label-set.ts'
import type { SkeinLabelName } from './skein-names.ts'
import { parseDurationMs } from './values.ts'

const SKEIN_LABEL = 'skein.breaker.expression'
const NEEDS_EXPRESSION: readonly SkeinLabelName[] = ['skein.breaker.minRequests', 'skein.breaker.open', 'skein.breaker.recovery']
/** Traefik has no such limit: there the first failed request of a service with little traffic opens the breaker. */
const DEFAULT_MIN_REQUESTS = 10
const DEFAULT_MS = 10_000
const MIN_MS = 100
const MAX_MS = 3_600_000

/** null: the service has no breaker. `expressionLabel`: the dialect's own label for the expression. */
export function readBreaker<Name extends string>(labels: LabelSet<Name | SkeinLabelName>, expressionLabel: Name): Breaker | null {
  const name = labels.text(SKEIN_LABEL) === null ? expressionLabel : SKEIN_LABEL
  const expression = labels.text(name)
  if (expression === null) {
    for (const needs of NEEDS_EXPRESSION) {
      const value = labels.text(needs)
      if (value === null) continue
      const message = `expected ${labels.key(expressionLabel)} with it; there is no circuit breaker`
      labels.report.warn(labels.key(needs), value, message)
    }
    return null
  }
  const parsed = parseBreakerExpression(expression)
  if (!parsed.ok) labels.wrong(name, parsed.message, 'there is no circuit breaker')
  // Read even when the expression is wrong, so that all mistakes are reported at once.
  const rest = {
    minRequests: labels.integer(
      'skein.breaker.minRequests',
      1,
      1_000_000,
      DEFAULT_MIN_REQUESTS,
      `${DEFAULT_MIN_REQUESTS} is used`,
    ),
    openMs: readDuration(labels, 'skein.breaker.open'),
    recoveryMs: readDuration(labels, 'skein.breaker.recovery'),
  }
  return parsed.ok ? { expression, when: parsed.when, ...rest } : null
}

function readDuration(labels: LabelSet, name: 'skein.breaker.open' | 'skein.breaker.recovery'): number {
  const text = labels.text(name)
  if (text === null) return DEFAULT_MS
  const ms = parseDurationMs(text, MIN_MS, MAX_MS)
  if (ms === null) labels.wrong(name, 'a duration such as 10s, from 100ms to 1h', '10s is used')
  return ms ?? DEFAULT_MS
}
