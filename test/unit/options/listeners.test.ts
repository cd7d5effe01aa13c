import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Listener, listenerConflicts } from '../../../src/options/listeners.ts'

const at = (what: string, host: string, port: number): Listener => ({ origin: `--${what}`, what, address: { host, port } })

test('an address can be used once, and a wildcard conflicts with every address', () => {
  const web = at('web', '', 80)
  assert.equal(listenerConflicts([web], [at('admin', '127.0.0.1', 9000), at('cluster', '', 7998)]), [])
  for (const host of ['', '::', '0.0.0.0', '127.0.0.1', 'fd00::1']) {
    assert.is(listenerConflicts([web], [at('admin', host, 80)]).length, 1, host)
    assert.is(listenerConflicts([at('web', host, 80)], [web]).length, 1, host)
  }
  assert.equal(listenerConflicts([at('web', '10.0.0.1', 80)], [at('admin', '10.0.0.2', 80)]), [])
})

test('an error names both listeners, and later listeners are compared with each other', () => {
  assert.equal(listenerConflicts([], [at('admin', '::1', 7998), at('cluster', '', 7998), at('relay', '::1', 7998)]), [
    '--cluster is ":7998", expected a different address from admin',
    '--relay is "[::1]:7998", expected a different address from admin',
  ])
})

test('port 0 conflicts with nothing', () => {
  assert.equal(listenerConflicts([at('web', '', 0)], [at('admin', '', 0), at('cluster', '', 0)]), [])
})

test.run()
