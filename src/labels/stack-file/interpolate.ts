// Replaces variables in a stack file as `docker stack deploy` does from its environment. Pure. Specification:
// https://docs.docker.com/reference/compose-file/interpolation/, the forms of docker/cli (template/template.go).

export interface Interpolated {
  readonly text: string
  /** Variables without value and default: `docker stack deploy` inserts nothing, or fails (`:?`). */
  readonly missing: readonly string[]
  /** False when a `$` starts no valid form: `docker stack deploy` rejects the file. */
  readonly ok: boolean
}

/** A default ends at the next `${`, so that a text full of them is scanned once. */
const DOLLAR = /\$(?:(\$)|([a-z_][a-z0-9_]*)|\{([a-z_][a-z0-9_]*)(?:(:?[-?])((?:[^}$]|\$(?!\{))*))?\})?/gi

/** Replaces `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`, `${NAME?message}` and `$$`. */
export function interpolate(text: string, env: Readonly<Record<string, string | undefined>>): Interpolated {
  const missing: string[] = []
  let ok = true
  const replaced = text.replaceAll(DOLLAR, (whole, dollar?: string, plain?: string, braced?: string, mark = '', rest = '') => {
    if (dollar !== undefined) return '$'
    const name = plain ?? braced
    if (name === undefined) {
      ok = false
      return whole
    }
    const value = Object.hasOwn(env, name) ? env[name] : undefined
    if (value !== undefined && (value !== '' || !mark.startsWith(':'))) return value
    if (mark.endsWith('-')) return rest
    missing.push(name)
    return ''
  })
  return { text: replaced, missing, ok }
}
