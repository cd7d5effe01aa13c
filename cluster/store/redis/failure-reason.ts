// Describes why Redis cannot be used, for logs and the status. A description never contains a password.

/** No response within the time limit. The message is shown as it is. */
export class NoResponse extends Error {}

export interface FailureReason {
  readonly text: string
  /** Retry slowly: a quick retry does not help, and some servers count it towards a lockout. */
  readonly slowRetry: boolean
}

const BY_MESSAGE: readonly (readonly [RegExp, string, boolean?])[] = [
  [/\bWRONGPASS\b|invalid password|invalid username-password/i, 'the password (or user name) is wrong', true],
  [/\bNOAUTH\b/, 'it requires a password and none is configured (--redis-password-file)', true],
  [/\bNOPERM\b|user executing the script can't/, 'the user lacks permission for the required commands or keys (ACL)', true],
  [/\bOOM\b/, 'it is full and refuses writes (maxmemory is reached and maxmemory-policy evicts nothing)'],
  [/\bREADONLY\b/, 'it refuses writes: it is now a replica of another Redis (READONLY)'],
  [/\bLOADING\b/, 'it is loading its data from disk (LOADING)'],
  [/\bCLUSTERDOWN\b/, 'its cluster is down: no master serves the keys (CLUSTERDOWN)'],
  [/\bMASTERDOWN\b/, 'it is a replica that has lost its master (MASTERDOWN)'],
  [/\bMISCONF\b/, 'it refuses writes because it cannot save to disk (MISCONF); see its own log'],
  [/\bNOREPLICAS\b/, 'it refuses writes because too few of its replicas are available (min-replicas-to-write)'],
  [/\bMOVED\b|\bASK\b|\bTRYAGAIN\b/, 'the keys are being moved to another node of its cluster'],
  [/\bBUSY\b/, 'a script that does not end blocks it (BUSY)'],
  [/max number of clients/, 'its limit of clients is reached (maxclients)'],
  [/unknown command/i, 'it lacks required commands: expected Redis 6.2 or later, scripts and PUBLISH allowed'],
  [/cluster support disabled/i, 'it is not a Redis Cluster: expected redis:// instead of redis+cluster://'],
  [/DB index is out of range/i, 'it has no database with this number'],
  [
    /wrong version number|packet length too long|unknown protocol/i,
    'it does not use TLS: expected redis:// instead of rediss://',
  ],
  [/SELECT is not allowed in cluster mode/i, 'it is a Redis Cluster: expected redis+cluster:// and database 0'],
]

const BY_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there (connection refused)',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  ETIMEDOUT: 'no connection within the time limit',
  EHOSTUNREACH: 'its address is unreachable (host unreachable)',
  ENETUNREACH: 'its address is unreachable (network unreachable)',
  ENOTFOUND: 'its name does not exist (DNS)',
  EAI_AGAIN: 'its name cannot be resolved now (DNS)',
}

/** @param at the server, or the ones asked for its address; '' when the error names it */
export function describeFailure(error: unknown, at: string, secrets: readonly string[]): FailureReason {
  const message = error instanceof Error ? error.message : String(error)
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
  const where = at === '' ? '' : `${at}: `
  if (error instanceof NoResponse) return { text: `${where}${message}`, slowRetry: false }
  const answer = BY_MESSAGE.find(([pattern]) => pattern.test(message))
  if (answer !== undefined) return { text: `${where}${answer[1]}`, slowRetry: answer[2] === true }
  const known = BY_CODE[code]
  if (known !== undefined) return { text: `${where}${known}`, slowRetry: false }
  if (/connection is closed|stream isn't writeable/i.test(message))
    return { text: `${where}${BY_CODE.ECONNRESET}`, slowRetry: false }
  if (/certificate|altnames|self.signed/i.test(message) || code.startsWith('ERR_TLS'))
    return { text: `${where}its certificate is not accepted (${clean(message, secrets)})`, slowRetry: true }
  return { text: `${where}${clean(message, secrets)}`, slowRetry: false }
}

/** One line of at most 200 characters, without secrets. */
function clean(message: string, secrets: readonly string[]): string {
  let text = message.replaceAll(/[^\x20-\x7e]+/g, ' ')
  for (const secret of secrets) if (secret !== '') text = text.replaceAll(secret, '...')
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}
