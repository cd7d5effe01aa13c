// When the servers of a service count as out of reach, and when not.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { serviceReachability } from '../../../../src/proxy/peers/service-reachability.ts'
import { type FailureCause, UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { noTransport } from '../no-transport.ts'

const NOW = 1000

function server(changes: Partial<UpstreamServer> = {}): UpstreamServer {
  const one = new UpstreamServer(
    { id: 'a', scheme: 'http', host: 'h', port: 1, weight: 1, state: 'active', node: '' },
    'app',
    noTransport,
  )
  return Object.assign(one, changes)
}
const out = (ejectedFor: FailureCause) => server({ ejectedUntilMs: NOW + 1, ejectedFor })

const CASES: readonly (readonly [string, readonly UpstreamServer[], string])[] = [
  ['no server', [], 'none'],
  ['one that is in', [server()], 'usable'],
  ['one in, one out', [out('timeout'), server()], 'usable'],
  ['all out: the first cause', [out('timeout'), out('unreachable')], 'timeout'],
  ['unreachable', [out('unreachable')], 'unreachable'],
  ['silence', [out('silence')], 'silence'],
  ['one that refuses is reached', [out('refused')], 'usable'],
  ['one that refuses helps no request', [out('refused'), out('timeout')], 'timeout'],
  ['one that resets is reached', [out('reset'), out('timeout')], 'usable'],
  ['one that answers 5xx is reached', [out('errors'), out('timeout')], 'usable'],
  ['one in doubt has not failed yet', [out('doubt'), out('timeout')], 'usable'],
  ['the ejection is over', [server({ ejectedUntilMs: NOW, ejectedFor: 'timeout' })], 'usable'],
  ['draining ones do not count', [server({ draining: true }), out('timeout')], 'timeout'],
  ['nor do those without weight', [server({ weight: 0 }), out('timeout')], 'timeout'],
  ['only draining ones', [server({ draining: true })], 'none'],
  ['unhealthy ones have answered', [server({ healthy: false })], 'usable'],
  ['but help no request', [server({ healthy: false }), out('timeout')], 'timeout'],
  ['unhealthy since it cannot be connected to', [server({ healthy: false, checkUnreachable: true })], 'unreachable'],
  [
    'a later failure of an old connection does not change why it is out',
    [server({ ejectedUntilMs: 2000, ejectedFor: 'timeout', lastFailure: 'reset' })],
    'timeout',
  ],
]

for (const [name, servers, expected] of CASES) {
  test(name, () => assert.is(serviceReachability(servers, NOW), expected))
}

test.run()
