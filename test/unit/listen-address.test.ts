import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostAndPort, listenError } from '../../src/listen-address.ts'

test('addresses as people write them', () => {
  assert.is(hostAndPort('127.0.0.1', 80), '127.0.0.1:80')
  assert.is(hostAndPort('::', 80), '[::]:80')
  assert.is(hostAndPort('', 80), ':80')
})

test('why an address cannot be had, and the code for programs', () => {
  const cases = [
    ['EADDRINUSE', 'the port is taken'],
    ['EACCES', 'the port needs more rights'],
    ['EADDRNOTAVAIL', 'listen EADDRNOTAVAIL'],
  ] as const
  for (const [code, why] of cases) {
    const error = listenError('entry point web', '::1', 80, { code, message: `listen ${code}` })
    assert.is(error.message, `entry point web: cannot listen on [::1]:80: ${why}`)
    assert.is((error as NodeJS.ErrnoException).code, code)
  }
})

test.run()
