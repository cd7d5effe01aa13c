// Hostile session data against two running replicas: cookies that are too long, too many, foreign or malformed; keys that are
// empty, huge or binary; a new session per request. Every request is answered, no other session moves, and the session table
// stays within its size.

import { createHmac, randomBytes } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { allServe, startCluster, stopAll } from './clustered-replica.ts'
import { ask, LoopbackTasks, stopTasks } from './loopback-tasks.ts'
import { RawConnection } from './raw-connection.ts'
import { closeManagers, ScriptedManager } from './scripted-manager.ts'
import { endAll } from './skein-process.ts'

const SIZE = 400
const backends = await LoopbackTasks.start(3)
const manager = await ScriptedManager.start(
  ...Object.entries({
    cookie: {
      'traefik.backend.loadbalancer.stickiness': 'true',
      'traefik.backend.loadbalancer.stickiness.cookieName': 'goose',
    },
    learn: { 'skein.sticky.learn': 'cookie:SID', 'skein.sticky.size': String(SIZE) },
    header: { 'skein.sticky.learn': 'header:X-Session-Id' },
    query: { 'skein.sticky.learn': 'query:sid' },
  }).map(([name, labels]) => ({
    name,
    labels: { 'traefik.port': String(backends.port), ...labels },
    tasks: backends.tasks,
  })),
)
const members = await startCluster(['a', 'b'], { manager: manager.endpoint })
const [a, b] = members.map(({ replica }) => replica)
if (a === undefined || b === undefined) throw new Error('two were started')

test.before(async () => {
  for (const host of ['cookie.test', 'learn.test', 'header.test', 'query.test']) await allServe(members, host)
})

test.after(async () => {
  await stopAll(members)
  for (const { replica } of members) assert.not.match(replica.out, /"level":"(?:error|fatal)"/)
  endAll()
  closeManagers()
  stopTasks()
})

/** A cookie set by this cluster, and the task that it names. */
async function ownCookie(): Promise<{ readonly pair: string; readonly task: string }> {
  const { cookies, body } = await ask(a!.web, 'cookie.test')
  assert.match(cookies[0] ?? '', /^goose=[\w-]{22}$/)
  return { pair: cookies[0] as string, task: body }
}

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const random = (length: number): string => randomBytes(length).toString('base64url').slice(0, length)

test('malformed cookies are ignored and replaced by one that both replicas accept', async () => {
  const foreign = createHmac('sha256', 'another secret').update('cookie\0x').digest().subarray(0, 16).toString('base64url')
  const bad = [
    'goose=',
    'goose',
    'goose==',
    `goose=${random(8000)}`,
    `goose=${foreign}`,
    `goose=${'!'.repeat(22)}`,
    `goose=${'A'.repeat(21)}`,
    `goose=${'A'.repeat(23)}`,
    `goose="${random(22)}"`,
    'goose=http://evil.example:80',
    'goose=http://[::1]:80',
    `goose=http://${'x'.repeat(5000)}:80`,
    'goose=http://127.61.0.1:99999999',
    'goose=\x80\xff\xfe',
    'GOOSE=x; goose =y; xgoose=z',
    Array.from({ length: 500 }, () => `goose=${random(8)}`).join('; '),
    `${';'.repeat(3000)}goose=;${' '.repeat(3000)}`,
  ]
  for (const cookie of bad) {
    for (const replica of [a, b]) {
      const answer = await ask(replica.web, 'cookie.test', { cookie })
      assert.is(answer.status, 200, cookie.slice(0, 60))
      assert.match(answer.cookies[0] ?? '', /^goose=[\w-]{22}$/, cookie.slice(0, 60))
      const again = await ask(a === replica ? b.web : a.web, 'cookie.test', { cookie: answer.cookies[0] as string })
      assert.equal([again.body, again.cookies], [answer.body, []])
    }
  }
})

test('a valid cookie counts beside 8 KB of others, not behind hundreds of its name', async () => {
  const { pair, task } = await ownCookie()
  for (const cookie of [
    `big=${random(8000)}; ${pair}`,
    `${pair}; big=${random(8000)}`,
    `goose=${random(22)}; ${pair}`,
    `goose=; goose="; goose=x; ${pair}`,
  ]) {
    assert.is((await ask(b.web, 'cookie.test', { cookie })).body, task, cookie.slice(0, 40))
  }
  const many = Array.from({ length: 400 }, () => 'goose=x').join('; ')
  const answer = await ask(b.web, 'cookie.test', { cookie: `${many}; ${pair}` })
  assert.is(answer.status, 200)
})

test('a head beyond the limit: 431 and the connection closes', async () => {
  const { status } = await ask(a.web, 'cookie.test', { cookie: `goose=${random(80_000)}` })
  assert.is(status, 431)
  await ownCookie()
})

