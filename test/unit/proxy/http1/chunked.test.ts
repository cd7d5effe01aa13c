// The chunked coding: the result does not depend on how bytes are split; strict for requests, lenient for responses; bounded.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BAD, ChunkedReader, DATA, END, LINE, MORE } from '../../../../src/proxy/http1/chunked.ts'

interface Result {
  readonly content: string
  readonly event: number
  readonly trailers: string
  /** Bytes used. */
  readonly used: number
}

function read(text: string, step: number, reader = new ChunkedReader()): Result {
  const bytes = Buffer.from(text, 'latin1')
  let content = ''
  reader.reset()
  for (let from = 0; from < bytes.length; from += step) {
    const piece = bytes.subarray(from, from + step)
    reader.startBuffer(0)
    for (;;) {
      const event = reader.next(piece, piece.length)
      if (event === LINE) continue
      if (event === DATA) content += piece.latin1Slice(reader.from, reader.to)
      else if (event === MORE) {
        assert.is(reader.position, piece.length, 'the whole piece was read')
        break
      } else return { content, event, trailers: reader.trailers, used: from + reader.position }
    }
  }
  return { content, event: MORE, trailers: '', used: bytes.length }
}

const STEPS = [1, 2, 3, 5, 7, 1000]

test('content and trailers at every split; bytes after the body are not consumed', () => {
  const text = '3\r\nabc\r\n00A;x=y;z="a;\\"b"\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nY:\r\n\r\nGET /'
  for (const step of STEPS) {
    assert.equal(read(text, step), {
      content: 'abc0123456789',
      event: END,
      trailers: 'X-Sum: 1\r\nY:\r\n',
      used: text.length - 5,
    })
  }
})

test('a body without content and without trailers', () => {
  for (const step of STEPS) assert.equal(read('0\r\n\r\nx', step), { content: '', event: END, trailers: '', used: 5 })
})

test('one reader serves many bodies, also after a malformed one', () => {
  const reader = new ChunkedReader()
  assert.is(read('3\r\nab', 1, reader).event, MORE)
  assert.is(read('zz', 1, reader).event, BAD)
  assert.is(read('0\r\nA: b\r\n\r\n', 1, reader).trailers, 'A: b\r\n')
  assert.equal(read('2;a="b"\r\nhi\r\n0\r\n\r\n', 1, reader), { content: 'hi', event: END, trailers: '', used: 18 })
})

test('malformed bodies are refused at every split', () => {
  for (const text of [
    'x',
    ' 3\r\n',
    '3 \r\n',
    '-3\r\n',
    '0x3\r\n',
    '\r\n',
    ';a\r\n',
    '3\n',
    '3\r3',
    '3;\r\n',
    '3;=b\r\n',
    '3;a=\r\n',
    '3;a =b\r\n',
    '3;a="b\r\n',
    '3;a="b"c\r\n',
    '3;a\n',
    '3;a\rb',
    `3;${'a'.repeat(1100)}`,
    `${'0'.repeat(13)}\r\n`,
    '3\r\nabcd',
    '3\r\nabc\n',
    '3\r\nabc\rX',
    '0\r\n\n',
    '0\r\nX\r\n\r\n',
    '0\r\nX : y\r\n\r\n',
    '0\r\nX: y\n\r\n',
    '0\r\nX: y\r\n z\r\n\r\n',
    '0\r\nContent-Length: 3\r\n\r\n',
    '0\r\nTRANSFER-ENCODING: chunked\r\n\r\n',
    '0\r\nHost: h\r\n\r\n',
    '0\r\nConnection: close\r\n\r\n',
    '0\r\nCookie: a=b\r\n\r\n',
    '0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n',
    `0\r\n${'X: y\r\n'.repeat(65)}\r\n`,
    `0\r\nX: ${'y'.repeat(17_000)}\r\n\r\n`,
  ]) {
    for (const step of STEPS) {
      const reader = new ChunkedReader()
      assert.is(read(text, step, reader).event, BAD, `${JSON.stringify(text.slice(0, 40))} by ${step}`)
      assert.ok(reader.problem.length > 5)
    }
  }
})

