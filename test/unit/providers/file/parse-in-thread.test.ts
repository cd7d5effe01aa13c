import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseFile } from '../../../../src/providers/file/parse-file.ts'
import { parseInThread } from '../../../../src/providers/file/parse-in-thread.ts'

const here = (): boolean => false
/** 8 bytes for each key. */
const yaml = (keys: number): Buffer =>
  Buffer.from(Array.from({ length: keys }, (_, n) => `k${String(n).padStart(6, '0')}: 1\n`).join(''))

test('a large file is parsed like a small one, without blocking this thread', async () => {
  const bytes = yaml(30_000)
  let turns = 0
  const turning = setInterval(() => turns++, 5)
  const parsed = await parseInThread('a.yml', bytes, here)
  clearInterval(turning)
  assert.equal(parsed, parseFile('a.yml', bytes))
  assert.ok(turns > 5, `${turns} turns`)
})

test('mistakes of a large file are reported as those of a small one', async () => {
  const bytes = Buffer.concat([yaml(10_000), Buffer.from('k000000: 2\n')])
  assert.equal(await parseInThread('a.yml', bytes, here), {
    ok: false,
    message: 'expected YAML at line 10001, column 1 (a key is given twice)',
  })
})

test('dates and texts of TOML come through', async () => {
  const toml = Buffer.from(`day = 2020-01-01\ntext = "é"\n${'# comment\n'.repeat(10_000)}`)
  const parsed = await parseInThread('a.toml', toml, here)
  assert.ok(parsed.ok)
  const { day, text } = (parsed.ok ? parsed.content : {}) as { day: unknown; text: string }
  assert.ok(day instanceof Date)
  assert.is(text, 'é')
})

test('parsing is aborted when it is no longer needed', async () => {
  const parsed = await parseInThread('a.yml', yaml(250_000), () => true)
  assert.equal(parsed, { ok: false, message: 'expected a file that can be read within 30 s' })
})

test.run()
