// The labels of one service or one of its segments, by their names without prefix and segment (`frontend.rule`). The written form
// of each label is kept for reports. Typed accessors report a malformed value and return a fallback, as Traefik v1 does, where a
// fallback is harmless.

import type { Report } from './report.ts'
import { SKEIN_PREFIX, type SkeinLabelName } from './skein-names.ts'
import { parseBool, parseInteger } from './values.ts'

export interface WrittenLabel {
  /** With prefix and segment. */
  readonly key: string
  readonly value: string
}

/** `Name`: the labels of a dialect, with Skein's own. */
export class LabelSet<Name extends string = SkeinLabelName> {
  readonly #labels: ReadonlyMap<string, WrittenLabel>
  readonly #prefix: string
  readonly #segment: string
  readonly report: Report

  /** `prefix`: of the dialect's labels; `segment`: '' for the service itself. */
  constructor(labels: ReadonlyMap<string, WrittenLabel>, prefix: string, report: Report, segment = '') {
    this.#labels = labels
    this.#prefix = prefix
    this.#segment = segment
    this.report = report
  }

  /** The trimmed value; null when the label is absent or empty. */
  text(name: Name): string | null {
    const value = this.#labels.get(name)?.value.trim()
    return value === undefined || value === '' ? null : value
  }

  /** The label as written; an absent label as it would be written. */
  key(name: Name): string {
    const written = this.#labels.get(name)?.key
    if (written !== undefined) return written
    const own = name.startsWith(`${SKEIN_PREFIX}.`)
    const plain = own ? name.slice(SKEIN_PREFIX.length + 1) : name
    return [own ? SKEIN_PREFIX : this.#prefix, ...(this.#segment === '' ? [] : [this.#segment]), plain].join('.')
  }

  /** Reports an error: `expected` names the accepted values, `consequence` what is used instead. */
  wrong(name: Name, expected: string, consequence: string): void {
    this.report.error(this.key(name), this.text(name) ?? '', `expected ${expected}; ${consequence}`)
  }

  bool(name: Name, fallback: boolean): boolean {
    const text = this.text(name)
    if (text === null) return fallback
    const value = parseBool(text)
    if (value === null) this.wrong(name, 'true or false', `taken as ${fallback}`)
    return value ?? fallback
  }

  integer<T extends number | null>(name: Name, min: number, max: number, fallback: T, consequence: string): number | T {
    const text = this.text(name)
    if (text === null) return fallback
    const value = parseInteger(text, min, max)
    if (value === null) this.wrong(name, `a whole number from ${min} to ${max}`, consequence)
    return value ?? fallback
  }
}
