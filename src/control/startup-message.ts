// The log line of a starting replica whose providers have not all delivered a configuration in time: which source is missing, and
// what is served instead. Pure.

export interface StartupState {
  /** Names of the providers without a configuration. */
  readonly pending: readonly string[]
  /** Another provider's configuration is served. */
  readonly serving: boolean
  /** A configuration on disk is served in place of the missing one. */
  readonly stored: boolean
}

export function startupMessage({ pending, serving, stored }: StartupState): string {
  const onlyFiles = pending.length > 0 && pending.every(name => name === 'file')
  const missing = onlyFiles ? 'the services files have not been read yet' : 'no manager has answered yet'
  const available = onlyFiles ? "the managers' configuration" : 'the services files'
  if (serving)
    return stored
      ? `${missing}: serving ${available} and the configuration on disk`
      : `${missing} and there is no usable configuration on disk: serving ${available}`
  return stored
    ? `${missing}: serving the configuration on disk`
    : `${missing} and there is no usable configuration on disk: the entry points open with the first configuration`
}
