// Client certificates for tcp:// managers: reads the PEM files of the options and checks, before anything is started, that they exist, parse and
// belong together. A message names the option and the file; the private key's content never appears in one.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { SwarmOptions } from '../../options/options.ts'

export interface ManagerTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
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
  const missing = (['ca', 'cert', 'key'] as const).filter(part => tls[part] === null)
  if (missing.length > 0) {
    const names = missing.map(optionName).join(', ')
    return wrong(`TLS for managers needs all three files: ${names} not given`)
  }
  const texts: Record<'ca' | 'cert' | 'key', string> = { ca: '', cert: '', key: '' }
  for (const part of ['ca', 'cert', 'key'] as const) {
    const path = tls[part] ?? ''
    try {
      texts[part] = readFileSync(path, 'utf8')
    } catch (error) {
      return wrong(
        `${optionName(part)} ${path}: cannot be read (${error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'})`,
      )
    }
  }
  const ca = readCertificate(texts.ca)
  if (ca === null) return wrong(`${optionName('ca')} ${tls.ca}: expected a certificate in PEM form`)
  const cert = readCertificate(texts.cert)
  if (cert === null) return wrong(`${optionName('cert')} ${tls.cert}: expected a certificate in PEM form`)
  const key = readKey(texts.key)
  if (key === null) return wrong(`${optionName('key')} ${tls.key}: expected an unencrypted private key in PEM form`)
  if (!cert.checkPrivateKey(key)) {
    return wrong(`${optionName('key')} ${tls.key}: is not the key of the certificate in ${optionName('cert')} ${tls.cert}`)
  }
  return { ok: true, tls: texts }
}

function wrong(message: string): LoadedTls {
  return { ok: false, message }
}

function optionName(part: 'ca' | 'cert' | 'key'): string {
  return `swarm.tls.${part}`
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
