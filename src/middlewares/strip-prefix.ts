// PathStrip and PathPrefixStrip of Traefik v1: removes the first matching prefix from the path and sends it in
// X-Forwarded-Prefix, replacing the client's field of that name. A prefix is plain text: `/api` also matches `/apix`, which
// becomes `/x`.

import { pathLiteral } from '../rules/literals.ts'
import { listSchema, pathSchema } from './fields.ts'
import { defineMiddleware, fromEdit, type RequestEdit } from './middleware.ts'
import { ASTERISK, cutPath } from './path.ts'

export interface StripPrefix {
  readonly kind: 'stripPrefix'
  readonly prefixes: readonly string[]
}

export const STRIP_PREFIX = defineMiddleware<StripPrefix>({
  kind: 'stripPrefix',
  feature: null,
  schema: z => z.object({ kind: z.literal('stripPrefix'), prefixes: listSchema(z, pathSchema(z)) }),
  compile: ({ prefixes }) => fromEdit(stripPrefix(prefixes)),
})

export function stripPrefix(written: readonly string[]): RequestEdit {
  const prefixes = written.map(pathLiteral)
  return x => {
    const path = x.path
    if (path === ASTERISK) return
    for (let i = 0; i < prefixes.length; i++) {
      const prefix = prefixes[i]!
      if (path.startsWith(prefix)) {
        cutPath(x, prefix.length)
        x.setHeader('X-Forwarded-Prefix', prefix)
        return
      }
    }
  }
}
