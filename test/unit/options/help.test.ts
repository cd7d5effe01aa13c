import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { commandHelp, generalHelp, wrap } from '../../../src/options/help.ts'
import { OPTION_NAMES, specOf } from '../../../src/options/schema.ts'
import { COMMANDS } from '../../../src/options/spec.ts'

for (const command of COMMANDS) {
  test(`help of ${command} lists its options and no others`, () => {
    const flags = [...commandHelp(command).matchAll(/^ {2}--(?:\[no-\])?([a-z-]+)/gm)].map(match => match[1])
    const own = OPTION_NAMES.map(specOf).filter(spec => spec.commands.includes(command))
    assert.equal([...flags].sort(), own.map(spec => spec.flag).sort())
  })
}

test('help fits a terminal', () => {
  for (const text of [generalHelp(), ...COMMANDS.map(commandHelp)]) {
    for (const line of text.split('\n')) assert.ok(line.length <= 120, line)
  }
})

test('every option has a flag, a unique key, and a valid example', () => {
  const specs = OPTION_NAMES.map(specOf)
  assert.is(new Set(specs.map(spec => spec.flag)).size, specs.length)
  const keys = specs.map(spec => spec.file).filter(key => key !== null)
  assert.is(new Set(keys).size, keys.length)
  for (const { flag, kind, example, default: fallback } of specs) {
    assert.ok(kind.schema.safeParse(kind.fromText(example)).success, `${flag} ${example}`)
    if (fallback !== null) assert.ok(kind.schema.safeParse(kind.fromText(fallback)).success, `${flag} ${fallback}`)
  }
})

test('text is wrapped; long words are not split', () => {
  assert.equal(wrap('aa bb cc', 5), ['aa bb', 'cc'])
  assert.equal(wrap('aaaaaaaa b', 5), ['aaaaaaaa', 'b'])
})

test.run()
