// Reads the routes of a frontend in a Traefik v1 services file: `routes.one.rule = "Host:shop.test"`. All routes must match, so
// they are joined to one rule. Specification: https://doc.traefik.io/traefik/v1.7/basics/#frontends and Traefik 1.7's
// server/server_configuration.go.

import { canonicalJson } from '../../config/merge.ts'
import { type ParsedRule, parseRule } from '../../rules/traefik-v1.ts'
import type { Report } from '../shared/report.ts'
import { type Entry, entriesOf, kindName, type Place, plainText, tableOf, textOf } from './file-keys.ts'
import { MAX_VALUE_LENGTH } from './segments.ts'

const MAX_ROUTES = 256
const MAX_UNKNOWN = 20

export interface RoutesRule {
  /** Key of the rule; with several routes, the first wrong one, else the table. */
  readonly key: string
  readonly rule: string
  /** Priority by length as in v1: without the separators. */
  readonly priority: number
}

/**
 * Joins the routes; null when they give no rule (reported). A single route is never left out, because the frontend would match
 * more requests than intended.
 */
export function readRoutes(places: readonly Place[], frontendKey: string, report: Report): RoutesRule | null {
  const routes: Place[] = []
  let complete = true
  for (const entry of byName(places.flatMap(place => entriesOf(place, report)))) {
    const rule = ruleOf(entry, report)
    if (rule === null) complete = false
    else routes.push(rule)
  }
  if (!complete) return null
  const [first] = routes
  if (first === undefined) {
    report.error(
      `${frontendKey}.routes`,
      '',
      'expected a route such as routes.one.rule = "Host:shop.test"; the frontend was left out',
    )
    return null
  }
  const table = places[0]?.key ?? first.key
  if (routes.length > MAX_ROUTES) {
    report.error(table, String(routes.length), `expected at most ${MAX_ROUTES} routes; the frontend was left out`)
    return null
  }
  const rules = routes.map(route => String(route.value))
  const priority = rules.reduce((sum, rule) => sum + Buffer.byteLength(rule), 0)
  if (routes.length === 1) return { key: first.key, rule: rules[0] ?? '', priority }
  const parsed = rules.map(rule => (rule.length > MAX_VALUE_LENGTH ? null : parseRule(rule)))
  const wrong = parsed.findIndex(result => result === null || !result.ok)
  // The label reader reports the mistake.
  if (wrong >= 0) return { key: routes[wrong]?.key ?? table, rule: rules[wrong] ?? '', priority }
  const rule = rules.join(';')
  const joined = rule.length > MAX_VALUE_LENGTH ? null : parseRule(rule)
  if (joined?.ok === true && canonicalJson(partsOf(joined)) !== canonicalJson(parsed.flatMap(partsOf))) {
    report.error(table, rule, 'expected rules whose braces balance; the frontend was left out')
    return null
  }
  return { key: table, rule, priority }
}

/** Sorted by name, so that every replica builds the same rule. */
function byName(entries: readonly Entry[]): readonly Entry[] {
  return [...entries].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

/** The rule of a route, not empty; null when there is none (reported). */
function ruleOf(route: Entry, report: Report): Place | null {
  if (tableOf(route.value) === null) {
    const message = `expected a table with rule, found ${kindName(route.value)}; the frontend was left out`
    report.error(route.key, plainText(route.value), message)
    return null
  }
  let rule: Entry | null = null
  let unknown = 0
  for (const entry of entriesOf(route, report)) {
    if (entry.name.toLowerCase() === 'rule') rule ??= entry
    else if (unknown++ < MAX_UNKNOWN) report.warn(entry.key, plainText(entry.value), 'expected rule; ignored')
  }
  const text = textOf(rule?.value)?.trim() ?? ''
  if (rule !== null && text !== '') return { key: rule.key, value: text }
  const key = rule?.key ?? `${route.key}.rule`
  report.error(key, plainText(rule?.value), 'expected a rule such as Host:shop.test; the frontend was left out')
  return null
}

function partsOf(parsed: ParsedRule | null): readonly unknown[] {
  if (parsed === null || !parsed.ok) return []
  return parsed.matcher.kind === 'and' ? parsed.matcher.of : [parsed.matcher]
}
