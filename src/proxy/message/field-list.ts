// An immutable list of fields that Skein adds to a message: X-Forwarded-*, fields set by middlewares, Set-Cookie. Lists are shared
// between requests of a connection, so a codec may cache its encoding of a list in the list.

export class FieldList {
  /** Names and values in turn. Neither contains CR, LF or NUL: the creator guarantees it. */
  readonly pairs: readonly string[]
  /** The fields as HTTP/1 lines; written by http1/write-head.ts only. '' until the first use. */
  http1Lines = ''

  constructor(...pairs: readonly string[]) {
    this.pairs = pairs
  }

  get isEmpty(): boolean {
    return this.pairs.length === 0
  }

  /** A list with one more field at its end. */
  with(name: string, value: string): FieldList {
    return new FieldList(...this.pairs, name, value)
  }

  /** The first value of a field, by its name as written; undefined when absent. */
  value(name: string): string | undefined {
    const { pairs } = this
    for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === name) return pairs[i + 1]
    return undefined
  }
}

export const NO_FIELDS: FieldList = new FieldList()
