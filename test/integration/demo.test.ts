// The demo as a user runs it, on other ports: it is ready in time, every replica serves every sample, no request fails while a manager
// dies, a service is rolled and keys kill replicas, and nothing is left behind after Ctrl-C or after the demo itself was killed.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { call } from '../swarm/cases/target.ts'
import { until } from '../until.ts'

const main = new URL('../../src/main.ts', import.meta.url).pathname
const managerPort = 12_375
/** Time limit of waits in ms; on a busy machine the demo takes many seconds to start. */
const WAIT_MS = 90_000
/** The temporary directory of the demo; files in it after a run were left behind. */
const temporary = mkdtempSync(join(tmpdir(), 'skein-test-demo-'))

interface Demo {
  readonly child: ChildProcess
  readonly ports: readonly number[]
  output(): string
  ended: Promise<number | null>
}

/** `terminal`: in a pseudo terminal (script of util-linux), in which data on standard input are keys. */
async function startDemo(firstPort: number, terminal = false): Promise<Demo> {
  const args = [
    'demo',
    '--port',
    `${firstPort}`,
    '--admin-port',
    `${firstPort + 10}`,
    '--manager-port',
    `${managerPort}`,
    '--seconds',
    // The demo ends after this time; long enough for a slow machine.
    '600',
  ]
  const words = [process.execPath, main, ...args]
  const [command = '', ...rest] = terminal ? ['script', '-qefc', words.join(' '), '/dev/null'] : words
  const child = spawn(command, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: temporary },
  })
  let text = ''
  child.stdout?.on('data', chunk => {
    text += chunk
  })
  child.stderr?.on('data', chunk => {
    text += chunk
  })
  const ended = new Promise<number | null>(resolve => {
    child.on('close', resolve)
  })
  const demo = { child, ports: [0, 1, 2].map(i => firstPort + i), output: () => text, ended }
  const gone = ended.then(() => 'ended')
  const ready = until('the demo to be ready', () => text.includes('ready after') || child.exitCode !== null, WAIT_MS)
  await Promise.race([gone, ready])
  if (!text.includes('ready after')) throw new Error(`the demo ended:\n${text}`)
  return demo
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}

/** All descendants of a process, from /proc. */
function descendants(pid: number): readonly number[] {
  const parents = new Map<number, number>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || !existsSync(`/proc/${entry}/stat`)) continue
    const stat = readStat(entry)
    if (stat !== null) parents.set(Number(entry), stat)
  }
  const found: number[] = []
  for (let added = [pid]; added.length > 0; ) {
    added = [...parents].filter(([, parent]) => added.includes(parent)).map(([child]) => child)
    found.push(...added)
  }
  return found
}

function readStat(pid: string): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return fields[0] === 'Z' ? null : Number(fields[1])
  } catch {
    return null
  }
}

function isAlive(pid: number): boolean {
  return readStat(`${pid}`) !== null
}

interface Page {
  readonly status: number
  readonly task: string
  readonly cookie: string | undefined
}

function get(port: number, host: string, cookie?: string): Promise<Page> {
  return new Promise((resolve, reject) => {
    const headers = { host, ...(cookie === undefined ? {} : { cookie }) }
    const request = httpRequest({ host: '127.0.0.1', port, headers, agent: false }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          task: /^task: (\S+)/m.exec(text)?.[1] ?? '',
          cookie: response.headers['set-cookie']?.[0]?.split(';')[0],
        }),
      )
    })
    request.setTimeout(30_000, () => request.destroy(new Error('no answer for 30 s')))
    request.on('error', reject)
    request.end()
  })
}

