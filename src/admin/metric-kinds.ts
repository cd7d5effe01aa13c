// The three shapes of a metric that a replica shows: one value, one count since the start, and either for each value of one
// label.

import { Counter, Gauge, type Registry } from 'prom-client'

/** One value. */
export function addGauge(
  registry: Registry,
  name: string,
  help: string,
  value: number,
  labels: Readonly<Record<string, string>> = {},
): void {
  new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] }).set(labels, value)
}

export function addCounter(registry: Registry, name: string, help: string, value: number): void {
  new Counter({ name, help, registers: [registry] }).inc(value)
}

/** One value for each value of the label. */
export function addLabeledCounter(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  values: Readonly<Record<string, number>>,
): void {
  const made = new Counter({ name, help, labelNames: [label], registers: [registry] })
  for (const [key, value] of Object.entries(values)) made.inc({ [label]: key }, value)
}

/** As `counter`, for what goes up and down. */
export function addLabeledGauge(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  values: Iterable<readonly [key: string, value: number]>,
): void {
  const made = new Gauge({ name, help, labelNames: [label], registers: [registry] })
  for (const [key, value] of values) made.set({ [label]: key }, value)
}
