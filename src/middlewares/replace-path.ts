// ReplacePath of Traefik v1: replaces the path by a fixed one and sends the old path in X-Replaced-Path. The query is kept.

import { ASTERISK, labelPath, setPath } from './path.ts'
import type { RequestEdit } from './pipeline.ts'

export function replacePath(written: string): RequestEdit {
  const path = labelPath(written)
  return x => {
    if (x.path === ASTERISK) return
    x.setHeader('X-Replaced-Path', x.path)
    setPath(x, path)
  }
}
