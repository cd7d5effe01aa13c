// `npm run build`: writes JavaScript to dist/ (the published package), and to dist/image the content of the image of deploy/Dockerfile:
// package.json, the JavaScript, and the dependencies that Skein needs to run, without files for developers. `npm run build --
// DIRECTORY` writes elsewhere.

import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** The folders of the program. */
const SOURCES = ['src', 'cluster'] as const
const MODULE_FILES = /\.(js|cjs|mjs|json|node|wasm|proto)$|^(licen[cs]e|notice|copying)/i
const TYPES_ONLY = /^node_modules\/(@types\/|undici-types$)/
/** Top-level directories of packages that are not needed at run time. */
const UNNEEDED = new Set([
  'test',
  'tests',
  '__tests__',
  'bench',
  'benchmark',
  'benchmarks',
  'example',
  'examples',
  'docs',
  '.github',
])

interface LockedPackage {
  readonly dev?: boolean
  readonly optional?: boolean
}

/** Compiles src into `out`; prints the compiler's output if it fails. */
function compile(out: string): void {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
  const args = [compiler, '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', out]
  if (spawnSync(process.execPath, args, { stdio: 'inherit', cwd: ROOT }).status !== 0) process.exit(1)
  for (const file of globSync(`{${SOURCES.join(',')}}/**/*.js`, { cwd: out })) {
    const path = join(out, file)
    const before = readFileSync(path, 'utf8')
    const after = rewriteFileUrls(before)
    if (after !== before) writeFileSync(path, after)
  }
  chmodSync(join(out, 'src/main.js'), 0o755)
}

/**
 * Rewrites `new URL('./worker.ts', import.meta.url)`, by which threads and processes are started; the compiler rewrites only imports.
 */
export function rewriteFileUrls(code: string): string {
  return code.replaceAll(/(new URL\(\s*(['"`])\.{1,2}\/[^'"`]+?)\.ts\2/g, '$1.js$2')
}

/**
 * Paths (`node_modules/...`) of the packages that are needed at run time, without development dependencies, types and optional native
 * code.
 */
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Record<string, LockedPackage> }
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path !== '' && entry.dev !== true && entry.optional !== true && !TYPES_ONLY.test(path))
    .map(([path]) => path)
}

function copyPackage(path: string, image: string): void {
  const from = join(ROOT, path)
  cpSync(from, join(image, path), {
    recursive: true,
    filter: source => {
      const inside = relative(from, source)
      if (inside === '') return true
      const parts = inside.split(sep)
      // Packages inside a package have separate entries in the lock file.
      if (parts.includes('node_modules') || UNNEEDED.has(parts[0] as string)) return false
      return statSync(source).isDirectory() || (MODULE_FILES.test(basename(source)) && !/\.d\.[cm]?ts$/.test(source))
    },
  })
}

function assembleImage(out: string, image: string): void {
  mkdirSync(image, { recursive: true })
  for (const source of SOURCES) {
    if (globSync(source, { cwd: out }).length > 0) cpSync(join(out, source), join(image, source), { recursive: true })
  }
  const { name, version, license, type, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    unknown
  >
  writeFileSync(join(image, 'package.json'), `${JSON.stringify({ name, version, license, type, dependencies }, null, 2)}\n`)
  cpSync(join(ROOT, 'LICENSE'), join(image, 'LICENSE'))
  for (const path of productionPackages()) copyPackage(path, image)
  removeEmptyDirectories(image)
}

function removeEmptyDirectories(root: string): void {
  const occupied = new Set<string>()
  for (const entry of globSync('**/*', { cwd: root, withFileTypes: true })) {
    if (entry.isDirectory()) continue
    for (let directory = entry.parentPath; directory.startsWith(root) && !occupied.has(directory); directory = dirname(directory))
      occupied.add(directory)
  }
  for (const entry of globSync('**/*/', { cwd: root })) {
    const directory = resolve(root, entry)
    if (!occupied.has(directory)) rmSync(directory, { recursive: true, force: true })
  }
}

/** The size of all files below a directory in megabytes (10^6 bytes). */
function megabytes(root: string): string {
  const files = globSync('**/*', { cwd: root, withFileTypes: true }).filter(entry => entry.isFile())
  return (files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0) / 1e6).toFixed(1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = resolve(process.argv[2] ?? join(ROOT, 'dist'))
  const image = join(out, 'image')
  for (const made of [...SOURCES, 'image']) rmSync(join(out, made), { recursive: true, force: true })
  compile(out)
  assembleImage(out, image)
  console.log(
    `${relative(process.cwd(), out) || out}: JavaScript; ${relative(process.cwd(), image) || image}: ${megabytes(image)} MB for deploy/Dockerfile`,
  )
}
