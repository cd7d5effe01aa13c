// The scenario manager-load counts the Docker API calls in dockerd's log at debug level.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { callsIn } from '../../swarm/scenarios/manager-load.ts'

const LOG = `time="2026-11-21T03:22:01.1Z" level=debug msg="Calling GET /v1.41/tasks?filters=%7B%22service%22%3A%5B%22a%22%5D%7D"
time="2026-11-21T03:22:01.2Z" level=debug msg="Calling HEAD /_ping"
time="2026-11-21T03:22:01.3Z" level=info msg="Calling nobody"
time="2026-11-21T03:22:01.4Z" level=debug msg="Calling GET /networks/abc-1.x?scope=swarm"
time="2026-11-21T03:22:01.5Z" level=debug msg="heartbeat to manager"
`

test('a log with calls: counted by method and path, without version and query', () => {
  assert.equal(callsIn(LOG), ['GET /tasks', 'HEAD /_ping', 'GET /networks/abc-1.x'])
})

test('a log without calls: none', () => {
  assert.equal(callsIn('level=info msg="API listen on /var/run/docker.sock"\n'), [])
})

test.run()
