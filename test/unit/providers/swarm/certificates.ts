// Creates certificates at run time, so that no key is in the repository: the X.509 (RFC 5280) needed for a test authority and
// its certificates.

import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

export interface Identity {
  readonly cert: string
  readonly key: string
  readonly privateKey: KeyObject
  readonly name: string
}

const der = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  const length = body.length < 128 ? Buffer.from([body.length]) : Buffer.from([0x82, body.length >> 8, body.length & 255])
  return Buffer.concat([Buffer.from([tag]), length, body])
}
const sequence = (...parts: Buffer[]): Buffer => der(0x30, ...parts)
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'))
const commonName = (name: string): Buffer => sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(name)))))
const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'))

/** A certificate for a name and 127.0.0.1, signed by `issuer`; self-signed and an authority without one. */
export function makeIdentity(name: string, issuer: Identity | null = null): Identity {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  const constraints = sequence(
    oid('551d13'),
    der(0x01, Buffer.from([255])),
    der(0x04, sequence(...(issuer === null ? [der(0x01, Buffer.from([255]))] : []))),
  )
  const names = sequence(oid('551d11'), der(0x04, sequence(der(0x82, Buffer.from(name)), der(0x87, Buffer.from([127, 0, 0, 1])))))
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1 + (Date.now() % 100), name.length])),
    ECDSA_SHA256,
    commonName(issuer?.name ?? name),
    sequence(der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z'))),
    commonName(name),
    spki,
    der(0xa3, sequence(constraints, names)),
  )
  const signature = sign('sha256', body, issuer?.privateKey ?? privateKey)
  const whole = sequence(body, ECDSA_SHA256, der(0x03, Buffer.from([0]), signature))
  const cert = `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), privateKey, name }
}
