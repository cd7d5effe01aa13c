// The result of reading options: the value, or every mistake as one line each.

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly errors: readonly string[] }
