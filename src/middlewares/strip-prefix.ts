// PathStrip and PathPrefixStrip of Traefik v1: removes the first matching prefix from the path and sends it in
// X-Forwarded-Prefix, replacing the client's field of that name. A prefix is plain text: `/api` also matches `/apix`, which
// becomes `/x`.

import { pathLiteral } from '../rules/literals.ts'
import { ASTERISK, cutPath } from './path.ts'
import type { RequestEdit } from './pipeline.ts'

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
