// All kinds of middlewares. A new kind is one file and one line here.

import type { Middleware } from '../config/model.ts'
import { ADD_PREFIX } from './add-prefix.ts'
import type { CompiledMiddleware, MiddlewareKind } from './middleware.ts'
import { REPLACE_PATH } from './replace-path.ts'
import { REPLACE_PATH_REGEX } from './replace-path-regex.ts'
import { STRIP_PREFIX } from './strip-prefix.ts'
import { STRIP_PREFIX_REGEX } from './strip-prefix-regex.ts'

export class MiddlewareRegistry {
  /** Features that the kinds provide. */
  readonly features: ReadonlySet<string>
  private readonly kinds = new Map<string, MiddlewareKind>()

  constructor(kinds: readonly MiddlewareKind[]) {
    for (const kind of kinds) this.kinds.set(kind.kind, kind)
    this.features = new Set([...this.kinds.values()].flatMap(({ feature }) => feature ?? []))
  }

  find(kind: string): MiddlewareKind | undefined {
    return this.kinds.get(kind)
  }

  /** Compiles a description that its schema accepts. @returns the reason if there is no such kind, or it does not compile */
  compile(description: Middleware): CompiledMiddleware | string {
    const kind = this.kinds.get(description.kind)
    if (kind === undefined) return `this version of Skein has no middleware '${description.kind}'`
    try {
      return kind.compile(description)
    } catch (error) {
      return (error as Error).message
    }
  }
}

export const MIDDLEWARES = new MiddlewareRegistry([
  STRIP_PREFIX,
  STRIP_PREFIX_REGEX,
  ADD_PREFIX,
  REPLACE_PATH,
  REPLACE_PATH_REGEX,
])
