// Two builds of Skein in one cluster. The newer one is this build whose replacePath needs a feature (a preloaded hook edits one
// line of its source); it leads. The older one is this build as it is, or the checkout that SKEIN_OLDER_CHECKOUT names. It must
// answer 503 for the router with the feature and serve all others.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { ClusteredReplica } from './clustered-replica.ts'
import { LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { endAll, ownDirectory } from './skein-process.ts'

const FEATURE = 'replacePath.2'
const OLDER = process.env.SKEIN_OLDER_CHECKOUT

/** Runs in every thread of the newer replica before its own code. */
const HOOK = `
import { registerHooks } from 'node:module'
registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    if (!url.endsWith('/src/middlewares/replace-path.ts')) return loaded
    const source = String(loaded.source).replace('feature: null', "feature: '${FEATURE}'")
    if (!source.includes('${FEATURE}')) throw new Error('the hook found nothing to edit')
    return { ...loaded, source }
  },
})`

test.after(() => {
  endAll()
  stopTasks()
})

test('an older replica answers 503 for a router that needs a newer feature, and serves all others', async () => {
  const tasks = await LoopbackTasks.start(1)
  const file = join(ownDirectory(), 'services.toml')
  writeFileSync(
    file,
    `[backends.app.servers.one]\n  url = "http://${tasks.addresses[0]}:${tasks.port}"\n` +
      ['plain', 'newer']
        .map(
          name =>
            `[frontends.${name}]\n  backend = "app"\n  [frontends.${name}.routes.host]\n` +
            `  rule = "Host:${name}.test${name === 'newer' ? ';ReplacePath:/fixed' : ''}"\n`,
        )
        .join(''),
  )
  const ports = await Promise.all([0, 1].map(() => freePort()))
  const peers = ports.map(port => `127.0.0.1:${port}`)
  const more = ['--services-file', file]
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(HOOK)}` }
  const newer = await ClusteredReplica.start({ name: 'newer', port: ports[0]!, peers, more, env })
  await newer.replica.answers('newer.test', 200)
  const older = await ClusteredReplica.start({
    name: 'older',
    port: ports[1]!,
    peers,
    more,
    ...(OLDER === undefined ? {} : { main: join(OLDER, 'src/main.ts') }),
  })
  await older.agreesWith(2)
  assert.is((await older.status()).leader?.name, 'newer')
  await older.replica.answers('newer.test', 503)
  await older.replica.answers('plain.test', 200)
  assert.is((await newer.replica.get('newer.test')).status, 200)
  assert.is((await newer.replica.get('plain.test')).status, 200)
  if (OLDER !== undefined) return
  await older.replica.logs(/feature 'replacePath\.2'; this replica answers 503 for the router/)
  await until('its API reports why', async () =>
    JSON.stringify((await older.replica.api('snapshot')).errors).includes(`feature '${FEATURE}'`),
  )
})

test.run()
