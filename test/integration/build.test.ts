import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rewriteFileUrls } from '../../deploy/build.ts'

const BUILD = fileURLToPath(new URL('../../deploy/build.ts', import.meta.url))
const out = mkdtempSync(join(tmpdir(), 'skein-build-'))
const image = join(out, 'image')
let replica: ChildProcess | undefined
/** A swarm has at least one manager: Skein rejects a node list without one. */
const NODE = {
  ID: 'n1',
  Version: { Index: 1 },
  Spec: { Role: 'manager' },
  Description: {},
  Status: {},
  ManagerStatus: { Leader: true },
}

test.before(() => {
  const built = spawnSync(process.execPath, [BUILD, out], { encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`)
})
test.after(() => {
  replica?.kill('SIGKILL')
  rmSync(out, { recursive: true, force: true })
})

test('the built JavaScript is executable and imports only JavaScript', () => {
  const main = join(out, 'src/main.js')
  assert.match(readFileSync(main, 'utf8'), /^#!\/usr\/bin\/env node\n/)
  assert.ok(statSync(main).mode & 0o100)
  for (const file of globSync('src/**/*.js', { cwd: out })) {
    assert.not.match(
      readFileSync(join(out, file), 'utf8'),
      /^(import|export) .*from '\.[^']*\.ts'|import\('\.[^']*\.ts'\)/m,
      file,
    )
  }
})

test('file URLs of threads and processes are rewritten, other text is not', () => {
  assert.is(
    rewriteFileUrls("new Worker(new URL('./worker.ts', import.meta.url))"),
    "new Worker(new URL('./worker.js', import.meta.url))",
  )
  assert.is(rewriteFileUrls('new URL("../a/main.ts", x)'), 'new URL("../a/main.js", x)')
  for (const same of ["new URL('./a.tsx', x)", "'./worker.ts'", "new URL('https://a/b.ts')"])
    assert.is(rewriteFileUrls(same), same)
})

test('the image contains what runs, and no development files', () => {
  const files = globSync('**/*', { cwd: image, withFileTypes: true }).filter(entry => entry.isFile())
  const unwanted = files.filter(({ name }) => /\.(ts|map|tsbuildinfo)$/.test(name) || /^(readme|changelog)/i.test(name))
  assert.equal(
    unwanted.map(({ name }) => name),
    [],
  )
  for (const module of ['@types', 'typescript', 'uvu', 'node', 'cpu-features', '@biomejs']) {
    assert.is(globSync(`node_modules/${module}`, { cwd: image }).length, 0, module)
  }
  const bytes = files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
  assert.ok(bytes < 40e6, `${bytes} bytes`)
})

test("the image's files run the commands version and check", () => {
  const run = (...args: string[]): string =>
    execFileSync(process.execPath, [join(image, 'src/main.js'), ...args], { cwd: tmpdir(), encoding: 'utf8' })
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  assert.match(run('version'), `skein ${version} `)
  assert.match(run('check'), /The options are valid/)
})

test("the image's files run a replica: control thread, data worker, provider", async () => {
  const manager = createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json')
    const path = (request.url ?? '').replace(/^\/v[\d.]+/, '')
    if (path.startsWith('/events')) response.write('')
    else
      response.end(
        path.startsWith('/_ping')
          ? 'OK'
          : path.startsWith('/version')
            ? '{"ApiVersion":"1.41"}'
            : path.startsWith('/info')
              ? '{"Swarm":{"ControlAvailable":true}}'
              : path.startsWith('/nodes')
                ? JSON.stringify([NODE])
                : '[]',
      )
  })
  await new Promise<void>(resolve => manager.listen(0, '127.0.0.1', resolve))
  const probe = createNetServer()
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise(resolve => probe.close(resolve))
  const endpoint = `tcp://127.0.0.1:${(manager.address() as AddressInfo).port}`
  const args = [
    'run',
    '--manager',
    endpoint,
    '--entry-point',
    `web=127.0.0.1:${port}`,
    '--admin',
    'off',
    '--workers',
    '1',
    '--log-format',
    'json',
  ]
  const child = spawn(process.execPath, [join(image, 'src/main.js'), ...args], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  replica = child
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk
      if (said.includes('entry point web listens')) resolve()
    })
    child.once('exit', code => reject(new Error(`ended with ${code}: ${said}`)))
  })
  assert.is((await fetch(`http://127.0.0.1:${port}/`)).status, 404)
  child.kill('SIGTERM')
  const code = await new Promise(resolve => child.once('close', resolve))
  manager.closeAllConnections()
  manager.close()
  assert.is(code, 0, said)
})

test.run()
