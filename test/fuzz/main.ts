// `npm run fuzz -- --seconds N [--seed S]`: feeds valid and mutated requests and responses to Skein's connections and to Node's llhttp
// (strict). What Skein accepts, llhttp must accept with the same framing, and the result must not depend on how the bytes are split.
// Cases in corpus/ are replayed first. The last line is one JSON object; exit code 1 if there was a disagreement, which is minimized
// and printed.

import { readdirSync, readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { parseArgs } from 'node:util'
import { escapeBytes, firstDifference, type Outcome, unescapeBytes } from './events.ts'
import { type Case, makeCase, makeCuts } from './grammar.ts'
import { Random } from './random.ts'

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'node:net' && context.parentURL?.includes('/server-socket.')
      ? next(new URL('./fake-net.ts', import.meta.url).href, context)
      : next(specifier, context),
})
const ours = await import('./ours.ts')
const llhttp = await import('./llhttp.ts')

const MOST_SHOWN = 5

interface Disagreement {
  readonly why: string
  readonly ours: Outcome
  readonly theirs: Outcome
}

function readOurs(c: Case, cuts: readonly number[], raw: boolean): Outcome {
  try {
    return c.kind === 'request' ? ours.readRequests(c.bytes, cuts) : ours.readResponse(c.bytes, cuts, c.head, c.ends, raw)
  } catch (error) {
    // No event of llhttp equals this one: an exception counts as a disagreement.
    return { events: [{ kind: 'end', at: -1, body: `${(error as Error).stack}`, trailers: [] }], refused: 'an exception' }
  }
}

/** Null if both agree; `accepted` tells whether Skein accepted a head at all. */
function examine(c: Case, cuts: readonly number[]): { accepted: boolean; disagreement: Disagreement | null } {
  const cut = readOurs(c, cuts, false)
  const single = readOurs(
    c,
    Array.from({ length: Math.max(0, c.bytes.length - 1) }, (_, i) => i + 1),
    true,
  )
  const accepted = cut.events.length > 0 || single.events.length > 0
  if (!accepted) return { accepted, disagreement: null }
  if (cut.events.length !== single.events.length || firstDifference(cut.events, single.events, false) !== null) {
    return { accepted, disagreement: { why: 'the result depends on how the bytes are split', ours: cut, theirs: single } }
  }
  const theirs = c.kind === 'request' ? llhttp.readRequests(c.bytes) : llhttp.readResponse(c.bytes, c.head, c.ends)
  const at = firstDifference(single.events, theirs.events, true)
  return {
    accepted,
    disagreement: at === null ? null : { why: `event ${at} of ours is not llhttp's`, ours: single, theirs },
  }
}

/** Removes what is not needed for the disagreement. */
function minimise(c: Case): Case {
  let best = c
  const fails = (bytes: Buffer) => examine({ ...best, bytes }, []).disagreement !== null
  if (!fails(best.bytes)) return c
  for (let size = best.bytes.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at + size <= best.bytes.length; ) {
      const bytes = Buffer.concat([best.bytes.subarray(0, at), best.bytes.subarray(at + size)])
      if (fails(bytes)) best = { ...best, bytes }
      else at += size
    }
  }
  return best
}

function show(c: Case, name: string, found: Disagreement): void {
  const small = minimise(c)
  const again = examine(small, []).disagreement ?? found
  console.log(`\n${name}: ${again.why}\n  ${small.kind}${small.head ? ' to HEAD' : ''}${small.ends ? ', then the end' : ''}`)
  console.log(`  ${escapeBytes(small.bytes)}\n  ours:   ${JSON.stringify(again.ours)}\n  llhttp: ${JSON.stringify(again.theirs)}`)
}

/**
 * A corpus file: comments (#), a line with the kind and the number of heads that Skein accepts, then escaped bytes; line ends in the
 * file are ignored.
 */
function readCorpus(): { name: string; c: Case; heads: number }[] {
  const folder = new URL('./corpus/', import.meta.url)
  return readdirSync(folder)
    .filter(file => file.endsWith('.txt'))
    .sort()
    .map(file => {
      const [first, ...lines] = readFileSync(new URL(file, folder), 'utf8')
        .split('\n')
        .filter(line => line !== '' && !line.startsWith('#'))
      const words = (first ?? '').split(' ')
      const kind = words[0] === 'response' ? 'response' : 'request'
      const c: Case = { kind, head: words.includes('HEAD'), ends: words.includes('ends'), bytes: unescapeBytes(lines.join('')) }
      return { name: file, c, heads: Number(words.at(-1)) }
    })
}

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '10' }, seed: { type: 'string' } } })
const seconds = Number(values.seconds)
const seed = values.seed === undefined ? Date.now() % 4294967296 : Number(values.seed)
if (!(seconds > 0) || !Number.isInteger(seed) || seed < 0) {
  console.error(`--seconds ${values.seconds} --seed ${values.seed}: expected a number of seconds above 0 and a whole number`)
  process.exit(2)
}

let cases = 0
let accepted = 0
let disagreements = 0

for (const { name, c, heads } of readCorpus()) {
  const random = new Random(1)
  const seen = readOurs(c, [], false).events.filter(event => event.kind === 'head').length
  if (seen !== heads) {
    disagreements++
    console.log(`\ncorpus/${name}: ours accepts ${seen} heads, expected ${heads}`)
  }
  for (let i = 0; i < 20; i++) {
    const result = examine(c, i === 0 ? [] : makeCuts(random, c.bytes.length))
    cases++
    if (result.accepted) accepted++
    if (result.disagreement === null) continue
    disagreements++
    show(c, `corpus/${name}`, result.disagreement)
    break
  }
}

const end = performance.now() + seconds * 1000
for (let n = 0; performance.now() < end; n++) {
  // Each case has its own seed, so that it can be repeated alone.
  const random = new Random(seed + Math.imul(n, 0x9e3779b1))
  const c = makeCase(random)
  const result = examine(c, makeCuts(random, c.bytes.length))
  cases++
  if (result.accepted) accepted++
  if (result.disagreement === null) continue
  disagreements++
  if (disagreements <= MOST_SHOWN) show(c, `case ${n} of seed ${seed}`, result.disagreement)
}
console.log(JSON.stringify({ seconds, cases, accepted, disagreements, seed }))
process.exitCode = disagreements === 0 ? 0 : 1
