// The demo's page over HTTP and in a browser: each click shows its edge and its backend, sessions stay on every edge, the breaker opens on
// all edges, an edge may die, and the page fits a phone. The browser is Chromium; without it that part is left out.

import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Browser, findChromium } from './browser.ts'

const main = new URL('../../src/main.ts', import.meta.url).pathname
const ports = [18_501, 18_502, 18_503]
const page = `http://localhost:${ports[0]}/`
const chromium = findChromium()
let demo: ChildProcess
let output = ''
let browser: Browser | null = null

test.before(async () => {
  const args = ['demo', '--port', String(ports[0]), '--admin-port', '18511', '--manager-port', '12376', '--seconds', '110']
  demo = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  demo.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  for (const end = performance.now() + 90_000; !output.includes('ready after'); await sleep(50)) {
    if (performance.now() > end || demo.exitCode !== null) throw new Error(`the demo is not ready: ${output}`)
  }
})

test.after(async () => {
  await browser?.close()
  const ended = new Promise(resolve => demo.once('close', resolve))
  demo.kill('SIGTERM')
  await ended
})

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

test('the page: self-contained, and connects only to the edges', async () => {
  for (const port of ports) {
    const answer = await fetch(`http://127.0.0.1:${port}/`)
    assert.is(answer.status, 200)
    const policy = answer.headers.get('content-security-policy') ?? ''
    assert.match(policy, /^default-src 'none'/)
    const html = await answer.text()
    for (const [url] of html.matchAll(/(?:https?:)?\/\/[\w.-]+/g)) assert.unreachable(`it names ${url}`)
    for (const own of ports) assert.match(html, `"port":${own}`)
  }
  assert.is((await fetch(`${page}frame`)).status, 200)
  assert.is((await fetch(`${page}nothing`)).status, 404)
})

test('requests of the page: answers name the edge and the backend', async () => {
  for (const [i, port] of ports.entries()) {
    for (const path of ['turns', 'sticky', 'shop', 'fragile']) {
      const answer = await fetch(`http://localhost:${port}/${path}`, { headers: { accept: 'application/json' } })
      const said = (await answer.json()) as { task: string; edge: string }
      assert.is(said.edge, `edge-${i + 1}`)
      assert.match(said.task, /^\w+\.\d$/)
    }
  }
})

test('POST /harm: works for the page, not for a page of another origin', async () => {
  const state = async (init: RequestInit = {}): Promise<unknown> => (await fetch(`${page}harm`, init)).json()
  assert.equal(await state({ method: 'POST', body: 'broken' }), { broken: false })
  assert.equal(await state({ method: 'POST', body: 'broken', headers: { 'x-demo': '1' } }), { broken: true })
  assert.equal(await state({ method: 'POST', body: 'x'.repeat(100_000), headers: { 'x-demo': '1' } }), { broken: false })
})

interface Row {
  readonly edge: string
  readonly backend: string
  readonly session: string
  readonly note: string
}

async function rows(): Promise<Row[]> {
  const read = '[...document.querySelectorAll("#log tr")].map(row => [...row.cells].map(cell => cell.textContent.trim()))'
  const cells = (await browser?.evaluate(read)) as string[][]
  return cells.map(([, edge = '', backend = '', session = '', note = '']) => ({ edge, backend, session, note }))
}

/** Clicks by keys, one after another; resolves with their rows, oldest first. */
async function clicks(...keys: readonly string[]): Promise<Row[]> {
  for (const key of keys) {
    const before = (await rows()).length
    await browser?.press(key)
    await browser?.until(`document.querySelectorAll('#log tr').length > ${before}`)
  }
  return (await rows()).slice(0, keys.length).reverse()
}

/** Chooses a service with the keyboard only. */
async function choose(mode: string): Promise<void> {
  await browser?.evaluate(`document.querySelector('input[value=${mode}]').focus()`)
  await browser?.press(' ')
  await browser?.until(`document.querySelector('input[value=${mode}]').checked`)
}

const EDGES = ['edge-1', 'edge-2', 'edge-3']

