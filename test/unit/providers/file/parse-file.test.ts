import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatOf, MAX_BYTES, parseFile } from '../../../../src/providers/file/parse-file.ts'

const SAID = { backends: { b: { servers: { s1: { url: 'http://10.0.0.1:80', weight: 2 } } } } }

function content(path: string, text: string | Uint8Array): unknown {
  const parsed = parseFile(path, typeof text === 'string' ? Buffer.from(text) : text)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed.content
}

function message(path: string, text: string | Uint8Array): string {
  const parsed = parseFile(path, typeof text === 'string' ? Buffer.from(text) : text)
  if (parsed.ok) throw new Error(`read as ${JSON.stringify(parsed.content)}`)
  return parsed.message
}

test('the extension of the name decides', () => {
  assert.equal(['a.toml', 'a.yml', 'a.YAML', 'a.json'].map(formatOf), ['TOML', 'YAML', 'YAML', 'JSON'])
  assert.equal(['a.txt', 'toml', 'a.toml~', 'a.toml.swp', ''].map(formatOf), [null, null, null, null, null])
})

test('the three formats give the same', () => {
  const toml = '[backends.b.servers.s1]\nurl = "http://10.0.0.1:80"\nweight = 2\n'
  const yaml = 'backends:\n  b:\n    servers:\n      s1: { url: "http://10.0.0.1:80", weight: 2 }\n'
  for (const said of [content('a.toml', toml), content('a.yml', yaml), content('a.json', JSON.stringify(SAID))])
    assert.equal(JSON.parse(JSON.stringify(said)), SAID)
})

test('a byte order mark, aliases and merged maps are read', () => {
  assert.equal(content('a.json', '\uFEFF{"a":1}'), { a: 1 })
  assert.equal(content('a.yml', 'x: &x {a: 1}\nb: {<<: *x, c: 2}\n'), { x: { a: 1 }, b: { a: 1, c: 2 } })
})

test('a comment alone means no services', () => {
  assert.equal(content('a.yml', '# none\n'), null)
  assert.equal(JSON.stringify(content('a.toml', '# none\n')), '{}')
})

for (const [what, path, text, told] of [
  ['TOML that is none', 'a.toml', 'a = 1\nb = \n', /^expected TOML at line 2, column 5 \(invalid value\)$/],
  ['TOML that says a table twice', 'a.toml', '[x]\n[x]\n', /^expected TOML at line 2, column \d+ \(trying to redefine/],
  ['YAML that is none', 'a.yml', 'a: [1\nb: 2\n', /^expected YAML at line 2, column 1 \(.*must be.*end with a \]\)$/],
  [
    'YAML that says a key twice',
    'a.yml',
    'a: 1\nb:\n  c: 1\n  c: 2\n',
    /^expected YAML at line 4, column 3 \(a key is given twice\)$/,
  ],
  [
    'YAML of two documents',
    'a.yml',
    'a: 1\n---\nb: 1\n',
    /^expected YAML at line 2, column 1 \(Source contains multiple documents/,
  ],
  ['an alias of nothing', 'a.yml', 'a: *b\n', /^expected YAML \(Unresolved alias .*: b\)$/],
  ['JSON that ends too early', 'a.json', '{\n"a":', /^expected JSON at line 2 \(it ends too early\)$/],
  ['JSON with a word', 'a.json', '{\n"a": 1,\n"b": hunter2 }', /^expected JSON \(Unexpected token 'h'\)$/],
  [
    'JSON with a stray bracket',
    'a.json',
    '{\n"a": 1,\n"b": ] }',
    /^expected JSON at line 3, column \d+ \(Unexpected token '\]'\)$/,
  ],
  ['nothing', 'a.toml', '', /^expected TOML, found nothing/],
  ['nothing in JSON', 'a.json', ' ', /^expected JSON, found nothing \(\{\} alone says/],
  ['white space', 'a.yml', ' \n\n', /^expected YAML, found nothing/],
  [
    'what is no text',
    'a.yml',
    Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe]),
    /^expected YAML in UTF-8, found bytes that are not text$/,
  ],
  ['a zero byte', 'a.toml', 'a = 1\n\0', /^expected TOML, found a zero byte at line 2$/],
  ['another ending', 'a.ini', 'a = 1', /^expected a file named \.toml/],
] as const) {
  test(`${what} is reported with the place, without content of the file`, () => {
    const said = message(path, text)
    assert.match(said, told)
    assert.not.match(said, /hunter2|\n/)
  })
}

