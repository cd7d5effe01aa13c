import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LiveServer } from '../../../src/proxy/live-server.ts'
import { ServerWatch } from '../../../src/proxy/server-watch.ts'

function setUp() {
  const told: string[] = []
  const watch = new ServerWatch(
    1000,
    {
      onEjection: (server, out, cause) => void told.push(`${server.id} ${out ? 'out' : 'in'} ${cause}`),
      onWord: (server, cause) => void told.push(`${server.id} ${cause}`),
      onAsk: server => void told.push(`${server.id} asked`),
      onFound: server => void told.push(`${server.id} found`),
    },
    { onVanished() {}, onDoubt() {}, hasPeers: () => true },
  )
  const sketch = { scheme: 'http', host: '127.0.0.1', port: 9, weight: 1, node: '', state: 'active' } as const
  const servers = ['one', 'two'].map(id => new LiveServer({ ...sketch, id }, 'app'))
  for (const server of servers) server.family = { servers }
  const isOut = (server: LiveServer) => server.ejectedUntilMs > performance.now()
  return { told, watch, servers: servers as [LiveServer, LiveServer], isOut }
}

const word = (cause: string) => ({ cause, forMs: 5_000, times: 1, by: '' })

test('another worker: time lets in what was out for its answers, a connect what took none, neither the other', () => {
  const { watch, servers, isOut } = setUp()
  const [one] = servers
  watch.failed(one, 'refused')
  watch.seenBeside(one, false, word('time'))
  assert.ok(isOut(one), 'it refuses connects all the same')
  watch.seenBeside(one, false, word('probe'))
  assert.not.ok(isOut(one))
  watch.seenBeside(one, true, word('errors'))
  watch.seenBeside(one, false, word('connect'))
  assert.ok(isOut(one), 'that it takes connects is no news')
  watch.seenBeside(one, false, word('time'))
  assert.not.ok(isOut(one))
})

test('late answers of another worker leave half of the servers', () => {
  const { watch, servers, isOut } = setUp()
  for (const server of servers) watch.seenBeside(server, true, word('late'))
  assert.equal(servers.map(isOut), [true, false])
})

test.run()
