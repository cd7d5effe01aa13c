// A browser for tests: headless Chromium, controlled over its DevTools protocol
// (https://chromedevtools.github.io/devtools-protocol/), without a package.

import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

const START_MS = 60_000
const CALL_MS = 30_000

/** The path of Chromium; null if it is not installed. */
export function findChromium(): string | null {
  const directories = (process.env.PATH ?? '').split(delimiter).filter(directory => directory !== '')
  return directories.flatMap(directory => globSync(`${directory}/{chromium,chromium-browser,google-chrome}`))[0] ?? null
}

interface Incoming {
  readonly id?: number
  readonly method?: string
  readonly sessionId?: string
  readonly result?: Record<string, unknown>
  readonly params?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

/** One page in one browser process; `close` ends both. */
export class Browser {
  /** Errors of the page: uncaught exceptions and refused resources. */
  readonly complaints: string[] = []
  private readonly child: ChildProcess
  private readonly profile: string
  private readonly socket: WebSocket
  private readonly waiting = new Map<number, (message: Incoming) => void>()
  private session = ''
  private ids = 0
  private loaded = (): void => {}

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.child = child
    this.profile = profile
    this.socket = socket
    socket.addEventListener('message', event => this.take(JSON.parse(String(event.data)) as Incoming))
  }

  static async start(path: string): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'skein-browser-'))
    // No sandbox, because tests may run as root in a container, and open only their own pages.
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
    const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions']
    const args = [...flags, ...quiet, `--user-data-dir=${profile}`, '--remote-debugging-port=0', 'about:blank']
    const child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const address = await new Promise<string>((resolve, reject) => {
      let text = ''
      const timer = setTimeout(() => reject(new Error(`the browser did not start: ${text.slice(-2000)}`)), START_MS)
      child.once('error', reject)
      child.once('exit', code => reject(new Error(`the browser ended with ${code}: ${text.slice(-2000)}`)))
      child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        const found = /DevTools listening on (ws:\S+)/.exec(text)?.[1]
        if (found === undefined) return
        clearTimeout(timer)
        resolve(found)
      })
    })
    const socket = new WebSocket(address)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', () => reject(new Error('no connection to the browser')))
    })
    const browser = new Browser(child, profile, socket)
    const { targetId } = await browser.call('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await browser.call('Target.attachToTarget', { targetId, flatten: true })
    browser.session = String(sessionId)
    for (const domain of ['Page', 'Runtime', 'Log']) await browser.call(`${domain}.enable`)
    return browser
  }

  /** Opens a page; resolves when it is loaded completely. */
  async open(url: string): Promise<void> {
    const loaded = new Promise<void>(resolve => {
      this.loaded = resolve
    })
    await this.call('Page.navigate', { url })
    await loaded
  }

  /** Evaluates an expression in the page, and awaits its value if it is a promise. */
  async evaluate(expression: string): Promise<unknown> {
    const answer = await this.call('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true })
    if (answer.exceptionDetails !== undefined) throw new Error(`in the page: ${JSON.stringify(answer.exceptionDetails)}`)
    return (answer.result as { value?: unknown }).value
  }

  /** Waits until an expression in the page is true. */
  async until(expression: string, withinMs = 60_000): Promise<void> {
    const end = performance.now() + withinMs
    while ((await this.evaluate(expression)) !== true) {
      if (performance.now() > end) {
        const seen = await this.evaluate('document.body.innerText')
        throw new Error(`not within ${withinMs} ms: ${expression}\n${String(seen)}\n${this.complaints.join('\n')}`)
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  /** Presses and releases a key. */
  async press(key: string): Promise<void> {
    const code = key.length === 1 ? { text: key } : {}
    await this.call('Input.dispatchKeyEvent', { type: 'keyDown', key, ...code })
    await this.call('Input.dispatchKeyEvent', { type: 'keyUp', key })
  }

  async resize(width: number, height: number, dark: boolean): Promise<void> {
    await this.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 })
    const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]
    await this.call('Emulation.setEmulatedMedia', { features })
  }

  /** A screenshot as PNG. */
  async picture(): Promise<Buffer> {
    const { data } = await this.call('Page.captureScreenshot', { format: 'png' })
    return Buffer.from(String(data), 'base64')
  }

  async close(): Promise<void> {
    const ended = new Promise(resolve => this.child.once('exit', resolve))
    await this.call('Browser.close').catch(() => {})
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000)
    await ended
    clearTimeout(timer)
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 })
  }

  private call(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const id = ++this.ids
    const sessionId = this.session === '' || method.startsWith('Browser.') ? {} : { sessionId: this.session }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the browser does not answer ${method}`)), CALL_MS)
      this.waiting.set(id, ({ result, error }) => {
        clearTimeout(timer)
        if (error === undefined) resolve(result ?? {})
        else reject(new Error(`${method}: ${error.message}`))
      })
      this.socket.send(JSON.stringify({ id, method, params, ...sessionId }))
    })
  }

  private take(message: Incoming): void {
    if (message.id !== undefined) {
      this.waiting.get(message.id)?.(message)
      this.waiting.delete(message.id)
    } else if (message.method === 'Page.loadEventFired') this.loaded()
    else if (message.method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(message.params))
    else if (message.method === 'Log.entryAdded') {
      const { level, text, url } = (message.params?.entry ?? {}) as { level?: string; text?: string; url?: string }
      if (level === 'error') this.complaints.push(`${text} ${url}`)
    }
  }
}