test('size, depth and aliases are bounded', () => {
  assert.match(message('a.toml', Buffer.alloc(MAX_BYTES + 1, 0x23)), `expected at most ${MAX_BYTES} bytes`)
  for (const [path, text] of [
    ['a.json', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['b.json', `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`],
    ['a.yml', '['.repeat(100_000)],
    ['b.yml', `${'['.repeat(100)}${']'.repeat(100)}`],
    ['c.yml', '&a [*a, *a]'],
  ] as const)
    assert.match(message(path, text), /of at most 64 levels$/, path)
  const toml = message('a.toml', `a = ${'['.repeat(100_000)}`)
  assert.match(toml, /^expected TOML at line 1, .*nested/)
  assert.ok(toml.length < 300)
  const eight = (name: string, of: string): string => `${name}: &${name} [${Array(8).fill(of).join(', ')}]\n`
  const laughs = eight('a', '1') + eight('b', '*a') + eight('c', '*b') + eight('d', '*c') + eight('e', '*d')
  assert.match(message('a.yml', laughs), /^expected YAML \(Excessive alias count/)
  assert.match(
    message('a.yml', '- &a x\n- *a\n'.repeat(600)),
    /^expected YAML at line 1001, .*\(more than 1000 anchors and aliases\)$/,
  )
  const wide = `x: &x {${Array.from({ length: 300 }, (_, n) => `k${n}: 1`).join(', ')}}\n`
  const merged = wide + Array.from({ length: 900 }, (_, n) => `m${n}: {<<: *x}\n`).join('')
  assert.match(message('a.yml', merged), /^expected YAML at line 335, .*\(more than 100000 entries are merged\)$/)
})

test('a key of __proto__ changes no prototype', () => {
  for (const [path, text] of [
    ['a.yml', '__proto__: {polluted: 1}\n'],
    ['a.json', '{"__proto__": {"polluted": 1}}'],
    ['a.toml', '["__proto__"]\npolluted = 1\n'],
  ] as const)
    assert.is((content(path, text) as { polluted?: number }).polluted, undefined, path)
  assert.is(({} as { polluted?: number }).polluted, undefined)
})

test('a file of mistakes is rejected as fast as a valid one is read', () => {
  const time = (path: string, text: string): number => {
    const start = performance.now()
    parseFile(path, Buffer.from(text))
    return performance.now() - start
  }
  for (const unit of ['&a ', '- &a x\n- *a\n', '? ']) {
    time('a.yml', unit.repeat(1_000))
    const little = Math.min(...Array.from({ length: 3 }, () => time('a.yml', unit.repeat(3_000))))
    const much = Math.min(time('a.yml', unit.repeat(30_000)), time('a.yml', unit.repeat(30_000)))
    assert.ok(much < 40 * little + 100, `${JSON.stringify(unit)}: ${little} ms for 3,000, ${much} ms for 30,000`)
  }
})

test('the target of an alias is visited once, however many aliases', () => {
  const text = (aliases: number): string => `x: &x [${'1, '.repeat(20_000)}]\ny: [${'*x, '.repeat(aliases)}]\n`
  const time = (aliases: number): number => {
    const start = performance.now()
    content('a.yml', text(aliases))
    return performance.now() - start
  }
  time(1)
  let [once, often] = [Infinity, Infinity]
  for (let n = 0; n < 4; n++) {
    once = Math.min(once, time(1))
    often = Math.min(often, time(900))
  }
  // Three times as long if each were visited: 18 million values.
  assert.ok(often < 2 * once, `${once} ms for one, ${often} ms for 900`)
})

test('thousands of YAML keys are read in linear time', () => {
  const keys = (count: number): string => Array.from({ length: count }, (_, n) => `k${n}: 1\n`).join('')
  const time = (text: string): number => {
    const start = performance.now()
    content('a.yml', text)
    return performance.now() - start
  }
  time(keys(2_000))
  const little = Math.min(time(keys(2_000)), time(keys(2_000)), time(keys(2_000)))
  const much = Math.min(time(keys(20_000)), time(keys(20_000)))
  // Ten times as much; a hundred times if every key were compared with every other.
  assert.ok(much < 40 * little, `${little} ms for 2,000 keys, ${much} ms for 20,000`)
})

test.run()
