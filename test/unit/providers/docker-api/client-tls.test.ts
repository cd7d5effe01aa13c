// TLS files of the options: valid combinations, and the message for each mistake.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkManagerTls } from '../../../../src/providers/docker-api/client-tls.ts'
import { makeIdentity } from '../swarm/certificates.ts'

const directory = mkdtempSync(join(tmpdir(), 'skein-'))
const file = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}
const authority = makeIdentity('authority')
const [one, two] = [makeIdentity('one', authority), makeIdentity('two', authority)]
const ca = file('ca.pem', authority.cert)
const cert = file('cert.pem', one.cert)
const key = file('key.pem', one.key)
const otherKey = file('other.pem', two.key)
const rubbish = file('rubbish.pem', 'not a certificate')

test.after(() => rmSync(directory, { recursive: true }))

test('no file, the authority alone, and all three are valid', () => {
  assert.is(checkManagerTls({ ca: null, cert: null, key: null }), null)
  assert.is(checkManagerTls({ ca, cert: null, key: null }), null)
  assert.is(checkManagerTls({ ca, cert, key }), null)
})

for (const [name, tls, expected] of [
  [
    'a key that is not the certificate’s',
    { ca, cert, key: otherKey },
    /--manager-tls-key is ".*other\.pem", expected the key of the certificate in --manager-tls-cert \(".*cert\.pem"\)/,
  ],
  [
    'a file that is missing',
    { ca: '/nowhere/ca.pem', cert, key },
    /--manager-tls-ca is "\/nowhere\/ca\.pem" and there is no such file, expected a certificate/,
  ],
  [
    'a file that is no certificate',
    { ca, cert: rubbish, key },
    /--manager-tls-cert is ".*rubbish\.pem" and holds something else, expected a certificate/,
  ],
  [
    'a file that is no key',
    { ca, cert, key: cert },
    /--manager-tls-key is ".*cert\.pem" and holds something else, expected an unencrypted private key/,
  ],
  ['a certificate without its key', { ca, cert, key: null }, /--manager-tls-key is missing/],
  ['a key without its certificate', { ca, cert: null, key }, /--manager-tls-cert is missing/],
  ['no authority', { ca: null, cert, key }, /--manager-tls-ca is missing/],
] as const) {
  test(`${name} is reported by option and file`, () => {
    const message = checkManagerTls(tls)
    assert.match(message ?? '', expected)
    assert.not.match(message ?? '', /PRIVATE/)
  })
}

test.run()
