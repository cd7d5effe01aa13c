// The cluster secret is rotated as documented in docs/operating.md, in three rolls of two replicas, while clients alternate
// between the edges: sessions stay on their server, whether used all the time or only after the last roll.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../free-port.ts'
import { ClusteredReplica, type MemberSketch, stopAll } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { tomlOf } from './services-files.ts'
import { endAll, ownDirectory } from './skein-process.ts'

const OLD = 'the old secret of a cluster in a test'
const NEW = 'the new secret of a cluster in a test'
const SESSIONS = 24
const names = ['a', 'b'] as const

const carts = await LoopbackTasks.start(4)
const shops = await LoopbackTasks.start(4)
const file = join(ownDirectory(), 'services.toml')
writeFileSync(
  file,
  `${tomlOf({ name: 'cart', tasks: carts }, { name: 'shop', tasks: shops })}${[
    '[backends.cart.skein.sticky]',
    '  learn = "cookie:sid"',
    '[backends.shop.loadBalancer.stickiness]',
    '  cookieName = "shop"',
    '',
  ].join('\n')}`,
)
const gossipPorts = await Promise.all(names.map(() => freePort()))

function start(n: number, secrets: readonly string[], more: Partial<MemberSketch> = {}): Promise<ClusteredReplica> {
  return ClusteredReplica.start({
    name: names[n]!,
    port: gossipPorts[n]!,
    peers: gossipPorts.map(port => `127.0.0.1:${port}`),
    secret: secrets.join('\n'),
    ...more,
    more: ['--services-file', file, ...(more.more ?? [])],
  })
}

/** A session of each kind and its history. */
class Session {
  readonly host: 'cart' | 'shop'
  cookie: string
  server = ''
  breaks = 0
  requests = 0

  constructor(host: 'cart' | 'shop', n: number) {
    this.host = host
    this.cookie = host === 'cart' ? `sid=session-${n}` : ''
  }

  async use(web: number): Promise<void> {
    const answer = await ask(web, `${this.host}.test`, this.cookie === '' ? {} : { cookie: this.cookie })
    // The replica was stopping: the client tries another one.
    if (answer.status === 0) return
    assert.is(answer.status, 200)
    this.requests++
    if (this.host === 'shop' && answer.cookies.length > 0) this.cookie = answer.cookies[0]!
    if (this.server !== '' && this.server !== answer.body) this.breaks++
    this.server = answer.body
  }
}

test.after(() => {
  endAll()
  stopTasks()
})

test('three rolls from one secret to another: all sessions stay on their server', async () => {
  let members = await Promise.all(names.map((_, n) => start(n, [OLD])))
  for (const member of members) {
    await member.agreesWith(2)
    await member.replica.answers('cart.test', 200)
  }
  const sessions = Array.from({ length: SESSIONS }, (_, n) => new Session(n % 2 === 0 ? 'cart' : 'shop', n))
  const idle = Array.from({ length: SESSIONS }, (_, n) => new Session(n % 2 === 0 ? 'cart' : 'shop', SESSIONS + n))
  // Twice, because a session that came back is kept for its whole time to live.
  for (const { replica } of members) for (const session of [...sessions, ...idle]) await session.use(replica.web)

  let up = members
  let going = true
  const load = (async () => {
    for (let turn = 0; going; turn++) {
      const now = up
      await Promise.all(sessions.map((session, n) => session.use(now[(turn + n) % now.length]!.replica.web)))
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })()
  try {
    for (const secrets of [[OLD, NEW], [NEW, OLD], [NEW]]) {
      for (const n of names.keys()) {
        const old = members[n]!
        up = members.filter(member => member !== old)
        assert.is((await old.replica.stop()).code, 0)
        const fresh = await start(n, secrets)
        await fresh.agreesWith(2)
        await fresh.replica.serves()
        members = members.map(member => (member === old ? fresh : member))
        up = members
      }
    }
  } finally {
    going = false
    await load
  }
  for (const { replica } of members) for (const session of [...sessions, ...idle]) await session.use(replica.web)
  const kinds = { cart: 0, shop: 0 }
  for (const { host, breaks } of [...sessions, ...idle]) kinds[host] += breaks
  const requests = sessions.reduce((sum, session) => sum + session.requests, 0)
  assert.ok(requests > (100 * SESSIONS) / 10, `${requests} requests`)
  assert.equal(kinds, { cart: 0, shop: 0 })
  await stopAll(members)
})

test.run()
