// Client certificates for tcp:// managers: reads the PEM files of the options and checks, before anything is started, that they
// exist, parse and belong together. A message names the option and the file; the private key's content never appears in one.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { SwarmOptions } from '../../options/options.ts'

export interface ManagerTls {
  readonly ca: string
  /** What the replica shows of itself; null: no client certificate. */
  readonly client: { readonly cert: string; readonly key: string } | null
}

export type LoadedTls = { readonly ok: true; readonly tls: ManagerTls | null } | { readonly ok: false; readonly message: string }

/** What is wrong with the TLS files of the options, or null when they can be used (or none is given). */
export function checkManagerTls(tls: SwarmOptions['tls']): string | null {
  const loaded = loadManagerTls(tls)
  return loaded.ok ? null : loaded.message
}

/** Reads the files; `tls: null` when all three options are absent. */
export function loadManagerTls(tls: SwarmOptions['tls']): LoadedTls {
  if (tls.ca === null && tls.cert === null && tls.key === null) return { ok: true, tls: null }
  if (tls.ca === null)
    return wrong('--manager-tls-ca is missing, expected the authority of the managers beside the client certificate')
  const ca = readPem('ca', tls.ca, readCertificate, 'a certificate in PEM form')
  if (!ca.ok) return wrong(ca.message)
  if (tls.cert === null && tls.key === null) return { ok: true, tls: { ca: ca.text, client: null } }
  if (tls.cert === null) return wrong(`--manager-tls-cert is missing, expected the certificate of the key ${shown(tls.key)}`)
  if (tls.key === null) return wrong(`--manager-tls-key is missing, expected the key of the certificate ${shown(tls.cert)}`)
  const cert = readPem('cert', tls.cert, readCertificate, 'a certificate in PEM form')
  if (!cert.ok) return wrong(cert.message)
  const key = readPem('key', tls.key, readKey, 'an unencrypted private key in PEM form')
  if (!key.ok) return wrong(key.message)
  if (!cert.value.checkPrivateKey(key.value)) {
    return wrong(
      `--manager-tls-key is ${shown(tls.key)}, expected the key of the certificate in --manager-tls-cert (${shown(tls.cert)})`,
    )
  }
  return { ok: true, tls: { ca: ca.text, client: { cert: cert.text, key: key.text } } }
}

type Pem<T> = { readonly ok: true; readonly text: string; readonly value: T } | { readonly ok: false; readonly message: string }

function readPem<T>(part: 'ca' | 'cert' | 'key', path: string, parse: (pem: string) => T | null, expected: string): Pem<T> {
  const named = `--manager-tls-${part} is ${shown(path)}`
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

function shown(path: string | null): string {
  return JSON.stringify(path)
}

function wrong(message: string): LoadedTls {
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
