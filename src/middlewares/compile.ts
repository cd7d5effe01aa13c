// From a middleware's description (config/model.ts) to the function that runs. One line per kind: each lives in a file of its
// own.

import type { Middleware } from '../config/model.ts'
import { addPrefix } from './add-prefix.ts'
import type { RequestEdit } from './pipeline.ts'
import { replacePath } from './replace-path.ts'
import { replacePathRegex } from './replace-path-regex.ts'
import { stripPrefix } from './strip-prefix.ts'
import { stripPrefixRegex } from './strip-prefix-regex.ts'

/** Compiles a middleware. Never throws: a pattern that does not compile makes an edit that does nothing. */
export function compileMiddleware(m: Middleware): RequestEdit {
  switch (m.kind) {
    case 'stripPrefix':
      return stripPrefix(m.prefixes)
    case 'stripPrefixRegex':
      return stripPrefixRegex(m.patterns)
    case 'addPrefix':
      return addPrefix(m.prefix)
    case 'replacePath':
      return replacePath(m.path)
    case 'replacePathRegex':
      return replacePathRegex(m.pattern, m.replacement)
  }
}