/** Opens a WebSocket without a library, waits for the welcome, sends a line and waits for its echo. */
function chat(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const key = Buffer.from('skein-demo-key-16').toString('base64')
    const headers = {
      host: 'chat.localhost',
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': key,
    }
    const request = httpRequest({ host: '127.0.0.1', port, headers, agent: false })
    request.on('error', reject)
    request.on('response', response => reject(new Error(`no upgrade: ${response.statusCode}`)))
    request.on('upgrade', (response, socket, head) => {
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      assert.is(response.headers['sec-websocket-accept'], accept)
      let text = head.toString('latin1')
      const mask = Buffer.from([1, 2, 3, 4])
      const line = Buffer.from('honk').map((byte, i) => byte ^ (mask[i % 4] ?? 0))
      const look = (): void => {
        if (!text.includes('you: honk')) return
        socket.destroy()
        resolve(text)
      }
      socket.on('error', reject)
      socket.on('data', chunk => {
        text += chunk.toString('latin1')
        look()
      })
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | line.length]), mask, line]))
      look()
    })
    request.end()
  })
}

test('a manager dies and a service is rolled under load: no failure; SIGINT leaves nothing', async () => {
  const demo = await startDemo(18_001)
  try {
    for (const port of demo.ports) {
      assert.is((await get(port, 'whoami.localhost')).status, 200)
      assert.is((await get(port, 'nowhere.localhost')).status, 404)
      assert.is((await get(port, 'slow.localhost')).status, 200)
      assert.match(await chat(port), /welcome: you are on chat\.\d/)
    }
    const first = await get(demo.ports[0] ?? 0, 'sticky.localhost')
    assert.ok(first.cookie?.startsWith('goose='), String(first.cookie))
    for (let i = 0; i < 9; i++) assert.is((await get(demo.ports[i % 3] ?? 0, 'sticky.localhost', first.cookie)).task, first.task)

    // Load through all three replicas while whoami is rolled through the Docker API and the leading manager dies (SIGUSR2, like the key m).
    const failures: string[] = []
    let sent = 0
    let loading = true
    const load = demo.ports.map(async port => {
      while (loading) {
        sent++
        const outcome = await get(port, 'whoami.localhost').then(
          page => page.status,
          (error: Error) => error.message,
        )
        if (outcome !== 200) failures.push(`${port}: ${outcome}`)
        await sleep(30)
      }
    })
    const manager = `tcp://127.42.0.1:${managerPort}`
    const service = (await call(manager, 'GET', '/services/whoami')).body as {
      ID: string
      Version: { Index: number }
      Spec: { TaskTemplate: { ForceUpdate: number } }
    }
    const template = { ...service.Spec.TaskTemplate, ForceUpdate: service.Spec.TaskTemplate.ForceUpdate + 1 }
    const path = `/services/${service.ID}/update?version=${service.Version.Index}`
    assert.is((await call(manager, 'POST', path, { ...service.Spec, TaskTemplate: template })).status, 200)
    await sleep(1_000)
    demo.child.kill('SIGUSR2')
    await until('the leader to be killed', () => demo.output().includes('the leader, killed'), WAIT_MS)
    await sleep(20_000)
    await until('300 requests to be sent', () => sent > 300, WAIT_MS)
    loading = false
    await Promise.all(load)
    assert.equal(failures, [])
    const update = (await call(`tcp://127.42.0.2:${managerPort}`, 'GET', '/services/whoami')).body as {
      UpdateStatus?: { State: string }
    }
    assert.ok(update.UpdateStatus !== undefined)

    const processes = descendants(demo.child.pid ?? 0)
    assert.is(processes.length, 3)
    demo.child.kill('SIGINT')
    assert.is(await demo.ended, 0, demo.output())
    assert.equal(processes.filter(isAlive), [])
    assert.equal(readdirSync(temporary), [])
    assert.match(demo.output(), /self-check: \d+ ok, 0 failed/)
  } finally {
    demo.child.kill('SIGKILL')
  }
})

/** The manager that each replica used according to the last output. */
function sourcesIn(output: string): ReadonlyMap<string, string> {
  const told = [...output.matchAll(/((?:edge-\d(?:, )?)+): (?:reads from|listens to) (tcp:\S+)/g)]
  return new Map(told.flatMap(([, names = '', manager = '']) => names.split(', ').map(name => [name, manager] as const)))
}

