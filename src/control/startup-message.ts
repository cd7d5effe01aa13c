// What the log says when a replica that starts has waited for its sources for some seconds: who is silent, and what is served
// meanwhile. Pure.

export interface StartupState {
  /** Names of the providers that have said nothing yet. */
  readonly silent: readonly string[]
  /** Some other provider has spoken, and is served. */
  readonly serves: boolean
  /** There is a configuration on disk, which is served in the place of what is missing. */
  readonly kept: boolean
}

export function startupMessage({ silent, serves, kept }: StartupState): string {
  const onlyFiles = silent.length > 0 && silent.every(name => name === 'file')
  const who = onlyFiles ? 'the services files have not been read yet' : 'no manager has answered yet'
  const others = onlyFiles ? 'what the managers say' : 'what files describe'
  if (serves)
    return kept
      ? `${who}: serving ${others} and the configuration kept on disk`
      : `${who} and nothing usable is kept on disk: serving ${others}`
  return kept
    ? `${who}: serving the configuration kept on disk`
    : `${who} and nothing usable is kept on disk: the entry points open with the first configuration`
}
