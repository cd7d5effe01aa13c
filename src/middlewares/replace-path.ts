// ReplacePath of Traefik v1: replaces the path by a fixed one and sends the old path in X-Replaced-Path. The query is kept.

import { pathSchema } from './fields.ts'
import { defineMiddleware, fromEdit, type RequestEdit } from './middleware.ts'
import { ASTERISK, labelPath, setPath } from './path.ts'

export interface ReplacePath {
  readonly kind: 'replacePath'
  readonly path: string
}

export const REPLACE_PATH = defineMiddleware<ReplacePath>({
  kind: 'replacePath',
  feature: null,
  schema: z => z.object({ kind: z.literal('replacePath'), path: pathSchema(z) }),
  compile: ({ path }) => fromEdit(replacePath(path)),
})

export function replacePath(written: string): RequestEdit {
  const path = labelPath(written)
  return x => {
    if (x.path === ASTERISK) return
    x.setHeader('X-Replaced-Path', x.path)
    setPath(x, path)
  }
}
