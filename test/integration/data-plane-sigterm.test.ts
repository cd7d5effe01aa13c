// SIGTERM to a whole replica that has its configuration from disk only (every manager is dead): requests in flight complete, idle
// connections end with a FIN, no new ones are accepted, and the exit code is 0.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { snapshotOf as sealed } from '../../src/config/merge.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { Backend, get, ok, sleep, snapshotOf } from './harness.ts'
import { fieldOf, RawConnection, refuses, statusOf } from './raw-connection.ts'
import { endAll, ownDirectory, Replica } from './skein-process.ts'

test.after(endAll)

test('SIGTERM: requests in flight complete, idle connections end, exit code 0', async () => {
  const backend = await Backend.start(async (request, connection) => {
    if (request.startLine.includes('/slow')) await sleep(1500)
    connection.write(ok('done'))
  })
  const dataDir = ownDirectory()
  const snapshot = snapshotOf({ app: { servers: [backend.port] } })
  writeFileSync(join(dataDir, 'snapshot.json'), JSON.stringify(sealed(snapshot, { term: 0, leader: '', sequence: 1 })))
  const replica = await Replica.start([
    '--manager',
    `tcp://127.0.0.1:${await freePort()}`,
    '--data-dir',
    dataDir,
    '--grace',
    '2m',
  ])
  await replica.serves()
  const idle = await RawConnection.open(replica.web)
  idle.write(get())
  assert.is(statusOf(await idle.takeMessage()), 200)
  const slow = await Promise.all(Array.from({ length: 5 }, () => RawConnection.open(replica.web)))
  const answers = slow.map(client => {
    client.write(get('/slow'))
    return client.takeMessage()
  })
  await until('all requests are in flight', () => backend.requests.length === 6)
  const started = performance.now()
  const ended = replica.stop()
  await until('it stops', () => replica.out.includes('stopping'))
  for (const end = performance.now() + 30_000; !(await refuses(replica.web)); )
    assert.ok(performance.now() < end, 'it still accepts')
  for (const answer of await Promise.all(answers)) {
    assert.is(answer.body.toString(), 'done')
    assert.is(fieldOf(answer.head, 'connection'), 'close')
  }
  assert.ok(await idle.ends())
  assert.is(idle.error, '')
  assert.is((await ended).code, 0)
  assert.ok(performance.now() - started < 60_000)
  backend.stop()
})

test.run()