test('all keys: the leader dies and another one is elected; no request fails', async () => {
  const demo = await startDemo(18_301, true)
  const processes = descendants(demo.child.pid ?? 0)
  /** Presses a key and waits for a line of output. */
  const press = async (key: string, says: RegExp): Promise<RegExpExecArray> => {
    const from = demo.output().length
    demo.child.stdin?.write(key)
    await until('the expected line in the output', () => says.test(demo.output().slice(from)), WAIT_MS).catch(() => {
      throw new Error(`key ${key}: waited for ${says}:\n${demo.output().slice(from)}`)
    })
    return says.exec(demo.output().slice(from))!
  }
  try {
    // Each replica uses another manager once the members have found each other, and only the leader reads.
    await until('three sources in the output', () => new Set(sourcesIn(demo.output()).values()).size === 3, WAIT_MS).catch(() => {
      throw new Error(`expected three managers in use:\n${demo.output()}`)
    })
    assert.match(demo.output(), /edge-1, edge-2, edge-3: edge-\d leads, term \d+/)

    const [, name = ''] = await press('l', /(edge-\d), the leader, killed/)
    const [, next] = await press(
      's',
      /(edge-\d) leads now, in term \d+: all remaining replicas reported it \d+ ms after the kill/,
    )
    assert.is.not(next, name)
    await press('l', new RegExp(`${name} serves`))
    for (const key of ['1', '2', '3']) {
      await press(key, new RegExp(`edge-${key}(, the leader,)? killed`))
      await press(key, new RegExp(`edge-${key} serves`))
    }
    await press('+', /whoami scaled to 4/)
    await press('-', /whoami scaled to 3/)
    await press('r', /rolling whoami/)
    await press('f', /manager m\d, a follower, killed/)
    await press('f', /manager m\d is back/)
    await press('?', /keys {2}l kill the replica that leads/)
    await press('q', /self-check: \d+ ok, 0 failed/)
    assert.is(await demo.ended, 0, demo.output())
    assert.not.match(demo.output(), /failed: /)
    assert.equal(processes.filter(isAlive), [])
    assert.equal(readdirSync(temporary), [])
  } finally {
    demo.child.kill('SIGKILL')
  }
})

test('the demo is killed: its replicas end', async () => {
  const demo = await startDemo(18_101)
  const processes = descendants(demo.child.pid ?? 0)
  assert.is(processes.length, 3)
  demo.child.kill('SIGKILL')
  await until('all processes to end', () => processes.filter(isAlive).length === 0, WAIT_MS)
  assert.equal(readdirSync(temporary), [])
})

test('only the npm process is ended: the demo ends', async () => {
  const ports = `--port 18301 --admin-port 18311 --manager-port ${managerPort} --seconds 40`
  // As with npm: a shell in between that forwards no signal.
  const shell = spawn('sh', ['-c', `'${process.execPath}' '${main}' demo ${ports}; exit 3`], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: temporary, npm_lifecycle_event: 'start' },
  })
  let text = ''
  shell.stdout.on('data', chunk => {
    text += chunk
  })
  // Resolves when no process holds its output open.
  let closed = false
  shell.on('close', () => {
    closed = true
  })
  await until('the first line of output', () => text.includes('starting'), WAIT_MS)
  shell.kill('SIGTERM')
  await until('the process to end', () => closed, WAIT_MS)
  assert.equal(readdirSync(temporary), [])
})

test('a port is in use: named in the error, and nothing is started', async () => {
  const server = createServer()
  await new Promise<void>(resolve => {
    server.listen(18_202, '127.0.0.1', resolve)
  })
  try {
    const demo = await startDemo(18_201).catch((error: Error) => error)
    assert.instance(demo, Error)
    assert.match((demo as Error).message, /port 18202 on 127\.0\.0\.1 is taken/)
  } finally {
    server.close()
  }
})

test.after(() => rmSync(temporary, { recursive: true, force: true }))

test.run()
