// Why Redis cannot be used, in words for people at 3 a.m.; never with a password.

/** Nothing came back (in time); the message is for people as it is. */
export class Unanswered extends Error {}

export interface Reason {
  readonly text: string
  /** Asking again soon will not help, and is counted against us by some (lockouts). */
  readonly patient: boolean
}

const ANSWERS: readonly (readonly [RegExp, string, boolean?])[] = [
  [/\bWRONGPASS\b|invalid password|invalid username-password/i, 'the password (or user name) is wrong', true],
  [/\bNOAUTH\b/, 'it wants a password and none is given (--redis-password-file)', true],
  [
    /\bNOPERM\b|user executing the script can't/,
    'the user may not run the commands that are needed, or not on these keys (ACL)',
    true,
  ],
  [/\bOOM\b/, 'it is full and takes no writes (maxmemory is reached and maxmemory-policy evicts nothing)'],
  [/\bREADONLY\b/, 'it takes no writes: it is a replica of another Redis now (READONLY)'],
  [/\bLOADING\b/, 'it has just started and still loads its data from disk'],
  [/\bCLUSTERDOWN\b/, 'its cluster is down: no master answers for the keys (CLUSTERDOWN)'],
  [/\bMASTERDOWN\b/, 'it is a replica that has lost its master (MASTERDOWN)'],
  [/\bMISCONF\b/, 'it takes no writes because it cannot save to disk (MISCONF): its own log says why'],
  [/\bNOREPLICAS\b/, 'it takes no writes because too few of its replicas answer (min-replicas-to-write)'],
  [/\bMOVED\b|\bASK\b|\bTRYAGAIN\b/, 'the keys are being moved to another node of its cluster'],
  [/\bBUSY\b/, 'it is busy with a script that does not end (BUSY)'],
  [/max number of clients/, 'it has as many clients as it may have (maxclients)'],
  [/unknown command/i, 'it lacks commands that are needed: expected Redis 6.2 or later, scripts and PUBLISH allowed'],
  [/cluster support disabled/i, 'it is no Redis Cluster: expected redis:// instead of redis+cluster://'],
  [/DB index is out of range/i, 'it has no database of this number'],
  [
    /wrong version number|packet length too long|unknown protocol/i,
    'it does not speak TLS: expected redis:// instead of rediss://',
  ],
  [/SELECT is not allowed in cluster mode/i, 'it is a Redis Cluster: expected redis+cluster:// and database 0'],
]

const CODES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there (connection refused)',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  ETIMEDOUT: 'no connection within the time limit',
  EHOSTUNREACH: 'there is no way to its address (host unreachable)',
  ENETUNREACH: 'there is no way to its address (network unreachable)',
  ENOTFOUND: 'its name is not known (DNS)',
  EAI_AGAIN: 'its name cannot be looked up now (DNS)',
}

/** `at` names the server, or who was asked for it; '' when the error names it itself. */
export function reasonFor(error: unknown, at: string, secrets: readonly string[]): Reason {
  const message = error instanceof Error ? error.message : String(error)
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
  const where = at === '' ? '' : `${at}: `
  if (error instanceof Unanswered) return { text: `${where}${message}`, patient: false }
  const answer = ANSWERS.find(([pattern]) => pattern.test(message))
  if (answer !== undefined) return { text: `${where}${answer[1]}`, patient: answer[2] === true }
  const known = CODES[code]
  if (known !== undefined) return { text: `${where}${known}`, patient: false }
  if (/connection is closed|stream isn't writeable/i.test(message)) return { text: `${where}${CODES.ECONNRESET}`, patient: false }
  if (/certificate|altnames|self.signed/i.test(message) || code.startsWith('ERR_TLS'))
    return { text: `${where}its certificate is not accepted (${clean(message, secrets)})`, patient: true }
  return { text: `${where}${clean(message, secrets)}`, patient: false }
}

/** One line of bounded length without secrets. */
function clean(message: string, secrets: readonly string[]): string {
  let text = message.replaceAll(/[^\x20-\x7e]+/g, ' ')
  for (const secret of secrets) if (secret !== '') text = text.replaceAll(secret, '...')
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}