if (chromium === null) console.log('left out: the demo page in a browser (it needs chromium)')
else {
  test('mode by turns: each click shows its edge and the change of backend', async () => {
    browser = await Browser.start(chromium)
    await browser.open(page)
    const seen = await clicks('1', '2', '3', '1')
    assert.equal(
      seen.map(({ edge }) => edge),
      [...EDGES, 'edge-1'],
    )
    for (const [i, { backend, note }] of seen.entries())
      assert.is(note, i > 0 && seen[i - 1]?.backend !== backend ? 'backend changed' : '')
    assert.equal(browser.complaints, [])
  })

  for (const mode of ['sticky', 'shop']) {
    test(`mode ${mode}: a session stays on its backend through every edge`, async () => {
      await choose(mode)
      const seen = await clicks('1', '2', '3', '2', '1', '3')
      assert.is(new Set(seen.map(({ backend }) => backend)).size, 1, JSON.stringify(seen))
      assert.is(new Set(seen.map(({ session }) => session)).size, 1)
      assert.is.not(seen[0]?.session, '-')
      for (const { note } of seen) assert.is(note, '')
      await browser?.press('n')
      const [fresh] = await clicks('2')
      assert.is.not(fresh?.session, seen[0]?.session)
      assert.is(fresh?.note, '')
    })
  }

  test('mode breaker: broken backends, then 503 by Skein on every edge; repaired: 200 again', async () => {
    await choose('fragile')
    await browser?.press('b')
    await browser?.until(`document.getElementById('harm').getAttribute('aria-pressed') === 'true'`)
    // On a slow machine twenty requests may pass before the breaker opens.
    for (let opens = false; !opens; ) {
      const before = (await rows()).length
      await browser?.press('t')
      await browser?.until(`document.querySelectorAll('#log tr').length >= ${before + 20} && !busy`)
      opens = (await rows()).slice(0, 20).some(({ note }) => note.startsWith('503 by Skein'))
      assert.ok(before < 120, JSON.stringify(await rows()))
    }
    const opened = await clicks(...['1', '2', '3'])
    for (const { note, backend } of opened) assert.equal([note.replace(/, retry in \d+ s/, ''), backend], ['503 by Skein', '-'])
    assert.match(output, 'the breaker of fragile is open')
    await browser?.press('b')
    await browser?.until(`document.getElementById('harm').getAttribute('aria-pressed') === 'false'`)
    const end = performance.now() + 30_000
    for (let served = 0; served < 3; ) {
      for (const { backend } of await clicks('1', '2', '3')) served = backend === '-' ? 0 : served + 1
      assert.ok(performance.now() < end, 'it did not recover within 30 s')
      await sleep(200)
    }
  })

  test('an edge dies: shown; the session continues through the other edges', async () => {
    await choose('shop')
    const [before] = await clicks('2')
    process.kill(replicaPid('edge-2'), 'SIGKILL')
    const [dead, one, three] = await clicks('2', '1', '3')
    assert.equal([dead?.edge, dead?.backend, dead?.note], ['edge-2', '-', 'the edge does not answer'])
    assert.equal([one?.backend, three?.backend], [before?.backend, before?.backend])
  })

  test('a phone in dark mode: nothing exceeds the screen, the page is dark', async () => {
    const lightness = `getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b)`
    await browser?.resize(360, 740, false)
    assert.ok(Number(await browser?.evaluate(lightness)) > 600)
    await browser?.resize(360, 740, true)
    assert.ok(Number(await browser?.evaluate(lightness)) < 150)
    assert.is(await browser?.evaluate('document.documentElement.scrollWidth'), 360)
    assert.is(
      await browser?.evaluate(
        'Math.min(...[...document.querySelectorAll("button")].filter(b => !b.hidden).map(b => b.offsetHeight)) >= 44',
      ),
      true,
    )
  })

  test('keyboard only: Tab reaches every control', async () => {
    await browser?.evaluate('document.activeElement.blur()')
    const reached = new Set<unknown>()
    for (let i = 0; i < 12; i++) {
      await browser?.press('Tab')
      reached.add(await browser?.evaluate('document.activeElement.textContent.trim() || document.activeElement.name'))
    }
    for (const name of ['mode', 'New session n', ...EDGES.map((edge, i) => `${edge} :${ports[i]} ${i + 1}`)])
      assert.ok(reached.has(name), `${name} among ${[...reached].join(', ')}`)
  })
}

/** The process id of this demo's replica of that name. */
function replicaPid(name: string): number {
  for (const file of globSync('/proc/[0-9]*/cmdline')) {
    try {
      const words = readFileSync(file, 'utf8').split('\0')
      if (words.includes(name) && words.some(word => word.endsWith(`:${ports[1]}`))) return Number(file.split('/')[2])
    } catch {
      // The process has ended meanwhile.
    }
  }
  throw new Error(`no process of ${name}`)
}

test.run()
