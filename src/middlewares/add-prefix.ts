// AddPrefix of Traefik v1: adds a prefix to the path.

import { pathSchema } from './fields.ts'
import { defineMiddleware, fromEdit, type RequestEdit } from './middleware.ts'
import { ASTERISK, labelPath } from './path.ts'

export interface AddPrefix {
  readonly kind: 'addPrefix'
  readonly prefix: string
}

export const ADD_PREFIX = defineMiddleware<AddPrefix>({
  kind: 'addPrefix',
  feature: null,
  schema: z => z.object({ kind: z.literal('addPrefix'), prefix: pathSchema(z) }),
  compile: ({ prefix }) => fromEdit(addPrefix(prefix)),
})

export function addPrefix(written: string): RequestEdit {
  const prefix = labelPath(written)
  return x => {
    if (x.path === ASTERISK) return
    x.path = prefix + x.path
    if (x.wirePath !== '') x.wirePath = prefix + x.wirePath
  }
}
