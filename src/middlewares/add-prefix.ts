// AddPrefix of Traefik v1: adds a prefix to the path.

import { ASTERISK, labelPath } from './path.ts'
import type { RequestEdit } from './pipeline.ts'

export function addPrefix(written: string): RequestEdit {
  const prefix = labelPath(written)
  return x => {
    if (x.path === ASTERISK) return
    x.path = prefix + x.path
    if (x.wirePath !== '') x.wirePath = prefix + x.wirePath
  }
}
