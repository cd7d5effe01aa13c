// Reads the client certificate for tcp:// managers from the PEM files of the options, and checks at the start that the files
// exist, parse and belong together. Messages name the option and the file, never the content of the private key.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { SwarmOptions } from '../../options/options.ts'

export interface ManagerTls {
  readonly ca: string
  /** null: no client certificate. */
  readonly client: { readonly cert: string; readonly key: string } | null
}

export type LoadedTls = { readonly ok: true; readonly tls: ManagerTls | null } | { readonly ok: false; readonly message: string }

/** Checks the TLS files of the options. Returns a message, or null when they are usable or none is given. */
export function checkManagerTls(tls: SwarmOptions['tls']): string | null {
  const loaded = loadManagerTls(tls)
  return loaded.ok ? null : loaded.message
}

/** Reads the files; `tls: null` when all three options are absent. */
export function loadManagerTls(tls: SwarmOptions['tls']): LoadedTls {
  if (tls.ca === null && tls.cert === null && tls.key === null) return { ok: true, tls: null }
  if (tls.ca === null)
    return failure('--manager-tls-ca is missing, expected the authority of the managers beside the client certificate')
  const ca = readPem('ca', tls.ca, readCertificate, 'a certificate in PEM form')
  if (!ca.ok) return failure(ca.message)
  if (tls.cert === null && tls.key === null) return { ok: true, tls: { ca: ca.text, client: null } }
  if (tls.cert === null) return failure(`--manager-tls-cert is missing, expected the certificate of the key ${quoted(tls.key)}`)
  if (tls.key === null) return failure(`--manager-tls-key is missing, expected the key of the certificate ${quoted(tls.cert)}`)
  const cert = readPem('cert', tls.cert, readCertificate, 'a certificate in PEM form')
  if (!cert.ok) return failure(cert.message)
  const key = readPem('key', tls.key, readKey, 'an unencrypted private key in PEM form')
  if (!key.ok) return failure(key.message)
  if (!cert.value.checkPrivateKey(key.value)) {
    return failure(
      `--manager-tls-key is ${quoted(tls.key)}, expected the key of the certificate in --manager-tls-cert (${quoted(tls.cert)})`,
    )
  }
  return { ok: true, tls: { ca: ca.text, client: { cert: cert.text, key: key.text } } }
}

type Pem<T> = { readonly ok: true; readonly text: string; readonly value: T } | { readonly ok: false; readonly message: string }

function readPem<T>(part: 'ca' | 'cert' | 'key', path: string, parse: (pem: string) => T | null, expected: string): Pem<T> {
  const named = `--manager-tls-${part} is ${quoted(path)}`
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    const why = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`
    return { ok: false, message: `${named} and ${why}, expected ${expected}` }
  }
  const value = parse(text)
  return value === null
    ? { ok: false, message: `${named} and holds something else, expected ${expected}` }
    : { ok: true, text, value }
}

function quoted(path: string | null): string {
  return JSON.stringify(path)
}

function failure(message: string): LoadedTls {
  return { ok: false, message }
}

function readCertificate(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem)
  } catch {
    return null
  }
}

function readKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem)
  } catch {
    return null
  }
}
