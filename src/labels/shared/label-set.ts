// The labels of one service or one of its segments, by their plain names (`frontend.rule`), remembering how each was written so
// that a report can name it. Reading a typed value reports what is wrong with it and falls back, as Traefik v1 does, where a
// fallback is harmless.

import type { LabelName as TraefikLabelName } from '../traefik-v1/label-names.ts'
import type { Report } from './report.ts'
import { SKEIN_PREFIX, type SkeinLabelName } from './skein-names.ts'
import { parseBool, parseInteger } from './values.ts'

export type LabelName = TraefikLabelName | SkeinLabelName

export interface WrittenLabel {
  /** As written, with prefix and segment. */
  readonly key: string
  readonly value: string
}

export class LabelSet {
  readonly #labels: ReadonlyMap<string, WrittenLabel>
  readonly #prefix: string
  readonly #segment: string
  readonly report: Report

  /** `prefix` of Traefik's labels; `segment` is '' for the service itself. */
  constructor(labels: ReadonlyMap<string, WrittenLabel>, prefix: string, report: Report, segment = '') {
    this.#labels = labels
    this.#prefix = prefix
    this.#segment = segment
    this.report = report
  }

  /** The trimmed value; null when the label is absent or empty. */
  text(name: LabelName): string | null {
    const value = this.#labels.get(name)?.value.trim()
    return value === undefined || value === '' ? null : value
  }

  /** The label as written, or as it would be. */
  key(name: LabelName): string {
    const written = this.#labels.get(name)?.key
    if (written !== undefined) return written
    const own = name.startsWith(`${SKEIN_PREFIX}.`)
    const plain = own ? name.slice(SKEIN_PREFIX.length + 1) : name
    return [own ? SKEIN_PREFIX : this.#prefix, ...(this.#segment === '' ? [] : [this.#segment]), plain].join('.')
  }

  /** Reports a label's value as wrong; `expected` says what would have been right. */
  wrong(name: LabelName, expected: string, consequence: string): void {
    this.report.error(this.key(name), this.text(name) ?? '', `expected ${expected}; ${consequence}`)
  }

  bool(name: LabelName, fallback: boolean): boolean {
    const text = this.text(name)
    if (text === null) return fallback
    const value = parseBool(text)
    if (value === null) this.wrong(name, 'true or false', `taken as ${fallback}`)
    return value ?? fallback
  }

  integer<T extends number | null>(name: LabelName, min: number, max: number, fallback: T, consequence: string): number | T {
    const text = this.text(name)
    if (text === null) return fallback
    const value = parseInteger(text, min, max)
    if (value === null) this.wrong(name, `a whole number from ${min} to ${max}`, consequence)
    return value ?? fallback
  }
}