test('extensions are bounded over the whole body, not one by one', () => {
  const text = `1;${'a'.repeat(100)}\r\nx\r\n`.repeat(20)
  assert.is(read(text, 1000).event, BAD)
})

test('a lenient reader accepts white space, zeros, malformed extensions; trailers are repaired', () => {
  const text = `3 \t\r\nabc\r\n${'0'.repeat(900)}2 ; x = "\r\nde\r\n1;\xe9\r\nf\r\n00 \r\nX-A : b\r\n c\r\nCookie: x\r\n\r\nGET /`
  for (const step of STEPS) {
    const result = read(text, step, new ChunkedReader(true))
    assert.equal(result, { content: 'abcdef', event: END, trailers: 'X-A: b c\r\n', used: text.length - 5 }, `by ${step}`)
  }
})

test('bodies that a lenient reader refuses too, at every split', () => {
  for (const text of [
    ' 3\r\n',
    '3 x\r\n',
    '3 \n',
    '3;a\n',
    '3;\0\r\n',
    '3 \r3',
    '3\n',
    ';a\r\n',
    '\r\n',
    '-3\r\n',
    '3\r\nabc\n',
    '0\r\n\n',
    '0\r\nX: y\n\r\n',
    '0\r\nX Y: z\r\n\r\n',
    '0\r\n X: y\r\n\r\n',
    '0\r\nX: \0\r\n\r\n',
    `${'1'.repeat(14)}\r\n`,
    `0${'1'.repeat(14)}\r\n`,
    `${'0'.repeat(1100)}`,
    `3${' '.repeat(1100)}`,
    `3;${'a'.repeat(1100)}`,
    `0\r\n${'X: y\r\n'.repeat(65)}\r\n`,
  ]) {
    for (const step of STEPS) {
      assert.is(read(text, step, new ChunkedReader(true)).event, BAD, `${JSON.stringify(text.slice(0, 40))} by ${step}`)
    }
  }
})

test('the bounds of a lenient reader apply per line, not per body', () => {
  const text = `1${' '.repeat(500)};${'a'.repeat(500)}\r\nx\r\n`.repeat(50)
  assert.is(read(`${text}0\r\n\r\n`, 7, new ChunkedReader(true)).event, END)
})

test('trailers of 16 KiB at every split, and one byte more', () => {
  const section = (bytes: number) => `X: ${'y'.repeat(bytes - 5)}\r\n`
  for (const step of STEPS) {
    assert.is(read(`0\r\n${section(16_382)}\r\n`, step).trailers, section(16_382), `by ${step}`)
    assert.is(read(`0\r\n${section(16_383)}\r\n`, step).event, BAD, `by ${step}`)
  }
})

test('the time for trailers is linear in their size', () => {
  const timeOf = (blanks: number, bodies: number) => {
    const bytes = Buffer.from(`0\r\nX: a${' '.repeat(blanks)}b\r\n\r\n`)
    const reader = new ChunkedReader()
    const start = performance.now()
    for (let i = 0; i < bodies; i++) {
      reader.reset()
      reader.startBuffer(0)
      assert.is(reader.next(bytes, bytes.length), END)
    }
    return performance.now() - start
  }
  // The same number of bytes in large and in small sections. The fastest of several runs is free of pauses.
  const fastest = (blanks: number, bodies: number) => Math.min(...[1, 2, 3, 4, 5].map(() => timeOf(blanks, bodies)))
  const [large, small] = [fastest(16_000, 5), fastest(250, 320)]
  assert.ok(large < 3 * small + 2, `${large} ms, and ${small} ms in sections of a 64th of the size`)
})

test.run()
