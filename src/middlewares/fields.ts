// Parts of the schemas of middlewares. Bounded, and limited to what is safe in a request line or a header.

import type { z } from 'zod'

/** Limit of the entries of a list. */
const MAX_ENTRIES = 1_024

/** Visible ASCII. */
export function visibleSchema(zod: typeof z) {
  return zod
    .string()
    .max(8_192)
    .regex(/^[\x21-\x7e]*$/, 'visible ASCII only')
}

export function pathSchema(zod: typeof z) {
  return visibleSchema(zod).startsWith('/', "a path that begins with '/'")
}

/** The source of a regular expression. */
export function patternSchema(zod: typeof z) {
  return zod.string().max(1_024)
}

export function listSchema<T extends z.ZodType>(zod: typeof z, of: T) {
  return zod.array(of).max(MAX_ENTRIES)
}
