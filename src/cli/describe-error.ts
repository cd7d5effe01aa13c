// Formats an error in a label or file as one line for a terminal, for `skein check` and `skein routes`.

import { printable } from '../util/printable.ts'

export interface DescribedError {
  readonly severity: string
  readonly source: string
  readonly key: string
  readonly value: string
  readonly message: string
}

/** `error: shop_web: traefik.port is "eighty", expected a port`. The text is made printable, because others write the labels. */
export function describeError({ severity, source, key, value, message }: DescribedError): string {
  const where = [source, key].filter(text => text !== '').join(': ')
  if (where === '') return printable(`${severity}: ${message}`)
  const is = value === '' ? '' : ` is ${JSON.stringify(value)}`
  return printable(`${severity}: ${where}${is}${message.startsWith('expected ') ? ',' : ':'} ${message}`)
}
