// Quotes a user's value for an error message.

/** The value as JSON on one line, cut to 200 characters. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}
