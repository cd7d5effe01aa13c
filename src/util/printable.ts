// Makes text from others (labels, names, servers' responses) safe for a terminal and for one line of a log.

/** C0 and C1 controls, line and paragraph separators, and the marks that change the direction of text. */
const CONTROLS = '\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069'
const UNSAFE = new RegExp(`[${CONTROLS}]`, 'g')

/** Replaces control characters and direction marks by `?`. */
export function printable(text: string): string {
  return text.replaceAll(UNSAFE, '?')
}

/** Writes the same characters as `\uXXXX`, which loses nothing within JSON. */
export function escaped(json: string): string {
  return json.replaceAll(UNSAFE, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
