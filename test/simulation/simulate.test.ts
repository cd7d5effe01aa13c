// Reproducibility of a seed, the promised bounds in clean clusters of three, and the command line.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Finale, PROMISED } from './finale.ts'
import { SOUND } from './planted.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { type SeedResult, simulate } from './simulate.ts'

const CLEAN_RUNS = 60

test('random numbers are reproducible, and streams are independent', () => {
  const draw = (random: Random): number[] => Array.from({ length: 5 }, () => random.next())
  assert.equal(draw(new Random(7)), draw(new Random(7)))
  assert.not.equal(draw(new Random(7)), draw(new Random(8)))
  assert.not.equal(draw(new Random(7)), draw(new Random(7 + 2 ** 32)))
  const [a, b] = [new Random(7), new Random(7)]
  draw(a.fork())
  b.fork()
  assert.equal(draw(a), draw(b))
  const counts = new Array<number>(10).fill(0)
  const random = new Random(1)
  for (let i = 0; i < 10_000; i++) counts[random.below(10)]! += 1
  assert.ok(Math.min(...counts) > 850 && Math.max(...counts) < 1150, `${counts}`)
  assert.equal([...random.shuffled([1, 2, 3, 4, 5])].sort(), [1, 2, 3, 4, 5])
})

test('actions run by time, then by order of scheduling', () => {
  const scheduler = new Scheduler()
  const random = new Random(3)
  const done: { at: number; i: number }[] = []
  for (let i = 0; i < 500; i++) {
    const at = random.below(50)
    scheduler.after(at, () => done.push({ at, i }))
  }
  scheduler.after(10, () => scheduler.after(0, () => done.push({ at: 10, i: 1000 })))
  scheduler.runUntil(9)
  assert.ok(done.every(({ at }) => at <= 9) && scheduler.now === 9)
  scheduler.runUntil(100)
  assert.is(done.length, 501)
  assert.equal(
    done,
    [...done].sort((a, b) => a.at - b.at || a.i - b.i),
  )
})

function history(seed: number): { hash: string; lines: number; result: SeedResult } {
  const hash = createHash('sha256')
  let lines = 0
  const write = (line: string): void => {
    lines++
    hash.update(line)
  }
  const result = simulate({ seed, nodes: null, ...SOUND, write })
  return { hash: hash.digest('hex'), lines, result }
}

test('a seed has one history, with or without a trace', () => {
  for (const seed of [2, 5, 11]) {
    const first = history(seed)
    simulate({ seed: seed + 100, nodes: null, ...SOUND, write: null })
    const again = history(seed)
    assert.is(again.hash, first.hash)
    assert.ok(first.lines > 100)
    assert.equal(simulate({ seed, nodes: null, ...SOUND, write: null }), first.result)
  }
})

for (const finale of ['crash', 'hang', 'vanish', 'partition', 'managerless', 'drain', 'change', 'join'] as const) {
  test(`three members, no other harm: ${finale} within ${PROMISED[finale]} ms, ${CLEAN_RUNS} times`, () => {
    const times: number[] = []
    for (let seed = 1; seed <= CLEAN_RUNS; seed++) times.push(...clean(seed, finale))
    assert.ok(times.length >= CLEAN_RUNS / 2, `it could be played ${times.length} times only`)
    assert.ok(Math.max(...times) <= PROMISED[finale])
  })
}

function clean(seed: number, only: Finale): number[] {
  const { violation, ending } = simulate({ seed, nodes: 3, ...SOUND, write: null, only })
  assert.is(violation, null, `seed ${seed}: ${violation?.invariant}: ${violation?.details}`)
  return ending?.finale === only && ending.tookMs !== null ? [ending.tookMs] : []
}

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function command(...flags: string[]): Promise<Ended> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  return new Promise(resolve => {
    execFile(process.execPath, [main, ...flags], { maxBuffer: 64 * 1024 ** 2 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

function lastLine(text: string): unknown {
  return JSON.parse(text.trimEnd().split('\n').at(-1)!)
}

test('the command line: a number of seeds, one seed, a trace', async () => {
  const many = await command('--seeds', '3', '--nodes', '4')
  assert.is(many.code, 0, many.stderr)
  assert.equal(lastLine(many.stdout), { seeds: 3, passed: 3, failed: 0, failingSeeds: [] })
  const one = await command('--seed', '3', '--trace')
  assert.equal(lastLine(one.stdout), { seeds: 1, passed: 1, failed: 0, failingSeeds: [] })
  assert.match(one.stdout, /^ +\d+\.\d{4} {2}edge-\d+ +starts with nothing$/m)
  assert.match(one.stdout, /^ +\d+\.\d{4} {2}finale +/m)
})

test('the command line: a failing seed prints the invariant, time, member and how to replay', async () => {
  const { code, stdout } = await command('--seed', '2', '--seeds', '2', '--plant', 'two-leaders', '--nodes', '4')
  assert.is(code, 1)
  const { failed, failingSeeds } = lastLine(stdout) as { failed: number; failingSeeds: number[] }
  assert.ok(failed > 0 && failingSeeds.length === failed)
  const [seed] = failingSeeds
  assert.match(stdout, new RegExp(`^seed ${seed} \\(4 hosts\\) failed after [\\d.]+ s of virtual time$`, 'm'))
  const replay = `--seed ${seed} --nodes 4 --plant two-leaders --trace`
  assert.ok(stdout.includes(`  npm run simulate -- ${replay}\n`))
  const again = await command(...replay.split(' '))
  assert.is(again.code, 1)
  assert.equal(lastLine(again.stdout), { seeds: 1, passed: 0, failed: 1, failingSeeds: [seed] })
  assert.match(again.stdout, /BROKEN: /)
})

test('the command line: invalid flags exit with 2 and a reason', async () => {
  const cases: [string[], RegExp][] = [
    [['--seeds', '0'], /--seeds 0: expected a whole number from 1 to /],
    [['--seeds', 'many'], /--seeds many: expected/],
    [['--seed', '1.5'], /--seed 1\.5: expected a whole number from 0 to /],
    [['--nodes', '2'], /--nodes 2: expected a whole number from 3 to 50/],
    [['--nodes', '51'], /--nodes 51: expected a whole number from 3 to 50/],
    [['--plant', 'weeds'], /--plant weeds: expected one of vote-twice, /],
    [['--fast'], /--fast/],
  ]
  for (const [flags, reason] of cases) {
    const { code, stdout, stderr } = await command(...flags)
    assert.is(code, 2, flags.join(' '))
    assert.match(stderr, reason)
    assert.is(stdout, '')
  }
})

test.run()
