// Normalises host names and paths of rules to the form in which requests carry them: hosts in lower case and ASCII, paths
// percent-encoded where a request line requires it. Nothing is decoded: `/a%2Fb` in a rule is `/a%2Fb` in the request.

import { domainToASCII } from 'node:url'

export type Literal = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string }

const HOST = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])$/

/** A host without port. The message of a failure says what was expected. */
export function hostLiteral(written: string): Literal {
  if (written.includes('{')) return { ok: false, message: `a host name; use HostRegexp for '${written}'` }
  if (written.includes('*')) {
    return { ok: false, message: `a host name; write HostRegexp:{name:[^.]+}${written.replace(/^.*\*/, '')} for '${written}'` }
  }
  let text = written.toLowerCase().replace(/\.$/, '')
  if (/[^\x00-\x7f]/.test(text)) text = domainToASCII(text)
  if (/^[^[]*:[0-9]+$/.test(text) || /\]:[0-9]+$/.test(text)) {
    return { ok: false, message: `a host name without port (ports are never compared); found '${written}'` }
  }
  if (text.length > 255 || !HOST.test(text)) return { ok: false, message: `a host name; found '${written}'` }
  return { ok: true, text }
}

/**
 * A path as requests carry it: characters that a request line does not allow (spaces, controls, non-ASCII, `?`, `#`) are
 * percent-encoded.
 */
export function pathLiteral(written: string): string {
  return written.replace(/[^\x21-\x7e]+|[?#]/gu, found => [...Buffer.from(found)].map(percent).join(''))
}

function percent(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}
