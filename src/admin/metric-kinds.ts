// Helpers that add one metric to a registry: a single value or a value for each value of one label, as gauge or as counter.

import { Counter, Gauge, type Registry } from 'prom-client'

/** Adds a gauge with one value. */
export function addGauge(
  registry: Registry,
  name: string,
  help: string,
  value: number,
  labels: Readonly<Record<string, string>> = {},
): void {
  new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] }).set(labels, value)
}

/** Adds a counter with one value. */
export function addCounter(registry: Registry, name: string, help: string, value: number): void {
  new Counter({ name, help, registers: [registry] }).inc(value)
}

/** Adds a counter with one value for each value of the label. */
export function addLabeledCounter(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  values: Readonly<Record<string, number>>,
): void {
  const metric = new Counter({ name, help, labelNames: [label], registers: [registry] })
  for (const [key, value] of Object.entries(values)) metric.inc({ [label]: key }, value)
}

/** Adds a gauge with one value for each value of the label. */
export function addLabeledGauge(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  values: Iterable<readonly [key: string, value: number]>,
): void {
  const metric = new Gauge({ name, help, labelNames: [label], registers: [registry] })
  for (const [key, value] of values) metric.set({ [label]: key }, value)
}
