// Puts one fixed path in place of the request's and tells the server the old one in X-Replaced-Path (ReplacePath of Traefik v1).
// The query stays.

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
