// Variables in a stack file, as `docker stack deploy` replaces them from its environment before the swarm sees anything. Pure.
// Spec: https://docs.docker.com/reference/compose-file/interpolation/, the forms that docker/cli knows (template/template.go).

export interface Interpolated {
  readonly text: string
  /** Variables that are not set and have no default: `docker stack deploy` puts nothing in their place, or refuses (`:?`). */
  readonly missing: readonly string[]
  /** False when a `$` begins nothing that can be replaced: `docker stack deploy` refuses the file then. */
  readonly ok: boolean
}

/** A default ends at the next `${` too, so that a text full of them is read once and not over and over. */
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
