// Makes text that others wrote (labels, names, answers of servers) fit for a terminal and for a line of a log.

/** C0 and C1 controls, line and paragraph separators, and the marks that turn the direction of writing. */
const CONTROLS = '\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069'
const UNFIT = new RegExp(`[${CONTROLS}]`, 'g')

/** Control characters, and those that turn the direction of writing, become `?`. */
export function printable(text: string): string {
  return text.replaceAll(UNFIT, '?')
}

/** The same characters as `\uXXXX`: within JSON nothing is lost. */
export function escaped(json: string): string {
  return json.replaceAll(UNFIT, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