test('empty, huge and binary keys are answered, one session on both replicas', async () => {
  const sends = async (port: number, host: string, line: string, target = '/'): Promise<string> => {
    const client = await RawConnection.open(port)
    client.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${line}Connection: close\r\n\r\n`)
    const answer = await client.takeMessage()
    client.destroy()
    return `${answer.startLine.split(' ')[1]} ${answer.body.toString()}`
  }
  const cases: readonly { readonly session: boolean; readonly host: string; readonly line: string; readonly target?: string }[] =
    [
      { session: false, host: 'learn.test', line: 'Cookie: SID=\r\n' },
      { session: false, host: 'learn.test', line: 'Cookie: SID=""\r\n' },
      { session: true, host: 'learn.test', line: `Cookie: SID=${'x'.repeat(8000)}\r\n` },
      { session: true, host: 'learn.test', line: 'Cookie: SID=\x80\x81\xfe\xff\r\n' },
      { session: true, host: 'learn.test', line: 'Cookie: SID=__proto__\r\n' },
      { session: true, host: 'learn.test', line: 'Cookie: SID=a; SID=b; SID=c\r\n' },
      { session: false, host: 'header.test', line: 'X-Session-Id:\r\n' },
      { session: true, host: 'header.test', line: `X-Session-Id: ${'y'.repeat(8000)}\r\n` },
      { session: true, host: 'header.test', line: 'X-Session-Id: \xff\xfe\xfd\r\n' },
      { session: true, host: 'header.test', line: 'X-Session-Id: one\r\nX-Session-Id: two\r\n' },
      { session: false, host: 'query.test', line: '', target: '/?sid=' },
      { session: false, host: 'query.test', line: '', target: '/?sid' },
      { session: true, host: 'query.test', line: '', target: `/?sid=${'z'.repeat(8000)}` },
      { session: true, host: 'query.test', line: '', target: '/?sid=%00%ff%zz%' },
      { session: true, host: 'query.test', line: '', target: '/?x&&=&sid=a&sid=b' },
    ]
  for (const { session, host, line, target } of cases) {
    const what = JSON.stringify([host, line.slice(0, 60), target?.slice(0, 60)])
    const tasks = new Set<string>()
    for (const port of [a.web, b.web, a.web, b.web]) tasks.add(await sends(port, host, line, target))
    for (const task of tasks) assert.match(task, /^200 127\.61\./, what)
    if (session) assert.is(tasks.size, 1, `${what} ${[...tasks]}`)
  }
  // A control character is not valid in a field value.
  assert.match(await sends(a.web, 'header.test', 'X-Session-Id: a\x00b\r\n'), /^400 /)
})

test('a new session per request: the table stays bounded, used sessions stay', async () => {
  // The application creates the session on the task that it asks, not on the one that the hash of the id selects.
  backends.answer = (address, asked, response) => {
    const id = /^\/login\?(.+)$/.exec(asked.url ?? '')?.[1]
    if (id !== undefined) response.setHeader('Set-Cookie', `SID=${id}; Path=/`)
    response.end(address)
  }
  const place = async (port: number, id: string): Promise<string> => {
    const { status, body } = await ask(port, 'learn.test', { cookie: `SID=${id}` })
    assert.is(status, 200)
    return body
  }
  const at = new Map<string, string>()
  for (let i = 0; i < 40; i++) {
    const id = `user-${i}-${random(12)}`
    at.set(id, (await ask(a.web, 'learn.test', {}, `/login?${id}`)).body)
  }
  const known = async (): Promise<number> =>
    Object.entries((await b.api('state')).sessions).find(([service]) => service.includes('learn'))?.[1] ?? 0
  await until('the other replica has heard of all', async () => (await known()) >= at.size, 60_000, { everyMs: 50 })
  // The worker receives the sessions shortly after control.
  await sleep(200)
  for (const [id, task] of at) for (const port of [b.web, a.web]) assert.is(await place(port, id), task)
  for (let sent = 0; sent < 4000; sent += 50) {
    const port = sent % 100 === 0 ? a.web : b.web
    await Promise.all(Array.from({ length: 50 }, () => place(port, random(24))))
  }
  for (const replica of [a, b]) {
    const { sessions, store } = await replica.api('state')
    const learned = Object.entries(sessions).find(([service]) => service.includes('learn'))?.[1] ?? 0
    assert.ok(learned >= at.size && learned <= SIZE, `${learned} sessions`)
    assert.ok(store.entries < 10 * SIZE, `${store.entries} entries`)
  }
  for (const [id, task] of at) for (const port of [a.web, b.web]) assert.is(await place(port, id), task)
  assert.is((await ask(b.web, 'cookie.test')).status, 200)
})

test.run()
